"""The record on its way to a log collector: complete, in order, at least once; outages are on record, once each."""

import hashlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import responses
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from requests import ConnectionError as Unreachable

from segadmin.actions import stream
from segadmin.audit import Actor
from segadmin.environment import Stream as Named
from segadmin.models import Action, ContentExpiry, Event, EventContent, Outcome, Sandbox, Stream
from tests.aep.test_tls import certificate
from tests.audit.tampering import fill

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()
HOOK = "https://collector.example.com/s3cret?token=t0ken-zz"
AUTHORIZATION = "Splunk 0c1f-very-secret"


def tend() -> None:
    stream.tend(actor=SYSTEM)


def row() -> Stream:
    return Stream.objects.get()


def events() -> list[EventContent]:
    return list(EventContent.objects.filter(action=Action.RECORD_STREAMED).order_by("event_id"))


def fits(told: dict[str, Any]) -> bool:
    """What the README says of a line: the record, written again, fits its digest."""
    text = json.dumps(told["record"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest() == told["digest"]


def all_there(lines: list[str]) -> None:
    """Every record, each once and in order, as it stands."""
    told = [json.loads(line) for line in lines]
    links = Event.objects.order_by("seq").values_list("seq", "epoch", "digest", "chain")
    assert [(one["seq"], one["epoch"], one["digest"], one["chain"]) for one in told] == list(links)
    assert all(fits(one) for one in told)


@pytest.fixture
def file(settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "a folder" / "record.jsonl"
    path.parent.mkdir()
    settings.STREAM = Named("file", f"file://{str(path).replace(' ', '%20')}")
    return path


@pytest.fixture
def web(settings: Settings) -> Iterator[responses.RequestsMock]:
    settings.STREAM = Named("https", HOOK, AUTHORIZATION)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as adobe:
        yield adobe


# -- what is handed over ----------------------------------------------------------------------------------------------


def test_nothing_happens_without_a_collector(settings: Settings, prod: Sandbox) -> None:
    settings.STREAM = None
    fill(2, prod)
    tend()
    assert not Stream.objects.exists()
    assert events() == []


def test_everything_from_the_first_record_on_and_then_what_is_new(file: Path, prod: Sandbox) -> None:
    fill(3, prod)
    tend()
    [began] = events()
    assert began.sentence == f"began to hand the record to file://{file}, from its first record on"
    all_there(file.read_text().splitlines())
    assert file.stat().st_mode & 0o007 == 0
    fill(2, prod)
    tend()
    tend()
    all_there(file.read_text().splitlines())
    assert row().seq == Event.objects.count()
    assert events() == [began]


def test_what_hides_is_written_out_and_says_the_same(file: Path, prod: Sandbox) -> None:
    fill(1, prod, name="a\x7fb\u202ec\U0001f469")
    tend()
    text = file.read_text()
    assert text.isascii()
    assert not re.search(r"[^\x20-\x7e\n]", text)
    all_there(text.splitlines())


def test_more_than_a_batch(file: Path, prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BATCH", 3)
    fill(10, prod)
    tend()
    all_there(file.read_text().splitlines())


def test_a_line_that_was_broken_off_spoils_no_other(file: Path, prod: Sandbox) -> None:
    file.write_text('{"seq":1,"epo')
    fill(2, prod)
    tend()
    broken, *lines = file.read_text().splitlines()
    assert broken == '{"seq":1,"epo'
    all_there(lines)


def test_what_has_expired_keeps_its_place(file: Path, prod: Sandbox) -> None:
    fill(2, prod)
    ContentExpiry(seq=1, at="2026-06-01T00:00:00Z", reason="over").save()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM segadmin_eventcontent WHERE seq = 1")
    tend()
    first, second, *_rest = [json.loads(line) for line in file.read_text().splitlines()]
    assert first["expired"] is True
    assert "record" not in first
    assert first["digest"] == Event.objects.get(pk=1).digest
    assert fits(second)


def test_another_collector_gets_everything_too(file: Path, prod: Sandbox, settings: Settings) -> None:
    fill(2, prod)
    tend()
    other = file.with_name("other.jsonl")
    settings.STREAM = Named("file", f"file://{str(other).replace(' ', '%20')}")
    tend()
    all_there(other.read_text().splitlines())
    assert len(events()) == 2


# -- outages and other processes --------------------------------------------------------------------------------------


def test_an_outage_is_on_record_once_and_nothing_is_lost(file: Path, prod: Sandbox) -> None:
    fill(2, prod)
    file.mkdir()
    for _try in range(3):
        tend()
    assert [one.outcome for one in events()] == [Outcome.SUCCEEDED, Outcome.FAILED]
    assert events()[1].sentence == f"could not hand the record to file://{file}; record 1 and later ones wait"
    assert row().problem == "The file could not be written: Is a directory."
    assert row().seq == 0
    file.rmdir()
    tend()
    assert row().failing_since is None
    assert [one.outcome for one in events()] == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED]
    tend()
    all_there(file.read_text().splitlines())


def test_two_processes_do_not_hand_over_the_same(file: Path, prod: Sandbox) -> None:
    fill(2, prod)
    tend()
    fill(1, prod)
    now = timezone.now()
    Stream.objects.update(claimed_until=now + timedelta(minutes=1))
    tend()
    assert len(file.read_text().splitlines()) == 3
    # One that was killed, and one whose clock went wrong, hold it up for no longer than that.
    for claim in (now - timedelta(seconds=1), now + timedelta(days=1)):
        Stream.objects.update(claimed_until=claim)
        fill(1, prod)
        tend()
        all_there(file.read_text().splitlines())
    assert row().claimed_until is None


def test_it_stops_when_the_process_ends(file: Path, prod: Sandbox) -> None:
    fill(2, prod)
    stream.tend(actor=SYSTEM, is_over=lambda: True)
    assert not file.exists()


# -- https ------------------------------------------------------------------------------------------------------------


def test_https_takes_lines_and_keeps_the_secret(web: responses.RequestsMock, prod: Sandbox) -> None:
    fill(2, prod)
    web.post(HOOK, status=200)
    tend()
    [call] = web.calls
    assert call.request.headers["Authorization"] == AUTHORIZATION
    assert call.request.headers["Content-Type"] == "application/x-ndjson"
    body = call.request.body
    assert isinstance(body, bytes)
    all_there(body.decode("ascii").splitlines())
    assert row().target == "https://collector.example.com"


@pytest.mark.parametrize("fault", [500, 302, 401, Unreachable("s3cret")])
def test_only_a_success_counts(web: responses.RequestsMock, prod: Sandbox, fault: int | Exception) -> None:
    fill(1, prod)
    if isinstance(fault, int):
        web.post(HOOK, status=fault, body="s3cret", headers={"Location": "https://elsewhere.example.com/"})
    else:
        web.post(HOOK, body=fault)
    tend()
    assert row().seq == 0
    assert "collector.example.com" in row().problem
    kept = (
        "".join(one.text for one in events()) + row().problem + repr(row()) + repr(Named("https", HOOK, AUTHORIZATION))
    )
    for secret in ("s3cret", "t0ken-zz", "very-secret"):
        assert secret not in kept


# -- syslog -----------------------------------------------------------------------------------------------------------


class Receiver:
    """A syslog server on loopback that takes one connection after the other."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.data = b""
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _address = self._listening.accept()
            except OSError:
                return
            with suppress(OSError), self._tls.wrap_socket(taken, server_side=True) if self._tls else taken as plain:
                while block := plain.recv(65536):
                    self.data += block

    def stop(self) -> bytes:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)
        return self.data


def messages(data: bytes) -> list[str]:
    """Taken apart by the length before each one."""
    found = []
    while data:
        length, _, rest = data.partition(b" ")
        found.append(rest[: int(length)].decode("ascii"))
        data = rest[int(length) :]
    return found


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def start(tls: ssl.SSLContext | None = None) -> Receiver:
        made.append(Receiver(tls))
        return made[-1]

    yield start
    for one in made:
        with suppress(OSError):
            one.stop()


FORM = re.compile(r"<(\d+)>1 (\S+Z) segadmin\.example\.com segadmin (\d+) (\S+) - (\{.*\})")


def test_syslog_over_tcp(receiver: Callable[..., Receiver], settings: Settings, prod: Sandbox) -> None:
    server = receiver()
    settings.STREAM = Named("syslog+tcp", f"syslog+tcp://127.0.0.1:{server.port}")
    settings.PUBLIC_URL = "https://segadmin.example.com"
    fill(3, prod)
    tend()
    found = [FORM.fullmatch(message) for message in messages(server.stop())]
    assert all(found)
    told = [match.groups() for match in found if match]
    all_there([text for *_head, text in told])
    for (priority, at, number, what, text), content in zip(
        told, EventContent.objects.order_by("event_id"), strict=True
    ):
        assert (int(number), what) == (content.event_id, content.action)
        assert at == content.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        bad = content.outcome in (Outcome.FAILED, Outcome.REFUSED, Outcome.UNKNOWN)
        assert int(priority) == 13 * 8 + (4 if bad else 6)
        assert json.loads(text)["record"]["sentence"] == content.sentence


def test_syslog_over_tls_checks_the_certificate(
    receiver: Callable[..., Receiver], settings: Settings, prod: Sandbox, tmp_path: Path
) -> None:
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = receiver(context)
    settings.STREAM = Named("syslog+tls", f"syslog+tls://127.0.0.1:{server.port}")
    settings.PUBLIC_URL = "https://segadmin.example.com"
    fill(2, prod)
    tend()
    assert row().problem.startswith("The certificate of 127.0.0.1 can't be trusted: self-signed certificate")
    settings.UPSTREAM_CA_FILE = str(pem)
    tend()
    assert row().seq == Event.objects.count()
    found = [FORM.fullmatch(message) for message in messages(server.stop())]
    assert [int(match[3]) for match in found if match] == list(range(1, row().seq + 1))


def test_nobody_listens(receiver: Callable[..., Receiver], settings: Settings, prod: Sandbox) -> None:
    server = receiver()
    server.stop()
    settings.STREAM = Named("syslog+tcp", f"syslog+tcp://127.0.0.1:{server.port}")
    fill(1, prod)
    tend()
    assert row().seq == 0
    assert row().problem == "127.0.0.1 could not be reached: Connection refused."
