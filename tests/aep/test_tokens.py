"""Access tokens: one refresh however many ask, typed errors that name the step, no storm."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import responses
import time_machine
from responses import RequestsMock

from segadmin.aep import (
    AccessToken,
    AEPError,
    AuthFailed,
    ClientCredentials,
    MemoryTokenStore,
    PastedToken,
    RateLimited,
    Transport,
    Unavailable,
)
from tests.aep.support import CANARY, real_transport
from tests.aep.wire import Behaviour, Serve, WireServer, answer, hang

URL = "https://ims-na1.adobelogin.com/ims/token/v3"
NOW = datetime(2026, 10, 6, 10, tzinfo=UTC)


@pytest.fixture
def ims() -> Any:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture(autouse=True)
def frozen(request: pytest.FixtureRequest) -> Iterator[None]:
    """These tests are about dates, so time stands still, except where threads and servers need a clock."""
    if "serve" in request.fixturenames:
        yield
        return
    with time_machine.travel(NOW, tick=False):
        yield


def source(store: MemoryTokenStore | None = None, url: str = URL, **settings: Any) -> ClientCredentials:
    return ClientCredentials(
        url, "client-1", CANARY, "openid,AdobeID , read_organizations", store or MemoryTokenStore(), **settings
    )


def token(**values: Any) -> dict[str, Any]:
    return {"access_token": "fresh-token", "token_type": "bearer", "expires_in": 86399, **values}


def test_the_secret_travels_in_the_body(ims: RequestsMock) -> None:
    ims.post(URL, json=token())
    assert source().get() == "fresh-token"
    request = ims.calls[0].request
    assert request.url == URL
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(str(request.body)) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client-1"],
        "client_secret": [CANARY],
        "scope": ["openid,AdobeID,read_organizations"],
    }


def test_the_token_is_kept_and_shared(ims: RequestsMock) -> None:
    ims.post(URL, json=token())
    store = MemoryTokenStore()
    assert [source(store).get() for _ in range(3)] == ["fresh-token"] * 3
    assert len(ims.calls) == 1


@pytest.mark.parametrize(
    ("expires_in", "used_for"),
    [
        (86399, timedelta(hours=23)),
        (86399992, timedelta(hours=23)),
        ("86399992", timedelta(hours=23)),
        (3600, timedelta(minutes=55)),
        (7_200_000, timedelta(minutes=115)),
        (1500, timedelta(minutes=20)),
        (100, timedelta(seconds=80)),
        (10**15, timedelta(hours=23)),
        (1e308, timedelta(hours=23)),
    ],
)
def test_until_when_a_token_is_used(ims: RequestsMock, expires_in: object, used_for: timedelta) -> None:
    ims.post(URL, json=token(expires_in=expires_in))
    store = MemoryTokenStore()
    source(store).get()
    kept = store.load()
    assert kept is not None
    assert kept.expires_at == NOW + used_for


@pytest.mark.parametrize("expires_in", [None, "", "soon", 0, -5, True, [], {}, "nan"])
def test_no_usable_expires_in_is_taken_for_an_hour(
    ims: RequestsMock, caplog: pytest.LogCaptureFixture, expires_in: object
) -> None:
    ims.post(URL, json=token(expires_in=expires_in))
    store = MemoryTokenStore()
    with caplog.at_level(logging.WARNING):
        source(store).get()
    kept = store.load()
    assert kept is not None
    assert kept.expires_at == NOW + timedelta(minutes=55)
    assert "one hour is assumed" in caplog.text
    assert "fresh-token" not in caplog.text


def test_a_token_is_renewed_when_it_is_due(ims: RequestsMock) -> None:
    ims.post(URL, json=token())
    store = MemoryTokenStore(AccessToken("old", NOW))
    assert source(store).get() == "fresh-token"


def test_refresh_does_nothing_when_somebody_else_has_refreshed(ims: RequestsMock) -> None:
    store = MemoryTokenStore(AccessToken("newer", NOW + timedelta(hours=1)))
    assert source(store).refresh("older") == "newer"
    assert len(ims.calls) == 0


def test_refresh_fetches_when_the_kept_one_is_the_rejected_one(ims: RequestsMock) -> None:
    ims.post(URL, json=token())
    store = MemoryTokenStore(AccessToken("kept", NOW + timedelta(hours=1)))
    assert source(store).refresh("kept") == "fresh-token"


def test_an_old_token_is_used_while_another_process_renews_it() -> None:
    store = MemoryTokenStore(AccessToken("old", NOW - timedelta(seconds=5)))
    assert store.claim(30)
    assert source(store).get() == "old"


def test_a_blip_of_the_token_service_does_not_hurt_while_the_old_token_lasts(ims: RequestsMock) -> None:
    ims.post(URL, status=503)
    store = MemoryTokenStore(AccessToken("old", NOW - timedelta(seconds=5)))
    assert source(store).get() == "old"
    assert source(store).get() == "old"
    assert len(ims.calls) == 1


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, {"error": "invalid_client", "error_description": "invalid client_secret parameter"}),
        (401, {"error": "invalid_client"}),
        (400, {"error": "invalid_scope", "error_description": "unknown scope"}),
        (200, {"error": "unauthorized_client"}),
    ],
)
def test_refused_credentials_name_the_step_and_are_not_tried_again_at_once(
    ims: RequestsMock, status: int, content: dict[str, str]
) -> None:
    ims.post(URL, status=status, json=content)
    store = MemoryTokenStore()
    for _ in range(3):
        with pytest.raises(AuthFailed, match="Getting an access token") as caught:
            source(store).get()
        assert content["error"] in caught.value.message
        assert caught.value.code == content["error"]
        assert caught.value.retry_at == NOW + timedelta(seconds=60)
    assert len(ims.calls) == 1


@pytest.mark.parametrize(
    "answered",
    [
        {"status": 500},
        {"status": 503, "json": {"errorMessage": "down"}},
        {"status": 200, "body": "<html>canary-page</html>", "content_type": "text/html"},
        {"status": 200, "body": "nonsense", "content_type": "application/json"},
        {"status": 200, "json": {"token_type": "bearer"}},
        {"status": 200, "json": ["no", "object"]},
        {"status": 200, "json": {"access_token": "two\nlines"}},
        {"status": 200, "json": {"access_token": 7}},
        {"status": 302, "headers": {"Location": "https://evil.example/"}},
        {"status": 404},
    ],
)
def test_no_usable_answer_backs_off_and_heals(ims: RequestsMock, answered: dict[str, Any]) -> None:
    ims.post(URL, **answered)
    store = MemoryTokenStore()
    for _ in range(5):
        with pytest.raises(Unavailable, match="Getting an access token") as caught:
            source(store).get()
        assert "canary" not in f"{caught.value!r}{caught.value.adobe_message}"
    assert len(ims.calls) == 1
    ims.replace(responses.POST, URL, json=token())
    with time_machine.travel(NOW + timedelta(seconds=31), tick=False):
        assert source(store).get() == "fresh-token"


def test_too_many_token_requests_wait_as_asked(ims: RequestsMock) -> None:
    ims.post(URL, status=429, headers={"Retry-After": "300"})
    with pytest.raises(RateLimited) as caught:
        source().get()
    assert caught.value.retry_at == NOW + timedelta(seconds=300)


def test_a_token_address_that_is_not_allowed_is_not_called(ims: RequestsMock) -> None:
    with pytest.raises(Unavailable, match="not among the allowed ones"):
        source(url="https://evil.example/token").get()
    assert len(ims.calls) == 0


def test_the_secret_can_come_from_a_function_called_only_when_needed(ims: RequestsMock) -> None:
    asked: list[int] = []

    def secret() -> str:
        asked.append(1)
        return CANARY

    ims.post(URL, json=token())
    store = MemoryTokenStore(AccessToken("kept", NOW + timedelta(hours=1)))
    lazy = ClientCredentials(URL, "client-1", secret, ["openid", "AdobeID"], store)
    assert lazy.get() == "kept"
    assert not asked
    assert lazy.refresh("kept") == "fresh-token"
    assert asked == [1]
    assert "scope=openid%2CAdobeID" in str(ims.calls[0].request.body)


def test_a_secret_echoed_by_the_token_service_is_struck_out(ims: RequestsMock) -> None:
    ims.post(URL, status=400, json={"error": "invalid_client", "error_description": f"bad secret {CANARY}"})
    store = MemoryTokenStore()
    credentials = source(store)
    with pytest.raises(AuthFailed) as caught:
        credentials.get()
    assert caught.value.adobe_message == "bad secret ********"
    assert CANARY not in f"{credentials!r}{caught.value!r}{vars(caught.value)}"


def test_a_token_is_not_in_its_repr() -> None:
    kept = AccessToken(CANARY, NOW)
    assert CANARY not in f"{kept!r} {kept}"


def test_a_pasted_token() -> None:
    pasted = PastedToken("  abc\n def ", NOW + timedelta(seconds=1))
    assert pasted.get() == "abcdef"
    with pytest.raises(AuthFailed, match="Paste a new one"):
        pasted.refresh("abcdef")
    assert CANARY not in repr(PastedToken(CANARY, NOW))


@pytest.mark.parametrize(
    ("value", "ends", "words"),
    [("abc", NOW, "has expired"), ("", NOW.replace(year=2027), "characters"), ("ä", NOW, "characters")],
)
def test_an_unusable_pasted_token_says_so(value: str, ends: datetime, words: str) -> None:
    with pytest.raises(AuthFailed, match=words):
        PastedToken(value, ends).get()


# With real servers and threads --------------------------------------------------------------------------------------


def at(server: WireServer, store: MemoryTokenStore, **settings: Any) -> ClientCredentials:
    return source(
        store,
        url=f"{server.url}/ims/token/v3",
        allowed_hosts={server.place},
        **{"deadline_seconds": 5.0, **settings},
    )


def released_by(gate: threading.Event, inner: Behaviour) -> Behaviour:
    def behave(exchange: Any) -> bool:
        gate.wait(5)
        return inner(exchange)

    return behave


def test_eight_threads_make_one_token_call(serve: Serve) -> None:
    gate = threading.Event()
    server = serve(released_by(gate, answer(token())))
    store, got, ready = MemoryTokenStore(), list[str](), threading.Barrier(9)

    def work() -> None:
        mine = at(server, store)
        ready.wait(5)
        got.append(mine.get())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    ready.wait(5)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert got == ["fresh-token"] * 8
    assert len(server.seen) == 1


def test_eight_threads_after_a_failure_make_no_storm(serve: Serve) -> None:
    server = serve(answer({"error": "server_error"}, status=500))
    store, errors, ready = MemoryTokenStore(), list[AEPError](), threading.Barrier(8)

    def work() -> None:
        ready.wait(5)
        try:
            at(server, store).get()
        except AEPError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(server.seen) == 1
    assert len({id(error) for error in errors}) == 8


def test_a_holder_that_died_is_followed_by_another(serve: Serve) -> None:
    server = serve(answer(token()))
    store = MemoryTokenStore()
    assert store.claim(0.3)  # and never heard of again
    assert at(server, store).get() == "fresh-token"


def test_waiting_for_a_holder_ends_with_the_deadline(serve: Serve) -> None:
    server = serve(answer(token()))
    store = MemoryTokenStore()
    assert store.claim(60)
    with pytest.raises(Unavailable, match="another process"):
        at(server, store, deadline_seconds=0.3).get()
    assert not server.seen


def test_a_token_service_that_hangs_ends_with_the_deadline_of_the_call(serve: Serve) -> None:
    tokens, api = serve(hang), serve(answer({}))
    credentials = at(tokens, MemoryTokenStore(), deadline_seconds=30.0)
    transport: Transport = real_transport(api.place, credentials, deadline_seconds=0.6)
    with pytest.raises(Unavailable, match="Getting an access token") as caught:
        transport.post("/x", json={})
    assert caught.value.not_sent
    assert not api.seen


def test_the_secret_never_reaches_an_address_or_a_header(serve: Serve) -> None:
    server = serve(answer(token()))
    at(server, MemoryTokenStore()).get()
    seen = server.seen[0]
    assert CANARY.encode() in seen.body
    assert CANARY.encode() not in seen.raw.removesuffix(seen.body)
