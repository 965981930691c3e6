"""Methods that compare one vector a photo, against naive float64 loops written from their papers."""

import numpy as np
import torch
from registry import backbone_of, method_over
from torch import Tensor

from triptych.methods import METHODS, Method, MethodConfig, SimpleShot

LABELS = torch.tensor([0, 0, 0, 1, 2, 2])


def episode(config: MethodConfig) -> tuple[Method, Tensor, np.ndarray, np.ndarray]:
    """A method, its logits of an episode, and the vectors of queries and support."""
    method = method_over(config, backbone_of("conv64f"))
    torch.manual_seed(3)
    query, support = torch.randn(3, 3, 32, 32), torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        logits = method(query, support, LABELS)
        pooled = [method.backbone(one).double().mean((2, 3)).numpy() for one in (query, support)]
    return method, logits, *pooled


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(np.sum(vector * vector))


def naive(score: object, query: np.ndarray, support: np.ndarray) -> np.ndarray:
    """(Q, N), one query and one class after the other."""
    classes = [support[LABELS.numpy() == n] for n in range(3)]
    return np.array([[score(one, photos) for photos in classes] for one in query])  # type: ignore[operator]


def close(found: Tensor, expected: np.ndarray, rtol: float = 1e-4) -> None:
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=rtol, atol=1e-5)


def test_simpleshot_is_the_nearest_mean_of_centred_units() -> None:
    method, _, query, support = episode(METHODS["simpleshot-conv64f"])
    assert isinstance(method, SimpleShot)
    centre = np.linspace(0.1, 0.5, 64)
    method.centre.copy_(torch.from_numpy(centre))
    torch.manual_seed(3)
    with torch.no_grad():
        found = method.levels(torch.randn(3, 3, 32, 32), torch.randn(6, 3, 32, 32), LABELS)["global"]

    def score(one: np.ndarray, photos: np.ndarray) -> float:
        mean = sum(unit(photo - centre) for photo in photos) / len(photos)
        return -np.sum((unit(one - centre) - mean) ** 2)

    close(found, naive(score, query, support))


def test_simpleshot_learns_the_mean_of_all_classes() -> None:
    method = method_over(METHODS["simpleshot-conv64f"], backbone_of("conv64f"))
    images = torch.randn(2, 3, 3, 32, 32)
    assert method.learns_closed_form(2)
    learnt = method.learn_closed_form(images)
    with torch.no_grad():
        expected = method.backbone(images.flatten(0, 1)).mean((0, 2, 3))
    assert isinstance(learnt, SimpleShot)
    torch.testing.assert_close(learnt.centre, expected)
    assert not learnt.training


def test_meta_baseline_is_a_scaled_cosine() -> None:
    _, logits, query, support = episode(METHODS["meta-baseline-conv64f"])
    close(logits, naive(lambda one, photos: 10 * unit(one) @ unit(photos.mean(0)), query, support))
