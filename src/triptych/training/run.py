"""A training run on disk: checkpoints that survive a kill, logs, and the best model so far."""

import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from torch.optim import Optimizer

from triptych.interop import BEST
from triptych.methods import Method, renamed_settings, save_method
from triptych.system.environment import CONFIG, SETTINGS, record_environment
from triptych.system.files import write_whole
from triptych.system.progress import progress_bar
from triptych.system.settings import whole
from triptych.training.checkpoint import CHECKPOINT, check_best, check_same, damaged, read_checkpoint
from triptych.training.launch import ended_well
from triptych.training.loggers import start_loggers
from triptych.training.ranks import ALONE, Ranks
from triptych.training.settings import RunSettings

__all__ = ["Run", "TrainingError"]

_CONSOLE = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
_FREE = ("device", "loggers")  # settings that may change when a run goes on
_STAGES = {"pretrain": "pre-training", "train": "training"}
# What earlier versions did not write of a method: some of it was as it is now, the rest did not exist and was off.
_LATER = ("name", "learns_plda")
_OFF = {"structured_steps": 0, "structured_rate": 100.0}
_NAMES = {"base_images": "plda_images", "base_loss": "plda_loss"}  # of settings: before -> now


class TrainingError(RuntimeError):
    """Training cannot go on."""


