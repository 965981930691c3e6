"""Where to compute."""

import torch

__all__ = ["usable_device"]


def usable_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one, else the processor.

    Raises:
        ValueError: there is none of that name, or it cannot be used here.

    >>> from triptych.system.devices import usable_device
    >>> usable_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # which of them depends on how PyTorch was built
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"device {str(name)!r} cannot be used here ({reason}); expected cpu, cuda on a GPU, or auto"
        ) from error
