"""CSV files: headings in any case, spaces that do not count, and rows that are wrong named by their number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triptych.data import labelled, list_images
from triptych.data.tables import read_csv


def table(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("column", ["path", "Path", "IMAGE", " Filename "])
@pytest.mark.parametrize("label", ["label", "Label", " LABEL"])
def test_headings_are_in_any_case(tmp_path: Path, column: str, label: str) -> None:
    path = table(tmp_path, f"note,{column},{label}\nx,a.png,plum\n")
    assert read_csv(path, tmp_path) == ([tmp_path / "a.png"], ["plum"])


def test_labels_and_paths_are_stripped(tmp_path: Path) -> None:
    path = table(tmp_path, "path, label\na.png, plum\n b.png ,plum \nc.png,\tlemon\n")
    paths, labels = read_csv(path, tmp_path)
    assert [one.name for one in paths] == ["a.png", "b.png", "c.png"]
    assert labels == ["plum", "plum", "lemon"]


def test_a_row_of_spaces_lacks_a_label(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t.csv: row 2 has no path or no label"):
        read_csv(table(tmp_path, "path,label\na.png,plum\nb.png,  \n"), tmp_path)


def test_an_address_is_told_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t.csv: row 1: http://example.org/x.jpg is an address; expected a file"):
        read_csv(table(tmp_path, "path,label\nhttp://example.org/x.jpg,plum\n"), tmp_path)


def test_a_comma_in_a_label_without_quotes_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"t.csv: row 1 has more cells than there are columns; put quotes"):
        read_csv(table(tmp_path, "path,label\na.png,bee, wild\n"), tmp_path)
    assert read_csv(table(tmp_path, 'path,label\na.png,"bee, wild"\n'), tmp_path)[1] == ["bee, wild"]


def test_a_table_is_the_same_for_every_command(tmp_path: Path) -> None:
    path = table(tmp_path, "Label,Path\nplum,a.png\nlemon,b.png\n")
    photos, labels, _ = labelled(path)
    listing = list_images(path)
    assert photos == listing.photos() == [tmp_path / "a.png", tmp_path / "b.png"]
    assert labels == listing.class_names() == ["plum", "lemon"]
    assert listing.classes == ("lemon", "plum")


def test_a_giant_table_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "giant.csv"
    with path.open("wb") as file:
        file.truncate(30_000_000_000)  # of which the disk holds nothing
    with pytest.raises(ValueError, match=r"giant.csv: 30000 MB, expected a CSV file of at most 200 MB"):
        labelled(path)


def test_a_small_table_that_unpacks_to_far_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_MAX_MEGABYTES", "1")
    cell = pa.StructArray.from_arrays([pa.array([bytes(500_000)] * 9), pa.array(["x"] * 9)], names=["bytes", "path"])
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"image": cell, "label": ["a"] * 9}), path)
    assert path.stat().st_size < 600_000  # the same photo nine times is written once
    with pytest.raises(ValueError, match=r"unpacks to far more than its .* set TRIPTYCH_MAX_MEGABYTES higher"):
        labelled(path)
    monkeypatch.delenv("TRIPTYCH_MAX_MEGABYTES")
    assert len(labelled(path)[0]) == 9


@pytest.mark.parametrize(
    ("photo", "label", "rows"),
    [(bytes(50_000_000), "a", 1), (bytes(1_000_000), "a", 40), (b"x", "a" * 1_000_000, 40), (b"x", "a", 40_000)],
    ids=["one photo", "many photos", "long labels", "many rows"],
)
def test_what_is_unpacked_of_a_table_stays_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: bytes, label: str, rows: int
) -> None:
    photos = pa.array([{"bytes": photo}] * rows, pa.struct([("bytes", pa.binary())]))
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"image": photos, "label": pa.array([label] * rows)}), path, compression="zstd")
    assert path.stat().st_size < 20_000
    monkeypatch.setenv("TRIPTYCH_MAX_MEGABYTES", "1")
    pool = pa.default_memory_pool()
    del photos
    before, taken = pool.max_memory(), pool.bytes_allocated()
    with pytest.raises(ValueError, match=r"bomb.parquet: unpacks to far more than its .* set TRIPTYCH_MAX_MEGABYTES"):
        labelled(path)
    assert pool.max_memory() <= max(before, taken + 20_000_000)
