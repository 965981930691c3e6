"""Progress on a terminal."""

import pytest

from triptych.system.progress import progress_bar


def test_brackets_in_the_name_of_a_folder_are_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar() as bar:
        bar.update(bar.add_task("run[/x]", total=2, status=""), completed=1)
    assert "run[/x]" in capsys.readouterr().err
