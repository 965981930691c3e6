"""The benchmark of the service under load runs, and counts right."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_every_client_gets_its_own_answers(monkeypatch: pytest.MonkeyPatch, method_file: str) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import load

    record = load.run(seconds=1.5, clients=[1, 4], method=method_file)
    assert [row["clients"] for row in record["rows"]] == [1, 4]
    for row in record["rows"]:
        assert row["answers"] > 0
        assert row["wrong"] == 0
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
