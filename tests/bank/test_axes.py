"""The vectors by which a shortlist is made."""

import torch
from torch.nn import functional

from triptych.bank import learn_axes
from triptych.similarity import fit_lda, lda_to_classes


def classes(count: int, shot: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(count, size, generator=generator)
    photos = means[:, None] + 0.5 * torch.randn(count, shot, size, generator=generator)
    return photos.flatten(0, 1), torch.arange(count).repeat_interleave(shot)


def test_distances_along_all_axes_rank_classes_as_discriminant_analysis_does() -> None:
    pooled, labels = classes(6, 4, 10)
    axes = learn_axes(pooled, labels, count=10)
    units = functional.normalize(pooled - axes.centre, dim=1)
    asked = axes.vectors(pooled)
    means = torch.stack([asked[labels == n].mean(0) for n in range(6)])
    scores = lda_to_classes(units, fit_lda(units, labels))
    assert torch.equal(torch.cdist(asked, means).argsort(1), (-scores).argsort(1))


def test_fewer_photos_than_axes_leave_no_direction_out() -> None:
    pooled, labels = classes(2, 1, 8)
    axes = learn_axes(pooled, labels, count=8).axes
    assert axes.shape == (8, 8)
    assert torch.linalg.matrix_rank(axes) == 8
    assert torch.equal(axes, learn_axes(pooled, labels, count=8).axes)
