"""Faults: each does on the wire what it says, to the requests it is meant for."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from segadmin.emulator.errors import SHAPES
from segadmin.emulator.server import Emulator
from tests.emulator.conftest import Client

BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def _raw(client: Client, wait: float = 5) -> bytes:
    """A GET of the list over a plain socket: whatever comes until the other side closes."""
    port = client.emulator.port
    lines = [f"{name}: {value!s}" for name, value in client.session.headers.items() if name != "Connection"]
    head = "\r\n".join(["GET /data/core/ups/export/jobs?limit=2 HTTP/1.1", "Host: 127.0.0.1", *lines]) + "\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(head.encode())
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


# which requests


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504])
def test_a_status(acme: Client, status: int) -> None:
    acme.emulator.faults.set(endpoint="jobs.list", status=status, times=1)
    assert acme.jobs().status_code == status
    assert acme.jobs().status_code == 200


def test_counts(acme: Client) -> None:
    acme.emulator.faults.set(status=500, skip=1, times=2)
    assert [acme.jobs().status_code for _ in range(4)] == [200, 500, 500, 200]


@pytest.mark.parametrize(
    "match",
    [
        {"endpoint": "jobs.*"},
        {"method": "get"},
        {"path": "/data/core/ups/export/jobs*"},
        {"org": "acme"},
        {"org": "5C1D9A7E63F2B0480A49402E@AdobeOrg"},
        {"sandbox": "prod"},
    ],
)
def test_it_meets_only_those_it_is_meant_for(
    client_of: Callable[[str, str], Client], emulator: Emulator, match: dict[str, str]
) -> None:
    hit = client_of("acme", "prod")
    emulator.faults.set(status=500, **match)
    assert hit.jobs().status_code == 500
    others = {
        "endpoint": lambda: hit.send("GET", "/data/core/ups/audiences"),
        "path": lambda: hit.send("GET", "/data/core/ups/audiences"),
        "method": lambda: hit.jobs("DELETE", "/1"),
        "org": lambda: client_of("nordwind", "prod").jobs(),
        "sandbox": lambda: client_of("acme", "stage").jobs(),
    }
    assert others[next(iter(match))]().status_code != 500


def test_the_token_endpoint_is_told_apart_by_client(emulator: Emulator) -> None:
    emulator.faults.set(endpoint="token", org="nordwind", status=503)
    codes = []
    for slug in ("acme", "nordwind"):
        tenant = emulator.tenant(slug)
        form = {
            "grant_type": "client_credentials",
            "client_id": tenant.client_id,
            "client_secret": tenant.client_secret,
        }
        codes.append(requests.post(f"{emulator.url}/ims/token/v3", data=form, timeout=5).status_code)
    assert codes == [200, 503]


def test_over_http(acme: Client) -> None:
    made = acme.send("POST", "/_emulator/faults", json={"endpoint": "jobs.list", "status": 503, "times": 5})
    assert made.status_code == 201
    assert acme.jobs().status_code == 503
    listed = acme.send("GET", "/_emulator/faults").json()
    assert (listed[0]["endpoint"], listed[0]["seen"]) == ("jobs.list", 1)
    assert acme.send("DELETE", "/_emulator/faults").status_code == 204
    assert acme.jobs().status_code == 200
    assert acme.send("GET", "/_emulator/other").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"stauts": 500},
        {"shape": "round"},
        {"endpoint": "export.create"},
        {"drip": "everything"},
        {"times": 0},
        {"times": "3"},
        {"status": 99},
        {"latency": "long"},
    ],
)
def test_a_wrong_switch_is_refused(acme: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        acme.emulator.faults.set(**wrong)
    assert acme.send("POST", "/_emulator/faults", json=wrong).status_code == 400
    assert acme.jobs().status_code == 200


# answers


@pytest.mark.parametrize("shape", SHAPES)
def test_every_documented_error_body(acme: Client, shape: str) -> None:
    acme.emulator.faults.set(status=429, shape=shape, message="Too many", retry_after=7)
    answer = acme.jobs()
    assert answer.headers["Retry-After"] == "7"
    assert "Too many" in answer.text
    assert isinstance(answer.json(), dict)


def test_an_empty_body(acme: Client) -> None:
    acme.emulator.faults.set(status=503, shape="empty")
    answer = acme.jobs()
    assert (answer.status_code, answer.content) == (503, b"")


def test_a_sign_in_page(acme: Client) -> None:
    acme.emulator.faults.set(shape="html")
    answer = acme.jobs()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<html>" in answer.text


def test_a_wrong_content_type(acme: Client) -> None:
    acme.emulator.faults.set(content_type="text/plain", headers={"X-Odd": "yes"})
    answer = acme.jobs()
    assert (answer.headers["Content-Type"], answer.headers["X-Odd"]) == ("text/plain", "yes")
    assert answer.json()["records"]


@pytest.mark.parametrize("body", ["{broken", {"records": [{"id": None}], "link": None}, []])
def test_a_body_of_ones_own(acme: Client, body: Any) -> None:
    acme.emulator.faults.set(body=body)
    answer = acme.jobs()
    assert answer.status_code == 200
    assert answer.text == body if isinstance(body, str) else answer.json() == body


def test_a_redirect(acme: Client) -> None:
    acme.emulator.faults.set(redirect="http://127.0.0.2:9/elsewhere")
    answer = acme.jobs()
    assert answer.status_code == 302
    assert answer.headers["Location"] == "http://127.0.0.2:9/elsewhere"


def test_an_oversized_body(acme: Client) -> None:
    acme.emulator.faults.set(oversize=3_000_000)
    answer = acme.jobs()
    assert len(answer.content) == 3_000_000 == int(answer.headers["Content-Length"])
    assert answer.json() == {"records": []}


def test_a_gzip_bomb(acme: Client) -> None:
    acme.emulator.faults.set(gzip_bomb=1 << 24)
    received = _raw(acme)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert len(body) < 1 << 17
    assert len(gzip.decompress(body)) > 1 << 24


# wires


def test_latency(acme: Client) -> None:
    acme.emulator.faults.set(latency=0.3)
    began = time.monotonic()
    assert acme.jobs().status_code == 200
    assert time.monotonic() - began >= 0.3


def test_a_hang(acme: Client) -> None:
    acme.emulator.faults.set(hang=True)
    with pytest.raises(requests.ReadTimeout):
        acme.jobs("POST", json=acme.body(), timeout=0.3)
    assert acme.emulator.requests[-1].status is None
    acme.emulator.faults.clear()
    assert len(acme.jobs().json()["records"]) == 26, "nothing was made"


def test_a_hang_after_the_work(acme: Client) -> None:
    acme.emulator.faults.set(endpoint="jobs.create", hang=True, after=True)
    with pytest.raises(requests.ReadTimeout):
        acme.jobs("POST", json=acme.body(), timeout=0.3)
    assert len(acme.jobs().json()["records"]) == 27


@pytest.mark.parametrize("part", ["headers", "body"])
def test_dripping(acme: Client, part: str) -> None:
    acme.emulator.faults.set(body={"records": []}, drip=part, drip_interval=0.002)
    received = _raw(acme)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b'{"records": []}')


def test_a_slow_drip_outlasts_a_read_timeout(acme: Client) -> None:
    acme.emulator.faults.set(body={"records": []}, drip="body", drip_interval=0.05)
    began = time.monotonic()
    assert acme.jobs(timeout=(1, 0.2)).status_code == 200
    assert time.monotonic() - began > 0.6, "longer than its time-out, as each byte starts it anew"


def test_a_reset(acme: Client) -> None:
    acme.emulator.faults.set(reset=True)
    with pytest.raises(ConnectionResetError):
        _raw(acme)
    with pytest.raises(BROKEN):
        acme.jobs()


def test_a_cut(acme: Client) -> None:
    acme.emulator.faults.set(cut=True)
    assert _raw(acme) == b""
    with pytest.raises(BROKEN):
        acme.jobs()


def test_a_truncated_body(acme: Client) -> None:
    acme.emulator.faults.set(truncate=20)
    received = _raw(acme)
    head, _, body = received.partition(b"\r\n\r\n")
    assert len(body) == 20
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    assert int(length.split(b":")[1]) > 20
    with pytest.raises(BROKEN):
        acme.jobs()


def test_a_lost_answer(acme: Client) -> None:
    acme.emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    with pytest.raises(BROKEN):
        acme.jobs("POST", json=acme.body())
    jobs = acme.jobs().json()["records"]
    assert len(jobs) == 27
    assert jobs[0]["filter"] == acme.body()["filter"]


def test_a_server_error_after_the_work(acme: Client) -> None:
    acme.emulator.faults.set(endpoint="jobs.create", status=502, shape="html", after=True)
    assert acme.jobs("POST", json=acme.body()).status_code == 502
    assert len(acme.jobs().json()["records"]) == 27


def test_a_delete_answered_without_content(acme: Client) -> None:
    job_id = acme.create()["id"]
    acme.emulator.faults.set(endpoint="jobs.delete", no_content=True)
    answer = acme.jobs("DELETE", f"/{job_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Length" not in answer.headers
    assert acme.job(job_id)["status"] == "CANCELLING", "and the connection is still good"


@pytest.mark.parametrize("fault", [{"hang": True}, {"latency": 600.0}, {"drip": "headers", "drip_interval": 600.0}])
def test_stopping_ends_every_wait(fault: dict[str, Any]) -> None:
    emulator = Emulator().start()
    client = Client(emulator, emulator.tenant("acme"), "prod")
    emulator.faults.set(**fault)
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            client.jobs(timeout=60)
        except requests.RequestException as error:
            ended.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not emulator.requests:
        threading.Event().wait(0.01)
    began = time.monotonic()
    emulator.stop()
    asking.join(5)
    assert ended
    assert time.monotonic() - began < 3
    client.session.close()
