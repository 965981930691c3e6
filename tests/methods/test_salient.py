"""The default method: what each level is, against the plain functions; and that it recognises photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from triptych import Recognizer, load_method
from triptych.backbones import Backbone
from triptych.data import list_folder
from triptych.methods import ONE_LAYER, SalientConfig, SalientMML
from triptych.similarity import fit_lda, lda_to_classes, salient_similarity

NAME = "mml-efficientnet-lite0"
SAMPLES = Path(__file__).parents[2] / "src/triptych/samples"


@pytest.fixture(scope="module")
def method() -> SalientMML:
    torch.manual_seed(0)
    return SalientMML(SalientConfig()).eval()


@torch.no_grad()
def test_levels_are_those_of_the_equations(method: SalientMML) -> None:
    images, labels = torch.randn(6, 3, 96, 96), torch.tensor([0, 0, 1, 1])
    levels = method.levels(images[4:], images[:4], labels)
    taps = [functional.adaptive_avg_pool2d(one, (3, 3)) for one in method.backbone.taps(images)]
    for level, layer, power in (("pixel", taps[2], 2.0), ("pixel-last", taps[1], 4.0)):
        torch.testing.assert_close(levels[level], salient_similarity(layer[4:], layer[:4], labels, power))
    weights = taps[1].flatten(2).norm(dim=1, keepdim=True).square()
    weighted = (taps[1].flatten(2) * weights / weights.sum(2, keepdim=True)).sum(2)
    blocks = [taps[2].mean(dim=(2, 3)).sqrt(), weighted]
    vectors = torch.cat([functional.normalize(one - one[:4].mean(0), dim=1) for one in blocks], dim=1) / 2**0.5
    expected = lda_to_classes(vectors[4:], fit_lda(vectors[:4], labels))
    torch.testing.assert_close(levels["global"], expected.float(), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_shallow_layer_is_weighed_by_the_deepest(method: SalientMML) -> None:
    encoded = method.encode(torch.randn(2, 3, 96, 96))
    pool = encoded.tensors["stride16"].flatten(2).transpose(1, 2)  # (B, M, C)
    weights = encoded.maps.flatten(2).norm(dim=1).square()
    units = functional.normalize(pool, dim=2)
    expected = (weights[0] * (units[0] @ units[1].T).amax(1)).sum() / weights[0].sum()
    classes = method.adapt([method.summarise(encoded[[1]]), method.summarise(encoded[[0]])])
    torch.testing.assert_close(method.compare(encoded[[0]], classes)["pixel-16"][0, 0], expected)


def test_the_default_recognises_photos_that_nobody_tuned_on_it_for() -> None:
    listing = list_folder(SAMPLES)
    photos, names = np.array(listing.photos(), dtype=object), np.array(listing.class_names())
    chosen = np.isin(names, ["Avocado", "Garlic", "Lemon"])
    photos, names = photos[chosen], names[chosen]
    known = np.concatenate([np.flatnonzero(names == name)[:3] for name in np.unique(names)])
    asked = np.setdiff1d(np.arange(len(names)), known)
    recognizer = Recognizer(NAME).fit(photos[known], names[known])
    assert (recognizer.predict(photos[asked]) == names[asked]).mean() > 0.85
    assert recognizer.calibration_ is not None
    weights = recognizer.fusion_.state_dict()["log_weight"]
    assert not torch.equal(weights, load_method(NAME).fusion.state_dict()["log_weight"])  # fitted to the photos
    why = recognizer.explain(photos[asked[0]], top=1)
    assert why.grid == (8, 8)
    assert len(why.classes[0].matches) == 64


def test_two_photos_a_class_teach_the_levels_nothing() -> None:
    listing = list_folder(SAMPLES)
    photos, names = np.array(listing.photos(), dtype=object), np.array(listing.class_names())
    known = np.concatenate([np.flatnonzero(names == name)[:2] for name in ("Garlic", "Lemon", "Avocado")])
    recognizer = Recognizer(NAME).fit(photos[known], names[known])
    shares = recognizer.fusion_.state_dict()["log_weight"]
    torch.testing.assert_close(shares, load_method(NAME).fusion.state_dict()["log_weight"], rtol=1e-3, atol=1e-3)
    assert recognizer.calibration_ is not None


class OneMap(Backbone):
    """A backbone of a single map, with numbers of both signs."""

    channels = 6

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.avg_pool2d(images, 8)
        return torch.cat([maps, -2 * maps.square()], dim=1)


def test_of_a_single_map_the_levels_that_need_no_other_are_compared() -> None:
    method = SalientMML(SalientConfig(levels=ONE_LAYER), OneMap()).eval()
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 0, 1, 1])
    levels = method.levels(images[4:], images[:4], labels)
    assert tuple(levels) == ONE_LAYER
    maps = method.backbone(images)
    torch.testing.assert_close(levels["pixel"], salient_similarity(maps[4:], maps[:4], labels, 2.0))
    mean, weights = maps.mean(dim=(2, 3)), maps.flatten(2).norm(dim=1, keepdim=True).square()
    weighted = (maps.flatten(2) * weights / weights.sum(2, keepdim=True)).sum(2)
    blocks = [mean.sign() * mean.abs().sqrt(), weighted]
    vectors = torch.cat([functional.normalize(one - one[:4].mean(0), dim=1) for one in blocks], dim=1) / 2**0.5
    expected = lda_to_classes(vectors[4:], fit_lda(vectors[:4], labels))
    torch.testing.assert_close(levels["global"], expected.float(), rtol=1e-3, atol=1e-3)
    shares = SalientMML(SalientConfig()).fusion.restricted(ONE_LAYER)
    assert torch.equal(method.fusion.log_weight, shares.log_weight)  # the rules of fusion are the default's


def test_a_single_map_can_be_reduced_to_principal_components() -> None:
    method = SalientMML(SalientConfig(levels=ONE_LAYER), OneMap()).eval()
    reduced = method.reduced(method.encode(torch.randn(4, 3, 32, 32)), components=3)
    encoded = reduced.encode(torch.randn(3, 3, 32, 32))
    assert encoded.maps.shape == (3, 3, 4, 4)
    classes = reduced.adapt([reduced.summarise(encoded[:1]), reduced.summarise(encoded[1:2])])
    assert all(scores.shape == (1, 2) for scores in reduced.compare(encoded[2:], classes).values())


def test_a_level_without_its_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="gives 1 layers, too few for pixel-last, pixel-16; leave these out"):
        SalientMML(SalientConfig(), OneMap()).encode(torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": ("pixel", "part")}, "levels are .*; expected different ones of global, distribution, pixel"),
        ({"levels": ("pixel", "pixel")}, "expected different ones"),
        ({"levels": ()}, "expected different ones"),
        ({"components": 8}, "expected levels of the deepest alone: global, distribution, pixel$"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SalientConfig(**settings)