class Run:
    """One stage's folder: ``checkpoint.pt``, ``best.safetensors``, logs, and what the run is.

    ``settings.json`` holds what must be the same when it is resumed, ``config.yaml`` the settings as ``--config`` takes
    them, ``environment.json`` what it was computed with.

    Of several processes the first one alone writes; all read the checkpoint.

    Every random draw of training is a function of the seed and the step, so the weights, the optimiser's state
    and the step are the whole state: a run killed at any moment and resumed ends with the same weights.

    Args:
        folder: where the run lives.
        settings: the stage's settings.
        context: what else must be the same when the run is resumed (method, data fingerprint).
        steps: optimiser steps in all.
        modules: what is saved beside the optimiser.
        optimizer: the optimiser.
        resume: continue the run that lies in the folder, if there is one.
        config: the text of ``config.yaml``.
        ranks: this process among those that train together.

    Raises:
        ValueError: resuming with other settings or data, or starting where a run already lies; or the processes do
            not start from the same.
    """

    def __init__(
        self,
        folder: Path,
        settings: RunSettings,
        context: Mapping[str, Any],
        steps: int,
        modules: Mapping[str, nn.Module],
        optimizer: Optimizer,
        resume: bool,
        config: str = "",
        ranks: Ranks = ALONE,
    ) -> None:
        self.folder = folder
        self.steps = steps
        self.step = 0
        self.best = -math.inf
        self.owes_validation = False
        recipe = {name: value for name, value in asdict(settings).items() if name not in _FREE}
        self._identity = json.loads(json.dumps({**recipe, **context}))
        self._defaults = json.loads(json.dumps({one.name: one.default for one in fields(settings)}))
        self._modules = modules
        self._optimizer = optimizer
        self._settings = settings
        self._ranks = ranks
        self._checkpoint_seconds = settings.checkpoint_seconds
        self._checkpoint = folder / CHECKPOINT
        self._loss = self._accuracy = math.nan
        self._told = False
        if self._checkpoint.exists():
            if not resume:
                raise ValueError(
                    f"{folder}: a run already lies here; continue it with --resume, or choose another --out"
                )
            self._load()
        self._check_same_start()
        ranks.broadcast_weights(modules.values())
        if ranks.first:
            self._describe(config)

    def __enter__(self) -> "Run":
        self._saved = self._started = time.monotonic()
        loggers = self._settings.loggers if self._ranks.first else ()
        self._loggers = start_loggers(loggers, self.folder, self._identity, self.step)
        self._bar = progress_bar()
        self._task = self._bar.add_task(self.folder.name, total=self.steps, completed=self.step, status="")
        self._bar.start()
        if self.step:
            self._say(f"{self._place()}: goes on from the last checkpoint")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        self._loggers.close(failed=kind is not None)
        if kind is None:
            self._ranks.agree(str(self.step))  # who goes on reads what the first one has written
            ended_well()

    def advance(self, loss: float, accuracy: float, learning_rate: float) -> None:
        """Count a step; refuse a diverged one."""
        if not math.isfinite(loss):
            kept = f"; the last checkpoint in {self.folder} is sound" if self._checkpoint.exists() else ""
            raise TrainingError(
                f"the loss became {loss} at step {self.step + 1}{kept}: lower --learning-rate and start anew, or use "
                "--precision 32"
            )
        self.step += 1
        # Smoothed for the eye alone.
        self._loss = loss if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * loss
        self._accuracy = accuracy if math.isnan(self._accuracy) else 0.98 * self._accuracy + 0.02 * accuracy
        self._bar.update(self._task, completed=self.step, status=self._status())
        if self.step % 25 == 0:  # odd, so that two shots that take turns are both seen
            self.log({"loss": loss, "accuracy": accuracy, "learning_rate": learning_rate})

    def save_before_validation(self, episodes: int, shots: Sequence[int]) -> None:
        """Save, so that a kill in the validation, which may take long, costs no step; it is made up for then."""
        self.owes_validation = True
        self._save()
        shown = " and ".join(f"{shot}-shot" for shot in shots)
        self._bar.update(self._task, status=f"validating on {episodes} episodes, {shown}")
        if not self._told:
            self._say(f"{self._place()}: saved; validating on {episodes} episodes, {shown}")
        self._told = True

    def validated(self, method: Method, score: float, figures: Mapping[str, float]) -> None:
        """Log a validation, keep the model if it is the best so far, and save."""
        self.owes_validation = False
        self.log({f"validation/{name}": value for name, value in figures.items()})
        if score > self.best:
            self.best = score
            if self._ranks.first:
                save_method(method, self.folder / BEST)
        minutes = (time.monotonic() - self._started) / 60
        self._say(f"{self._place()} ({minutes:.1f} min): {self._status()}; validation: {_accuracies(figures)}")
        self._save()

    def log(self, figures: Mapping[str, float]) -> None:
        """To the loggers."""
        self._loggers.log(figures, self.step)

    def save_if_due(self) -> None:
        """Write the checkpoint when it is time; the last thing of a step, after its validation."""
        if time.monotonic() - self._saved >= self._checkpoint_seconds:
            self._save()

    def _describe(self, config: str) -> None:
        """Write what the run is, and what computes it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / SETTINGS, json.dumps(self._identity, indent=2).encode())
        write_whole(self.folder / CONFIG, config.encode())
        device = str(next(next(iter(self._modules.values())).parameters()).device)
        record_environment(self.folder, device, self.step, self._ranks.count)

    def _save(self) -> None:
        if not self._ranks.first:
            return
        state = {
            "identity": self._identity,
            "step": self.step,
            "best": self.best,
            "owes_validation": self.owes_validation,
            "optimizer": self._optimizer.state_dict(),
            "modules": {name: module.state_dict() for name, module in self._modules.items()},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self._checkpoint, buffer.getvalue())
        self._saved = time.monotonic()

    def _load(self) -> None:
        state = read_checkpoint(self._checkpoint)
        named = {one.name: one.metadata.get("option") or one.name for one in fields(self._settings)}
        options = {name: f"--{option.replace('_', '-')}" for name, option in named.items()}
        check_same(self.folder, self._with_todays_names(state["identity"]), self._identity, options)
        step, best = state.get("step"), state.get("best")
        self.owes_validation = state.get("owes_validation") is True  # earlier versions did not say
        if not isinstance(step, int) or not whole(0).holds(step) or not isinstance(best, float) or math.isnan(best):
            raise damaged(self._checkpoint)
        self.step, self.best = step, best
        try:
            for name, module in self._modules.items():
                module.load_state_dict(state["modules"][name])
            self._optimizer.load_state_dict(state["optimizer"])
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise damaged(self._checkpoint) from error
        check_best(self.folder / BEST, self.best)

    def _with_todays_names(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """The identity of a run that an earlier version began; settings that came later have their defaults."""
        named = {_NAMES.get(name, name): value for name, value in identity.items()}
        if named.get("precision") == "auto":  # it did not say what that became
            del named["precision"]
        later = {**self._defaults, **{name: self._identity.get(name) for name in ("precision", "validation")}}
        method = renamed_settings(named.get("method"))
        if isinstance(method, Mapping):
            now = self._identity["method"]
            method = {**{name: _OFF.get(name, now[name]) for name in (*_LATER, *_OFF) if name in now}, **method}
        return {**later, **named, "method": method}

    def _check_same_start(self) -> None:
        if not self._ranks.agree(json.dumps([self._identity, self.step], sort_keys=True)):
            raise ValueError(
                f"{self.folder}: the processes do not start from the same settings, photos and checkpoint (here step "
                f"{self.step}); give all the same command, and a folder and photos that all machines share"
            )

    def _say(self, line: str) -> None:
        if self._ranks.first:
            _CONSOLE.print(line)

    def _place(self) -> str:
        return f"{_STAGES[self._identity['stage']]}, step {self.step}/{self.steps}"

    def _status(self) -> str:
        # Right after a resumption there is no loss yet.
        now = [] if math.isnan(self._loss) else [f"loss {self._loss:.3f}", f"accuracy in training {self._accuracy:.1%}"]
        best = [] if self.best == -math.inf else [f"best validation so far {self.best:.1%}"]
        return ", ".join(now + best)


def _accuracies(figures: Mapping[str, float]) -> str:
    """Of a validation, by shot and level; subsets of levels go to the log alone."""
    told = []
    for name, value in figures.items():
        shot, _, level = name.partition(" ")
        if "+" not in name:
            words = name if not shot.endswith("-shot") else f"{level or 'all levels'}, {shot}"
            told.append(f"{words} {value:.1%}")
    return "; ".join(told)
