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
    >>> usable_device("gpu")
    Traceback (most recent call last):
    ValueError: device gpu: expected auto, cpu or cuda
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device, mps = _parsed(name), torch.backends.mps.is_available()
    if device is None or device.type not in ("cpu", "cuda", *(["mps"] if mps else [])):
        raise ValueError(f"device {name}: expected auto, cpu{', cuda or mps' if mps else ' or cuda'}")
    gpus = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ValueError(
            f"device {name}: PyTorch finds {gpus or 'no'} GPU{'s'[: gpus != 1]} here; expected auto or cpu"
        )
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # such as a driver that is too old
        raise ValueError(f"device {name}: PyTorch cannot use it here; expected auto or cpu") from error


def _parsed(name: str | torch.device) -> torch.device | None:
    """The device of a name; None for no name of one, and for a processor but the first."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        return None
    return None if device.type == "cpu" and device.index else device
