"""What commands print. Labels and file names may hold anything; nothing but text reaches the terminal."""

import json
import re
import sys
from contextlib import suppress
from typing import Any

__all__ = ["complain", "json_text", "print_json", "printable", "say"]

# Control characters move the cursor, colour or retitle the terminal; marks of direction reorder what is read; a lone
# surrogate is a byte of a file name that is no text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ITEM = re.compile(r"\n {2}(?=\S)")  # as triptych.system.wording.in_lines writes it
_BREAK = re.compile(r"\s*\n\s*")


def say(line: str) -> None:
    """Print one line of a result on stdout."""
    print(printable(line))


def complain(kind: str, message: str) -> None:
    """Say on stderr what is wrong: in one line, and below it a line for each thing that it lists.

    Where stderr is closed or full, nothing is said: the exit code still tells, and stdout belongs to the result.
    """
    lines = [printable(_BREAK.sub(" ", line.strip())) for line in _ITEM.split(message.strip())]
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"{kind}: " + "\n  ".join(lines), file=sys.stderr, flush=True)


def print_json(result: Any) -> None:
    """Print one JSON document on stdout."""
    print(json_text(result))


def json_text(result: Any) -> str:
    r"""One JSON document, in which what is no text is written as JSON's own escape.

    >>> from triptych.cli.terminal import json_text
    >>> json_text("\x9b2Jplüm")
    '"\\u009b2Jplüm"'
    """
    lines = json.dumps(result, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line) for line in lines)


def printable(text: str) -> str:
    r"""Text in which what is no text is written as an escape.

    >>> from triptych.cli.terminal import printable
    >>> printable("\x1b[2Jpl\udcfcm")
    '\\x1b[2Jpl\\udcfcm'
    """
    return _UNSAFE.sub(lambda found: _code(found[0]), text)


def _code(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"
