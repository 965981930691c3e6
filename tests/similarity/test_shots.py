"""What puts classes of few photos on a par with classes of many."""

import math

import pytest
import torch

from triptych.similarity import fit_lda, lda_to_classes, mean_shrinkage, pool_advantage

SHOTS = [1, 4, 10, 4]


def test_both_are_what_the_equations_say() -> None:
    largest = max(SHOTS)
    shrinkage = [(shot / (shot + 2)) / (largest / (largest + 2)) for shot in SHOTS]
    advantage = [0.03 * math.log(shot / largest) for shot in SHOTS]
    torch.testing.assert_close(mean_shrinkage(torch.tensor(SHOTS), 2), torch.tensor(shrinkage))
    torch.testing.assert_close(pool_advantage(torch.tensor(SHOTS), 0.03), torch.tensor(advantage))


@pytest.mark.parametrize("shot", [1, 3, 7])
def test_nothing_changes_where_all_classes_have_as_many(shot: int) -> None:
    shots = torch.tensor([shot] * 4)
    assert torch.equal(mean_shrinkage(shots, 2.0), torch.ones(4))
    assert torch.equal(pool_advantage(shots, 0.03), torch.zeros(4))


def test_means_are_shrunk_and_the_covariance_is_not() -> None:
    vectors, query = torch.randn(9, 3).double(), torch.randn(2, 3).double()
    labels, shrinkage = torch.tensor([0, 0, 1, 1, 1, 1, 2, 2, 2]), torch.tensor([0.5, 1.0, 0.8])
    found = lda_to_classes(query, fit_lda(vectors, labels, 0.1, shrinkage))
    covariance = 0.1 * torch.eye(3).double()
    for number in range(3):
        own = vectors[labels == number]
        for one in own - own.mean(0):
            covariance += torch.outer(one, one) / (9 - 3)
    for number, share in enumerate(shrinkage.tolist()):
        mean = share * vectors[labels == number].mean(0)
        direction = torch.linalg.solve(covariance, mean)
        torch.testing.assert_close(found[:, number], query @ direction - mean @ direction / 2)


def test_a_class_of_one_photo_is_named_as_often_as_it_is_asked_for() -> None:
    """In noise that is as long as the classes are far apart: without shrinkage hardly any query is of a small class."""
    generator = torch.Generator().manual_seed(0)
    shots, size = torch.tensor([1] * 10 + [10] * 10), 200
    centres = torch.randn(20, size, generator=generator) / size**0.5
    labels = torch.arange(20).repeat_interleave(shots)
    noise = 2 / size**0.5
    support = centres[labels] + noise * torch.randn(len(labels), size, generator=generator)
    truth = torch.arange(20).repeat_interleave(20)
    query = centres[truth] + noise * torch.randn(len(truth), size, generator=generator)
    small = truth < 10

    def recall(shrinkage: torch.Tensor | None) -> tuple[float, float]:
        right = lda_to_classes(query, fit_lda(support, labels, 0.05, shrinkage)).argmax(1) == truth
        return right[small].float().mean().item(), right[~small].float().mean().item()

    (before, _), (after, others) = recall(None), recall(mean_shrinkage(shots, 2))
    assert after > before + 0.2
    assert others > 0.8
