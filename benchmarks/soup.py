"""The mean of networks that started from the same weights, as one method.

    python benchmarks/soup.py DATA runs/one/best.safetensors runs/other/best.safetensors --out soup.safetensors

What runs learnt apart is in their mean, and what each has by chance averages out; it costs no more than one of them.
Batch statistics are measured anew; then, as at the end of training, PLDA is learnt, levels balanced and the
validation split asked. Source: Wortsman et al., "Model soups", ICML 2022.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from triptych import load_method, save_method
from triptych.data import ImageStore, open_store
from triptych.evaluation import EvaluateSettings, evaluate
from triptych.methods import MML, Method
from triptych.system.memory import keep_freed_memory
from triptych.system.wording import with_interval
from triptych.training import PRESETS, TrainSettings, balance_levels, learn_closed_form

BATCHES, BATCH = 100, 80  # of images for the batch statistics
VALIDATION_SEED = 1  # that of training


def soup(data: str, files: list[Path], settings: TrainSettings, precision: str) -> MML:
    """The method of the mean weights."""
    methods = [_without_plda(load_method(file)) for file in files]
    configs = [one.config for one in methods]
    if any(config != configs[0] for config in configs) or configs[0].slots or configs[0].components:
        raise ValueError(f"expected methods of one configuration, without slots or components; got {configs}")
    method = MML(configs[0], methods[0].backbone)
    states = [one.backbone.state_dict() for one in methods]
    mean = {name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]}
    method.backbone.load_state_dict(mean)
    train, val = (open_store(data, split, method.preprocess) for split in ("train", "val"))
    with torch.no_grad():
        update_bn(_batches(method, train), method.backbone)
    method = learn_closed_form(method, train, settings.plda_images, precision)
    return balance_levels(method, val, settings.validation_shots, settings.balance_episodes, precision=precision)


def _without_plda(method: Method) -> MML:
    if method.name != MML.name:
        raise ValueError(f"expected networks of MML, got one of {method.name}")
    return method.without_plda()


def _batches(method: MML, store: ImageStore) -> Iterator[Tensor]:
    rng = np.random.default_rng(0)
    for _ in range(BATCHES):
        drawn = rng.choice(len(store.labels), min(BATCH, len(store.labels)), replace=False)
        yield method.preprocess.normalise(store[drawn])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--precision", default="bf16")
    given = parser.parse_args()
    keep_freed_memory()
    settings = PRESETS["fast"].train
    method = soup(given.data, given.files, settings, given.precision)
    save_method(method, given.out)
    for shot in settings.validation_shots:
        record = evaluate(
            given.data,
            method,
            str(given.out),
            EvaluateSettings(
                split="val",
                shot=shot,
                episodes=settings.validation_episodes,
                seed=VALIDATION_SEED,
                precision=given.precision,
            ),
        )
        levels = ", ".join(f"{name} {100 * one['mean']:.2f}" for name, one in record["levels"].items())
        print(f"{shot}-shot {with_interval(record['accuracy'], record['ci95'])}: {levels}", flush=True)


if __name__ == "__main__":
    main()
