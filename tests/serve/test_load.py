"""The benchmark of the service under load runs, and counts right."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_every_client_gets_its_own_answers(monkeypatch: pytest.MonkeyPatch, method_file: str) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import load

    record = load.run(seconds=1.5, clients=[1, 4], method=method_file)
    assert record["ceilings"]["network"]["photos_per_second"] > 0
    assert [row["clients"] for row in record["triptych"]] == [1, 4]
    for row in record["triptych"]:
        assert row["answers"] > 0
        assert (row["lost"], row["of_another_photo"], row["twice"]) == (0, 0, 0)
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert len(row["memory_mb"]["over_time"]) >= 2
