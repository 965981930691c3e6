"""The engine of a Ray cluster: each worker loads the recogniser and answers runs of photos, which it reads itself."""

import os
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

from triptych.engines.engine import Engine, PhotoSet, Question
from triptych.engines.ray_session import ray_session
from triptych.engines.worker import COLUMN, Job, Worker, answers_of, packed
from triptych.recognizer import QUERY_BATCH, Answer, Recognizer

__all__ = ["RayEngine", "divided", "runs"]

_BATCHES = 8  # in a run at most: what a worker that dies has to do again
_RUNS = 4  # for each worker at least, if there are so many batches: none waits long for the last
_BLOCKS = 1000  # of Ray Data


class RayEngine(Engine):
    """Workers of a Ray cluster, an actor pool of Ray Data. One that dies is replaced, and its photos are read again.

    Args:
        workers: how many; None for one a core of the cluster, or one a GPU.
        address: of a running cluster; None to start one on this machine for the time of the answers.
        device: where each worker computes: cpu, cuda, or auto for GPUs where the cluster has some.
    """

    name: ClassVar[str] = "ray"
    exact: ClassVar[bool] = True

    def __init__(self, workers: int | None = None, address: str | None = None, device: str = "cpu") -> None:
        if device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device {device}: the engine ray takes auto, cpu or cuda; Ray chooses which GPU")
        self.workers, self.address, self.device = workers, address, device

    def answers(self, recognizer: Recognizer, photos: PhotoSet, question: Question) -> Iterator[Answer]:
        self.check(recognizer, question)
        shelf = packed(recognizer)
        with ray_session(self.address, self.workers) as ray:
            device, workers = divided(ray.cluster_resources(), self.device, self.workers)
            job = Job(shelf, question, device, os.getcwd())
            for row in _pool(ray, job, photos, workers).iter_rows():
                yield from answers_of(row[COLUMN])


def divided(resources: Mapping[str, float], device: str, workers: int | None) -> tuple[str, int]:
    """Where the workers of a cluster compute, and how many there are.

    Raises:
        ValueError: the cluster has fewer cores, or GPUs.

    >>> from triptych.engines.cluster import divided
    >>> divided({"CPU": 16, "GPU": 2}, "auto", None), divided({"CPU": 16}, "auto", 4)
    (('cuda', 2), ('cpu', 4))
    """
    gpus = int(resources.get("GPU", 0))
    device = device if device != "auto" else "cuda" if gpus else "cpu"
    there, what = (gpus, "GPUs") if device == "cuda" else (int(resources.get("CPU", 0)), "cores")
    if there < (workers or 1):
        raise ValueError(f"workers {workers or 1}: the cluster has {there} {what}, and each worker needs one")
    return device, workers or there


def _pool(ray: Any, job: Job, photos: PhotoSet, workers: int) -> Any:
    """The answers of each run, as Ray Data computes them."""
    parts = [photos.part(start, stop) for start, stop in runs(len(photos.names), workers)]
    items = [{COLUMN: pickle.dumps((number, part))} for number, part in enumerate(parts)]
    data = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS))
    data.context.enable_progress_bars = False
    data.context.execution_options.preserve_order = True
    attempts = ray.remote(_Attempts).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    return data.map_batches(
        Worker,
        fn_constructor_args=(partial(ray.get, ray.put(job)), partial(_begun, attempts)),
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(items))),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
        num_gpus=1 if job.device == "cuda" else None,
    )


class _Attempts:
    """How often each run was begun, whichever worker it was."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def begun(self, number: int) -> int:
        self._counts[number] += 1
        return self._counts[number]


def runs(photos: int, workers: int) -> list[tuple[int, int]]:
    """Photos in runs, from one number to before another: whole batches, so that answers are the same bit for bit.

    >>> from triptych.engines.cluster import runs
    >>> runs(100, workers=2)
    [(0, 32), (32, 64), (64, 96), (96, 100)]
    """
    batches = -(-photos // QUERY_BATCH)
    size = QUERY_BATCH * max(1, min(_BATCHES, batches // (_RUNS * workers)))
    return [(start, min(start + size, photos)) for start in range(0, photos, size)]


def _begun(attempts: Any, number: int) -> int:
    import ray

    return ray.get(attempts.begun.remote(number))
