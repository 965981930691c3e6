"""DeepEMD and the later MML, whose parts of images may be crops, against float64 loops and independent solvers."""

import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from registry import backbone_of, method_over
from scipy.optimize import linprog
from torch import Tensor
from torch.nn import functional

from triptych.methods import BATCH, DeepEMDConfig, LaterMML, LaterMMLConfig, Method, Preprocessing, encode_images
from triptych.methods.config import MethodConfig
from triptych.methods.crops import crops_of, pyramid_boxes, random_boxes
from triptych.similarity import earth_movers_similarity, transported

LABELS = torch.tensor([0, 0, 1])


def images() -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    return torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(np.sum(vector * vector))


def naive_similarity(u: np.ndarray, v: np.ndarray) -> float:
    """One minus the earth mover's distance, by SciPy's solver of linear programmes."""
    a = np.array([max(x @ v.mean(0), 0) + 1e-3 for x in u])
    b = np.array([max(y @ u.mean(0), 0) + 1e-3 for y in v])
    cost = np.array([[1 - unit(x - x.mean()) @ unit(y - y.mean()) for y in v] for x in u])
    rows = [np.outer(np.eye(len(u))[i], np.ones(len(v))).ravel() for i in range(len(u))]
    columns = [np.outer(np.ones(len(u)), np.eye(len(v))[j]).ravel() for j in range(len(v))]
    wanted = np.concatenate([a / a.sum(), b / b.sum()])
    return 1 - linprog(cost.ravel(), A_eq=np.array(rows + columns), b_eq=wanted).fun


def test_similarity_is_one_minus_the_earth_movers_distance() -> None:
    rng = np.random.default_rng(0)
    query, classes = rng.normal(size=(2, 4, 6)), [rng.normal(size=(4, 6)), rng.normal(size=(3, 6))]
    found = earth_movers_similarity(torch.from_numpy(query), [torch.from_numpy(one) for one in classes])
    np.testing.assert_allclose(found, [[naive_similarity(u, v) for v in classes] for u in query], rtol=1e-6)


def test_the_gradient_of_transport_is_exact() -> None:
    torch.manual_seed(0)
    similarities = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    supply, demand = (torch.rand(n, dtype=torch.float64, requires_grad=True) for n in (4, 3))

    def value(similarities: Tensor, supply: Tensor, demand: Tensor) -> Tensor:
        return transported(similarities, supply / supply.sum(), demand / demand.sum())

    assert torch.autograd.gradcheck(value, (similarities, supply, demand))


def test_deepemd_without_pot_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(RuntimeError, match=r"DeepEMD needs POT .* pip install 'triptych\[emd\]'"):
        transported(torch.zeros(1, 1), torch.ones(1), torch.ones(1))


@pytest.mark.parametrize("form", ["fcn", "grid", "sampling"])
@torch.no_grad()
def test_deepemd_compares_with_the_mean_parts_of_a_class(form: str) -> None:
    method = method_over(DeepEMDConfig(form=form, grid=3, crops=4), backbone_of("conv64f"))
    query, support = images()
    found = method(query, support, LABELS)
    parts = [naive_parts(method, one, form) for one in (query, support)]
    assert parts[0].shape[1] == {"fcn": 9, "grid": 13, "sampling": 4}[form]
    for q in range(2):
        for n in range(2):
            mean = parts[1][LABELS.numpy() == n].mean(0)
            assert found[q, n].item() == pytest.approx(12.5 * naive_similarity(parts[0][q], mean), rel=1e-4, abs=1e-4)


def test_the_structured_layer_descends_the_cross_entropy_of_the_photos() -> None:
    plain, fitted = (
        method_over(DeepEMDConfig(grid=2, structured_steps=steps, structured_rate=40.0), backbone_of("conv64f"))
        for steps in (0, 1)
    )
    _, support = images()
    with torch.inference_mode():
        encoded = plain.encode(support)
        classes = [fitted.summarise(encoded[:2]), fitted.summarise(encoded[2:])]
        before, after = ([one["transport"].double().numpy() for one in m.adapt(classes)] for m in (plain, fitted))
        photos = torch.cat([one["photos"] for one in classes]).double().numpy()
    assert plain.separable
    assert not fitted.separable

    def loss(parts: Sequence[np.ndarray]) -> float:
        logits = np.array([[12.5 * naive_similarity(photo, part) for part in parts] for photo in photos])
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return -np.mean([logs[q, n] for q, n in enumerate(LABELS.tolist())])

    assert loss(after) < loss(before)
    rng = np.random.default_rng(0)
    for n, i, c in zip(rng.integers(2, size=8), rng.integers(4, size=8), rng.integers(64, size=8), strict=True):
        shift = np.zeros((2, 4, 64))
        shift[n, i, c] = 1e-3
        slope = (loss(before + shift) - loss(before - shift)) / 2e-3
        assert before[n][i, c] - after[n][i, c] == pytest.approx(40 * slope, rel=0.03, abs=1e-3)


@torch.no_grad()
def test_the_structured_layer_of_single_photos_is_their_parts() -> None:
    method = method_over(DeepEMDConfig(grid=2, structured_steps=3), backbone_of("conv64f"))
    encoded = method.encode(images()[1])
    classes = [method.summarise(encoded[n : n + 1]) for n in range(3)]
    assert method.adapt(classes) == classes


