"""A photo as a row of a table, and classes from rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from triptych.bank.records import from_records, to_record
from triptych.methods import Encoded, Method, Summary
from triptych.support import Support
from triptych.system.batches import in_batches

__all__ = ["Row", "rows_of", "schema", "supports_of", "to_table"]

_TOGETHER = 16  # classes that are restored at once, so few that their memory is reused
_AS_IT_IS = {"lance-encoding:compression": "none"}  # half the bytes would take three times as long to read


@dataclass(frozen=True)
class Row:
    """One photo.

    Attributes:
        label: of its class, as text.
        id: its own.
        name: of its file.
        vector: (D,) by which it is found.
        encoded: its views, as ``Method.keep_compared`` gives them.
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
            pa.field("descriptors", pa.large_binary(), metadata=_AS_IT_IS),
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
        pa.array([to_record(row.encoded) for row in rows], pa.large_binary()),
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
    classes = _classes(table, without_last)
    if not classes:
        return {}
    rows = [row for photos in classes.values() for row in photos.values()]
    ids = [photo for photos in classes.values() for photo in photos]
    encoded = from_records(table["descriptors"], rows, ids, views, place)
    encoded = encoded.each(lambda tensor: tensor.to(next(method.parameters()).device))
    counts = [len(photos) * views for photos in classes.values()]
    parts = encoded.split(counts)
    summaries = [one for some in in_batches(parts, _TOGETHER) for one in _summaries(method, some, views)]
    names, thumbnails = table["name"].to_pylist(), table["thumbnail"].to_pylist()
    return {
        label: Support(
            encoded=kept,
            views=views,
            ids=tuple(photos),
            names=tuple(names[row] for row in photos.values()),
            thumbnails=tuple(thumbnails[row] for row in photos.values()),
            summary=summary,
        )
        for (label, photos), kept, summary in zip(classes.items(), parts, summaries, strict=True)
    }


def _summaries(method: Method, classes: Sequence[Encoded], views: int) -> list[Summary]:
    restored = method.restore(Encoded.join(classes))
    return [method.summarise(one, views) for one in restored.split([len(kept) for kept in classes])]


def _classes(table: pa.Table, without_last: bool) -> dict[str, dict[str, int]]:
    """label -> id of each of its photos, in their order -> its row."""
    found: dict[str, dict[str, int]] = {}
    for row, (label, photo) in enumerate(zip(table["label"].to_pylist(), table["id"].to_pylist(), strict=True)):
        found.setdefault(label, {})[photo] = row
    classes = {}
    for label, photos in found.items():
        kept = sorted(photos.items())
        classes[label] = dict(kept[:-1] if without_last and len(kept) > 1 else kept)
    return classes
