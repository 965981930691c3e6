"""Evaluation: accuracy over episodes with its 95% interval, each level and pair beside the fused answer."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from triptych.data import ImageStore, open_store
from triptych.evaluation.ablation import per_level
from triptych.evaluation.accuracy import Accuracy
from triptych.evaluation.episode_files import EpisodeFile
from triptych.evaluation.episodes import Episode, EpisodeSampler
from triptych.evaluation.settings import EvaluateSettings
from triptych.methods import Encoded, Method, encode_images, weights_hash
from triptych.similarity import in_precision
from triptych.system.environment import versions
from triptych.system.memory import keep_freed_memory
from triptych.system.precision import resolve_precision
from triptych.system.progress import progress_bar
from triptych.system.settings import check_kind

__all__ = ["evaluate", "evaluate_store", "open_evaluated"]


def evaluate(
    data: str | Path,
    method: Method,
    name: str,
    settings: EvaluateSettings = EvaluateSettings(),  # noqa: B008 (frozen)
    episodes: EpisodeFile | None = None,
) -> dict[str, Any]:
    """Evaluate a method on seeded episodes of a split, or on those of a file.

    Args:
        data: a data set; see ``open_store``.
        method: what is evaluated; ``name`` is how the record calls it.
        name: the method's name or path.
        settings: which episodes, and how.
        episodes: of ``read_episodes``, in place of those of the settings.

    Returns:
        A JSON-serialisable record: accuracy and interval of the fused answer, of each level alone and of subsets of
        them, with the paired difference to all levels; and all that is needed to rerun the figure exactly.

    Raises:
        ValueError: bad data or settings, the same file twice in the split, or episodes of other data.

    >>> from importlib import resources
    >>> from triptych import load_method
    >>> from triptych.evaluation import EvaluateSettings, evaluate
    >>> settings = EvaluateSettings(way=2, queries=2, episodes=2)
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     record = evaluate(folder, load_method("mml-conv64f"), "mml-conv64f", settings)
    >>> 0 <= record["accuracy"] <= 1, list(record["levels"])[:4]
    (True, ['distribution', 'pixel', 'part', 'plda'])
    """
    check_kind(method, Method, "a method, such as load_method gives")
    started = time.perf_counter()
    keep_freed_memory()
    device = next(method.parameters()).device
    settings = replace(settings, precision=resolve_precision(settings.precision, device.type))
    if episodes is not None:
        settings = episodes.settings_for(settings)
    store = open_evaluated(data, settings, method).to(device)
    tasks = _sampler(store, settings) if episodes is None else episodes.tasks_of(store)
    accuracies = evaluate_store(method, store, tasks, settings.episodes, settings.precision, settings.flips)
    return {
        **_figures(accuracies, fused=" + ".join(method.level_names)),
        "method": name,
        "transductive": method.transductive,
        "config": method.config.to_dict(),
        "weights_sha256": weights_hash(method),
        "data": str(data),
        "data_fingerprint": store.fingerprint,
        **asdict(settings),
        **({} if episodes is None else {"episodes_file": {"name": episodes.name, "sha256": episodes.sha256}}),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": versions(("torch", "numpy")),
    }


@torch.inference_mode()
def evaluate_store(
    method: Method,
    store: ImageStore,
    sampler: EpisodeSampler | Sequence[Episode],
    episodes: int,
    precision: str = "auto",
    flips: bool = False,
) -> dict[str, np.ndarray]:
    """Accuracy of each episode, (episodes,), for every subset of the levels that ``per_level`` scores.

    Every image that the episodes draw is encoded once, with ``flips`` its mirror image too; an episode then only
    indexes what is encoded.
    """
    method.eval()
    drawn, place = _drawn(sampler, episodes, len(store))
    found: dict[str, list[float]] = {}
    with in_precision(precision, store.images.device.type), progress_bar() as bar:
        pixels = store[drawn]
        views = [encode_images(method, one) for one in ([pixels, pixels.flip(2)] if flips else [pixels])]
        told = f"{sampler.way}-way {sampler.shot}-shot" if isinstance(sampler, EpisodeSampler) else "episodes"
        task = bar.add_task(told, total=episodes, status="")
        for number in range(episodes):
            episode = sampler[number].at(place)
            levels = _compare_views(method, views, episode)
            for subset, scores in per_level(method, levels).items():
                answers = scores.argmax(1).cpu().numpy()
                found.setdefault(subset, []).append(float((answers == episode.query_labels).mean()))
            bar.update(task, completed=number + 1, status=f"accuracy {np.mean(found[subset]):.4f}")
    return {subset: np.asarray(values) for subset, values in found.items()}


def open_evaluated(data: str | Path, settings: EvaluateSettings, method: Method) -> ImageStore:
    """The split that a method is evaluated on.

    Raises:
        ValueError: bad data, or the same photo twice.
    """
    store = open_store(data, settings.split, method.preprocess)
    if store.duplicates:
        first, second = store.duplicates[0]
        raise ValueError(
            f"{first} and {second} are the same photo: support and query would share it "
            f"({len(store.duplicates)} such pairs in all); remove one of each"
        )
    return store


def _sampler(store: ImageStore, settings: EvaluateSettings) -> EpisodeSampler:
    return EpisodeSampler(store.labels, settings.way, settings.shot, settings.queries, settings.seed, store.classes)


def _drawn(sampler: EpisodeSampler | Sequence[Episode], episodes: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """The images that the episodes draw, and for each image of the store its place among them."""
    drawn = np.unique(np.concatenate([sampler[number].images for number in range(episodes)]))
    place = np.full(images, -1, dtype=np.int64)
    place[drawn] = np.arange(len(drawn))
    return drawn, place


def _compare_views(method: Method, views: Sequence[Encoded], episode: Episode) -> dict[str, Float[Tensor, "Q N"]]:
    """Levels of an episode: all views of the support count as support, those of a query are averaged."""
    support = Encoded.join([view[episode.support] for view in views])  # V*S
    query = Encoded.join([view[episode.query] for view in views])  # V*Q
    labels = torch.from_numpy(episode.support_labels).repeat(len(views)).to(support.device)
    levels = method.compare_encoded(query, support, labels, len(views))
    return {name: scores.view(len(views), -1, scores.shape[1]).mean(0) for name, scores in levels.items()}


def _figures(accuracies: dict[str, np.ndarray], fused: str) -> dict[str, Any]:
    whole = accuracies[fused]
    accuracy = Accuracy.over(whole)
    return {
        "accuracy": accuracy.mean,
        "ci95": accuracy.ci95,
        "levels": {
            subset: {**asdict(Accuracy.over(values)), "all_minus": asdict(Accuracy.over(whole - values))}
            for subset, values in accuracies.items()
        },
    }
