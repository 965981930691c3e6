"""Exported models answer as the recogniser does, whatever the batch, and say what they are."""

import inspect
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Command
from photos import photo
from PIL import Image
from registry import EACH, small_method_of
from toys import Centred, small_method

from triptych import Recognizer
from triptych.data import Photo, Preprocessing
from triptych.export import FORMATS, ExportSettings, export
from triptych.export.description import FALSE_ALARMS
from triptych.export.smaller import network_in_bytes
from triptych.methods import METHODS, Method, SalientConfig, build_method
from triptych.recognizer import plain_label
from triptych.system.kinds import ONNX_MODEL, TORCH_PROGRAM

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

SHOTS = (3, 2, 3)  # of each class
IMAGES = [photo(kind, number) for kind, shot in enumerate(SHOTS) for number in range(shot)]
LABELS = [label for label, shot in zip(("apple", "päré", "fig"), SHOTS, strict=True) for _ in range(shot)]
QUERIES = [photo(kind, 50 + number) for kind in range(3) for number in range(3)]
# What cannot be exported, and why; all others can.
BATCH = "its computation depends on how many photos come together"
REFUSED = {
    "mml-paper-kl-reverse-conv64f": "ONNX lacks its operation cholesky_inverse",
    "mml-paper-bures-conv64f": "ONNX lacks its operation linalg_svd",
    "relation-conv64f": BATCH,
    "renet-conv64f": BATCH,
    "deepemd-conv64f": "",
    "deepemd-grid-conv64f": "",
    "deepemd-sampling-conv64f": "",
}


def salient() -> Method:
    torch.manual_seed(0)
    config = SalientConfig(preprocessing=Preprocessing(side=64), query_patches=3, support_patches=2)
    return build_method(config).eval()


def fitted(method: Method, **settings: Any) -> Recognizer:
    return Recognizer(method, **settings).fit(IMAGES, LABELS)


def pixels(recognizer: Recognizer) -> np.ndarray:
    return np.stack([recognizer.method_.preprocess.pixels(one) for one in QUERIES])


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def small() -> Recognizer:
    return fitted(small_method_of("protonet-conv64f", shared=False))


