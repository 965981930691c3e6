"""The API against requests made from its own document: whatever comes, no error of the service itself."""

from pathlib import Path

import hypothesis
import pytest
from served import running
from shelved import png

from triptych.serve.client import Client
from triptych.serve.settings import Settings

schemathesis = pytest.importorskip("schemathesis")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_request_of_the_document_makes_the_service_fail(data: Path, method_file: str) -> None:
    fast = Settings(changes_per_second=1e5, reads_per_second=1e5, gather_milliseconds=0, answer_seconds=5)
    with running(data, method_file, fast) as service, Client(service.address) as client:
        id = client.create_shelf("fruit", keep_photos=True)["id"]
        for kind, label in enumerate(("apple", "pear")):
            client.create_class(id, label)
            client.add_photos(id, label, [png(kind, number) for number in range(2)])
        photo = client.shelf(id)["classes"][0]["photos"][0]["id"]
        document = client.ask("GET", "/openapi.json").json
        schema = schemathesis.openapi.from_dict(document)
        asked = 0
        for operation in schema.get_all_operations():
            found = operation.ok()
            if found.method.upper() == "DELETE" and found.path == "/v1/shelves/{id}":
                continue  # else nothing is left to ask about

            @hypothesis.given(case=found.as_strategy())
            @hypothesis.settings(
                max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
            )
            def ask(case: schemathesis.Case) -> None:
                nonlocal asked
                if "id" in (case.path_parameters or {}) and asked % 3:
                    case.path_parameters["id"] = id
                if "photo" in (case.path_parameters or {}) and asked % 2:
                    case.path_parameters["photo"] = photo
                if "seconds" in (case.query or {}):
                    case.query["seconds"] = 0
                answer = case.call(base_url=service.address, timeout=60)
                asked += 1
                assert answer.status_code not in {500, 502}, (case, answer.text)
                if answer.status_code >= 400:
                    kind = answer.headers["content-type"]
                    assert kind == ["application/problem+json"], (answer.status_code, dict(answer.headers), answer.text)

            ask()
        assert asked > 300
        assert client.ask("GET", "/healthz").data == b"ok"
