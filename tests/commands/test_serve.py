"""`serve`: refuses what can't work, answers, stops in good time, and leaves nothing behind however it ends."""

import json
import os
import re
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests
from django.core.management.base import CommandError
from django.db import connection
from pytest_django import DjangoDbBlocker

from segadmin.emulator.server import Emulator
from segadmin.management.commands import serve
from segadmin.processes import free_port
from tests.processes import (
    Browser,
    Program,
    children,
    clean_environment,
    command_of,
    descendants,
    eventually,
    is_running,
    manage,
)

GRACE = serve.GRACE_SECONDS + 10


@pytest.fixture
def env(data_folder: Path) -> dict[str, str]:
    """A migrated data folder."""
    return clean_environment(SEGADMIN_DATA_DIR=str(data_folder))


def get(port: int, path: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"http://127.0.0.1:{port}{path}", timeout=10, allow_redirects=False)


def answers(port: int) -> bool:
    try:
        return get(port, "/healthz").ok
    except requests.ConnectionError:
        return False


class Served(Program):
    """A running `manage.py serve`; ready when the constructor returns."""

    def __init__(self, env: Mapping[str, str], *options: str) -> None:
        self.port = free_port()
        program = Program.manage("serve", "--port", str(self.port), *options, env=env)
        self.__dict__.update(program.__dict__, port=self.port)
        eventually(lambda: answers(self.port) or not self._reader.is_alive(), "an answer")
        assert answers(self.port), self.text


def test_a_database_without_migrations_is_refused(tmp_path: Path) -> None:
    done = manage("serve", env=clean_environment(SEGADMIN_DATA_DIR=str(tmp_path)))
    assert done.returncode == 1
    assert re.search(r"lacks \d+ migrations. Run `manage.py migrate` first", done.stderr)


def test_a_taken_port_is_refused_in_a_sentence(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = manage("serve", "--port", str(port), env=env)
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken by another program." in done.stderr


def test_it_serves_pages_and_static_files(env: dict[str, str]) -> None:
    with Served(env, "--workers", "2") as web:
        login = get(web.port, "/accounts/login/")
        assert login.status_code == 200
        style = re.search(r'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', login.text)
        assert style, "the style sheet has no hash in its name"
        sheet = get(web.port, style[1])
        assert sheet.status_code == 200
        assert "immutable" in sheet.headers["Cache-Control"]
        assert sheet.headers["X-Content-Type-Options"] == "nosniff"
        started = descendants(web.process.pid)
        assert len(started) == 2
        assert web.stop(seconds=GRACE) == 0
        assert not any(map(is_running, started))


def test_no_log_of_the_server_holds_what_was_searched_for(env: dict[str, str]) -> None:
    with Served(env) as web:
        for spelled in ("jane.doe@example.org", "jane.doe%40example.org", "jane.doe%2540example.org"):
            for page in ("jobs", "audit", "register"):
                assert get(web.port, f"/{page}/?q={spelled}").status_code in (200, 302)
        assert web.stop(seconds=GRACE) == 0
        assert "jane.doe" not in web.text
    files = [path for path in Path(env["SEGADMIN_DATA_DIR"]).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"jane.doe" in path.read_bytes()]


def test_a_killed_worker_is_replaced(env: dict[str, str]) -> None:
    with Served(env) as web:
        (worker,) = descendants(web.process.pid)
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: worker not in descendants(web.process.pid) and answers(web.port), "another worker", 30)
        assert web.process.poll() is None


def test_no_worker_outlives_a_killed_server(env: dict[str, str]) -> None:
    with Served(env, "--workers", "2") as web:
        workers = descendants(web.process.pid)
        web.process.kill()
        eventually(lambda: not any(map(is_running, workers)), "the end of the workers", GRACE)
        with pytest.raises(requests.ConnectionError):
            get(web.port, "/healthz")


def test_with_sync_the_mirror_runs_beside_it_and_is_started_again(env: dict[str, str]) -> None:
    with Served(env, "--with-sync") as both:
        both.line(r"^sync runs\.$")
        (mirror,) = [pid for pid in children(both.process.pid) if "sync" in command_of(pid)]
        os.kill(mirror, signal.SIGKILL)
        both.line(r"sync starts again in 1 s\.")
        eventually(lambda: both.lines.count("sync runs.") == 2, "another sync")
        started = descendants(both.process.pid)
        assert both.stop(seconds=GRACE) == 0
        assert not any(map(is_running, started))


