"""A private PostgreSQL for tests: made in a temporary folder, reached by a unix socket, ended with the test process.

As a pytest plugin (`-p tests.postgres`) this module also narrows a run to the tests that touch the database.
"""

import atexit
import ctypes
import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path
from urllib.parse import quote

import pytest
from django.test import TransactionTestCase

OWNER = "segadmin"
_READY = "database system is ready to accept connections"
_PR_SET_PDEATHSIG = 1
# Nothing here has to outlive the machine.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian's newest version, else the one of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: _version(folder.parent.name))
    if folders:
        return folders[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _version(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return 0.0


def _die_with_parent() -> None:
    """Ask Linux to end the server when the test process is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


class Cluster:
    """A running server with one superuser, no passwords and nothing listening on the network.

    `durable`: it waits for the disk, as in use; tests have no need of that.
    """

    def __init__(self, folder: Path, bin_folder: Path, *, durable: bool = False) -> None:
        self.folder, self._durable = folder, durable
        # PostgreSQL refuses to run as root, so root lends it the account that Debian's package makes.
        self._account = "postgres" if os.geteuid() == 0 else None
        if self._account:
            owner = pwd.getpwnam(self._account)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        if not (folder / "data").exists():
            options = ("-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-sync")
            self._run(bin_folder / "initdb", "-D", str(folder / "data"), *options)
        self._log: deque[str] = deque(maxlen=100)
        self._is_migrated = False
        self.process = self._start(bin_folder / "postgres")

    def _run(self, program: Path, *words: str) -> None:
        subprocess.run(
            [str(program), *words],
            cwd=self.folder,
            user=self._account,
            group=self._account,
            check=True,
            capture_output=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )

    def _start(self, program: Path) -> subprocess.Popen[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "100",
            **({} if self._durable else _NOT_DURABLE),
            "log_min_messages": "warning",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        process = subprocess.Popen(
            [str(program), "-D", str(self.folder / "data"), *words],
            cwd=self.folder,
            user=self._account,
            group=self._account,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            preexec_fn=_die_with_parent,
        )
        assert process.stderr is not None
        for line in process.stderr:
            self._log.append(line)
            if _READY in line:
                threading.Thread(target=self._log.extend, args=(process.stderr,), daemon=True).start()
                return process
        process.wait()
        raise RuntimeError("PostgreSQL did not start:\n" + "".join(self._log))

    def url(self, database: str) -> str:
        """The DATABASE_URL of a database of this server."""
        return f"postgres://{OWNER}@{quote(str(self.folder), safe='')}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database, empty or as a copy of one that nobody uses at the moment; returns its DATABASE_URL."""
        import psycopg

        statement = psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(statement.format(psycopg.sql.Identifier(database), psycopg.sql.Identifier(template)))
        return self.url(database)

    def migrated(self) -> str:
        """The name of a database with all tables and triggers, made at the first call: a template for others."""
        from tests.processes import clean_environment, manage

        if not self._is_migrated:
            with tempfile.TemporaryDirectory() as folder:
                env = clean_environment(SEGADMIN_DATA_DIR=folder, DATABASE_URL=self.create("migrated"))
                done = manage("migrate", "--verbosity", "0", env=env)
            assert done.returncode == 0, done.stderr
            self._is_migrated = True
        return "migrated"

    def dsn(self, database: str) -> str:
        return f"host={self.folder} user={OWNER} dbname={database}"

    def stop(self, *, keep: bool = False) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # "fast": ends its clients too
            self.process.wait(timeout=30)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def _cluster() -> Cluster | None:
    bin_folder = binaries()
    if bin_folder is None:
        return None
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="segadmin-pg-")), bin_folder)
    atexit.register(cluster.stop)
    return cluster


def cluster() -> Cluster:
    """The one server of this test process. Skips where there is no PostgreSQL; on CI that is a failure."""
    found = _cluster()
    if found is None:
        reason = "no PostgreSQL here (looked in /usr/lib/postgresql and PATH)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def touches_database(item: pytest.Item) -> bool:
    """Does the test use the test database, by fixture, by mark or as one of Django's test cases?"""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    case = getattr(item, "cls", None)
    return (
        {"db", "transactional_db"} & set(fixtures) != set()
        or item.get_closest_marker("django_db") is not None
        or (isinstance(case, type) and issubclass(case, TransactionTestCase))
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only called where this module is loaded as a plugin."""
    kept = [item for item in items if touches_database(item)]
    config.hook.pytest_deselected(items=[item for item in items if not touches_database(item)])
    items[:] = kept