def naive_parts(method: Method, images: Tensor, form: str) -> np.ndarray:
    """(B, M, C)"""
    if form == "fcn":
        maps = functional.adaptive_avg_pool2d(method.backbone(images), 3)
        return maps.flatten(2).mT.double().numpy()
    boxes = pyramid_boxes([2, 3]) if form == "grid" else random_boxes(4, 0)
    parts = [method.backbone(crops_of(images, [box])).mean((2, 3)) for box in boxes]
    return torch.stack(parts, dim=1).double().numpy()


def test_a_pyramid_has_cells_twice_as_large_within_the_image() -> None:
    boxes = pyramid_boxes([2])
    assert boxes == ((0, 0, 0.75, 0.75), (0, 0.25, 0.75, 1), (0.25, 0, 1, 0.75), (0.25, 0.25, 1, 1))
    assert all(0 <= top < bottom <= 1 and 0 <= left < right <= 1 for top, left, bottom, right in random_boxes(50, 1))
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in random_boxes(50, 1)]
    assert min(areas) >= 0.07
    assert max(areas) > 0.8


def test_crops_are_what_lies_in_the_box() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    whole, corner = crops_of(image, [(0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 1.0, 0.5)])
    assert torch.equal(whole, image[0])
    torch.testing.assert_close(corner, functional.interpolate(image[..., 2:, :2], (4, 4), mode="bilinear")[0])


def test_crops_are_channels_last_as_images_are() -> None:
    images = Preprocessing(side=32).normalise(torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
    assert crops_of(images, pyramid_boxes([2])).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("config", [DeepEMDConfig(form="grid"), DeepEMDConfig(form="sampling"), LaterMMLConfig()])
def test_each_episode_of_training_has_crops_of_its_own(config: MethodConfig) -> None:
    method, photos = method_over(config, backbone_of("conv64f")), images()[0]
    one, again = method.train().crops(photos), method.crops(photos)
    assert one.shape == again.shape
    assert not torch.equal(one, again)
    assert torch.equal(method.eval().crops(photos), method.crops(photos))


@pytest.mark.parametrize("edges", ["none", "class"])
@torch.no_grad()
def test_the_later_mml_compares_parts_positions_and_the_whole(edges: str) -> None:
    method = method_over(LaterMMLConfig(edges=edges), backbone_of("conv64f"))
    assert isinstance(method, LaterMML)
    query, support = images()
    levels = method.levels(query, support, LABELS)
    weights = {key: value.double().numpy() for key, value in method.graph.state_dict().items()}
    maps = [method.backbone(one).double().flatten(2).mT.numpy() for one in (query, support)]  # (B, M, C)
    boxes = pyramid_boxes([3, 2])
    parts = [
        torch.stack([method.backbone(crops_of(one, [box])).mean((2, 3)) for box in boxes], 1).double().numpy()
        for one in (query, support)
    ]
    for n in range(2):
        mine = LABELS.numpy() == n
        rows = np.concatenate(parts[1][mine])
        graph = np.full((len(rows), len(rows)), 1 / len(rows)) if edges == "class" else np.eye(len(rows))
        hidden = np.maximum(graph @ rows @ weights["inward.weight"].T + weights["inward.bias"], 0)
        adapted = rows + graph @ hidden @ weights["outward.weight"].T + weights["outward.bias"]
        pool = np.concatenate(maps[1][mine])
        for q in range(2):
            part = sum(max(unit(x) @ unit(y) for y in adapted) for x in parts[0][q])
            pixel = 25 * np.mean([max(unit(x) @ unit(y) for y in pool) for x in maps[0][q]])
            whole = -np.sum((maps[0][q].mean(0) - pool.mean(0)) ** 2)
            for level, expected in (("part", part), ("pixel", pixel), ("global", whole)):
                assert levels[level][q, n].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_later_mml_weighs_losses_and_probabilities_alike() -> None:
    method = method_over(LaterMMLConfig(), backbone_of("conv64f"))
    rng = np.random.default_rng(0)
    levels = {name: torch.from_numpy(rng.normal(size=(3, 4))) for name in method.level_names}
    truth = torch.tensor([3, 0, 1])
    shares = {"part": 1.0, "pixel": 0.5, "global": 0.5}

    def softmax(table: np.ndarray) -> np.ndarray:
        return np.exp(table) / np.exp(table).sum(1, keepdims=True)

    fused = sum(weight * softmax(levels[name].numpy()) for name, weight in shares.items())
    np.testing.assert_allclose(method.fuse(levels), fused)
    loss = 0.0
    for name, weight in shares.items():
        table = softmax(levels[name].numpy() / (64 if name == "global" else 1))
        loss -= weight * np.mean([np.log(table[q, truth[q]]) for q in range(3)])
    assert method.loss(levels, truth).item() == pytest.approx(loss)


@pytest.mark.parametrize("form", ["fcn", "grid"])
@torch.no_grad()
def test_the_network_sees_as_many_crops_at_a_time_as_it_would_images(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = method_over(DeepEMDConfig(form=form, preprocessing=Preprocessing(side=32)), backbone_of("conv64f"))
    seen: list[int] = []
    taps = method.backbone.taps

    def counted(crops: Tensor) -> tuple[Tensor, ...]:
        seen.append(len(crops))
        return taps(crops)

    monkeypatch.setattr(method.backbone, "taps", counted)
    pixels = torch.randint(0, 256, (30, 32, 32, 3), dtype=torch.uint8)
    encoded = encode_images(method, pixels)
    assert max(seen) <= BATCH["cpu"]
    assert sum(seen) == 30 * (13 if form == "grid" else 1)
    monkeypatch.undo()
    torch.testing.assert_close(encoded.maps, method.encode(method.preprocess.normalise(pixels)).maps)
