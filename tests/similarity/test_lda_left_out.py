"""Leave-one-out in closed form equals the analysis made anew without the image."""

import pytest
import torch
from torch import Tensor

from triptych.similarity import fit_lda, lda_to_classes, left_out_lda

RIDGE = 0.1


def classes_of(shots: list[int], views: int, size: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(shots) + size)
    return [torch.randn(shot, views, size, generator=generator) + n for n, shot in enumerate(shots)]


def refitted(classes: list[Tensor], own: int, photo: int, query: Tensor, shrinkage: Tensor | None = None) -> Tensor:
    """The scores in an analysis of all classes without that image, and without the last of the other classes."""
    kept = []
    for number, one in enumerate(classes):
        out = photo if number == own else len(one) - 1
        kept.append(torch.cat([image for i, image in enumerate(one) if i != out or len(one) == 1]))
    labels = torch.cat([torch.full((len(one),), number) for number, one in enumerate(kept)])
    return lda_to_classes(query[None], fit_lda(torch.cat(kept), labels, RIDGE, shrinkage))[0]


@pytest.mark.parametrize("size", [4, 30])  # with fewer entries than vectors, and with more
@pytest.mark.parametrize(("shots", "views"), [([2, 3, 5, 1], 1), ([4, 6, 9], 1), ([2, 3, 1], 3)])
def test_every_image_left_out_scores_as_in_an_analysis_without_it(shots: list[int], views: int, size: int) -> None:
    classes = classes_of(shots, views, size)
    asked = [(own, photo) for own, shot in enumerate(shots) if shot > 1 for photo in range(shot)]
    queries = torch.stack([classes[own][photo, 0] for own, photo in asked])
    for shrinkage in (None, torch.rand(len(shots)).double()):
        found = list(left_out_lda(classes, asked, queries, RIDGE, shrinkage))
        assert len(found) == len(asked)
        for (own, photo), query, scores in zip(asked, queries, found, strict=True):
            expected = refitted(classes, own, photo, query, shrinkage)
            torch.testing.assert_close(scores, expected, rtol=1e-6, atol=1e-6)


def test_an_image_that_was_not_learnt_from_is_compared_with_all_but_the_last() -> None:
    classes = classes_of([3, 3], 1, 5)
    query = torch.ones(5)
    (found,) = left_out_lda(classes, [(0, 7)], query[None], RIDGE)
    torch.testing.assert_close(found, refitted(classes, 0, 2, query))
