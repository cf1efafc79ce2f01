"""Writes the record into a file, as the page does, on record as the command-line user."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError

from segadmin.actions import files as actions
from segadmin.audit import Actor
from segadmin.models import FileReceipt, Organization
from segadmin.queries import audit, files
from segadmin.queries import organizations as organization_queries


class Command(BaseCommand):
    help = (
        "Write the record as CSV or JSON Lines, the oldest first, with the same rows and columns as the page's files. That "
        "it was done is on record; the receipt's code and the SHA-256 are told at the end, and a copy can be compared "
        "with them under “Check a file”."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=["jsonl", "csv"], required=True, dest="kind")
        parser.add_argument("--out", default="", metavar="FILE", help="Where to; without it to standard output.")
        parser.add_argument(
            "--from", default="", metavar="WHEN", dest="first", help="Day (UTC), or ISO 8601 with zone."
        )
        parser.add_argument(
            "--to", default="", metavar="WHEN", dest="last", help="Last day (UTC), or ISO 8601 with zone, exclusive."
        )
        parser.add_argument("--org", action="append", default=[], metavar="SLUG", help="May be repeated; else all.")
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")

    def handle(self, *_args: Any, **options: Any) -> None:
        filters = audit.Filters(
            organizations=[self._organization(slug) for slug in options["org"]],
            from_at=_moment(options["first"], is_end=False),
            to_at=_moment(options["last"], is_end=True),
        )
        if filters.from_at and filters.to_at and filters.from_at >= filters.to_at:
            raise CommandError("--to is not after --from. Nothing was written.")
        if options["out"]:
            download = self._into_file(Path(options["out"]), options, filters)
        else:
            download = self._write(sys.stdout.buffer, options, filters)
        receipt = download.receipt
        # Not on standard output, where the file itself may be.
        self.stderr.write(f"{receipt.rows} rows, SHA-256 {receipt.sha256}, receipt {receipt.code}")

    def _organization(self, slug: str) -> Organization:
        found = organization_queries.by_slug(slug)
        if found is None:
            raise CommandError(f"There is no organization with the short name {slug}.")
        return found

    def _into_file(self, path: Path, options: dict[str, Any], filters: audit.Filters) -> actions.Download:
        """Under another name until it is whole, readable by its owner only."""
        unfinished = path.with_name(f"{path.name}.unfinished-{os.getpid()}")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                download = self._write(target, options, filters)
                os.fsync(target.fileno())
            unfinished.replace(path)
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}.") from error
        finally:
            unfinished.unlink(missing_ok=True)
        return download

    def _write(self, target: IO[bytes], options: dict[str, Any], filters: audit.Filters) -> actions.Download:
        scope = audit.Scope(list(Organization.objects.order_by("name", "pk")), whole=True)
        order = actions.Order(
            what="audit",
            kind=FileReceipt.Kind(options["kind"]),
            organizations=filters.organizations or scope.organizations,
            whole=not filters.organizations,
            chosen={name: words for name in ("org", "first", "last") if (words := _listed(options[name]))},
            from_at=filters.from_at,
            to_at=filters.to_at,
        )
        rows = files.audit_csv if options["kind"] == "csv" else files.audit_jsonl
        actor = Actor.command(options["by"])
        download = actions.Download(actor=actor, order=order, source=lambda cut_off: rows(scope, filters, cut_off))
        _copy(download, target, download.close)
        return download


def _copy(parts: Iterable[bytes], target: IO[bytes], close: Any) -> None:
    try:
        for part in parts:
            target.write(part)
        target.flush()
    finally:
        close()


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []


def _moment(text: str, *, is_end: bool) -> datetime | None:
    """A day as its first moment in UTC, or as the moment after it; an instant as it is."""
    if not text:
        return None
    try:
        if len(text) == len("2026-07-01"):
            day = datetime.combine(date.fromisoformat(text), time.min, UTC)
            return day + timedelta(days=1) if is_end else day
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{text} is neither a day such as 2026-07-01 nor an instant in ISO 8601.") from error
    if moment.tzinfo is None:
        raise CommandError(f"{text} has no zone. Write 2026-07-01T08:30:00Z, say.")
    return moment
