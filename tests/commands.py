"""Commands run in the test's own process, which saves loading torch each time."""

import json
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import pytest

from triptych.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed where."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """``command("show", file)`` is ``triptych show file``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Ended:
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
            patch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                with pytest.raises(SystemExit) as ended:
                    main()
        printed = self._capsys.readouterr()
        return Ended(ended.value.code or 0, printed.out, printed.err)
