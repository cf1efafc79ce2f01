"""`serve`: the web server, and with `--with-sync` the mirror beside it."""

import argparse
import contextlib
import fcntl
import logging
import os
import signal
import sqlite3
import sys
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from segadmin import processes

THREADS = 8
GRACE_SECONDS = 25


class Command(BaseCommand):
    """Refuses to start on a database that lacks migrations or on a port that is taken."""

    help = "Start the web server (granian). Needs a migrated database; collects the static files itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
        parser.add_argument("--workers", type=int, default=1, help="worker processes, each of 8 threads (default: 1)")
        parser.add_argument("--with-sync", action="store_true", help="also run the mirror (manage.py sync)")
        parser.add_argument("--prepared", action="store_true", help=argparse.SUPPRESS)
        parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)

    def handle(self, *, host: str, port: int, workers: int, with_sync: bool, **options: Any) -> None:
        """`--prepared` and `--parent PID` are for the process that starts this one."""
        if options["parent"]:
            processes.end_with_parent(options["parent"])
        if workers < 1:
            raise CommandError("--workers should be 1 or more.")
        if not options["prepared"]:
            self._prepare(host, port)
        if with_sync:
            self._serve_with_sync(host, port, workers)
        else:
            _serve(host, port, workers)

    def _prepare(self, host: str, port: int) -> None:
        try:
            executor = MigrationExecutor(connection)
            missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except OperationalError as error:
            raise CommandError(f"The database does not answer: {error}") from error
        if missing:
            raise CommandError(
                f"The database lacks {len(missing)} migrations. Run `manage.py migrate` first, then start again."
            )
        if problem := processes.port_problem(host, port):
            raise CommandError(problem)
        set_journal_mode()
        _collect_static()
        self.stdout.write(f"Listening on {host}, port {port}. People reach it at {settings.PUBLIC_URL}.")
        self.stdout.flush()

    def _serve_with_sync(self, host: str, port: int, workers: int) -> None:
        connections.close_all()
        stop = processes.stop_on_signals()
        supervisor = processes.Supervisor(stop, grace_seconds=GRACE_SECONDS + 5, tell=self._tell)
        web = ["serve", "--host", host, "--port", str(port), "--workers", str(workers), "--prepared"]
        try:
            supervisor.start(processes.Child(name="sync", argv=manage("sync"), restarts=True))
            supervisor.start(processes.Child(name="web", argv=manage(*web)))
            supervisor.watch()
        except processes.ChildFailed as error:
            raise CommandError(str(error)) from error
        finally:
            supervisor.end()

    def _tell(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()


def manage(*arguments: str) -> list[str]:
    """The command line of a management command that ends with this process."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments, "--parent", str(os.getpid())]


def wal_is_sound(version: tuple[int, ...]) -> bool:
    """Whether this SQLite is free of the corruption race in WAL mode: from 3.51.3 on, and in two older, fixed lines."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def set_journal_mode() -> str:
    """WAL on a sound SQLite, a rollback journal elsewhere; kept in the file, so set once. Gives the mode in use.

    Raises CommandError when an unsound SQLite can't leave WAL because another process uses the database.
    """
    if connection.vendor != "sqlite":
        return ""
    wanted = "wal" if wal_is_sound(sqlite3.sqlite_version_info) else "delete"
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        (present,) = cursor.fetchone()
        if present not in {wanted, "memory"}:
            with contextlib.suppress(OperationalError):  # another process uses it: the mode stays as it was
                cursor.execute("PRAGMA journal_mode=wal" if wanted == "wal" else "PRAGMA journal_mode=delete")
                (present,) = cursor.fetchone()
    if present == "wal" and wanted != "wal":
        raise CommandError(
            f"The database is in WAL mode, which is not safe with SQLite {sqlite3.sqlite_version}, and can't leave it "
            "while another process uses it. Stop the other segadmin processes, then start again."
        )
    return str(present)


def _collect_static() -> None:
    """One process at a time: several that start together share the folder."""
    with (settings.DATA_DIR / "static.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        call_command("collectstatic", interactive=False, verbosity=0)


def _serve(host: str, port: int, workers: int) -> None:
    from granian.constants import Interfaces
    from granian.server import Server

    # The workers are forked: they must not inherit an open connection.
    connections.close_all()
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]
    # Eight threads were measured to suit SQLite and pages that wait for Adobe; granian only counts cores.
    logging.getLogger("_granian").addFilter(lambda line: "allows spawning up to" not in line.getMessage())
    server = Server(
        "segadmin.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS,
        respawn_failed_workers=True,
        workers_kill_timeout=GRACE_SECONDS,
        working_dir=settings.BASE_DIR,
        websockets=False,
    )
    server.serve(target_loader=partial(load_in_worker, os.getpid()), wrap_loader=False)


def load_in_worker(main: int) -> Any:
    """In a worker process: end with the main process, then load the application."""
    # Until granian sets its own handlers the main process's are inherited: they would swallow a stop while loading.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    processes.end_with_parent(main, GRACE_SECONDS)
    from segadmin.wsgi import application

    return application
