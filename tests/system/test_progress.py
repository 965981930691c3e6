"""Progress on a terminal."""

import pytest

from triptych.system.progress import progress_bar, steps


def test_brackets_in_the_name_of_a_folder_are_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar() as bar:
        bar.update(bar.add_task("run[/x]", total=2, status=""), completed=1)
    assert "run[/x]" in capsys.readouterr().err


def test_the_steps_of_long_work_are_named_and_counted_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with steps(2) as begin:
        begin("first")
        with steps(9) as inner:
            inner("never shown")
    shown = capsys.readouterr().err
    assert "first" in shown
    assert "0/2" in shown
    assert "never" not in shown
