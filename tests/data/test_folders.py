"""Folders: links are followed once, loops are seen, and what may not be read is said."""

import os
import warnings
from pathlib import Path

import pytest
from permissions import as_nobody, open_place

from triptych.data.files import check_photo, is_image
from triptych.data.folders import files_below, list_folder, split_folders, walk


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in walk(root).files]


def test_files_are_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.jpg", "a.jpg", "b/.x", ".y/1.jpg", "__MACOSX/1.jpg", "__7.jpg", "b/c/d/1.jpg")
    assert names(tmp_path) == ["__7.jpg", "a.jpg", "b/2.jpg", "b/c/d/1.jpg"]
    assert walk(tmp_path).unread == ()


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.jpg", "elsewhere/deep/2.jpg", "photos/0.jpg")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "photos") == ["0.jpg", "more/1.jpg", "more/deep/2.jpg"]


def test_a_folder_that_several_ways_lead_to_is_listed_once_by_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "z/1.jpg")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "b").symlink_to("a")
    assert names(tmp_path) == ["z/1.jpg"]
    assert walk(tmp_path).unread == ()


def test_a_loop_ends_and_loses_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(".")
    assert names(tmp_path) == ["a/1.jpg"]
    assert walk(tmp_path).unread == ()


def test_a_link_to_a_folder_above_is_said_and_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "plum/1.jpg", "lemon/1.jpg")
    (tmp_path / "plum" / "up").symlink_to("..")
    found = walk(tmp_path / "plum")
    assert [path.name for path in found.files] == ["1.jpg"]
    assert found.unread == (f"{tmp_path / 'plum' / 'up'}: leads back to a folder above it",)
    with pytest.warns(UserWarning, match=r"left out 1 of its entries, which cannot be read: .*up: leads back"):
        assert list_folder(tmp_path).class_names() == ["lemon", "plum"]


def test_what_leads_nowhere_and_what_is_no_file_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    (tmp_path / "2.jpg").symlink_to("gone.jpg")
    (tmp_path / "3.jpg").symlink_to("3.jpg")
    os.mkfifo(tmp_path / "4.jpg")
    with pytest.warns(UserWarning, match="left out 3 of its entries, which cannot be read") as caught:
        assert files_below(tmp_path) == [tmp_path / "1.jpg"]
    told = str(caught[0].message)
    assert "2.jpg: a link that leads nowhere" in told
    assert "4.jpg: no plain file" in told


def test_a_whole_folder_is_no_news(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(files_below(touch(tmp_path, "a/1.jpg"))) == 1


def test_a_class_folder_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "photos/plum/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "photos" / "lemon").symlink_to(tmp_path / "elsewhere")
    assert list_folder(tmp_path / "photos").class_names() == ["lemon", "plum"]


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "val"], {"train": "train", "val": "val"}),
        (["Train", "Validation", "Test"], {"train": "Train", "val": "Validation", "test": "Test"}),
        (["train", "dev", "notes"], {"train": "train", "val": "dev"}),
        (["train"], {"train": "train"}),
        (["train", "bus", "car"], {}),
        (["plum", "lemon"], {}),
        ([], {}),
    ],
    ids=str,
)
def test_splits_are_recognised(tmp_path: Path, folders: list[str], splits: dict[str, str]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    assert {split: path.name for split, path in split_folders(tmp_path).items()} == splits


def test_what_may_not_be_read_is_said_and_no_class_is_called_empty() -> None:
    with open_place() as root:
        touch(root, "plum/1.jpg", "lemon/1.jpg", "lemon/deep/2.jpg", "locked/1.jpg")
        for path in root.rglob("*"):
            path.chmod(0o755)
        (root / "locked").chmod(0)
        with as_nobody():
            assert [path.name for path in walk(root).files] == ["1.jpg", "2.jpg", "1.jpg"]
            assert walk(root).unread == (f"{root / 'locked'}: Permission denied",)
            for to_learn in (True, False):
                with pytest.raises(
                    ValueError, match=r"class folders that cannot be read: locked \(.*Permission denied"
                ):
                    list_folder(root, to_learn)
            with pytest.raises(ValueError, match=r"locked: cannot be read \(Permission denied\)"):
                list_folder(root / "locked")
            with pytest.warns(UserWarning, match="left out 1 of its entries, which cannot be read"):
                assert len(files_below(root)) == 3


def test_a_locked_folder_below_a_class_is_said() -> None:
    with open_place() as root:
        touch(root, "plum/1.jpg", "lemon/1.jpg", "lemon/deep/2.jpg")
        for path in root.rglob("*"):
            path.chmod(0o755)
        (root / "lemon" / "deep").chmod(0)
        with as_nobody(), pytest.warns(UserWarning, match=r"left out 1 of its entries.*deep: Permission denied"):
            assert list_folder(root, to_learn=True).class_names() == ["lemon", "plum"]


def test_a_path_that_leads_up_and_down_again_is_not_above_itself(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1.jpg").touch()
    found = walk(tmp_path / "new" / ".." / "new")
    assert ([path.name for path in found.files], found.unread) == (["1.jpg"], ())
    (tmp_path / "new" / "back").symlink_to(tmp_path)
    assert "leads back to a folder above it" in walk(tmp_path / "new" / ".." / "new").unread[0]


@pytest.mark.parametrize("folders", [["train", "training"], ["train", "dev", "val"], ["dev", "valid", "plum"]], ids=str)
def test_two_folders_of_one_split_are_refused(tmp_path: Path, folders: list[str]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"\w+/ and \w+/ are both the split \w+; keep one"):
        split_folders(tmp_path)


def test_a_link_to_a_class_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "c").symlink_to(tmp_path / "gone")
    with pytest.warns(
        UserWarning, match="left out 1 of its entries, which cannot be read: .*c: a link that leads nowhere"
    ):
        assert list_folder(tmp_path).classes == ("a", "b")


def test_tables_without_their_images_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "val.csv")
    with pytest.raises(ValueError, match="its tables are of a folder images/, which is missing"):
        list_folder(tmp_path)


def test_the_folder_above_a_data_set_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "above/cifar/apple/1.jpg", "above/cifar/bear/1.jpg")
    with pytest.warns(UserWarning, match="cifar is one class; name it if its sub-folders are the classes"):
        assert list_folder(tmp_path / "above").classes == ("cifar",)
    assert list_folder(tmp_path / "above" / "cifar").classes == ("apple", "bear")


def test_a_folder_is_named_by_a_text_too(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    assert list_folder(str(tmp_path)).classes == ("a", "b")
    assert walk(str(tmp_path)) == walk(tmp_path)
    for ask in (walk, list_folder, is_image, check_photo):
        with pytest.raises(ValueError, match="expected a path, got int: 0"):
            ask(0)  # type: ignore[arg-type]
