"""`sync`: the mirror process."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from segadmin import processes, sync
from segadmin.plain import visible


class Command(BaseCommand):
    """Any number may run on one PostgreSQL: each sandbox is read by one of them."""

    help = "Keep our copy of each watched sandbox's export jobs and names true, until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="sweep every watched sandbox once, then end; non-zero if one could not be read",
        )
        parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)

    def handle(self, *, once: bool, parent: int, **_options: Any) -> None:
        """`--parent PID` is for the process that starts this one."""
        if parent:
            processes.end_with_parent(parent)
        if once:
            if unread := sync.once():
                raise CommandError("\n".join(visible(sentence) for sentence in unread))
            self.stdout.write("Every watched sandbox was read.")
            return
        stop = processes.stop_on_signals()
        self.stdout.write("sync runs.")
        self.stdout.flush()
        sync.run(stop)
        self.stdout.write("sync stopped.")
