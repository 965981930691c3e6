"""CSV files: headings in any case, spaces that do not count, and rows that are wrong named by their number."""

from pathlib import Path

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
