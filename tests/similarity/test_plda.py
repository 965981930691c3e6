"""What the classes of training tell of others: vectors, axes, codes and likelihood ratios against naive loops."""

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor

from triptych.similarity import (
    PLDA,
    fit_plda,
    gaussian_vectors,
    plda_class,
    plda_codes,
    plda_to_classes,
)


def vectors_of(classes: int = 4, images: int = 6, size: int = 5, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    means = 3 * torch.randn(classes, 1, size, generator=generator)
    spread = torch.rand(size, generator=generator) + 0.5
    return [mean + spread * torch.randn(images + n, size, generator=generator) for n, mean in enumerate(means)]


def test_vectors_are_those_of_the_equation() -> None:
    layers = [torch.randn(3, 4, 5, 5), torch.randn(3, 2, 3, 3)]
    found = gaussian_vectors(layers)
    for image in range(3):
        expected = oracle.gaussian_vector([layer[image].numpy() for layer in layers])
        np.testing.assert_allclose(found[image].numpy(), expected, rtol=1e-6)


def test_gradient_of_vectors_is_right() -> None:
    layers = [torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda *maps: gaussian_vectors(maps), layers)


def test_vectors_have_a_gradient_and_are_finite_without_any_variance() -> None:
    maps = torch.zeros(2, 3, 4, 4, requires_grad=True)
    vectors = gaussian_vectors([maps])
    vectors.sum().backward()
    assert vectors.isfinite().all()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_axes_are_those_of_linear_discriminant_analysis() -> None:
    classes = vectors_of()
    origin, axes, between = fit_plda(classes)
    expected = oracle.plda_axes([one.double().numpy() for one in classes])
    np.testing.assert_allclose(origin.numpy(), expected[0], rtol=1e-6)
    np.testing.assert_allclose(between.numpy(), expected[2], rtol=1e-4)
    signs = np.sign((axes.numpy() * expected[1]).sum(0))  # an axis has no direction
    np.testing.assert_allclose(axes.numpy() * signs, expected[1], rtol=1e-3, atol=1e-5)


def test_more_dimensions_than_images_and_directions_without_variance() -> None:
    classes = [torch.cat([one, torch.zeros(len(one), 40)], dim=1) for one in vectors_of(images=2)]
    found = fit_plda(classes)
    assert all(tensor.isfinite().all() for tensor in found)
    apart = fit_plda([torch.zeros(2, 1), torch.ones(2, 1)])  # classes without any spread
    assert all(tensor.isfinite().all() for tensor in apart)
    assert plda_codes(torch.zeros(1, 1), apart).float().isfinite().all()


@pytest.mark.parametrize("classes", [[torch.zeros(3, 2)], [torch.zeros(3, 2), torch.zeros(1, 2)]])
def test_too_few_classes_or_images_are_refused(classes: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="expected at least two"):
        fit_plda(classes)


@pytest.mark.parametrize("shots", [(1, 1), (5, 2)])
def test_codes_and_ratios_are_those_of_the_equations(shots: tuple[int, int]) -> None:
    found = fit_plda(vectors_of())
    origin, axes, between = (tensor.numpy() for tensor in found)
    query, *support = (plda_codes(one, found) for one in vectors_of(3, seed=1))
    support = [one[:shot] for one, shot in zip(support, shots, strict=True)]
    for vector, code in zip(vectors_of(3, seed=1)[0], query, strict=True):
        np.testing.assert_allclose(code.numpy(), oracle.code(vector.double().numpy(), origin, axes, between), rtol=1e-9)
    scores = plda_to_classes(query, [plda_class(one, found.between) for one in support], found.between)
    for q, row in zip(query, scores, strict=True):
        expected = [oracle.code_likelihood_ratio(q.numpy(), list(one.numpy()), between) for one in support]
        np.testing.assert_allclose(row.numpy(), expected, rtol=1e-6)


def test_views_of_an_image_are_one_image() -> None:
    codes, between = torch.randn(2, 3), torch.ones(3)
    once, twice = plda_class(codes, between), plda_class(codes.repeat_interleave(2, dim=0), between, views=2)
    torch.testing.assert_close(once, twice)


def test_an_image_of_another_world_is_taken_back_to_the_usual_distance() -> None:
    axes = PLDA(torch.zeros(3), torch.eye(3), torch.rand(3))
    near = torch.randn(4, 3)
    torch.testing.assert_close(plda_codes(100 * near, axes), plda_codes(near, axes))
    assert plda_codes(torch.zeros(1, 3), axes).isfinite().all()


def test_axes_without_differences_between_classes_tell_nothing() -> None:
    codes, between = torch.randn(3, 2), torch.zeros(2)
    scores = plda_to_classes(codes, [plda_class(codes[:1], between), plda_class(codes[1:], between)], between)
    torch.testing.assert_close(scores, torch.zeros(3, 2).double())
