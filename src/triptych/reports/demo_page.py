"""The demonstration: fit on a few of the shipped photos, recognise the rest, show how it went and why."""

import base64
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from triptych.data import list_folder
from triptych.evidence import lead_in_words
from triptych.recognizer import Answer, Recognizer
from triptych.reports.evidence import evidence_for
from triptych.reports.kit import render
from triptych.system.files import write_whole
from triptych.system.progress import track
from triptych.weights import DEFAULT

__all__ = ["demo", "demo_page", "demonstration"]

_SURE = 0.9
_SOURCE = "Photos: Grocery Store dataset, Klasson et al., WACV 2019, MIT licence."


def demo(page: str | Path, shot: int = 5, method: str = DEFAULT) -> dict[str, Any]:
    """Fit on the first ``shot`` sample photos of each class, recognise the others and write a page.

    Args:
        page: where the HTML page goes; it holds the photos and needs no other file.
        shot: photos of each class to learn from, 1 to 12.
        method: an embedded name or a method file.

    Returns:
        A JSON-serialisable summary: accuracy, counts, and the answer to each photo.

    Raises:
        ValueError: a shot that leaves nothing to recognise.
        OSError: the page cannot be written.

    >>> import tempfile
    >>> from triptych.reports.demo_page import demo
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = demo(f"{folder}/page.html", shot=1)
    >>> result["classes"], result["shot"]
    (8, 1)
    """
    with resources.as_file(resources.files("triptych.samples")) as folder:
        shown = demonstration(folder, shot, method)
    write_whole(page, demo_page(shown).encode())
    return {**_summary(shown), "page": str(page)}


def demonstration(folder: Path, shot: int, method: str) -> dict[str, Any]:
    """Learn the first ``shot`` photos of each class of a folder of JPEG files, and recognise the others.

    Returns:
        What ``demo_page`` needs, as JSON can hold it: the photos learnt from, by class; each other photo with its
        answer; and for a few of these the evidence.

    Raises:
        ValueError: a shot that leaves nothing to recognise.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as name:
    ...     for colour in ("red", "blue"):
    ...         Path(name, colour).mkdir()
    ...         Image.new("RGB", (90, 90), colour).save(Path(name, colour, "1.jpg"))
    ...         Image.new("RGB", (99, 99), colour).save(Path(name, colour, "2.jpg"))
    ...     shown = demonstration(Path(name), shot=1, method=DEFAULT)
    >>> [(answer["name"], answer["label"], answer["right"]) for answer in shown["answers"]]
    [('2.jpg', 'blue', True), ('2.jpg', 'red', True)]
    """
    listing = list_folder(folder)
    known, asked = _divide(listing.labels, shot)
    paths = [Path(str(source)) for source in listing.sources]
    truths = [listing.classes[label] for label in listing.labels]
    recognizer = Recognizer(method).fit([paths[i] for i in known], [truths[i] for i in known])
    answers = track(recognizer.answers([paths[i] for i in asked]), "recognising", len(asked))
    told = [
        {**_shown(paths[i], truths[i]), **_told(answer, truths[i])} for i, answer in zip(asked, answers, strict=True)
    ]
    learnt: dict[str, list[Path]] = {}
    for i in known:
        learnt.setdefault(truths[i], []).append(paths[i])
    return {
        "shot": shot,
        "method": method,
        "learnt": [{"class": name, "photos": [_shown(path, name) for path in mine]} for name, mine in learnt.items()],
        "answers": told,
        "evidence": [
            {"answer": told[n], **_evidence(recognizer, paths[asked[n]], told[n], learnt)}
            for n in _worth_explaining(told)
        ],
        "source": _SOURCE,
    }


