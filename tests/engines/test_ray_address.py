"""A Ray cluster of two nodes that runs already, and is named by its address."""

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands import Command
from photos import photo
from toys import small_method

from triptych import Recognizer
from triptych.folders import predict_folder

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: the extra ray")]


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster of two nodes with one core each, which asks for a token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    store = "--object-store-memory=100000000"
    nodes = [subprocess.Popen([*start, store, "--head", f"--port={port}", "--include-dashboard=false"])]
    try:
        wait_for(port)
        nodes.append(subprocess.Popen([*start, store, f"--address=127.0.0.1:{port}"]))
        yield f"127.0.0.1:{port}"
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait(60)


def wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the cluster does not start")


def test_a_cluster_that_runs_elsewhere(address: str, tmp_path: Path) -> None:
    recognizer = Recognizer(small_method()).fit(
        [photo(kind, i) for kind in range(3) for i in range(3)], np.repeat(["a", "b", "c"], 3)
    )
    recognizer.save(tmp_path / "x.triptych")
    folder, out = tmp_path / "many", tmp_path / "answers.jsonl"
    folder.mkdir()
    for number in range(70):
        photo(number % 3, 100 + number).save(folder / f"{number:03}.png")
    arguments = ["predict", tmp_path / "x.triptych", "many", "--out", out, "--engine", "ray", "--address", address]
    ended = subprocess.run(
        [sys.executable, "-m", "triptych.cli", *map(str, arguments), "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["photos"] == 70
    predict_folder(recognizer, folder, tmp_path / "local.jsonl")
    mine, theirs = (
        [json.loads(line) for line in file.read_text().splitlines()] for file in (out, tmp_path / "local.jsonl")
    )
    assert [row["label"] for row in mine] == [row["label"] for row in theirs]
    np.testing.assert_allclose(*([row["probability"] for row in rows] for rows in (mine, theirs)), atol=1e-5)


def test_a_cluster_that_does_not_answer_is_told_soon(tmp_path: Path, command: Command) -> None:
    photos = [photo(kind, i) for kind in range(2) for i in range(2)]
    Recognizer(small_method()).fit(photos, ["a", "a", "b", "b"]).save(tmp_path / "x.triptych")
    photo(0, 50).save(tmp_path / "1.png")
    options = ("--engine", "ray", "--address", "127.0.0.1:9")
    ended = command("predict", tmp_path / "x.triptych", tmp_path / "1.png", *options)
    assert (ended.code, ended.out) == (1, "")
    assert "error: address 127.0.0.1:9: no Ray cluster answers (Connection refused)" in ended.err
