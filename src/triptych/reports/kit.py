"""Template and plain data in, one HTML page out that needs no other file, runs no code and asks for nothing."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from triptych.reports.words import percent, sureness
from triptych.system.palette import COLOURS
from triptych.system.wording import compared_in_words, counted

__all__ = ["policy", "readable", "render", "stylesheet"]

# Control characters but tab and line feed, what turns the direction of text, and halves of characters.
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def render(template: str, data: Mapping[str, Any]) -> str:
    """The page of a template.

    Every text of ``data`` is escaped. Characters that cannot be shown, or that would turn the direction of the text
    around them, become a replacement character.

    Args:
        template: a file in ``templates``.
        data: what the template names; plain values, as JSON can hold them.

    Raises:
        jinja2.UndefinedError: the template names what ``data`` lacks.

    >>> from triptych.reports.kit import render
    >>> page = render("inventory.html", {"title": "<b>", "summary": "no photos", "trust": "", "classes": []})
    >>> page[:15], "<h1><bdi>&lt;b&gt;</bdi></h1>" in page
    ('<!doctype html>', True)
    """
    return _environment().get_template(template).render(readable(dict(data)))


def readable(value: Any) -> Any:
    """The same data; in its texts, what cannot be shown is replaced.

    >>> readable({"name": ["a\\x1b[31m", 1]}) == {"name": ["a\\ufffd[31m", 1]}
    True
    """
    if isinstance(value, str):
        return _UNREADABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {readable(key): readable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [readable(one) for one in value]
    return value


@lru_cache
def stylesheet() -> str:
    """The one stylesheet of all pages: ``report.css`` and the palette's colours, light and dark."""
    written = (resources.files("triptych.reports") / "templates" / "report.css").read_text(encoding="utf-8")
    light = "".join(f".series-{n} {{ --series: {one.light} }}\n" for n, one in enumerate(COLOURS))
    dark = "".join(f"  .series-{n} {{ --series: {one.dark} }}\n" for n, one in enumerate(COLOURS))
    return f"{written}{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


@lru_cache
def policy() -> str:
    """The Content-Security-Policy of a page: its own stylesheet and pictures inside it, nothing else."""
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("triptych.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"stylesheet": Markup(stylesheet()), "policy": policy(), "colours": len(COLOURS)}
    words = (compared_in_words, percent, sureness, counted)
    environment.filters |= {one.__name__: one for one in words}
    return environment
