"""Where to compute. Without torch, a name that is none of a device is told."""

import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["check_device_name", "usable_device"]

_NAME = re.compile(r"auto|cpu(:0)?|cuda(:\d{1,3})?|mps(:0)?")


def check_device_name(name: Any) -> None:
    """Refuse what is the name of no device, before torch is loaded.

    Raises:
        ValueError: it is none.

    >>> from triptych.system.devices import check_device_name
    >>> check_device_name("gpu")
    Traceback (most recent call last):
    ValueError: device gpu: expected auto, cpu or cuda
    """
    mps = sys.platform == "darwin"
    if not _NAME.fullmatch(str(name)) or (str(name).startswith("mps") and not mps):
        raise ValueError(f"device {name}: expected auto, cpu{', cuda or mps' if mps else ' or cuda'}")


def usable_device(name: "str | torch.device") -> "torch.device":
    """The device of that name; "auto" is a GPU where there is one, else the processor.

    Raises:
        ValueError: there is none of that name, or it cannot be used here.

    >>> from triptych.system.devices import usable_device
    >>> usable_device("cpu")
    device(type='cpu')
    """
    check_device_name(name)
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device, gpus = torch.device(name), torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ValueError(
            f"device {name}: PyTorch finds {gpus or 'no'} GPU{'s'[: gpus != 1]} here; expected auto or cpu"
        )
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # such as a driver that is too old
        raise ValueError(f"device {name}: PyTorch cannot use it here; expected auto or cpu") from error
