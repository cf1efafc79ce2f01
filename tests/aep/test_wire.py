"""Faults on the wire, from a server on raw sockets: how each ends, how soon, and that nothing leaks."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc

import pytest

from segadmin.aep import (
    AEPError,
    AuthFailed,
    ExportJobsReader,
    ExportJobsWriter,
    OutcomeUnknown,
    Rejected,
    Transport,
    Unavailable,
)
from tests.aep.support import JOB, Tokens, real_transport
from tests.aep.wire import (
    Behaviour,
    Serve,
    answer,
    drip,
    endless,
    gzip_bomb,
    hang,
    head,
    lose,
    raw,
    reset,
)

PATH = "/data/core/ups/thing"
SHORT = 0.6
# Far above what a deadline of SHORT needs, far below what a missing one would take.
SOON = 4.0


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ends_soon(call: object) -> AEPError:
    begun = time.monotonic()
    with pytest.raises(AEPError) as caught:
        call()  # type: ignore[operator]
    assert time.monotonic() - begun < SOON
    return caught.value


JSON_HEAD = head(200, {"Content-Type": "application/json", "Content-Length": "400"})
DRIPPED_HEADERS = drip(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Long: " + b"a" * 2000)
DRIPPED_BODY = drip(JSON_HEAD[:20] + JSON_HEAD[20:] + b" " * 400)
CUT = raw(JSON_HEAD + b'{"id": 1')
ENDLESS_HEADERS = endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"a" * 1000 + b"\r\n")
ENDLESS_BODY = endless(head(200, {"Content-Type": "application/json"}), b" " * 65536)

SLOW: list[Behaviour] = [hang, DRIPPED_HEADERS, DRIPPED_BODY]


@pytest.mark.parametrize("behaviour", SLOW)
def test_the_deadline_bounds_everything_for_get(serve: Serve, behaviour: Behaviour) -> None:
    server = serve(behaviour)
    error = ends_soon(lambda: real_transport(server.place, deadline_seconds=SHORT).get(PATH))
    assert isinstance(error, Unavailable)
    assert error.code == "deadline"
    assert not error.not_sent
    assert len(server.seen) == 1


@pytest.mark.parametrize("method", ["post", "delete"])
@pytest.mark.parametrize("behaviour", SLOW)
def test_the_deadline_leaves_a_write_unknown(serve: Serve, method: str, behaviour: Behaviour) -> None:
    server = serve(behaviour)
    error = ends_soon(lambda: getattr(real_transport(server.place, deadline_seconds=SHORT), method)(PATH))
    assert isinstance(error, OutcomeUnknown)
    assert error.code == "deadline"
    assert len(server.seen) == 1
    assert error.sent_request_ids == [server.seen[0].headers["x-request-id"]]


def test_headers_cut_at_the_deadline_are_no_clean_answer(serve: Serve) -> None:
    """`http.client` would make a 204 without further headers of this, and the write would look acknowledged."""
    server = serve(drip(b"HTTP/1.1 204 No Content\r\nX-Long: " + b"a" * 2000))
    error = ends_soon(lambda: real_transport(server.place, deadline_seconds=SHORT).delete(PATH))
    assert isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize(
    "behaviour",
    [lose, reset, CUT, raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), raw(b"nonsense\r\n\r\n"), ENDLESS_HEADERS],
)
def test_broken_answers(serve: Serve, behaviour: Behaviour) -> None:
    server = serve(behaviour)
    transport = real_transport(server.place)
    assert isinstance(ends_soon(lambda: ExportJobsReader(transport).list()), Unavailable)
    before = len(server.seen)
    assert isinstance(ends_soon(lambda: ExportJobsWriter(transport).create({"fields": "a"})), OutcomeUnknown)
    assert len(server.seen) == before + 1


@pytest.mark.parametrize("behaviour", [lose, reset, CUT])
def test_a_broken_get_is_repeated_and_heals(serve: Serve, behaviour: Behaviour) -> None:
    server = serve(behaviour, answer({"fine": True}))
    assert real_transport(server.place).get(PATH).json == {"fine": True}
    assert [seen.method for seen in server.seen] == ["GET", "GET"]


def test_lost_answer_after_the_job_was_made(serve: Serve) -> None:
    server = serve(lose, answer({"records": [JOB], "link": {}}))
    writer = ExportJobsWriter(real_transport(server.place))
    assert isinstance(ends_soon(lambda: writer.create({"fields": "a"})), OutcomeUnknown)
    assert [job.id for job in writer.list().jobs] == ["100"]
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(b'"' + b"a" * 3_000_000 + b'"'),
        raw(head(200, {"Content-Type": "application/json", "Content-Length": str(10**12)}) + b"{"),
        ENDLESS_BODY,
        gzip_bomb(50_000_000),
    ],
)
def test_the_size_cap(serve: Serve, behaviour: Behaviour) -> None:
    server = serve(behaviour)
    transport = real_transport(server.place, max_bytes=1_000_000)
    read = ends_soon(lambda: transport.get(PATH))
    assert isinstance(read, Unavailable)
    assert read.code == "too_large"
    assert isinstance(ends_soon(lambda: transport.post(PATH, json={})), OutcomeUnknown)
    assert len(server.seen) == 2


def test_a_gzip_bomb_takes_no_more_memory_than_the_cap(serve: Serve) -> None:
    server = serve(gzip_bomb(200_000_000))
    transport = real_transport(server.place, max_bytes=2_000_000)
    tracemalloc.start()
    try:
        ends_soon(lambda: transport.get(PATH))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_compressed_answer_within_the_cap_is_read(serve: Serve) -> None:
    packed = gzip.compress(b'{"fine": true}')
    server = serve(answer(packed, Content_Encoding="gzip"), answer(b"not gzip at all", Content_Encoding="gzip"))
    transport = real_transport(server.place)
    assert transport.get(PATH).json == {"fine": True}
    assert ends_soon(lambda: transport.get(PATH)).code == "decode"


def test_connection_refused_surely_sent_nothing() -> None:
    transport = real_transport(f"127.0.0.1:{closed_port()}")
    for call in (lambda: transport.post(PATH, json={}), lambda: transport.delete(PATH)):
        error = ends_soon(call)
        assert isinstance(error, Unavailable)
        assert (error.code, error.not_sent) == ("refused", True)
    read = ends_soon(lambda: transport.get(PATH))
    assert (read.code, read.not_sent, len(read.sent_request_ids)) == ("refused", False, 4)


@pytest.fixture
def names_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.usefixtures("names_fail")
def test_a_name_that_does_not_resolve_surely_sent_nothing() -> None:
    transport = real_transport("platform.adobe.io", scheme="https")
    error = ends_soon(lambda: transport.post(PATH, json={}))
    assert isinstance(error, Unavailable)
    assert (error.code, error.not_sent) == ("dns", True)
    assert "could not be resolved" in error.message


def test_a_name_lookup_that_hangs_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    transport = real_transport("platform.adobe.io", scheme="https", deadline_seconds=SHORT)
    error = ends_soon(lambda: transport.post(PATH, json={}))
    release.set()
    assert isinstance(error, Unavailable)
    assert error.not_sent


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",  # noqa: S104 - refused, not bound to
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "fe80::1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "224.0.0.1",
    ],
)
def test_a_name_that_leads_to_a_private_address_is_not_called(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(family, socket.SOCK_STREAM, 6, "", (address, 443))])
    transport = real_transport("platform.adobe.io", scheme="https", allowed_hosts=frozenset({"platform.adobe.io"}))
    error = ends_soon(lambda: transport.post(PATH, json={}))
    assert isinstance(error, Unavailable)
    assert (error.code, error.not_sent) == ("address", True)


def test_the_address_that_the_socket_is_connected_to_has_the_last_word(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that changes its mind between check and use: the check is made on the socket itself."""
    server = serve(answer({}))
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))]
    )

    def connect(*_: object, **__: object) -> socket.socket:
        sock = socket.socket()
        sock.connect(("127.0.0.1", server.port))
        return sock

    monkeypatch.setattr("segadmin.aep.connections.create_connection", connect)
    transport = real_transport("platform.adobe.io", scheme="https", allowed_hosts=frozenset({"platform.adobe.io"}))
    assert ends_soon(lambda: transport.post(PATH, json={})).code == "address"
    assert not server.seen


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_and_nothing_leaks(serve: Serve, status: int) -> None:
    other = serve(answer({"stolen": True}))
    server = serve(answer({}, status=status, Location=f"{other.url}/steal"))
    transport = real_transport(server.place, allowed_hosts=frozenset({server.place, other.place}))
    read = ends_soon(lambda: transport.get(PATH))
    written = ends_soon(lambda: transport.post(PATH, json={}))
    assert isinstance(read, Unavailable)
    assert isinstance(written, OutcomeUnknown)
    assert read.code == written.code == "redirect"
    assert other.connections == 0
    assert len(server.seen) == 2


