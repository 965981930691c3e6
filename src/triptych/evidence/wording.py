"""The lead of an answer in plain words."""

from collections.abc import Mapping, Sequence

__all__ = ["lead_in_words"]

_NOTHING = 0.05  # of a lead, in logits, above which its shares are told


def lead_in_words(lead: Mapping[str, float], patch_levels: Sequence[str], runner_up: str) -> str:
    """How much of the lead over the runner-up comes from matched patches, and how much from the photo as a whole.

    >>> lead_in_words({"global": 3.0, "pixel": 1.0}, ["pixel"], "Pear")
    'Lead over Pear: 25% from matched patches, 75% from the photo as a whole.'
    >>> lead_in_words({"global": 3.0, "pixel": -1.0}, ["pixel"], "Pear")
    'Lead over Pear: all from the photo as a whole; the matched patches speak for Pear.'
    >>> lead_in_words({"global": -1.0, "pixel": 3.0}, ["pixel"], "Pear")
    'Lead over Pear: all from matched patches; the photo as a whole speaks for Pear.'
    >>> lead_in_words({"global": 0.01}, [], "Pear")
    'Hardly a lead over Pear: both are about as likely.'
    >>> lead_in_words({"global": 3.0}, [], "Pear")
    'Lead over Pear: all from the photo as a whole.'
    """
    patches = sum(value for level, value in lead.items() if level in patch_levels)
    total = sum(lead.values())
    whole = total - patches
    start = f"Lead over {runner_up}:"
    if total < _NOTHING:
        return f"Hardly a lead over {runner_up}: both are about as likely."
    if patches < 0:
        return f"{start} all from the photo as a whole; the matched patches speak for {runner_up}."
    if whole < 0:
        return f"{start} all from matched patches; the photo as a whole speaks for {runner_up}."
    if not any(level in patch_levels for level in lead):
        return f"{start} all from the photo as a whole."
    if all(level in patch_levels for level in lead):
        return f"{start} all from matched patches."
    share = round(100 * patches / total)
    return f"{start} {share}% from matched patches, {100 - share}% from the photo as a whole."
