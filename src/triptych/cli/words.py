"""What the levels say, for people who do not know what is inside."""

from triptych.system.wording import level_in_words

__all__ = ["for_and_against"]


def for_and_against(contributions: dict[str, float]) -> list[str]:
    """What speaks for a class and what against it, each level with its share of all that is said, largest first.

    >>> from triptych.cli.words import for_and_against
    >>> for_and_against({"pixel": 3.0, "part": -1.0})
    ['for it: matched patches (pixel level) 75%', 'against it: matched patterns (part level) 25%']
    """
    total = sum(map(abs, contributions.values())) or 1.0
    lines = []
    for side, sign in (("for it", 1), ("against it", -1)):
        mine = {level: abs(value) / total for level, value in contributions.items() if sign * value > 0}
        said = [f"{level_in_words(level)} {mine[level]:.0%}" for level in sorted(mine, key=lambda level: -mine[level])]
        if said:
            lines.append(f"{side}: {', '.join(said)}")
    return lines
