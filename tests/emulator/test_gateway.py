"""Headers: each missing or wrong one gets the answer that Adobe documents for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from segadmin.emulator.server import Emulator
from tests.emulator.conftest import Client


@pytest.mark.parametrize(
    ("header", "value", "status", "code"),
    [
        ("x-api-key", None, 403, "403000"),
        ("x-api-key", "nobody", 403, "403003"),
        ("x-api-key", "nordwind-demo-client", 401, "401013"),
        ("Authorization", None, 403, "403010"),
        ("Authorization", "Bearer nonsense", 401, "401013"),
        ("Authorization", "Basic YTpi", 401, "401013"),
        ("x-gw-ims-org-id", None, 400, "400003"),
        ("x-gw-ims-org-id", "nobody@AdobeOrg", 403, "403027"),
        ("x-gw-ims-org-id", "7E40B2C864A1D5930A495F1B@AdobeOrg", 403, "403025"),
        ("x-sandbox-name", None, 400, "400003"),
    ],
)
def test_a_wrong_header_is_refused(acme: Client, header: str, value: str | None, status: int, code: str) -> None:
    answer = acme.jobs(headers={header: value})
    assert answer.status_code == status
    assert answer.json()["error_code"] == code


def test_an_unknown_sandbox_is_plainly_not_found(acme: Client) -> None:
    answer = acme.jobs(headers={"x-sandbox-name": "nowhere"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "/placeholder/type/uri"


def test_a_resetting_sandbox_cannot_be_used(acme: Client) -> None:
    answer = acme.jobs(headers={"x-sandbox-name": "archive"})
    assert answer.status_code == 403
    assert answer.json()["error-chain"][0]["serviceId"] == "UPAPI"


@pytest.mark.parametrize("content_type", [None, "text/plain"])
def test_a_post_needs_its_content_type(acme: Client, content_type: str | None) -> None:
    answer = acme.jobs("POST", data=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["title"] == "BadRequestError"


@pytest.mark.parametrize("text", ["{", "[]", '"text"', ""])
def test_a_body_that_is_no_object_is_refused(acme: Client, text: str) -> None:
    answer = acme.jobs("POST", data=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_unknown_addresses_and_verbs(acme: Client) -> None:
    assert acme.send("GET", "/data/core/ups/nothing").status_code == 404
    assert acme.jobs("PUT", "/24115").status_code == 405
    assert acme.send("POST", "/data/foundation/catalog/dataSets", json={}).status_code == 405


def test_the_request_id_comes_back(acme: Client) -> None:
    assert acme.jobs(headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert acme.jobs().headers["x-request-id"]


def test_requests_are_recorded(client_of: Callable[[str, str], Client], emulator: Emulator) -> None:
    client = client_of("acme", "stage")
    client.jobs("POST", "/?a=1&a=2", json={"x": 1}, headers={"X-Request-Id": "mine"})
    record = emulator.requests[-1]
    assert (record.method, record.path, record.query) == ("POST", "/data/core/ups/export/jobs/", {"a": ["1", "2"]})
    assert (record.endpoint, record.sandbox, record.status) == ("jobs.create", "stage", 400)
    assert record.json == {"x": 1}
    assert record.headers["x-request-id"] == "mine"
    assert record.at == emulator.clock()
    listed = client.send("GET", "/_emulator/requests").json()
    assert listed[-1]["path"] == record.path
    assert client.send("DELETE", "/_emulator/requests").status_code == 204
    assert emulator.requests == []


def test_a_body_of_unknown_length_is_refused(acme: Client) -> None:
    answer = acme.jobs("POST", data=iter([b"{}"]), headers={"Content-Type": "application/json"})
    assert answer.status_code == 411
