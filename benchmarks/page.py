"""How soon the page of the service is there, and how smoothly a shelf of many photos scrolls, in Debian's Chromium.

    python benchmarks/page.py

The record is ``benchmarks/results/page.json``. The shelf has 1,000 photos, the sample photos over and over with one
pixel changed. First paint is Chromium's own figure, of a page that it has not seen before. Then the page is scrolled
from its top to its end; the figures are the milliseconds between two frames.
"""

import argparse
import io
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from load import photos, service
from machine import machine
from PIL import Image
from playwright.sync_api import sync_playwright

from triptych import Recognizer
from triptych.data import NamedBytes
from triptych.serve.client import Client
from triptych.weights import DEFAULT

_RECORD = Path(__file__).resolve().parent / "results" / "page.json"
_TOGETHER = 20  # photos in one upload
_SCROLL = """async () => {
  const gaps = [];
  let before = performance.now();
  const end = document.documentElement.scrollHeight - innerHeight;
  for (let at = 0; at < end; at += 60) {
    scrollTo(0, at);
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - before);
    before = now;
  }
  return gaps;
}"""
_PAINT = """() => performance.getEntriesByName("first-contentful-paint").map((one) => one.startTime)[0]"""


def changed(photo: NamedBytes, number: int) -> NamedBytes:
    """Another photo that looks the same."""
    image = Image.open(io.BytesIO(photo.data)).convert("RGB")
    image.putpixel((number % image.width, number // image.width), (number % 256, 0, 0))
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return NamedBytes(encoded.getvalue(), f"{number}.png")


def run(count: int, method: str, loads: int = 5) -> dict[str, Any]:
    """The record."""
    known, asked = photos()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.triptych")
        Recognizer(method, calibrate=False).fit([one for one, _ in known], [label for _, label in known]).save(file)
        with service(file, Path(folder, "data")) as target, Client(target.address, timeout=600) as client:
            [shelf] = client.shelves()
            labels = [one["name"] for one in client.shelf(shelf["id"])["classes"]]
            fresh = [changed(asked[number % len(asked)], number) for number in range(count - shelf["photos"])]
            for number, label in enumerate(labels):
                mine = fresh[number :: len(labels)]
                for start in range(0, len(mine), _TOGETHER):
                    client.add_photos(shelf["id"], label, mine[start : start + _TOGETHER])
            revision = client.shelf(shelf["id"])["revision"]
            while client.state(shelf["id"], revision, seconds=60)["revision"] < revision:
                pass
            return {"photos": count, **_seen(target.address, loads), "machine": machine(torch.device("cpu"))}


def _seen(address: str, loads: int) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        paints = []
        for _ in range(loads):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.goto(address, wait_until="load")
            paints.append(page.evaluate(_PAINT))
        page.wait_for_function("document.querySelectorAll('#classes li img').length >= 40", timeout=60_000)
        gaps = page.evaluate(_SCROLL)
        browser.close()
    marks = statistics.quantiles(gaps, n=100, method="inclusive")
    return {
        "first_paint_ms": {"median": round(statistics.median(paints)), "worst": round(max(paints))},
        "frame_ms": {f"p{mark}": round(marks[mark - 1], 1) for mark in (50, 95, 99)} | {"frames": len(gaps)},
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--method", default=DEFAULT)
    parser.add_argument("--json", type=Path, default=_RECORD, help="write the record here")
    arguments = parser.parse_args()
    text = json.dumps(run(arguments.photos, arguments.method), indent=1) + "\n"
    arguments.json.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
