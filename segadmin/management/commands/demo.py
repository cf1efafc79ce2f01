"""`demo`: everything on loopback with one command."""

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from segadmin import processes
from segadmin.management import demonstration

GRACE_SECONDS = 30
SYNC_SECONDS = 3


class Command(BaseCommand):
    """The parent of all demo processes. It touches no database itself: its children have the environment for that."""

    help = (
        "Try segadmin on this machine: an emulated Adobe with two organizations, the mirror and the pages, all on "
        "127.0.0.1. Prints the address and one sign-in line per role. Ctrl-C ends all of it; started again it goes on "
        "with its data. Passwords are made new at each start."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the pages (default: 8000)")
        # manage.py reads this option before the settings load.
        parser.add_argument("--data-dir", default="./var/demo", help="folder for all data (default: ./var/demo)")
        parser.add_argument("--prepare", metavar="URL", help=argparse.SUPPRESS)
        parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)

    def handle(self, *, port: int, prepare: str | None, parent: int, **_options: Any) -> None:
        """`--prepare URL` and `--parent PID` are for the child that sets up the database."""
        if prepare:
            processes.end_with_parent(parent)
            self.stdout.write(json.dumps(demonstration.prepare(prepare)))
            return
        if problem := processes.port_problem("127.0.0.1", port):
            raise CommandError(problem)
        folder = Path(settings.DATA_DIR)
        with (folder / "demo.lock").open("w") as lock:
            _take(lock, folder)
            self._run(folder, port)

    def _run(self, folder: Path, port: int) -> None:
        stop = processes.stop_on_signals()
        supervisor = processes.Supervisor(stop, grace_seconds=GRACE_SECONDS, tell=self._say)
        try:
            self._start(supervisor, folder, port)
            supervisor.watch()
            self._say("Ending the demo.")
        except processes.StoppedWhileStarting:
            self._say("Stopped before everything was up.")
        except processes.ChildFailed as error:
            raise CommandError(f"{error}\nThe demo ends.") from error
        finally:
            supervisor.end()

    def _start(self, supervisor: processes.Supervisor, folder: Path, port: int) -> None:
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)
        emulator_port = _emulator_port(folder)
        env = _environment(folder, port, emulator_port)

        def child(name: str, *arguments: str) -> processes.Child:
            argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments, "--parent", str(os.getpid())]
            return processes.Child(name=name, argv=argv, env=env, log=logs / f"{name}.log")

        emulated = str(folder / "emulator")
        self._say(f"Starting the demo in {folder} …")
        supervisor.start(child("emulator", "emulator", "--port", str(emulator_port), "--data-dir", emulated))
        supervisor.wait_until(lambda: processes.answers(emulator_port, "/_emulator/faults"), "The emulator")
        url = f"http://127.0.0.1:{emulator_port}"
        passwords = json.loads(
            supervisor.finish(child("set-up", "demo", "--data-dir", str(folder), "--prepare", url)).splitlines()[-1]
        )
        supervisor.start(child("sync", "sync"))
        supervisor.start(child("web", "serve", "--port", str(port)))
        supervisor.wait_until(lambda: processes.answers(port, "/healthz"), "The web server")
        self._tell_how(port, url, passwords)

    def _tell_how(self, port: int, emulator_url: str, passwords: Mapping[str, str]) -> None:
        self._say("")
        self._say("Sign in with one of these names and passwords (new ones at each start):")
        for role, does in demonstration.PEOPLE.items():
            self._say(f"  {role.value:<9} {passwords[role.value]}  {does}")
        self._say("")
        self._say(f"Adobe is played by an emulator on {emulator_url}; nothing leaves this machine.")
        self._say(f"ready: http://127.0.0.1:{port}/   (Ctrl-C ends everything)")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _take(lock: IO[str], folder: Path) -> None:
    """One demo per folder: a second one would move the emulator away from under the first."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CommandError(
            f"A demo runs in {folder} already. End it, or choose another folder with --data-dir."
        ) from error


def _emulator_port(folder: Path) -> int:
    """The port of the last start if it is free, else a new one; kept in the folder."""
    kept = folder / "emulator_port"
    try:
        last = int(kept.read_text(encoding="ascii"))
    except (OSError, ValueError):
        last = 0
    port = processes.free_port(last)
    kept.write_text(str(port), encoding="ascii")
    return port


def _environment(folder: Path, port: int, emulator_port: int) -> dict[str, str]:
    """Ours without any setting of a real installation: the demo must never reach its database or Adobe."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEGADMIN_", "DATABASE_URL"))}
    return kept | {
        "PYTHONUNBUFFERED": "1",
        "SEGADMIN_DATA_DIR": str(folder),
        "SEGADMIN_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SEGADMIN_UPSTREAM_HOSTS": f"127.0.0.1:{emulator_port}",
        "SEGADMIN_SYNC_SECONDS": str(SYNC_SECONDS),
        "SEGADMIN_STREAM_URL": f"{folder.absolute().as_uri()}/record.jsonl",
    }