def demo_page(shown: dict[str, Any]) -> str:
    """One self-contained HTML page of a ``demonstration``.

    >>> photo = {"class": "Lemon", "name": "2.jpg", "image": "", "alt": "a photo of Lemon"}
    >>> answer = {**photo, "label": "Lemon", "probability": 0.9, "right": True}
    >>> learnt = [{"class": "Lemon", "photos": [photo]}]
    >>> page = demo_page(
    ...     {"shot": 1, "method": "x", "learnt": learnt, "answers": [answer], "evidence": [], "source": ""}
    ... )
    >>> "1 of 1 photos recognised" in page
    True
    """
    answers = shown["answers"]
    sure = [answer for answer in answers if answer["probability"] >= _SURE]
    classes = [
        {
            "name": one["class"],
            "learnt": one["photos"],
            "answers": [answer for answer in answers if answer["class"] == one["class"]],
        }
        for one in shown["learnt"]
    ]
    counts = {
        "right": sum(answer["right"] for answer in answers),
        "sure": len(sure),
        "sure_right": sum(answer["right"] for answer in sure),
        "least_sure": _SURE,
    }
    panels = [panel for one in shown["evidence"] for panel in one["classes"]]
    told = {
        "with_levels": any(panel["bars"]["levels"] for panel in panels),
        "with_boxes": any(panel["scene"] for panel in panels),
    }
    rows = [{"head": one["name"], "cells": _row(one["answers"])} for one in classes]
    return render("demo.html", {**shown, **counts, **told, "classes": classes, "rows": rows})


def _summary(shown: dict[str, Any]) -> dict[str, Any]:
    """A demonstration without its photos."""
    answers = shown["answers"]
    right = sum(answer["right"] for answer in answers)
    return {
        "accuracy": right / len(answers),
        "right": right,
        "photos": len(answers),
        "classes": len(shown["learnt"]),
        "shot": shown["shot"],
        "method": shown["method"],
        "answers": [
            {
                "photo": f"{answer['class']}/{answer['name']}",
                "label": answer["label"],
                "probability": round(answer["probability"], 4),
            }
            for answer in answers
        ],
    }


def _row(answers: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """How many of a class are right, and what the others were taken for, most often first."""
    mistaken = Counter(answer["label"] for answer in answers if not answer["right"])
    told = [f"{count} {label}" for label, count in mistaken.most_common()]
    right = f"{len(answers) - mistaken.total()} of {len(answers)}"
    return [{"text": text, "interval": "", "note": "", "tone": ""} for text in (right, ", ".join(told) or "none")]


def _divide(labels: np.ndarray, shot: int) -> tuple[list[int], list[int]]:
    fewest = int(np.bincount(labels).min())
    if not 1 <= shot < fewest:
        raise ValueError(f"shot must be between 1 and {fewest - 1}, so that photos remain to recognise; got {shot}")
    known, asked = [], []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label).tolist()
        known += members[:shot]
        asked += members[shot:]
    return known, asked


def _shown(path: Path, label: str) -> dict[str, Any]:
    image = base64.b64encode(path.read_bytes()).decode()
    return {"class": label, "name": path.name, "alt": f"{path.name}, a photo of {label}", "image": image}


def _told(answer: Answer, truth: str) -> dict[str, Any]:
    label = str(answer.label)
    return {"label": label, "probability": answer.probability, "right": label == truth}


def _worth_explaining(answers: Sequence[dict[str, Any]]) -> list[int]:
    """The surest right answer, the surest wrong one, and the right one that was the closest call."""
    order = sorted(range(len(answers)), key=lambda n: -answers[n]["probability"])
    right = [n for n in order if answers[n]["right"]]
    wrong = [n for n in order if not answers[n]["right"]]
    return list(dict.fromkeys([*right[:1], *wrong[:1], *right[-1:]]))


def _evidence(
    recognizer: Recognizer, path: Path, answer: dict[str, Any], learnt: dict[str, list[Path]]
) -> dict[str, Any]:
    """Why it is the answer, and why not what it is, or what comes second; and where its lead comes from."""
    why = recognizer.explain(path, top=len(learnt))
    labels = [str(evidence.label) for evidence in why.classes]
    lead = lead_in_words(why.lead(), why.patch_levels, labels[1])
    labels = [labels[0], labels[1] if answer["right"] else answer["class"]]
    photos = {label: {one.name: one.read_bytes() for one in learnt[label]} for label in labels}
    return {"lead": lead, "classes": evidence_for(why, path.read_bytes(), labels, photos)}
