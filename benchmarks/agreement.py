"""Do fast searches give the same answers? Predictions in bf16 beside those in float32, on real episodes.

python benchmarks/agreement.py DATA --json benchmarks/results/agreement.json
"""

import argparse
import json
from pathlib import Path

import torch

from triptych import load_method
from triptych.data import open_store
from triptych.evaluation.episodes import EpisodeSampler
from triptych.evaluation.evaluate import encode_images
from triptych.methods import MML
from triptych.methods.files import weights_hash


@torch.inference_mode()
def agreement(method: MML, data: str, shot: int, queries: int, seed: int) -> dict[str, object]:
    """Share of the queries of 5-way validation episodes whose answer is that of float32, per precision and level."""
    store = open_store(data, "val", method.preprocess)
    exact = encode_images(method, store.images)
    half = encode_images(method, store.images, "bf16")
    sampler = EpisodeSampler(store.labels, 5, shot, 15, seed, store.classes)
    same: dict[str, dict[str, int]] = {"bf16-search": {}, "bf16": {}}
    moved = {"bf16-search": 0.0, "bf16": 0.0}
    episodes = -(-queries // 75)
    for number in range(episodes):
        episode = sampler[number]
        labels = torch.from_numpy(episode.support_labels)
        expected = scores(method, exact[episode.query], exact[episode.support], labels, torch.float32)
        for precision, maps in (("bf16-search", exact), ("bf16", half)):
            found = scores(method, maps[episode.query], maps[episode.support], labels, torch.bfloat16)
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
    method: MML, query: torch.Tensor, support: torch.Tensor, labels: torch.Tensor, search_dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    levels = method.compare_maps(query, support, labels, search_dtype)
    return {**levels, "fused": method.fusion(levels)}


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
