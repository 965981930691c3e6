"""A bank of 100 to 100,000 classes: how good the shortlist is, and what a question and a change cost.

    python benchmarks/bank.py --data miniimagenet --work WORK_DIR --classes 100 1000 10000 --shot 5

Sizes that ``--out`` has already are not measured again. Photos are encoded once, and queries are asked as they are
encoded: the network's own time is not in any figure.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bank_classes import Classes, encoded_photos, ids_of
from machine import machine
from torch import Tensor

from triptych import load_method
from triptych.bank import Bank, Row
from triptych.methods import Encoded, Method
from triptych.recognizer.bank_sample import axes_of, renewed
from triptych.recognizer.bank_state import open_bank, state_bytes
from triptych.recognizer.banked import SHORTLIST, Banked, key_of
from triptych.recognizer.calibration import Learnt
from triptych.recognizer.knowledge import Knowledge
from triptych.recognizer.leaving_out import LeftOut
from triptych.support import support_of

LISTS = (50, 100, 200)
LEARNT = 500  # classes of which the axes of the shortlist are learnt
WRITTEN = 250  # classes at a time
IN_MEMORY = 1000  # classes up to which all are compared in memory too
BLOCK = 250  # classes that are scored at once, exhaustively


def build(place: Path, method: Method, classes: Classes, count: int) -> tuple[Banked, int]:
    """The bank with so many classes, and how many it lacked: they are added, and what is common to all learnt anew.

    A build that was killed goes on where it stopped.
    """
    bank = Bank(str(place))
    if bank.exists:
        known, _ = open_bank(str(place), "cpu")
    else:
        first = [support_of(method, method.restore(classes.photos(n))) for n in range(min(LEARNT, count))]
        axes = axes_of(method, first)
        bank.create(axes.axes.shape[1])
        nothing = Learnt(method.fusion, None, LeftOut({}, torch.empty(0, dtype=torch.int64), (), ()))
        known = Banked(bank, Knowledge(method, {}, np.dtype("U"), nothing, True), axes, 1, 0)
    there = len(known.bank.counts())
    for start in range(there, count, WRITTEN):
        numbers = range(start, min(start + WRITTEN, count))
        known.bank.add(rows(known, {n: classes.photos(n) for n in numbers}))
        print(f"\r{min(start + WRITTEN, count):,} classes", end="", file=sys.stderr)
        if not bank.exists:
            known = renewed(known)
            bank.write_state(state_bytes(known, thumbnails=False))
    known = renewed(known)
    known.bank.write_state(state_bytes(known, thumbnails=False))
    return known, max(count - there, 0)


@torch.no_grad()
def rows(known: Banked, photos: dict[int, Encoded]) -> list[Row]:
    """The photos of these classes, from what is kept of them."""
    encoded = known.method.restore(Encoded.join(list(photos.values())))
    vectors, compared = known.vectors(encoded), known.method.keep_compared(encoded)
    names = [(n, photo) for n, kept in photos.items() for photo in ids_of(n, len(kept))]
    return [
        Row(key_of(f"c{n:06}"), photo, "", vectors[i], compared[i : i + 1], b"") for i, (n, photo) in enumerate(names)
    ]


@torch.no_grad()
def exhaustive(known: Banked, queries: Encoded, count: int) -> list[str]:
    """The most probable of all classes for each query, by the same scores."""
    best = torch.full((len(queries),), -torch.inf, dtype=torch.float64)
    answers = [""] * len(queries)
    for start in range(0, count, BLOCK):
        keys = [key_of(f"c{n:06}") for n in range(start, min(start + BLOCK, count))]
        found = known.bank.supports(known.method, keys, known.views)
        near = replace(known.shared, support=dict(found))
        for first in range(0, len(queries), 8):
            scores, places = near.logits(near.method.compare(queries[first : first + 8], near.classes)).max(1)
            for i, (score, place) in enumerate(zip(scores.tolist(), places.tolist(), strict=True), first):
                if score > best[i]:
                    best[i], answers[i] = score, near.order[place]
        print(f"\rexhaustively {start + len(keys):,} of {count:,}", end="", file=sys.stderr)
    return answers


def clock(work: Callable[[], Any], times: list[tuple[float, float]]) -> Any:
    """Milliseconds on the clock, and of the processor in all threads, which others on the machine change less."""
    start = time.perf_counter(), time.process_time()
    found = work()
    times.append((1000 * (time.perf_counter() - start[0]), 1000 * (time.process_time() - start[1])))
    return found


def spread(times: list[tuple[float, float]]) -> dict[str, float]:
    wall, processor = np.percentile(times, [50, 99], axis=0).T.round(2).tolist()
    return {"p50_ms": wall[0], "p99_ms": wall[1], "processor_p50_ms": processor[0], "processor_p99_ms": processor[1]}


@torch.no_grad()
def measure(known: Banked, classes: Classes, count: int, asked: int, compared: int) -> dict[str, Any]:
    numbers = np.random.default_rng(0).permutation(count)[:asked].tolist()
    queries = [known.method.restore(classes.photos(n, query=True)) for n in numbers]
    vectors = [known.vectors(query)[0] for query in queries]
    truth = [key_of(f"c{n:06}") for n in numbers]
    lists: dict[int, list[list[str]]] = {}
    result: dict[str, Any] = {"classes": count, "photos": len(known.bank), "asked": len(numbers)}
    for size in LISTS:
        times: list[tuple[float, float]] = []
        known.bank.shortlist(vectors[0], size)
        lists[size] = [clock(lambda one=one, size=size: known.bank.shortlist(one, size), times) for one in vectors]
        result[f"shortlist_{size}"] = {
            "holds_the_true_class": share(t in found for t, found in zip(truth, lists[size], strict=True)),
            **spread(times),
        }
    flat = [known.bank.shortlist(one, SHORTLIST, exact=True) for one in vectors]
    result["same_classes_as_without_index"] = share(
        one in both for own, both in zip(flat, lists[SHORTLIST], strict=True) for one in own
    )
    times = []
    best = [clock(lambda query=query: answer(known, query), times) for query in queries]
    result["question"] = spread(times)
    result["right"] = share(a == b for a, b in zip(best, truth, strict=True))
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        result["memory_mb"] = fresh.submit(memory_of_questions, known.bank.place, queries[:20]).result()
    if count <= IN_MEMORY:
        result["in_memory"] = in_memory(known, queries[:50])
    start = time.perf_counter()
    exact = exhaustive(known, Encoded.join(queries[:compared]), count) if compared else []
    result["exhaustive"] = {
        "queries": len(exact),
        "right": share(a == b for a, b in zip(exact, truth, strict=False)),
        "agreement": share(a == b for a, b in zip(exact, best, strict=False)),
        **{f"agreement_{size}": share(a in b for a, b in zip(exact, lists[size], strict=False)) for size in LISTS},
        "seconds": round(time.perf_counter() - start, 1),
    }
    result["faiss"] = beside_faiss(known, vectors, truth, exact)
    result["change"] = changes(known, classes, count)
    result["disk_mb"] = round(sum(f.stat().st_size for f in Path(known.bank.place).rglob("*") if f.is_file()) / 1e6)
    calibration = known.learnt.calibration
    assert calibration is not None
    result["left_out"] = {"accuracy": calibration.accuracy, "temperature": calibration.temperature}
    return result


def answer(known: Banked, query: Encoded) -> str:
    near = known.near(query)
    logits = near.logits(near.method.compare(query, near.classes))
    return key_of(near.order[int(logits.argmax())])


def in_memory(known: Banked, queries: list[Encoded]) -> dict[str, float]:
    """A question that is compared with all classes, which lie in memory."""
    everything = replace(known.shared, support=known.bank.supports(known.method, known.bank.counts(), known.views))
    times: list[tuple[float, float]] = []
    for query in (queries[0], *queries):
        clock(lambda query=query: everything.logits(everything.method.compare(query, everything.classes)), times)
    return spread(times[1:])


def memory_of_questions(place: str, queries: list[Encoded]) -> dict[str, int]:
    """The peak memory of this process once it has opened a bank, and once it has answered questions too."""
    torch.set_num_threads(1)
    known, _ = open_bank(place, "cpu")
    opened = peak_memory_mb()
    with torch.no_grad():
        for query in queries:
            answer(known, query)
    return {"opened": opened, "asked": peak_memory_mb()}


def peak_memory_mb() -> int:
    """Not of ``resource``, which counts the process that started this one too."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return round(int(status["VmHWM"].split()[0]) / 1e3)


