"""Evaluation: accuracy over episodes with its 95% interval, each level and pair beside the fused answer."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.stats import t as student_t
from torch import Tensor

import triptych
from triptych.data import ImageStore, open_store
from triptych.evaluation.episodes import Episode, EpisodeSampler
from triptych.methods import MML, Method
from triptych.methods.files import weights_hash
from triptych.system.memory import keep_freed_memory
from triptych.system.progress import progress_bar

__all__ = ["BATCH", "Accuracy", "check_precision", "encode_images", "evaluate", "evaluate_store", "per_level"]

PRECISIONS = ("32", "bf16-search", "bf16")
BATCH = {"cpu": 20, "cuda": 500}  # on a CPU, so few that a layer's maps stay in cache


@dataclass(frozen=True)
class Accuracy:
    """Mean accuracy over episodes and the half-width of its 95% confidence interval, both in [0, 1].

    >>> import numpy as np
    >>> from triptych.evaluation.evaluate import Accuracy
    >>> accuracy = Accuracy.over(np.array([0.4, 0.6, 0.5, 0.5]))
    >>> round(accuracy.mean, 3), round(accuracy.ci95, 3)
    (0.5, 0.08)
    """

    mean: float
    ci95: float

    @classmethod
    def over(cls, episodes: np.ndarray) -> "Accuracy":
        """From one accuracy per episode: mean +- 1.96 standard errors (unbiased deviation)."""
        deviation = episodes.std(ddof=1) if len(episodes) > 1 else 0.0
        return cls(float(episodes.mean()), float(1.96 * deviation / sqrt(len(episodes))))

    @classmethod
    def over_splits(cls, splits: np.ndarray, asked: float) -> "Accuracy":
        r"""From one accuracy, or difference of two, per random split of the same photos.

        Splits share photos, so that more of them do not tell more and more: with J splits of deviation s, a share a
        of the photos asked about in each, and the quantile t of Student's distribution, the half-width is

        .. math:: t_{J-1, 0.975} \, s \, \sqrt{1 / J + a / (1 - a)}

        Source: Nadeau and Bengio, Machine Learning 52 (2003), the corrected resampled t-test.
        """
        if len(splits) < 2 or not 0 < asked < 1:
            raise ValueError(f"expected two splits at least and a share between 0 and 1, got {len(splits)} and {asked}")
        width = student_t.ppf(0.975, len(splits) - 1) * sqrt(1 / len(splits) + asked / (1 - asked))
        return cls(float(splits.mean()), float(width * splits.std(ddof=1)))


def evaluate(
    data: str | Path,
    method: MML,
    name: str,
    split: str = "test",
    way: int = 5,
    shot: int = 1,
    queries: int = 15,
    episodes: int = 2000,
    seed: int = 0,
    precision: str = "32",
    flips: bool = False,
) -> dict[str, Any]:
    """Evaluate a method on seeded episodes of a split.

    Args:
        data: a data set; see ``open_store``.
        method: what is evaluated; ``name`` is how the record calls it.
        name: the method's name or path.
        split: of data sets that have splits.
        way: classes in an episode.
        shot: support images of each class.
        queries: query images of each class.
        episodes: how many.
        seed: of the episodes.
        precision: "32"; "bf16-search", which seeks nearest neighbours in bfloat16 and gives the same answers but
            for one in thousands; or "bf16", which computes the feature maps in bfloat16 too.

    Returns:
        A JSON-serialisable record: accuracy and interval of the fused answer, of each level alone and of each pair,
        with the paired difference that the rest makes; and all that is needed to rerun the figure exactly.

    Raises:
        ValueError: bad data or settings, or the same file twice in the split.

    >>> from importlib import resources
    >>> from triptych import load_method
    >>> from triptych.evaluation.evaluate import evaluate
    >>> method = load_method("mml-conv64f")
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     record = evaluate(folder, method, "mml-conv64f", way=2, queries=2, episodes=2)
    >>> 0 <= record["accuracy"] <= 1, list(record["levels"])[:3]
    (True, ['distribution', 'pixel', 'part'])
    """
    check_precision(precision)
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    started = time.perf_counter()
    keep_freed_memory()
    device = next(method.parameters()).device
    store = open_store(data, split, method.preprocess).to(device)
    if store.duplicates:
        first, second = store.duplicates[0]
        raise ValueError(
            f"{first} and {second} are the same photo: support and query would share it "
            f"({len(store.duplicates)} such pairs in all); remove one of each"
        )
    sampler = EpisodeSampler(store.labels, way, shot, queries, seed, store.classes)
    accuracies = evaluate_store(method, store, sampler, episodes, precision, flips)
    whole = accuracies[" + ".join(method.config.levels)]
    fused = Accuracy.over(whole)
    return {
        "accuracy": fused.mean,
        "ci95": fused.ci95,
        "levels": {
            subset: {**asdict(Accuracy.over(values)), "all_minus": asdict(Accuracy.over(whole - values))}
            for subset, values in accuracies.items()
        },
        "method": name,
        "config": asdict(method.config),
        "weights_sha256": weights_hash(method),
        "data": str(data),
        "split": split,
        "data_fingerprint": store.fingerprint,
        "way": way,
        "shot": shot,
        "queries": queries,
        "episodes": episodes,
        "seed": seed,
        "precision": precision,
        "flips": flips,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": versions(),
    }


@torch.inference_mode()
def evaluate_store(
    method: Method,
    store: ImageStore,
    sampler: EpisodeSampler,
    episodes: int,
    precision: str = "32",
    flips: bool = False,
) -> dict[str, np.ndarray]:
    """Accuracy of each episode, (episodes,), for every subset of the levels; "a + b" names a subset.

    Every image is encoded once, with ``flips`` its mirror image too; an episode then only indexes the feature maps.

    >>> import numpy as np
    >>> import torch
    >>> from triptych.data import ImageStore
    >>> from triptych.evaluation.episodes import EpisodeSampler
    >>> from triptych.evaluation.evaluate import evaluate_store
    >>> from triptych.methods import build_method
    >>> images, labels = torch.zeros(4, 84, 84, 3, dtype=torch.uint8), np.array([0, 0, 1, 1])
    >>> store = ImageStore(images, labels, ("a", "b"), ("1", "2", "3", "4"), fingerprint="")
    >>> sampler = EpisodeSampler(labels, way=2, shot=1, queries=1)
    >>> evaluate_store(build_method("dn4-conv64f"), store, sampler, episodes=2)["pixel"].shape
    (2,)
    """
    images = [store.images, store.images.flip(2)] if flips else [store.images]
    views = [encode_images(method, one, precision) for one in images]
    search_dtype = torch.float32 if precision == "32" else torch.bfloat16
    found: dict[str, list[float]] = {}
    with progress_bar() as bar:
        task = bar.add_task(f"{sampler.way}-way {sampler.shot}-shot", total=episodes, status="")
        for number in range(episodes):
            episode = sampler[number]
            levels = _compare_views(method, views, episode, search_dtype)
            for subset, scores in per_level(method, levels).items():
                answers = scores.argmax(1).cpu().numpy()
                found.setdefault(subset, []).append(float((answers == episode.query_labels).mean()))
            status = f"accuracy {np.mean(found[subset]):.4f}"
            bar.update(task, completed=number + 1, status=status)
    return {subset: np.asarray(values) for subset, values in found.items()}


def _compare_views(
    method: Method, views: Sequence[Float[Tensor, "B P H W"]], episode: Episode, search_dtype: torch.dtype
) -> dict[str, Float[Tensor, "Q N"]]:
    """Levels of an episode: all views of the support count as support, those of a query are averaged."""
    support = torch.cat([maps[episode.support] for maps in views])  # (V*S, P, H, W)
    query = torch.cat([maps[episode.query] for maps in views])  # (V*Q, P, H, W)
    labels = torch.from_numpy(episode.support_labels).repeat(len(views)).to(support.device)
    levels = method.compare_maps(query, support, labels, search_dtype, len(views))
    return {name: scores.view(len(views), -1, scores.shape[1]).mean(0) for name, scores in levels.items()}


def per_level(method: Method, levels: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "Q N"]]:
    """The scores of each level alone, of each pair and of all: the ablation of one pass; all levels come last.

    A level alone is ranked by its own similarities, as no fusion is involved; a subset of several by the sum of
    their contributions to the logits.

    >>> import torch
    >>> from triptych.evaluation.evaluate import per_level
    >>> from triptych.methods import build_method
    >>> levels = {name: torch.rand(3, 2) for name in ("distribution", "pixel")}
    >>> list(per_level(build_method("adm-conv64f"), levels))
    ['distribution', 'pixel', 'distribution + pixel']
    """
    scores = dict(levels)
    contributions = method.fusion.contributions(levels)
    for size in range(2, len(levels) + 1):
        for names in combinations(levels, size):
            scores[" + ".join(names)] = torch.stack([contributions[name] for name in names]).sum(0)
    return scores


@torch.inference_mode()
def encode_images(
    method: Method, images: UInt8[Tensor, "B side side 3"], precision: str = "32"
) -> Float[Tensor, "B P H W"]:
    """What ``method.encode`` gives of decoded images, float32 or bfloat16.

    Raises:
        ValueError: an unknown precision.

    >>> import torch
    >>> from triptych.evaluation.evaluate import encode_images
    >>> from triptych.methods import build_method
    >>> encode_images(build_method("mml-conv64f"), torch.zeros(2, 84, 84, 3, dtype=torch.uint8)).shape
    torch.Size([2, 64, 21, 21])
    """
    check_precision(precision)
    method.eval()
    device = images.device.type
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        parts = [method.encode(method.preprocess.normalise(pixels)) for pixels in images.split(BATCH[device])]
    return torch.cat(parts)


def check_precision(precision: str) -> None:
    """Raise a ValueError for what is no precision of an evaluation.

    >>> from triptych.evaluation.evaluate import check_precision
    >>> check_precision("fp8")
    Traceback (most recent call last):
    ValueError: unknown precision 'fp8'; expected one of 32, bf16-search, bf16
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; expected one of {', '.join(PRECISIONS)}")


def versions() -> dict[str, str]:
    """Of what computes the figures."""
    return {
        "triptych": triptych.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
