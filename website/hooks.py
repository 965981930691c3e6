"""What the site needs beyond the pages of docs/: the README as first page, the project's other documents, the API.

Links that lead out of docs/ are made to lead to the copies in the site; of files that are no part of it the name alone
is left. Equations become MathML, which browsers draw themselves, so that a page needs no script for them.
"""

import importlib
import os
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path, PurePosixPath
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "recognizer",
    "evidence",
    "comparison",
    "folders",
    "similarity",
    "methods",
    "fusion",
    "backbones",
    "evaluation",
    "training",
    "interop",
    "export",
    "data",
)
_OUTSIDE = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "benchmarks/LOG.md",
    "benchmarks/growth.png",
    "benchmarks/bank.png",
)
_OUTSIDE_PATTERNS = ("src/triptych/weights/*.md", "benchmarks/results/*.json", "benchmarks/results/methods.*")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")  # to a file of the project
_MATH_FENCE = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\s*(\\\(|\\\[)(.*?)(\\\)|\\\])\s*</\1>', re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the API to the navigation: a page for each room."""
    assert config.nav is not None
    config.mdx_configs["toc"]["slugify"] = slug
    config.nav.append({"API": [{"triptych": "api/triptych.md"}, *({room: f"api/{room}.md"} for room in ROOMS)]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside docs/, and the pages of the API."""
    for source, place in outside().items():
        if place.endswith(".md"):
            files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for module in ("triptych", *(f"triptych.{room}" for room in ROOMS)):
        place = f"api/{module.removeprefix('triptych.')}.md"
        files.append(File.generated(config, place, content="\n".join(api_page(module))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make the links of a document those of the site, and its equations what the Markdown here reads."""
    markdown = _MATH_FENCE.sub(r"$$\n\1$$", markdown)
    source = source_of(page.file.src_uri)
    return markdown if source is None else relinked(markdown, source)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw the equations."""
    return _EQUATION.sub(lambda found: mathml(unescape(found[3]), block=found[2] == r"\["), html)


def outside() -> dict[str, str]:
    """Path in the project -> place in the site, of the documents and records outside docs/."""
    found = [*_OUTSIDE, *(str(path.relative_to(ROOT)) for glob in _OUTSIDE_PATTERNS for path in ROOT.glob(glob))]
    return {"README.md": "index.md", **{path: f"project/{path}" for path in found}}


def source_of(place: str) -> str | None:
    """The path in the project of a page of the site; None for one that is made."""
    if place.startswith("api/"):
        return None
    back = {there: path for path, there in outside().items()}
    return back.get(place, f"docs/{place}")


def place_of(source: str) -> str | None:
    """The place in the site of a file of the project; None if it is no part of it."""
    return outside().get(source) or (source.removeprefix("docs/") if source.startswith("docs/") else None)


def relinked(markdown: str, source: str) -> str:
    """A document with the links of the site: to other places, or, where the site lacks the file, to nowhere."""
    here = PurePosixPath(place_of(source) or source).parent

    def link(found: re.Match[str]) -> str:
        text, path, anchor = found[1], found[2], found[3] or ""
        target = os.path.normpath(PurePosixPath(source).parent / path)
        place = place_of(target)
        if place is None:
            if not (ROOT / target).exists():
                raise ValueError(f"{source}: the link to {path} leads nowhere")
            return text if text.startswith("`") else f"{text} (`{target}`)"
        return f"[{text}]({os.path.relpath(place, here)}{anchor})"

    return _LINK.sub(link, markdown)


def mathml(latex: str, block: bool) -> str:
    """An equation as MathML.

    >>> mathml("x", block=False)
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>x</mi></mrow></math>'
    """
    return convert(latex.strip(), display="block" if block else "inline")


def api_page(module: str) -> Iterator[str]:
    """The lines of a page with all that a module exports; what another room defines is linked there."""
    home = importlib.import_module(module)
    yield f"# {module}\n"
    yield f"{(home.__doc__ or '').strip()}\n"
    for name in home.__all__:
        thing = getattr(home, name)
        if not callable(thing) or not thing.__module__.startswith("triptych"):
            continue  # an alias, a constant, a table
        where = f"{thing.__module__}.{thing.__qualname__}"
        if where.startswith(f"{module}.") and module != "triptych":
            yield f"::: {where}\n    options:\n      inherited_members: {inherited(thing)}\n"
        else:
            yield f"- [`{name}`][{where}]"


def inherited(thing: object) -> list[str]:
    """What a class has of bases that no page shows: its own page shows it.

    >>> from triptych import Recognizer
    >>> "predict" in inherited(Recognizer)
    True
    """
    names: list[str] = []
    for base in thing.__mro__[1:] if isinstance(thing, type) else ():
        room = importlib.import_module(".".join(base.__module__.split(".")[:2]))
        if base.__module__.startswith("triptych") and base.__name__ not in room.__all__:
            names += [name for name in vars(base) if not name.startswith("_") and name not in vars(thing)]
    return names


def slug(text: str, separator: str) -> str:
    """The anchor of a heading, as links in the documents have it.

    >>> slug("What to pool (the mean `*`)", "-")
    'what-to-pool-the-mean-'
    """
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


class Equations(griffe.Extension):
    """Docstrings as the site's Markdown reads them."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring with its equations between dollars and its examples as code.

    >>> as_markdown("See :math:`x` and ``y``.")
    'See $x$ and `y`.'
    """
    docstring = re.sub(r":math:`([^`]*)`", lambda found: f"${' '.join(found[1].split())}$", docstring)
    docstring = re.sub(r"^\.\. math:: ?(.*(?:\n(?=[ \t]+\S).*)*)", r"$$\n\1\n$$", docstring, flags=re.MULTILINE)
    docstring = re.sub(r"``([^`]+)``", r"`\1`", docstring)
    return re.sub(r"(?:^>>> .*\n?(?:^\S.*\n?|^ +.*\n?)*)+", _fenced, docstring, flags=re.MULTILINE)


def _fenced(found: re.Match[str]) -> str:
    return f"```pycon\n{found[0].rstrip()}\n```\n"
