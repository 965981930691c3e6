"""The record of ``methods.py`` as tables."""

import json
import re
from pathlib import Path
from typing import Any

from machine import processor_line
from methods_plot import plot
from methods_task import TRAINED
from published import MINI, PUBLISHED

from triptych.methods import METHODS
from triptych.system.files import write_whole
from triptych.system.wording import with_interval

__all__ = ["report", "table", "with_figures"]

_MACHINES = {"NVIDIA H100 80GB HBM3": "H100"}


def report(record: dict[str, Any], place: Path, page: Path | None = None) -> None:
    """Write the record, the tables and, of methods that were trained, the plot; and the figures of the page."""
    write_whole(place.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
    write_whole(place.with_suffix(".md"), (table(record) + "\n").encode())
    trained = [(row, _cost(record, row)) for row in record["rows"] if row["method"].endswith(TRAINED)]
    if shown := [(row, cost["ms_a_query"]) for row, cost in trained if cost]:
        plot(shown, place.with_suffix(".png"))
    if page is not None:
        write_whole(page, with_figures(page.read_text(encoding="utf-8"), record).encode())


def table(record: dict[str, Any]) -> str:
    """The rows, the best first; intervals are 95% over episodes."""
    rows, steps = record["rows"], record["budget"]["steps"]
    lines = [
        f"Made by `benchmarks/methods.py`. Training: {steps:,} episodes from one pre-trained Conv-64F. "
        "Methods that look at P crops of a photo get 1/P of the episodes, so that every network sees as many images."
    ]
    if record["costs"]["machine"]:
        told = processor_line(record["costs"]["machine"])
        lines += ["", f"Costs: one run for all methods, processor time ({told}); not of the machine that trained them."]
    trained = [row for row in rows if row["method"].endswith(TRAINED)]
    for data in dict.fromkeys(row["data"] for row in trained):
        lines += _trained(record, [row for row in trained if row["data"] == data])
    return "\n".join(lines + _frozen(record, [row for row in rows if row not in trained]))


def _trained(record: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """The table of a data set with splits."""
    few, more = rows[0]["shots"]
    rows = sorted(rows, key=lambda row: -_mean(row, more))
    return [
        *_heading(rows[0]["data"], rows[0]["shots"][more], more),
        f"| method | training | {few}-shot | {more}-shot | published | measured on | parameters | s an episode "
        "| ms a query | MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_line(record, row, few, more) for row in rows),
    ]


def _frozen(record: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """One table of all folders of photos, two columns a folder."""
    if not rows:
        return []
    folders = list(dict.fromkeys(row["data"] for row in rows))
    few, more = rows[0]["shots"]
    found = {(row["method"], row["data"]): row for row in rows}
    methods = {row["method"]: row for row in rows}

    def mean(method: str) -> tuple[int, float]:
        there = [found[method, data] for data in folders if (method, data) in found]
        return -len(there), -sum(_mean(row, more) for row in there) / len(there)

    lines = []
    for method in sorted(methods, key=mean):
        shown = [found.get((method, data)) for data in folders]
        figures = [_interval(row, shot) if row else "" for row in shown for shot in (few, more)]
        costs = next((one for row in shown if row and (one := _cost(record, row))), {})
        lines.append("| " + " | ".join([_name(methods[method]), *figures, *_costs(costs)]) + " |")
    columns = [f"{data}, {shot}-shot" for data in folders for shot in (few, more)]
    return [
        *_heading("Folders of photos", rows[0]["shots"][more], more),
        "The network is EfficientNet-Lite0 as it comes, trained on ImageNet; nothing is trained further. The best mean "
        f"over folders comes first. {rows[0]['shots'][more]['episodes']} episodes.",
        "",
        f"| method | {' | '.join(columns)} | s an episode | ms a query | MB |",
        "|---|" + "---|" * (len(columns) + 3),
        *lines,
    ]


def _heading(title: str, asked: dict[str, Any], shot: str) -> list[str]:
    return [
        "",
        f"## {title}, {asked['way']}-way",
        "",
        f"Costs are those of an episode of {shot} photos a class and {asked['way'] * asked['queries']} queries: "
        "from photos to answers; a query's comparison alone; and the peak of memory.",
        "",
    ]


def with_figures(page: str, record: dict[str, Any]) -> str:
    """``docs/methods.md`` with the figures of the record in its column "ours": 1-shot / 5-shot, in %.

    The names of a row of the page stand in its first cell, forms of the first, such as ``-kl``, in its second. The
    figures are those of miniImageNet; a row of which the record has none keeps what it says.
    """
    lines = page.splitlines(keepends=True)
    column = next(line for line in lines if line.startswith("| method |")).split(" | ").index("ours")
    for number, line in enumerate(lines):
        cells = line.split(" | ")
        names = re.findall("`([^`]*)`", cells[0])
        if line.startswith("| `") and f"{names[0]}{TRAINED}" in METHODS:
            forms = {form: names[0] + form for form in re.findall("`(-[^`]*)`", cells[1])}
            asked = {"": names[0], **{name: name for name in names[1:]}, **forms}
            found = {told: _figure(record, f"{name}{TRAINED}") for told, name in asked.items()}
            there = [f"`{told}` {one}" if told else one for told, one in found.items() if one]
            cells[column] = "; ".join(there) or cells[column]
            lines[number] = " | ".join(cells)
    return "".join(lines)


def _figure(record: dict[str, Any], method: str) -> str | None:
    for row in record["rows"]:
        if (row["method"], row["data"]) == (method, MINI):
            return " / ".join(f"{100 * shot['accuracy']['mean']:.2f}" for shot in row["shots"].values())
    return None


def _cost(record: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = record["costs"]["methods"].get(f"{row['method']} on {row['data']}", {})
    return found


def _line(record: dict[str, Any], row: dict[str, Any], few: str, more: str) -> str:
    device = row["machine"]["device"]
    cells = [
        _name(row),
        row["training"],
        *(_interval(row, shot) for shot in (few, more)),
        PUBLISHED.get(row["method"], "") if row["data"] == MINI else "",
        _MACHINES.get(device, device),
        f"{row['parameters']:,}",
        *_costs(_cost(record, row)),
    ]
    return "| " + " | ".join(cells) + " |"


def _name(row: dict[str, Any]) -> str:
    return row["method"] + (" (transductive)" if row["transductive"] else "")


def _mean(row: dict[str, Any], shot: str) -> float:
    mean: float = row["shots"][shot]["accuracy"]["mean"]
    return mean


def _interval(row: dict[str, Any], shot: str) -> str:
    return with_interval(*(row["shots"][shot]["accuracy"][of] for of in ("mean", "ci95")))


def _costs(cost: dict[str, float]) -> list[str]:
    if not cost:
        return [""] * 3
    return [f"{cost['s_an_episode']:.2f}", f"{cost['ms_a_query']:.2f}", f"{cost['peak_memory_mb']:,.0f}"]
