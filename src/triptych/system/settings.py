"""Settings that check themselves: each field of a dataclass says what it is for and what it may be.

``epochs: int = setting(14, "Passes over the train split.", whole(1))`` is a field with its default, the help of the
command's option, and its check; ``check_settings`` in ``__post_init__`` checks all fields of a dataclass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

__all__ = [
    "DEVICE_HELP",
    "FLAG",
    "LARGEST_SEED",
    "NAME",
    "Check",
    "check_kind",
    "check_settings",
    "each",
    "number",
    "one_of",
    "optional",
    "setting",
    "some_of",
    "whole",
]

DEVICE_HELP = "Where to compute: cpu, cuda, or auto for a GPU where there is one."
LARGEST_SEED = 2**64 - 1  # what PyTorch's generators take


@dataclass(frozen=True)
class Check:
    """What a setting may be.

    Attributes:
        expected: in words.
        holds: whether a value is that.
        member: of a tuple, what each member may be.
        given: of what may be None, what it is otherwise.
    """

    expected: str
    holds: Callable[[Any], bool]
    member: "Check | None" = None
    given: "Check | None" = None

    def ask(self, name: str, value: Any) -> None:
        """Refuse a value, in one line, if it is not that.

        Raises:
            ValueError: what was expected and what came.
        """
        if not self.holds(value):
            raise ValueError(f"{name} must be {self.expected}, got {value!r:.80}")


FLAG = Check("True or False", lambda value: isinstance(value, bool))
NAME = Check("a name", lambda value: isinstance(value, str) and value.strip() != "")


def setting(default: Any, help: str, check: Check, option: str | None = None) -> Any:
    """A field of a settings dataclass.

    Args:
        default: its default.
        help: what it is for: the help of the command's option.
        check: what it may be.
        option: what the command calls it, where that is not the field's name.
    """
    return field(default=default, metadata={"help": help, "check": check, "option": option})


def check_settings(settings: Any) -> None:
    """Check every field of a settings dataclass.

    Raises:
        ValueError: one is not what it may be; the message says what was expected and what came.

    >>> from dataclasses import dataclass
    >>> from triptych.system.settings import check_settings, setting, whole
    >>> @dataclass(frozen=True)
    ... class Settings:
    ...     way: int = setting(5, "Classes in an episode.", whole(2))
    >>> check_settings(Settings(way=1))
    Traceback (most recent call last):
    ValueError: way must be a whole number of at least 2, got 1
    """
    for one in fields(settings):
        one.metadata["check"].ask(one.name, getattr(settings, one.name))


def check_kind(value: Any, kind: type, expected: str) -> None:
    """Refuse what a caller gave in place of an object of ours, where no path or number is expected.

    Raises:
        ValueError: it is of another type; the message says what was expected, as ``expected`` has it.

    >>> from triptych.system.settings import check_kind
    >>> check_kind(None, int, "a number")
    Traceback (most recent call last):
    ValueError: expected a number, got NoneType
    """
    if not isinstance(value, kind):
        raise ValueError(f"expected {expected}, got {type(value).__name__}")


def whole(least: int, most: int | None = None) -> Check:
    """A whole number.

    >>> from triptych.system.settings import whole
    >>> [whole(0, 3).holds(value) for value in (0, 3, 4, 1.0, True)]
    [True, True, False, False, False]
    """
    words = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    return Check(words, lambda value: _is_whole(value) and least <= value and (most is None or value <= most))


def number(least: float, most: float = math.inf, above: bool = False) -> Check:
    """A finite number; ``above`` leaves the least one out.

    >>> from triptych.system.settings import number
    >>> [number(0, 1).holds(value) for value in (0, 0.5, float("nan"), float("inf"), "0.5", 10**400)]
    [True, True, False, False, False, False]
    >>> number(0, 1, above=True).expected
    'a number above 0 and at most 1'
    >>> number(0).expected
    'a number of at least 0'
    """
    if most == math.inf:
        words = f"a number above {least:g}" if above else f"a number of at least {least:g}"
    else:
        words = f"a number above {least:g} and at most {most:g}" if above else f"a number from {least:g} to {most:g}"
    return Check(
        words, lambda value: _is_number(value) and (least < value if above else least <= value) and value <= most
    )


def one_of(*names: str) -> Check:
    """One of some words."""
    return Check(f"one of {', '.join(names)}", lambda value: value in names)


def some_of(*names: str) -> Check:
    """A tuple of some words, each once.

    >>> from triptych.system.settings import some_of
    >>> [some_of("pixel", "part").holds(value) for value in (("part",), (), ("part", "part"), ("smell",), "part")]
    [True, False, False, False, False]
    """
    return Check(
        f"some of {', '.join(names)}, each once",
        lambda values: (
            isinstance(values, tuple | list)
            and all(value in names for value in values)
            and 0 < len(values) == len(set(values))
        ),
    )


def optional(check: Check) -> Check:
    """None, or what another check asks for."""
    return Check(f"{check.expected}, or None", lambda value: value is None or check.holds(value), given=check)


def each(check: Check, fewest: int = 0, most: int | None = None) -> Check:
    """A tuple of what another check asks for.

    >>> from triptych.system.settings import each, whole
    >>> [each(whole(1), fewest=1).holds(value) for value in ((1, 5), (), (0,), 1)]
    [True, False, False, False]
    """
    amount = f"{fewest}" if fewest == most else f"{fewest} or more"
    return Check(
        f"a tuple of {amount}, each {check.expected}",
        lambda values: (
            isinstance(values, tuple)
            and fewest <= len(values)
            and (most is None or len(values) <= most)
            and all(map(check.holds, values))
        ),
        check,
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number above all floating-point numbers
        return False
