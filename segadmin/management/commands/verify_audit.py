"""`verify_audit`: checks the whole record of this database."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from segadmin.actions import proof
from segadmin.audit import Actor, verifier
from segadmin.audit.verify import Result
from segadmin.plain import visible

DAMAGED, UNREADABLE = 1, 2


class Command(BaseCommand):
    help = (
        "Check the record: every digest and chain value, every search column against the text, every checkpoint at hand. "
        "The result is kept for the audit page and put on record. Exit code: 0 unbroken, 1 damaged, 2 could not be "
        "checked. " + verifier.NOT_PROVEN
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--quick", action="store_true", help="Digests and chain only; the search columns are not compared."
        )
        parser.add_argument("--from", type=int, default=1, dest="first", metavar="RECORD", help="Begin at this record.")
        parser.add_argument("--to", type=int, default=None, dest="last", metavar="RECORD", help="End at this record.")
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")
        parser.add_argument(
            "--checkpoints",
            type=Path,
            metavar="FILE",
            help="A text with checkpoints that were kept outside, such as a mail.",
        )
        parser.add_argument(
            "--public-key",
            type=Path,
            metavar="FILE",
            help="A text with the public keys that alone count; else those on record.",
        )
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")

    def handle(self, *_args: Any, **options: Any) -> None:
        outside = verifier.find_checkpoints(_text(options["checkpoints"]))
        keys = {key_id: key.hex() for key_id, key in verifier.find_keys(_text(options["public_key"])).items()}
        if options["checkpoints"] and not outside:
            raise CommandError(f"{options['checkpoints']} holds no checkpoint.", returncode=UNREADABLE)
        if options["public_key"] and not keys:
            raise CommandError(f"{options['public_key']} holds no public key.", returncode=UNREADABLE)
        try:
            result, kept = proof.verify_record(
                actor=Actor.command(options["by"]),
                full=not options["quick"],
                first=options["first"],
                last=options["last"],
                outside=outside,
                trusted=keys or None,
                progress=self._progress,
            )
        except (DatabaseError, RuntimeError) as error:
            raise CommandError(f"The record could not be checked: {error}", returncode=UNREADABLE) from error
        if options["json"]:
            told = {**asdict(result), "ok": result.ok, "damage": [damage._asdict() for damage in result.damage]}
            self.stdout.write(json.dumps({**told, "at": kept.at.isoformat() if kept else None}, indent=2))
        else:
            self._say(result)
        if not result.ok:
            raise CommandError("The record is DAMAGED.", returncode=DAMAGED)

    def _progress(self, done: int, everything: int) -> None:
        if everything:
            self.stderr.write(f"{done:,} of {everything:,} ({100 * done // everything} %)", ending="\n")

    def _say(self, result: Result) -> None:
        rate = f", {result.events / result.seconds:,.0f} a second" if result.seconds else ""
        self.stdout.write(
            f"Records {result.first:,} to {result.last:,}: {result.events:,} in {result.seconds:.1f} s{rate}."
        )
        self.stdout.write(f"  checked with their text: {result.with_content:,}")
        self.stdout.write(f"  by their digest only, the text has expired: {result.by_digest_only:,}")
        self.stdout.write(f"  text missing: {result.missing:,}")
        self.stdout.write(f"  checkpoints that agree: {result.checkpoints:,}, of them kept outside: {result.outside:,}")
        for remark in result.remarks:
            self.stdout.write(f"Remark: {visible(remark)}")
        for damage in result.damage:
            self.stdout.write(f"DAMAGE ({damage.kind}) at record {damage.seq:,}: {visible(damage.says)}")
        if result.damaged > len(result.damage):
            self.stdout.write(f"and {result.damaged - len(result.damage):,} more")
        if result.ok:
            quick = "Unbroken, by digests and chain only. The verdict takes a run without --quick."
            self.stdout.write("Unbroken." if result.full else quick)
        if result.ok and not result.outside:
            self.stdout.write("No checkpoint from outside was compared: who administers this server can make it agree.")
        self.stdout.write(verifier.NOT_PROVEN)


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.", returncode=UNREADABLE) from error
