"""Evidence accounts for the answer, and points at the places that it names."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from photos import photo
from PIL import Image

from triptych import Recognizer
from triptych.data import Preprocessing, read_photos
from triptych.evidence import Explanation
from triptych.evidence.naming import named_by_loss, naming_order
from triptych.interop import load_method
from triptych.methods import build_method
from triptych.methods.mml import MML
from triptych.support import View, views_of

SHOTS = {"a": 3, "b": 1, "c": 2}


def support() -> tuple[list[Image.Image], list[str]]:
    images = [photo(kind, number) for kind, shot in enumerate(SHOTS.values()) for number in range(shot)]
    return images, [label for label, shot in SHOTS.items() for _ in range(shot)]


@pytest.fixture(scope="module")
def fitted() -> Recognizer:
    return Recognizer().fit(*support())


def photo_id(image: Image.Image) -> str:
    (read,) = read_photos([image], Preprocessing(84))
    return read.id


def with_neighbours(k: int) -> MML:
    """The embedded method, but with the k nearest at both levels."""
    embedded = load_method("mml-conv64f")
    method = MML(replace(embedded.config, pixel_k=k, part_k=k))
    method.load_state_dict(embedded.state_dict())
    return method


def test_explanation_accounts_for_the_answer(fitted: Recognizer) -> None:
    query = photo(2, 100)
    why = fitted.explain(query, top=2)
    probabilities = fitted.predict_proba([query])[0]
    assert why.label == fitted.predict([query])[0]
    assert [evidence.probability for evidence in why.classes] == pytest.approx(sorted(probabilities)[::-1][:2])
    first, second = why.classes
    margin = sum(first.contributions.values()) - sum(second.contributions.values())
    assert margin == pytest.approx(np.log(first.probability / second.probability), rel=1e-3)
    assert len(first.matches) == why.grid[0] * why.grid[1]
    assert sum(match.similarity for match in first.matches) == pytest.approx(first.similarities["pixel"], rel=1e-5)


def test_a_photo_matches_itself_patch_by_patch(fitted: Recognizer) -> None:
    why = fitted.explain(photo(0, 1), top=1)
    (own_index,) = [i for i, kept in enumerate(fitted.support_["a"].ids) if kept == photo_id(photo(0, 1))]
    own = [match for match in why.classes[0].matches if match.photo == own_index and match.query == match.support]
    assert len(own) > 0.9 * len(why.classes[0].matches)
    assert own[0].similarity == pytest.approx(1, abs=1e-3)


def test_patches_and_parts_account_for_their_levels(fitted: Recognizer) -> None:
    query = photo(1, 100)
    for evidence in fitted.explain(query, top=3).classes:
        for level, matches in (("pixel", evidence.matches), ("part", evidence.parts)):
            assert sum(match.similarity for match in matches) == pytest.approx(evidence.similarities[level], rel=1e-4)
        mean = fitted.levels([query])["pixel"].mean()
        assert sum(m.margin for m in evidence.matches) == pytest.approx(evidence.similarities["pixel"] - mean, abs=1e-2)


def test_the_lead_is_the_logarithm_of_the_ratio_of_probabilities(fitted: Recognizer) -> None:
    why = fitted.explain(photo(2, 100), top=2)
    first, second = why.classes
    assert sum(why.lead().values()) == pytest.approx(np.log(first.probability / second.probability), rel=1e-3)
    assert replace(why, classes=why.classes[:1]).lead() == {}
    assert why.patch_levels == ("pixel",)


def test_patches_are_named_by_what_they_cost_together() -> None:
    worth = torch.tensor([1.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.8, 0.0, -1.0])

    def score(kept: torch.Tensor) -> torch.Tensor:  # the first and the fourth stand in for each other
        return torch.maximum(kept[:, 0], kept[:, 3]) + kept @ worth * 0.1

    named = named_by_loss(score, (1, 9))
    assert named.order[:3] == [0, 3, 6]
    assert sorted(named.order) == list(range(9))
    assert named.order[-1] == 8
    assert named.losses[0, 8] < 0
    whole, gone = torch.ones(1, 9), torch.tensor([[0.0, 0.75, 1, 1, 1, 1, 1, 1, 1]])
    assert named.losses[0, 0] == pytest.approx(float(score(whole) - score(gone)))


def test_the_default_names_patches_by_all_its_levels() -> None:
    images, labels = [photo(kind, number) for kind in range(2) for number in range(2)], ["a", "a", "b", "b"]
    recognizer = Recognizer("mml-efficientnet-lite0", calibrate=False).fit(images, labels)
    why = recognizer.explain(photo(0, 100), top=2)
    assert why.patch_levels == ("pixel", "pixel-last", "pixel-16")
    for rank, evidence in enumerate(why.classes):
        assert evidence.losses is not None
        assert evidence.losses.shape == why.grid == (8, 8)
        assert np.array_equal(why.heatmap(rank), evidence.losses)
        assert evidence.matches[0].query == np.unravel_index(evidence.losses.argmax(), why.grid)
    # Of two classes, what speaks for the one speaks against the other.
    assert why.heatmap(0) == pytest.approx(-why.heatmap(1), abs=1e-4)


def test_evidence_is_printed_in_a_line(fitted: Recognizer) -> None:
    why = fitted.explain(photo(2, 100), top=2)
    first = why.classes[0]
    assert repr(why) == f"Explanation(label='c', probability={first.probability:.3f}, classes=2)"
    assert repr(first).startswith("ClassEvidence(label='c', probability=")
    assert len(repr(first)) < 400


def test_a_level_a_method_has_not_gives_no_matches() -> None:
    why = Recognizer(build_method("protonet-conv64f")).fit(*support()).explain(photo(0, 100))
    assert why.classes[0].matches == [] == why.classes[0].parts


@pytest.mark.parametrize("k", [2, 3])
def test_each_of_the_k_nearest_is_accounted_for(k: int) -> None:
    recognizer = Recognizer(with_neighbours(k)).fit(*support())
    query = photo(2, 100)
    levels = recognizer.levels([query])
    why = recognizer.explain(query, top=3)
    for rank, evidence in enumerate(why.classes):
        place = recognizer.classes_.tolist().index(evidence.label)
        for level, matches, rows in (("pixel", evidence.matches, 441), ("part", evidence.parts, 64)):
            assert len(matches) == k * rows
            assert sum(match.similarity for match in matches) == pytest.approx(levels[level][0, place], rel=1e-4)
            margin = levels[level][0, place] - levels[level].mean()
            assert sum(match.margin for match in matches) == pytest.approx(margin, abs=0.02)
        assert why.heatmap(rank).sum() == pytest.approx(sum(match.margin for match in evidence.matches))
        nearest = [match.similarity for match in evidence.matches[:k]]
        assert nearest == sorted(nearest, reverse=True)
        assert len({match.query for match in evidence.matches[:k]}) == 1


def test_a_match_in_the_mirror_image_points_at_the_photo_itself() -> None:
    images, labels = support()
    why = Recognizer(views=2).fit(images, labels).explain(images[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT), top=3)
    (own,) = [evidence for evidence in why.classes if evidence.label == "b"]
    mirrored = [match for match in own.matches if match.view == 1]
    assert len(mirrored) > 0.9 * 441
    right = [match.support == (match.query[0], 20 - match.query[1]) for match in mirrored]
    assert np.mean(right) > 0.9


def test_a_match_in_a_crop_points_at_the_photo_itself() -> None:
    image = photo(1, 0, side=84)
    crop = views_of(photo_id(image), 3, 84)[2]
    asked = image.crop((crop.left, crop.top, crop.left + crop.size, crop.top + crop.size))
    others = [photo(0, 0), photo(2, 0)]
    why = Recognizer(views=3).fit([image, *others], ["own", "x", "y"]).explain(asked, top=3)
    (own,) = [evidence for evidence in why.classes if evidence.label == "own"]
    in_crop = [match for match in own.matches if match.view == 2]
    assert len(in_crop) > 0.9 * 441
    for match in in_crop:
        middle = [(place + 0.5) / 21 * crop.size for place in match.query]
        if match.support == (int((crop.top + middle[0]) / 4), int((crop.left + middle[1]) / 4)):
            continue
        assert match.similarity < 0.9999  # another place that looks the same
    rows, columns = zip(*(match.support for match in in_crop), strict=True)
    assert max(rows) - min(rows) in {15, 16, 17}
    assert max(columns) - min(columns) in {15, 16, 17}


def test_part_matches_name_photo_view_and_channel() -> None:
    images, labels = support()
    why = Recognizer(views=2).fit(images, labels).explain(images[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT), top=3)
    recognizer = Recognizer(views=2).fit(images, labels)
    (own,) = [evidence for evidence in why.classes if evidence.label == "a"]
    place = recognizer.support_["a"].ids.index(photo_id(images[1]))
    found = [match for match in own.parts if (match.photo, match.view) == (place, 1)]
    assert len(found) > 0.9 * 64
    assert all(match.channel == match.support_channel for match in found)


@pytest.mark.parametrize("side", [60, 84])
def test_views_keep_what_they_show_in_place(side: int) -> None:
    views = views_of("5f" * 16, 6, side)
    assert views[:2] == [View(0, 0, side, False), View(0, 0, side, True)]
    for view in views:
        for grid in ((21, 21), (5, 5), (1, 1)):
            located = {view.locate(row, column, grid, side) for row in range(grid[0]) for column in range(grid[1])}
            assert all(0 <= row < grid[0] and 0 <= column < grid[1] for row, column in located)
    assert len({(view.top, view.left) for view in views[2:]}) > 1


def test_the_order_of_naming_takes_every_patch_once_and_spreads() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(9, 7))
    assert sorted(naming_order(margins)) == list(range(63))
    spot = np.zeros((9, 9))
    spot[1:4, 1:4] = 1.0
    spot[7, 7] = 3.0
    assert naming_order(spot)[:2] == [2 * 9 + 2, 7 * 9 + 7]
    against = -np.abs(rng.normal(size=(4, 4)))
    assert naming_order(against) == np.argsort(-against, axis=None).tolist()


def test_naming_of_any_grid() -> None:
    for shape in ((1, 1), (1, 6), (2, 2), (37, 20)):
        assert sorted(naming_order(np.random.default_rng(0).normal(size=shape))) == list(range(shape[0] * shape[1]))


def test_top_beyond_the_classes_explains_them_all(fitted: Recognizer) -> None:
    assert fitted.explain(photo(0, 100), top=10).label == "a"
    assert len(fitted.explain(photo(0, 100), top=10).classes) == 3
    with pytest.raises(ValueError, match="top must be a whole number of at least 1, got 0"):
        fitted.explain(photo(0, 100), top=0)


def test_evidence_of_a_loaded_recognizer_is_the_same(fitted: Recognizer, tmp_path: object) -> None:
    fitted.save(f"{tmp_path}/x.triptych")
    before, after = (one.explain(photo(2, 100)) for one in (fitted, Recognizer.load(f"{tmp_path}/x.triptych")))
    assert isinstance(after, Explanation)
    assert before.classes == after.classes
    assert np.array_equal(before.image, after.image)
    assert torch.equal(torch.from_numpy(before.responses), torch.from_numpy(after.responses))


def test_a_summary_is_json_whatever_array_the_labels_came_in() -> None:
    recognizer = Recognizer().fit([photo(0, 0), photo(1, 0)], np.array([3, 7], np.int16))
    summary = recognizer.explain(photo(1, 1)).summary(matches=1)
    assert json.loads(json.dumps(summary))["label"] == 7
