"""What a bank knows of all its classes together: learnt from a sample of them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from triptych.bank import Axes, learn_axes
from triptych.methods import Method, Summary
from triptych.recognizer.banked import SHORTLIST, Banked, label_of
from triptych.recognizer.calibration import Learnt, calibrated, learn, refuse_not_finite, uncalibrated
from triptych.recognizer.knowledge import ordered
from triptych.recognizer.leaving_out import LeftOut, even_shares
from triptych.support import Support, picked, restored
from triptych.system.progress import track

__all__ = ["axes_of", "by_chance", "renewed"]

_CLASSES = 256  # of which the covariances are learnt
_PHOTOS = 2000  # of them together
_LEFT_OUT = 96  # photos, where each has a shortlist of its own
_PART = 4  # of few classes, the photos left out are of so great a part


def by_chance(keys: Iterable[str]) -> list[str]:
    """Labels in an order that is as good as random, and always the same: that of their hashes.

    The first so many are a sample of the classes that hardly changes when classes come or go.

    >>> from triptych.recognizer.bank_sample import by_chance
    >>> by_chance(["a", "b", "c"]) == by_chance(["c", "b", "a"])
    True
    """
    return sorted(keys, key=lambda key: hashlib.blake2b(key.encode(), digest_size=8).digest())


@torch.no_grad()
def axes_of(method: Method, supports: Sequence[Support]) -> Axes:
    """The axes of the vectors of a bank, from some of its classes."""
    pooled = [method.pooled(restored(method, one, photo)) for one in supports for photo in range(len(one))]
    shots = torch.tensor([len(one) for one in supports])
    return learn_axes(torch.cat(pooled).cpu(), torch.arange(len(supports)).repeat_interleave(shots))


@torch.no_grad()
def renewed(known: Banked) -> Banked:
    """With what is known of all classes together learnt anew.

    Centres and covariances are those of a sample of classes, of all where they are few. Where they are not, the weights
    of the levels and the calibration are learnt beside rivals: each photo left out is compared with the classes of its
    own shortlist in the whole bank, its own among them, each without one photo. The photos left out are of
    classes that the covariances, as they are asked by, were not learnt from: those of a photo's own class
    would give it away, for a covariance of few photos follows each of them.
    """
    method, bank = known.method, known.bank
    keys = by_chance(counts := bank.counts())
    sample = _sample(known, keys[:_CLASSES], counts)
    shared = replace(known.shared, common=method.common(_summaries(sample)))
    if not shared.calibrate:
        learnt = uncalibrated(method, _in_order(sample))
    elif len(keys) <= SHORTLIST:
        learnt = learn(method, _in_order(sample))
    else:
        asked = keys[: _CLASSES + _LEFT_OUT][-min(_LEFT_OUT, len(keys) // _PART) :]
        others = [key for key in keys[:_CLASSES] if key not in set(asked)]
        common = method.common(_summaries(_sample(known, others, counts)))
        beside = _learnt_beside_rivals(replace(known, shared=replace(shared, common=common)), asked)
        learnt = beside or uncalibrated(method, _in_order(sample))
    return replace(known, shared=replace(shared, learnt=learnt), photos=len(bank))


def _sample(known: Banked, keys: Sequence[str], counts: Mapping[str, int]) -> dict[str, Support]:
    """These classes, with so many of their photos that they are not too many together."""
    shares = even_shares([counts[key] for key in keys], _PHOTOS)
    found = known.bank.supports(known.method, keys, known.views)
    return {
        key: found[key] if share >= len(found[key]) else picked(known.method, found[key], range(share))
        for key, share in zip(keys, shares, strict=True)
        if key in found
    }


def _in_order(sample: Mapping[str, Support]) -> list[Support]:
    """In the order of all scores."""
    by_label = {label_of(key): one for key, one in sample.items()}
    return [by_label[label] for label in ordered(by_label)]


def _summaries(sample: Mapping[str, Support]) -> list[Summary]:
    return [one.summary for one in _in_order(sample)]


def _learnt_beside_rivals(known: Banked, keys: Sequence[str]) -> Learnt | None:
    """From photos of these classes, each compared with its shortlist; its own class has the first column.

    None if none of them has two photos.
    """
    method = known.method
    several = {key: one for key, one in known.bank.supports(method, keys, known.views).items() if len(one) > 1}
    shares = even_shares([len(one) for one in several.values()], _LEFT_OUT)
    asked = [(key, photo) for key, share in zip(several, shares, strict=True) for photo in range(share)]
    if not asked:
        return None
    rows = [_row(known, key, several[key], photo) for key, photo in track(asked, "leaving out", total=len(asked))]
    levels = {level: torch.cat([row[level] for row in rows]) for level in method.level_names}
    for scores in levels.values():
        refuse_not_finite(scores)
    truth = torch.zeros(len(rows), dtype=torch.int64, device=rows[0][method.level_names[0]].device)
    # Where classes depend on each other in a way that no sample tells, each shortlist lacks the photos too.
    shots = None if known.shared.common else torch.tensor([len(several[key]) for key, _ in asked], device=truth.device)
    single = float(np.mean([count == 1 for count in known.bank.counts().values()]))
    fusion, calibration = calibrated(method, levels, truth, shots, single)
    photos = tuple(several[key].ids[photo] for key, photo in asked)
    return Learnt(fusion, calibration, LeftOut(levels, truth, photos, ()))


def _row(known: Banked, key: str, own: Support, photo: int) -> dict[str, Tensor]:
    """The similarities (1, N) of a photo left out to its own class and N - 1 rivals, each without one photo."""
    method, common = known.method, known.shared.common
    assert common is not None
    query = restored(method, own, photo)
    near = known.bank.shortlist(known.vectors(query)[0], SHORTLIST)
    rivals = [one for one in near if one != key][: SHORTLIST - 1]
    others = known.bank.supports(method, rivals, known.views, without_last=True)
    mine = picked(method, own, [i for i in range(len(own)) if i != photo])
    return method.compare(query, method.adapt_by([mine.summary, *(one.summary for one in others.values())], common))
