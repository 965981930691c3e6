"""Figures of the service in the text format of Prometheus."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from threading import Lock

__all__ = ["Metrics"]

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts requests by route and status, and how long they took.

    >>> from triptych.serve.metrics import Metrics
    >>> metrics = Metrics()
    >>> metrics.count("GET", "/healthz", 200, 0.002)
    >>> 'triptych_requests_total{method="GET",route="/healthz",status="200"} 1' in metrics.text({})
    True
    """

    def __init__(self) -> None:
        self._turn = Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request that ended; ``route`` is the template of its path, so that there are few."""
        with self._turn:
            self._requests[method, route, status] += 1
            self._seconds.setdefault(route, [0] * (len(_BOUNDS) + 1))[bisect_left(_BOUNDS, seconds)] += 1
            self._sums[route] += seconds  # type: ignore[assignment]

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """All figures; ``gauges`` are others: name -> (what it is, value)."""
        with self._turn:
            lines = ["# HELP triptych_requests_total Requests.", "# TYPE triptych_requests_total counter"]
            for (method, route, status), count in sorted(self._requests.items()):
                lines.append(f'triptych_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
            lines += ["# HELP triptych_request_seconds Time of requests.", "# TYPE triptych_request_seconds histogram"]
            for route, counts in sorted(self._seconds.items()):
                lines += _histogram(route, counts, self._sums[route])
        for name, (what, value) in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP triptych_{name} {what}", f"# TYPE triptych_{name} {kind}", f"triptych_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _histogram(route: str, counts: list[int], total: float) -> list[str]:
    lines, below = [], 0
    for bound, count in zip([*map(str, _BOUNDS), "+Inf"], counts, strict=True):
        below += count
        lines.append(f'triptych_request_seconds_bucket{{route="{route}",le="{bound}"}} {below}')
    lines.append(f'triptych_request_seconds_sum{{route="{route}"}} {total:.6f}')
    return [*lines, f'triptych_request_seconds_count{{route="{route}"}} {below}']
