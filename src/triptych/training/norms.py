"""BatchNorm over a batch that several processes share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.training.ranks import gather

__all__ = ["SharedBatchNorm2d", "share_norms"]


class SharedBatchNorm2d(nn.BatchNorm2d):
    r"""BatchNorm by the mean and the variance of all processes' images, of which each has equally many.

    .. math:: \mu = \frac{1}{R} \sum_r \mu_r, \qquad v = \frac{1}{R} \sum_r \left( v_r + (\mu_r - \mu)^2 \right)

    with the mean :math:`\mu_r` and the variance v_r of each channel over the images of process r, of R.

    PyTorch's own ``SyncBatchNorm`` computes on GPUs alone. This one computes anywhere, and is what the tests see.
    """

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if not self.training:
            return super().forward(input)
        x = input.float() if input.dtype in {torch.float16, torch.bfloat16} else input
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        means, variances = gather(torch.stack([mean, variance])).unbind(1)  # (R, C) each
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._follow(mean.detach(), variance.detach(), count=len(means) * x.numel() // x.shape[1])
        scale = (variance + self.eps).rsqrt() * self.weight
        shift = self.bias - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var), self.momentum)


def share_norms(network: nn.Module) -> None:
    """Put ``SharedBatchNorm2d`` in the place of each BatchNorm2d of a network; its tensors stay the same objects.

    Raises:
        ValueError: a BatchNorm2d of another kind.
    """
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, _shared(child))


def _shared(norm: nn.BatchNorm2d) -> SharedBatchNorm2d:
    plain = type(norm) is nn.BatchNorm2d and norm.affine and norm.track_running_stats
    if not plain or norm.momentum is None:
        raise ValueError(
            f"{norm}: expected a BatchNorm2d with weights, running statistics and a momentum; train with one process"
        )
    shared = SharedBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    shared.weight, shared.bias = norm.weight, norm.bias
    shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
    shared.num_batches_tracked = norm.num_batches_tracked
    return shared.train(norm.training)
