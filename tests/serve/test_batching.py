"""Questions answered together: each once, in bounds, and none lost at the end."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from served import running
from shelved import png

from triptych import Recognizer
from triptych.data import NamedBytes
from triptych.serve.batching import Batcher, Busy, Question
from triptych.serve.client import Client, ServiceError
from triptych.serve.settings import Settings
from triptych.weights import DEFAULT


@pytest.fixture(scope="module")
def recognizer(method_file: str) -> Recognizer:
    photos = [png(kind, number) for kind in range(2) for number in range(2)]
    return Recognizer(method_file).fit(photos, ["apple", "apple", "pear", "pear"])


def ask(recognizer: Recognizer, photo: NamedBytes) -> Question:
    return Question(recognizer, photo, None, 0.05)


def test_answers_are_those_of_each_photo_alone(recognizer: Recognizer) -> None:
    batcher = Batcher(batch=8, gather=0.2, most=100)
    photos = [png(number % 2, number) for number in range(20)]
    questions = [ask(recognizer, photo) for photo in photos]
    batcher.ask(questions)
    found = [question.answer.result(60) for question in questions]
    batcher.stop()
    alone = list(recognizer.answers(photos))
    assert [(one.image, one.label) for one in found] == [(one.image, one.label) for one in alone]
    assert (batcher.answered, batcher.batches) == (20, 3)


def test_who_has_an_answer_finds_it_counted(recognizer: Recognizer) -> None:
    batcher, counted = Batcher(batch=1, gather=0, most=100), []
    question = ask(recognizer, png(0, 0))
    question.answer.add_done_callback(lambda _: counted.append(batcher.answered))
    batcher.ask([question])
    batcher.stop()
    assert counted == [1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mml-conv64f", DEFAULT])
def test_answers_of_one_pass_are_those_of_a_pass_each_but_for_rounding(name: str) -> None:
    photos = [png(kind, number) for kind in range(2) for number in range(6)]
    recognizer = Recognizer(name).fit([*photos[:2], *photos[6:8]], ["apple", "apple", "pear", "pear"])
    batcher = Batcher(batch=12, gather=10, most=100)
    questions = [ask(recognizer, one) for one in photos]
    batcher.ask(questions)
    together = np.stack([question.answer.result(60).probabilities for question in questions])
    batcher.stop()
    assert batcher.batches == 1
    assert together == pytest.approx(recognizer.predict_proba(photos), abs=1e-5)


def test_photos_of_a_batch_go_through_the_network_together(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, passes = recognizer.method_, []
    encode = method.encode
    monkeypatch.setattr(method, "encode", lambda images: passes.append(len(images)) or encode(images))
    batcher = Batcher(batch=8, gather=10, most=100)
    questions = [ask(recognizer, png(number % 2, number)) for number in range(8)]
    batcher.ask(questions)
    for question in questions:
        question.answer.result(60)
    batcher.stop()
    assert passes == [2, 2, 2, 2]


def test_a_photo_that_cannot_be_read_harms_no_other(recognizer: Recognizer) -> None:
    batcher = Batcher(batch=8, gather=0.2, most=100)
    questions = [ask(recognizer, photo) for photo in (png(0, 9), NamedBytes(b"x", "x"), png(1, 9))]
    batcher.ask(questions)
    errors = [question.answer.result(60).error is not None for question in questions]
    batcher.stop()
    assert errors == [False, True, False]


def test_a_failure_is_told_and_the_next_is_answered(recognizer: Recognizer) -> None:
    batcher = Batcher(batch=1, gather=0, most=100)
    bad = Question(recognizer, png(0, 9), "apple", 0.05)  # a class is no name for an unknown
    good = ask(recognizer, png(0, 9))
    batcher.ask([bad, good])
    with pytest.raises(ValueError, match="which is a class"):
        bad.answer.result(60)
    assert good.answer.result(60).label == "apple"
    batcher.stop()


def test_the_queue_is_bounded_and_the_end_answers_what_waits(recognizer: Recognizer) -> None:
    batcher = Batcher(batch=100, gather=60, most=4)  # nothing is answered before the end
    questions = [ask(recognizer, png(0, number)) for number in range(4)]
    with batcher.awaited():
        batcher.ask(questions[:3])
        with pytest.raises(Busy, match="3 photos wait already"):
            batcher.ask([ask(recognizer, png(1, 0)), ask(recognizer, png(1, 1))])
        batcher.ask(questions[3:])
        gone = questions.pop()
        assert gone.answer.cancel()
        batcher.stop()
    assert [question.answer.result(0).label for question in questions] == ["apple"] * 3
    assert batcher.answered == 3
    with pytest.raises(Busy, match="ending"):
        batcher.ask([ask(recognizer, png(0, 0))])


def test_a_question_waits_only_while_others_are_on_their_way(recognizer: Recognizer) -> None:
    batcher = Batcher(batch=2, gather=60, most=4)
    alone = ask(recognizer, png(0, 9))
    batcher.ask([alone])
    alone.answer.result(30)
    with batcher.awaited():
        first = ask(recognizer, png(0, 9))
        batcher.ask([first])
        with pytest.raises(TimeoutError):
            first.answer.result(0.2)
        batcher.ask([ask(recognizer, png(1, 9))])
        first.answer.result(30)
    batcher.stop()
    assert batcher.batches == 2


def test_many_clients_each_get_their_answers_once(data: Path, method_file: str) -> None:
    with running(data, method_file, Settings(gather_milliseconds=20)) as service:
        with Client(service.address) as client:
            id = client.create_shelf("fruit")["id"]
            for kind, label in enumerate(("apple", "pear")):
                client.create_class(id, label)
                client.add_photos(id, label, [png(kind, number) for number in range(2)])

        def ask_often(number: int) -> list[str]:
            with Client(service.address) as mine:
                return [
                    mine.predict(id, [NamedBytes(png(number % 2, 50).data, f"{number}-{turn}")])["answers"][0]["image"]
                    for turn in range(5)
                ]

        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(ask_often, range(16)))
        assert found == [[f"{number}-{turn}" for turn in range(5)] for number in range(16)]
        with Client(service.address) as client:
            text = client.ask("GET", "/metrics").data.decode()
        assert "triptych_answered_photos_total 80" in text
        assert float(text.rpartition("\ntriptych_batches_total ")[2].split()[0]) < 80


def test_a_busy_service_says_when_to_ask_again(data: Path, method_file: str) -> None:
    with running(data, method_file, Settings(queue=1, gather_milliseconds=2000, answer_seconds=30)) as service:
        with Client(service.address) as client:
            id = client.create_shelf("fruit")["id"]
            for kind, label in enumerate(("apple", "pear")):
                client.create_class(id, label)
                client.add_photos(id, label, [png(kind, number) for number in range(2)])

        def ask_once(number: int) -> int | None:
            with Client(service.address) as mine:
                try:
                    mine.predict(id, [png(0, number)])
                except ServiceError as error:
                    return None if error.retry_after is None else error.status
            return 200

        host, port = service.host.split(":")
        head = f"POST /v1/shelves/{id}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        with socket.create_connection((host, int(port))) as coming, ThreadPoolExecutor(4) as pool:
            coming.sendall(f"{head}Content-Length: 1000\r\n\r\n\0".encode())  # the others wait for its photo
            time.sleep(0.3)
            found = list(pool.map(ask_once, range(4)))
        assert sorted(map(str, found)) == ["200", "503", "503", "503"]
