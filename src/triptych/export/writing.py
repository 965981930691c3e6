"""A fitted recogniser to a file that other runtimes run, checked against the recogniser before it is written."""

import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch.export import ExportedProgram

from triptych.data import NamedBytes, Photo
from triptych.export.description import description
from triptych.export.forms import ExportSettings
from triptych.export.graph import INPUT, output_names, recorded, without_remarks
from triptych.export.onnx_model import onnx_bytes, onnx_model, refuse_large
from triptych.export.smaller import in_half, network_in_bytes
from triptych.recognizer import Knowledge, Recognizer
from triptych.system.extras import extra
from triptych.system.files import write_whole
from triptych.system.outputs import check_output
from triptych.system.progress import steps
from triptych.system.settings import check_kind
from triptych.system.wording import counted

__all__ = ["Exported", "export"]

_TOLERANCE = 1e-3  # in single precision, of probabilities, and of what is larger than 1 in its own measure
_CHECKED = 4  # photos
_CALIBRATION = 128  # photos by which whole numbers are calibrated
_WARNED = 32  # of these, by which a warning says what whole numbers change
_BATCH = 8

Pixels = UInt8[np.ndarray, "side side 3"]
Run = Callable[[UInt8[np.ndarray, "B side side 3"]], list[Float[np.ndarray, "B ..."]]]  # as ``output_names``


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        file: its path.
        size: in bytes.
        difference: the largest, of any probability, from the recogniser's own: for a few of its photos, their middles
            and noise, and in precision int8 for more middles.
        description: what the file says of itself; see ``triptych.export.description``.
    """

    file: str
    size: int
    difference: float
    description: dict[str, str]


def export(
    recognizer: Recognizer,
    path: str | PathLike[str],
    settings: ExportSettings | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a fitted recogniser as one model: network, levels, fusion, calibration and support.

    Args:
        recognizer: on the CPU.
        path: the file; its ending is that of the format.
        settings: format and precision; by default ONNX in single precision.
        overwrite: replace a file of the same kind.

    Raises:
        ValueError: the method cannot be exported, or the model differs from the recogniser.
        RuntimeError: the libraries of the extra are missing.
        OSError: the file cannot be written.

    >>> import numpy as np, tempfile
    >>> from triptych import Recognizer
    >>> from triptych.export import ExportSettings, export
    >>> grey = [np.full((90, 90, 3), 60 * i, np.uint8) for i in range(4)]
    >>> fitted = Recognizer("protonet-efficientnet-lite0").fit(grey, ["dark", "dark", "light", "light"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(fitted, f"{folder}/x.pt2", ExportSettings(format="torch")).description["classes"]
    '["dark", "light"]'
    """
    settings = settings or ExportSettings()
    check_kind(recognizer, Recognizer, "a fitted Recognizer")
    check_output(Path(path), settings.kind, overwrite=overwrite)
    known = recognizer.knowledge_
    if (device := next(known.method.parameters()).device.type) != "cpu":
        raise ValueError(f"the recogniser is on {device}; expected it on the CPU: Recognizer.load(FILE, device='cpu')")
    photos = _photos(known, _CALIBRATION) if settings.precision == "int8" else []
    told = description(recognizer, settings.precision)
    with steps(3) as begin:
        begin("recording the graph")
        program = recorded(known)
        begin("translating it" if settings.format == "onnx" else "packing it")
        data, run = (
            _torch_program(program, told)
            if settings.format == "torch"
            else _onnx_model(program, known, told, settings.precision, photos)
        )
        begin("comparing it with the recogniser")
        difference = _checked(known, run, settings.precision)
        change, answers = _changes(known, run, [_middle(known, one) for one in photos[:_WARNED]])
    write_whole(path, data)
    if photos:
        warnings.warn(
            f"precision int8: for the middles of {counted(len(photos[:_WARNED]), 'photo')} that it has learnt, "
            f"{counted(answers, 'answer')} changed, and a probability by up to {change:.2g}; the model does not tell "
            "unknowns. Precision fp16 changes little",
            stacklevel=2,
        )
    return Exported(str(path), len(data), max(difference, change), told)


def _onnx_model(
    program: ExportedProgram, known: Knowledge, told: Mapping[str, str], precision: str, photos: Sequence[Pixels]
) -> tuple[bytes, Run]:
    """The file, and what runs it."""
    model = onnx_model(program, known)
    if precision == "int8":
        refuse_large(model, precision)  # ONNX Runtime's tools write it before they make it smaller
        model = network_in_bytes(model, photos, known.method.name)
    data = onnx_bytes(model if precision == "32" else in_half(model), told)
    with extra("onnx", "export to ONNX needs onnxruntime, to check the model"):
        import onnxruntime
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return data, lambda images: session.run(output_names(known), {INPUT: images})


