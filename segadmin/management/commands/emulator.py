"""`emulator`: the local stand-in for Adobe Experience Platform, alone."""

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from segadmin import processes
from segadmin.emulator.server import Emulator


class Command(BaseCommand):
    """Listens on loopback only."""

    help = "Run a local stand-in for Adobe Experience Platform on 127.0.0.1, for training and tests."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, default=8010, help="port on 127.0.0.1; 0 takes a free one (default: 8010)"
        )
        parser.add_argument("--jobs", type=int, default=40, help="export jobs at the first start (default: 40)")
        parser.add_argument(
            "--data-dir", type=Path, help="folder for its state (default: emulator/ in the data folder)"
        )
        parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)

    def handle(self, *, port: int, jobs: int, data_dir: Path | None, parent: int, **_options: Any) -> None:
        """`--parent PID` is for the process that starts this one."""
        if parent:
            processes.end_with_parent(parent)
        if port and (problem := processes.port_problem("127.0.0.1", port)):
            raise CommandError(problem)
        folder = data_dir or settings.DATA_DIR / "emulator"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stop = processes.stop_on_signals()
        with Emulator(data_dir=folder, port=port, jobs=jobs) as emulator:
            self.stdout.write(f"The emulator listens on {emulator.url}; its state is in {folder}. Ctrl-C ends it.")
            self.stdout.write(
                f"To let segadmin use it: SEGADMIN_UPSTREAM_HOSTS=127.0.0.1:{emulator.port}, and "
                f"--api-url {emulator.url} --token-url {emulator.url}/ims/token/v3 for add_organization."
            )
            self.stdout.flush()
            stop.wait()
