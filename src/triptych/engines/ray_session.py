"""A Ray cluster for a block of code: one that runs elsewhere, or one that starts and ends with the block."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from triptych.system.extras import extra

__all__ = ["ray_session"]

_STORE = 1 << 28  # bytes of shared memory that a cluster of this machine takes: runs and answers are small
_QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # what it says of workers that die: it says so on stdout
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def ray_session(address: str | None, workers: int | None) -> Iterator[Any]:
    """Ray, connected to a cluster. A connection that the process has already is used, and stays.

    Args:
        address: of a cluster; None for one of this machine, without a dashboard.
        workers: that a cluster of this machine has room for; None for one a core.

    Raises:
        RuntimeError: Ray is missing, no cluster answers, or what the workers do fails on the way.
        ValueError: a worker refuses what it is asked.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent to anyone
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"ray(\.|$)")  # of Ray about itself
        with extra("ray", "the engine ray needs Ray"):
            import ray
            import ray.data
        own = not ray.is_initialized()
        with _plain_errors(ray):
            if own:
                _connect(ray, address, workers)
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            try:
                yield ray
            finally:
                if own:
                    ray.shutdown()


def _connect(ray: Any, address: str | None, workers: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=_STORE,
            **quiet,
        )
        return
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # of many kinds
        raise RuntimeError(f"address {address}: no Ray cluster answers ({_first_line(error)})") from error


@contextmanager
def _plain_errors(ray: Any) -> Iterator[None]:
    """What a worker raised, as if it were raised here; of Ray's own errors the first line."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause = error
        while isinstance(cause, ray.exceptions.RayError) and isinstance(deeper := _deeper(cause), BaseException):
            cause = deeper
        for kind in (ValueError, MemoryError, RuntimeError, OSError):
            if isinstance(cause, kind) and not isinstance(cause, ray.exceptions.RayError):
                raise kind(str(cause)) from error
        raise RuntimeError(f"the Ray cluster failed ({_first_line(cause)}); run again, to go on") from error


def _deeper(error: BaseException) -> Any:
    return getattr(error, "cause", None) or error.__cause__


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
