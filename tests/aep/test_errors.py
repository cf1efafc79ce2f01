"""All the shapes of Adobe's error bodies, and any other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segadmin.aep import AEPError, Conflict, OutcomeUnknown, Rejected, parse_error
from segadmin.aep.errors import looks_like_error
from tests.aep.support import JOB

GATEWAY = {"error_code": "401013", "message": "Oauth token is not valid"}
PROBLEM = {"type": "/placeholder/type/uri", "status": 400, "title": "BadRequestError", "detail": "datasetId is needed"}
UPS = {
    "requestId": "ups-1",
    "errors": {"400": [{"code": 400, "message": "The audience is unknown"}]},
    "type": "https://ns.adobe.com/aep/errors/UPLIB-101206-500",
    "title": "Bad request",
    "status": 400,
}
UPS_INSIDE = {
    "requestId": "ups-2",
    "errors": {
        "404": [{"code": "UPAPI-1", "message": "Not there"}],
        "type": "https://ns.adobe.com/aep/errors/UPLIB-101554-503",
        "title": "Not found",
        "status": 404,
    },
}
PROFILE = {"message": "Too many", "cause": "quota", "retryAfterMs": "500", "statusCode": "429"}
FLOW = {"errorMessage": "Flow service says no"}
POLICY = {
    "type": "http://ns.adobe.com/aep/errors/POL-1",
    "title": "Policy violated",
    "status": 403,
    "report": {"tenantInfo": {}, "additionalContext": "more words"},
    "error-chain": [{"serviceId": "policy", "errorCode": "POL-1", "unixTimeStampMs": 1}],
}
IMS = {"error": "invalid_client", "error_description": "invalid client_secret parameter"}


@pytest.mark.parametrize(
    ("status", "body", "code", "message", "told_status"),
    [
        (401, GATEWAY, "401013", "Oauth token is not valid", 401),
        (400, PROBLEM, None, "datasetId is needed", 400),
        (500, UPS, "UPLIB-101206-500", "The audience is unknown", 400),
        (404, UPS_INSIDE, "UPLIB-101554-503", "Not there", 404),
        (429, PROFILE, None, "Too many", 429),
        (400, FLOW, None, "Flow service says no", 400),
        (403, POLICY, "POL-1", "Policy violated", 403),
        (400, IMS, "invalid_client", "invalid client_secret parameter", 400),
        (500, {"message": json.dumps(POLICY)}, "POL-1", "Policy violated", 403),
        (500, {"errors": {"500": [{"message": json.dumps(GATEWAY)}]}}, "401013", "Oauth token is not valid", 500),
        (503, None, None, "", 503),
        (503, b"", None, "", 503),
        (503, b"upstream connect error", None, "upstream connect error", 503),
        (503, b"{broken", None, "", 503),
        (503, [1, "x"], None, "", 503),
    ],
)
def test_error_bodies(status: int, body: Any, code: str | None, message: str, told_status: int) -> None:
    for form in (body, json.dumps(body).encode() if isinstance(body, dict | list) else body):
        details = parse_error(status, {}, form)
        assert (details.code, details.message, details.status) == (code, message, told_status)


def test_the_words_under_the_http_code_are_told_when_there_are_no_others() -> None:
    details = parse_error(400, {}, {"errors": {"400": [{"code": "400", "message": "The audience is unknown"}]}})
    assert (details.message, details.code) == ("The audience is unknown", "400")


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"X-Request-Id": "h"}, UPS, "h"),
        ({}, UPS, "ups-1"),
        ({"x-adobe-request-id": "a"}, {}, "a"),
        ({}, {"requestId": 5}, "5"),
        ({}, {"requestId": ["x"]}, None),
        ({"x-request-id": "a\nb" + "c" * 300}, {}, "a b" + "c" * 197),
    ],
)
def test_request_ids(headers: dict[str, str], body: Any, expected: str | None) -> None:
    assert parse_error(500, headers, body).request_id == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PROBLEM, {"destination.datasetId": "datasetId is needed"}),
        ({"message": "schema.name must be given"}, {"schema.name": "schema.name must be given"}),
        ({"message": "no idea"}, {}),
        ({"message": "Dataset x does not exist"}, {"destination.datasetId": "Dataset x does not exist"}),
        ({"message": "Segment definition x was not found"}, {"filter.segments": "Segment definition x was not found"}),
        ({"message": "The merge policy of the segment is gone"}, {}),
        ({"errors": [{"field": "fields", "message": "unknown path"}]}, {"fields": "unknown path"}),
        (
            {"errors": {"422": [{"code": 422, "message": "bad", "path": "/mergePolicy/id"}]}},
            {"mergePolicy.id": "bad"},
        ),
        ({"invalid-params": [{"name": "datasetId", "reason": "unknown"}]}, {"destination.datasetId": "unknown"}),
        ({"fieldErrors": {"datasetId": ["unknown", "x"]}}, {"destination.datasetId": "unknown"}),
        ({"violations": [{"field": "x.y", "message": "odd"}, {"field": 7}, 8]}, {"x.y": "odd"}),
    ],
)
def test_fields_that_are_named(body: Any, expected: dict[str, str]) -> None:
    assert parse_error(422, {}, body).field_errors == expected


def test_adobes_words_are_one_short_line_without_markup() -> None:
    assert parse_error(500, {}, {"message": "a\r\nb\x00\x1bc\u2028d"}).message == "a b c d"
    assert len(parse_error(500, {}, {"message": "x" * 9000}).message) == 2000
    assert parse_error(500, {}, b"<html><body>canary</body></html>").message == ""
    assert parse_error(500, {}, {"message": "<!DOCTYPE html><p>canary"}).message == ""
    assert parse_error(500, {}, {"message": "<script>is kept as text?</script>", "detail": ""}).message == ""


NAMES = (
    "errors error message detail error_code code status statusCode type title report error-chain "
    "requestId retryAfterMs errorCode 400 500 violations field"
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES.split(" ")), inner, max_size=6),
)


@given(st.integers(100, 599), anything | st.binary(max_size=50), st.dictionaries(st.text(max_size=9), st.text()))
def test_parsing_never_raises(status: int, body: Any, headers: dict[str, str]) -> None:
    details = parse_error(status, headers, body)
    assert len(details.message) <= 2000
    assert details.message.isprintable() or not details.message.isascii()
    looks_like_error(body)


@pytest.mark.parametrize("body", [GATEWAY, PROBLEM, UPS, UPS_INSIDE, PROFILE, FLOW, POLICY, IMS])
def test_error_objects_are_known(body: dict[str, Any]) -> None:
    assert looks_like_error(body)


@pytest.mark.parametrize(
    "content",
    [
        JOB,
        {"records": [], "errors": {"400": []}},
        {"children": [], "status": 500},
        {"status": True, "message": "Export job has been marked for cancelling"},
        {"status": "SUCCEEDED", "errors": [{"code": "1"}]},
        {"5c8c3c555033b814b69f947f": {"name": "x", "errors": {"400": 1}}},
        {"title": "XDM Individual Profile", "type": "object", "properties": {}},
        {"estimatedSize": 5, "state": "RESULT_READY", "error": {"description": "", "traceback": ""}},
        {"results": {"a": {"errors": {"404": []}}}},
        [],
        None,
        "error",
    ],
)
def test_other_objects_are_not_taken_for_errors(content: Any) -> None:
    assert not looks_like_error(content)


def test_errors_can_be_copied() -> None:
    error = Conflict("m", status=409, code="c", adobe_message="a", adobe_request_id="r", sent_request_ids=["x"])
    again = error.copy()
    assert again is not error
    assert type(again) is Conflict
    assert vars(again) == vars(error)
    assert str(again) == "m"


def test_the_family() -> None:
    assert issubclass(Conflict, Rejected)
    assert issubclass(Rejected, AEPError)
    assert not issubclass(OutcomeUnknown, Rejected)
    assert not AEPError("m").not_sent
