"""The command: it starts, says where, and ends in good order."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import Command
from shelved import png

from triptych import Recognizer
from triptych.serve.client import Client


def test_others_cannot_ask_without_a_token(command: Command, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_TOKEN", raising=False)
    ended = command("serve", "--host", "0.0.0.0", "--data", data)
    assert ended.code == 2
    assert "TRIPTYCH_TOKEN" in ended.err
    assert not data.exists()


def test_a_missing_extra_is_one_line(command: Command, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ended = command("serve", "--data", data)
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "pip install 'triptych[serve]'" in ended.err


def test_a_method_that_is_none_is_refused_at_once(command: Command, data: Path) -> None:
    ended = command("serve", "--data", data, "--port", "0", "--method", "nonsense")
    assert ended.code == 2
    assert "nonsense: no such file or registered weights" in ended.err


def test_an_address_that_is_taken_is_one_line(command: Command, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = command("serve", "--data", data, "--port", port)
    assert ended.code == 1
    assert f"127.0.0.1:{port}: cannot listen" in ended.err
    assert ended.err.count("\n") == 1


def test_a_file_that_is_none_is_refused_at_once(command: Command, data: Path, method_file: str) -> None:
    ended = command("serve", data / "missing.triptych", "--data", data, "--port", "0", "--method", method_file)
    assert ended.code == 2
    assert "missing.triptych" in ended.err


def test_a_bound_that_is_none_is_refused(command: Command, data: Path) -> None:
    ended = command("serve", "--data", data, "--queue", "0")
    assert ended.code == 2
    assert "queue must be a whole number" in ended.err


def test_an_answer_is_sent_at_once(client: Client) -> None:
    took = []
    for _ in range(20):
        start = time.perf_counter()
        client.ask("GET", "/healthz")
        took.append(time.perf_counter() - start)
    assert min(took) < 0.03  # a delayed packet waits 40 ms for the one before


@pytest.mark.slow
def test_it_serves_a_file_until_it_is_told_to_end(data: Path, tmp_path: Path, method_file: str) -> None:
    photos = [png(kind, number) for kind in range(2) for number in range(2)]
    Recognizer(method_file).fit(photos, ["apple", "apple", "pear", "pear"]).save(tmp_path / "fruit.triptych")
    arguments = ["serve", tmp_path / "fruit.triptych", "--port", "0", "--data", data]
    command = [sys.executable, "-m", "triptych.cli", *map(str, arguments)]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            address = child.stdout.readline().split()[2]
            with Client(address) as client:
                [shelf] = client.shelves()  # the second time the same
                assert address.endswith(f"/#{shelf['id']}")
                assert client.predict(shelf["id"], [png(1, 5)])["answers"][0]["label"] == "pear"
                client.create_class(shelf["id"], f"new {client.shelf(shelf['id'])['revision']}")
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0
            assert child.stderr.read() == ""


@pytest.mark.slow
def test_what_was_accepted_is_answered_before_the_end(data: Path, tmp_path: Path, method_file: str) -> None:
    photos = [png(kind, number) for kind in range(2) for number in range(2)]
    Recognizer(method_file).fit(photos, ["apple", "apple", "pear", "pear"]).save(tmp_path / "fruit.triptych")
    options = ["--port", "0", "--data", data, "--gather-milliseconds", "0", "--batch", "1"]
    command = [sys.executable, "-m", "triptych.cli", "serve", str(tmp_path / "fruit.triptych"), *map(str, options)]
    many = [png(number % 2, number) for number in range(40)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        address = child.stdout.readline().split()[2]
        with Client(address) as client, ThreadPoolExecutor(1) as pool:
            [shelf] = client.shelves()
            waiting = pool.submit(client.predict, shelf["id"], many)
            with Client(address) as other:
                while "triptych_queue_photos 0" in other.ask("GET", "/metrics").data.decode() and not waiting.done():
                    time.sleep(0.001)
            child.send_signal(signal.SIGTERM)
            assert [one["image"] for one in waiting.result(60)["answers"]] == [one.name for one in many]
        assert child.wait(60) == 0
