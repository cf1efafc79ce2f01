"""`backup FILE`: a checked copy of everything but the keys."""

import json
from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from segadmin.actions import backups
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor


class Command(BaseCommand):
    help = (
        "Copy the database, the checkpoints and the public keys into one file, while segadmin runs, and check the copy: "
        "the record's chain, and that every stored secret opens. The encryption keys and the signing key are not in it: "
        "keep them in another place. Without the encryption keys the credentials of a backup are lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="The file to make; it must not be there yet.")
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")
        parser.add_argument("--inspect", action="store_true", help=SUPPRESS)

    def handle(self, *_args: Any, file: Path | None, by: str, inspect: bool, **_options: Any) -> None:
        if inspect:
            self.stdout.write(json.dumps(backups.inspect()))
            return
        if file is None:
            raise CommandError("Name the file to make, such as segadmin-backup.zip.")
        try:
            manifest = backups.make(actor=Actor.command(by), target=file)
        except NotDone as problem:
            raise CommandError(f"No backup was made. {problem}") from problem
        needs = ", ".join(manifest["needs_encryption_keys"]) or "none"
        self.stdout.write(
            f"{file}: records 1 to {manifest['seq']:,}, unbroken; every stored secret opens.\n"
            f"To use it, the encryption keys {needs} are needed; they are not in the file."
        )
