"""`restore FILE`: puts a backup back, in a new epoch, and says what is lost."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from segadmin.actions import backups
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor


class Command(BaseCommand):
    help = (
        "Put a backup back. Stop every process of segadmin first. The backup is checked before anything is touched; then a "
        "new epoch begins, the record says which known records are lost, and no number is issued twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--replace", action="store_true", help="Also over a database that holds records.")
        parser.add_argument("--reason", default="", help="Why, for the record.")
        parser.add_argument(
            "--known-highest",
            type=int,
            default=None,
            metavar="RECORD",
            help="The highest record number that anybody knows of, such as from a receipt or a mail.",
        )
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")

    def handle(self, *_args: Any, file: Path, **options: Any) -> None:
        try:
            done = backups.restore(
                actor=Actor.command(options["by"]),
                source=file,
                reason=options["reason"],
                known_highest=options["known_highest"],
                replace=options["replace"],
            )
        except NotDone as problem:
            raise CommandError(f"Nothing was restored. {problem}") from problem
        self.stdout.write(
            f"Restored {file}: its records end at {done['seq']:,}; record {done['record']:,} tells of it."
        )
        if done["aside"]:
            self.stdout.write(f"The database that was there is kept as {done['aside']}.")
