"""Whether a method can be had at all, told before anything is loaded."""

import os
from os import PathLike

from triptych.system.files import as_path
from triptych.system.hub import check_reachable, file_kept

__all__ = ["BEST", "HUB", "METHOD_FILE", "check_backbone", "check_method", "unreachable_backbone"]

HUB = "hf:"
BEST = "best.safetensors"  # of a run's folder: the weights that did best on the validation split
METHOD_FILE = "method.safetensors"  # of a folder, or a repository, that was pushed to


def check_method(name: str | PathLike[str]) -> None:
    """Refuse a method that is in no such file, and one of the hub that cannot be had.

    What could be a registered name passes: only the registry, which is loaded later, knows them.

    Raises:
        ValueError: no such file or folder.
        OSError: the hub cannot be reached, and its cache does not hold the method.

    >>> from triptych.interop import check_method
    >>> check_method("mml-conv64f")
    >>> check_method("fruit.safetensors")
    Traceback (most recent call last):
    ValueError: fruit.safetensors: no such file or folder; expected a name that triptych methods lists, ...
    """
    text, path = str(name), as_path(name)
    if text.startswith(HUB):
        repository = text.removeprefix(HUB)
        told = f"{text}: not in the hub's cache, and the Hugging Face hub cannot be reached; try again"
        return check_reachable(file_kept(repository, METHOD_FILE), told)
    if (len(path.parts) > 1 or path.suffix) and not os.path.exists(path):
        raise ValueError(
            f"{name}: no such file or folder; expected a name that triptych methods lists, a .safetensors file, a "
            "run's folder, hf:OWNER/NAME, or a published .pth.tar checkpoint; a model of transformers is a backbone"
        )
    return None


def check_backbone(name: str | PathLike[str]) -> None:
    """Refuse a model of the transformers library that is no folder, not in the hub's cache, and not to be had.

    Raises:
        ValueError: not the name of a model or a folder.
        OSError: the hub cannot be reached.

    >>> from triptych.interop import check_backbone
    >>> check_backbone(5)
    Traceback (most recent call last):
    ValueError: expected the name of a model or a folder, got int: 5
    """
    if not isinstance(name, str | PathLike):
        raise ValueError(f"expected the name of a model or a folder, got {type(name).__name__}: {name!r:.80}")
    if not os.path.isdir(name):
        check_reachable(file_kept(str(name), "config.json"), unreachable_backbone(str(name)))


def unreachable_backbone(name: str) -> str:
    """What to do without the hub."""
    return (
        f"{name}: no such folder, and the Hugging Face hub cannot be reached; download the model where it can be "
        f"(hf download {name} --local-dir FOLDER) and give that folder"
    )
