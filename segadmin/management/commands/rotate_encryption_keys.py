"""Seals every stored secret with the first of SEGADMIN_ENCRYPTION_KEYS."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from segadmin.actions import keys
from segadmin.audit import Actor
from segadmin.queries import keys as queries


class Command(BaseCommand):
    help = (
        "Seal every stored secret with the first of SEGADMIN_ENCRYPTION_KEYS. To rotate: put a new key in front of the old "
        "ones, restart every process, run this, run it with --check, then remove the old key. It is one transaction: "
        "stopped half-way nothing has moved, and it can be run again. Audited."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="Change nothing; count the secrets of each key, and exit with 1 unless all are sealed with the first.",
        )
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")
        parser.add_argument("--reason", default="", help="Why, for the record.")

    def handle(self, *_args: Any, **options: Any) -> None:
        first = queries.first_key()
        if not options["check"]:
            self._rotate(first, options)
            return
        counts = queries.sealed_by()
        for key_id in sorted({first, *counts}):
            mark = " (the first key)" if key_id == first else ""
            self.stdout.write(f"{key_id or 'unreadable'}{mark}: {counts[key_id]}")
        others = sum(count for key_id, count in counts.items() if key_id != first)
        if others:
            raise CommandError(f"{others} secrets are not sealed with {first}. Run rotate_encryption_keys.")

    def _rotate(self, first: str, options: dict[str, Any]) -> None:
        done = keys.rotate_keys(actor=Actor.command(options["by"]), reason=options["reason"])
        self.stdout.write(f"Sealed {done.resealed} secrets with {first}; {done.already} were already.")
        if done.dropped_tokens:
            self.stdout.write(f"Dropped {done.dropped_tokens} cached access tokens that no key opens; new ones follow.")
        if done.broken:
            raise CommandError(
                f"These could not be opened: {', '.join(done.broken)}. "
                "Put the key that sealed them back into SEGADMIN_ENCRYPTION_KEYS, or set them again."
            )
