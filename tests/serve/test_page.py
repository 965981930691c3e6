"""The page's own files: all from the service, nothing from elsewhere. ``test_web`` uses them in a browser."""

import re

import pytest
from pages import Elements

from triptych.serve.client import Client, ServiceError


def test_the_page_is_whole_and_asks_nobody_else(client: Client) -> None:
    reply = client.ask("GET", "/")
    elements = Elements(reply.data.decode().replace("<input ", "<img ").replace("<link ", "<img "))
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert [one for tag, one in elements.found if tag == "script"] == [{"type": "module", "src": "page/app.js"}]
    assert not any(name.startswith("on") or name == "style" for _, one in elements.found for name in one)
    waiting, seen = ["page/app.js", "page/page.css", "style.css"], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        found = client.ask("GET", f"/{path}")
        text = found.data.decode()
        assert found.headers["content-type"].startswith("text/javascript" if path.endswith(".js") else "text/css")
        assert not re.search(r"https?://|@import|url\(|innerHTML|\beval\b", text)
        waiting += [f"page/{name}" for name in re.findall(r'from "\./([\w.]+)"', text)]
    assert {"page/api.js", "page/classes.js", "page/answers.js", "page/camera.js"} <= seen


def test_its_labels_name_what_is_there(client: Client) -> None:
    elements = Elements(client.ask("GET", "/").data.decode().replace("<input ", "<img ").replace("<link ", "<img "))
    ids = {one["id"] for _, one in elements.found if "id" in one}
    assert {one["for"] for _, one in elements.found if "for" in one} <= ids
    assert {one["aria-labelledby"] for _, one in elements.found if "aria-labelledby" in one} <= ids | {"dialog-title"}
    script = client.ask("GET", "/page/app.js").data.decode()
    assert set(re.findall(r'byId\("([\w-]+)"\)', script)) <= ids


def test_a_browser_keeps_its_files_until_they_change(client: Client) -> None:
    for path in ("/", "/style.css", "/page/app.js"):
        first = client.ask("GET", path)
        assert client.ask("GET", path, None, {"If-None-Match": first.headers["etag"]}).status == 304


@pytest.mark.parametrize("name", ["..%2Fapp.py", "app.py", "__init__.py", "nothing.js"])
def test_only_its_own_files_are_given(client: Client, name: str) -> None:
    with pytest.raises(ServiceError) as caught:
        client.ask("GET", f"/page/{name}")
    assert caught.value.status == 404
