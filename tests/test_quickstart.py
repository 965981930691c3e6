"""The commands and the Python of the quickstart run one after the other, as they stand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import snippets

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_quickstart_runs_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "triptych" / "samples", tmp_path / "src" / "triptych" / "samples")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "triptych").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m triptych.cli "$@"\n')
    (commands / "triptych").chmod(0o755)
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path}
    installing = "make demo\n"
    for language, text in snippets(ROOT / "docs" / "quickstart.md"):
        if text.startswith(installing):
            continue
        run = [sys.executable, "-c", text] if language == "python" else ["bash", "-euc", text]
        ended = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"
    assert {"answers.csv", "sorted", "why.png", "report.html", "record.json"} <= {
        one.name for one in tmp_path.iterdir()
    }