def test_with_sync_a_killed_parent_takes_both_along(env: dict[str, str]) -> None:
    with Served(env, "--with-sync") as both:
        both.line(r"^sync runs\.$")
        started = descendants(both.process.pid)
        assert len(started) >= 3
        both.process.kill()
        eventually(lambda: not any(map(is_running, started)), "the end of all", GRACE)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(jobs=5) as running:
        yield running


def test_a_request_in_flight_is_finished_before_the_end(data_folder: Path, emulator: Emulator) -> None:
    """SIGTERM while Adobe takes its time over a new export: the answer still comes, and the record has its end."""
    env = clean_environment(
        SEGADMIN_DATA_DIR=str(data_folder), SEGADMIN_UPSTREAM_HOSTS=emulator.url.removeprefix("http://")
    )
    prepare = ("demo", "--data-dir", str(data_folder), "--prepare", emulator.url, "--parent", str(os.getpid()))
    done = manage(*prepare, env=env)
    assert done.returncode == 0, done.stderr
    password = json.loads(done.stdout.splitlines()[-1])["operator"]
    with Served(env) as web:
        browser = Browser(f"http://127.0.0.1:{web.port}").sign_in("operator", password)
        review = drafted(browser, emulator)
        emulator.faults.set(endpoint="jobs.create", latency=3.0)
        emulator.forget_requests()
        answers_got: list[requests.Response] = []
        version = re.search(r'name="version" value="(\d+)"', browser.page(review).text)
        assert version
        sending = threading.Thread(target=lambda: answers_got.append(browser.submit(review, {"version": version[1]})))
        sending.start()
        eventually(lambda: any(one.endpoint == "jobs.create" for one in emulator.requests), "the create")
        assert web.stop(seconds=GRACE) == 0
        sending.join(GRACE)
    (answer,) = answers_got
    assert answer.status_code == 302
    assert "/jobs/" in answer.headers["Location"]
    with sqlite3.connect(data_folder / "segadmin.sqlite3") as database:
        states = database.execute("SELECT state FROM segadmin_attempt ORDER BY id DESC LIMIT 1").fetchone()
    database.close()
    assert states == ("succeeded",)


def drafted(browser: Browser, emulator: Emulator) -> str:
    """Address of the review of a new export."""
    content = emulator.content("acme", "prod")
    form = {
        "who": "audiences",
        "which": "these",
        "fields": "personalEmail.address",
        "destination__datasetId": content.dataset_named("CRM out").dataset_id,
        "schema__name": "_xdm.context.profile",
        "filter__segments-TOTAL_FORMS": "1",
        "filter__segments-INITIAL_FORMS": "0",
        "filter__segments-0-segmentId": content.audience_named("Lapsed buyers").audience_id,
        "purpose": "Checks that a stop waits for what is under way",
    }
    saved = browser.submit("/orgs/acme/prod/jobs/new/", form)
    assert saved.status_code == 302, saved.text
    return saved.headers["Location"]


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 3), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
    ],
)
def test_wal_only_where_its_race_is_fixed(version: tuple[int, ...], sound: bool) -> None:
    assert serve.wal_is_sound(version) is sound


class TestJournalMode:
    """On a database file of its own; the rest of the suite keeps its own mode."""

    @pytest.fixture(autouse=True)
    def own_file(self, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
        if connection.vendor != "sqlite":
            pytest.skip("journal modes are SQLite's")
        self.path = tmp_path / "own.sqlite3"
        kept, settings = connection.connection, dict(connection.settings_dict)
        with django_db_blocker.unblock():
            connection.connection = None
            connection.settings_dict["NAME"] = str(self.path)
            try:
                yield
            finally:
                connection.connection.close()
                connection.connection = kept
                connection.settings_dict.update(settings)

    def test_sound_versions_use_wal_and_it_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serve, "wal_is_sound", lambda _version: True)
        assert serve.set_journal_mode() == "wal"
        with sqlite3.connect(self.path) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.close()

    def test_other_versions_leave_wal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serve, "wal_is_sound", lambda _version: True)
        serve.set_journal_mode()
        monkeypatch.setattr(serve, "wal_is_sound", lambda _version: False)
        assert serve.set_journal_mode() == "delete"

    def test_wal_that_another_process_holds_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serve, "wal_is_sound", lambda _version: True)
        serve.set_journal_mode()
        connection.settings_dict["OPTIONS"] = {"timeout": 0.1}
        connection.connection.close()
        connection.connection = None
        monkeypatch.setattr(serve, "wal_is_sound", lambda _version: False)
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("CREATE TABLE held (id INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(CommandError, match="Stop the other segadmin processes"):
                serve.set_journal_mode()
        finally:
            other.close()
