"""The benchmark of the service under load runs, and counts right."""

import json
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
        assert row["others"] >= 0


@pytest.mark.slow
def test_a_series_goes_on_where_it_was_broken_off(monkeypatch: pytest.MonkeyPatch, method_file: str) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import load

    kept: list[str] = []
    first = load.run(0.5, [1], method_file, keep=lambda record: kept.append(json.dumps(record)))
    assert [list(json.loads(one)) for one in kept] == [[*list(first)[:4]], list(first)]
    on = load.run(0.5, [1, 2], method_file, before=json.loads(kept[-1]))
    assert on["ceilings"] == first["ceilings"]
    assert on["triptych"][0] == first["triptych"][0]
    assert [row["clients"] for row in on["triptych"]] == [1, 2]
    other = load.run(0.6, [2], method_file, before=json.loads(kept[-1]))  # of other settings: all of it anew
    assert [row["clients"] for row in other["triptych"]] == [2]
