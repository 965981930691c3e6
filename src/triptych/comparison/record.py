"""Is it worth it on my photos? Every contender on repeated splits of a user's own folder, as one record."""

import base64
import time
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch

from triptych.comparison.baselines import pooled
from triptych.comparison.collection import Collection, collect
from triptych.comparison.contest import FUSED, contest
from triptych.comparison.settings import CompareSettings
from triptych.comparison.splits import SplitSampler, usable_shots
from triptych.comparison.suspects import Doubts, left_out
from triptych.data import LabelledPhotos
from triptych.evaluation import Accuracy, Episode
from triptych.interop import called, chosen_method
from triptych.methods import Method, weights_hash
from triptych.recognizer import check_inductive
from triptych.similarity import in_precision
from triptych.system.devices import usable_device
from triptych.system.environment import versions
from triptych.system.memory import keep_freed_memory
from triptych.system.precision import resolve_precision
from triptych.system.progress import track
from triptych.weights import DEFAULT

__all__ = ["compare"]

# Multiplications of the pixel level, which is nearly all of the work, for the splits and for leaving out: two to four
# minutes each of float32 on two cores. To weigh the levels of each split takes a quarter of a minute besides, at most.
_WORK = (12e12, 6e12)
_LEAST_ASKED = 30
_PAIRS, _SUSPECTS = 12, 24


@dataclass(frozen=True)
class _Split:
    """What one split gave: shot -> its episode, and shot -> contender -> answers."""

    episodes: dict[int, Episode]
    answers: dict[int, dict[str, np.ndarray]]

    def accuracy(self, shot: int, contender: str) -> float:
        return float((self.answers[shot][contender] == self.episodes[shot].query_labels).mean())


def compare(
    photos: LabelledPhotos,
    labels: Iterable[Hashable] | None = None,
    method: str | PathLike[str] | Method = DEFAULT,
    settings: CompareSettings = CompareSettings(),  # noqa: B008 (frozen)
    device: str = "cpu",
    backbone: str | PathLike[str] | None = None,
    split: str | None = None,
) -> dict[str, Any]:
    """Compare a method, each of its levels and plain classifiers of its pooled features on a user's own photos.

    In each of some random splits every contender learns from the same photos of every class and answers the
    same others. Each photo is encoded once. A photo that occurs twice counts once, so that no contender is asked
    about what it has learnt from; one that lies in two classes is left out and reported. Time is bounded: beyond
    some minutes of work fewer photos are asked about, never fewer repeats.

    Args:
        photos: a folder with one sub-folder per class, or what else ``Recognizer.fit`` takes.
        labels: of the photos, where ``photos`` does not name them.
        method: as in ``Recognizer``.
        settings: how many splits, and of how many photos.
        device: where it computes.
        backbone: a vision model of the transformers library; see ``pretrained_method``. Its fusion is learnt from the
            photos of each split, as a ``Recognizer`` learns it.
        split: "train", "val" or "test" of photos that have splits.

    Returns:
        A JSON-serialisable record: accuracy and interval of every contender at every shot and its paired difference
        to the fused answer, confusions, photos that may be in the wrong class, what was left out and why, small
        JPEGs in base64 of the photos it names, and all that is needed to rerun the figures.
        ``comparison_page`` makes a page of it.

    Raises:
        ValueError: no photos of two classes of which one has a second photo, or a transductive method.

    Examples:
        >>> import numpy as np
        >>> from triptych.comparison import CompareSettings, compare
        >>> rng = np.random.default_rng(0)
        >>> photos = [rng.integers(low, low + 60, (90, 90, 3), dtype=np.uint8) for low in (0, 150) for _ in range(3)]
        >>> labels = ["dark", "dark", "dark", "bright", "bright", "bright"]
        >>> record = compare(photos, labels, settings=CompareSettings(repeats=2))
        >>> record["curve"][0]["contenders"]["all levels"]["mean"]
        1.0
    """
    settings = replace(settings, precision=resolve_precision(settings.precision, usable_device(device).type))
    started = time.perf_counter()
    keep_freed_memory()
    model = chosen_method(method, backbone).eval().to(usable_device(device))
    check_inductive(model)
    with in_precision(settings.precision, next(model.parameters()).device.type):
        collection = collect(model, photos, labels, seed=settings.seed, split=split)
        measured = _measured(model, collection, _sampler(collection, settings), settings.repeats)
    record = {
        **_described(collection),
        **measured,
        "data": str(photos) if isinstance(photos, str | PathLike) else None,
        "method": called(method, backbone) if not isinstance(method, Method) else model.config.backbone,
        "backbone": None if backbone is None else str(backbone),
        "split": split,
        "config": asdict(model.config),
        "weights_sha256": weights_hash(model),
        **asdict(settings),
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": versions(("torch", "numpy", "scikit-learn")),
    }
    return {**record, "seconds": round(time.perf_counter() - started, 1)}


def _measured(method: Method, collection: Collection, sampler: SplitSampler, repeats: int) -> dict[str, Any]:
    """The results of the splits and of leaving photos out."""
    splits = _run(method, collection, sampler, repeats)
    bound = _comparisons(collection, _WORK[1])
    doubts = left_out(method, collection.encoded, collection.labels, bound, seed=sampler.seed)
    thumbnails: dict[str, str] = {}
    return {
        "curve": [_point(splits, shot, len(collection)) for shot in sampler.shots],
        "confusion": _confusion(collection, splits, sampler.shots[-1], thumbnails),
        "suspects": _suspects(collection, doubts, thumbnails),
        "thumbnails": thumbnails,
        "asked": len(splits[0].episodes[sampler.shots[0]].query),
    }


