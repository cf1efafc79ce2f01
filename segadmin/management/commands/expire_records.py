"""`expire_records`: removes contents whose time is over; sync does the same once a day."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from segadmin.actions import retention as actions
from segadmin.audit import Actor
from segadmin.queries import retention


class Command(BaseCommand):
    help = (
        "Remove what records say when its time is over (see the page Retention); their numbers, digests and chain values "
        "stay, and what a legal hold covers is kept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only tell what would go.")
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")

    def handle(self, *_args: Any, dry_run: bool, by: str, **_options: Any) -> None:
        for kept in retention.overview():
            self.stdout.write(
                f"{kept.name}: kept {kept.months} months; {kept.due:,} older than {kept.before_at:%Y-%m-%d} would go, "
                f"{kept.held:,} are kept by a legal hold."
            )
        if dry_run:
            self.stdout.write("Nothing was removed.")
            return
        gone = 0
        while done := actions.expire(actor=Actor.command(by)):
            gone += done
        self.stdout.write(f"Removed the contents of {gone:,} records; their digests stay.")
