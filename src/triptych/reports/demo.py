"""The demonstration: fit on a few of the shipped photos, recognise the rest, show how it went."""

import base64
import html
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from triptych.data import list_folder
from triptych.recognizer import Recognizer
from triptych.system.files import write_whole
from triptych.system.progress import track
from triptych.system.wording import counted

__all__ = ["DemoAnswer", "demo", "demo_page"]

_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Triptych demonstration</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2733 }
h1 { margin: 0 } h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem } .lead { color: #52606d; margin: .3rem 0 }
.row { display: flex; flex-wrap: wrap; gap: .8rem } figure { margin: 0; width: 8.2rem; font-size: .8rem }
img { width: 100%; height: 8.2rem; object-fit: cover; border-radius: 6px; display: block }
.support img { height: 5rem } .support figure { width: 5rem }
.right img { outline: 3px solid #1a7f4b } .wrong img { outline: 3px solid #c2362b }
.bar { background: #e4e8ec; height: 5px; border-radius: 3px; margin-top: .4rem }
.bar i { display: block; height: 100%; border-radius: 3px; background: #3b6ea5 }
.wrong .bar i { background: #c2362b }
</style></head><body>
<h1>$right of $total photos recognised</h1>
<p class="lead">$accuracy accuracy over $classes classes (chance: $chance), after seeing $photos of each class.
Recognised with $method; the network was never trained on these classes.</p>
$sections
<p class="lead">Photos: Grocery Store dataset, Klasson et al., WACV 2019, MIT licence.</p>
</body></html>
"""
)


@dataclass(frozen=True)
class DemoAnswer:
    """What was answered for one photo.

    >>> from pathlib import Path
    >>> from triptych.reports.demo import DemoAnswer
    >>> DemoAnswer(Path("1.jpg"), truth="Lemon", label="Lemon", probability=0.9).label
    'Lemon'
    """

    path: Path
    truth: str
    label: str
    probability: float


def demo(page: str | Path, shot: int = 5, method: str = "mml-conv64f") -> dict[str, Any]:
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
    >>> from triptych.reports.demo import demo
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = demo(f"{folder}/page.html", shot=1)
    >>> result["classes"], result["shot"]
    (8, 1)
    """
    with resources.as_file(resources.files("triptych.samples")) as folder:
        listing = list_folder(folder)
        known, asked = _divide(listing.labels, shot)
        paths = [Path(str(source)) for source in listing.sources]
        truths = [listing.classes[label] for label in listing.labels]
        recognizer = Recognizer(method).fit([paths[i] for i in known], [truths[i] for i in known])
        answers = [_answer(recognizer, paths[i], truths[i]) for i in track(asked, "recognising", len(asked))]
        support = [(paths[i], truths[i]) for i in known]
        write_whole(page, demo_page(support, answers, shot, method).encode())
    right = sum(answer.label == answer.truth for answer in answers)
    return {
        "accuracy": right / len(answers),
        "right": right,
        "photos": len(answers),
        "classes": len(listing.classes),
        "shot": shot,
        "method": method,
        "page": str(page),
        "answers": [
            {
                "photo": f"{answer.truth}/{answer.path.name}",
                "label": answer.label,
                "probability": round(answer.probability, 4),
            }
            for answer in answers
        ],
    }


def demo_page(support: list[tuple[Path, str]], answers: list[DemoAnswer], shot: int, method: str) -> str:
    """One self-contained HTML page: per class, the photos learnt from and the answers with their confidence.

    >>> from importlib import resources
    >>> from triptych.reports.demo import DemoAnswer, demo_page
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     first, second = sorted((folder / "Lemon").iterdir())[:2]
    ...     page = demo_page([(first, "Lemon")], [DemoAnswer(second, "Lemon", "Lemon", 0.9)], 1, "mml-conv64f")
    >>> "1 of 1 photos recognised" in page
    True
    """
    classes = list(dict.fromkeys(answer.truth for answer in answers))
    right = sum(answer.label == answer.truth for answer in answers)
    sections = []
    for name in classes:
        learnt = "".join(_figure(path, "") for path, label in support if label == name)
        asked = "".join(_answer_figure(answer) for answer in answers if answer.truth == name)
        sections.append(
            f'<h2>{html.escape(name)}</h2><p class="lead">learnt from</p><div class="row support">{learnt}</div>'
            f'<p class="lead">recognised</p><div class="row">{asked}</div>'
        )
    return _PAGE.substitute(
        right=right,
        total=len(answers),
        accuracy=f"{right / len(answers):.0%}",
        chance=f"{1 / len(classes):.0%}",
        classes=len(classes),
        photos=counted(shot, "photo"),
        method=html.escape(method),
        sections="\n".join(sections),
    )


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


def _answer(recognizer: Recognizer, path: Path, truth: str) -> DemoAnswer:
    probabilities = recognizer.predict_proba([path])[0]
    best = int(probabilities.argmax())
    return DemoAnswer(path, truth, str(recognizer.classes_[best]), float(probabilities[best]))


def _answer_figure(answer: DemoAnswer) -> str:
    percent = f"{answer.probability:.0%}"
    caption = (
        f"<figcaption>{html.escape(answer.label)} {percent}"
        f'<div class="bar"><i style="width:{percent}"></i></div></figcaption>'
    )
    return _figure(answer.path, caption, "right" if answer.label == answer.truth else "wrong")


def _figure(path: Path, caption: str, kind: str = "") -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    name = html.escape(path.name)
    return f'<figure class="{kind}"><img alt="{name}" src="data:image/jpeg;base64,{data}">{caption}</figure>'
