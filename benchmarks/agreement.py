"""Do fast searches give the same answers? Predictions in bf16 beside those in float32, on real episodes.

python benchmarks/agreement.py DATA --json benchmarks/results/agreement.json
"""

import argparse
import json
from pathlib import Path

import torch

from triptych import load_method
from triptych.data import open_store
from triptych.evaluation import EpisodeSampler
from triptych.methods import Encoded, Method, encode_images, weights_hash
from triptych.similarity import in_precision


@torch.inference_mode()
def agreement(method: Method, data: str, shot: int, queries: int, seed: int) -> dict[str, object]:
    """Share of the queries of 5-way validation episodes whose answer is that of float32, per precision and level."""
    store = open_store(data, "val", method.preprocess)
    exact = encode_images(method, store.images)
    with in_precision("bf16", store.images.device.type):
        half = encode_images(method, store.images)
    sampler = EpisodeSampler(store.labels, 5, shot, 15, seed, store.classes)
    same: dict[str, dict[str, int]] = {"bf16-search": {}, "bf16": {}}
    moved = {"bf16-search": 0.0, "bf16": 0.0}
    episodes = -(-queries // 75)
    for number in range(episodes):
        episode = sampler[number]
        labels = torch.from_numpy(episode.support_labels)
        expected = scores(method, exact[episode.query], exact[episode.support], labels, "32")
        for precision, encoded in (("bf16-search", exact), ("bf16", half)):
            found = scores(method, encoded[episode.query], encoded[episode.support], labels, precision)
            for level, values in found.items():
                agree = int((values.argmax(1) == expected[level].argmax(1)).sum())
                same[precision][level] = same[precision].get(level, 0) + agree
            change = ((found["pixel"] - expected["pixel"]) / expected["pixel"]).abs().max().item()
            moved[precision] = max(moved[precision], change)
    total = 75 * episodes
    return {
        "shot": shot,
        "queries": total,
        "seed": seed,
        "same_answer": {name: {level: n / total for level, n in levels.items()} for name, levels in same.items()},
        "largest_relative_change_of_a_pixel_score": moved,
    }


def scores(
    method: Method, query: Encoded, support: Encoded, labels: torch.Tensor, precision: str
) -> dict[str, torch.Tensor]:
    with in_precision(precision, query.device.type):
        levels = method.compare_encoded(query, support, labels)
    return {**levels, "fused": method.fuse(levels)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--method", default="mml-conv64f")
    parser.add_argument("--queries", type=int, default=10_000, help="of each shot")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    method = load_method(arguments.method)
    rows = [agreement(method, arguments.data, shot, arguments.queries, arguments.seed) for shot in (1, 5)]
    for row in rows:
        print(json.dumps(row, indent=1))
    if arguments.json:
        record = {"method": arguments.method, "weights_sha256": weights_hash(method), "split": "val", "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
