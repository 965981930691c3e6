"""Methods that compare one vector a photo, against naive float64 loops written from their papers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from registry import backbone_of, method_over
from scipy.optimize import minimize
from torch import Tensor

from triptych.methods import METHODS, BaselinePlusPlusConfig, Method, MethodConfig, SimpleShot
from triptych.similarity import fit_cosine_classifier, fit_logistic_regression

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


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


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
    method.fusion.observe({"global": torch.tensor([[0.0, 3.0]])})
    learnt = method.learn_closed_form(images)
    with torch.no_grad():
        expected = method.backbone(images.flatten(0, 1)).mean((0, 2, 3))
    assert isinstance(learnt, SimpleShot)
    torch.testing.assert_close(learnt.centre, expected)
    assert learnt.fusion.get_buffer("spread") == 1.5  # what training has found is kept
    assert not learnt.training


def test_meta_baseline_is_a_scaled_cosine() -> None:
    _, logits, query, support = episode(METHODS["meta-baseline-conv64f"])
    close(logits, naive(lambda one, photos: 10 * unit(one) @ unit(photos.mean(0)), query, support))


def test_matching_is_attention_by_cosine() -> None:
    _, logits, query, support = episode(METHODS["matching-conv64f"])
    close(
        logits,
        naive(lambda one, photos: np.log(np.mean([np.exp(unit(one) @ unit(x)) for x in photos])), query, support),
    )


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(weights: dict[str, np.ndarray], suffix: str, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple:
    """One step; gates in the order input, forget, cell, output."""
    gates = weights[f"weight_ih{suffix}"] @ x + weights[f"bias_ih{suffix}"]
    gates = gates + weights[f"weight_hh{suffix}"] @ h + weights[f"bias_hh{suffix}"]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_matching_in_context_reads_the_support() -> None:
    method, logits, query, support = episode(METHODS["matching-context-conv64f"])
    reader = {key: value.double().numpy() for key, value in method.reader.state_dict().items()}
    attender = {key: value.double().numpy() for key, value in method.attender.state_dict().items()}
    order = sorted(range(6), key=lambda i: np.sum(support[i] ** 2))
    context = support.copy()
    for suffix, sequence in (("_l0", order), ("_l0_reverse", order[::-1])):
        h, c = np.zeros(64), np.zeros(64)
        for i in sequence:
            h, c = lstm(reader, suffix, support[i], h, c)
            context[i] = context[i] + h
    embedded = []
    for one in query:
        h, c = np.zeros(64), np.zeros(64)
        for _ in range(5):
            r = softmax(np.array([h @ x for x in context])) @ context
            out, c = lstm(attender, "", np.concatenate([one, r]), h, c)
            h = out + one
        embedded.append(h)
    expected = naive(
        lambda one, photos: np.log(np.mean([np.exp(unit(one) @ unit(x)) for x in photos])), np.array(embedded), context
    )
    close(logits, expected)


@pytest.mark.parametrize("ways", [2, 3])
@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_logistic_regression_is_the_least_of_its_objective(ways: int, strength: float) -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(7, 4)), np.array([0, 1, ways - 1, 0, 0, 0, 1])
    share = {n: 7 / (ways * list(labels).count(n)) for n in range(ways)}  # of each vector, by those of its class

    def objective(flat: np.ndarray) -> float:
        weights, biases = flat[: 4 * ways].reshape(ways, 4), flat[4 * ways :]
        likely = sum(
            share[y] * np.log(softmax(weights @ x + biases)[y]) for x, y in zip(vectors, labels.tolist(), strict=True)
        )
        return np.sum(weights**2) / 2 - strength * likely

    least = minimize(objective, np.zeros(5 * ways), tol=1e-10).x
    fitted = fit_logistic_regression(torch.from_numpy(vectors), torch.from_numpy(labels), strength)
    np.testing.assert_allclose(fitted.weights, least[: 4 * ways].reshape(ways, 4), atol=1e-4)
    np.testing.assert_allclose(fitted.biases, least[4 * ways :] - least[4 * ways :].mean(), atol=1e-4)


def test_logistic_method_scores_unit_vectors() -> None:
    _, logits, query, support = episode(METHODS["logistic-conv64f"])
    units = torch.from_numpy(np.array([unit(x) for x in support]))
    fitted = fit_logistic_regression(units, LABELS)
    expected = [[w @ unit(x) + b for w, b in zip(*(one.numpy() for one in fitted), strict=True)] for x in query]
    close(logits, np.array(expected), rtol=1e-3)


def test_baseline_plus_plus_descends_the_cross_entropy_of_cosines() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(6, 4)), np.array([0, 0, 0, 1, 2, 2])

    def loss(flat: np.ndarray) -> float:
        rows = flat.reshape(3, 4)
        terms = [
            np.log(softmax(10 * np.array([unit(w) @ unit(x) for w in rows]))[y])
            for x, y in zip(vectors, labels, strict=True)
        ]
        return -np.mean(terms)

    rows = np.array([np.mean([unit(x) for x in vectors[labels == n]], axis=0) for n in range(3)]).ravel()
    for _ in range(3):
        slope = [(loss(rows + step) - loss(rows - step)) / 2e-6 for step in 1e-6 * np.eye(12)]
        rows = rows - 0.01 * np.array(slope)
    fitted = fit_cosine_classifier(torch.from_numpy(vectors), torch.from_numpy(labels), steps=3)
    np.testing.assert_allclose(fitted, [unit(row) for row in rows.reshape(3, 4)], rtol=1e-6)


def test_baseline_plus_plus_scales_cosines_of_its_fit() -> None:
    _, logits, query, support = episode(replace(BaselinePlusPlusConfig(), steps=20))
    rows = fit_cosine_classifier(torch.from_numpy(support), LABELS, steps=20).numpy()
    close(logits, np.array([[10 * unit(x) @ row for row in rows] for x in query]), rtol=1e-3)


def test_feat_adapts_class_means_by_attention() -> None:
    method, logits, query, support = episode(METHODS["feat-conv64f"])
    weights = {key: value.double().numpy() for key, value in method.transformer.state_dict().items()}
    means = [support[LABELS.numpy() == n].mean(0) for n in range(3)]
    q, k, v = ([weights[f"{name}.weight"] @ mean for mean in means] for name in ("query", "key", "value"))
    adapted = []
    for n in range(3):
        attention = softmax(np.array([q[n] @ k[m] / 8 for m in range(3)]))
        read = sum(attention[m] * v[m] for m in range(3))
        total = means[n] + weights["output.weight"] @ read + weights["output.bias"]
        adapted.append(
            (total - total.mean()) / np.sqrt(total.var() + 1e-5) * weights["norm.weight"] + weights["norm.bias"]
        )
    expected = [[-np.sum((one - mean) ** 2) / 64 for mean in adapted] for one in query]
    close(logits, np.array(expected))