def share(true: Any) -> float | None:
    found = list(true)
    return round(float(np.mean(found)), 4) if found else None


def changes(known: Banked, classes: Classes, count: int) -> dict[str, Any]:
    """The time to add a class and to remove it again, of photos that are encoded."""
    adding: list[tuple[float, float]] = []
    removing: list[tuple[float, float]] = []
    for number in range(20):
        mine = rows(known, {10_000_000 + number: classes.photos(number)})
        clock(lambda mine=mine: known.bank.add(mine), adding)
    for number in range(20):
        clock(lambda number=number: known.bank.remove(key_of(f"c{10_000_000 + number:06}")), removing)
    return {"add": spread(adding), "remove": spread(removing)}


def beside_faiss(known: Banked, vectors: list[Tensor], truth: list[str], exact: list[str]) -> dict[str, Any]:
    """The first stage by faiss, flat and HNSW, over the same vectors."""
    try:
        import faiss
    except ImportError:
        return {"left_out": "faiss is not installed"}
    faiss.omp_set_num_threads(1)
    labels, stored = known.bank.all_vectors()
    found: dict[str, Any] = {}
    for name, make in {
        "flat": lambda: faiss.IndexFlatL2(stored.shape[1]),
        "hnsw": lambda: faiss.IndexHNSWFlat(stored.shape[1], 32),
    }.items():
        index, start = make(), time.perf_counter()
        index.add(stored)
        seconds = time.perf_counter() - start
        if name == "hnsw":
            index.hnsw.efSearch = 4 * SHORTLIST
        times: list[tuple[float, float]] = []
        near = []
        for one in vectors:
            rows = clock(lambda one=one, index=index: index.search(one.numpy()[None], 4 * SHORTLIST)[1][0], times)
            near.append(list(dict.fromkeys(labels[i] for i in rows))[:SHORTLIST])
        found[name] = {
            "holds_the_true_class": share(t in own for t, own in zip(truth, near, strict=True)),
            "agreement": share(a in own for a, own in zip(exact, near, strict=False)),
            "build_seconds": round(seconds, 1),
            **spread(times),
        }
    return found


