"""The page of a comparison: one HTML file that needs no other and asks for none."""

import html
import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from string import Template
from typing import Any

from triptych.comparison.baselines import BASELINES
from triptych.comparison.contest import FUSED
from triptych.reports.charts import contender_title, learning_curve, matrix_picture, swatch
from triptych.system.wording import counted

__all__ = ["comparison_page", "verdicts"]

_MOST_IN_MATRIX = 60
_MOST_LISTED = 50
_LEAST_REPEATS = 5  # fewer splits may agree by chance, and their interval is then nothing

_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Is MML worth it on these photos?</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #1c2733;
  background: #fff; overflow-wrap: anywhere }
h1 { margin: 0; line-height: 1.2 } h2 { margin: 2.6rem 0 .6rem; font-size: 1.25rem }
.lead { color: #46535f; margin: .3rem 0 } .scroll { overflow-x: auto } .scroll:focus { outline: 3px solid #1f6fb2 }
svg { font: 13px system-ui, sans-serif; fill: #1c2733 } .curve { width: 100%; min-width: 30rem; max-width: 52rem }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; font-size: .9rem }
.legend svg { vertical-align: middle; margin-right: .4rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #d5dbe1; vertical-align: top }
td { white-space: nowrap } thead th { border-bottom: 2px solid #52606d } caption { text-align: left; color: #46535f }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; list-style: none;
  padding: 0 } .cards > li { border: 1px solid #d5dbe1; border-radius: 8px; padding: .7rem; font-size: .9rem }
.pair { display: flex; gap: .7rem } figure { margin: 0; width: 6.8rem; font-size: .8rem }
figure img { width: 6.8rem; height: 6.8rem; object-fit: cover; border-radius: 6px; display: block }
.better { color: #146c3f } .worse { color: #a52a20 }
</style></head><body><main>
<h1>Is MML worth it on these photos?</h1>
<p class="lead">$photos photos of $classes classes; $repeats random splits, $asked photos asked about in each;
features and levels of $method.</p>
<ul>$verdicts</ul>
<h2>Accuracy against photos per class</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Learning curve">$curve</div>
<ul class="legend">$legend</ul>
<div class="scroll" tabindex="0" role="region" aria-label="Accuracy, all figures">$table</div>
<p class="lead">In %, with 95% intervals. In brackets: by how many points MML with all levels is better, with the
interval of that difference on the same splits; where it leaves out zero, it is set in <b>bold</b>, unless the
splits are fewer than $least.</p>
<h2>Who is taken for whom</h2>
$confusion
<h2>Photos that may be in the wrong class</h2>
$suspects
$problems
<h2>How it was measured</h2>
<p>In each split every contender learns from the same photos of every class and answers the same others; fewer photos
per class are a part of more. All read the same network. MML compares its maps at its levels; the plain
classifiers take their mean over all positions, centred and scaled to unit length, and choose the number of neighbours
or the regularisation by cross-validation on the photos learnt from. Intervals allow for splits that share photos
(Nadeau and Bengio, 2003). A photo that occurs twice counts once.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Settings"><table><tbody>$settings</tbody></table></div>
</main></body></html>
"""
)


def comparison_page(record: Mapping[str, Any]) -> str:
    """The HTML page of a record of ``comparison.compare``: self-contained, and readable without colours or pictures.

    Args:
        record: what ``compare`` returned, or the same read back from JSON.

    >>> import numpy as np
    >>> from triptych.comparison import compare
    >>> from triptych.reports import comparison_page
    >>> rng = np.random.default_rng(0)
    >>> photos = [rng.integers(low, low + 60, (90, 90, 3), dtype=np.uint8) for low in (0, 150) for _ in range(2)]
    >>> comparison_page(compare(photos, ["dark", "dark", "bright", "bright"], repeats=2))[:15]
    '<!doctype html>'
    """
    names = list(record["curve"][0]["contenders"])
    return _PAGE.substitute(
        photos=record["photos"],
        classes=len(record["classes"]),
        repeats=record["repeats"],
        least=_LEAST_REPEATS,
        asked=record["asked"],
        method=_text(record["method"]),
        verdicts="".join(f"<li>{_text(line)}</li>" for line in verdicts(record)),
        curve=learning_curve(record["curve"]),
        legend="".join(f"<li>{swatch(name)}{_text(contender_title(name))}</li>" for name in names),
        table=_table(record["curve"], tells=_tells(record)),
        confusion=_confusion(record),
        suspects=_suspects(record),
        problems=_problems(record),
        settings="".join(_setting(name, value) for name, value in _settings(record)),
    )


def verdicts(record: Mapping[str, Any]) -> list[str]:
    """One sentence per number of photos: how all levels fused fare beside the best of the plain classifiers.

    >>> import numpy as np
    >>> from triptych.comparison import compare
    >>> from triptych.reports import verdicts
    >>> photos = np.random.default_rng(0).integers(0, 256, (4, 90, 90, 3), dtype=np.uint8)
    >>> len(verdicts(compare(photos, ["a", "a", "b", "b"], repeats=2)))
    1
    """
    lines = []
    for point in record["curve"]:
        own = point["contenders"][FUSED]
        rivals = {name: point["contenders"][name] for name in BASELINES}
        best = max(rivals, key=lambda name: rivals[name]["mean"])
        gap = rivals[best]["difference"]
        if not _tells(record):
            told = "too few splits to tell"
        elif abs(gap["mean"]) <= gap["ci95"]:
            told = "these splits show no difference"
        else:
            told = f"MML is {'better' if gap['mean'] > 0 else 'worse'}"
        photos = f"{counted(point['shot'], 'photo')} per class"
        lines.append(
            f"{photos}: MML {own['mean']:.1%}, {contender_title(best)}, the best of the plain classifiers, "
            f"{rivals[best]['mean']:.1%}; {told} ({100 * gap['mean']:+.1f} ± {100 * gap['ci95']:.1f} points)."
        )
    return lines


def _tells(record: Mapping[str, Any]) -> bool:
    """Whether there are splits enough to draw a conclusion."""
    return bool(record["repeats"] >= _LEAST_REPEATS)


def _table(curve: list[Mapping[str, Any]], tells: bool) -> str:
    heads = "".join(f'<th scope="col">{point["shot"]} per class</th>' for point in curve)
    rows = []
    for name in curve[0]["contenders"]:
        cells = "".join(_figure_cell(name, point["contenders"][name], tells) for point in curve)
        rows.append(f'<tr><th scope="row">{_text(contender_title(name))}</th>{cells}</tr>')
    return f'<table><thead><tr><th scope="col">contender</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _figure_cell(name: str, figure: Mapping[str, Any], tells: bool) -> str:
    own = f"{100 * figure['mean']:.1f} ± {100 * figure['ci95']:.1f}"
    if name == FUSED:
        return f"<td>{own}</td>"
    gap = figure["difference"]
    shown = f"({100 * gap['mean']:+.1f} ± {100 * gap['ci95']:.1f})"
    if tells and abs(gap["mean"]) > gap["ci95"]:
        shown = f'<b class="{"better" if gap["mean"] > 0 else "worse"}">{shown}</b>'
    return f"<td>{own} {shown}</td>"


def _confusion(record: Mapping[str, Any]) -> str:
    confusion = record["confusion"]
    names = [entry["name"] for entry in record["classes"]]
    lead = (
        f'<p class="lead">MML with all levels, up to {confusion["shot"]} photos per class, all splits together. '
        "Rows are the classes, columns the answers; green is right, red is wrong.</p>"
    )
    if len(names) <= _MOST_IN_MATRIX:
        picture = matrix_picture(names, confusion["answers"])
        shown = f'<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix">{picture}</div>'
    else:
        shown = f"<p>{len(names)} classes are too many for a picture; these pairs are confused most.</p>"
    if not confusion["pairs"]:
        return f"{lead}{shown}<p>No photo was taken for another class.</p>"
    cards = "".join(_pair_card(pair, record["thumbnails"]) for pair in confusion["pairs"])
    return f'{lead}{shown}<h3>Most confused</h3><ul class="cards">{cards}</ul>'


def _pair_card(pair: Mapping[str, Any], thumbnails: Mapping[str, str]) -> str:
    one, other = pair["sides"]
    lines = "".join(
        f"<div>{_text(side['class'])}: {side['taken_for_the_other']} of {side['asked']} taken for "
        f"{_text(rival['class'])}</div>"
        for side, rival in ((one, other), (other, one))
    )
    photos = "".join(_photo(side["photo"], side["class"], thumbnails) for side in (one, other))
    return f'<li><div class="pair">{photos}</div>{lines}</li>'


def _suspects(record: Mapping[str, Any]) -> str:
    suspects = record["suspects"]
    lead = (
        f'<p class="lead">{suspects["checked"]} photos were each taken out and recognised by the others; '
        f"{suspects['disagreed']} were given to another class. "
    )
    if not suspects["photos"]:
        return f"{lead}None is suspected.</p>"
    cards = "".join(_suspect_card(suspect, record["thumbnails"]) for suspect in suspects["photos"])
    return (
        f"{lead}Those that the others speak against most come first. Look at each: most will be hard photos, some may "
        f'be in the wrong folder.</p><ul class="cards">{cards}</ul>'
    )


def _suspect_card(suspect: Mapping[str, Any], thumbnails: Mapping[str, str]) -> str:
    photos = _photo(suspect["photo"], suspect["class"], thumbnails) + _photo(
        suspect["example"], suspect["answer"], thumbnails
    )
    return (
        f'<li><div class="pair">{photos}</div><div>In {_text(suspect["class"])}; looks like '
        f"{_text(suspect['answer'])}</div><div>{_text(suspect['photo']['name'])}</div></li>"
    )


def _photo(photo: Mapping[str, str], label: str, thumbnails: Mapping[str, str]) -> str:
    alt = _text(f"{PurePath(photo['name']).name}, a photo of class {label}")
    source = f"data:image/jpeg;base64,{_text(thumbnails[photo['thumbnail']])}"
    return f'<figure><img alt="{alt}" src="{source}"><figcaption>{_text(label)}</figcaption></figure>'


def _problems(record: Mapping[str, Any]) -> str:
    single = [entry["name"] for entry in record["classes"] if entry["photos"] == 1]
    contested = [" = ".join(f"{copy['class']}: {copy['photo']}" for copy in copies) for copies in record["contested"]]
    repeated = [f"{entry['left_out']} (same as {entry['kept']})" for entry in record["repeated"]]
    lists = [
        ("Photos that cannot be read", record["unreadable"]),
        ("The same photo in several classes; all copies were left out", contested),
        ("The same photo twice in a class; counted once", repeated),
        ("Classes of which no photo is left", record["missing"]),
        ("Classes of a single photo: learnt, never asked about", single),
    ]
    parts = [f"<h3>{_text(title)} ({len(lines)})</h3>{_list(lines)}" for title, lines in lists if lines]
    if record["unread"]:
        parts.append(f"<p>{record['unread']} more photos were not looked at: a share of each class was drawn.</p>")
    return f"<h2>Left out</h2>{''.join(parts)}" if parts else ""


def _list(lines: list[str]) -> str:
    rest = f"<li>and {len(lines) - _MOST_LISTED} more</li>" if len(lines) > _MOST_LISTED else ""
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines[:_MOST_LISTED])}{rest}</ul>"


def _settings(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    if record["data"] is not None:
        options = {"method" if record["backbone"] is None else "backbone": record["method"]}
        options |= {"repeats": record["repeats"], "seed": record["seed"]}
        options |= {"queries": record["queries"], "precision": record["precision"]}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        yield "command", shlex.join(["triptych", "compare", record["data"], *words])
    yield "photos' hash", record["data_fingerprint"]
    yield "weights' SHA-256", record["weights_sha256"]
    yield "seconds", f"{record['seconds']} on {record['device']}, {record['threads']} threads"
    yield "versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())


def _setting(name: str, value: Any) -> str:
    return f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>'


def _text(value: Any) -> str:
    return html.escape(str(value))
