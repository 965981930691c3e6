"""Import of checkpoints published by the authors of MML, ADM and DN4."""

import re
import warnings
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, is_zipfile

import torch
from torch import Tensor

from triptych.methods import MML, MMLConfig, load_state

__all__ = ["import_checkpoint"]

# Index in the authors' nn.Sequential -> (layer, part of the layer) of Conv64F.
_CONV64F = {0: (0, 0), 1: (0, 1), 4: (1, 0), 5: (1, 1), 8: (2, 0), 9: (2, 1), 11: (3, 0), 12: (3, 1)}
_FEATURE = re.compile(r"(?:features\.){1,2}(\d+)\.(\w+)")
# Slot means of minus KL are tens to hundreds; those of minus the release's Wasserstein, hundredths.
_SMALLEST_KL = 1.0


def import_checkpoint(path: str | Path) -> MML:
    """Turn a published Conv-64F checkpoint into an MML model that gives the authors' own scores.

    The kind is read off the weights: three fusion weights are MML, two are ADM, none is DN4, of 2019 or of 2023, which
    has biases; whether MML's distribution level was trained with KL or Wasserstein shows in the magnitude of its
    running means. Checkpoints of ADM's authors that compare by KL or Wasserstein alone look like DN4 of 2019 and are
    taken for it. Only tensors and plain containers are unpickled (``weights_only=True``): a checkpoint never runs code.

    Raises:
        ValueError: the file is damaged, holds anything but weights, or is of another model.

    >>> import tempfile
    >>> import torch
    >>> from triptych.interop.published import import_checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"weights": [1, 2]}, f"{folder}/x.pth.tar")
    ...     import_checkpoint(f"{folder}/x.pth.tar")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: not a checkpoint of a known kind
    """
    state = _read(path)
    backbone = {}
    for name, value in state.items():
        if match := _FEATURE.fullmatch(name):
            layer, part = _CONV64F.get(int(match[1]), (None, None))
            backbone[f"backbone.layers.{layer}.{part}.{match[2]}"] = value
    if not backbone:
        raise ValueError(f"{path}: not a published MML, ADM or DN4 checkpoint: no 'features.*' weights")
    bias = "backbone.layers.0.0.bias" in backbone
    config, fusion = _fusion(state, "conv64f-bias" if bias else "conv64f", str(path))
    method = MML(config)
    load_state(method, {**backbone, **(fusion or _tensors(method, "fusion."))}, str(path))
    try:
        method.check()
    except ValueError as error:
        raise ValueError(f"{path}: its weights are damaged ({error}); fetch it again") from error
    return method.eval()


def _fusion(state: dict[str, Tensor], backbone: str, path: str) -> tuple[MMLConfig, dict[str, Tensor]]:
    weight = state.get("classifier.FC_layer.weight")
    if weight is None:
        return MMLConfig(backbone, levels=("pixel",), pixel_k=3), {}
    norm = {name: state.get(f"classifier.Norm_layer.{name}") for name in _NORM}
    count = weight.numel()
    if count not in {2, 3} or any(value is None for value in norm.values()):
        raise ValueError(f"{path}: {count} fusion weights; expected the 3 of MML or the 2 of ADM with Norm_layer")
    means = norm["running_mean"].flatten()  # type: ignore[union-attr]
    slots = len(means) // count
    if not slots:
        raise ValueError(f"{path}: statistics of {len(means)} values; expected one for each level and class")
    distance = "kl" if means[:slots].abs().mean() > _SMALLEST_KL else "wasserstein"  # type: ignore[index]
    config = MMLConfig(
        backbone,
        levels=("distribution", "pixel", "part")[:count],
        pixel_k=1 if count == 3 else 3,
        distance=distance,
        slots=slots,
    )
    fusion = {f"fusion.norm.{name}": value for name, value in norm.items() if value is not None}
    return config, {**fusion, "fusion.weight": weight.flatten()}


_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _read(path: str | Path) -> dict[str, Tensor]:
    try:
        _refuse_compressed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on how the pickle was written
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that was no pickle raises whatever its bytes happen to ask for
        # Without PyTorch's own words, which advise to run the file.
        raise ValueError(
            f"{path}: damaged, no checkpoint, or holds more than weights, which triptych refuses to run; "
            "expected a published .pth.tar, or a .safetensors file"
        ) from error
    if isinstance(checkpoint, dict) and (classifier := checkpoint.get("classifier_model", "DN4")) != "DN4":
        raise ValueError(
            f"{path}: its classifier_model is {classifier!r:.80}; expected DN4, or a checkpoint of MML or ADM"
        )
    state = checkpoint.get("state_dict", checkpoint.get("model")) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{path}: not a published checkpoint; expected weights under 'state_dict' or 'model'")
    return state


def _refuse_compressed(path: str | Path) -> None:
    """PyTorch stores its archives uncompressed; a compressed one can be a thousand times as large once read."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if any(member.compress_type != ZIP_STORED for member in archive.infolist()):
                raise BadZipFile


def _tensors(method: MML, prefix: str) -> dict[str, Tensor]:
    return {name: value for name, value in method.state_dict().items() if name.startswith(prefix)}
