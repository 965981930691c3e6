"""Processes that train together: what each does of a step, and what they tell each other.

One process, ``ALONE``, tells nobody anything.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor, distributed, nn

__all__ = ["ALONE", "GO_ON", "LostProcessError", "Ranks", "gather", "is_first_process"]

GO_ON = (
    "start all again with --resume to go on from the last checkpoint, with any number of processes that share a step "
    "equally"
)


class LostProcessError(RuntimeError):
    """Another process of the run has ended, or this one was told to."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        number: of this process, from 0 on. The first one alone writes files and says where the run is.
        count: of all processes.
        device: what this one computes on.

    >>> from triptych.training.ranks import ALONE, Ranks
    >>> range(8, 16)[Ranks(1, 4).own], range(8, 16)[ALONE.own]
    (range(9, 16, 4), range(8, 16))
    """

    number: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.number == 0

    @property
    def own(self) -> slice:
        """Which items of a step this process takes; all processes together take each once."""
        return slice(self.number, None, self.count)

    @torch.no_grad()
    def broadcast_weights(self, modules: Iterable[nn.Module]) -> None:
        """Let all start from the weights of the first process: random numbers may differ between processors."""
        if self.count == 1:
            return
        for module in modules:
            for value in module.state_dict().values():
                with _told_when_lost():
                    distributed.broadcast(value, src=0)

    def means(self, *values: float) -> tuple[float, ...]:
        """The mean over all processes of each number."""
        if self.count == 1:
            return values
        told = gather(torch.tensor(values, dtype=torch.float64, device=self.device))
        return tuple(told.mean(0).tolist())

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Let each gradient be the sum of those of all processes. A parameter that none has used keeps none."""
        if self.count == 1:
            return
        mine = [one for one in parameters if one.requires_grad]
        grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in mine]
        used = grads[0].new_tensor([one.grad is not None for one in mine])
        # All gradients one after the other, then for each parameter how many processes have used it.
        flat = torch.cat([*(grad.flatten() for grad in grads), used])
        with _told_when_lost():
            distributed.all_reduce(flat)
        *sums, used = flat.split([*(grad.numel() for grad in grads), len(mine)])
        for parameter, grad, total, anywhere in zip(mine, grads, sums, used.tolist(), strict=True):
            parameter.grad = grad.copy_(total.view_as(grad)) if anywhere else None

    def agree(self, text: str) -> bool:
        """Whether all processes say the same. Each waits here for the others."""
        if self.count == 1:
            return True
        mine = int.from_bytes(sha256(text.encode()).digest()[:7], "big")
        told = gather(torch.tensor(mine, dtype=torch.int64, device=self.device)).tolist()
        return len(set(told)) == 1


ALONE = Ranks()


def gather(values: Tensor) -> Tensor:
    """(R, ...) the values of all R processes; the gradient goes back to each."""
    gathered: Tensor = _Gather.apply(values)
    return gathered


def is_first_process() -> bool:
    """Whether this process speaks for the run: the only one, or the first of several.

    >>> from triptych.training.ranks import is_first_process
    >>> is_first_process()
    True
    """
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor) -> Tensor:
        found = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(_count())]
        with _told_when_lost():
            distributed.all_gather(found, values.contiguous())
        return torch.stack(found)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.clone(memory_format=torch.contiguous_format)
        with _told_when_lost():
            distributed.all_reduce(total)
        return total[distributed.get_rank()]


def _count() -> int:
    return distributed.get_world_size()


@contextmanager
def _told_when_lost() -> Iterator[None]:
    """What gloo and NCCL raise, in one sentence."""
    try:
        yield
    except RuntimeError as error:
        number, count = distributed.get_rank() + 1, _count()
        raise LostProcessError(
            f"process {number} of {count} lost another process of the run, which was killed, has failed or cannot be "
            f"reached; {GO_ON}"
        ) from error
