"""Any method in a recogniser: of one level or several, of classes that depend on each other; not of joint queries."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from photos import class_folders, photo
from toys import SIDE, Centred, Together

from triptych import Recognizer
from triptych.comparison import CompareSettings, compare
from triptych.comparison.baselines import BASELINES
from triptych.comparison.contest import FUSED
from triptych.evaluation import EvaluateSettings, evaluate
from triptych.methods import METHODS, Method, Preprocessing, build_method, save_method
from triptych.recognizer.answering import _read_one
from triptych.recognizer.leaving_out import leave_one_out

IMAGES = [photo(kind, number) for kind in range(3) for number in range(3)]
LABELS = ["a"] * 3 + ["b"] * 3 + ["c"] * 3


def registered(name: str) -> Callable[[], Method]:
    return lambda: build_method(replace(METHODS[name], preprocessing=Preprocessing(side=SIDE)))


ONE_LEVEL = {name: registered(name) for name in ("dn4-conv64f", "relation-conv64f", "frn-conv64f")}
ONE_LEVEL["centred"] = Centred


@pytest.fixture(params=ONE_LEVEL)
def method(request: pytest.FixtureRequest, toys: None) -> Method:
    torch.manual_seed(0)
    return ONE_LEVEL[request.param]().eval()


def test_a_method_of_one_level_learns_answers_explains_and_is_kept(method: Method, tmp_path: Path) -> None:
    (level,) = method.level_names
    recognizer = Recognizer(method).fit(IMAGES, LABELS)
    queries = [photo(kind, 50) for kind in range(3)]
    assert recognizer.calibration_ is not None
    assert recognizer.predict_proba(queries).shape == (3, 3)
    assert recognizer.levels(queries)[level].shape == (3, 3)
    why = recognizer.explain(queries[0], top=3)
    first, second = why.classes[:2]
    assert set(first.contributions) == {level}
    margin = first.contributions[level] - second.contributions[level]
    assert margin == pytest.approx(np.log(first.probability / second.probability), rel=1e-3, abs=1e-5)
    recognizer.save(tmp_path / "x.triptych")
    loaded = Recognizer.load(tmp_path / "x.triptych")
    assert loaded.method_.config == method.config
    assert_array_equal(loaded.predict_proba(queries), recognizer.predict_proba(queries))
    grown = Recognizer(method).fit(IMAGES[:6], LABELS[:6]).add(IMAGES[6:], "c")
    assert_array_equal(grown.predict_proba(queries), recognizer.predict_proba(queries))
    assert grown.fingerprint() == recognizer.fingerprint() == loaded.fingerprint()


def test_a_method_of_one_level_is_compared_and_evaluated(method: Method, tmp_path: Path) -> None:
    record = compare(IMAGES, LABELS, method, settings=CompareSettings(repeats=2))
    assert record["curve"][0]["contenders"].keys() == {FUSED, *BASELINES}
    assert record["suspects"]["checked"] == 9
    class_folders(tmp_path / "photos", classes=3, each=3)
    found = evaluate(tmp_path / "photos", method, "x", EvaluateSettings(way=2, queries=2, episodes=2))
    assert list(found["levels"]) == list(method.level_names)
    save_method(method, tmp_path / "x.safetensors")
    by_file = compare(IMAGES, LABELS, tmp_path / "x.safetensors", settings=CompareSettings(repeats=2))
    assert by_file["curve"] == record["curve"]


def test_leaving_out_equals_fitting_without_where_classes_depend_on_each_other() -> None:
    torch.manual_seed(0)
    recognizer = Recognizer(Centred()).fit(IMAGES, LABELS)
    supports = [recognizer.support_[label] for label in recognizer.classes_]
    left_out = leave_one_out(recognizer.method_, supports)
    by_id = {
        _read_one(recognizer.knowledge_, image).id: (image, own) for image, own in zip(IMAGES, LABELS, strict=True)
    }
    assert set(left_out.photos) == set(by_id)
    for row, photo_id in enumerate(left_out.photos):
        image, own = by_id[photo_id]
        rest = Recognizer(Centred(), calibrate=False)
        lacking = {photo_id, *(recognizer.support_[label].ids[-1] for label in {"a", "b", "c"} - {own})}
        kept = [(one, label) for id_, (one, label) in by_id.items() if id_ not in lacking]
        rest.method = recognizer.method_
        rest.fit(*map(list, zip(*kept, strict=True)))
        expected = torch.from_numpy(rest.levels([image])["centred"][0])
        torch.testing.assert_close(left_out.levels["centred"][row], expected, rtol=1e-3, atol=0.02)  # of half precision


def test_what_depends_on_other_classes_is_not_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = Recognizer(Centred()).fit(IMAGES[:6], LABELS[:6])
    before = recognizer.knowledge_.learnt.left_out
    after = recognizer.add(IMAGES[6:], "c").knowledge_.learnt.left_out
    assert after.photos[:6] == before.photos
    assert not torch.isclose(after.levels["centred"][:6, :2], before.levels["centred"]).any()


def test_a_method_that_sees_queries_together_is_refused() -> None:
    with pytest.raises(
        ValueError, match="method 'together' looks at all queries together; a Recognizer answers one by"
    ):
        Recognizer(Together()).fit(IMAGES, LABELS)


@pytest.mark.parametrize("calibrate", [True, False])
def test_only_fitting_leaves_photos_out(monkeypatch: pytest.MonkeyPatch, calibrate: bool) -> None:
    seen: list[int] = []
    plain = Centred.compare

    def counting(self: Centred, query: Any, classes: Any) -> dict[str, torch.Tensor]:
        seen.append(len(query))
        return plain(self, query, classes)

    monkeypatch.setattr(Centred, "compare", counting)
    recognizer = Recognizer(Centred(), calibrate=calibrate).fit(IMAGES, LABELS)
    assert sum(seen) == (9 if calibrate else 1), "one photo tells whether scores are finite"
    seen.clear()
    recognizer.predict(IMAGES[:2]), recognizer.predict_proba(IMAGES[:2])
    assert sum(seen) == 4
