"""Adds an org with its credential and sandboxes, without a call to Adobe."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from segadmin.actions import organizations
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.models.organizations import ADOBE_API_URL, ADOBE_TOKEN_URL

OPTIONS = {"secret": "client-secret-stdin", "sandboxes": "sandbox", "": ""}


class Command(BaseCommand):
    help = (
        "Add an organization with its OAuth server-to-server credential. The named sandboxes are watched and take exports "
        "from now on. A sandbox's type comes from Adobe with the first look; until then those of --production, and those "
        "whose type is not known, count as production. Nothing is sent to Adobe by this command. Audited."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "slug", help="Short name for the addresses: small letters, digits, hyphens. It can't change."
        )
        parser.add_argument("--name", required=True, help="As people call it.")
        parser.add_argument("--ims-org-id", required=True, help="Adobe's id of it, which ends in @AdobeOrg.")
        parser.add_argument("--sandbox", action="append", default=[], metavar="NAME", help="May be repeated.")
        parser.add_argument(
            "--production",
            action="extend",
            nargs="+",
            default=[],
            metavar="NAME",
            help="Sandboxes whose type is production, as if Adobe had said so.",
        )
        parser.add_argument("--client-id", required=True, help="Adobe's console also calls it API key.")
        parser.add_argument(
            "--client-secret-stdin",
            action="store_true",
            required=True,
            help="Read the client secret from standard input, so that it stands in no process list and no history.",
        )
        parser.add_argument("--scopes", default="", help="Comma-separated, as Adobe's console shows them.")
        parser.add_argument("--api-url", default=ADOBE_API_URL)
        parser.add_argument("--token-url", default=ADOBE_TOKEN_URL)
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")
        parser.add_argument("--reason", default="", help="Why, for the record.")

    def handle(self, *_args: Any, **options: Any) -> None:
        sandboxes = dict.fromkeys(options["sandbox"], "") | dict.fromkeys(options["production"], "production")
        if not sandboxes:
            raise CommandError("Name at least one sandbox with --sandbox.")
        secret = sys.stdin.readline() if not sys.stdin.isatty() else getpass("Client secret: ")
        try:
            added = organizations.set_up(
                actor=Actor.command(options["by"]),
                slug=options["slug"],
                name=options["name"].strip(),
                ims_org_id=options["ims_org_id"].strip(),
                sandboxes=sandboxes,
                client_id=options["client_id"].strip(),
                secret=secret.strip(),
                scopes=options["scopes"],
                api_url=options["api_url"],
                token_url=options["token_url"],
                reason=options["reason"],
            )
        except NotDone as problem:
            raise CommandError(_told(problem)) from problem
        self.stdout.write(f"Added {added.name} ({added.slug}), watching: {', '.join(sandboxes)}.")


def _told(problem: NotDone) -> str:
    """Each problem with the option that it is about."""
    lines = []
    for name, text in problem.problems.items():
        option = OPTIONS.get(name, name.replace("_", "-"))
        lines.append(text if not option else f"{option}: {text}" if option == "slug" else f"--{option}: {text}")
    return "\n".join(["Nothing was added.", *lines])
