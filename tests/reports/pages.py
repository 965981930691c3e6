"""What the tests of pages share: a strict reader of HTML, what holds for every page, and a record made by hand."""

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import torch
from photos import photo

from triptych.comparison.baselines import BASELINES
from triptych.methods import LEVELS, MML, MMLConfig, Preprocessing, build_method

NASTY = "<script>alert(\"x\")</script> & 'co' \x1b[31m\u202e\ud800"
SHOWN = "<script>alert(\"x\")</script> & 'co' \ufffd[31m\ufffd\ufffd"  # what a reader sees of it
_VOID = {"meta", "img", "br"}


class Elements(HTMLParser):
    """Every element with its attributes, and all text; an element that is not closed where it was opened is an error.

    Elements of SVG may close themselves.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.found.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.found if name == tag)


def check_page(page: str) -> Elements:
    """What holds for every page; returns its elements."""
    page.encode()  # no halves of characters
    elements = Elements(page)
    assert page.startswith("<!doctype html>")
    assert list(elements.attributes("html")) == [{"lang": "en"}]
    for tag in ("header", "main", "title", "h1"):
        assert len(list(elements.attributes(tag))) >= 1
    assert len(list(elements.attributes("main"))) == 1
    _check_headings(elements)
    _check_words_for_pictures(elements)
    _check_nothing_from_outside(page, elements)
    _check_tables(elements)
    return elements


def _check_headings(elements: Elements) -> None:
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def _check_words_for_pictures(elements: Elements) -> None:
    assert all(image["alt"] for image in elements.attributes("img"))
    for svg in elements.attributes("svg"):
        assert (svg.get("role") == "img" and svg.get("aria-label")) or svg.get("aria-hidden") == "true"
    names = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(set(names)) == len(names)
    for _, attributes in elements.found:
        assert attributes.get("aria-labelledby", names and names[0]) in names
    for region in (attributes for _, attributes in elements.found if attributes.get("role") == "region"):
        assert region["aria-label"]
        assert region["tabindex"] == "0"


def _check_nothing_from_outside(page: str, elements: Elements) -> None:
    assert not {tag for tag, _ in elements.found} & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for _, attributes in elements.found:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/jpeg;base64,", "#"))
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import", style[1])
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = [one["content"] for one in elements.attributes("meta") if "http-equiv" in one]
    assert policies == [
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def _check_tables(elements: Elements) -> None:
    assert all(head.get("scope") in {"row", "col"} for head in elements.attributes("th"))
    assert len(list(elements.attributes("caption"))) == len(list(elements.attributes("table")))


def small_method(*levels: str) -> MML:
    """A method that has learnt nothing and takes no time.

    Always with the same weights: not all random ones tell the photos of two classes apart.
    """
    torch.manual_seed(0)
    return build_method(MMLConfig(levels=levels or LEVELS, preprocessing=Preprocessing(side=16)))


def jpeg(kind: int = 0, number: int = 0) -> bytes:
    """A small photo as a file."""
    encoded = io.BytesIO()
    photo(kind, number, 24).save(encoded, "JPEG")
    return encoded.getvalue()


def record(levels: tuple[str, ...] = ("distribution", "pixel"), shots: tuple[int, ...] = (1, 5)) -> dict[str, Any]:
    """What ``compare`` returns, made by hand: two classes, one of them sometimes taken for the other."""
    names = ["all levels", *levels, *BASELINES]
    figure = {"mean": 0.75, "ci95": 0.05, "difference": {"mean": 0.1, "ci95": 0.02}}
    sides = [
        {"class": name, "asked": 10, "taken_for_the_other": 3 * n, "photo": {"name": f"{name}/1.jpg", "thumbnail": "t"}}
        for n, name in enumerate(("apple", "pear"))
    ]
    answers = [("apple", "apple", 10), ("pear", "pear", 7), ("pear", "apple", 3)]
    example = {"name": "pear/2.jpg", "thumbnail": "t"}
    suspect = {"class": "apple", "answer": "pear", "doubt": 0.5, "photo": example, "example": example}
    return {
        "photos": 20,
        "classes": [{"name": "apple", "photos": 10}, {"name": "pear", "photos": 10}],
        "curve": [{"shot": shot, "contenders": dict.fromkeys(names, figure)} for shot in shots],
        "confusion": {
            "shot": shots[-1],
            "answers": [{"class": own, "answer": answer, "count": count} for own, answer, count in answers],
            "pairs": [{"count": 3, "sides": sides}],
        },
        "suspects": {"checked": 20, "disagreed": 1, "photos": [suspect]},
        "thumbnails": {"t": base64.b64encode(jpeg()).decode()},
        "unreadable": ["pear/broken.jpg: not an image"],
        "repeated": [],
        "contested": [],
        "missing": [],
        "unread": 0,
        "repeats": 10,
        "asked": 10,
        "queries": 5,
        "seed": 0,
        "precision": "32",
        "device": "cpu",
        "threads": 2,
        "seconds": 1.5,
        "data": "my photos",
        "method": "some-method",
        "backbone": None,
        "data_fingerprint": "ab12",
        "weights_sha256": "cd34",
        "versions": {"triptych": "1"},
    }
