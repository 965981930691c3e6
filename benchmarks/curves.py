"""The course of a training run, drawn from its TensorBoard logs.

python benchmarks/curves.py runs/mml/pretrain runs/mml src/triptych/weights/mml-conv64f.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SMOOTHED = 25  # logged steps a moving average spans


def read(run: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and values of everything a run has logged; where it was resumed, the later log counts."""
    log = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    curves = {}
    for name in log.Tags()["scalars"]:
        latest = {event.step: event.value for event in log.Scalars(name)}
        steps = np.array(sorted(latest))
        curves[name] = steps, np.array([latest[step] for step in steps])
    return curves


def draw(runs: list[Path]) -> Figure:
    """One row a run: loss and training accuracy on the left, validation on the right."""
    figure = Figure(figsize=(10, 3.2 * len(runs)), layout="constrained")
    for (left, right), run in zip(figure.subplots(len(runs), 2, squeeze=False), runs, strict=True):
        curves = read(run)
        for axis, name, colour in ((left, "loss", "C0"), (left.twinx(), "accuracy", "C1")):
            steps, values = curves[name]
            width = min(SMOOTHED, len(values))
            axis.plot(steps[width - 1 :], np.convolve(values, np.ones(width) / width, "valid"), colour, lw=1)
            axis.set_ylabel(f"{name} of training steps", color=colour)
        for name, (steps, values) in curves.items():
            if name.startswith("validation/") and "+" not in name:
                right.plot(steps, 100 * values, ".-", label=name.removeprefix("validation/"))
        right.set_ylabel("validation accuracy, %")
        if right.lines:  # a run may not have been validated yet
            right.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
        for axis in (left, right):
            axis.set_xlabel("step")
            axis.set_title(run.name, fontsize="small")
            axis.grid(alpha=0.3)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    draw(given.runs).savefig(given.picture, dpi=100)


if __name__ == "__main__":
    main()
