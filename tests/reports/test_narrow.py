"""The page of a comparison on the screen of a phone, in a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import record

from triptych.reports import comparison_page

api = pytest.importorskip("playwright.sync_api")


@pytest.fixture
def phone() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's chromium: make test-web installs it")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 390, "height": 844})
        browser.close()


@pytest.mark.web
def test_two_columns_of_figures_fit_a_phone(phone: Any, tmp_path: Path) -> None:
    told = record(shots=(1, 5))
    for point in told["curve"]:
        figure = {"mean": 0.96, "ci95": 0.166, "difference": {"mean": 0.1, "ci95": 0.112}}
        point["contenders"] = dict.fromkeys(point["contenders"], figure)
    (tmp_path / "x.html").write_text(comparison_page(told), encoding="utf-8")
    phone.goto(f"file://{tmp_path}/x.html")
    assert "(79.4 to 100.0)" in phone.inner_text(".figures tbody tr td")
    scrolled, seen = phone.evaluate(
        "(box => [box.scrollWidth, box.clientWidth])(document.querySelector('.figures').parentElement)"
    )
    assert scrolled <= seen
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.locator(".figures span").first.bounding_box()["height"] < 32  # an interval stays on one line
