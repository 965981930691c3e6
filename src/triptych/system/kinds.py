"""Kinds of files that Triptych writes, and how one is told from any other file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych.system.files import is_stream

__all__ = [
    "CARD",
    "EPISODES",
    "METHOD",
    "ONNX_MODEL",
    "PAGE",
    "PICTURE",
    "RECOGNIZER",
    "RECOGNIZER_FILE",
    "RECORD",
    "TABLE",
    "TORCH_PROGRAM",
    "Kind",
]

_ENDS = 1 << 16  # bytes at the beginning and the end of a file that are searched for the mark


@dataclass(frozen=True)
class Kind:
    """A kind of file that Triptych writes, and how to tell one that it wrote from any other.

    Attributes:
        name: how messages call it.
        beginnings: ending of the name -> what such a file begins with.
        mark: what stands near the beginning or the end of those that Triptych wrote.
        streams: whether a device or a pipe can take it.

    >>> from triptych.system.kinds import PICTURE
    >>> list(PICTURE.beginnings)
    ['.png', '.svg', '.pdf', '.html']
    """

    name: str
    beginnings: Mapping[str, bytes]
    mark: bytes = b"triptych"
    streams: bool = True

    @property
    def with_article(self) -> str:
        """The name as a sentence has it.

        >>> from triptych.system.kinds import ONNX_MODEL, PAGE
        >>> ONNX_MODEL.with_article, PAGE.with_article
        ('an ONNX model', 'a page')
        """
        return f"a{'n' * (self.name[0] in 'aeioAEIO')} {self.name}"

    def ending(self, path: Path) -> str:
        """The ending of a name, in small letters; of a device, which needs none, the kind's first."""
        ending = path.suffix.lower()
        return next(iter(self.beginnings)) if ending not in self.beginnings and is_stream(path) else ending

    def wrote(self, path: Path) -> bool:
        """Whether an existing file is one that Triptych wrote, of this kind and, where that has several, ending."""
        only = next(iter(self.beginnings.values())) if len(self.beginnings) == 1 else None
        beginning = self.beginnings.get(path.suffix.lower(), only)
        if beginning is None:
            return False
        with path.open("rb") as file:
            first = file.read(_ENDS)
            file.seek(max(0, path.stat().st_size - _ENDS))
            last = file.read(_ENDS)
        return beginning in first[:64].lower() and self.mark in (first + last).lower()


_HTML = b"<!doctype html"
PAGE = Kind("page", {".html": _HTML, ".htm": _HTML})
PICTURE = Kind("picture", {".png": b"\x89png\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%pdf-", ".html": _HTML})
RECOGNIZER = Kind("recogniser", {".triptych": b'{"__metadata__":{"triptych"'})
RECOGNIZER_FILE = "a .triptych file"  # what messages expect where one is read
METHOD = Kind("method", {".safetensors": b'{"__metadata__":{"triptych"'}, b"triptych-method", False)
CARD = Kind("model card", {".md": b"---"}, b"library_name: triptych", False)
ONNX_MODEL = Kind("ONNX model", {".onnx": b"triptych"}, streams=False)
TORCH_PROGRAM = Kind("PyTorch program", {".pt2": b"pk\x03\x04"}, streams=False)
RECORD = Kind("record", {".json": b"{"})
EPISODES = Kind("file of episodes", {".json": b'{"format": "triptych-episodes"'}, b"triptych-episodes")
TABLE = Kind(  # what a killed run leaves behind must lie beside it
    "table of answers", {".csv": b"image,label", ".jsonl": b'{"image', ".parquet": b"par1"}, b"in_support", False
)
