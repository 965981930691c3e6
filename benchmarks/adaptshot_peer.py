"""adaptshot as its README uses it, for peers.py: run by the Python that has it, with nothing of Triptych.

One task, as JSON, on stdin: photos and classes to learn from, and photos to ask about. The answers, as JSON, on stdout.
"""

import contextlib
import json
import re
import resource
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any


def peak_memory() -> int:
    """The most memory that this process has held, in bytes; ``ru_maxrss`` would count that of its parent too."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (peak,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(peak)


def installed_bytes(package: str) -> dict[str, int]:
    """Package -> the bytes of its files, for a package and all that it requires (extras left out)."""
    found: dict[str, int] = {}
    wanted = [package]
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # of another system or Python
            continue
        places = {Path(str(file.locate())) for file in files}
        found[name] = sum(place.stat().st_size for place in places if place.is_file())
        required = distribution(name).requires or []
        wanted += [re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in required if "extra ==" not in one]
    return found


def answered(task: dict[str, Any]) -> dict[str, Any]:
    """What it answers to one task, and what that takes."""
    start = time.process_time()
    from adaptshot import FewShotLearner

    imported = time.process_time() - start
    learner = FewShotLearner()
    start = time.process_time()
    learner.load_support_images(task["support"], task["labels"])
    fitted = time.process_time() - start
    start = time.process_time()
    results = [learner.predict(photo) for photo in task["asked"]]
    seconds = time.process_time() - start
    return {
        "answers": [result.prediction for result in results],
        "confidence": [result.calibrated_confidence for result in results],
        "strangeness": [
            result.distance_to_prototype for result in results
        ],  # its best; ood_score is 0 of single photos
        "import_s": imported,
        "fit_s": fitted,
        "photo_ms": 1000 * seconds / max(len(results), 1),
        "memory_bytes": peak_memory(),
        "installed": installed_bytes("adaptshot"),
    }


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):
        found = answered(json.load(sys.stdin))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