def draw(record: dict[str, Any], path: Path) -> None:
    """What the shortlist holds and what a question takes, by the number of classes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for shot, line in zip(sorted({row["shot"] for row in record["rows"].values()}), ("-", "--"), strict=False):
        rows = sorted((row for row in record["rows"].values() if row["shot"] == shot), key=lambda row: row["classes"])
        x = [row["classes"] for row in rows]
        for size, colour in zip(LISTS, ("tab:blue", "tab:orange", "tab:green"), strict=True):
            compared = [row for row in rows if row["exhaustive"]["queries"]]
            held = [100 * row["exhaustive"][f"agreement_{size}"] for row in compared]
            true = [100 * row[f"shortlist_{size}"]["holds_the_true_class"] for row in rows]
            label = f"the answer of all: {size} classes, {shot} photos each"
            left.semilogx([row["classes"] for row in compared], held, f"o{line}", color=colour, label=label)
            left.semilogx(x, true, f"x{line}", color=colour, alpha=0.5, label=f"the true class: {size}, {shot} each")
        for name, colour, found in (
            ("question", "tab:blue", [row["question"] for row in rows]),
            (f"its shortlist of {SHORTLIST}", "tab:orange", [row[f"shortlist_{SHORTLIST}"] for row in rows]),
            ("a class added", "tab:green", [row["change"]["add"] for row in rows]),
        ):
            times = [one["processor_p50_ms"] for one in found]
            right.loglog(x, times, f"o{line}", color=colour, label=f"{name}, {shot} photos each")
        kept = [row for row in rows if "in_memory" in row]
        times = [row["in_memory"]["processor_p50_ms"] for row in kept]
        label = f"all classes in memory, {shot} photos each"
        right.loglog([row["classes"] for row in kept], times, f"o{line}", color="tab:grey", label=label)
    left.set(xlabel="classes", ylabel="%", title="What a shortlist holds")
    right.set(xlabel="classes", ylabel="ms of the processor, median", title="Time, without the network")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of miniImageNet's Parquet files")
    parser.add_argument("--work", type=Path, required=True, help="banks and encoded photos are kept here")
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--shot", type=int, default=5, help="photos of a class, 1 to 5")
    parser.add_argument("--asked", type=int, default=200, help="photos that are asked about")
    parser.add_argument("--compared", type=int, default=100, help="of them, those that are compared with all classes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "bank.json")
    parser.add_argument("--plot", type=Path, default=Path(__file__).parent / "bank.png")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    method = load_method("mml-efficientnet-lite0").eval()
    record = (
        json.loads(asked.out.read_text())
        if asked.out.exists()
        else {"machine": machine(torch.device("cpu")), "rows": {}}
    )
    classes = Classes(method, *encoded_photos(method, asked.data, asked.work / "encoded.pt"), asked.shot)
    for count in asked.classes:
        name = f"{count} x {asked.shot}"
        if name in record["rows"]:
            continue
        start = time.process_time()
        known, added = build(asked.work / f"{count}x{asked.shot}", method, classes, count)
        built = {"added": added, "processor_seconds": round(time.process_time() - start, 1)}
        row = measure(known, classes, count, asked.asked, asked.compared)
        record["rows"][name] = {"shot": asked.shot, "build": built, **row}
        asked.out.write_text(json.dumps(record, indent=1) + "\n")
        print(f"\n{name}: {json.dumps(record['rows'][name])}")
    draw(record, asked.plot)


if __name__ == "__main__":
    main()
