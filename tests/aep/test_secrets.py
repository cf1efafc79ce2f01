"""A canary for a secret: it reaches Adobe where it must, and nothing that anybody prints."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from segadmin.aep import AEPError, ClientCredentials, Connection, MemoryTokenStore, PastedToken
from tests.aep.support import CANARY, ORG, real_transport
from tests.aep.wire import Behaviour, Serve, answer, lose, raw


def printed(error: BaseException) -> str:
    """Everything that a log or an error page could show of an error, its causes and its attributes."""
    parts = traceback.format_exception(error)
    seen: BaseException | None = error
    while seen is not None:
        parts += [repr(seen), str(seen), repr(vars(seen)), repr(seen.args)]
        seen = seen.__cause__
    return "".join(parts)


ECHO = {"message": f"rejected {CANARY}", "error_code": CANARY, "requestId": CANARY}
FAULTS: list[Behaviour] = [
    answer(ECHO, status=400),
    answer(ECHO, status=401),
    answer(ECHO, status=403, x_request_id=CANARY),
    answer(ECHO, status=500),
    answer({"error": CANARY, "error_description": CANARY}, status=400),
    answer({"fieldErrors": {CANARY: CANARY}}, status=422),
    answer(CANARY.encode(), status=502),
    answer(ECHO),
    answer(CANARY.encode()),
    answer(f"<html>{CANARY}</html>".encode(), Content_Type="text/html"),
    answer({}, status=302, Location=f"https://evil.example/{CANARY}"),
    raw(f"HTTP/1.1 {CANARY}\r\n\r\n".encode()),
    raw(f"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{CANARY}".encode()),
    raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode()),
    lose,
]


@pytest.mark.parametrize("behaviour", FAULTS)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_access_token_is_never_printed(
    serve: Serve, caplog: pytest.LogCaptureFixture, behaviour: Behaviour, method: str
) -> None:
    server = serve(behaviour)
    pasted = PastedToken(CANARY, datetime.now(UTC) + timedelta(hours=1))
    transport = real_transport(server.place, pasted)
    with caplog.at_level(logging.DEBUG), pytest.raises(AEPError) as caught:
        getattr(transport, method)("/data/core/ups/thing")
    assert CANARY not in printed(caught.value)
    assert CANARY not in caplog.text
    assert CANARY not in f"{transport!r}{pasted!r}{vars(transport)}"
    assert f"Bearer {CANARY}" == server.seen[0].headers["authorization"]


@pytest.mark.parametrize("behaviour", FAULTS)
def test_a_client_secret_is_never_printed(serve: Serve, caplog: pytest.LogCaptureFixture, behaviour: Behaviour) -> None:
    server = serve(behaviour)
    store = MemoryTokenStore()
    credentials = ClientCredentials(
        f"{server.url}/token", "client-1", CANARY, "openid", store, allowed_hosts={server.place}
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(AEPError) as caught:
        credentials.get()
    blocked = store.blocked()
    assert blocked is not None
    assert CANARY not in printed(caught.value) + printed(blocked)
    assert CANARY not in caplog.text
    assert CANARY not in repr(credentials)
    assert CANARY.encode() in server.seen[0].body


def test_a_minted_token_is_never_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(answer({"access_token": CANARY, "expires_in": "odd"}), answer({"error_code": "403000"}, status=403))
    store = MemoryTokenStore()
    credentials = ClientCredentials(
        f"{server.url}/token", "client-1", "secret-x", "openid", store, allowed_hosts={server.place}
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(AEPError) as caught:
        real_transport(server.place, credentials).get("/x")
    assert CANARY not in printed(caught.value) + caplog.text + repr(store.load())


@pytest.mark.parametrize("make", [lambda: f"http://user:{CANARY}@127.0.0.1:1"])
def test_a_proxy_password_is_never_printed(make: Callable[[], str]) -> None:
    connection = Connection("https://platform.adobe.io", "client-1", ORG, proxy=make())
    assert CANARY not in repr(connection)
    transport = real_transport(
        "platform.adobe.io", scheme="https", proxy=make(), allowed_hosts=frozenset({"platform.adobe.io"})
    )
    with pytest.raises(AEPError) as caught:
        transport.post("/x", json={})
    assert caught.value.not_sent
    assert CANARY not in printed(caught.value)
