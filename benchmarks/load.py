"""How many photos a service answers, how fast, and whether any is lost: many clients at once, beside the network alone.

    python benchmarks/load.py --peer peer/bin/python

That is 5 minutes each with 1, 8 and 64 clients, 16 minutes for the service and 15 for the peer; ``--seconds 5 --json
look.json`` is a look. Each row is written to ``benchmarks/results/load.json`` as soon as it is measured. A call with
the same settings on the same machine goes on after the last row; ``--again`` measures all anew. The service runs in a
process of its own, as ``triptych serve`` starts it. Each client asks about one photo, waits for the answer, and asks
again. The photo's name comes back with the answer, and the service's own count is compared with the clients': so a lost
answer, one that went elsewhere, and one that was given twice are seen. The ceilings are measured before, on the same
photos: what the network encodes in its best batches, what is decoded, and what the recogniser, which does both and
compares, answers without a service. ``cpu_ms`` is the processor time of each: what the service adds is the rest.

With ``--peer PYTHON`` LitServe serves the same recogniser to the same clients afterwards: see ``load_peer.py``. Run it
on a machine that does nothing else: clients and service share its cores. ``others`` in a row says how many cores other
programs kept busy meanwhile.
"""

import argparse
import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import torch
from asking import Asker, Target
from machine import machine

from triptych import Recognizer
from triptych.data import NamedBytes, list_folder, read_photos
from triptych.methods import Method, encode_images
from triptych.serve.client import Client
from triptych.support import encode, in_one_pass
from triptych.system.files import write_whole
from triptych.weights import DEFAULT

_SAMPLES = Path(__file__).resolve().parents[1] / "src" / "triptych" / "samples"
_RECORD = Path(__file__).resolve().parent / "results" / "load.json"
_SHOT, _BATCH = 5, 32
_PASSES = (1, 2, 4, 8, 16, 32)  # photos in one pass of the network, for which the cores share each operation
_EACH = (1, 2, 4)  # photos in one pass on each core
_SAMPLES_OF_MEMORY = 60


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


@torch.no_grad()
def ceilings(recognizer: Recognizer, asked: list[NamedBytes], seconds: float) -> dict[str, Any]:
    """Photos a second without a service: of the network alone by photos in one pass, and of the recogniser."""
    method, batch = recognizer.method_, (asked * _BATCH)[:_BATCH]
    pixels = torch.from_numpy(np.stack([photo.pixels for photo in read_photos(batch, method.preprocess)]))
    share = seconds / (len(_PASSES) + len(_EACH) + 2)
    found = {str(size): _rate(lambda size=size: len(encode_images(method, pixels, size)), share) for size in _PASSES}
    found |= {
        f"{size} on each core": _rate(lambda size=size: _on_each_core(method, pixels, size), share) for size in _EACH
    }
    decoding = _rate(lambda: len(list(read_photos(batch, method.preprocess))), share)
    answers = _rate(lambda: len(list(recognizer.answers(batch, "none", 0.05))), share)
    best = max(found, key=lambda size: found[size]["photos_per_second"])
    return {
        "network": {"photos_in_one_pass": best, **found[best]},
        "network_by_photos_in_one_pass": {size: rate["photos_per_second"] for size, rate in found.items()},
        "decoding": decoding,
        "recogniser": answers,
    }


def _on_each_core(method: Method, pixels: torch.Tensor, size: int) -> int:
    with in_one_pass(size):
        return len(encode(method, pixels.numpy()))


def _rate(work: Any, seconds: float) -> dict[str, float]:
    """How many a second, and the processor time of each."""
    work()
    done, start, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        done += work()
    took, used = time.perf_counter() - start, time.process_time() - used
    return {"photos_per_second": round(done / took, 2), "cpu_ms": round(1e3 * used / done, 2)}


@contextmanager
def service(file: Path, data: Path) -> Iterator[Target]:
    """A service of a file, as the command starts it."""
    rates = ["--changes-per-second", "1000000", "--reads-per-second", "1000000"]
    command = [sys.executable, "-m", "triptych.cli", "serve", str(file), "--port", "0", "--data", str(data), *rates]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        address = child.stdout.readline().split()[2].partition("/#")[0]
        with Client(address) as client:
            [shelf] = client.shelves()
        yield Target(address, f"/v1/shelves/{shelf['id']}/predict", child.pid)
        child.terminate()
        assert child.wait(120) == 0