@pytest.fixture(scope="module")
def model(small: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "shelf.onnx"
    export(small, path)
    return path


def check(recognizer: Recognizer, path: Path) -> None:
    """All that a model gives is what the recogniser answers."""
    probabilities, contributions, known = session(path).run(None, {"images": pixels(recognizer)})
    levels = recognizer.knowledge_.compare(as_photos(recognizer))
    np.testing.assert_allclose(probabilities, recognizer.predict_proba(QUERIES), atol=1e-4)
    expected = torch.stack(list(recognizer.fusion_.contributions(levels).values()), 1).detach().numpy()
    np.testing.assert_allclose(contributions, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(known, recognizer.knowledge_.known_score(levels), rtol=1e-3, atol=1e-3)


def test_a_model_gives_all_that_a_recogniser_answers(small: Recognizer, model: Path) -> None:
    check(small, model)


@pytest.mark.slow
@pytest.mark.parametrize("method", [small_method, salient])
def test_methods_of_several_levels_too(method: Callable[[], Method], tmp_path: Path) -> None:
    recognizer = fitted(method())
    export(recognizer, tmp_path / "x.onnx")
    check(recognizer, tmp_path / "x.onnx")


def kept(recognizer: Recognizer) -> list[bytes]:
    return [one for support in recognizer.support_.values() for one in support.thumbnails if one]


def as_photos(recognizer: Recognizer) -> list[Any]:
    return [Photo("", one, "") for one in pixels(recognizer)]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_model_takes_any_number_of_photos(small: Recognizer, model: Path, count: int) -> None:
    (found,) = session(model).run(["probabilities"], {"images": pixels(small)[:count]})
    np.testing.assert_allclose(found, small.predict_proba(QUERIES[:count]), atol=1e-5)


@pytest.mark.slow
def test_an_export_says_on_a_terminal_what_it_does(
    small: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    export(small, tmp_path / "x.pt2", ExportSettings(format="torch"))
    shown = capsys.readouterr()
    assert shown.out == ""
    for step in ("recording the graph", "packing it", "comparing it with the recogniser"):
        assert step in shown.err


def test_a_model_says_what_it_is(small: Recognizer, model: Path) -> None:
    told = session(model).get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == ["apple", "fig", "päré"]
    assert json.loads(told["levels"]) == list(small.method_.level_names)
    assert json.loads(told["preprocessing"]) == {"side": 32, "fit": "squash", "interpolation": "bilinear"}
    assert json.loads(told["unknown"])["0.05"] == small.knowledge_.threshold(0.05)
    assert told["fingerprint"] == small.fingerprint()
    assert list(json.loads(told["unknown"])) == [str(share) for share in FALSE_ALARMS]


def test_a_model_tells_unknowns_as_the_recogniser_does(small: Recognizer, model: Path) -> None:
    runs = session(model)
    least = json.loads(runs.get_modelmeta().custom_metadata_map["unknown"])["0.2"]
    strange = [photo(kind, 1) for kind in range(7, 12)]
    images = np.stack([small.method_.preprocess.pixels(one) for one in [*QUERIES, *strange]])
    (known,) = runs.run(["known_score"], {"images": images})
    expected = small.predict([*QUERIES, *strange], unknown="none", false_alarm=0.2) == "none"
    assert ((known < least) == expected).all()
    assert expected.any()
    assert not expected.all()


@pytest.mark.slow
def test_without_photos_left_out_there_is_no_score_of_unknowns(tmp_path: Path) -> None:
    export(fitted(small_method(), calibrate=False), tmp_path / "x.onnx")
    runs = session(tmp_path / "x.onnx")
    assert [one.name for one in runs.get_outputs()] == ["probabilities", "contributions"]
    assert json.loads(runs.get_modelmeta().custom_metadata_map["unknown"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "most"), [("32", 1e-4), ("fp16", 0.02)])
def test_the_default_method_is_exported_in_floats(tmp_path: Path, precision: str, most: float) -> None:
    recognizer = fitted(salient())
    written = export(recognizer, tmp_path / "x.onnx", ExportSettings(precision=precision))
    (found,) = session(tmp_path / "x.onnx").run(["probabilities"], {"images": pixels(recognizer)})
    assert np.abs(found - recognizer.predict_proba(QUERIES)).max() <= most
    assert written.size == (tmp_path / "x.onnx").stat().st_size
    assert written.description["precision"] == precision


@pytest.mark.slow
def test_the_network_of_the_default_method_is_exported_in_bytes(tmp_path: Path) -> None:
    """Random weights bear no rounding: what it costs, ``benchmarks/export.py`` measures on the true ones."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    recognizer = fitted(salient())
    with pytest.warns(UserWarning, match="precision int8: for the middles") as told:
        written = export(recognizer, tmp_path / "x.onnx", ExportSettings(precision="int8"))
    prepared = recognizer.method_.preprocess
    own = [Image.fromarray(prepared.pixels(Image.open(io.BytesIO(one)))) for one in kept(recognizer)]
    middles = np.stack([prepared.pixels(one.crop((16, 16, 48, 48))) for one in own])
    (found,) = session(tmp_path / "x.onnx").run(["probabilities"], {"images": middles})
    right = recognizer.predict_proba(list(middles))
    answers, change = (found.argmax(1) != right.argmax(1)).sum(), np.abs(found - right).max()
    message = str(told.pop().message)
    assert f"the middles of 8 photos that it has learnt, {answers} answer" in message
    assert f"and a probability by up to {change:.2g}; the model does not tell unknowns" in message
    assert written.difference >= change
    assert json.loads(written.description["unknown"]) == {}
    (found,) = session(tmp_path / "x.onnx").run(["probabilities"], {"images": pixels(recognizer)})
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-5)
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(tmp_path / "x.onnx").graph.initializer}
    of_network = sum(one.numel() for one in recognizer.method_.backbone.parameters())
    assert sum(one.size for one in stored.values() if one.dtype == np.int8) > 0.8 * of_network


@pytest.mark.slow
def test_half_precision_halves_the_file(small: Recognizer, model: Path, tmp_path: Path) -> None:
    written = export(small, tmp_path / "x.onnx", ExportSettings(precision="fp16"))
    assert written.size < 0.55 * model.stat().st_size
    assert written.difference < 0.01


@pytest.mark.slow
def test_a_torch_program_answers_alike(small: Recognizer, tmp_path: Path) -> None:
    export(small, tmp_path / "shelf.pt2", ExportSettings(format="torch"))
    told = {"triptych.json": ""}
    program = torch.export.load(tmp_path / "shelf.pt2", extra_files=told).module()
    for count in (1, 5):
        with torch.no_grad():
            found = program(torch.from_numpy(pixels(small)[:count]))[0].numpy()
        np.testing.assert_allclose(found, small.predict_proba(QUERIES[:count]), atol=1e-5)
    assert json.loads(json.loads(told["triptych.json"])["classes"]) == [plain_label(one) for one in small.classes_]


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_each_registered_method_is_exported_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    method = small_method_of(name, shared=False)
    if method.transductive:
        pytest.skip("a recogniser refuses it")
    recognizer = fitted(method, calibrate=False)
    if name in REFUSED:
        with pytest.raises(ValueError, match=rf"cannot be exported \({REFUSED[name]}") as refused:
            export(recognizer, tmp_path / "x.onnx")
        assert "\n" not in str(refused.value)
        assert not list(tmp_path.iterdir())
        return
    export(recognizer, tmp_path / "x.onnx")
    (found,) = session(tmp_path / "x.onnx").run(["probabilities"], {"images": pixels(recognizer)})
    np.testing.assert_allclose(found, recognizer.predict_proba(QUERIES), atol=1e-3)


@pytest.mark.slow
def test_classes_that_depend_on_each_other_are_exported(tmp_path: Path) -> None:
    recognizer = fitted(Centred())
    export(recognizer, tmp_path / "x.onnx")
    (found,) = session(tmp_path / "x.onnx").run(["probabilities"], {"images": pixels(recognizer)})
    np.testing.assert_allclose(found, recognizer.predict_proba(QUERIES), atol=1e-4)


def test_photos_of_many_shapes_are_refused(tmp_path: Path) -> None:
    config = replace(METHODS["protonet-conv64f"], preprocessing=Preprocessing(side=32, fit="keep"))
    with pytest.raises(ValueError, match="'mml' keeps the shape of photos; export is for methods that take photos of"):
        export(fitted(build_method(config)), tmp_path / "x.onnx")


def test_whole_numbers_need_photos(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this recogniser keeps none; fit it with thumbnails=True"):
        export(
            fitted(small_method_of("protonet-conv64f"), thumbnails=False),
            tmp_path / "x.onnx",
            ExportSettings(precision="int8"),
        )


@pytest.mark.parametrize("precision", ["32", "fp16"])
@pytest.mark.parametrize("output", ["probabilities", "contributions", "known_score"])
def test_a_model_that_answers_otherwise_is_not_written(
    small: Recognizer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, precision: str
) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    damaged = onnx.load(model)
    (last,) = [node for node in damaged.graph.node if output in node.output]
    last.output[list(last.output).index(output)] = "right"
    factor = 1.1 if precision == "32" else np.nan
    damaged.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(factor), "factor"))
    damaged.graph.node.append(onnx.helper.make_node("Mul", ["right", "factor"], [output]))
    monkeypatch.setattr("triptych.export.writing.onnx_model", lambda *_: damaged)
    with pytest.raises(ValueError, match=rf"in precision {precision} \(the model's {output} differ from the"):
        export(small, tmp_path / "x.onnx", ExportSettings(precision=precision))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_is_too_large_for_a_file_may_be_small_enough_in_half_precision(
    small: Recognizer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triptych.export.onnx_model._MOST_BYTES", round(0.7 * model.stat().st_size))
    for precision in ("32", "int8"):
        with pytest.raises(ValueError, match=r"an ONNX file holds .* GB; choose fewer photos or precision fp16$"):
            export(small, tmp_path / "x.onnx", ExportSettings(precision=precision))
    export(small, tmp_path / "x.onnx", ExportSettings(precision="fp16"))
    monkeypatch.setattr("triptych.export.onnx_model._MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"choose fewer photos$"):
        export(small, tmp_path / "y.onnx", ExportSettings(precision="fp16"))


@pytest.mark.parametrize("convolutions", [0, 1, 2])
def test_whole_numbers_need_convolutions(convolutions: int) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    nodes = [onnx.helper.make_node("Conv", [f"x{n}", "w"], [f"x{n + 1}"], f"n{n}") for n in range(convolutions)]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "network", [], []))
    with pytest.raises(ValueError, match=r"^method 'vit' cannot be exported in precision int8 .*; choose 32 or fp16$"):
        network_in_bytes(model, [], "vit")


def test_a_torch_program_has_one_precision() -> None:
    with pytest.raises(ValueError, match="precision fp16 is for the format onnx; a torch program has precision 32"):
        ExportSettings(format="torch", precision="fp16")
    with pytest.raises(ValueError, match="format must be one of onnx, torch, got 'tflite'"):
        ExportSettings(format="tflite")


@pytest.mark.slow
def test_the_command(small: Recognizer, tmp_path: Path, command: Command) -> None:
    small.save(tmp_path / "shelf.triptych")
    ended = command("export", tmp_path / "shelf.triptych", "--format", "onnx", "-o", tmp_path / "shelf.onnx", "--json")
    assert ended.code == 0
    assert ended.json["classes"] == 3
    assert ended.json["difference"] < 1e-4
    assert ended.json["bytes"] == (tmp_path / "shelf.onnx").stat().st_size
    again = command("export", tmp_path / "shelf.triptych", "-o", tmp_path / "shelf.onnx")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "exists already; replace it with --overwrite" in again.err
    ended = command("export", tmp_path / "shelf.triptych", "--format", "torch", "-o", tmp_path / "shelf.pt2")
    assert ended.code == 0
    assert "shelf.pt2: 3 classes" in ended.out
    assert ONNX_MODEL.wrote(tmp_path / "shelf.onnx")
    assert TORCH_PROGRAM.wrote(tmp_path / "shelf.pt2")


@pytest.mark.parametrize("format", FORMATS)
def test_no_file_of_another_kind_is_replaced(format: str, tmp_path: Path, command: Command) -> None:
    ending = next(iter(FORMATS[format].beginnings))
    other = tmp_path / f"other{ending}"
    other.write_bytes(b"PK\x03\x04 somebody else's")
    shelf = tmp_path / "x.triptych"
    shelf.touch()
    ended = command("export", shelf, "--format", format, "-o", other, "--overwrite")
    assert ended.code == 2
    assert "that triptych wrote" in ended.err
    assert other.read_bytes() == b"PK\x03\x04 somebody else's"
    ended = command("export", tmp_path / "x.triptych", "--format", format, "-o", tmp_path / "x.jpg")
    assert (ended.code, f"expected a name that ends in {ending}" in ended.err) == (2, True)


def test_what_is_no_recogniser_is_told(tmp_path: Path) -> None:
    unchecked = inspect.unwrap(export)  # under pytest, types are checked as well
    with pytest.raises(ValueError, match="expected a fitted Recognizer, got str"):
        unchecked("x.triptych", tmp_path / "x.onnx")
