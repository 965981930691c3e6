"""The package as a whole: exports that exist and are explained, and names that come late but come."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import triptych
from triptych import Recognizer

MODULES = [info.name for info in pkgutil.walk_packages(triptych.__path__, "triptych.")]
# What a user imports from; the other modules are the machinery behind these.
PUBLIC = [
    "triptych",
    "triptych.backbones",
    "triptych.folders.predict",
    "triptych.recognizer.calibration",
    "triptych.comparison",
    "triptych.data",
    "triptych.reports.demo",
    "triptych.evidence.drawing",
    "triptych.evaluation.episodes",
    "triptych.evaluation.evaluate",
    "triptych.evidence.explanation",
    "triptych.fusion",
    "triptych.data.inputs",
    "triptych.interop.published",
    "triptych.recognizer.leave_one_out",
    "triptych.methods",
    "triptych.recognizer.estimator",
    "triptych.similarity",
    "triptych.folders.sort",
    "triptych.training",
]


@pytest.mark.parametrize("name", MODULES)
def test_every_exported_name_exists(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    assert all(hasattr(module, one) for one in exported)


def test_public_names_are_importable_from_the_top() -> None:
    for name in triptych.__all__:
        assert getattr(triptych, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Recogniser'"):
        triptych.Recogniser  # noqa: B018


def exported(name: str) -> dict[str, Any]:
    """The functions and classes that a module exports."""
    module = importlib.import_module(name)
    found = {one: getattr(module, one) for one in getattr(module, "__all__", [])}
    return {
        f"{name}.{one}": value for one, value in found.items() if inspect.isclass(value) or inspect.isroutine(value)
    }


def public_methods(name: str, cls: type) -> Iterator[tuple[str, Any]]:
    """Of a class itself, without what it inherits or overrides."""
    for attribute, value in vars(cls).items():
        inherited = any(hasattr(base, attribute) for base in cls.__mro__[1:])
        if attribute.startswith("_") or inherited:
            continue
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        if inspect.isfunction(value) or isinstance(value, property):
            yield f"{name}.{attribute}", value


@pytest.mark.parametrize("name", MODULES)
def test_everything_exported_says_what_it_is(name: str) -> None:
    for path, value in exported(name).items():
        assert inspect.getdoc(value), path
        if inspect.isclass(value) and value.__module__.startswith("triptych"):
            for method, function in public_methods(path, value):
                assert inspect.getdoc(function), method


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_has_an_example_that_runs(name: str) -> None:
    """Pytest runs the examples; here is only asked that there are any."""
    without = [path for path, value in exported(name).items() if ">>> " not in (inspect.getdoc(value) or "")]
    assert without == []


def test_every_method_of_the_recognizer_has_an_example() -> None:
    methods = dict(public_methods("Recognizer", Recognizer))
    assert {"Recognizer.fit", "Recognizer.predict", "Recognizer.load", "Recognizer.calibration_"} <= methods.keys()
    assert [path for path, value in methods.items() if ">>> " not in (inspect.getdoc(value) or "")] == []
