"""What a model in training is worth: the figures that pick the epoch, or the step."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from triptych.data import ImageStore, centre_crop
from triptych.evaluation import EpisodeSampler, evaluate_store
from triptych.fusion import LevelFusion
from triptych.methods import Method, encode_images
from triptych.similarity import in_precision
from triptych.training.balance import balance_levels
from triptych.training.closed_form import learn_closed_form
from triptych.training.ranks import ALONE, Ranks
from triptych.training.settings import TrainSettings

__all__ = ["Validation", "observe_levels", "validate_class_means"]

_SEED = 1


class Validation:
    """Episodic training's: the model is finished, then asked on episodes of the validation split.

    Args:
        model: of the kind that will be asked.
        train: of which PLDA is learnt.
        val: what the episodes are drawn from.
        settings: of the stage.
        precision: as in ``check_precision``.
        ranks: the processes that share the episodes; each finishes the model by itself.

    Raises:
        ValueError: too few images for the episodes.
    """

    def __init__(
        self,
        model: Method,
        train: ImageStore,
        val: ImageStore,
        settings: TrainSettings,
        precision: str,
        ranks: Ranks = ALONE,
    ) -> None:
        way = model.fusion.way or min(5, len(val.classes))
        self.samplers = [
            EpisodeSampler(val.labels, way, shot, settings.validation_queries, _SEED, val.classes)
            for shot in settings.validation_shots
        ]
        self.train, self.val, self.settings, self.precision, self.ranks = train, val, settings, precision, ranks
        self.closed_form = settings.plda_images > 0 and model.learns_closed_form(len(train.classes))

    def __call__(self, model: Method) -> tuple[Method, float, dict[str, float]]:
        """The finished model, the accuracy that counts, and all figures."""
        finished = self._finished(model)
        figures = self._figures(finished)
        return finished, float(np.mean([figures[f"{shot}-shot"] for shot in self.settings.validation_shots])), figures

    def _finished(self, model: Method) -> Method:
        """With what is learnt in closed form, and its levels balanced."""
        settings = self.settings
        if self.closed_form:
            model = learn_closed_form(model, self.train, settings.plda_images, self.precision)
        if settings.balance_episodes and isinstance(model.fusion, LevelFusion):
            shots, episodes = settings.validation_shots, settings.balance_episodes
            queries = settings.validation_queries
            model = balance_levels(model, self.val, shots, episodes, precision=self.precision, queries=queries)
        return model

    def _figures(self, model: Method) -> dict[str, float]:
        """Fused accuracy and that of each subset of levels, per validation shot."""
        figures = {}
        for shot, sampler in zip(self.settings.validation_shots, self.samplers, strict=True):
            accuracies = self._accuracies(model, sampler)
            for subset, value in accuracies.items():
                figures[f"{shot}-shot {subset}"] = value
            figures[f"{shot}-shot"] = value
        return figures

    def _accuracies(self, model: Method, sampler: EpisodeSampler) -> dict[str, float]:
        """The mean accuracy of each subset of levels; the last one is all."""
        count, ranks = self.settings.validation_episodes, self.ranks
        if ranks.count == 1 or count < ranks.count:
            found = evaluate_store(model, self.val, sampler, count, self.precision)
            return {subset: float(values.mean()) for subset, values in found.items()}
        mine = [sampler[number] for number in range(count)[ranks.own]]
        found = evaluate_store(model, self.val, mine, len(mine), self.precision)
        means = ranks.means(*(values.sum() * ranks.count / count for values in found.values()))
        return dict(zip(found, means, strict=True))


@torch.no_grad()
def observe_levels(model: Method, store: ImageStore, seed: int, episodes: int = 20) -> None:
    """Let the fusion observe the spread of the levels; without it the probabilities would be extreme."""
    sampler = EpisodeSampler(store.labels, min(5, len(store.classes)), shot=1, queries=1, seed=seed)
    for number in range(episodes):
        episode = sampler[number]
        images = centre_crop(store[episode.images], model.preprocess.side)
        support, query = model.encode(model.preprocess.normalise(images)).split([sampler.way, sampler.way])
        labels = torch.from_numpy(episode.support_labels).to(images.device)
        model.fusion.observe(model.compare_encoded(query, support, labels))


@torch.inference_mode()
def validate_class_means(
    model: Method,
    store: ImageStore,
    precision: str = "auto",
    episodes: int = 500,
    shots: Sequence[int] = (1, 5),
    queries: int = 15,
) -> dict[str, float]:
    """5-way accuracy of the nearest class mean (cosine of pooled maps) on seeded episodes, for each shot."""
    model.eval()
    with in_precision(precision, store.images.device.type):
        encoded = encode_images(model, store.images)
    pooled = functional.normalize(encoded.maps.float().mean(dim=(2, 3)), dim=1)
    figures = {}
    for shot in shots:
        sampler = EpisodeSampler(store.labels, min(5, len(store.classes)), shot, queries, classes=store.classes)
        correct = []
        for number in range(episodes):
            episode = sampler[number]
            means = functional.normalize(pooled[episode.support].view(sampler.way, shot, -1).mean(1), dim=1)  # (N, C)
            answers = (pooled[episode.query] @ means.T).argmax(1).cpu().numpy()
            correct.append((answers == episode.query_labels).mean())
        figures[f"class means {shot}-shot"] = float(np.mean(correct))
    return figures
