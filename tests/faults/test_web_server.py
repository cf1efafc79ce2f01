"""The web server is told to stop or killed while an export is sent, or has no database to write to. Faults 32 to 34, 46."""

import contextlib
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from segadmin.management.commands.serve import GRACE_SECONDS
from tests.faults.rig import Rig, filled, kill
from tests.processes import Browser, descendants, eventually, is_running

PLACE = "acme/prod"


def press_send(rig: Rig, browser: Browser, request_uuid: str) -> Future[requests.Response]:
    """In the background: Adobe does not answer yet."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(browser.submit, rig.review(PLACE, request_uuid), {"version": ""})
    finally:
        pool.shutdown(wait=False)


def test_stopped_and_killed_while_sending(rig: Rig) -> None:
    first, second = rig.drafts[PLACE]
    with rig.web() as web:
        browser = rig.signed_in()
        rig.emulator.faults.set(endpoint="jobs.create", hang=True, after=True, times=1)
        answer = press_send(rig, browser, first)
        eventually(lambda: rig.seen("jobs.create"), "the create")
        mine = descendants(web.process.pid)
        assert web.stop(signal.SIGTERM, seconds=GRACE_SECONDS + 10) == 0
        assert not any(is_running(pid) for pid in mine), "no orphan is left"
        assert answer.result(timeout=30).status_code == 302, "the person was still answered"
    assert rig.state_of(first) == "unknown", "and what is known was written"
    assert rig.outcomes(first) == ["export.create:requested", "export.create:unknown"]

    with rig.web() as web:
        rig.emulator.faults.set(endpoint="jobs.create", hang=True, times=1)
        answer = press_send(rig, browser, second)
        eventually(lambda: len(rig.seen("jobs.create")) == 2, "the second create")
        kill([web])
        assert isinstance(answer.exception(timeout=30), requests.RequestException)
    assert rig.outcomes(second) == ["export.create:requested"]

    rig.deadlines_are_over()
    rig.sync_once()
    rig.windows_are_over()
    rig.sync_once()
    assert (rig.state_of(first), rig.state_of(second)) == ("sent", "released")
    rig.assert_chain_holds()
    with rig.web():
        for uuid in (first, second):
            again = browser.submit(rig.review(PLACE, uuid), {"version": ""})
            assert again.status_code == 302
        assert len(rig.seen("jobs.create")) == 2, "pressing again after all this sends nothing"
        [job] = rig.emulator.jobs_of("acme", "prod")
        assert str(job["id"]) in browser.page("/jobs/").text


@pytest.mark.parametrize("fault", ["held by another process", "disk full"])
def test_a_database_that_can_not_be_written(rig: Rig, fault: str) -> None:
    """Faults 33 and 34: a bounded wait, a page that says so, no half write, and nothing sent; then it works again."""
    [uuid, _other] = rig.drafts[PLACE]
    rig.env["DATABASE_URL"] = f"sqlite:///{rig.file}?timeout=1"
    with rig.web() as web:
        browser = rig.signed_in()
        form = filled(browser, rig.review(PLACE, uuid))
        with held(rig.file) if fault == "held by another process" else full(descendants(web.process.pid)):
            begun = time.monotonic()
            answer = browser.post(rig.url + rig.review(PLACE, uuid), data=form, allow_redirects=False, timeout=30)
            assert time.monotonic() - begun < 15
            assert answer.status_code == 503
            assert "What can’t be put on record isn’t sent" in answer.text
            probe = Browser(rig.url)
            assert probe.page("/readyz").status_code in (200, 503)  # reading may go on
            assert probe.page("/healthz").status_code == 200
        assert (rig.state_of(uuid), rig.outcomes(uuid), rig.seen("jobs.create")) == ("draft", [], [])
        rig.emulator.faults.set(endpoint="jobs.create", latency=0.3)
        answers = pressed_twice(rig, browser, uuid, form)
        assert [answer.status_code for answer in answers] == [302, 302]
    assert rig.state_of(uuid) == "sent"
    assert len(rig.seen("jobs.create")) == 1
    rig.assert_chain_holds()


def pressed_twice(rig: Rig, browser: Browser, request_uuid: str, form: dict[str, str]) -> list[requests.Response]:
    """A double click: the same form twice at once (fault 39)."""
    with ThreadPoolExecutor(2) as pool:
        presses = [
            pool.submit(
                requests.post,
                rig.url + rig.review(PLACE, request_uuid),
                data=form,
                cookies=browser.cookies,
                allow_redirects=False,
                timeout=30,
            )
            for _ in range(2)
        ]
        return [press.result() for press in presses]


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """Another process has the database for itself."""
    holder = sqlite3.connect(file, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")
    finally:
        holder.close()


@contextlib.contextmanager
def full(processes: set[int]) -> Iterator[None]:
    """No file of these processes can grow, as on a full disk."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in processes}
    for pid, (_soft, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    yield
    for pid, limits in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
