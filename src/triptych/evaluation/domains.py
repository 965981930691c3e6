"""Cross-domain evaluation: one method on several data sets, by the same settings and seed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triptych.data import check_data
from triptych.evaluation.episodes import EpisodeSampler
from triptych.evaluation.evaluating import evaluate, open_evaluated
from triptych.evaluation.settings import EvaluateSettings
from triptych.methods import Method, weights_hash
from triptych.system.settings import NAME
from triptych.system.wording import printable, with_interval

__all__ = ["domain_table", "evaluate_domains"]


def evaluate_domains(
    datasets: Sequence[str | Path],
    method: Method,
    name: str,
    settings: EvaluateSettings = EvaluateSettings(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """Evaluate a method on several data sets, such as others than it was trained on.

    All data sets are looked at before the first is evaluated, so that a mistake in the last one costs nothing.

    Args:
        datasets: see ``open_store``.
        method: what is evaluated.
        name: the method's name or path.
        settings: which episodes of each, and how.

    Returns:
        A JSON-serialisable record, with that of ``evaluate`` for each data set under "domains".

    Raises:
        ValueError: bad data or settings, no data set, or the same one twice.

    >>> from importlib import resources
    >>> from triptych import load_method
    >>> from triptych.evaluation import EvaluateSettings, domain_table, evaluate_domains
    >>> settings = EvaluateSettings(way=2, queries=2, episodes=2)
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     record = evaluate_domains([folder], load_method("mml-conv64f"), "mml-conv64f", settings)
    >>> domain_table(record).splitlines()[0]
    '| data | classes | images | all levels | distribution | pixel | part | plda |'
    """
    NAME.ask("name", name)
    for one in datasets:
        check_data(one)
    if not datasets:
        raise ValueError("no data sets; expected one or more")
    names = [os.path.realpath(one) if os.path.exists(one) else str(one) for one in datasets]
    if twice := [one for one in names if names.count(one) > 1]:
        raise ValueError(f"{printable(twice[0])}: named twice; expected each data set once")
    sizes = [_size(one, settings, method) for one in datasets]
    records = [evaluate(one, method, name, settings) for one in datasets]
    return {
        "method": name,
        "transductive": method.transductive,
        "weights_sha256": weights_hash(method),
        **asdict(settings),
        "precision": records[0]["precision"],  # what "auto" became
        "device": records[0]["device"],
        "domains": [size | record for size, record in zip(sizes, records, strict=True)],
    }


def domain_table(record: Mapping[str, Any]) -> str:
    """The accuracies of a record of ``evaluate_domains`` as a Markdown table, in % with 95% intervals."""
    domains = record["domains"]
    levels = [level for level in domains[0]["levels"] if " + " not in level]
    shown = levels if len(levels) > 1 else []
    lines = [
        f"| data | classes | images | {' | '.join(['all levels', *shown])} |",
        f"|{'---|' * (4 + len(shown))}",
    ]
    for one in domains:
        figures = [one["levels"][level] for level in shown]
        cells = [
            with_interval(one["accuracy"], one["ci95"]),
            *(with_interval(it["mean"], it["ci95"]) for it in figures),
        ]
        name = printable(one["data"]).replace("|", "\\|")
        lines.append(f"| {' | '.join([name, str(one['classes']), str(one['images']), *cells])} |")
    if record["transductive"]:
        lines += ["", "Transductive: the queries of an episode are answered together."]
    return "\n".join(lines)


def _size(data: str | Path, settings: EvaluateSettings, method: Method) -> dict[str, int]:
    """How much there is of a data set, which must be enough for the episodes, and no photo twice."""
    store = open_evaluated(data, settings, method)
    try:
        EpisodeSampler(store.labels, settings.way, settings.shot, settings.queries, classes=store.classes)
    except ValueError as error:
        raise ValueError(f"{printable(data)}: {error}") from error
    return {"classes": len(store.classes), "images": len(store)}
