"""The contract of a method, for every registered one."""

import re
import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import TINY
from photos import photo
from registry import EACH, OTHERS, SIDE, backbone_of, method_over
from registry import small_method_of as small
from torch import Tensor
from torch.nn import functional

from triptych.backbones import Backbone, build_backbone
from triptych.methods import METHODS, ONE_LAYER, Encoded, Method, MethodConfig, MMLConfig, SalientConfig, build_method
from triptych.methods.types import METHOD_TYPES, method_type

SHOTS = [[1, 1], [3, 1, 2], [5, 5], [5, 1, 1, 5, 2], [1, 2] * 10]


def images(count: int, side: int) -> Tensor:
    """Coarse patterns, which differ: noise looks the same to a network all over, and so do two images of it."""
    return functional.interpolate(torch.randn(count, 3, 4, 4), (side, side), mode="bicubic")


def episode(shots: list[int], queries: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    labels = torch.repeat_interleave(torch.tensor(shots))
    query, support = images(queries + len(labels), SIDE).split([queries, len(labels)])
    return query, support, labels


def check_same(found: Tensor, expected: Tensor, share: float = 0.01) -> None:
    """Equal but for rounding, of which there is little beside what tells the classes apart."""
    torch.testing.assert_close(found, expected, rtol=0, atol=share * expected.std(1).mean().item())


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("shots", SHOTS, ids=lambda shots: f"{len(shots)}-way-{sum(shots)}-photos")
@torch.no_grad()
def test_any_way_and_unequal_shots(name: str, shots: list[int]) -> None:
    method = small(name)
    levels, logits = method.levels(*episode(shots)), method(*episode(shots))
    assert tuple(levels) == method.level_names
    assert all(scores.shape == (3, len(shots)) for scores in levels.values())
    assert all(scores.dtype == torch.float32 for scores in levels.values())
    torch.testing.assert_close(logits, method.fuse(levels))


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_classes_in_another_order_give_the_logits_in_that_order(name: str) -> None:
    method, (query, support, labels) = small(name), episode([2, 1, 2])
    order = torch.tensor([2, 0, 1])
    permuted = method(query, support, torch.argsort(order)[labels])
    check_same(permuted, method(query, support, labels)[:, order])


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_the_order_of_photos_within_a_class_does_not_matter(name: str) -> None:
    method, (query, support, labels) = small(name), episode([3, 2])
    order = torch.tensor([2, 0, 1, 4, 3])
    check_same(method(query, support[order], labels[order]), method(query, support, labels))


@pytest.mark.parametrize("name", [name for name in EACH if not method_type(METHODS[name]).transductive])
@torch.no_grad()
def test_a_batch_of_queries_is_answered_as_one_at_a_time(name: str) -> None:
    method, (query, support, labels) = small(name), episode([2, 1])
    query = torch.cat([query, query[:1]])  # and one of them twice
    alone = torch.cat([method(one[None], support, labels) for one in query])
    together = method(query, support, labels)
    check_same(together, alone)
    check_same(together[-1:], together[:1])


@pytest.mark.parametrize("name", EACH)
@pytest.mark.filterwarnings(r"ignore:var\(\)")  # torch's word on the correlations of no query
@torch.no_grad()
def test_no_queries_have_no_rows(name: str) -> None:
    method, (_, support, labels) = small(name), episode([2, 1])
    encoded = method.encode(support)
    assert method.fuse(method.compare_encoded(encoded[:0], encoded, labels)).shape == (0, 2)


@pytest.mark.parametrize("name", [name for name in EACH if method_type(METHODS[name]).separable])
@torch.no_grad()
def test_the_levels_of_a_separable_class_depend_on_no_other_class(name: str) -> None:
    method, (query, support, labels) = small(name), episode([2, 1, 2])
    encoded, asked = method.encode(support), method.encode(query)
    classes = [method.summarise(encoded[labels == n]) for n in range(3)]
    alone = [method.compare(asked, [one]) for one in classes]
    for level, together in method.compare(asked, method.adapt(classes)).items():
        check_same(torch.cat([scores[level] for scores in alone], dim=1), together)


@pytest.mark.parametrize("name", EACH)
def test_every_parameter_is_trained(name: str) -> None:
    method, (query, support, labels) = small(name, shared=False).train(), episode([2, 2], queries=4)
    levels = method.levels(query, support, labels)
    method.fusion.observe(levels)
    method.loss(levels, torch.tensor([0, 1, 0, 1]), level_loss=0.5).backward()
    grads = {key: value.grad for key, value in method.named_parameters()}
    without = [key for key, grad in grads.items() if grad is None or not grad.isfinite().all() or not grad.any()]
    assert not without


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_half_precision_is_nearly_the_same(name: str) -> None:
    method, (query, support, labels) = small(name), episode([2, 1])
    with torch.autocast("cpu", torch.bfloat16):
        half = method.levels(query, support, labels)
    for level, scores in method.levels(query, support, labels).items():
        assert half[level].dtype == torch.float32
        check_same(half[level], scores, 0.5)


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_maps_are_compared_in_single_precision_whatever_the_network_computes_in(name: str) -> None:
    method, (query, support, labels) = small(name), episode([2, 1])
    asked, learnt = method.encode(query), method.encode(support)
    with torch.autocast("cpu", torch.bfloat16):
        half = method.compare_encoded(asked, learnt, labels)
        fused = method.fuse(half)
    levels = method.compare_encoded(asked, learnt, labels)
    assert all(torch.equal(half[level], scores) for level, scores in levels.items())
    assert torch.equal(fused, method.fuse(levels))


def crops_of_maps(method: Method, taps: tuple[Tensor, ...]) -> list[Tensor]:
    """Maps for each crop of each image, which come one after the other; each has the channels in another order."""
    crops = len(method.crops(torch.zeros(1, 3, SIDE, SIDE)))
    return [torch.stack([one.roll(shift, 1) for shift in range(crops)], dim=1).flatten(0, 1) for one in taps]


def check_over(method: Method, taps: tuple[Tensor, ...], shots: list[int], queries: int) -> None:
    """Forward and backward from the network's maps, and with the classes in another order."""
    labels, truth = torch.repeat_interleave(torch.tensor(shots)), torch.arange(queries) % len(shots)
    maps = [one.requires_grad_() for one in crops_of_maps(method, taps)]

    def levels(labels: Tensor) -> dict[str, Tensor]:
        encoded = method.encode_features(maps)
        return method.compare_encoded(encoded[len(labels) :], encoded[: len(labels)], labels)

    found = levels(labels)
    assert {scores.shape for scores in found.values()} == {(queries, len(shots))}
    method.loss(found, truth, level_loss=0.5).backward()
    own = {key: value for key, value in method.named_parameters() if not key.startswith("backbone.")}
    grads = {key: value.grad for key, value in own.items()}
    assert not [key for key, grad in grads.items() if grad is None or not grad.isfinite().all() or not grad.any()]
    assert maps[-1].grad is not None
    assert maps[-1].grad.isfinite().all()
    assert maps[-1].grad.any()
    order = torch.arange(len(shots)).flip(0)
    with torch.no_grad():
        turned = method.fuse(levels(order[labels]))
        check_same(turned, method.fuse(found)[:, order])


@torch.no_grad()
def check_answers_over(method: Method, taps: tuple[Tensor, ...]) -> None:
    """Any way and shots, photos in another order, queries alone and twice, and half precision."""
    encoded = method.encode_features(crops_of_maps(method, taps))
    query, support, labels = encoded[:3], encoded[3:], torch.tensor([0, 0, 0, 1, 1, 2])
    for shots in ([1, 1], [5, 1, 1, 5, 2], [1] * 20):
        many = torch.repeat_interleave(torch.tensor(shots))
        found = method.compare_encoded(query[:2], support[torch.arange(len(many)) % 6], many)
        assert all(scores.shape == (2, len(shots)) and scores.isfinite().all() for scores in found.values())
    levels = method.compare_encoded(query, support, labels)
    logits = method.fuse(levels)
    order = torch.tensor([2, 0, 1, 4, 3, 5])
    again = method.fuse(method.compare_encoded(query, support[order], labels))
    check_same(again, logits)
    with torch.autocast("cpu", torch.bfloat16):
        half = method.compare_encoded(query, support, labels)
    assert all(torch.equal(half[name], one) for name, one in levels.items())
    if not method.transductive:
        twice = method.fuse(method.compare_encoded(query[[0, 1, 2, 0]], support, labels))
        alone = torch.cat([method.fuse(method.compare_encoded(query[[i]], support, labels)) for i in (0, 1, 2, 0)])
        check_same(twice, alone)
        check_same(twice[3:], twice[:1])


@cache
def maps_of(name: str, side: int) -> tuple[Tensor, ...]:
    torch.manual_seed(2)
    with torch.no_grad():
        return backbone_of(name).taps(images(9, side))


def slow_if_of_many_channels(name: str) -> Any:
    """Gradients of Gaussians of 640 channels take seconds."""
    config = METHODS[name]
    gaussians = isinstance(config, MMLConfig) and "distribution" in config.levels and config.distance != "wasserstein"
    return pytest.param(name, marks=pytest.mark.slow if gaussians else ())


@pytest.mark.parametrize("name", [slow_if_of_many_channels(name) for name in OTHERS])
def test_every_method_over_its_other_networks(name: str) -> None:
    config = METHODS[name]
    method, maps = method_over(config, backbone_of(config.backbone)), maps_of(config.backbone, side=64)
    check_over(method, maps, [3, 1, 2], 3)
    check_answers_over(method, maps)


@cache
def transformer() -> tuple[Backbone, tuple[Tensor, ...]]:
    torch.manual_seed(2)
    backbone = build_backbone("tiny", {"model_type": "dinov2", **TINY["dinov2"][0]}).eval()
    with torch.no_grad():
        return backbone, backbone.taps(images(9, side=64))


@pytest.mark.parametrize("name", EACH)
def test_every_method_over_a_transformer(name: str) -> None:
    backbone, maps = transformer()
    architecture = {"model_type": "dinov2", **TINY["dinov2"][0]}
    config = replace(METHODS[name], backbone="tiny", architecture=architecture)
    if isinstance(config, SalientConfig):
        config = replace(config, levels=ONE_LAYER)  # the others need maps of several layers
    check_over(method_over(config, backbone), maps, [3, 1, 2], 3)
    check_answers_over(method_over(config, backbone), maps)


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_what_is_kept_answers_as_what_was_encoded(name: str) -> None:
    method, (query, support, labels) = small(name), episode([2, 1])
    encoded = method.encode(torch.cat([query, support]))
    kept = encoded.to_keep().float()
    exact = method.compare_encoded(encoded[:3], encoded[3:], labels)
    for level, scores in method.compare_encoded(kept[:3], kept[3:], labels).items():
        check_same(scores, exact[level], 0.05)


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_matchings_name_each_photo_of_a_class_in_turn(name: str) -> None:
    method, (query, support, _) = small(name), episode([3])
    summary = method.summarise(method.encode(support))
    for level, matching in method.matchings().items():
        rows, pool = matching.rows(method.encode(query[:1])), matching.pool(summary[level])
        assert matching.unit in {"patch", "channel"}
        assert len(pool) == 3 * len(rows)
        second = matching.rows(method.encode(support[1:2]))  # rows may be as long as they count; the pool's are not
        alike = torch.cosine_similarity(pool[len(rows) : 2 * len(rows)], second)
        torch.testing.assert_close(alike, torch.ones(len(rows)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["mml-conv64f", "dn4-conv64f"])
@torch.no_grad()
def test_principal_components_reduce_any_method(name: str) -> None:
    method, (query, support, labels) = small(name), episode([2, 2])
    reduced = method.reduced(method.encode(support), components=5)
    assert reduced.encode(query).maps.shape[1] == reduced.channels == 5
    assert reduced(query, support, labels).shape == (3, 2)
    with pytest.raises(ValueError, match="already reduces descriptors to 5"):
        reduced.reduced(reduced.encode(support), components=3)


@torch.no_grad()
def test_principal_components_keep_what_was_trained_or_are_refused() -> None:
    method, (_, support, _) = small("meta-baseline-conv64f"), episode([2, 2])
    method.get_parameter("temperature").fill_(3.0)
    assert method.reduced(method.encode(support), components=5).get_parameter("temperature") == 3
    for name in ("feat-conv64f", "relation-conv64f", "matching-context-conv64f", "mml-later-conv64f"):
        method = small(name)
        with pytest.raises(ValueError, match="was trained on all channels; leave out components"):
            method.reduced(method.encode(support), components=5)


def test_each_method_has_its_row_in_the_docs() -> None:
    rows = (Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8")
    for name, config in METHODS.items():
        method = name.removesuffix(f"-{config.backbone}")
        form = method.removeprefix("mml-paper")
        assert f"`{method}`" in rows or (form != method and f"`{form}`" in rows), method


@pytest.mark.parametrize("kind", METHOD_TYPES.values(), ids=lambda kind: kind.name)
def test_each_method_names_its_paper_and_gives_its_equation(kind: type[Method]) -> None:
    paper = sys.modules[kind.__module__].__doc__ or ""
    assert re.search(r"https://(arxiv\.org/abs/\d{4}\.\d{5}|doi\.org/10\.\d{4}/)", paper), "a link"
    assert re.search(r", \"[A-Z][^\"]*\",", paper), "authors and title"
    assert ".. math::" in (kind.__doc__ or "")


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown method 'vgg'; triptych methods lists those that there are"):
        build_method("vgg")


def test_preprocessing_is_resize_then_normalise() -> None:
    method = build_method("mml-conv64f")
    image = photo(0, 0, side=120)
    batch = method.preprocess([image, image.convert("L")])
    expected = np.asarray(image.resize((84, 84), 2)).transpose(2, 0, 1) / 255 * 2 - 1
    assert batch.shape == (2, 3, 84, 84)
    np.testing.assert_allclose(batch[0].numpy(), expected, atol=1e-6)
    assert torch.equal(batch[1, 0], batch[1, 1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("codes", r'write encoded\.tensors\["codes"\]$'),
        ("maps", r'write encoded\.tensors\["maps"\], or encoded\.maps$'),
    ],
)
def test_the_name_of_a_tensor_is_no_index_of_images(name: str, expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        Encoded({"maps": torch.zeros(3, 1, 2, 2), "codes": torch.zeros(3, 1)})[name]


def test_encoded_images_are_one_thing() -> None:
    encoded = Encoded({"maps": torch.arange(12.0).view(3, 1, 2, 2), "codes": torch.tensor([[1.0], [2.0], [3.0]])})
    assert len(encoded) == 3
    assert encoded[[]].maps.shape == (0, 1, 2, 2)
    assert encoded[np.array([2, 0])].tensors["codes"].flatten().tolist() == [3.0, 1.0]
    first, rest = encoded.split([1, 2])
    assert torch.equal(Encoded.join([first, rest]).maps, encoded.maps)
    assert {name: value.dtype for name, value in encoded.to_keep().tensors.items()} == {
        "maps": torch.float16,
        "codes": torch.float32,
    }
    with pytest.raises(ValueError, match="tensors of the same number of images"):
        Encoded({"maps": torch.zeros(2, 1), "codes": torch.zeros(3, 1)})
    with pytest.raises(ValueError, match="above 65504"):
        Encoded({"maps": torch.full((1, 1, 1, 1), 1e6)}).to_keep()


@pytest.mark.parametrize("kind", sorted({type(config) for config in METHODS.values()}, key=lambda kind: kind.__name__))
def test_numbers_of_a_configuration_out_of_bounds_are_refused(kind: type[MethodConfig]) -> None:
    whole, number = [True, -1], [float("nan"), -1.0]
    wrong: dict[Any, list[Any]] = {int: whole, int | None: whole, float: number, float | None: number}
    for field in fields(kind):
        for value in wrong.get(field.type, []):
            with pytest.raises(ValueError, match=f"^{field.name} must be "):
                kind(**{field.name: value})