@contextmanager
def peer(python: Path, file: Path) -> Iterator[Target]:
    """LitServe with the same recogniser, in an environment that has it."""
    script = Path(__file__).with_name("load_peer.py")
    command = [str(python), str(script), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout is not None
        port = next(line.split()[1] for line in child.stdout if line.startswith("port "))
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/health")
        try:
            yield Target(address, "/predict", child.pid)
        finally:
            os.killpg(child.pid, signal.SIGKILL)  # its workers outlive its end


def _wait_for(url: str, seconds: float = 180) -> None:
    from urllib.request import urlopen

    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


@dataclass
class Memory:
    """MB that a process and its children have in memory, over time."""

    process: int
    every: float

    def __post_init__(self) -> None:
        self.seen: list[int] = [self._now()]
        self._over = Event()
        self._thread = Thread(target=self._watch)
        self._thread.start()

    def end(self) -> list[int]:
        """What was seen."""
        self._over.set()
        self._thread.join()
        return [*self.seen, self._now()]

    def _watch(self) -> None:
        while not self._over.wait(self.every):
            self.seen.append(self._now())

    def _now(self) -> int:
        sizes = [Path(f"/proc/{one}/status").read_text().partition("VmRSS:")[2].split() for one in tree(self.process)]
        return round(sum(int(size[0]) for size in sizes if size) / 1e3)


def tree(process: int) -> list[int]:
    """A process and what it has started."""
    children = Path(f"/proc/{process}/task/{process}/children")
    found = [int(one) for one in children.read_text().split()]
    return [process, *(one for child in found for one in tree(child))]


def processor_seconds(process: int) -> float:
    """Of a process and what it has started."""
    ticks = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13] for one in tree(process)]
    return sum(int(one) for pair in ticks for one in pair) / 100


def _busy_seconds() -> float:
    """Processor time of all programs of the machine; idle time and waiting for disks are none."""
    fields = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / 100


def load(target: Target, asked: Sequence[NamedBytes], clients: int, seconds: float) -> dict[str, Any]:
    """What so many clients see: photos a second, milliseconds, memory, and answers that are not theirs."""
    bodies = [base64.b64encode(photo.data).decode() for photo in asked]
    before, used = target.answered(), (processor_seconds(target.process), time.process_time())
    busy, start = _busy_seconds(), time.perf_counter()
    memory = Memory(target.process, max(1.0, seconds / _SAMPLES_OF_MEMORY))
    end = time.perf_counter() + seconds
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(lambda number: Asker(target, number).until(end, bodies), range(clients)))
    span = time.perf_counter() - start  # a slow server's last answers come after the end
    seen = memory.end()
    took = sorted(1e3 * one for mine in found for one in mine.took)
    marks = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else took * 99
    answered = max(len(took), 1)
    told = target.answered()
    cpu = processor_seconds(target.process) - used[0], time.process_time() - used[1]
    others = (_busy_seconds() - busy - sum(cpu)) / span
    return {
        "clients": clients,
        "answers": len(took),
        "photos_per_second": round(len(took) / span, 2),
        **{f"p{mark}_ms": round(marks[mark - 1], 1) if took else None for mark in (50, 95, 99)},
        "cpu_ms": {"server": round(1e3 * cpu[0] / answered, 2), "clients": round(1e3 * cpu[1] / answered, 2)},
        "others": round(max(others, 0.0), 2),
        "told_to_wait": sum(mine.busy for mine in found),
        "lost": sum(mine.lost for mine in found),
        "of_another_photo": sum(mine.wrong for mine in found),
        "twice": None if told is None or before is None else told - before - len(took),
        "memory_mb": {"start": seen[0], "most": max(seen), "end": seen[-1], "over_time": seen},
    }


def run(
    seconds: float,
    clients: list[int],
    method: str,
    python: Path | None = None,
    before: Mapping[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """The record; ``keep`` gets it after each row, and what an earlier record ``before`` has is not measured again."""
    record: dict[str, Any] = {"method": method, "seconds": seconds, "machine": machine(torch.device("cpu"))}
    record |= {} if before is None or any(before.get(key) != one for key, one in record.items()) else before
    known, asked = photos()
    recognizer = Recognizer(method).fit([photo for photo, _ in known], [label for _, label in known])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.triptych")
        recognizer.save(file)
        if "ceilings" not in record:
            record["ceilings"] = ceilings(recognizer, asked, min(seconds, 60))
            keep(record)
        for name in ["triptych"] if python is None else ["triptych", "litserve"]:
            rows = record.setdefault(name, [])
            missing = [count for count in clients if count not in {row["clients"] for row in rows}]
            if not missing:
                continue
            ours = python is None or name == "triptych"
            with service(file, Path(folder, "data")) if ours else peer(python, file) as target:
                load(target, asked, 4, min(seconds, 2))  # the first answers are slower
                for count in missing:
                    rows.append(_beside(load(target, asked, count, seconds), record["ceilings"]))
                    keep(record)
                    print(name, json.dumps(rows[-1]), file=sys.stderr)
    return record


def _beside(row: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the shares of the ceilings that it reaches, of photos a second."""
    shares = {what: row["photos_per_second"] / top[what]["photos_per_second"] for what in ("network", "recogniser")}
    return {**row, "share_of_ceiling": {what: round(share, 3) for what, share in shares.items()}}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="for each number of clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--method", default=DEFAULT)
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="of an environment with triptych and LitServe")
    parser.add_argument("--json", type=Path, default=_RECORD, help="the record; it is gone on with")
    parser.add_argument("--again", action="store_true", help="measure all anew")
    arguments = parser.parse_args()
    file: Path = arguments.json
    before = json.loads(file.read_text()) if file.exists() and not arguments.again else None

    def keep(record: dict[str, Any]) -> None:
        write_whole(file, (json.dumps(record, indent=1) + "\n").encode())

    record = run(arguments.seconds, arguments.clients, arguments.method, arguments.peer, before, keep)
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
