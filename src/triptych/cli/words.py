"""What the levels say, for people who do not know what is inside."""

from triptych.system.wording import level_in_words

__all__ = ["for_and_against"]


def for_and_against(contributions: dict[str, float]) -> list[str]:
    """What speaks for a class and what against it: each level with what it adds to the logit, the most first.

    >>> from triptych.cli.words import for_and_against
    >>> for_and_against({"pixel": 3.0, "part": -1.0})
    ['for it: matched patches (pixel level) +3.00', 'against it: matched patterns (part level) -1.00']
    """
    lines = []
    for side, sign in (("for it", 1), ("against it", -1)):
        mine = {level: value for level, value in contributions.items() if sign * value > 0}
        said = [f"{level_in_words(level)} {value:+.2f}" for level, value in sorted(mine.items(), key=_size)]
        if said:
            lines.append(f"{side}: {', '.join(said)}")
    return lines


def _size(item: tuple[str, float]) -> float:
    return -abs(item[1])
