"""The package as a whole: exports that exist, and names that come late but come."""

import importlib
import pkgutil

import pytest

import triptych

MODULES = [info.name for info in pkgutil.walk_packages(triptych.__path__, "triptych.")]


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
