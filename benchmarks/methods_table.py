"""The record of ``methods.py`` as tables and as a plot."""

import json
import re
from pathlib import Path
from typing import Any

from machine import processor_line
from methods_task import TRAINED
from published import PUBLISHED

from triptych.methods import METHODS
from triptych.system.files import write_whole
from triptych.system.wording import with_interval

__all__ = ["report", "table", "with_figures"]

_MACHINES = {"NVIDIA H100 80GB HBM3": "H100"}


def report(record: dict[str, Any], place: Path, page: Path | None = None) -> None:
    """Write the record, the tables and, of methods that were trained, the plot; and the figures of the page."""
    write_whole(place.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
    write_whole(place.with_suffix(".md"), (table(record) + "\n").encode())
    if any(_cost(record, row) for row in record["rows"] if row["method"].endswith(TRAINED)):
        plot(record, place.with_suffix(".png"))
    if page is not None:
        write_whole(page, with_figures(page.read_text(encoding="utf-8"), record).encode())


def table(record: dict[str, Any]) -> str:
    """The rows, the best first; intervals are 95% over episodes."""
    rows, steps = record["rows"], record["budget"]["steps"]
    lines = [f"Made by `benchmarks/methods.py`. Training: {steps:,} episodes from one pre-trained Conv-64F."]
    if record["costs"]["machine"]:
        told = processor_line(record["costs"]["machine"])
        lines += ["", f"Costs: one run for all methods, processor time ({told}); not of the machine that trained them."]
    for data in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == data]
        few, more = mine[0]["shots"]
        mine.sort(key=lambda row: -row["shots"][more]["accuracy"]["mean"])
        asked = mine[0]["shots"][more]
        lines += ["", f"## {data}, {asked['way']}-way", ""]
        lines += [
            f"Costs are those of an episode of {more} photos a class and {asked['way'] * asked['queries']} queries: "
            "from photos to answers; a query's comparison alone; and the peak of memory.",
            "",
            f"| method | training | {few}-shot | {more}-shot | published | measured on | parameters | s an episode "
            "| ms a query | MB |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_line(record, row, few, more) for row in mine]
    return "\n".join(lines)


def with_figures(page: str, record: dict[str, Any]) -> str:
    """``docs/methods.md`` with the figures of the record in its column "ours": 1-shot / 5-shot, in %.

    The names of a row of the page stand in its first cell, forms of the first, such as ``-kl``, in its second.
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
            cells[column] = "; ".join(there) or "not measured yet"
            lines[number] = " | ".join(cells)
    return "".join(lines)


def _figure(record: dict[str, Any], method: str) -> str | None:
    for row in record["rows"]:
        if row["method"] == method:
            return " / ".join(f"{100 * shot['accuracy']['mean']:.2f}" for shot in row["shots"].values())
    return None


def plot(record: dict[str, Any], place: Path) -> None:
    """Accuracy with five photos a class against the time of a query."""
    import matplotlib.pyplot as plt

    shown, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for row in record["rows"]:
        cost = _cost(record, row)
        if not row["method"].endswith(TRAINED) or not cost:
            continue
        accuracy = row["shots"]["5"]["accuracy"]
        x, y = cost["ms_a_query"], 100 * accuracy["mean"]
        axes.errorbar(x, y, 100 * accuracy["ci95"], fmt="o", markersize=4, color="tab:blue", alpha=0.8)
        axes.annotate(row["method"].removesuffix(TRAINED), (x, y), (4, 3), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", xlabel="ms to compare a query, one 5-way 5-shot task", ylabel="5-shot accuracy, %")
    axes.grid(alpha=0.3)
    shown.savefig(place, dpi=110)
    plt.close(shown)


def _cost(record: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = record["costs"]["methods"].get(f"{row['method']} on {row['data']}", {})
    return found


def _line(record: dict[str, Any], row: dict[str, Any], few: str, more: str) -> str:
    name = row["method"] + (" (transductive)" if row["transductive"] else "")
    published = PUBLISHED.get(row["method"], "") if row["method"].endswith(TRAINED) else ""
    accuracies = [
        with_interval(*(row["shots"][shot]["accuracy"][of] for of in ("mean", "ci95"))) for shot in (few, more)
    ]
    device, cost = row["machine"]["device"], _cost(record, row)
    costs = (
        [f"{cost['s_an_episode']:.2f}", f"{cost['ms_a_query']:.2f}", f"{cost['peak_memory_mb']:,.0f}"]
        if cost
        else [""] * 3
    )
    measured = [_MACHINES.get(device, device), f"{row['parameters']:,}", *costs]
    return "| " + " | ".join([name, row.get("training", "none"), *accuracies, published, *measured]) + " |"
