"""Push and pull: the same method comes back, from a folder and from a hub that answers on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from commands import Command
from photos import class_folders
from toys import small_method

from triptych import load_method, save_method
from triptych.evaluation import EvaluateSettings, evaluate
from triptych.interop import model_card, pull_method, push_method
from triptych.interop.sharing import CARD_FILE, METHOD_FILE
from triptych.methods import METHODS, build_method, method_to_bytes, weights_hash
from triptych.system.yaml_files import read_yaml


def same(one: object, other: object) -> bool:
    return method_to_bytes(one) == method_to_bytes(other)


def front_matter(card: str, place: Path) -> dict:
    (place / "front.yaml").write_text(card.split("---\n")[1])
    return read_yaml(place / "front.yaml")


def test_what_is_pushed_to_a_folder_comes_back(tmp_path: Path) -> None:
    card = model_card(small_method(), "small", licence="mit")
    assert push_method(small_method(), tmp_path / "pushed", card) == str(tmp_path / "pushed")
    assert {path.name for path in (tmp_path / "pushed").iterdir()} == {METHOD_FILE, CARD_FILE}
    assert same(pull_method(tmp_path / "pushed"), small_method())
    assert same(load_method(tmp_path / "pushed"), small_method())
    with pytest.raises(ValueError, match="exists already; replace it with --overwrite"):
        push_method(small_method(), tmp_path / "pushed", card)
    push_method(small_method(), tmp_path / "pushed", card, overwrite=True)


def test_somebody_s_own_readme_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / CARD_FILE).write_text("# My thesis")
    with pytest.raises(ValueError, match="is no model card that triptych wrote"):
        push_method(small_method(), tmp_path, "---\n", overwrite=True)
    assert not (tmp_path / METHOD_FILE).exists()
    with pytest.raises(ValueError, match="hf:OWNER/NAME is the hub"):
        push_method(small_method(), tmp_path / "no" / "such", "---\n")


def test_a_pickle_under_the_method_s_name_is_refused(tmp_path: Path) -> None:
    torch.save({"x": 1}, tmp_path / METHOD_FILE)
    with pytest.raises(ValueError, match="not a method file"):
        pull_method(tmp_path)
    with pytest.raises(ValueError, match=r"expected a folder with best\.safetensors \(of a run\) or method"):
        load_method(tmp_path.parent / tmp_path.name / "..")


def test_the_card_says_what_the_method_is(tmp_path: Path) -> None:
    data = class_folders(tmp_path / "data", classes=3, each=4)
    record = evaluate(data, small_method(), "small", EvaluateSettings(way=2, queries=2, episodes=2))
    card = model_card(small_method(), "small", "mit", {"config.yaml": "train:\n  steps: 7\n"}, [record])
    found = front_matter(card, tmp_path)
    assert (found["library_name"], found["license"]) == ("triptych", "mit")
    assert weights_hash(small_method()) in card
    assert f"| data | test | 2-way 1-shot | 2, 0 | {100 * record['accuracy']:.2f} ± " in card
    assert "  steps: 7" in card
    assert "license" not in front_matter(model_card(small_method(), "small"), tmp_path)
    with pytest.raises(ValueError, match="is of other weights"):
        model_card(load_method("mml-conv64f"), "other", records=[record | {"weights_sha256": "0"}])


@pytest.mark.parametrize("licence", ["mit\nother: x", "mit | no", "\x1b[31mmit", "", "m" * 101])
def test_a_licence_is_a_short_name(licence: str) -> None:
    with pytest.raises(ValueError, match=r"^licence .*: expected a short name, such as mit or cc-by-nc-4\.0$"):
        model_card(small_method(), "small", licence)
    assert "license: CC BY 4.0\n" in model_card(small_method(), "small", "CC BY 4.0")


def test_a_folder_of_other_things_is_not_pushed_to(tmp_path: Path) -> None:
    photo = class_folders(tmp_path / "photos", classes=2, each=1)
    with pytest.raises(
        ValueError, match=r"photos: holds other things than a method and its card \(.*\); name a folder"
    ):
        push_method(small_method(), photo, "---\nlibrary_name: triptych\n---\n")
    assert not (photo / CARD_FILE).exists()


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("protonet-conv64f", "the photo as a whole"),
        ("dn4-conv64f", "matched patches"),
        ("adm-conv64f", "the mix of colours and textures and matched patches"),
        ("frn-conv64f", "how well patches of the class make up the photo"),
    ],
)
def test_the_card_names_the_method_and_its_levels(name: str, levels: str) -> None:
    card = model_card(build_method(name), "mine")
    assert f"| method | {name} |" in card
    assert f"Few-shot image recognition that compares {levels}.\n" in card
    other = model_card(build_method(replace(METHODS["dn4-conv64f"], pixel_k=5)), "mine")
    assert "| method | dn4-conv64f with other values of pixel_k |" in other


def test_the_card_of_a_transductive_method_says_so() -> None:
    card = model_card(build_method("laplacianshot-conv64f"), "mine")
    assert "| queries | answered together (transductive) |" in card
    assert "Recognizer" not in card


def test_a_record_of_several_data_sets_is_one_row_each(command: Command, tmp_path: Path) -> None:
    places = [class_folders(tmp_path / name, classes=3, each=4, first=4 * at) for at, name in enumerate(("a", "b"))]
    save_method(small_method(), tmp_path / "m.safetensors")
    asked = ("--way", 2, "--queries", 2, "--episodes", 2, "--out", tmp_path / "both.json")
    ended = command("evaluate", *places, "--method", tmp_path / "m.safetensors", *asked)
    assert ended.code == 0, ended.err
    ended = command("push", tmp_path / "m.safetensors", tmp_path / "p", "--record", tmp_path / "both.json")
    assert ended.code == 0, ended.err
    card = (tmp_path / "p" / "README.md").read_text()
    assert "| a | test | 2-way 1-shot | 2, 0 |" in card
    assert "| b | test | 2-way 1-shot | 2, 0 |" in card


def test_the_commands(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save_method(small_method(), run / "best.safetensors")
    (run / "config.yaml").write_text(
        "# Run again: it\ndata: /home/me/birds\ntrain:\n  init: ../secret/a.safetensors\n  steps: 7\n"
    )
    told = command("push", run, tmp_path / "pushed", "--licence", "mit")
    assert (told.code, told.out) == (0, f"{tmp_path / 'pushed'}\n"), told.err
    card = (tmp_path / "pushed" / CARD_FILE).read_text()
    assert "# Run again: it\ndata: birds\ntrain:\n  init: a.safetensors\n  steps: 7\n" in card
    assert command("push", run, tmp_path / "pushed").code == 2
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command("push", run, ".").code == 0
    assert "\n# here\n" in Path(CARD_FILE).read_text()
    assert command("pull", tmp_path / "pushed", "-o", tmp_path / "x.safetensors").code == 0
    assert (tmp_path / "x.safetensors").read_bytes() == (run / "best.safetensors").read_bytes()
    assert "exists already" in command("pull", tmp_path / "pushed", "-o", tmp_path / "x.safetensors").err
    ended = command("push", run, tmp_path / "other", "--record", "none.json")
    expected = "error: none.json: no such file; expected a record that triptych evaluate wrote\n"
    assert (ended.code, ended.err) == (2, expected)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    ended = command("push", run, tmp_path / "other", "--card", tmp_path / "photo.jpg")
    expected = f"error: {tmp_path / 'photo.jpg'}: no text in UTF-8; expected a model card in Markdown\n"
    assert (ended.code, ended.err) == (2, expected)
    ended = command("push", run, tmp_path / "other", "--record", tmp_path / "photo.jpg")
    assert (ended.code, ended.err.endswith("evaluate wrote (no JSON)\n")) == (2, True)
    (tmp_path / "r.json").write_text("[]")
    ended = command("push", run, tmp_path / "other", "--record", tmp_path / "r.json")
    assert (ended.code, "not a record that triptych evaluate wrote" in ended.err) == (2, True)
    assert not (tmp_path / "other").exists()


def test_the_example_of_a_folder_is_in_the_docs_and_runs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = (Path(__file__).parents[2] / "docs" / "research.md").read_text().split("## Share a method")[1]
    (block,) = (one for one in section.split("```")[1::2] if "mkdir" in one)
    made, *lines = block.strip().splitlines()
    run = tmp_path / "runs" / "frn"
    run.mkdir(parents=True)
    save_method(small_method(), run / "best.safetensors")
    photos = class_folders(tmp_path / "photos", classes=2, each=2)
    record = evaluate(photos, small_method(), "small", EvaluateSettings(way=2, queries=1, episodes=2))
    (tmp_path / "frn-5shot.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    Path(made.removeprefix("mkdir -p ")).mkdir()
    for line in lines[:2]:
        ended = command(*line.split()[1:])
        assert ended.code == 0, ended.err
    assert lines[2] == "triptych evaluate DATA --method frn.safetensors"
    assert Path("frn.safetensors").read_bytes() == (run / "best.safetensors").read_bytes()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP interface as its client asks for here."""

    files: dict[str, bytes]

    def log_message(self, *_: object) -> None: ...

    def _answer(self, body: object, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _file(self) -> None:
        owner_and_name, _, name = self.path.partition("/resolve/main/")
        if owner_and_name != "/me/small":
            return self._answer({}, 404, X_Error_Code="RepoNotFound")
        if name not in self.files:
            return self._answer({}, 404, X_Error_Code="EntryNotFound")
        return self._answer(self.files[name], ETag=f'"{name}1"', X_Repo_Commit="c" * 40)

    do_GET = do_HEAD = lambda self: self._file() if "resolve" in self.path else self._answer({})  # noqa: N815

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        address = f"http://{self.headers['Host']}/me/small"
        if self.path.endswith("/repos/create"):
            return self._answer({"url": address})
        if self.path.endswith("/validate-yaml"):
            return self._answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            modes = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]
            return self._answer({"files": modes})
        assert "/commit/" in self.path, self.path
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return self._answer({"commitUrl": f"{address}/commit/{'c' * 40}", "commitOid": "c" * 40, "success": True})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The files of a hub with one repository, me/small, which the real client talks to."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra hub")
    files: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHub", (Hub,), {"files": files}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: "t")
    yield files
    server.shutdown()
    server.server_close()


def test_what_is_pushed_to_a_hub_comes_back(hub: dict[str, bytes]) -> None:
    push_method(small_method(), "hf:me/small", model_card(small_method(), "small"))
    assert set(hub) == {METHOD_FILE, CARD_FILE}
    assert hub[METHOD_FILE] == method_to_bytes(small_method())
    assert same(load_method("hf:me/small"), small_method())


def test_what_a_hub_lacks_is_one_line(hub: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r"hf:me/small: holds no method\.safetensors"):
        pull_method("hf:me/small")
    with pytest.raises(ValueError, match="hf:me/other: no such repository"):
        pull_method("hf:me/other")
    with pytest.raises(ValueError, match="expected hf:OWNER/NAME"):
        pull_method("hf:me/other/more")
