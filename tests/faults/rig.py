"""A whole segadmin on a database of its own, before an emulated Adobe in the test process, for tests that kill."""

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segadmin.emulator.server import Emulator, RecordedRequest
from segadmin.processes import free_port
from tests.faults.chain import HEAD, LINKS, assert_links_hold
from tests.faults.worker import PASSWORD
from tests.processes import Browser, Program, clean_environment, descendants, eventually, manage

PAST = "2020-01-01 00:00:00"
PLACEHOLDER = "http://127.0.0.1:9"
DEADLINE = 2


def environment(folder: Path, emulator: Emulator | None, **more: str) -> dict[str, str]:
    """The settings of a rig: short times, so that what takes minutes in use takes seconds here."""
    host = emulator.url.removeprefix("http://") if emulator else "127.0.0.1:9"
    values = {
        "SEGADMIN_DATA_DIR": str(folder),
        "SEGADMIN_UPSTREAM_HOSTS": host,
        "SEGADMIN_UPSTREAM_DEADLINE_SECONDS": str(DEADLINE),
        "SEGADMIN_UNKNOWN_WINDOW_SECONDS": "1",
        "SEGADMIN_SYNC_SECONDS": "1",
    }
    return clean_environment(**{**values, **more})


def prepare(folder: Path, emulator: Emulator | None = None, **more: str) -> dict[str, list[str]]:
    """Fill a migrated database with two orgs, an operator and drafts; returns the drafts by place."""
    env = environment(folder, emulator, **more)
    with worker("prepare", emulator.url if emulator else PLACEHOLDER, env=env) as program:
        drafts: dict[str, list[str]] = json.loads(program.line(r"^\{.*\}$")[0])
        assert program.ended() == 0, program.text
    return drafts


def worker(*arguments: str, env: dict[str, str]) -> Program:
    """A process of tests.faults.worker."""
    return Program(sys.executable, "-m", "tests.faults.worker", *arguments, env=env)


class Rig:
    """Processes and their SQLite file; what the file says is read without Django."""

    def __init__(self, folder: Path, emulator: Emulator, drafts: dict[str, list[str]]) -> None:
        self.folder, self.emulator, self.drafts = folder, emulator, drafts
        self.env = environment(folder, emulator)
        self.file = folder / "segadmin.sqlite3"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @classmethod
    def copied(cls, template: Path, folder: Path, emulator: Emulator, drafts: dict[str, list[str]]) -> "Rig":
        """A rig on a copy of a prepared folder."""
        shutil.copytree(template, folder)
        rig = cls(folder, emulator, drafts)
        token_url = f"{emulator.url}/ims/token/v3"
        rig.change("UPDATE segadmin_organization SET api_url = ?, token_url = ?", emulator.url, token_url)
        return rig

    # the database

    def rows(self, statement: str, *values: object) -> list[Any]:
        """What the database says; single columns as plain values."""
        connection = sqlite3.connect(self.file, timeout=10)
        try:
            found = connection.execute(statement, values).fetchall()
        finally:
            connection.close()
        return [row[0] if len(row) == 1 else row for row in found]

    def change(self, statement: str, *values: object) -> None:
        """Change what may be changed, mostly times that a test does not want to wait for."""
        connection = sqlite3.connect(self.file, timeout=10)
        try:
            with connection:
                connection.execute(statement, values)
        finally:
            connection.close()

    def state_of(self, request_uuid: str) -> str:
        """The state of an export request."""
        [state] = self.rows("SELECT state FROM segadmin_exportrequest WHERE uuid = ?", request_uuid.replace("-", ""))
        return str(state)

    def outcomes(self, request_uuid: str) -> list[str]:
        """Action and outcome of each event about a request, oldest first."""
        return self.rows(
            "SELECT action || ':' || outcome FROM segadmin_eventcontent WHERE request_uuid = ? "
            "AND action LIKE 'export.%' ORDER BY seq",
            request_uuid.replace("-", ""),
        )

    def deadlines_are_over(self) -> None:
        """As if the time in which an open attempt has to end had passed."""
        self.change("UPDATE segadmin_attempt SET deadline_at = ? WHERE state = 'open'", PAST)

    def windows_are_over(self) -> None:
        """As if the time in which a lost job is looked for had passed."""
        self.change("UPDATE segadmin_attempt SET look_until_at = ? WHERE look_until_at IS NOT NULL", PAST)

    def leases_are_over(self) -> None:
        """As if the leases of dead processes had run out."""
        self.change("UPDATE segadmin_tokencache SET lease_until = ? WHERE lease_until IS NOT NULL", PAST)
        self.change("UPDATE segadmin_sandbox SET lease_until = ? WHERE lease_until IS NOT NULL", PAST)

    def assert_chain_holds(self) -> int:
        """The whole record, recomputed."""
        return assert_links_hold(self.rows(LINKS), self.rows(HEAD)[0])

    # Adobe

    def seen(self, endpoint: str, org: str = "") -> list[RecordedRequest]:
        """Requests that Adobe got."""
        ims_org_id = self.emulator.tenant(org).ims_org_id if org else ""
        found = [item for item in self.emulator.requests if item.endpoint == endpoint]
        return [item for item in found if not org or item.ims_org_id == ims_org_id]

    # processes

    def sender(self, request_uuid: str) -> Program:
        """A process that sends one request."""
        return worker("send", request_uuid, env=self.env)

    def sync_once(self) -> None:
        """One sweep of every sandbox."""
        done = manage("sync", "--once", env=self.env)
        assert done.returncode == 0, done.stderr

    def sync(self) -> Program:
        """The mirror process."""
        return Program.manage("sync", env=self.env)

    def web(self, *options: str) -> Program:
        """The web server; ready when this returns."""
        program = Program.manage("serve", "--port", str(self.port), *options, env=self.env)
        program.line("Listening on")
        eventually(lambda: self.healthy(program), "the web server")
        return program

    def healthy(self, program: Program) -> bool:
        """Whether it answers at all."""
        assert program.process.poll() is None, program.text
        try:
            return Browser(self.url).page("/healthz").status_code == 200
        except OSError:
            return False

    def signed_in(self) -> Browser:
        """The operator's browser."""
        return Browser(self.url).sign_in("operator", PASSWORD)

    def review(self, place: str, request_uuid: str) -> str:
        """The address of a request's page."""
        return f"/orgs/{place}/requests/{request_uuid}/"


def kill(programs: Sequence[Program]) -> None:
    """kill -9, with everything that they started."""

    for program in programs:
        for pid in [*descendants(program.process.pid), program.process.pid]:
            os.kill(pid, signal.SIGKILL)
        program.ended()


def filled(browser: Browser, path: str) -> dict[str, str]:
    """What a browser would post from the send form of that page."""
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.page(path).text)
    assert found, f"{path} has no form"
    return {"csrfmiddlewaretoken": found[1], "version": ""}