def _sampler(collection: Collection, settings: CompareSettings) -> SplitSampler:
    counts = np.bincount(collection.labels)
    usable = usable_shots(counts.tolist(), settings.shots)
    learnt = sum(int(np.minimum(counts, shot).sum()) for shot in usable)
    asked = max(_LEAST_ASKED, _comparisons(collection, _WORK[0]) // (settings.repeats * learnt))
    return SplitSampler(collection.labels, usable, settings.queries, asked, settings.seed)


def _comparisons(collection: Collection, work: float) -> int:
    """How many pairs of photos may be compared."""
    _, channels, height, width = collection.encoded.maps.shape
    return int(work / (channels * (height * width) ** 2))


def _run(method: Method, collection: Collection, sampler: SplitSampler, repeats: int) -> list[_Split]:
    vectors = pooled(collection.encoded.maps)
    drawn = [sampler[number] for number in range(repeats)]
    tasks = [(number, shot) for number in range(repeats) for shot in sampler.shots]
    answers: list[dict[int, dict[str, np.ndarray]]] = [{} for _ in drawn]
    for number, shot in track(tasks, "comparing", total=len(tasks)):
        answers[number][shot] = contest(method, collection.encoded, vectors, drawn[number][shot])
    return [_Split(episodes, given) for episodes, given in zip(drawn, answers, strict=True)]


def _point(splits: list[_Split], shot: int, photos: int) -> dict[str, Any]:
    """One point of the learning curve: every contender at one number of photos per class."""
    asked = len(splits[0].episodes[shot].query) / photos
    fused = np.array([split.accuracy(shot, FUSED) for split in splits])
    contenders = {}
    for name in splits[0].answers[shot]:
        own = np.array([split.accuracy(shot, name) for split in splits])
        contenders[name] = {
            **asdict(Accuracy.over_splits(own, asked)),
            "difference": asdict(Accuracy.over_splits(fused - own, asked)),
        }
    return {"shot": shot, "contenders": contenders}


def _described(collection: Collection) -> dict[str, Any]:
    counts = np.bincount(collection.labels).tolist()
    return {
        "photos": len(collection),
        "classes": [{"name": name, "photos": n} for name, n in zip(collection.classes, counts, strict=True)],
        "data_fingerprint": collection.fingerprint,
        "unreadable": list(collection.unreadable),
        "repeated": [{"kept": kept, "left_out": other} for kept, other in collection.repeated],
        "contested": [[{"class": label, "photo": name} for label, name in copies] for copies in collection.contested],
        "missing": list(collection.missing),
        "unread": collection.unread,
    }


def _confusion(collection: Collection, splits: list[_Split], shot: int, thumbnails: dict[str, str]) -> dict[str, Any]:
    """Which class is taken for which by the fused answer, over all splits."""
    asked = np.concatenate([split.episodes[shot].query for split in splits])
    answers = np.concatenate([split.answers[shot][FUSED] for split in splits])
    truth = collection.labels[asked]
    cells, counts = np.unique(np.stack([truth, answers], axis=1), axis=0, return_counts=True)
    names = collection.classes
    return {
        "shot": shot,
        "answers": [
            {"class": names[t], "answer": names[a], "count": int(count)}
            for (t, a), count in zip(cells.tolist(), counts, strict=True)
        ],
        "pairs": [_pair(collection, asked, answers, pair, thumbnails) for pair in _confused(truth, answers)],
    }


def _confused(truth: np.ndarray, answers: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of classes most often taken for each other, in either direction."""
    wrong = truth != answers
    pairs = np.sort(np.stack([truth[wrong], answers[wrong]], axis=1), axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_PAIRS]
    return [(int(one), int(other)) for one, other in distinct[order]]


def _pair(
    collection: Collection, asked: np.ndarray, answers: np.ndarray, pair: tuple[int, int], thumbnails: dict[str, str]
) -> dict[str, Any]:
    truth = collection.labels[asked]
    sides: list[dict[str, Any]] = []
    for own, other in (pair, pair[::-1]):
        taken = asked[(truth == own) & (answers == other)]
        example = int(taken[0]) if len(taken) else int(np.flatnonzero(collection.labels == own)[0])
        sides.append(
            {
                "class": collection.classes[own],
                "asked": int((truth == own).sum()),
                "taken_for_the_other": len(taken),
                "photo": _shown(collection, example, thumbnails),
            }
        )
    return {"count": sum(side["taken_for_the_other"] for side in sides), "sides": sides}


def _suspects(collection: Collection, doubts: Doubts, thumbnails: dict[str, str]) -> dict[str, Any]:
    """The photos most likely to be in the wrong class."""
    order = [i for i in np.argsort(-doubts.doubt, kind="stable") if doubts.doubt[i] > 0][:_SUSPECTS]
    return {
        "checked": len(doubts.photos),
        "disagreed": int((doubts.doubt > 0).sum()),
        "photos": [
            {
                "class": collection.classes[collection.labels[doubts.photos[i]]],
                "answer": collection.classes[doubts.answers[i]],
                "doubt": round(float(doubts.doubt[i]), 4),
                "photo": _shown(collection, int(doubts.photos[i]), thumbnails),
                "example": _shown(collection, int(doubts.panel[doubts.answers[i]][0]), thumbnails),
            }
            for i in order
        ],
    }


def _shown(collection: Collection, photo: int, thumbnails: dict[str, str]) -> dict[str, str]:
    """How the record names a photo; its thumbnail is kept."""
    key = collection.ids[photo]
    thumbnails[key] = base64.b64encode(collection.thumbnails[photo]).decode()
    return {"name": collection.names[photo], "thumbnail": key}
