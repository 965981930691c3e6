"""A Ray cluster for a block of code: one that runs elsewhere, or one that starts and ends with the block."""

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from triptych.system.extras import extra

__all__ = ["ray_session"]

_STORE = 1 << 28  # bytes of shared memory that a cluster of this machine takes: runs and answers are small
_SHORT = 5.0  # seconds to wait for a cluster's port
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
        RuntimeError: Ray is missing, no cluster answers, or Ray fails on the way.
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
    _refuse_silent(address)
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # of many kinds
        raise _no_cluster(address, error) from error


def _refuse_silent(address: str) -> None:
    """Raise a RuntimeError where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.rpartition("/")[2].strip("[]"), int(port)), timeout=_SHORT).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> RuntimeError:
    reason = getattr(error, "strerror", None) or _last_line(error)
    return RuntimeError(
        f"address {address}: no Ray cluster answers ({reason}); expected HOST:PORT of one that ray start "
        "began (with a token: RAY_AUTH_MODE=token and RAY_AUTH_TOKEN too), or auto on a machine of it"
    )


@contextmanager
def _plain_errors(ray: Any) -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"the Ray cluster failed ({_last_line(error)}); run again, to go on") from error


def _last_line(error: BaseException) -> str:
    """Where Ray says what it was, below a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[-1]:.200}" if lines else type(error).__name__
