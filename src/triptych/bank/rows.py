"""A photo as a row of a table, and classes from rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from triptych.methods import Encoded, Method
from triptych.support import Support, summarised

__all__ = ["Row", "rows_of", "schema", "supports_of", "to_table"]


@dataclass(frozen=True)
class Row:
    """One photo.

    Attributes:
        label: of its class, as text.
        id: its own.
        name: of its file.
        vector: (D,) by which it is found.
        encoded: what is kept of its views.
        thumbnail: a small JPEG, or b"".
    """

    label: str
    id: str
    name: str
    vector: Float[Tensor, " D"]
    encoded: Encoded
    thumbnail: bytes


def schema(size: int) -> pa.Schema:
    """Of a table of photos whose vectors have so many entries."""
    return pa.schema(
        [
            ("label", pa.string()),
            ("id", pa.string()),
            ("name", pa.string()),
            ("vector", pa.list_(pa.float32(), size)),
            ("descriptors", pa.large_binary()),
            ("thumbnail", pa.large_binary()),
        ]
    )


def rows_of(label: str, support: Support, vectors: Mapping[int, Tensor], photos: Iterable[int]) -> list[Row]:
    """These photos of a class, each with its vector."""
    views = support.views
    return [
        Row(
            label,
            support.ids[i],
            support.names[i],
            vectors[i],
            support.encoded[i * views : (i + 1) * views],
            support.thumbnails[i],
        )
        for i in photos
    ]


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as Arrow has them."""
    vectors = torch.stack([row.vector for row in rows]).float().cpu().contiguous()
    columns = [
        pa.array([row.label for row in rows], pa.string()),
        pa.array([row.id for row in rows], pa.string()),
        pa.array([row.name.encode(errors="backslashreplace").decode() for row in rows], pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.numpy().ravel()), vectors.shape[1]),
        pa.array([_to_bytes(row.encoded) for row in rows], pa.large_binary()),
        pa.array([row.thumbnail for row in rows], pa.large_binary()),
    ]
    return pa.Table.from_arrays(columns, schema=schema(vectors.shape[1]))


@torch.no_grad()
def supports_of(
    method: Method, table: pa.Table, views: int, place: str, without_last: bool = False
) -> dict[str, Support]:
    """The classes of rows, photos in the order of their ids; a photo that lies there twice counts once.

    Args:
        method: whose descriptors these are.
        table: the rows.
        views: of each photo.
        place: of the bank, for messages.
        without_last: leave out the last photo of each class that has several.

    Raises:
        ValueError: the descriptors of a photo are damaged.
    """
    columns = table.select(["label", "id", "name", "descriptors", "thumbnail"]).to_pydict()
    classes: dict[str, dict[str, tuple[str, bytes, bytes]]] = {}
    for label, photo, name, data, small in zip(*columns.values(), strict=True):
        classes.setdefault(label, {})[photo] = (name, data, small)
    found = {}
    for label, photos in classes.items():
        kept = sorted(photos.items())
        kept = kept[:-1] if without_last and len(kept) > 1 else kept
        found[label] = _support(method, kept, views, place)
    return found


def _support(method: Method, photos: Sequence[tuple[str, tuple[str, bytes, bytes]]], views: int, place: str) -> Support:
    device = next(method.parameters()).device
    encoded = Encoded.join([_from_bytes(data, views, photo, place) for photo, (_, data, _) in photos])
    encoded = encoded.each(lambda tensor: tensor.to(device))
    return Support(
        encoded=encoded,
        views=views,
        ids=tuple(photo for photo, _ in photos),
        names=tuple(name for _, (name, _, _) in photos),
        thumbnails=tuple(small for _, (_, _, small) in photos),
        summary=summarised(method, encoded, views),
    )


def _to_bytes(encoded: Encoded) -> bytes:
    return save({name: tensor.cpu().contiguous() for name, tensor in encoded.tensors.items()})


def _from_bytes(data: bytes, views: int, photo: str, place: str) -> Encoded:
    try:
        encoded = Encoded(load(data))
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{place}: the descriptors of photo {photo} are damaged ({error}); remove the photo"
        ) from error
    if len(encoded) != views:
        raise ValueError(f"{place}: photo {photo} has {len(encoded)} views, expected {views}; remove the photo")
    return encoded
