"""Data sets of the Hugging Face hub (extra: ``pip install 'triptych[hub]'``)."""

from collections.abc import Mapping

import numpy as np

from triptych.data.listing import Listing

__all__ = ["list_hub"]


def list_hub(name: str, split: str | None, spellings: Mapping[str, tuple[str, ...]]) -> Listing:
    """List a split of a hub data set, or of a local directory that ``datasets.load_dataset`` reads.

    Raises:
        ValueError: the ``datasets`` library, the data set, the split, or its image and label columns are missing.
    """
    try:
        import datasets
    except ImportError as error:
        raise ValueError("hf: data needs the datasets library: pip install 'triptych[hub]'") from error
    try:
        available = datasets.load_dataset(name)
    except Exception as error:  # the hub's client raises many kinds
        raise ValueError(f"hf:{name}: cannot be loaded ({type(error).__name__}: {error})") from error
    chosen = next((s for s in spellings[split or "test"] if s in available), None)
    if chosen is None:
        raise ValueError(f"hf:{name}: no split {split or 'test'!r}; it has {', '.join(available)}")
    table = available[chosen]
    image = _column(table, datasets.Image, name)
    label = _column(table, datasets.ClassLabel, name)
    rows = table.cast_column(image, datasets.Image(decode=False))
    values = np.asarray([-1 if value is None else value for value in rows[label]], dtype=np.int64)
    if len(values) == 0 or values.min() < 0:  # -1 is the hub's custom for a held-back label
        raise ValueError(f"hf:{name}: the split {chosen!r} has no labels; choose another split")
    present, labels = np.unique(values, return_inverse=True)
    return Listing(
        sources=[_encoded(cell) for cell in rows[image]],
        names=[f"hf:{name} {chosen}:{row}" for row in range(len(values))],
        labels=labels.astype(np.int64),
        classes=tuple(table.features[label].names[value] for value in present),
    )


def _column(table: "datasets.Dataset", kind: type, name: str) -> str:
    for column, feature in table.features.items():
        if isinstance(feature, kind):
            return column
    raise ValueError(
        f"hf:{name}: no {kind.__name__} column among {', '.join(table.features)}; expected an image and a label"
    )


def _encoded(cell: Mapping[str, object]) -> bytes:
    if isinstance(cell["bytes"], bytes):
        return cell["bytes"]
    with open(str(cell["path"]), "rb") as file:
        return file.read()
