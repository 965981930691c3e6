"""The page of a comparison: one HTML file that needs no other and asks for none."""

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from triptych.comparison import BASELINES, FUSED
from triptych.reports.charts import confusion_table, learning_curve, series_of
from triptych.reports.kit import render
from triptych.reports.words import percent, signed
from triptych.system.wording import counted, level_in_words, listed

__all__ = ["comparison_data", "comparison_page", "verdicts"]

_MOST_IN_TABLE = 60
_MOST_LISTED = 50
_LEAST_REPEATS = 5  # fewer splits may agree by chance, and their interval is then nothing


def comparison_page(record: Mapping[str, Any]) -> str:
    """The HTML page of a record of ``comparison.compare``: self-contained, and readable without colours or pictures.

    Args:
        record: what ``compare`` returned, or the same read back from JSON.
    """
    return render("comparison.html", comparison_data(record))


def comparison_data(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows, as JSON can hold it: sentences, figures in words, and the coordinates of the charts."""
    series = series_of(list(record["curve"][0]["contenders"]))
    names = [entry["name"] for entry in record["classes"]]
    confusion = record["confusion"]
    return {
        "photos": record["photos"],
        "classes": len(names),
        "repeats": record["repeats"],
        "asked": record["asked"],
        "method": record["method"],
        "least": _LEAST_REPEATS,
        "fused": series[FUSED]["title"],
        "levels": [name for name in series if name != FUSED and name not in BASELINES],
        "verdicts": _verdicts(record),
        "intervals": _conclusive(record),
        "chart": learning_curve(record["curve"], intervals=_conclusive(record)),
        "heads": [f"{point['shot']} per class" for point in record["curve"]],
        "legend": list(series.values()),
        "rows": [{"head": one["title"], "cells": _cells(record, name)} for name, one in series.items()],
        "shot": confusion["shot"],
        "table": confusion_table(names, confusion["answers"]) if len(names) <= _MOST_IN_TABLE else [],
        "pairs": [_pair(pair, record["thumbnails"]) for pair in confusion["pairs"]],
        "checked": record["suspects"]["checked"],
        "disagreed": record["suspects"]["disagreed"],
        "suspects": [_suspect(one, record["thumbnails"]) for one in record["suspects"]["photos"]],
        "problems": _problems(record),
        "unread": record["unread"],
        "settings": _settings(record),
    }


def verdicts(record: Mapping[str, Any]) -> list[str]:
    """Per number of photos, how all levels together fare beside the best of the plain classifiers.

    A level that alone answers better is named, and so are numbers of photos that were left out.

    >>> from triptych.comparison.baselines import BASELINES
    >>> plain = {"mean": 0.7, "ci95": 0.1, "difference": {"mean": 0.1, "ci95": 0.05}}
    >>> contenders = {"all levels": {"mean": 0.8}, "pixel": {"mean": 0.7}, **dict.fromkeys(BASELINES, plain)}
    >>> verdicts({"repeats": 10, "curve": [{"shot": 5, "contenders": contenders}]})[0]
    '5 photos per class: all levels together 80.0%, nearest class mean 70.0%. Better by 10.0 ± 5.0 points.'
    """
    return [verdict["text"] for verdict in _verdicts(record)]


def _verdicts(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each sentence, and whether it is good news."""
    series = series_of(list(record["curve"][0]["contenders"]))
    told = []
    for point in record["curve"]:
        contenders = point["contenders"]
        rivals = {name: contenders[name] for name in BASELINES}
        best = max(rivals, key=lambda name: rivals[name]["mean"])
        tone, conclusion = _conclusion(record, rivals[best]["difference"])
        own = f"{series[FUSED]['title']} {percent(contenders[FUSED]['mean'], 1)}"
        rival = f"{series[best]['title']} {percent(rivals[best]['mean'], 1)}"
        level = _better_level(record, contenders)
        told.append(
            {"tone": tone, "text": f"{counted(point['shot'], 'photo')} per class: {own}, {rival}. {conclusion}{level}"}
        )
    return told + _left_out(record)


def _better_level(record: Mapping[str, Any], contenders: Mapping[str, Any]) -> str:
    """The best level, where it alone answers better than all together."""
    levels = [name for name in contenders if name != FUSED and name not in BASELINES]
    best = max(levels, key=lambda name: contenders[name]["mean"], default=FUSED)
    if contenders[best]["mean"] <= contenders[FUSED]["mean"]:
        return ""
    gap = contenders[best]["difference"]
    _, conclusion = _conclusion(record, {**gap, "mean": -gap["mean"]})
    return f" Alone, {level_in_words(best)}: {percent(contenders[best]['mean'], 1)}. {conclusion}"


def _left_out(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """The numbers of photos that were asked for and not compared."""
    compared = {point["shot"] for point in record["curve"]}
    missing = sorted(set(record.get("shots", compared)) - compared)
    if not missing:
        return []
    shots = listed(missing)
    reason = "for each, fewer than half of the classes have one photo more, to be asked about"
    return [{"tone": "", "text": f"Left out: {shots} photos per class; {reason}."}]


def _conclusion(record: Mapping[str, Any], gap: Mapping[str, float]) -> tuple[str, str]:
    if not _conclusive(record):
        return "", f"Too few splits to tell ({_signed(record, gap)} points)."
    if abs(gap["mean"]) <= gap["ci95"]:
        return "", f"These splits show no difference ({_signed(record, gap)} points)."
    points = f"{100 * abs(gap['mean']):.1f} ± {100 * gap['ci95']:.1f} points"
    return ("good", f"Better by {points}.") if gap["mean"] > 0 else ("bad", f"Worse by {points}.")


def _signed(record: Mapping[str, Any], gap: Mapping[str, float]) -> str:
    points = signed(100 * gap["mean"])
    return f"{points} ± {100 * gap['ci95']:.1f}" if _conclusive(record) else points


def _interval(record: Mapping[str, Any], figure: Mapping[str, float]) -> str:
    """Of an accuracy in percent, where it tells something; no interval leaves 0 to 100."""
    mean, width = 100 * figure["mean"], 100 * figure["ci95"]
    if not _conclusive(record):
        return ""
    if mean >= width and mean + width <= 100:
        return f"± {width:.1f}"
    return f"({max(0.0, mean - width):.1f} to {min(100.0, mean + width):.1f})"


def _conclusive(record: Mapping[str, Any]) -> bool:
    """Whether there are splits enough to draw a conclusion."""
    return bool(record["repeats"] >= _LEAST_REPEATS)


def _cells(record: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """A contender's accuracy at each number of photos, and how much better all levels together are."""
    cells = []
    for point in record["curve"]:
        figure = point["contenders"][name]
        text = f"{100 * figure['mean']:.1f}"
        cell = {"text": text, "interval": _interval(record, figure), "note": "", "tone": ""}
        if name != FUSED:
            gap = figure["difference"]
            cell["note"] = _signed(record, gap)
            if _conclusive(record) and abs(gap["mean"]) > gap["ci95"]:
                cell["tone"] = "good" if gap["mean"] > 0 else "bad"
        cells.append(cell)
    return cells


def _pair(pair: Mapping[str, Any], thumbnails: Mapping[str, str]) -> dict[str, Any]:
    one, other = pair["sides"]
    return {
        "photos": [_photo(side["photo"], side["class"], thumbnails) for side in (one, other)],
        "lines": [
            {
                "taken": side["taken_for_the_other"],
                "asked": side["asked"],
                "class": side["class"],
                "other": rival["class"],
            }
            for side, rival in ((one, other), (other, one))
        ],
    }


def _suspect(suspect: Mapping[str, Any], thumbnails: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": suspect["photo"]["name"],
        "class": suspect["class"],
        "answer": suspect["answer"],
        "photos": [
            _photo(suspect["photo"], suspect["class"], thumbnails),
            _photo(suspect["example"], suspect["answer"], thumbnails),
        ],
    }


def _photo(photo: Mapping[str, str], label: str, thumbnails: Mapping[str, str]) -> dict[str, str]:
    return {
        "image": thumbnails[photo["thumbnail"]],
        "alt": f"{PurePath(photo['name']).name}, a photo of class {label}",
        "class": label,
    }


def _problems(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was left out, as headed lists without the empty ones."""
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
    return [
        {
            "title": title,
            "count": len(lines),
            "lines": lines[:_MOST_LISTED],
            "more": max(0, len(lines) - _MOST_LISTED),
        }
        for title, lines in lists
        if lines
    ]


def _settings(record: Mapping[str, Any]) -> list[dict[str, str]]:
    settings = []
    if record["data"] is not None:
        options = {"method" if record["backbone"] is None else "backbone": record["method"]}
        options |= {name: record[name] for name in ("repeats", "seed", "queries", "precision")}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        settings.append(("command", shlex.join(["triptych", "compare", record["data"], *words])))
    settings += [
        ("photos' hash", record["data_fingerprint"]),
        ("weights' SHA-256", record["weights_sha256"]),
        ("seconds", f"{record['seconds']} on {record['device']}, {counted(record['threads'], 'thread')}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())),
    ]
    return [{"name": name, "value": str(value)} for name, value in settings]
