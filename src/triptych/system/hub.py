"""Whether the Hugging Face hub can be reached, asked once: its clients try for half a minute."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

__all__ = ["hub_or_cache"]

_PATIENCE = 2.0  # seconds; a command takes about three to start, and five are to be enough


@contextmanager
def hub_or_cache(needed: bool = True) -> Iterator[bool]:
    """Within, the hub's clients look into their cache alone, if the hub does not answer within seconds.

    Args:
        needed: false where nothing will be asked of the hub.

    Yields:
        Whether it answered.

    >>> from triptych.system.hub import hub_or_cache
    >>> with hub_or_cache(needed=False) as answered:
    ...     answered
    True
    """
    if not needed or _answers():
        yield True
        return
    import huggingface_hub.constants

    # Both libraries read their switch when they are called, and offer no other way to set it once they are imported.
    switches: list[Any] = [
        huggingface_hub.constants,
        *([sys.modules["datasets.config"]] if "datasets.config" in sys.modules else []),
    ]
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    for switch in switches:
        switch.HF_HUB_OFFLINE = True
    try:
        yield False
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = value


def _answers() -> bool:
    """Whether the hub says anything at all. In a thread, as looking up a name has no time limit of its own."""
    try:
        from huggingface_hub import constants, get_session
    except ImportError:
        return True  # who needs it says how to install it

    said: list[bool] = []

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
            said.append(True)
        except Exception:  # its client raises many kinds; all mean the same
            return

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return bool(said)
