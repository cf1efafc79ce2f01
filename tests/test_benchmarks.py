"""The benchmarks run, count right and fill a record that holds; how fast anything is, is theirs to say."""

import importlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segadmin.audit import verify
from segadmin.models import Attempt, Event, ExportRequest, Job, RegisterEntry
from tests.benchmarks import exports, fill, fill_exports, weight, writing
from tests.benchmarks.inside import SUBJECTS
from tests.benchmarks.installation import Emulator, Installation, Sizes
from tests.benchmarks.measure import Row, at_least, at_most, in_turns, number_row, percentile, ratio_row, table
from tests.benchmarks.viewers import Window, _idle
from tests.benchmarks.wire import Answer, Wire


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_subject_can_be_run(name: str) -> None:
    assert callable(importlib.import_module(f"tests.benchmarks.{name}").run)


def test_sides_take_turns_in_an_order_that_turns_around() -> None:
    asked: list[str] = []

    def side(name: str, number: float) -> float:
        asked.append(name)
        return number

    found = in_turns({"a": lambda: side("a", 1), "b": lambda: side("b", 2)}, 3)
    assert asked == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1, 1, 1], "b": [2, 2, 2]}


def test_percentiles_are_numbers_that_were_measured() -> None:
    assert percentile(range(1, 101), 99) == 99
    assert percentile([5.0], 99) == 5.0
    assert percentile([3, 1, 2], 50) == 2
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 99)


@pytest.mark.parametrize(("seconds", "met"), [([0.2, 0.22, 9.0], True), ([0.23, 0.23, 0.23], False)])
def test_a_ratio_is_of_medians_and_held_against_its_target(seconds: list[float], met: bool) -> None:
    row = ratio_row("s", "w", "sqlite", ours=seconds, base=[0.2, 0.1, 0.9], target=at_most(1.1))
    assert row.met is met
    assert row.runs == 3
    assert ("met" if met else "**missed**") in table([row])
    assert Row.from_json(row.as_json()) == row


def test_without_a_target_nothing_is_met_or_missed() -> None:
    row = number_row("s", "w", "sqlite", 7, "7/s")
    assert row.met is None
    assert "met" not in table([row]).replace("measured", "")
    assert str(at_least(200_000, "/s")) == "at least 200,000/s"


@contextmanager
def served(answers: list[bytes]) -> Iterator[int]:
    """A server on loopback that gives these answers on one connection; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _address = listener.accept()
            with client:
                for answer in answers:
                    while b"\r\n\r\n" not in client.recv(65536):
                        pass
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(5)


def test_the_client_counts_every_byte_of_an_answer() -> None:
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    empty = b"HTTP/1.1 204 No Content\r\nX-Thing: 1\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with served([plain, empty, chunked]) as port, Wire(port, "key", timeout=5) as wire:
        answers = [wire.get("/") for _number in range(3)]
    assert [answer.status for answer in answers] == [200, 204, 200]
    assert [answer.body for answer in answers] == [b"hello", b"", b"abcde"]
    assert [answer.wire for answer in answers] == [len(plain), len(empty), len(chunked)]


def test_files_of_a_page_are_counted_once() -> None:
    page = (
        '<link rel="icon" href="/static/a.svg"><link rel="stylesheet" href="/static/b.css?x=1&amp;y=2">'
        '<link rel="canonical" href="/jobs/"><script src="/static/c.js" defer></script><script src="/static/c.js"></script>'
        '<img src="data:image/png;base64,AAAA"><a href="/static/no.css">no</a>'
    )
    assert weight.named(page) == ["/static/c.js", "/static/a.svg", "/static/b.css?x=1&y=2"]


def test_only_windows_without_a_change_tell_of_idle_polls(tmp_path: Path) -> None:
    idle, busy = Answer(204, {}, b"", 400, 0.01), Answer(200, {}, b"x", 4000, 0.01)
    site = _site(tmp_path)
    still = Window(calls=1, changed=False, answers=[idle, idle, idle, busy])
    moved = Window(calls=1, changed=True, answers=[busy] * 50)
    share, size = _idle(site, [still, moved])
    assert share.measured == "75.0 % of 4"
    assert share.met is False
    assert size.met is True
    [nothing] = _idle(site, [moved])
    assert nothing.met is False


def _site(folder: Path, database: str = "sqlite") -> Installation:
    sizes = Sizes(events=60, rounds=1, requests=1, seconds=1, viewers=1)
    return Installation(folder, database, sizes, Emulator(folder, 1))


def test_a_filled_record_holds_and_its_exports_are_in_the_register(db: None) -> None:
    fill.fill(60)
    fill_exports.fill(12)
    result = verify.verify(full=True, workers=1)
    assert result.ok, result.damage
    assert result.events == Event.objects.count() == 60
    assert RegisterEntry.objects.count() == Job.objects.count() == 12
    told = Event.objects.get(seq=1).content
    job = Job.objects.get(sandbox=told.sandbox_id, job_id=told.job_id or "20000")
    assert job.export_request is not None
    assert job.export_request.uuid == told.request_uuid
    rare = RegisterEntry.objects.get(recipient=exports.RARE_RECIPIENT)
    assert "health" in (*rare.pii_certain, *rare.pii_possible)
    assert ExportRequest.objects.count() == 9  # one of four is from outside


def test_writing_leaves_a_record_that_holds_and_nothing_open(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    fill.fill(10)
    monkeypatch.setattr(writing, "BATCH", 2)
    rows = list(writing.run(_site(tmp_path, connection.vendor)))
    assert [row.ratio is not None for row in rows].count(True) == 1
    assert all(row.measured.endswith("ms") for row in rows)
    # Each side ran two batches of two; an attempt is two events.
    assert Event.objects.count() == 10 + 4 + 8
    assert verify.verify(full=True, workers=1).ok
    assert not Attempt.objects.filter(state=Attempt.State.OPEN).exists()
    assert writing.PLAIN not in connection.introspection.table_names()
