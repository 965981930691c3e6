"""A fitted recogniser, and its file."""

from pathlib import Path

import numpy as np
import pytest
from photos import photo
from toys import small_method

from triptych import Recognizer


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(small_method()).fit(
        [photo(kind, i) for kind in range(3) for i in range(3)], np.repeat(["a", "b", "c"], 3)
    )


@pytest.fixture(scope="module")
def shelf(recognizer: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shelf") / "shelf.triptych"
    recognizer.save(file)
    return file
