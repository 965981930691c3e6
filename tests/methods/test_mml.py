"""The level PLDA of MML: learnt in closed form, weighed like each of the others."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from triptych.data import ImageStore
from triptych.methods import METHODS, MML, MMLConfig, Preprocessing
from triptych.methods.levels import PLDALevel
from triptych.similarity import PLDA, plda_class, plda_to_classes
from triptych.training import learn_closed_form

CONFIG = MMLConfig(preprocessing=Preprocessing(side=32))


@pytest.fixture(scope="module")
def plain() -> MML:
    torch.manual_seed(0)
    return MML(CONFIG).eval()


@pytest.fixture(scope="module")
def with_plda(plain: MML) -> MML:
    """The same network with PLDA besides; to learn it takes seconds."""
    images = torch.randn(3, 4, 3, 32, 32) + torch.randn(3, 1, 3, 1, 1)
    return plain.learn_closed_form(images)


def plda_of(method: MML) -> PLDALevel:
    level = method.scorers["plda"]
    assert isinstance(level, PLDALevel)
    return level


@torch.no_grad()
def test_plda_tells_nothing_before_it_is_learnt() -> None:
    method = MML(MMLConfig(preprocessing=CONFIG.preprocessing, levels=("pixel", "plda"), plda_classes=3)).eval()
    levels = method.levels(torch.randn(3, 3, 32, 32), torch.randn(2, 3, 32, 32), torch.tensor([0, 1]))
    torch.testing.assert_close(levels["plda"], torch.zeros(3, 2))


@torch.no_grad()
def test_plda_is_the_likelihood_ratio_of_the_codes_and_leaves_the_other_levels_alone(
    plain: MML, with_plda: MML
) -> None:
    method = with_plda
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 1])
    level = plda_of(method)
    codes = level.codes(method.backbone.taps(images))
    classes = [plda_class(codes[:1], level.between), plda_class(codes[1:3], level.between)]
    levels, without = (one.levels(images[3:], images[:3], labels) for one in (method, plain))
    torch.testing.assert_close(levels.pop("plda"), plda_to_classes(codes[3:], classes, level.between).float())
    torch.testing.assert_close(levels, without)
    torch.testing.assert_close(method.encode(images).maps, method.backbone(images))


@torch.no_grad()
def test_a_fifth_of_the_ratio_is_added_to_the_logits_of_a_trained_fusion(plain: MML, with_plda: MML) -> None:
    trained = deepcopy(plain)
    trained.fusion.observe({name: 9 * torch.rand(4, 3) for name in plain.level_names})
    nn.init.normal_(trained.fusion.log_weight)
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 1])
    level = plda_of(with_plda)
    method = trained.with_plda(PLDA(level.origin, level.axes, level.between))
    added = method(images[3:], images[:3], labels) - trained(images[3:], images[:3], labels)
    ratio = method.levels(images[3:], images[:3], labels)["plda"]
    torch.testing.assert_close(added, 0.2 * ratio, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_plda_learnt_anew_takes_the_place_of_the_old(with_plda: MML) -> None:
    level = plda_of(with_plda)
    method = with_plda.with_plda(PLDA(level.origin + 1, level.axes, level.between))
    assert torch.equal(plda_of(method).origin, level.origin + 1)
    assert method.level_names == ("distribution", "pixel", "part", "plda")
    assert method.without_plda().level_names == ("distribution", "pixel", "part")


def test_codes_survive_what_is_kept(with_plda: MML) -> None:
    with torch.no_grad():
        encoded = with_plda.encode(torch.randn(6, 3, 32, 32))
    assert torch.equal(encoded.to_keep().tensors["codes"], encoded.tensors["codes"])


def test_views_of_a_photo_tell_as_much_as_the_photo(with_plda: MML) -> None:
    method = with_plda
    with torch.no_grad():
        encoded = method.encode(torch.randn(1, 3, 32, 32))
    once = method.summarise(encoded)["plda"]
    torch.testing.assert_close(method.summarise(encoded[[0] * 4], views=4)["plda"], once)
    assert not torch.allclose(method.summarise(encoded[[0] * 4])["plda"].variance, once.variance)


def test_principal_components_leave_plda_behind(with_plda: MML) -> None:
    method = with_plda
    with torch.no_grad():
        reduced = method.reduced(method.encode(torch.randn(6, 3, 32, 32)), components=5)
    assert reduced.level_names == ("distribution", "pixel", "part")


@pytest.mark.parametrize(
    "config",
    [
        MMLConfig(levels=("pixel",)),
        MMLConfig(backbone="resnet12"),
        MMLConfig(slots=5),
        MMLConfig(components=8),
        METHODS["adm-conv64f"],
        METHODS["mml-paper-kl-conv64f"],
    ],
)
def test_who_has_no_use_for_plda_says_so(config: MMLConfig) -> None:
    assert not MML(config).learns_closed_form(64)
    store = ImageStore(
        torch.zeros(6, 84, 84, 3, dtype=torch.uint8), np.arange(6) // 2, tuple("abc"), tuple("123456"), ""
    )
    with pytest.raises(ValueError, match="learn nothing in closed form from 3 classes"):
        learn_closed_form(MML(config), store, images=2)
