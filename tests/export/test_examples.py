"""The examples answer as the recogniser does, in Python without Triptych and in a browser."""

import functools
import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from triptych import Recognizer
from triptych.data import Preprocessing
from triptych.export import export
from triptych.methods import packaged_method
from triptych.samples import __file__ as samples

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLES = Path(samples).parent
LONG = 120_000  # milliseconds


def sample(label: str, first: int, count: int) -> list[Path]:
    return sorted((SAMPLES / label).glob("*.jpg"))[first : first + count]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recognizer, Path]:
    """The small network with three kinds of groceries, and its model."""
    labels = ("Lemon", "Garlic", "Avocado")
    photos = [one for label in labels for one in sample(label, 0, 3)]
    recognizer = Recognizer(packaged_method("protonet-efficientnet-lite0")).fit(
        photos, [one.parent.name for one in photos]
    )
    path = tmp_path_factory.mktemp("shelf") / "shelf.onnx"
    export(recognizer, path)
    return recognizer, path


@pytest.mark.slow
def test_the_python_example_answers_alike(shelf: tuple[Recognizer, Path]) -> None:
    recognizer, model = shelf
    photos = [*sample("Lemon", 3, 2), *sample("Garlic", 3, 2)]
    command = [sys.executable, str(EXAMPLES / "onnx_python.py"), str(model), *map(str, photos)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout.splitlines()
    answers = list(recognizer.answers(photos, unknown="none"))
    for line, answer in zip(lines, answers, strict=True):
        assert f"({answer.probability:.1%})" in line
        assert ("none of these" in line) == (answer.label == "none")


def tiny_model(path: Path) -> Path:
    """A model that says of itself what the example asks, and is none otherwise."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in ("images", "same")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["images"], ["same"])], "tiny", *([e] for e in ends)
    )
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 18)])
    prepared = {"side": 32, "fit": "squash", "interpolation": "bilinear"}
    told = {"classes": ["a", "b"], "unknown": {}, "preprocessing": prepared}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in told.items()})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("tiny.onnx", "none.jpg"), "error: none.jpg: No such file or directory"),
        (("tiny.onnx", "text.jpg"), "error: text.jpg: not a photo that Pillow reads"),
        (("tiny.onnx", "cut.jpg"), "error: cut.jpg: not a photo that Pillow reads"),
        (("none.onnx", "cut.jpg"), "error: none.onnx: No such file or directory"),
        (("text.jpg", "cut.jpg"), "error: text.jpg: not a model that triptych export wrote"),
    ],
)
def test_the_python_example_says_in_one_line_which_file_is_wrong(
    asked: tuple[str, str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny_model(tmp_path / "tiny.onnx")
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "cut.jpg").write_bytes(sample("Lemon", 3, 1)[0].read_bytes()[:2000])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["onnx_python.py", *asked])
    with pytest.raises(SystemExit) as ended:
        _example().main()
    assert ended.value.code == told  # Python writes a text to stderr and exits with 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_the_python_example_prepares_photos_alike(fit: str, interpolation: str, mode: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 130, 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA") if mode == "RGBA" else Image.fromarray(noise[..., :3]).convert(mode)
    image.save(tmp_path / "x.png")
    expected = Preprocessing(side=48, fit=fit, interpolation=interpolation).pixels(tmp_path / "x.png")
    found = _example().pixels(tmp_path / "x.png", 48, fit, interpolation)
    np.testing.assert_array_equal(found, expected)


def test_the_python_example_turns_photos_and_reads_large_ones_alike(tmp_path: Path) -> None:
    photo = Image.open(sample("Lemon", 0, 1)[0]).resize((1200, 800))
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    photo.save(tmp_path / "x.jpg", exif=turned)
    expected = Preprocessing(side=64, interpolation="bicubic").pixels(tmp_path / "x.jpg")
    np.testing.assert_array_equal(_example().pixels(tmp_path / "x.jpg", 64, "squash", "bicubic"), expected)


def test_the_python_example_scales_deep_photos_alike(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 1 << 16, (90, 130), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.png")
    expected = Preprocessing(side=48).pixels(tmp_path / "x.png")
    prepared = Preprocessing(side=48)
    found = _example().pixels(tmp_path / "x.png", 48, prepared.fit, prepared.interpolation)
    np.testing.assert_array_equal(found, expected)


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("onnx_python", EXAMPLES / "onnx_python.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_python_example_needs_neither_triptych_nor_torch() -> None:
    text = (EXAMPLES / "onnx_python.py").read_text(encoding="utf-8")
    assert "import torch" not in text
    assert "import triptych" not in text


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """The example of the web, served from a copy beside what npm has installed, in Debian's browser."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the extra dev")
    program, modules = shutil.which("chromium"), EXAMPLES / "onnx_web/node_modules"
    if program is None:
        pytest.skip("needs Debian's chromium: make test-web installs it")
    if not (modules / "onnxruntime-web").is_dir():
        pytest.skip("needs npm's package: (cd examples/onnx_web && npm install)")
    for file in (EXAMPLES / "onnx_web").glob("*.*"):
        if file.is_file():
            shutil.copy(file, tmp_path)
    (tmp_path / "node_modules").symlink_to(modules.resolve())
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        found = browser.new_page()
        found.set_default_timeout(LONG)
        found.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        yield found
        browser.close()
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.mark.web
def test_the_browser_answers_alike(page: Any, shelf: tuple[Recognizer, Path]) -> None:
    recognizer, model = shelf
    page.set_input_files("#model", str(model))
    page.wait_for_function("document.querySelector('#status').textContent.startsWith('Ready: 3 classes')")
    for photo in (*sample("Lemon", 4, 1), *sample("Garlic", 4, 1)):
        page.set_input_files("#photo", str(photo))
        page.wait_for_function(f"!document.querySelector('#status').textContent.startsWith('Ready') && {_SHOWN}")
        (answer,) = recognizer.answers([photo], unknown="none")
        told = page.inner_text("#status")
        assert (told == "None of these, it seems") == (answer.label == "none")
        cells = page.locator("#answers tr").first.locator("td").all_inner_texts()
        assert cells[0] == recognizer.classes_[answer.probabilities.argmax()]
        assert float(cells[1].rstrip("%")) == pytest.approx(100 * answer.probability, abs=1.0)
        page.evaluate("document.querySelector('#answers').replaceChildren()")


_SHOWN = "document.querySelectorAll('#answers tr').length === 3"


@pytest.mark.web
def test_the_browser_scales_as_pillow_does(page: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    for fit in ("squash", "crop"):
        for interpolation in ("bilinear", "bicubic", "lanczos"):
            expected = Preprocessing(side=48, fit=fit, interpolation=interpolation).pixels(tmp_path / "noise.png")
            wanted = json.dumps({"side": 48, "fit": fit, "interpolation": interpolation})
            found = page.evaluate(
                "async (wanted) => { const { prepared } = await import('./pixels.js');"
                "const photo = await (await fetch('noise.png')).blob();"
                "return [...prepared(await createImageBitmap(photo), JSON.parse(wanted))]; }",
                wanted,
            )
            difference = np.abs(np.array(found).reshape(48, 48, 3) - expected.astype(int))
            assert difference.max() <= 1


@pytest.mark.web
def test_the_browser_refuses_what_is_no_model_of_triptych(page: Any, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"\x08\x0a")
    page.set_input_files("#model", str(tmp_path / "other.onnx"))
    page.wait_for_function("document.querySelector('#status').textContent.startsWith('Error')")
    assert page.inner_text("#status") == "Error: not a model that triptych export wrote"
