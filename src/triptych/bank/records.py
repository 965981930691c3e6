"""What is kept of a photo as bytes in a column, and the photos of many rows at once."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from triptych.methods import Encoded

__all__ = ["from_records", "to_record"]

_LENGTH = 8  # bytes at the beginning of a safetensors file, which tell how long its header is


def to_record(encoded: Encoded) -> bytes:
    """The views of a photo as the bytes of a safetensors file."""
    return save({name: tensor.cpu().contiguous() for name, tensor in encoded.tensors.items()})


def from_records(
    column: pa.ChunkedArray, rows: Sequence[int], photos: Sequence[str], views: int, place: str
) -> Encoded:
    """The views of the photos of these rows, one photo after the other.

    All photos of a bank have tensors of the same shapes, so all records have the same header and are cut at the same
    places: none is read by itself.

    Args:
        column: of records.
        rows: which of them, at least one.
        photos: the ids of their photos, for messages.
        views: of each photo.
        place: of the bank, for messages.

    Raises:
        ValueError: a record is damaged, or unlike the others.
    """
    array = column.combine_chunks()
    first = array[rows[0]].as_py()
    example, cuts = _read(first, views, photos[0], place)
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset :]
    data = np.frombuffer(array.buffers()[2], np.uint8)
    start = min(one for one, _ in cuts.values())
    for row, photo in zip(rows, photos, strict=True):
        head = data[offsets[row] : offsets[row] + start].tobytes()
        if offsets[row + 1] - offsets[row] != len(first) or head != first[:start]:
            raise ValueError(f"{place}: the descriptors of photo {photo} are damaged; remove the photo")
    places = offsets[np.asarray(rows)]
    tensors = {}
    for name, (begin, end) in cuts.items():
        cut = np.stack([data[one + begin : one + end] for one in places])
        shape = (len(rows) * views, *example.tensors[name].shape[1:])
        tensors[name] = torch.from_numpy(cut).view(example.tensors[name].dtype).view(shape)
    return Encoded(tensors)


def _read(record: bytes, views: int, photo: str, place: str) -> tuple[Encoded, dict[str, tuple[int, int]]]:
    """What is kept of one photo, and where in its record each tensor lies."""
    try:
        encoded = Encoded(load(record))
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{place}: the descriptors of photo {photo} are damaged ({error}); remove the photo"
        ) from error
    if len(encoded) != views:
        raise ValueError(f"{place}: photo {photo} has {len(encoded)} views, expected {views}; remove the photo")
    start = _LENGTH + int.from_bytes(record[:_LENGTH], "little")
    header = json.loads(record[_LENGTH:start])
    cuts = {name: tuple(start + end for end in header[name]["data_offsets"]) for name in encoded.tensors}
    return encoded, cuts
