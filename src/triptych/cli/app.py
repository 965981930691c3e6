"""The application that the commands join, and how they end."""

import errno
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych import __version__
from triptych.cli.terminal import complain, say

__all__ = ["app", "main", "resumable"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_INTERRUPTED = 130
# Commands of many small operations. GNU OpenMP's threads wait for each other by spinning, for as long as a core has to
# do something else: beside other work, such a command took five times as long. See benchmarks/LOG.md.
_SMALL = {"add", "explain", "remove"}
_SPINS = "2000"
_EMPTY = re.compile("--[^=]+=")
_OUT_OF_MEMORY = "out of memory; try fewer or smaller photos at once"
# As PyTorch's libraries say it, and the loader of libraries.
_NO_MEMORY = re.compile(r"could not create a (primitive|memory)|can't allocate memory|failed to map segment")
# What the parser finds wrong is of many kinds; typer exports one of them, and their base through it.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]


def _show_version(asked: bool) -> None:
    if asked:
        say(f"triptych {__version__}")
        raise typer.Exit


@app.callback()
def _triptych(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Few-shot image recognition that shows its evidence."""


class _Interrupted(Exception):  # noqa: N818 (it says what the user did)
    """The user has ended a command that can go on; how, the message says."""


@contextmanager
def resumable(how: str, begun: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Around the work of a command: say, where it is interrupted, how it goes on.

    Args:
        how: it goes on.
        begun: whether there is something to go on with.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if not begun():
            raise
        raise _Interrupted(how) from error


def main() -> None:
    """Run the command: 0 done, 1 could not, 2 wrong usage; one line says what is wrong."""
    warnings.showwarning = _show_warning
    if sys.argv[1:2] and sys.argv[1] in _SMALL and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # read when torch is loaded
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the encoding of the terminal lacks
    code = _run()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # who read has seen enough
        _forget_output()
        code = 1
    except OSError as error:
        _forget_output()
        if code == 0:  # else it is said already
            complain("error", _reason(error))
        code = 1
    sys.exit(code)


def _run() -> int:
    """The exit code of the command."""
    try:
        _check_start()
        code = app(sys.argv[1:] or ["--help"], prog_name="triptych", standalone_mode=False) or 0
        if code == _INTERRUPTED:
            complain("error", "interrupted")
        return code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except _UsageError as error:
        complain("error", f"{error.format_message().rstrip('.')}; see {_help_of(error)}")
        return 2
    except ValueError as error:
        complain("error", str(error))
        return 2
    except OSError as error:
        complain("error", _reason(error))
    except RuntimeError as error:
        complain("error", _OUT_OF_MEMORY if _NO_MEMORY.search(str(error)) else str(error))
    except MemoryError:
        complain("error", _OUT_OF_MEMORY)
    except ImportError as error:
        if not _NO_MEMORY.search(str(error)):
            raise
        complain("error", _OUT_OF_MEMORY)
    except _Interrupted as error:
        complain("error", f"interrupted; {error}")
        return _INTERRUPTED
    except KeyboardInterrupt:
        complain("error", "interrupted")
        return _INTERRUPTED
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":  # a library in Rust that gave up, which is no Exception
            raise
        complain("error", f"a library cannot go on ({error})")
    return 1


def _check_start() -> None:
    """Refuse what no command can be run with."""
    if any(one == "" or _EMPTY.fullmatch(one) for one in sys.argv[1:]):  # no letters would be the folder at hand
        raise ValueError("an argument is empty, as of a variable that is not set; give a value, or leave it out")
    try:
        os.getcwd()
    except FileNotFoundError as error:  # libraries would end the process
        raise RuntimeError("the folder at hand was removed; go to another one") from error


def _help_of(error: Any) -> str:
    """The command that explains the usage that an error is of."""
    if error.ctx is not None:
        return f"{error.ctx.command_path} --help"
    first = next((one for one in sys.argv[1:] if not one.startswith("-")), "")
    known = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback is not None}
    return f"triptych {first} --help" if first in known else "triptych --help"


def _reason(error: OSError) -> str:
    """What went wrong; an error that names no file is of what was printed."""
    if error.errno in (errno.ENOSPC, errno.EBADF) and error.filename is None:
        return f"the result cannot be printed ({error.strerror})"
    if error.errno == errno.EMFILE:
        return "too many open files; allow more of them, as with ulimit -n 1024"
    if error.filename is not None and error.strerror:  # Python's own words begin with a number
        return f"{error.filename}: {error.strerror}; give another path, or make that one usable"
    return str(error)


def _forget_output() -> None:
    """Let what cannot be printed go, so that Python does not try again as it ends."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *_: Any, **__: Any) -> None:
    if "PIL" not in Path(filename).parts:  # its remarks name no photo; what matters of them becomes an error
        complain("warning", str(message))
