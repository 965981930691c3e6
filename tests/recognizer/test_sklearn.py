"""Recognizer is a citizen of scikit-learn: cloned, searched, validated, stacked and sent to other processes."""

import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from photos import class_folders, photo
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags
from toys import SIDE, small_method

from triptych import Recognizer
from triptych.methods import METHODS, Preprocessing, build_method

SETTINGS = ["method", "device", "views", "calibrate", "thumbnails"]


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    paths = sorted(class_folders(tmp_path_factory.mktemp("photos"), classes=3, each=4).rglob("*.png"))
    return pd.DataFrame({"path": [str(path) for path in paths], "label": [path.parent.name for path in paths]})


@pytest.fixture(scope="module")
def fitted(frame: pd.DataFrame) -> Recognizer:
    return Recognizer(small_method()).fit(frame["path"], frame["label"])


@pytest.mark.parametrize(
    "check",
    [
        # What scikit-learn asks of every estimator's construction and settings, without giving it data.
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_mixin_order",
    ],
)
def test_conventions_of_scikit_learn(check: str) -> None:
    """The other checks fit on tables of numbers, which are no photos."""
    getattr(estimator_checks, check)("Recognizer", Recognizer(calibrate=False))


def test_tags_say_that_it_classifies_what_is_no_table() -> None:
    tags = get_tags(Recognizer())
    assert is_classifier(Recognizer())
    assert tags.target_tags.required
    assert tags.classifier_tags.multi_class
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.string
    assert tags.no_validation


def test_settings_are_read_changed_and_cloned(fitted: Recognizer) -> None:
    assert set(SETTINGS) <= set(fitted.get_params())
    other = clone(fitted).set_params(views=2, calibrate=False)
    assert (other.views, other.calibrate, fitted.views) == (2, False, 1)
    assert not hasattr(other, "classes_")
    with pytest.raises(ValueError, match="Invalid parameter 'shots'"):
        Recognizer().set_params(shots=3)
    with pytest.raises(NotFittedError):
        clone(fitted).predict([photo(0, 0)])


def test_a_method_as_a_setting_is_cloned_with_its_weights() -> None:
    method = build_method("dn4-conv64f").eval()
    twin = clone(Recognizer(method)).method
    assert twin is not method
    assert all((a == b).all() for a, b in zip(twin.state_dict().values(), method.state_dict().values(), strict=True))


def test_fitting_changes_no_setting(frame: pd.DataFrame) -> None:
    recognizer = Recognizer(small_method(), views=2)
    before = recognizer.get_params()
    assert recognizer.fit(frame["path"], frame["label"]) is recognizer
    assert recognizer.get_params() == before


def test_fitting_again_forgets_what_was_there(frame: pd.DataFrame, fitted: Recognizer) -> None:
    recognizer = Recognizer(small_method()).fit([photo(7, 0), photo(8, 0)], ["x", "y"])
    recognizer.fit(frame["path"], frame["label"])
    assert recognizer.classes_.tolist() == ["class0", "class1", "class2"]
    assert_array_equal(recognizer.predict_proba(frame["path"]), fitted.predict_proba(frame["path"]))


@pytest.mark.parametrize("kind", ["list", "series", "frame", "array", "paths"])
def test_score_takes_paths_in_any_form(fitted: Recognizer, frame: pd.DataFrame, kind: str) -> None:
    forms = {
        "list": list(frame["path"]),
        "series": frame["path"],
        "frame": frame[["path"]],
        "array": frame["path"].to_numpy(),
        "paths": [Path(path) for path in frame["path"]],
    }
    assert fitted.score(forms[kind], frame["label"]) == 1.0
    half = fitted.score(forms[kind], frame["label"], sample_weight=[1.0, 0.0] * 6)
    assert half == 1.0


@pytest.mark.parametrize("dtype", [object, "str", "category", "int8", "bool", "float64"])
def test_labels_come_back_in_the_callers_dtype(frame: pd.DataFrame, dtype: object) -> None:
    codes = frame["label"].str[-1].astype(int)
    labels = frame["label"].astype(dtype) if dtype in (object, "str", "category") else (codes % 2).astype(dtype)
    recognizer = Recognizer(small_method()).fit(frame["path"], labels)
    answers = recognizer.predict(frame["path"])
    assert_array_equal(answers, np.asarray(labels))
    assert answers.dtype.kind == np.asarray(labels).dtype.kind
    assert recognizer.classes_.dtype == answers.dtype


def test_cross_validation_over_paths(frame: pd.DataFrame) -> None:
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_validate(
        Recognizer(small_method()),
        frame["path"],
        frame["label"],
        cv=folds,
        scoring=["accuracy", "neg_log_loss"],
        error_score="raise",
    )
    assert scores["test_accuracy"].mean() > 0.7
    probabilities = cross_val_predict(
        Recognizer(small_method()), frame["path"].to_numpy(), frame["label"], cv=folds, method="predict_proba"
    )
    assert log_loss(frame["label"], probabilities) == pytest.approx(-scores["test_neg_log_loss"].mean(), abs=1e-6)


def test_search_over_paths_and_methods(frame: pd.DataFrame) -> None:
    grid = {
        "views": [1, 2],
        "method": [
            small_method(),
            build_method(replace(METHODS["protonet-conv64f"], preprocessing=Preprocessing(side=SIDE))),
        ],
    }
    search = GridSearchCV(Recognizer(calibrate=False), grid, cv=2, error_score="raise")
    search.fit(list(frame["path"]), frame["label"])
    assert search.best_score_ > 0.7
    assert search.best_estimator_.score(frame["path"], frame["label"]) == 1.0
    assert_array_equal(search.classes_, search.best_estimator_.classes_)


def test_as_the_last_step_of_a_pipeline(frame: pd.DataFrame) -> None:
    below = FunctionTransformer(lambda names: [f"{Path(frame['path'][0]).parents[1]}/{name}" for name in names])
    pipeline = make_pipeline(below, Recognizer(small_method()))
    names = ["/".join(Path(path).parts[-2:]) for path in frame["path"]]
    assert pipeline.fit(names, frame["label"]).score(names, frame["label"]) == 1.0


def test_pickled_it_answers_the_same(fitted: Recognizer) -> None:
    query = [photo(kind, 50) for kind in range(3)]
    before = fitted.predict_proba(query)
    twin = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(twin.predict_proba(query), before)
    assert twin.calibration_ == fitted.calibration_
    twin.add([photo(9, 0)], "new")
    assert fitted.classes_.tolist() == ["class0", "class1", "class2"]


@pytest.mark.slow
def test_folds_in_two_processes(frame: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # of the processes' pool, in Python 3.12 and later
        together = cross_val_score(
            Recognizer(small_method()), frame["path"], frame["label"], cv=2, n_jobs=2, error_score="raise"
        )
    assert_array_equal(together, cross_val_score(Recognizer(small_method()), frame["path"], frame["label"], cv=2))


def test_settings_of_numpy_are_taken_and_saved(frame: pd.DataFrame, tmp_path: Path) -> None:
    """As a search over np.arange sets them."""
    settings = {"views": np.int64(2), "calibrate": np.True_, "thumbnails": np.False_, "components": np.int64(4)}
    Recognizer(small_method(), **settings).fit(frame).save(tmp_path / "x.triptych")
    assert Recognizer.load(tmp_path / "x.triptych").views == 2
