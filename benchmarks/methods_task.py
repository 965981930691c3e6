"""What ``methods.py`` measures: a method, on data, within a budget that is the same for all."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from triptych.data import Preprocessing
from triptych.methods import METHODS, WEIGHTS, MethodConfig
from triptych.training import PRESETS, TrainSettings

__all__ = ["CENTRED", "FROZEN", "TRAINED", "TUNED", "Budget", "Task"]

TRAINED, FROZEN = "-conv64f", "-efficientnet-lite0"
TUNED = {f"mml{TRAINED}"}  # by their own recipe, for hours; the table shows them apart
CENTRED = {f"{name}{TRAINED}" for name in ("simpleshot", "laplacianshot")}  # by the training classes, without episodes
_SHOTS = (1, 5)
_FEW = (1, 4)  # of a folder: some classes have five photos


@dataclass(frozen=True)
class Budget:
    """What every method gets.

    Attributes:
        steps: of training, an episode each; 1/P of them for methods that look at P crops of a photo.
        episodes: of the test split, for each shot.
        photo_episodes: of each folder, for each shot.
        seed: of all that is drawn.
    """

    steps: int = 400
    episodes: int = 2000
    photo_episodes: int = 600
    seed: int = 0

    def training(self, crops: int) -> TrainSettings:
        """10-way episodes of 70 and 90 images, half of them at a side of 56; of a method with so many crops each."""
        steps = max(1, round(self.steps / crops))
        return replace(
            PRESETS["fast"].train,
            steps=steps,
            sides=(56, 84),
            seed=self.seed,
            average=0.99**crops,  # as little of the start is left after fewer steps
            pixel_share=1.0,
            plda_images=0,
            balance_episodes=0,
            validate_every=steps,
            validation_episodes=1,  # once at the end: it chooses nothing
        )


@dataclass(frozen=True)
class Task:
    """One row.

    Attributes:
        name: of the method.
        data: what it is evaluated on.
        out: the folder of all rows.
        budget: what every method gets.
        device: where it is trained and evaluated.
    """

    name: str
    data: Path
    out: Path
    budget: Budget
    device: str

    @property
    def file(self) -> Path:
        """Where the row is kept."""
        return self.out / "rows" / f"{self.name} on {self.data.name}.json"

    @property
    def config(self) -> dict[str, Any]:
        """Of the method, as a row has it."""
        config: dict[str, Any] = json.loads(json.dumps(self._settings.to_dict()))
        return config

    @property
    def preprocess(self) -> Preprocessing:
        """How photos become its input."""
        return self._settings.preprocessing

    @property
    def _settings(self) -> MethodConfig:
        return WEIGHTS[self.name].config if self.name in TUNED else METHODS[self.name]

    @property
    def run(self) -> Path:
        """The folder in which it is trained; another configuration has another."""
        return self.out / "runs" / f"{self.name}-{hashlib.sha256(json.dumps(self.config).encode()).hexdigest()[:8]}"

    @property
    def photos(self) -> bool:
        """Whether it is asked on a folder of photos."""
        return self.name.endswith(FROZEN)

    @property
    def shots(self) -> tuple[int, ...]:
        """Photos a class."""
        return _FEW if self.photos else _SHOTS

    def row(self) -> dict[str, Any] | None:
        """What was measured of the method as it is today, less the costs that rows once had of their own machines."""
        row: dict[str, Any] = json.loads(self.file.read_text()) if self.file.is_file() else {}
        if row.get("config") != self.config or (self.name in CENTRED and not row.get("centred")):
            return None
        for cost in ("peak_memory_mb", "training_s"):
            row.pop(cost, None)
        for shot in row["shots"].values():
            for cost in ("ms_a_query", "evaluation_processor_s"):
                shot.pop(cost, None)
        return row
