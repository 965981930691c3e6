"""The package as a whole: exports that exist and are explained, and names that come late but come."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError

import triptych
import triptych.similarity

MODULES = [info.name for info in pkgutil.walk_packages(triptych.__path__, "triptych.")]
# Whose functions and classes are mathematics, or what a user starts from; elsewhere an example is where it teaches.
WITH_EXAMPLES = ["triptych", "triptych.similarity", "triptych.fusion"]


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


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_what_is_mathematics_or_a_beginning_has_an_example_that_runs(name: str) -> None:
    """Pytest runs the examples; here is only asked that there are any."""
    how = {"triptych.similarity.common", "triptych.similarity.search"}  # it is computed: no mathematics
    found = {path: value for path, value in exported(name).items() if value.__module__ not in how}
    without = [path for path, value in found.items() if ">>> " not in (inspect.getdoc(value) or "")]
    assert without == []


def test_shapes_are_checked_while_tests_run() -> None:
    x = torch.zeros(1, 2, 3, 3)
    with pytest.raises(TypeCheckError):
        triptych.similarity.pixel_similarity(x[0], x, torch.tensor([0]))


def test_types_are_for_those_who_install_it_too() -> None:
    assert (Path(triptych.__file__).parent / "py.typed").is_file()
