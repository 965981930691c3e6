"""Files of tensors are read back; what is none, or too large, is refused before it is read."""

import pytest

from triptych.system.files import write_whole
from triptych.system.packed import pack, read_packed, unpack


def giant(path, beginning):
    """A file whose size is above any memory, and of which the disk holds the beginning alone."""
    with path.open("wb") as file:
        file.write(beginning)
        file.truncate(30_000_000_000)
    return path


def header(end):
    text = (
        b'{"__metadata__":{"triptych":"{\\"format\\":\\"x\\"}"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,%d]}}'
        % end
    )
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("beginning", "told"),
    [
        (b"", "truncated, damaged or not a x file"),
        (b"\xff" * 8, "truncated, damaged or not a x file"),
        ((90_000_000).to_bytes(8, "little"), "truncated, damaged or not a x file"),
        (header(1), "truncated, damaged or not a x file"),
        (header(30_000_000_000 - len(header(29_999_999_000))), "more than half of the memory"),
    ],
    ids=["zeros", "endless header", "header of zeros", "longer than it says", "as long as it says"],
)
def test_a_giant_file_is_refused_before_it_is_read(tmp_path, beginning, told):
    with pytest.raises(ValueError, match=f"giant: .*{told}"):
        read_packed(giant(tmp_path / "giant", beginning), "x")


def test_what_is_packed_is_read(tmp_path):
    write_whole(tmp_path / "result", pack({}, "x", 1, {"more": 2}))
    assert unpack(read_packed(tmp_path / "result", "x"), "x", 1, "result")[1]["more"] == 2
    with pytest.raises(ValueError, match="result: not a y file"):
        read_packed(tmp_path / "result", "y")


def test_numbers_of_an_unknown_type_are_damage():
    text = b'{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
    with pytest.raises(ValueError, match="m: truncated, damaged"):
        unpack(len(text).to_bytes(8, "little") + text + b"0", "x", 1, "m")