def test_reading_keeps_its_connection_and_writing_takes_a_fresh_one(serve: Serve) -> None:
    server = serve(answer({"id": 1}))
    transport = real_transport(server.place)
    transport.get(PATH)
    transport.get(PATH)
    transport.post(PATH, json={})
    transport.delete(PATH)
    transport.get(PATH)
    assert [seen.connection for seen in server.seen] == [1, 1, 2, 3, 1]


def test_a_stale_kept_connection_does_not_hurt(serve: Serve) -> None:
    """The server says keep-alive and closes anyway. Reading tries again, writing never used that connection."""
    server = serve(answer({"id": 1}, keep=False))
    transport = real_transport(server.place)
    for _ in range(3):
        assert transport.get(PATH).json == {"id": 1}
    assert transport.post(PATH, json={}).json == {"id": 1}
    assert [seen.method for seen in server.seen].count("POST") == 1


def test_the_environment_is_not_looked_at(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server, proxy = serve(answer({})), serve(answer({}))
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password canary\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    real_transport(server.place).get(PATH)
    assert proxy.connections == 0
    assert server.seen[0].headers["authorization"] == "Bearer token-1"


def test_an_explicit_proxy_is_used(serve: Serve) -> None:
    proxy = serve(answer({"through": "proxy"}))
    transport = real_transport(f"127.0.0.1:{closed_port()}", proxy=proxy.url)
    assert transport.get(PATH).json == {"through": "proxy"}
    assert proxy.seen[0].target.startswith("http://127.0.0.1:")


def test_a_proxy_that_refuses_the_tunnel_surely_sent_nothing(serve: Serve) -> None:
    proxy = serve(raw(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"))
    transport = real_transport(
        "platform.adobe.io",
        scheme="https",
        proxy=f"http://user:canary@{proxy.place}",
        allowed_hosts=frozenset({"platform.adobe.io"}),
    )
    error = ends_soon(lambda: transport.post(PATH, json={}))
    assert isinstance(error, Unavailable)
    assert (error.code, error.not_sent) == ("proxy", True)
    assert proxy.seen[0].method == "CONNECT"
    assert b"token-1" not in proxy.seen[0].raw
    assert "canary" not in f"{error!r} {transport!r}"


def test_ids_arrive_as_one_path_segment(serve: Serve) -> None:
    job_id = "a/b?c#d e%2F..;=&ü"
    server = serve(answer({**JOB, "id": job_id}))
    assert ExportJobsReader(real_transport(server.place)).retrieve(job_id).id == job_id
    assert server.seen[0].target == "/data/core/ups/export/jobs/a%2Fb%3Fc%23d%20e%252F..%3B%3D%26%C3%BC"


@pytest.mark.parametrize("job_id", ["", ".", "..", "a\r\nX-Evil: 1", "a\x00", "a" * 201])
def test_ids_that_no_path_can_carry_are_refused_before_any_call(serve: Serve, job_id: str) -> None:
    server = serve(answer({}))
    writer = ExportJobsWriter(real_transport(server.place))
    for call in (writer.retrieve, writer.cancel):
        with pytest.raises(ValueError, match="The id"):
            call(job_id)
    assert server.connections == 0


def test_both_sends_of_a_401_reach_the_server_with_their_own_ids(serve: Serve) -> None:
    server = serve(answer({"error_code": "401013"}, status=401), answer(JOB))
    reply = ExportJobsWriter(real_transport(server.place)).create({"fields": "a"})
    assert [seen.headers["x-request-id"] for seen in server.seen] == reply.sent_request_ids
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer token-1", "Bearer token-2"]
    assert [seen.json() for seen in server.seen] == [{"fields": "a"}] * 2
    assert server.seen[0].connection != server.seen[1].connection


def test_a_second_send_that_breaks_is_unknown(serve: Serve) -> None:
    server = serve(answer({}, status=401), lose)
    error = ends_soon(lambda: real_transport(server.place).post(PATH, json={}))
    assert isinstance(error, OutcomeUnknown)
    assert len(error.sent_request_ids) == len(server.seen) == 2


def test_one_transport_serves_many_threads(serve: Serve) -> None:
    server = serve(answer({"id": 1}))
    transport: Transport = real_transport(server.place)
    results: list[object] = []

    def work() -> None:
        results.extend(transport.get(PATH).json for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [{"id": 1}] * 40
    transport.close()
    assert transport.get(PATH).status == 200


def test_a_large_refusal_is_read_and_trimmed(serve: Serve) -> None:
    server = serve(answer({"message": "x" * 100_000}, status=400))
    error = ends_soon(lambda: real_transport(server.place).post(PATH, json={}))
    assert isinstance(error, Rejected)
    assert len(error.adobe_message) == 2000


def test_a_refused_token_over_the_wire(serve: Serve) -> None:
    server = serve(answer(json.loads('{"error_code":"401013"}'), status=401))
    tokens = Tokens()
    assert isinstance(ends_soon(lambda: real_transport(server.place, tokens).get(PATH)), AuthFailed)
    assert (len(server.seen), len(tokens.refreshed)) == (2, 1)
