"""The API, asked over a real connection."""

import base64
import http.client
import io
import json
import re
import shutil
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from served import Running, running
from shelved import png

from triptych import Recognizer
from triptych.serve import Missing
from triptych.serve.client import Client, Reply, ServiceError
from triptych.serve.settings import Settings


def failure(call: object, *arguments: object, **options: object) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    return caught.value


def form(*photos: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Photos as a browser sends them."""
    head = b'--xyz\r\nContent-Disposition: form-data; name="photos"; filename="%s"\r\n\r\n%s\r\n'
    parts = [head % (name.encode(), data) for name, data in photos]
    return b"".join(parts) + b"--xyz--\r\n", {"Content-Type": "multipart/form-data; boundary=xyz"}


def test_a_shelf_from_its_making_to_an_answer(client: Client, fruit: str) -> None:
    shelf = client.shelf(fruit)
    assert [(one["name"], len(one["photos"])) for one in shelf["classes"]] == [("apple", 3), ("pear", 3)]
    assert [(one["name"], one["photos"]) for one in client.shelves()] == [("fruit", 6)]
    answers = client.predict(fruit, [png(0, 7), png(1, 7), b"nothing"])
    first, second, third = answers["answers"]
    assert (first["label"], second["label"], third["label"]) == ("apple", "pear", None)
    assert (answers["revision"], answers["calibrated"]) == (shelf["revision"], True)
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert first["none_of_these"] in {True, False}
    assert "not an image" in third["error"]
    assert client.predict(fruit, [png(0, 0)])["answers"][0]["in_support"]


def test_answers_are_those_of_the_recogniser(client: Client, fruit: str, tmp_path: Path) -> None:
    (tmp_path / "fruit.triptych").write_bytes(client.file(fruit))
    recognizer = Recognizer.load(tmp_path / "fruit.triptych")
    photos = [png(kind, number) for kind in range(2) for number in range(5, 9)]
    told = client.predict(fruit, photos)["answers"]
    for answer, expected in zip(told, recognizer.answers(photos, "none", 0.05), strict=True):
        found = list(answer["probabilities"].values())
        assert found == pytest.approx(expected.probabilities.tolist(), abs=1e-5)  # several in one pass round otherwise
        assert answer["none_of_these"] == (expected.label == "none")


def test_sets_are_those_of_the_recogniser_where_enough_photos_were_left_out(
    client: Client, fruit: str, tmp_path: Path
) -> None:
    (tmp_path / "fruit.triptych").write_bytes(client.file(fruit))
    recognizer = Recognizer.load(tmp_path / "fruit.triptych")
    photo = png(0, 7)
    [few, enough] = [
        client.ask(
            "POST", f"/v1/shelves/{fruit}/predict?coverage={coverage}", photo.data, {"Content-Type": "image/png"}
        )
        for coverage in (0.9, 0.8)
    ]
    assert few.json["answers"][0]["set"] is None  # six were left out, and nine are needed
    [expected] = recognizer.predict_sets([photo], coverage=0.8)
    assert enough.json["answers"][0]["set"] == {"labels": list(expected), "coverage": 0.8}


def test_a_photo_comes_as_a_form_as_bytes_or_as_json(client: Client, fruit: str) -> None:
    path = f"/v1/shelves/{fruit}/classes/apple/photos"
    content, headers = form(("a.png", png(0, 11).data), ("b.png", png(0, 12).data))
    assert len(client.ask("POST", path, content, headers).json["added"]) == 2
    raw = client.ask("POST", f"{path}?file=c.png", png(0, 13).data, {"Content-Type": "image/png"}).json
    assert len(raw["added"]) == 1
    names = {one["name"] for one in client.shelf(fruit)["classes"][0]["photos"]}
    assert {"a.png", "b.png", "c.png"} <= names


def test_what_cannot_be_read_is_refused_and_the_rest_is_added(client: Client, fruit: str) -> None:
    added = client.add_photos(fruit, "apple", [png(0, 20), b"# text", png(1, 0), png(0, 0), png(0, 21).data[:200]])
    assert (len(added["added"]), len(added["already"]), list(added["elsewhere"].values())) == (1, 1, ["pear"])
    assert [one["problem"]["status"] for one in added["refused"]] == [415, 422]
    only = failure(client.add_photos, fruit, "apple", [b"# text"])
    assert (only.status, only.kind) == (415, "not-an-image")


def test_a_single_photo_is_wrapped_in_a_list(client: Client, fruit: str, tmp_path: Path) -> None:
    photo = tmp_path / "1.png"
    photo.write_bytes(png(0, 7).data)
    single = "expected a sequence of {}, got a single {}; wrap it in a list"
    for one, kind in ((str(photo), "str"), (photo, type(photo).__name__), (b"x", "bytes"), (png(0, 7), "NamedBytes")):
        for call in (client.predict, partial(client.add_photos, label="apple")):
            with pytest.raises(ValueError, match=single.format("images", kind)):
                call(fruit, photos=one)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=single.format("ids", "str")):
        client.move_photos(fruit, "abc", "pear")
    with pytest.raises(ValueError, match="expected a path, encoded bytes or NamedBytes for a photo, got list"):
        client.explain(fruit, [photo])  # type: ignore[arg-type]
    assert client.predict(fruit, [photo])["answers"][0]["label"] == "apple"


@pytest.mark.parametrize("answer", [b"<html>", b"null", b"[" * 100_000, b"", b'"text"'])
def test_an_answer_of_something_else_is_told(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client("http://127.0.0.1:9") as client:
        monkeypatch.setattr(client, "ask", lambda *_: Reply(200, {}, answer))
        with pytest.raises(OSError, match=r"127.0.0.1:9: no answer of a service of triptych"):
            client.shelves()


def test_arguments_of_a_client_are_looked_at() -> None:
    for address in (5, Path("http://x"), "http://h:x", "http://h/?x=1", "ftp://h"):
        with pytest.raises(ValueError, match="is no address of a service"):
            Client(address)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"timeout must be a number above 0 and at most 1e\+06, got 0"):
        Client("http://127.0.0.1:9", timeout=0)
    with pytest.raises(ValueError, match="the token has other characters than plain ones") as caught:
        Client("http://127.0.0.1:9", token="secret\u0141")
    assert "secret" not in str(caught.value)
    with Client("http://127.0.0.1:9") as client, pytest.raises(ValueError, match="expected an id or a name, a text"):
        client.shelf(None)  # type: ignore[arg-type]


def test_the_line_end_of_a_token_file_is_no_part_of_the_token(data: Path, method_file: str) -> None:
    token = "0123456789abcdef"
    with running(data, method_file, token=token) as service, Client(service.address, f"{token}\n") as client:
        assert client.shelves() == []


def test_head_is_answered_as_get_without_the_body(client: Client, fruit: str) -> None:
    for path in ("/", "/style.css", "/healthz", f"/v1/shelves/{fruit}"):
        whole, head = client.ask("GET", path), client.ask("HEAD", path)
        assert (head.status, head.data) == (200, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert head.headers["content-length"] == str(len(whole.data))
    assert failure(client.ask, "HEAD", "/nothing").status == 404
    assert failure(client.ask, "HEAD", f"/v1/shelves/{fruit}/predict").status == 405


def test_photos_are_moved_removed_and_brought_back(client: Client, fruit: str) -> None:
    photo = client.shelf(fruit)["classes"][0]["photos"][0]["id"]
    assert photo in str(client.move_photos(fruit, [photo], "pear")["classes"][1])
    assert photo not in str(client.delete_photo(fruit, photo))
    assert photo in str(client.undo(fruit)["classes"][1])
    shelf = client.undo(fruit)
    assert photo in str(shelf["classes"][0])
    state = client.state(fruit, shelf["revision"], settled=True, seconds=60)
    assert (state["ready"], state["lost"], state["left_out"]) == (True, [], 6)


def test_two_editors_do_not_overwrite_each_other(client: Client, fruit: str) -> None:
    seen = client.shelf(fruit)["revision"]
    client.create_class(fruit, "plum", seen)
    photo = client.shelf(fruit)["classes"][0]["photos"][0]["id"]
    for late in (
        failure(client.create_class, fruit, "fig", seen),
        failure(client.delete_class, fruit, "apple", seen),
        failure(client.move_photos, fruit, [photo], "pear", seen),
        failure(client.add_photos, fruit, "apple", [png(0, 30)], seen),
        failure(client.undo, fruit, seen),
        failure(client.ask, "DELETE", f"/v1/shelves/{fruit}", None, {"If-Match": f'"{seen}"'}),
        failure(client.ask, "DELETE", f"/v1/shelves/{fruit}", None, {"If-Match": '"other"'}),
    ):
        assert (late.status, late.kind) == (412, "changed-meanwhile")
    reply = client.ask("GET", f"/v1/shelves/{fruit}")
    assert reply.headers["etag"] == f'"{seen + 1}"'
    assert client.ask("GET", f"/v1/shelves/{fruit}", None, {"If-None-Match": reply.headers["etag"]}).status == 304


@pytest.mark.parametrize(
    "name", ["a/b", "../../etc/passwd", "x/photos", "<script>", "Äpfel & Birnen?#", "100%25", "👩‍🌾"]
)
def test_any_name_is_a_class(client: Client, fruit: str, name: str) -> None:
    client.create_class(fruit, name)
    client.add_photos(fruit, name, [png(5, 0)])
    assert client.rename_class(fruit, name, "other")["classes"][-1]["name"] == "other"
    client.rename_class(fruit, "other", name)
    assert [one["name"] for one in client.delete_class(fruit, name)["classes"]] == ["apple", "pear"]


def test_accents_in_either_form_are_of_one_class(client: Client, fruit: str, tmp_path: Path) -> None:
    apart, composed = "A\u0308pfel", "\xc4pfel"
    client.create_class(fruit, apart)
    assert failure(client.create_class, fruit, composed).status == 422
    for name in (apart, composed):
        client.add_photos(fruit, name, [png(5, len(name))])
    assert [(one["name"], len(one["photos"])) for one in client.shelf(fruit)["classes"]][2:] == [(composed, 2)]
    client.delete_class(fruit, apart)
    Recognizer("mml-conv64f").fit([one.data for one in (png(0, 0), png(1, 0))], [apart, "bee"]).save(
        tmp_path / "x.triptych"
    )
    loaded = client.load_shelf(tmp_path / "x.triptych", apart)
    assert (loaded["name"], [one["name"] for one in loaded["classes"]]) == (composed, [composed, "bee"])


def test_a_key_that_is_not_known_is_refused(client: Client, fruit: str) -> None:
    revision = client.shelf(fruit)["revision"]
    for method, path, form in (
        ("POST", "/v1/shelves", {"name": "x", "keep_photo": False}),
        ("POST", "/v1/shelves", {"name": "x", "keep_photos": "yes"}),
        ("PATCH", f"/v1/shelves/{fruit}", {"keepphotos": True}),
        ("POST", f"/v1/shelves/{fruit}/classes", {"name": "z", "parent": 1}),
    ):
        refused = failure(client.ask, method, path, form)
        assert (refused.status, refused.kind) == (422, "invalid")
    assert "body.parent: unknown; /openapi.json lists what is known" in str(refused)
    for form in ({}, {"name": "fruit"}):
        assert client.ask("PATCH", f"/v1/shelves/{fruit}", form).json["revision"] == revision


def test_json_without_its_type_is_told(client: Client) -> None:
    refused = failure(client.ask, "POST", "/v1/shelves", b'{"name": "x"}', {"Content-Type": "text/plain"})
    assert "body: no JSON object; expected one, with Content-Type: application/json" in str(refused)


def test_a_shelf_that_cannot_be_learnt_says_so(data: Path, method_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise ValueError("no such scores")

    monkeypatch.setattr("triptych.serve.shelf.calibrated", failing)
    with running(data, method_file, Settings(answer_seconds=0.5)) as service, Client(service.address) as client:
        shelf = client.create_shelf("fruit")["id"]
        for kind, label in enumerate(("apple", "pear")):
            client.create_class(shelf, label)
            client.add_photos(shelf, label, [png(kind, 0)])
        end = time.monotonic() + 60
        while not service.shelves.trouble(shelf) and time.monotonic() < end:
            time.sleep(0.05)
        with pytest.raises(ServiceError, match="the shelf could not be learnt or saved: no such scores") as caught:
            client.file(shelf)
        assert caught.value.status == 409


def test_why(client: Client, fruit: str) -> None:
    why = client.explain(fruit, png(0, 9), top=2)
    assert (why["label"], len(why["classes"]), why["in_support"]) == ("apple", 2, False)
    assert len(why["heatmap"]) == why["grid"][0]
    assert set(why["classes"][0]["contributions"]) == {"pixel", "part"}
    page = client.ask("POST", f"/v1/shelves/{fruit}/explain?page=true", png(0, 9).data, {"Content-Type": "image/png"})
    assert page.headers["content-type"].startswith("text/html")
    text = page.data.decode()
    assert "What each level adds" in text
    assert re.search("Lead over pear: .* from matched patches|Hardly a lead over pear", text)
    assert "matched patches</th>" in text


def test_a_shelf_is_taken_away_and_brought_again(client: Client, fruit: str, tmp_path: Path) -> None:
    file = tmp_path / "fruit.triptych"
    file.write_bytes(client.file(fruit))
    again = client.load_shelf(file, "again")
    assert [one["name"] for one in again["classes"]] == ["apple", "pear"]
    assert client.predict(again["id"], [png(1, 7)])["answers"][0]["label"] == "pear"
    file.write_bytes(b"x" * 1000)
    bad = failure(client.load_shelf, file, "bad")
    assert (bad.status, bad.kind) == (422, "unreadable-file")
    assert ".new-" not in str(bad)
    client.delete_shelf(again["id"])
    assert len(client.shelves()) == 1


def test_thumbnails(client: Client, fruit: str) -> None:
    photo = client.shelf(fruit)["classes"][0]["photos"][0]["id"]
    reply = client.ask("GET", f"/v1/shelves/{fruit}/photos/{photo}/thumbnail")
    assert reply.data.startswith(b"\xff\xd8\xff")
    assert failure(client.ask, "GET", f"/v1/shelves/{fruit}/photos/{'0' * 32}/thumbnail").status == 404


def widest(page: str) -> int:
    """Of the pictures in a page."""
    pictures = re.findall('base64,([^"]+)', page)
    return max(Image.open(io.BytesIO(base64.b64decode(one))).width for one in pictures)


def test_kept_photos_are_shown_and_stand_in_the_evidence(client: Client) -> None:
    id = client.create_shelf("large")["id"]
    for kind, label in enumerate(("apple", "pear")):
        client.create_class(id, label)
        client.add_photos(id, label, [png(kind, number, 300) for number in range(2)])
    photo = client.shelf(id)["classes"][0]["photos"][0]["id"]
    reply = client.ask("GET", f"/v1/shelves/{id}/photos/{photo}")
    shown = Image.open(io.BytesIO(reply.data))
    assert (reply.headers["content-type"], shown.format, shown.size) == ("image/jpeg", "JPEG", (300, 300))

    def evidence() -> str:
        client.state(id, settled=True, seconds=60)
        return client.ask("POST", f"/v1/shelves/{id}/explain?page=true", png(0, 9).data).data.decode()

    assert widest(evidence()) == 300
    client.ask("PATCH", f"/v1/shelves/{id}", {"keep_photos": False})
    assert widest(evidence()) < 300
    assert failure(client.ask, "GET", f"/v1/shelves/{id}/photos/{photo}").status == 404


def test_a_state_that_is_yet_to_come_is_not_waited_for(client: Client, fruit: str) -> None:
    later = client.shelf(fruit)["revision"] + 1
    for call in (lambda: client.state(fruit, later), lambda: client.predict(fruit, [png(0, 1)], later)):
        assert failure(call).kind == "no-such-revision"


def test_settled_without_a_revision_waits_for_the_present_one(client: Client, fruit: str) -> None:
    client.add_photos(fruit, "apple", [png(0, number) for number in range(10, 16)])
    state = client.state(fruit, settled=True, seconds=30)
    assert state["settled"]
    assert (state["revision"], state["left_out"]) == (client.shelf(fruit)["revision"], 12)
    assert 0 <= state["ece"] <= 1


def test_photos_are_kept_unless_somebody_says_not_to(client: Client) -> None:
    assert client.create_shelf("fruit")["keep_photos"]
    assert client.ask("POST", "/v1/shelves", {"name": "plums"}).json["keep_photos"]
    assert not client.create_shelf("figs", keep_photos=False)["keep_photos"]


def test_a_shelf_that_is_gone_takes_no_photo(client: Client, fruit: str, service: Running) -> None:
    shelf = service.shelves.get(fruit)
    client.delete_shelf(fruit)
    with pytest.raises(Missing, match="is gone"):
        shelf.stage(png(0, 40))


def test_with_one_class_there_is_nothing_to_choose(client: Client) -> None:
    id = client.create_shelf("lonely")["id"]
    client.create_class(id, "apple")
    client.add_photos(id, "apple", [png(0, 0)])
    for call in (
        lambda: client.predict(id, [png(0, 1)]),
        lambda: client.file(id),
        lambda: client.explain(id, png(0, 1)),
    ):
        assert failure(call).kind == "too-few-classes"


def test_errors_are_problem_documents(client: Client, fruit: str) -> None:
    host = client._connection.host, client._connection.port
    for method, path, content, status in [
        ("GET", "/v1/shelves/0123", None, 404),
        ("GET", "/nothing", None, 404),
        ("PUT", "/v1/shelves", None, 405),
        ("POST", "/v1/shelves", b"{", 422),
        ("POST", "/v1/shelves", b'{"name": ""}', 422),
        ("POST", "/v1/shelves", b'{"name": "\\ud800"}', 422),
        ("POST", f"/v1/shelves/{fruit}/classes", b'{"name": "apple"}', 422),
        ("POST", f"/v1/shelves/{fruit}/predict?false_alarm=2", b"x", 422),
        ("POST", f"/v1/shelves/{fruit}/predict", b'{"photos": 3}', 422),
        ("POST", f"/v1/shelves/{fruit}/predict", b'{"photos": [{"data": "*"}]}', 422),
        ("POST", f"/v1/shelves/{fruit}/predict", b'{"photos": []}', 422),
        ("GET", f"/v1/shelves/{fruit}/state?seconds=1e9", None, 422),
        ("GET", f"/v1/shelves/{fruit}/state?second=1", None, 422),
        ("POST", f"/v1/shelves/{fruit}/predict?falsealarm=0.1", b"x", 422),
        ("GET", "/v1/shelves?page=2", None, 422),
    ]:
        connection = http.client.HTTPConnection(*host)
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        answer = connection.getresponse()
        problem = json.loads(answer.read())
        connection.close()
        assert (method, path, answer.status) == (method, path, status)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert problem["status"] == status
        assert problem["type"].startswith("urn:triptych:")
        assert problem["detail"]


def test_a_parameter_that_is_none_is_named_with_those_that_are(client: Client, fruit: str) -> None:
    failed = failure(client.ask, "POST", f"/v1/shelves/{fruit}/predict?falsealarm=0.1", png(0, 1).data)
    assert (failed.status, failed.kind) == (422, "unknown-parameter")
    assert "'falsealarm'" in str(failed)
    assert "expected revision, false_alarm, coverage, file" in str(failed)


def test_bytes_of_another_type_are_refused(client: Client, fruit: str) -> None:
    path = f"/v1/shelves/{fruit}/predict"
    for kind, content, status in [
        ("text/plain", b"x", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=xyz", b"--xyz\r\nbroken", 400),
        ("multipart/form-data; boundary=xyz", form(("a", b"x"))[0][:-9], 400),
        ("multipart/form-data; boundary=xyz", b"--xyz--\r\n", 422),
    ]:
        assert failure(client.ask, "POST", path, content, {"Content-Type": kind}).status == status


def test_the_document_of_the_api_has_examples(client: Client) -> None:
    document = client.ask("GET", "/openapi.json").json
    assert "/v1/shelves/{id}/predict" in document["paths"]
    content = document["paths"]["/v1/shelves/{id}/predict"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "application/json", "image/*"} <= set(content)
    assert "examples" in document["components"]["schemas"]["Answers"]
    refused = document["paths"]["/v1/shelves"]["post"]["responses"]["4XX"]["content"]
    assert list(refused) == ["application/problem+json"]


def test_what_the_service_says_of_itself(client: Client, fruit: str) -> None:
    assert client.ask("GET", "/healthz").data == b"ok"
    assert client.ask("GET", "/readyz").data == b"ready"
    client.predict(fruit, [png(0, 1)] * 3)
    text = client.ask("GET", "/metrics").data.decode()
    assert 'triptych_requests_total{method="POST",route="/v1/shelves/{id}/predict",status="200"} 1' in text
    assert "triptych_answered_photos_total 3" in text
    assert "triptych_upload_bytes 0" in text
    assert fruit not in text
    with pytest.raises(ServiceError, match="Method Not Allowed"):
        client.ask("BREW", "/v1/shelves")
    text = client.ask("GET", "/metrics").data.decode()
    assert "BREW" not in text


def test_what_is_no_request_says_what_would_be_one(service: Running, fruit: str) -> None:
    shelves, described = "/v1/shelves", "/openapi.json"
    for path, content, kind, told in (
        (shelves, b"{", "application/json", "expected a JSON object"),
        (shelves, b"", "application/json", "missing; expected, as /openapi.json describes it"),
        (shelves, b"[" * 100_000, "application/json", "expected a JSON object"),
        (f"{shelves}/{fruit}/predict", b"junk", "multipart/form-data; boundary=x", "expected parts with the boundary"),
        (f"{shelves}/{fruit}/predict?revision=99", b"x", "image/png", "read it again, or leave revision out"),
        ("/nowhere", b"", "image/png", described),
    ):
        with closing(http.client.HTTPConnection(service.host)) as connection:
            connection.request("POST", path, content, {"Content-Type": kind})
            assert told in json.load(connection.getresponse())["detail"]


def test_base64_is_what_the_client_sends(client: Client, fruit: str) -> None:
    content = {"photos": [{"data": base64.b64encode(png(0, 1).data).decode()}]}
    assert client.ask("POST", f"/v1/shelves/{fruit}/predict", content).json["answers"][0]["image"] == "photo 1"


@pytest.mark.parametrize("body", [{"photos": [{"data": "", "label": "x"}]}, {"photos": [{"data": ""}], "top": 1}])
def test_a_key_that_photos_in_json_do_not_have_is_refused(client: Client, fruit: str, body: dict) -> None:
    error = failure(client.ask, "POST", f"/v1/shelves/{fruit}/predict", body)
    assert (error.status, error.kind) == (422, "json")


def test_a_folder_that_is_gone_is_told(client: Client, fruit: str, data: Path) -> None:
    """Whoever removes it while the service runs is told so, and not that the service failed."""
    shutil.rmtree(data / fruit)
    for call in (
        lambda: client.create_class(fruit, "plum"),
        lambda: client.add_photos(fruit, "apple", [png(5, 5)]),
        lambda: client.ask("GET", f"/v1/shelves/{fruit}/file"),
    ):
        told = failure(call)
        assert told.status == 507
        assert "the folder of the shelf is gone, or cannot be written" in str(told)
