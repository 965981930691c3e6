"""How many photos a service answers, how fast, and whether any is lost: many clients at once, beside the network alone.

    python benchmarks/load.py --seconds 300 --json benchmarks/results/load-cpu.json

The service runs in a process of its own on this machine, as ``triptych serve`` starts it. Each client asks about one
photo, waits for the answer, and asks again; the photo's name comes back with the answer, so that a lost one and one
that went elsewhere are seen. The ceiling is what the recogniser answers in the service's batches without a service.
Run it on a machine that does nothing else: clients and service share its cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from machine import machine

from triptych import Recognizer
from triptych.data import NamedBytes, list_folder
from triptych.serve.client import Client, ServiceError
from triptych.weights import DEFAULT

_SAMPLES = Path(__file__).resolve().parents[1] / "src" / "triptych" / "samples"
_SHOT, _BATCH = 5, 32


def photos() -> tuple[list[tuple[NamedBytes, str]], list[NamedBytes]]:
    """The sample photos to learn from, with their classes, and the others."""
    listing = list_folder(_SAMPLES)
    known, asked, counts = [], [], dict.fromkeys(listing.classes, 0)
    for source, number in zip(listing.sources, listing.labels, strict=True):
        label, path = listing.classes[number], Path(str(source))
        photo = NamedBytes(path.read_bytes(), path.name)
        counts[label] += 1
        if counts[label] <= _SHOT:
            known.append((photo, label))
        else:
            asked.append(photo)
    return known, asked


def ceiling(recognizer: Recognizer, asked: list[NamedBytes], seconds: float) -> float:
    """Photos a second that are answered in full batches, without a service."""
    batch = (asked * _BATCH)[:_BATCH]
    list(recognizer.answers(batch))
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += len(list(recognizer.answers(batch)))
    return done / (time.perf_counter() - start)


@contextmanager
def served(file: Path, data: Path) -> Iterator[tuple[str, int]]:
    """A service of a file: its address and process."""
    rates = ["--changes-per-second", "1000000", "--reads-per-second", "1000000"]
    command = [sys.executable, "-m", "triptych.cli", "serve", str(file), "--port", "0", "--data", str(data), *rates]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield child.stdout.readline().split()[2], child.pid
        child.terminate()
        assert child.wait(120) == 0


def load(address: str, shelf: str, asked: list[NamedBytes], clients: int, seconds: float) -> dict[str, Any]:
    """What so many clients see: photos a second, milliseconds, and how many had no answer of their own."""
    end = time.perf_counter() + seconds

    def ask_often(number: int) -> tuple[list[float], int, int]:
        took, busy, wrong, turn = [], 0, 0, 0
        with Client(address) as client:
            while (start := time.perf_counter()) < end:
                turn += 1
                photo = NamedBytes(asked[(number + turn) % len(asked)].data, f"{number}-{turn}")
                try:
                    answers = client.predict(shelf, [photo])["answers"]
                except ServiceError as error:
                    if error.retry_after is None:
                        raise
                    busy += 1
                    time.sleep(error.retry_after)
                    continue
                took.append(time.perf_counter() - start)
                wrong += [answer["image"] for answer in answers] != [photo.name]
        return took, busy, wrong

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(ask_often, range(clients)))
    took = sorted(1e3 * one for mine, _, _ in found for one in mine)
    marks = statistics.quantiles(took, n=100, method="inclusive")
    return {
        "clients": clients,
        "answers": len(took),
        "photos_per_second": round(len(took) / seconds, 2),
        "p50_ms": round(marks[49], 1),
        "p95_ms": round(marks[94], 1),
        "p99_ms": round(marks[98], 1),
        "told_to_wait": sum(busy for _, busy, _ in found),
        "wrong": sum(wrong for _, _, wrong in found),
    }


def memory(process: int) -> float:
    """MB that a process has in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1e3


def run(seconds: float, clients: list[int], method: str) -> dict[str, Any]:
    """The record."""
    known, asked = photos()
    recognizer = Recognizer(method).fit([photo for photo, _ in known], [label for _, label in known])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.triptych")
        recognizer.save(file)
        top = ceiling(recognizer, asked, min(seconds, 30))
        with served(file, Path(folder, "data")) as (address, process):
            with Client(address) as client:
                shelf = client.shelves()[0]["id"]
                client.predict(shelf, asked[:4])
            for count in clients:
                before = memory(process)
                row = load(address, shelf, asked, count, seconds)
                row |= {"share_of_ceiling": round(row["photos_per_second"] / top, 3)}
                rows.append(row | {"mb_before": round(before), "mb_after": round(memory(process))})
                print(json.dumps(rows[-1]), file=sys.stderr)
    return {
        "method": method,
        "seconds": seconds,
        "ceiling_photos_per_second": round(top, 2),
        "rows": rows,
        "machine": machine(torch.device("cpu")),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="for each number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--method", default=DEFAULT)
    parser.add_argument("--json", type=Path, help="write the record here")
    arguments = parser.parse_args()
    text = json.dumps(run(arguments.seconds, arguments.clients, arguments.method), indent=1) + "\n"
    if arguments.json is not None:
        arguments.json.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
