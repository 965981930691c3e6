"""The page in a browser, as a person uses it. ``make test-web`` runs this."""

import base64
import os
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from photos import photo
from served import Running, running
from shelved import png, put

from triptych.serve import Shelves

api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.web

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
LONG = 60_000  # milliseconds


# A camera that shows a picture of its own, and is allowed without a question.
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's chromium: make test-web installs it")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *CAMERA])
        yield found
        found.close()


@pytest.fixture(params=list(WIDTHS))
def page(request: pytest.FixtureRequest, browser: Any, service: Running) -> Iterator[Any]:
    """The page at a width, watched: it asks nobody else, and nothing goes wrong unseen."""
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    found, wrong = context.new_page(), []
    found.on("request", lambda one: None if one.url.startswith(_own(service)) else wrong.append(one.url))
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda one: wrong.append(one.text) if "Content Security Policy" in one.text else None)
    found.set_default_timeout(20_000)
    found.goto(service.address)
    yield found
    context.close()
    assert wrong == []


def _own(service: Running) -> tuple[str, ...]:
    return (service.address, "data:", "blob:")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Photos of two classes."""
    for kind in range(2):
        for number in range(6):
            photo(kind, number, 60).save(tmp_path / f"{kind}-{number}.png")
    return tmp_path


def teach(page: Any, files: Path, each: int = 3, labels: Sequence[str] = ("apple", "pear")) -> None:
    for kind, label in enumerate(labels):
        page.fill("#class-name", label)
        page.press("#class-name", "Enter")
        chosen = [str(files / f"{kind}-{number}.png") for number in range(each)]
        page.get_by_label(f"add photos to {label}").set_input_files(chosen)
        api.expect(photos_of(page, label)).to_have_count(each, timeout=LONG)
    ready(page)


def photos_of(page: Any, label: str) -> Any:
    return page.locator("#classes section").filter(has=page.get_by_role("heading", name=label)).locator("li img")


def ready(page: Any) -> None:
    api.expect(page.locator("#status")).to_have_text("Ready", timeout=LONG)


def keep_picture(page: Any, name: str) -> None:
    """A screenshot, where somebody wants to look at it."""
    if folder := os.environ.get("TRIPTYCH_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}-{page.viewport_size['width']}.png", full_page=True)


def test_teach_ask_and_see_why(page: Any, files: Path) -> None:
    teach(page, files)
    page.set_input_files("#ask-files", [str(files / "0-5.png"), str(files / "1-5.png")])
    answers = page.locator("#answers h3")
    api.expect(answers).to_have_count(2, timeout=LONG)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    page.get_by_role("button", name="Why?").first.click()
    api.expect(page.locator(".heat svg")).to_be_visible(timeout=LONG)
    assert page.locator(".levels").count() == 2
    api.expect(page.locator(".why").first).to_contain_text(re.compile("lead over|speak", re.IGNORECASE))
    api.expect(page.locator(".answer").first).to_contain_text(re.compile("sure"))
    api.expect(page.locator("#trust dd")).to_have_text([re.compile("%$"), "6", re.compile("point")])
    keep_picture(page, "answer")
    with page.expect_download() as saved:
        page.get_by_role("button", name="save answers as CSV").click()
    lines = saved.value.path().read_text().splitlines()
    assert lines[0] == "image,label,probability,none_of_these,in_support,error,p_apple,p_pear"
    assert len(lines) == 3


def test_a_file_that_no_browser_shows_keeps_the_width(page: Any, files: Path) -> None:
    teach(page, files)
    note = {"name": "a long name " * 10 + ".heic", "mimeType": "image/heic", "buffer": b"no picture"}
    page.set_input_files("#ask-files", note)
    api.expect(page.locator(".no-picture")).to_be_visible(timeout=LONG)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_a_kept_photo_is_shown_as_it_came(page: Any, tmp_path: Path) -> None:
    photo(0, 0, 400).save(tmp_path / "large.png")
    page.fill("#class-name", "apple")
    page.press("#class-name", "Enter")
    page.get_by_label("add photos to apple").set_input_files(str(tmp_path / "large.png"))
    api.expect(photos_of(page, "apple").first).to_have_attribute("src", re.compile("thumbnail"), timeout=LONG)
    photos_of(page, "apple").first.click()
    page.wait_for_function("document.querySelector('#dialog img').naturalWidth === 400")


def as_transfer(page: Any, files: Path, name: str) -> Any:
    """A photo as a browser hands it over that is dropped or pasted."""
    data = base64.b64encode((files / name).read_bytes()).decode()
    return page.evaluate_handle(
        """([data, name]) => {
          const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: "image/png" }));
          return transfer;
        }""",
        [data, name],
    )


def test_photos_are_dropped_and_pasted(page: Any, files: Path) -> None:
    teach(page, files)
    section = page.locator("#classes section").filter(has=page.get_by_role("heading", name="pear"))
    section.dispatch_event("drop", {"dataTransfer": as_transfer(page, files, "1-4.png")})
    api.expect(photos_of(page, "pear")).to_have_count(4, timeout=LONG)
    page.locator("#ask").dispatch_event("drop", {"dataTransfer": as_transfer(page, files, "0-4.png")})
    api.expect(page.locator("#answers h3")).to_have_count(1, timeout=LONG)
    paste = """(transfer) => document.body.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }))"""
    as_transfer(page, files, "0-5.png").evaluate(paste)
    api.expect(page.locator("#answers h3")).to_have_count(2, timeout=LONG)


def test_the_camera_shows_an_answer_and_takes_photos(page: Any, files: Path) -> None:
    teach(page, files)
    page.locator("#ask-camera").click()
    api.expect(page.locator("#dialog [role=status]")).to_contain_text("%", timeout=LONG)
    assert page.locator("#dialog video").evaluate("(video) => getComputedStyle(video).transform") == "none"
    page.get_by_role("button", name="Take the photo", exact=True).click()
    api.expect(page.locator("#answers h3")).to_have_count(1, timeout=LONG)
    page.get_by_role("button", name="Close").click()
    api.expect(page.locator("#dialog")).to_be_hidden()


def test_photos_of_one_name_are_not_confused(page: Any, files: Path) -> None:
    page.fill("#class-name", "apple")
    page.press("#class-name", "Enter")
    field = page.get_by_label("add photos to apple")
    for kind in range(2):
        data = (files / f"{kind}-0.png").read_bytes()
        field.set_input_files([{"name": "photo.png", "mimeType": "image/png", "buffer": data}])
        api.expect(photos_of(page, "apple")).to_have_count(kind + 1, timeout=LONG)
    addresses = photos_of(page, "apple").evaluate_all("all => all.map((one) => one.src)")
    assert len(set(addresses)) == 2
    api.expect(photos_of(page, "apple").first).to_have_attribute("src", re.compile("thumbnail"), timeout=LONG)
    api.expect(photos_of(page, "apple").last).to_have_attribute("src", re.compile("thumbnail"), timeout=LONG)


def test_photos_go_to_the_shelf_that_they_were_meant_for(page: Any, files: Path, service: Running) -> None:
    shelves = [service.shelves.create(name) for name in ("first", "other")]
    for shelf in shelves:
        shelf.change(lambda index: index.with_class("apple"))
    first = shelves[0].id
    photos = sorted(files.glob("*.png"))
    chosen = [
        {"name": f"{number}.png", "mimeType": "image/png", "buffer": one.read_bytes()}
        for number, one in enumerate(photos)
    ]
    page.goto("about:blank")  # or only the fragment would change, and the page would not know of the new shelves
    page.goto(f"{service.address}/#{first}")
    held: list[Any] = []
    page.route("**/photos", lambda route: held.append(route))
    page.get_by_label("add photos to apple").set_input_files(chosen)  # in two uploads
    page.wait_for_function("document.getElementById('status').textContent.startsWith('Adding photo 1')")
    page.select_option("#shelf", label="other")
    page.wait_for_url(lambda url: not url.endswith(first))
    page.unroute("**/photos")
    counts = [len(service.shelves.get(first).index.photos)]
    while counts[-1] < len(chosen) and len(counts) < 100:
        page.wait_for_timeout(50)
        counts.append(len(service.shelves.get(first).index.photos))
    assert counts[-1] == len(chosen)
    assert not page.url.endswith(first)


def test_what_was_taught_is_there_after_a_reload(page: Any, files: Path) -> None:
    teach(page, files)
    page.reload()
    for label in ("apple", "pear"):
        api.expect(photos_of(page, label)).to_have_count(3, timeout=LONG)
    ready(page)


def test_move_a_photo_and_undo(page: Any, files: Path) -> None:
    teach(page, files)
    photos_of(page, "apple").first.click()
    page.locator("#move-to").select_option("pear")
    page.get_by_role("button", name="Move it", exact=True).click()
    api.expect(photos_of(page, "pear")).to_have_count(4, timeout=LONG)
    page.get_by_role("button", name="Undo").click()
    api.expect(photos_of(page, "apple")).to_have_count(3, timeout=LONG)
    ready(page)


def test_a_shelf_is_downloaded_and_loaded(page: Any, files: Path, tmp_path: Path) -> None:
    teach(page, files)
    with page.expect_download() as saved:
        page.get_by_role("link", name="download the shelf").click()
    file = tmp_path / "mine.triptych"
    saved.value.save_as(file)
    page.set_input_files("#load", str(file))
    api.expect(page.locator("#shelf option:checked")).to_have_text("mine", timeout=LONG)
    api.expect(photos_of(page, "pear")).to_have_count(3, timeout=LONG)


def test_without_a_network_the_page_says_so(page: Any, files: Path) -> None:
    teach(page, files)
    page.context.set_offline(True)
    page.set_input_files("#ask-files", str(files / "0-5.png"))
    api.expect(page.locator("#problem")).to_contain_text("does not answer")
    page.context.set_offline(False)
    page.set_input_files("#ask-files", str(files / "0-5.png"))
    api.expect(page.locator("#answers h3")).to_have_count(1, timeout=LONG)
    api.expect(page.locator("#problem")).to_be_hidden()


def test_two_editors(page: Any, files: Path, service: Running) -> None:
    teach(page, files)
    [shelf] = service.shelves
    shelf.change(lambda index: index.with_class("plum"))
    photos_of(page, "apple").first.click()
    page.get_by_role("button", name="Remove it").click()
    api.expect(page.locator("#problem")).to_contain_text("Somebody else")
    api.expect(page.get_by_role("heading", name="plum")).to_be_visible()
    assert len(shelf.index.ids("apple")) == 3


def test_names_are_only_text(page: Any) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    page.fill("#class-name", name)
    page.press("#class-name", "Enter")
    api.expect(page.locator("#classes h3 bdi")).to_have_text(name)
    assert page.locator("#classes img").count() == 0


def test_all_of_it_by_keyboard(page: Any, files: Path) -> None:
    teach(page, files, each=2)
    page.locator("#new-shelf").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"undo", "ask-files", "class-name", "folders", "Rename", "Remove", "download", "load", "keep"} <= reached
    photos_of(page, "apple").first.locator("xpath=ancestor::button").focus()
    page.keyboard.press("Enter")
    api.expect(page.locator("#dialog")).to_be_visible()
    page.keyboard.press("Escape")
    api.expect(page.locator("#dialog")).to_be_hidden()


def focused(page: Any) -> str:
    """What the keyboard acts on, as a screen reader names it."""
    return page.evaluate(
        """() => {
          const one = document.activeElement;
          const shown = one.labels?.[0]?.textContent || one.querySelector("img")?.alt || one.textContent;
          return one.ariaLabel || one.id || shown;
        }"""
    ).strip()


def tab_to(page: Any, what: str, back: bool = False) -> None:
    for _ in range(80):
        if focused(page).startswith(what):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"{what} cannot be reached; the focus is on {focused(page)}")


def choose(page: Any, key: str, files: Sequence[str]) -> None:
    with page.expect_file_chooser() as chooser:
        page.keyboard.press(key)
    chooser.value.set_files(files)


def test_from_the_first_class_to_the_evidence_by_keyboard_alone(page: Any, files: Path) -> None:
    page.on("filechooser", lambda _: None)  # so that the first one is not missed
    for kind, label in enumerate(("apple", "pear")):
        tab_to(page, "class-name")
        page.keyboard.type(label)
        page.keyboard.press("Enter")
        api.expect(page.get_by_role("heading", name=label)).to_be_visible()
        tab_to(page, f"Add photos to {label}")
        choose(page, "Enter", [str(files / f"{kind}-{number}.png") for number in range(3)])
        api.expect(photos_of(page, label)).to_have_count(3, timeout=LONG)
        tab_to(page, "class-name", back=True)
    ready(page)
    tab_to(page, "apple: 0-0.png")
    page.keyboard.press("Enter")
    tab_to(page, "move-to")
    page.keyboard.type("pear")
    tab_to(page, "Move it")
    page.keyboard.press("Enter")
    api.expect(photos_of(page, "pear")).to_have_count(4, timeout=LONG)
    assert focused(page) == "pear: 0-0.png"  # the focus went with the photo
    tab_to(page, "undo", back=True)
    page.keyboard.press("Enter")
    api.expect(photos_of(page, "apple")).to_have_count(3, timeout=LONG)
    tab_to(page, "ask-files")
    choose(page, " ", [str(files / "0-5.png")])
    api.expect(page.locator("#answers h3")).to_have_count(1, timeout=LONG)
    tab_to(page, "Why?")
    page.keyboard.press("Enter")
    api.expect(page.locator(".heat svg")).to_be_visible(timeout=LONG)


def test_what_a_new_shelf_needs_is_said(page: Any, files: Path) -> None:
    api.expect(page.locator("#ask-lead")).to_contain_text("First make two classes")
    for field in ("#ask-files", "#sort-files", "#ask-camera"):
        api.expect(page.locator(field)).to_be_disabled()
    api.expect(page.locator("#classes")).to_contain_text("No classes yet")
    page.locator("#classes").dispatch_event("drop", {"dataTransfer": as_transfer(page, files, "0-0.png")})
    api.expect(page.locator("#problem")).to_contain_text("Drop them on a class")
    page.get_by_role("button", name="Dismiss").click()
    api.expect(page.locator("#problem")).to_be_hidden()
    keep_picture(page, "empty")
    teach(page, files)
    api.expect(page.locator("#ask-files")).to_be_enabled()


def test_what_goes_wrong_is_in_sight_wherever_one_is(page: Any, files: Path) -> None:
    teach(page, files)
    page.context.set_offline(True)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.get_by_label("add photos to pear").set_input_files(str(files / "1-5.png"))
    api.expect(page.locator("#problem")).to_contain_text("does not answer")
    api.expect(page.locator("#problem")).to_be_in_viewport()
    api.expect(page.locator("#status")).to_be_in_viewport()
    page.context.set_offline(False)


def test_a_photo_in_the_wrong_class_is_named_and_moved(page: Any, files: Path) -> None:
    teach(page, files, each=5)
    page.get_by_label("add photos to apple").set_input_files(str(files / "1-5.png"))
    api.expect(photos_of(page, "apple")).to_have_count(6, timeout=LONG)
    ready(page)
    api.expect(page.locator("#trust")).to_contain_text("apple taken for pear: 1 photo")
    suspect = page.locator("#trust .cards li").filter(has=page.get_by_alt_text("apple: 1-5.png"))
    suspect.get_by_role("button", name="Move it to pear").click()
    api.expect(photos_of(page, "pear")).to_have_count(6, timeout=LONG)


def test_a_photo_is_taken_for_a_class(page: Any) -> None:
    page.fill("#class-name", "apple")
    page.press("#class-name", "Enter")
    page.get_by_role("button", name="Camera", exact=True).click()
    page.wait_for_selector("#dialog video")
    api.expect(page.locator("#dialog video")).to_have_js_property("readyState", 4)
    page.get_by_role("button", name="Take the photo").click()
    page.get_by_role("button", name="Close").click()
    api.expect(photos_of(page, "apple")).to_have_count(1, timeout=LONG)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_no_serious_fault(page: Any, files: Path, colours: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.base").AXE_FILE_PATH
    page.emulate_media(color_scheme=colours)
    teach(page, files)
    page.set_input_files("#ask-files", str(files / "0-5.png"))
    page.get_by_role("button", name="Why?").click(timeout=LONG)
    api.expect(page.locator(".heat svg")).to_be_visible(timeout=LONG)
    page.set_input_files("#sort-files", str(files))
    api.expect(page.locator("#sort-zip")).to_be_enabled(timeout=LONG)
    keep_picture(page, colours)
    page.evaluate(Path(axe).read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}] == []


def test_a_token_is_asked_for_once(browser: Any, data: Path, method_file: str) -> None:
    with running(data, method_file, token="0123456789abcdef-secret") as service:
        context = browser.new_context()
        page = context.new_page()
        page.goto(service.address)
        for token in ("wrong", "0123456789abcdef-secret"):
            page.fill("#dialog-field", token)
            page.keyboard.press("Enter")
        api.expect(page.locator("#shelf option")).to_have_count(1, timeout=LONG)
        page.reload()
        api.expect(page.locator("#status")).to_contain_text("Give it photos", timeout=LONG)
        context.close()
        assert isinstance(service.shelves, Shelves)


def sorted_photos(page: Any, title: str) -> Any:
    return page.locator("#sorted section").filter(has=page.get_by_role("heading", name=title)).locator("li img")


def test_a_folder_is_sorted_mended_and_taken_away(page: Any, files: Path, tmp_path: Path) -> None:
    teach(page, files)
    mixed = tmp_path / "mixed"
    for number, kind in [(3, 0), (4, 0), (5, 1)]:
        (mixed / str(kind)).mkdir(parents=True, exist_ok=True)
        shutil.copy(files / f"{kind}-{number}.png", mixed / str(kind) / "same name.png")
        shutil.copy(files / f"{kind}-{number}.png", mixed / f"{kind}-{number}.png")
    (mixed / "broken.jpg").write_bytes(b"no photo")
    (mixed / "notes.txt").write_text("no photo")
    page.set_input_files("#sort-files", str(mixed))
    api.expect(page.locator("#sort-zip")).to_be_enabled(timeout=LONG)
    api.expect(page.locator("#sort-status")).to_contain_text("6 of 6 photos sorted")
    api.expect(page.locator("#sort-stop")).to_be_hidden()
    counts = {title: sorted_photos(page, title).count() for title in ("apple", "pear", "Unsure")}
    assert sum(counts.values()) == 5
    keep_picture(page, "sorted")
    title = next(title for title, count in counts.items() if count)
    sorted_photos(page, title).first.click()  # by hand, into another class
    name = page.locator("#dialog-title").text_content()
    other = "pear" if title != "pear" else "apple"
    page.locator("#sort-to").select_option(label=other)
    page.get_by_role("button", name="Put it there").click()
    api.expect(sorted_photos(page, other)).to_have_count(counts[other] + 1)
    with page.expect_download() as saved:
        page.locator("#sort-zip").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        lines = archive.read("answers.csv").decode().splitlines()
        moved = [one for one in names if one.startswith(f"{other}/") and one.endswith(name)]
        assert moved
        assert archive.read(moved[-1]) in {one.read_bytes() for one in files.glob("*.png")}
    assert names[0] == "answers.csv"
    assert {one.split("/")[0] for one in names[1:]} <= {"apple", "pear", "unsure", "cannot be read"}
    assert [one for one in names if "broken" in one] == ["cannot be read/broken.jpg"]
    assert len(names) == len(set(names)) == 7
    assert lines[0].startswith("sorted,image,label,probability")
    assert {line.split(",")[0] for line in lines[1:]} == set(names[1:])
    with page.expect_download() as saved:
        page.locator("#sort-csv").click()
    assert saved.value.path().read_text().splitlines() == lines


def test_photos_that_are_shown_or_gone_are_not_held_in_memory(page: Any, files: Path, service: Running) -> None:
    service.shelves.create("other")
    page.add_init_script(
        """window.held = new Set();
        const [made, ended] = [URL.createObjectURL, URL.revokeObjectURL];
        URL.createObjectURL = (file) => { const address = made(file); held.add(address); return address; };
        URL.revokeObjectURL = (address) => { held.delete(address); ended(address); };"""
    )
    page.reload()
    teach(page, files)
    page.set_input_files("#ask-files", [str(files / "0-5.png"), str(files / "1-5.png")])
    api.expect(page.locator("#answers h3")).to_have_count(2, timeout=LONG)
    page.wait_for_function("() => held.size === 0")
    assert page.locator("#answers .answer > img").evaluate_all("all => all.every((one) => one.naturalWidth)")
    page.evaluate("document.getElementById('sorted').hidden = true")  # so that none of them is loaded
    page.set_input_files("#sort-files", str(files))
    api.expect(page.locator("#sort-zip")).to_be_enabled(timeout=LONG)
    assert page.evaluate("held.size") == 12
    page.select_option("#shelf", index=page.locator("#shelf option").count() - 1)
    page.wait_for_function("() => held.size === 0")


def test_folders_in_the_zip_have_names_that_every_system_takes(page: Any, files: Path) -> None:
    teach(page, files, labels=("answers.csv", "con"))
    (files / "0-0.png").rename(files / "nul.png")
    page.set_input_files("#sort-files", str(files))
    api.expect(page.locator("#sort-zip")).to_be_enabled(timeout=LONG)
    for label in ("answers.csv", "con"):  # no class is without photos
        if sorted_photos(page, label).count():
            continue
        sorted_photos(page, "con" if label != "con" else "answers.csv").last.click()
        page.locator("#sort-to").select_option(label=label)
        page.get_by_role("button", name="Put it there").click()
    with page.expect_download() as saved:
        page.locator("#sort-zip").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        names = archive.namelist()
    assert names.count("answers.csv") == 1
    assert {one.split("/")[0] for one in names[1:]} - {"unsure"} == {"answers (2).csv", "_con_"}
    assert [one.split("/")[1] for one in names[1:] if "nul" in one] == ["_nul_.png"]


def test_names_in_the_zip_are_told_apart_by_every_system(page: Any, files: Path, service: Running) -> None:
    api.expect(page.locator("#status")).to_contain_text("Give it photos")
    [shelf] = service.shelves
    labels = ("caf\u00e9", "CAF\u00c9")  # one folder, where case does not count
    for label in labels:
        shelf.change(lambda index, label=label: index.with_class(label))
    for kind, label in enumerate(labels):
        put(shelf, label, [png(kind, number, 60) for number in range(3)])
    page.reload()
    ready(page)
    mixed = files / "mixed"
    mixed.mkdir()
    names = [
        "\u00e9.png",
        "e\u0301.png",
        "\u00c9.png",
        "com\u00b9.png",
        "a:b?.png",
        "\u202egnp.png",
        "\u7532" * 80 + ".png",
    ]
    for number, name in enumerate(names):
        shutil.copy(files / f"0-{number % 6}.png", mixed / name)
    page.set_input_files("#sort-files", str(mixed))
    api.expect(page.locator("#sort-status")).to_contain_text(f"{len(names)} of {len(names)} photos", timeout=LONG)
    with page.expect_download() as saved:
        page.locator("#sort-zip").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert archive.testzip() is None
        found = archive.namelist()[1:]
    assert len(found) == len(names)
    assert all(unicodedata.is_normalized("NFC", one) for one in found)
    assert len({one.casefold() for one in found}) == len(names)
    for part in {part for one in found for part in one.split("/")}:
        assert len(part.encode()) <= 220
        assert not re.search('[:?*<>|"\\\\\u202e]', part)
        assert part.lower() != "com\u00b9.png"


def test_a_folder_from_another_system_goes_to_the_class_of_its_name(page: Any, files: Path) -> None:
    page.fill("#class-name", "caf\u00e9")
    page.press("#class-name", "Enter")
    api.expect(page.get_by_label("add photos to caf\u00e9")).to_be_attached(timeout=LONG)
    folder = files / "all" / "cafe\u0301"
    folder.mkdir(parents=True)
    shutil.copy(files / "0-0.png", folder)
    page.set_input_files("#folders", str(files / "all"))
    api.expect(photos_of(page, "caf\u00e9")).to_have_count(1, timeout=LONG)
    assert page.locator("#classes section").count() == 1
