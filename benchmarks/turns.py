"""What speed.py measures: one evaluation episode or training step of Triptych, and the same of the baseline."""

import copy
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from machine import Stopwatch
from plain import PlainMML
from torch import Tensor
from torch.nn import functional

from triptych.data import ImageStore, random_crop_flip
from triptych.evaluation import Episode
from triptych.methods import MML, Encoded, build_method, encode_images
from triptych.similarity import distribution_similarity, in_precision, part_similarity, pixel_similarity
from triptych.system.memory import keep_freed_memory
from triptych.training.episodic import encoded_episode, episode_loss

STORE_SIDE = 92


@dataclass(frozen=True)
class Task:
    """What is measured: a method on episodes, evaluated or trained."""

    method: str
    way: int
    shot: int
    training: bool
    queries: int = 15

    @property
    def name(self) -> str:
        return f"{self.method} {self.way}-way {self.shot}-shot {'training' if self.training else 'evaluation'}"


class Ours:
    """Triptych, by the functions that ``evaluate`` and ``train`` call."""

    def __init__(self, task: Task, store: ImageStore, bf16: bool) -> None:
        self.task, self.store, self.device = task, store, store.images.device
        torch.manual_seed(0)
        method = build_method(task.method).to(self.device).to(memory_format=torch.channels_last)
        self.method = method
        self.method.train(task.training)
        self.optimizer = torch.optim.Adam(self.method.parameters())
        self.bf16 = bf16

    def run(self, episode: Episode, watch: Stopwatch) -> Tensor | None:
        with watch("whole"):
            return self._train(episode) if self.task.training else self._evaluate(episode)

    @torch.inference_mode()
    def _evaluate(self, episode: Episode) -> Tensor:
        encoded = self.encode(self.pixels(episode))
        support, query = encoded.split([len(episode.support), len(episode.query)])
        return self.method.fuse(self.method.compare_encoded(query, support, self._labels(episode)))

    def _train(self, episode: Episode) -> None:
        self.optimizer.zero_grad()
        classes = torch.from_numpy(self.store.labels[episode.images])
        encoded = encoded_episode(self.encode(self.pixels(episode)), episode, classes.to(self.device))
        episode_loss(self.method, encoded, level_loss=1.0)[0].backward()
        self.optimizer.step()

    def stages(self, episode: Episode, watch: Stopwatch) -> None:
        """The same once more, with a clock between the stages."""
        with torch.inference_mode(not self.task.training):
            with watch("data"):
                pixels = self.pixels(episode)
            with watch("backbone"):
                maps = self.encode(pixels).maps
            support, query = maps.split([len(episode.support), len(episode.query)])
            labels, config, levels = self._labels(episode), self.method.config, {}
            with watch("distribution"):
                levels["distribution"] = distribution_similarity(query, support, labels, config.distance)
            with watch("pixel"):
                levels["pixel"] = pixel_similarity(query, support, labels, config.pixel_k)
            with watch("part"):
                levels["part"] = part_similarity(query, support, labels, config.part_k, config.part_normalize)
            with watch("fusion"):
                logits = self.method.fusion(levels)
            if self.task.training:
                loss = functional.cross_entropy(logits, torch.from_numpy(episode.query_labels).to(self.device))
                with watch("backward"):
                    loss.backward()
                with watch("optimizer"):
                    self.optimizer.step()

    def pixels(self, episode: Episode) -> Tensor:
        return _pixels(self.store, episode, self.task.training, self.method.preprocess.side)

    def encode(self, pixels: Tensor) -> Encoded:
        if not self.task.training:
            with in_precision("bf16" if self.bf16 else "32", self.device.type):
                return encode_images(self.method, pixels)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.method.encode(self.method.preprocess.normalise(pixels))

    def _labels(self, episode: Episode) -> Tensor:
        return torch.from_numpy(episode.support_labels).to(self.device)


class Plain:
    """The baseline of ``plain.py``."""

    def __init__(self, task: Task, store: ImageStore, method: MML) -> None:
        self.task, self.store, self.device = task, store, store.images.device
        self.method = copy.deepcopy(method).to(memory_format=torch.contiguous_format)
        self.model = PlainMML(self.method, task.way).to(self.device).train(task.training)
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def run(self, episode: Episode, watch: Stopwatch) -> None:
        with default_memory(), watch("whole"):
            pixels = _pixels(self.store, episode, self.task.training, self.method.preprocess.side)
            images = self.method.preprocess.normalise(pixels).contiguous()
            support, query = images.split([len(episode.support), len(episode.query)])
            if not self.task.training:
                with torch.inference_mode():
                    self.model(query, support)
                return
            self.optimizer.zero_grad()
            truth = torch.from_numpy(episode.query_labels).to(self.device)
            functional.cross_entropy(self.model(query, support), truth).backward()
            self.optimizer.step()


@contextmanager
def default_memory() -> Iterator[None]:
    """Undo ``keep_freed_memory`` for the baseline, which does not have it; the thresholds are where glibc's grow to."""
    libc = ctypes.CDLL(None)
    for option, value in ((-4, 65536), (-1, 64 << 20), (-3, 32 << 20)):  # mmaps, trim threshold, mmap threshold
        libc.mallopt(option, value)
    libc.malloc_trim(0)
    yield
    keep_freed_memory()


def _pixels(store: ImageStore, episode: Episode, training: bool, side: int) -> Tensor:
    if training:
        return random_crop_flip(store[episode.images], side, np.random.default_rng(0))
    margin = (STORE_SIDE - side) // 2
    return store[episode.images][:, margin : margin + side, margin : margin + side]


def synthetic_store(task: Task, device: str) -> ImageStore:
    """Just enough noise for one episode, so that memory is that of the method."""
    count = task.shot + task.queries
    images = torch.randint(256, (task.way * count, STORE_SIDE, STORE_SIDE, 3), dtype=torch.uint8)
    labels = np.arange(task.way).repeat(count)
    classes, names = (tuple(str(n) for n in range(size)) for size in (task.way, len(labels)))
    return ImageStore(images, labels, classes, names, "synthetic").to(device)
