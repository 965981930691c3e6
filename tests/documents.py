"""What documents show: the text between fences."""

import re
from pathlib import Path

__all__ = ["snippets"]


def snippets(document: Path) -> list[tuple[str, str]]:
    """(language, text) of each, in order; those of the shell have no language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
