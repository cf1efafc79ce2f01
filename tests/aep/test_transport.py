"""Headers, retries, refreshes and typed errors, against mocked answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses
import time_machine
from responses import RequestsMock

from segadmin.aep import (
    AEPError,
    AuthFailed,
    Conflict,
    Forbidden,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unavailable,
)
from tests.aep.support import API, ORG, Tokens, Waits, mocked_transport

PATH = "/data/core/ups/thing"
URL = API + PATH


@pytest.fixture
def adobe() -> Any:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def sent_headers(adobe: RequestsMock, number: int = 0) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in adobe.calls[number].request.headers.items()}


def test_get_sends_all_headers_and_a_fresh_request_id(adobe: RequestsMock) -> None:
    adobe.get(URL, json={"a": 1}, headers={"x-request-id": "adobe-7", "Date": "Tue, 06 Oct 2026 10:00:00 GMT"})
    transport = mocked_transport()
    first, second = transport.get(PATH, params={"limit": 2}), transport.get(PATH)
    headers = sent_headers(adobe)
    assert headers["authorization"] == "Bearer token-1"
    assert headers["x-api-key"] == "client-1"
    assert headers["x-gw-ims-org-id"] == ORG
    assert headers["x-sandbox-name"] == "prod"
    assert headers["accept"] == "application/json"
    assert "content-type" not in headers
    assert headers["x-request-id"] == first.request_id != second.request_id
    assert first.sent_request_ids == [first.request_id]
    assert first.json == {"a": 1}
    assert first.adobe_request_id == "adobe-7"
    assert first.date == datetime(2026, 10, 6, 10, tzinfo=UTC)
    assert adobe.calls[0].request.url == f"{URL}?limit=2"


def test_post_sends_json_with_its_content_type(adobe: RequestsMock) -> None:
    adobe.post(URL, json={"id": 1})
    mocked_transport().post(PATH, json={"fields": "a,b"})
    assert sent_headers(adobe)["content-type"] == "application/json"
    assert adobe.calls[0].request.body == b'{"fields": "a,b"}'


def test_without_a_sandbox_no_sandbox_header(adobe: RequestsMock) -> None:
    adobe.get(URL, json={})
    mocked_transport(sandbox_name=None).get(PATH)
    assert "x-sandbox-name" not in sent_headers(adobe)


def test_a_given_accept_header_wins_and_authorization_can_not_be_replaced(adobe: RequestsMock) -> None:
    adobe.get(URL, json={})
    mocked_transport().get(PATH, headers={"Accept": "application/x+json", "Authorization": "mine"})
    assert sent_headers(adobe)["accept"] == "application/x+json"
    assert sent_headers(adobe)["authorization"] == "Bearer token-1"


@pytest.mark.parametrize("api_url", [API, API + "/", API + "/data/core/ups", API + "/data/core/ups/"])
def test_the_api_address_may_be_written_in_several_ways(adobe: RequestsMock, api_url: str) -> None:
    adobe.get(URL, json={})
    assert mocked_transport(api_url=api_url).get(PATH).status == 200


def test_401_once_refreshes_the_token_and_repeats(adobe: RequestsMock) -> None:
    adobe.get(URL, status=401, json={"error_code": "401013", "message": "Oauth token is not valid"})
    adobe.get(URL, json={"a": 1})
    tokens = Tokens()
    reply = mocked_transport(tokens).get(PATH)
    assert tokens.refreshed == ["token-1"]
    assert sent_headers(adobe, 1)["authorization"] == "Bearer token-2"
    assert len(reply.sent_request_ids) == len(set(reply.sent_request_ids)) == 2


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_401_always_is_exactly_one_refresh(adobe: RequestsMock, method: str) -> None:
    adobe.add(method.upper(), URL, status=401, json={"error_code": "401013", "message": "Oauth token is not valid"})
    tokens = Tokens()
    with pytest.raises(AuthFailed) as caught:
        getattr(mocked_transport(tokens), method)(PATH)
    assert len(tokens.refreshed) == 1
    assert len(adobe.calls) == 2
    assert caught.value.status == 401
    assert caught.value.code == "401013"
    assert caught.value.adobe_message == "Oauth token is not valid"
    assert len(caught.value.sent_request_ids) == 2


def test_post_is_repeated_once_after_a_401(adobe: RequestsMock) -> None:
    adobe.post(URL, status=401)
    adobe.post(URL, json={"id": 5})
    reply = mocked_transport().post(PATH, json={"x": 1})
    assert reply.json == {"id": 5}
    assert [call.request.body for call in adobe.calls] == [b'{"x": 1}'] * 2
    assert len(reply.sent_request_ids) == 2


def test_post_whose_new_token_can_not_be_had_surely_did_nothing(adobe: RequestsMock) -> None:
    adobe.post(URL, status=401)
    with pytest.raises(AuthFailed) as caught:
        mocked_transport(Tokens(refusing=True)).post(PATH, json={})
    assert caught.value.not_sent
    assert len(caught.value.sent_request_ids) == 1


def test_403_is_neither_refreshed_nor_retried(adobe: RequestsMock) -> None:
    adobe.get(
        URL,
        status=403,
        json={"error_code": "403025", "message": "Profile is not valid"},
        headers={"x-request-id": "adobe-403"},
    )
    tokens = Tokens()
    with pytest.raises(Forbidden, match="not entitled") as caught:
        mocked_transport(tokens).get(PATH)
    assert not tokens.refreshed
    assert len(adobe.calls) == 1
    assert caught.value.adobe_request_id == "adobe-403"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_get_is_retried_with_backoff(adobe: RequestsMock, status: int) -> None:
    adobe.get(URL, status=status)
    adobe.get(URL, status=status)
    adobe.get(URL, json={"a": 1})
    waits = Waits()
    assert mocked_transport(waits=waits).get(PATH).json == {"a": 1}
    assert waits.slept == [0.5, 1.0]
    assert len({sent_headers(adobe, number)["x-request-id"] for number in range(3)}) == 3


def test_get_gives_up_after_four_sends(adobe: RequestsMock) -> None:
    adobe.get(URL, status=503)
    with pytest.raises(Unavailable) as caught:
        mocked_transport().get(PATH)
    assert len(adobe.calls) == len(caught.value.sent_request_ids) == 4
    assert caught.value.status == 503


def test_get_waits_end_with_the_deadline(adobe: RequestsMock) -> None:
    adobe.get(URL, status=503)
    waits = Waits()
    with pytest.raises(Unavailable):
        mocked_transport(waits=waits, deadline_seconds=1.2).get(PATH)
    assert sum(waits.slept) < 1.2
    assert len(adobe.calls) == 2


def test_get_is_retried_after_a_broken_connection(adobe: RequestsMock) -> None:
    adobe.get(URL, body=requests.ConnectionError(ConnectionResetError("reset")))
    adobe.get(URL, json={"a": 1})
    assert mocked_transport().get(PATH).json == {"a": 1}


def test_retry_after_within_the_deadline_is_honoured(adobe: RequestsMock) -> None:
    adobe.get(URL, status=429, headers={"Retry-After": "3"})
    adobe.get(URL, json={})
    waits = Waits()
    mocked_transport(waits=waits).get(PATH)
    assert waits.slept == [3.0]


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "120"}, {}, 120),
        ({"Retry-After": "Tue, 06 Oct 2026 10:02:00 GMT"}, {}, 120),
        # Adobe's clock runs ten minutes ahead of ours: the date is read against Adobe's own.
        ({"Retry-After": "Tue, 06 Oct 2026 10:12:00 GMT", "Date": "Tue, 06 Oct 2026 10:10:00 GMT"}, {}, 120),
        ({"Retry-After": "1000000000"}, {}, 3600),
        ({"Retry-After": "9" * 400}, {}, 3600),
        ({}, {"message": "slow down", "retryAfterMs": "90000", "statusCode": "429"}, 90),
        ({"Retry-After": "60"}, {"retryAfterMs": "90000"}, 60),
    ],
)
def test_a_long_retry_after_is_told_and_not_waited_for(
    adobe: RequestsMock, headers: dict[str, str], body: dict[str, str], seconds: int
) -> None:
    adobe.get(URL, status=429, headers=headers, json=body)
    waits = Waits()
    with time_machine.travel("2026-10-06T10:00:00Z", tick=False), pytest.raises(RateLimited) as caught:
        mocked_transport(waits=waits).get(PATH)
    assert caught.value.retry_at is not None
    assert (caught.value.retry_at - datetime(2026, 10, 6, 10, tzinfo=UTC)).total_seconds() == seconds
    assert waits.slept == []


@pytest.mark.parametrize("value", ["soon", "-5", "", "NaN", "1e9", "Tue, 99 Foo 2026"])
def test_a_garbage_retry_after_is_as_none(adobe: RequestsMock, value: str) -> None:
    adobe.get(URL, status=429, headers={"Retry-After": value})
    waits = Waits()
    with pytest.raises(RateLimited) as caught:
        mocked_transport(waits=waits).get(PATH)
    assert waits.slept == [0.5, 1.0, 2.0]
    assert caught.value.retry_at is not None


def test_503_with_a_long_retry_after_says_when(adobe: RequestsMock) -> None:
    adobe.get(URL, status=503, headers={"Retry-After": "600"})
    with pytest.raises(Unavailable) as caught:
        mocked_transport().get(PATH)
    assert caught.value.retry_at is not None
    assert len(adobe.calls) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, NotFound),
        (415, Rejected),
        (422, Rejected),
        (429, RateLimited),
        (302, OutcomeUnknown),
        (408, OutcomeUnknown),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (503, OutcomeUnknown),
        (504, OutcomeUnknown),
    ],
)
@pytest.mark.parametrize("method", ["post", "delete"])
def test_post_and_delete_are_never_repeated(
    adobe: RequestsMock, method: str, status: int, kind: type[AEPError]
) -> None:
    adobe.add(method.upper(), URL, status=status, json={"message": "said"}, headers={"Retry-After": "1"})
    tokens = Tokens()
    with pytest.raises(AEPError) as caught:
        getattr(mocked_transport(tokens), method)(PATH)
    assert type(caught.value) is kind
    assert len(adobe.calls) == 1
    assert not tokens.refreshed
    assert caught.value.status == status
    assert caught.value.adobe_message == "said"
    assert len(caught.value.sent_request_ids) == 1


@pytest.mark.parametrize(
    "broken",
    [
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut"),
        requests.exceptions.ConnectionError(ConnectionResetError("reset")),
    ],
)
def test_post_broken_after_sending_is_unknown(adobe: RequestsMock, broken: Exception) -> None:
    adobe.post(URL, body=broken)
    with pytest.raises(OutcomeUnknown) as caught:
        mocked_transport().post(PATH, json={})
    assert not caught.value.not_sent
    assert len(adobe.calls) == 1


def test_post_that_could_not_connect_surely_was_not_sent(adobe: RequestsMock) -> None:
    adobe.post(URL, body=requests.exceptions.ConnectTimeout("slow"))
    with pytest.raises(Unavailable) as caught:
        mocked_transport().post(PATH, json={})
    assert caught.value.not_sent
    assert "Nothing was sent" in caught.value.message


HTML = "<!DOCTYPE html><html><body>Sign in to canary-page</body></html>"


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "text/plain", ""])
def test_a_web_page_is_an_error_and_never_echoed(adobe: RequestsMock, content_type: str) -> None:
    adobe.get(URL, body=HTML, content_type=content_type)
    adobe.post(URL, body=HTML, content_type=content_type)
    with pytest.raises(Unavailable, match="web page") as reading:
        mocked_transport().get(PATH)
    with pytest.raises(OutcomeUnknown, match="web page") as writing:
        mocked_transport().post(PATH, json={})
    for error in (reading.value, writing.value):
        assert "canary" not in f"{error} {error.adobe_message} {error!r}"


def test_an_error_status_with_a_web_page_is_not_echoed_either(adobe: RequestsMock) -> None:
    adobe.get(URL, status=403, body=HTML, content_type="text/html")
    with pytest.raises(Forbidden) as caught:
        mocked_transport().get(PATH)
    assert caught.value.adobe_message == ""


@pytest.mark.parametrize("content_type", ["application/xml", "image/png", "application/octet-stream"])
def test_other_content_types_are_not_read(adobe: RequestsMock, content_type: str) -> None:
    adobe.get(URL, body=b'{"a": 1}', content_type=content_type)
    with pytest.raises(Unavailable, match="other than JSON"):
        mocked_transport().get(PATH)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/vnd.adobe.xed+json", ""])
def test_json_content_types_are_read(adobe: RequestsMock, content_type: str) -> None:
    adobe.get(URL, body=b'\xef\xbb\xbf{"a": "\xc3\xa9"}', content_type=content_type)
    assert mocked_transport().get(PATH).json == {"a": "é"}


@pytest.mark.parametrize("body", [b'{"a": 1', b"nonsense", b"\xff\xfe\x00", b"[" * 100_000])
def test_bad_json_is_unavailable_for_reading_and_unknown_for_writing(adobe: RequestsMock, body: bytes) -> None:
    adobe.get(URL, body=body, content_type="application/json")
    adobe.delete(URL, body=body, content_type="application/json")
    with pytest.raises(Unavailable):
        mocked_transport().get(PATH)
    with pytest.raises(OutcomeUnknown):
        mocked_transport().delete(PATH)


@pytest.mark.parametrize(
    ("content", "reading", "writing"),
    [
        ({"error_code": "403025", "message": "no"}, Forbidden, Forbidden),
        ({"errors": {"400": [{"code": 400, "message": "bad"}]}, "requestId": "r"}, Rejected, Rejected),
        ({"statusCode": "429", "message": "slow", "retryAfterMs": "5"}, RateLimited, RateLimited),
        ({"errorMessage": "no idea"}, Unavailable, OutcomeUnknown),
        ({"status": 503, "title": "down"}, Unavailable, OutcomeUnknown),
    ],
)
def test_an_error_object_on_success_is_an_error(
    adobe: RequestsMock, content: dict[str, Any], reading: type[AEPError], writing: type[AEPError]
) -> None:
    adobe.get(URL, json=content)
    adobe.post(URL, json=content)
    with pytest.raises(AEPError) as read:
        mocked_transport().get(PATH)
    with pytest.raises(AEPError) as written:
        mocked_transport().post(PATH, json={})
    assert type(read.value) is reading
    assert type(written.value) is writing
    assert len(adobe.calls) == 2


def test_empty_answers_are_no_errors(adobe: RequestsMock) -> None:
    adobe.get(URL, body=b"", content_type="text/html")
    adobe.delete(URL, status=204)
    assert mocked_transport().get(PATH).json is None
    assert mocked_transport().delete(PATH).status == 204


def test_the_token_is_struck_out_of_what_adobe_says(adobe: RequestsMock) -> None:
    adobe.get(URL, status=400, json={"message": "bad header: Bearer token-1", "error_code": "token-1"})
    with pytest.raises(Rejected) as caught:
        mocked_transport().get(PATH)
    assert caught.value.adobe_message == "bad header: Bearer ********"
    assert "token-1" not in str(vars(caught.value))


@pytest.mark.parametrize(
    "settings",
    [
        {"api_url": "https://evil.example"},
        {"api_url": "http://platform.adobe.io"},
        {"api_url": "https://platform.adobe.io:8443"},
        {"api_url": "http://127.0.0.1:9999"},
        {"client_id": "a\r\nX-Evil: 1"},
        {"ims_org_id": "org\n"},
        {"sandbox_name": "prod\u2028\u4e2d"},
    ],
)
def test_unusable_settings_send_nothing(adobe: RequestsMock, settings: dict[str, Any]) -> None:
    with pytest.raises(Unavailable) as caught:
        mocked_transport(**settings).post(PATH, json={})
    assert caught.value.not_sent
    assert len(adobe.calls) == 0


def test_a_body_that_is_no_json_sends_nothing(adobe: RequestsMock) -> None:
    with pytest.raises(Unavailable) as caught:
        mocked_transport().post(PATH, json={"a": float("nan")})
    assert caught.value.not_sent


class SlowTokens(Tokens):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def get(self) -> str:
        self.waits.sleep(12)
        return "token-1"


def test_post_is_not_begun_when_the_token_took_most_of_the_time(adobe: RequestsMock) -> None:
    waits = Waits()
    with pytest.raises(Unavailable) as caught:
        mocked_transport(SlowTokens(waits), waits).post(PATH, json={})
    assert caught.value.not_sent
    assert len(adobe.calls) == 0


def test_a_path_begins_with_a_slash() -> None:
    with pytest.raises(ValueError, match="slash"):
        mocked_transport().get("data")


@responses.activate
def test_cookies_are_not_kept() -> None:
    responses.get(URL, json={}, headers={"Set-Cookie": "session=1; Path=/"})
    transport = mocked_transport()
    transport.get(PATH)
    transport.get(PATH)
    assert "Cookie" not in responses.calls[1].request.headers
