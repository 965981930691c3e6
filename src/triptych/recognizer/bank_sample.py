"""What a bank knows of all its classes together: learnt from a sample of them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from triptych.bank import Axes, Bank, learn_axes
from triptych.methods import Encoded, Method
from triptych.recognizer.banked import SHORTLIST, Banked, key_of, label_of
from triptych.recognizer.calibration import Learnt, calibrated, learn, refuse_not_finite, uncalibrated
from triptych.recognizer.knowledge import Knowledge, ordered
from triptych.recognizer.leaving_out import LeftOut, even_shares
from triptych.support import Support, picked, restored
from triptych.system.progress import track

__all__ = ["axes_of", "by_chance", "renewed"]

_CLASSES = 256  # of which the covariances are learnt
_PHOTOS = 2000  # of them together
_LEFT_OUT = 96  # photos, where each has a shortlist of its own

_Case = tuple[Tensor, ...]


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

    Centres and covariances are those of a sample of classes, of all where they are few. So are the weights of the
    levels and the calibration: each photo left out is compared with the classes of its own shortlist in the whole bank,
    its own among them, each without one photo.
    """
    method, views, calibrate = known.method, known.views, known.shared.calibrate
    counts = known.bank.counts()
    sample = _sample(known.bank, method, counts, views)
    supports = [sample[label] for label in ordered(sample)]
    common = method.common([one.summary for one in supports])
    shared = replace(known.shared, common=common)
    if not calibrate:
        learnt = uncalibrated(method, supports)
    elif len(counts) <= SHORTLIST:
        learnt = learn(method, supports)
    else:
        learnt = _learnt_beside_rivals(replace(known, shared=shared), sample)
    return replace(known, shared=replace(shared, learnt=learnt), photos=len(known.bank))


def _sample(bank: Bank, method: Method, counts: Mapping[str, int], views: int) -> dict[object, Support]:
    keys = by_chance(counts)[:_CLASSES]
    shares = even_shares([counts[key] for key in keys], _PHOTOS)
    found = bank.supports(method, keys, views)
    return {
        label_of(key): one if share == len(one) else picked(method, one, range(share))
        for (key, one), share in zip(found.items(), shares, strict=True)
        if share
    }


def _learnt_beside_rivals(known: Banked, sample: Mapping[object, Support]) -> Learnt:
    """From photos of the sample, each compared with its shortlist; its own class has the first column."""
    method = known.method
    several = {label: one for label, one in sample.items() if len(one) > 1}
    asked = [
        (label, photo)
        for label, share in zip(several, even_shares(list(map(len, several.values())), _LEFT_OUT), strict=True)
        for photo in range(share)
    ]
    if not asked:
        return uncalibrated(method, list(sample.values()))
    rows = [_row(known, label, sample[label], photo) for label, photo in track(asked, "leaving out", total=len(asked))]
    levels = {level: torch.cat([row[level] for row in rows]) for level in method.level_names}
    for scores in levels.values():
        refuse_not_finite(scores)
    truth = torch.zeros(len(rows), dtype=torch.int64, device=rows[0][method.level_names[0]].device)
    shots = torch.tensor([len(sample[label]) for label, _ in asked], device=truth.device)
    fusion, calibration = calibrated(method, levels, truth, shots)
    photos = tuple(sample[label].ids[photo] for label, photo in asked)
    return Learnt(fusion, calibration, LeftOut(levels, truth, photos, ()))


def _row(known: Banked, label: object, own: Support, photo: int) -> dict[str, Tensor]:
    """The similarities (1, N) of a photo left out to its own class and N - 1 rivals, each without one photo."""
    method, key = known.method, key_of(label)
    query: Encoded = restored(method, own, photo)
    near = known.bank.shortlist(known.vectors(query)[0], SHORTLIST)
    rivals = [one for one in near if one != key][: SHORTLIST - 1]
    others = known.bank.supports(method, rivals, known.views, without_last=True)
    mine = picked(method, own, [i for i in range(len(own)) if i != photo])
    shared: Knowledge = known.shared
    assert shared.common is not None
    summaries = [mine.summary, *(one.summary for one in others.values())]
    return method.compare(query, method.adapt_by(summaries, shared.common))
