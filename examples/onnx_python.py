"""Recognise photos with an exported model, without Triptych and without PyTorch.

    pip install onnxruntime numpy pillow
    triptych export shelf.triptych -o shelf.onnx     # once, where Triptych is
    python onnx_python.py shelf.onnx photo.jpg ...

The model holds everything but the resize: network, levels, fusion, calibration, and what was learnt of the photos.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FALSE_ALARMS = "0.05"  # the share of photos of known classes that may be called unknown


def pixels(path: Path, side: int, fit: str, interpolation: str) -> np.ndarray:
    """A photo as the model takes it: (side, side, 3), uint8, RGB, upright."""
    with Image.open(path) as image:
        if image.format == "JPEG":
            image.draft(None, (4 * side, 4 * side))  # a large photo is decoded at a reduced scale, as Triptych does
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright.convert("RGBA"))
        if upright.mode.startswith("I"):  # 16 bits; Pillow's own conversion clips instead of scaling
            upright = Image.fromarray(np.clip(np.asarray(upright) / 257, 0, 255).round().astype(np.uint8))
        upright = upright.convert("RGB")
    if fit == "crop":  # the short side becomes ``side``, and the square in the middle is taken
        short = min(upright.size)
        size = (side * upright.size[0] // short, side * upright.size[1] // short)
    else:  # squash: whatever the aspect ratio
        size = (side, side)
    # Pillow's resize averages over what is scaled down. OpenCV's and most others do not: answers get worse with them.
    scaled = upright if upright.size == size else upright.resize(size, Image.Resampling[interpolation.upper()])
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return np.asarray(scaled.crop((left, top, left + side, top + side)))


def model_of(path: Path) -> tuple[onnxruntime.InferenceSession, dict[str, str]]:
    """The model, and what it says of itself."""
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        told = session.get_modelmeta().custom_metadata_map
        return session, {name: told[name] for name in ("classes", "unknown", "preprocessing")}
    except Exception as error:  # ONNX Runtime's own errors have no common class
        refuse(path, "not a model that triptych export wrote", error)


def refuse(path: Path, otherwise: str, error: Exception) -> NoReturn:
    """Say in one line what is wrong with a file, and end."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else otherwise
    sys.exit(f"error: {path}: {why}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    given = parser.parse_args()
    session, told = model_of(given.model)
    classes, thresholds = json.loads(told["classes"]), json.loads(told["unknown"])
    prepared = json.loads(told["preprocessing"])
    for path in given.photos:
        try:
            image = pixels(path, **prepared)[None]  # a batch of one; more photos may come at once
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # as Pillow raises them
            refuse(path, "not a photo that Pillow reads", error)
        outputs = [one.name for one in session.get_outputs()]
        found = dict(zip(outputs, session.run(None, {"images": image}), strict=True))
        best = int(found["probabilities"][0].argmax())
        label, probability = classes[best], found["probabilities"][0, best]
        if thresholds and found["known_score"][0] < thresholds[FALSE_ALARMS]:
            label = f"none of these (the nearest is {label})"
        print(f"{path}: {label} ({probability:.1%})")


if __name__ == "__main__":
    main()