def _torch_program(program: ExportedProgram, told: Mapping[str, str]) -> tuple[bytes, Run]:
    """The file, and what runs it."""
    held = io.BytesIO()
    with without_remarks():
        torch.export.save(program, held, extra_files={"triptych.json": json.dumps(told, ensure_ascii=False)})
        held.seek(0)
        again = torch.export.load(held).module()

    @torch.no_grad()
    def run(images: UInt8[np.ndarray, "B side side 3"]) -> list[Float[np.ndarray, "B ..."]]:
        return [one.numpy() for one in again(torch.from_numpy(images))]

    return held.getvalue(), run


def _checked(known: Knowledge, run: Run, precision: str) -> float:
    """The largest difference of a probability.

    Raises:
        ValueError: the model differs from the recogniser.
    """
    differences = _differences(known, run)
    for name, (difference, most) in differences.items():
        if not np.isfinite(difference) or (precision == "32" and difference > most):
            raise ValueError(
                f"method {known.method.name!r} cannot be exported in precision {precision} "
                f"(the model's {name} differ from the recogniser's by {difference:.2g}); expected another method"
                + (" or precision 32" if precision != "32" else "")
            )
    return differences["probabilities"][0]


def _middle(known: Knowledge, photo: Pixels) -> Pixels:
    """The middle of a photo, enlarged: it was not learnt, and what was learnt answers itself, however it is rounded."""
    side = len(photo)
    edges = (side // 4, side // 4, side - side // 4, side - side // 4)
    return known.method.preprocess.pixels(Image.fromarray(photo).crop(edges))


def _changes(known: Knowledge, run: Run, photos: Sequence[Pixels]) -> tuple[float, int]:
    """The largest change of any probability of these photos, and how many answers change."""
    largest, answers = 0.0, 0
    for first in range(0, len(photos), _BATCH):
        batch = np.stack(photos[first : first + _BATCH])
        found, right = run(batch)[0], _answers(known, batch)[0]
        largest = max(largest, float(np.abs(found - right).max()))
        answers += int((found.argmax(1) != right.argmax(1)).sum())
    return largest, answers


def _differences(known: Knowledge, run: Run) -> dict[str, tuple[float, float]]:
    """The largest difference of each output, for photos together and for one alone; and the largest that is borne."""
    side = known.method.preprocess.side
    noise = np.random.default_rng(1).integers(0, 256, (_CHECKED, side, side, 3), dtype=np.uint8)
    photos = _thumbnails(known, _CHECKED)
    images = np.stack([*photos, *(_middle(known, one) for one in photos), *noise])
    together, apart = run(images), zip(run(images[:1]), run(images[1:]), strict=True)
    found = [np.stack(both) for both in zip(together, map(np.concatenate, apart), strict=True)]
    return {
        name: (float(np.abs(got - right).max()), _TOLERANCE * max(1.0, float(np.abs(right).max())))
        for name, got, right in zip(output_names(known), found, _answers(known, images), strict=True)
    }


@torch.no_grad()
def _answers(known: Knowledge, images: UInt8[np.ndarray, "B side side 3"]) -> list[Float[np.ndarray, "B ..."]]:
    """What the recogniser itself gives, as ``output_names``."""
    levels = known.compare([Photo("", one, "") for one in images])
    contributions = torch.stack(list(known.fusion.contributions(levels).values()), 1).numpy()
    scored = [] if known.learnt.calibration is None else [known.known_score(levels).numpy()]
    return [known.probabilities(known.logits(levels)), contributions, *scored]


def _photos(known: Knowledge, most: int) -> list[Pixels]:
    photos = _thumbnails(known, most)
    if not photos:
        raise ValueError(
            "precision int8 is calibrated by the thumbnails of photos, and this recogniser keeps none; fit it with "
            "thumbnails=True, or choose 32 or fp16"
        )
    return photos


def _thumbnails(known: Knowledge, most: int) -> list[Pixels]:
    """Photos that were learnt from, as far as they are kept: one of each class, then another."""
    prepared = known.method.preprocess
    deepest = max(len(one) for one in known.supports)
    kept = [
        NamedBytes(one.thumbnails[i], f"the thumbnail of {one.names[i] or 'a photo'}")
        for i in range(deepest)
        for one in known.supports
        if i < len(one) and one.thumbnails[i]
    ]
    return [prepared.pixels(one) for one in kept[:most]]
