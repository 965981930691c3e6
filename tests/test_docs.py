"""What the documents show runs: their Python one snippet after the other, their commands as far as their options."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import typer
from documents import snippets

from triptych import Recognizer
from triptych.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src/triptych/weights").glob("*.md")])
RUN = ["README.md", "recogniser.md", "evidence.md"]  # others need a network, a service, or a test of their own


def texts(document: Path, language: str) -> list[str]:
    return [text for of, text in snippets(document) if of == language]


def commands() -> list[str]:
    shown = [text.replace("\\\n", " ") for document in DOCUMENTS for text in texts(document, "")]
    lines = [line for text in shown for line in text.splitlines()]
    return sorted({line.strip() for line in lines if re.match(r"triptych [a-z]", line)})


@pytest.mark.parametrize("line", commands())
def test_commands_have_the_options_that_are_shown(line: str) -> None:
    group: Any = typer.main.get_command(app)
    name, *arguments = shlex.split(line.removeprefix("triptych "), comments=True)
    command = group.get_command(typer.Context(group), name)
    assert command is not None, f"no command {name}"
    command.make_parser(typer.Context(command)).parse_args(arguments)  # an error, if there is no such option


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_name_in_the_python_of_a_document_is_known(document: Path) -> None:
    code = "\n".join(texts(document, "python"))
    asked = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F823,E9", "-"]
    checked = subprocess.run(asked, input=code, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.fixture(scope="module")
def documented_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents speak of: class folders, new photos and a recogniser of them."""
    place = tmp_path_factory.mktemp("documents")
    with resources.as_file(resources.files("triptych.samples")) as samples:
        for kind in ("Avocado", "Carrots", "Lemon"):
            for number, photo in enumerate(sorted((samples / kind).glob("*.jpg"))):
                there = place / ("groceries" if number < 5 else "new") / (kind if number < 5 else "")
                there.mkdir(parents=True, exist_ok=True)
                shutil.copy(photo, there / photo.name)
    shutil.copytree(place / "groceries", place / "PHOTOS_DIR")
    shutil.copy(place / "new" / "Lemon_006.jpg", place / "new.jpg")
    (place / "src").symlink_to(ROOT / "src")
    Recognizer().fit(str(place / "groceries")).save(place / "groceries.triptych")
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [one for one in DOCUMENTS if one.name in RUN or one.parent.name == "levels"], ids=lambda one: one.name
)
def test_snippets_run_one_after_the_other(
    document: Path, documented_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(documented_photos)
    names: dict[str, object] = {}
    for snippet in texts(document, "python"):
        exec(compile(snippet, str(document), "exec"), names)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", "website/mkdocs.yml"]
    done = subprocess.run([*command, "--site-dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    level = (tmp_path / "levels" / "pixel.html").read_text(encoding="utf-8")
    assert level.count("<math") > 2
    similarity = (tmp_path / "api" / "similarity.html").read_text(encoding="utf-8")
    assert similarity.count("<math") > 20
    assert ":math:" not in similarity
    assert ".. math" not in similarity
    recognizer = (tmp_path / "api" / "recognizer.html").read_text("utf-8")
    for name in ("fit", "predict", "explain"):  # the last two are of a base that has no page of its own
        assert f'id="triptych.recognizer.estimator.Recognizer.{name}"' in recognizer
    assert 'id="triptych.export.writing.export"' in (tmp_path / "api" / "export.html").read_text("utf-8")
    for page in tmp_path.rglob("*.html"):
        asked = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"?(https?://[^\" >]+)", page.read_text("utf-8"))
        assert not asked, f"{page}: {asked}"
