"""One installation under measurement: its database filled once, an emulated Adobe, and servers as real processes."""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from segadmin.processes import answers, free_port
from tests.benchmarks.wire import COOKIE, Wire
from tests.processes import CHECKOUT, Program, clean_environment, descendants, eventually

LIVE = "live"  # the org whose jobs the emulator keeps; the others are history that nobody reads from Adobe
SYNC_SECONDS = 2
PREPARED = "bench_prepared"  # a file of the data folder: the database is filled
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def say(text: str) -> None:
    """To the one who waits; results go to the table."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def environment(folder: Path, emulator_port: int, database_url: str = "") -> dict[str, str]:
    """Settings as in use, but for the pace of the mirror: nobody wants to wait a minute for each reading."""
    more = {"DATABASE_URL": database_url} if database_url else {}
    return clean_environment(
        DJANGO_SETTINGS_MODULE="segadmin.settings",
        SEGADMIN_DATA_DIR=str(folder),
        SEGADMIN_UPSTREAM_HOSTS=f"127.0.0.1:{emulator_port}",
        SEGADMIN_SYNC_SECONDS=str(SYNC_SECONDS),
        **more,
    )


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`events` in the record, `rounds` of each comparison, `requests` of a side in a round, `seconds` of a window.

    `viewers` watch the jobs list at once; `grow`: how many times as large the record is that the first one is held
    against.
    """

    events: int = 1_000_000
    rounds: int = 5
    requests: int = 20
    seconds: float = 30.0
    viewers: int = 100
    grow: int = 10

    @property
    def exports(self) -> int:
        """The events tell of one export each five."""
        return max(self.events // 5, 1)


@dataclass
class Server:
    """A web server that answers; `pids` are its processes."""

    port: int
    program: Program

    @property
    def pids(self) -> set[int]:
        return descendants(self.program.process.pid) | {self.program.process.pid}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Emulator:
    """The emulated Adobe as a process; it goes on with its jobs and its port when it is started again."""

    folder: Path
    port: int
    jobs: int = 200
    _program: Program | None = field(default=None, repr=False)

    def _control(self, method: str, what: str, **more: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False  # loopback is no business of a proxy
            answer = session.request(method, f"{self.url}/_emulator/{what}", timeout=30, **more)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._program is not None

    def start(self) -> None:
        words = ["emulator", f"--port={self.port}", f"--jobs={self.jobs}", f"--data-dir={self.folder}"]
        self._program = Program.manage(*words, env=os.environ)
        self._program.line("listens on")

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
        self._program = None

    def __enter__(self) -> "Emulator":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def slow(self, seconds: float) -> None:
        """From now on every answer takes so long; 0: none does."""
        self._control("DELETE", "faults")
        if seconds:
            self._control("POST", "faults", json={"latency": seconds})

    def calls(self) -> list[dict[str, Any]]:
        """What it was asked since `forget`, its own switches left out."""
        found: list[dict[str, Any]] = self._control("GET", "requests")
        return found

    def forget(self) -> None:
        self._control("DELETE", "requests")


@dataclass
class Installation:
    """What the subjects measure. This process has Django set up on its database; servers are processes of their own."""

    folder: Path
    database: str
    sizes: Sizes
    emulator: Emulator
    _sessions: dict[str, str] = field(default_factory=dict, repr=False)

    @contextmanager
    def web(self, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
        """`serve` with these options, until the block ends."""
        port = free_port()
        address = {"SEGADMIN_PUBLIC_URL": f"http://127.0.0.1:{port}"}
        program = Program.manage("serve", f"--port={port}", *options, env={**(env or os.environ), **address})
        with program:
            program.line("Listening on")
            eventually(lambda: answers(port, "/healthz") or _alive(program), "the web server")
            yield Server(port, program)

    def session(self, name: str) -> str:
        """The session key of an admin of the whole installation with this name, who may read everything."""
        if name not in self._sessions:
            self._sessions[name] = sign_in(name)
        return self._sessions[name]

    def wire(self, server: Server, name: str) -> Wire:
        return Wire(server.port, self.session(name))


def _alive(program: Program) -> bool:
    """False, or an error with what it said last."""
    if program.process.poll() is not None:
        raise RuntimeError(f"the web server ended:\n{program.text}")
    return False


def sign_in(name: str) -> str:
    """A new session of that person, who is made when there is none."""
    from django.test import Client

    from segadmin.models import Membership, Role, User

    user, made = User.objects.get_or_create(
        username=name, defaults={"is_staff": True, "is_superuser": True, "password": f"!{secrets.token_hex(20)}"}
    )
    if made:
        Membership.objects.create(user=user, organization=None, role=Role.ADMIN)
    client = Client()
    client.force_login(user, backend=BACKEND)
    return str(client.cookies[COOKIE].value)


def prepare(site: Installation) -> None:
    """Migrate and fill the database of this process, and connect the org that the emulator plays."""
    from django.core.management import call_command

    from segadmin.models import Event
    from tests.benchmarks import fill, fill_exports

    call_command("migrate", interactive=False, verbosity=0)
    mark = site.folder / PREPARED
    if not mark.exists():
        begun = time.perf_counter()
        fill.fill(site.sizes.events - Event.objects.count())
        say(f"{site.database}: {site.sizes.events:,} events in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        fill_exports.fill(site.sizes.exports)
        say(f"{site.database}: {site.sizes.exports:,} exports in {time.perf_counter() - begun:.0f} s")
    _connect(site)
    _analyze()
    _verify()
    mark.touch()


def _connect(site: Installation) -> None:
    """The demo's first tenant, read once; in a database that was kept it follows the emulator to its new port."""
    from segadmin import sync
    from segadmin.actions import organizations
    from segadmin.audit import Actor
    from segadmin.emulator.world import DEMO_TENANTS
    from segadmin.models import Organization

    tenant, token_url = DEMO_TENANTS[0], f"{site.emulator.url}/ims/token/v3"
    if known := Organization.objects.filter(slug=LIVE):
        known.update(api_url=site.emulator.url, token_url=token_url)
        sync.once()
        return
    organizations.set_up(
        actor=Actor.command("bench"),
        slug=LIVE,
        name="Live Retail",
        ims_org_id=tenant.ims_org_id,
        sandboxes={sandbox.name: sandbox.type for sandbox in tenant.sandboxes if sandbox.watched},
        client_id=tenant.client_id,
        secret=tenant.client_secret,
        scopes=tenant.scopes,
        api_url=site.emulator.url,
        token_url=token_url,
        reason="to be measured",
    )
    sync.once()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """A management command, however long it takes."""
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "manage.py"), *words],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _verify() -> None:
    """What was filled has to be a record that holds; and the mirror, which checks once a day, has done so for today."""
    done = command("verify_audit")
    if done.returncode:
        raise RuntimeError(f"the filled record does not hold:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _analyze() -> None:
    """As the database does by itself in time: PostgreSQL's autovacuum, and SQLite's plans need no more than indexes."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def versions() -> str:
    """What was measured on what, in one line."""
    import platform
    import sqlite3
    from importlib.metadata import version

    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            database = f"PostgreSQL {re.match(r'[0-9.]+', cursor.fetchone()[0])[0]}"  # type: ignore[index]
    else:
        database = f"SQLite {sqlite3.sqlite_version}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("Django", "granian"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {database}, Python {platform.python_version()}, {packages}"
