"""Makes an account, or gives an existing one more roles."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from segadmin.actions import people
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.models import Role, User
from segadmin.queries import organizations as organization_queries
from segadmin.queries import people as people_queries


class Command(BaseCommand):
    help = (
        "Make an account with one or more roles. Without --organization they hold for the whole installation; only an admin "
        "of that adds organizations. If the account exists, it gets the roles that it lacks, and its password stays as it "
        "is. Audited."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="The account's name, as every record has it.")
        parser.add_argument(
            "--role", action="append", required=True, choices=Role.values, help="May be repeated.", dest="roles"
        )
        parser.add_argument("--organization", default="", metavar="SLUG", help="Where the roles hold.")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="Read the password (one line, at least 12 characters) from standard input. Needed for a new account.",
        )
        parser.add_argument("--by", default="", help="Who does this, for the record; else the operating-system user.")
        parser.add_argument("--reason", default="", help="Why, for the record.")

    def handle(self, *_args: Any, **options: Any) -> None:
        grants = self._grants(options)
        actor, reason = Actor.command(options["by"]), options["reason"]
        existing = people_queries.by_name(options["name"])
        try:
            if existing is not None:
                self._give(actor, existing, grants, options)
                return
            if not options["password_stdin"]:
                raise CommandError("A new account needs a password: add --password-stdin.")
            password = _line("Password: ")
            made = people.add(actor=actor, username=options["name"], password=password, grants=grants, reason=reason)
        except NotDone as problem:
            raise CommandError(f"Nothing was changed. {problem}") from problem
        self.stdout.write(f"Made the account {made.username}: {_words(grants)}.")

    def _grants(self, options: dict[str, Any]) -> list[people.Grant]:
        slug = options["organization"]
        place = organization_queries.by_slug(slug) if slug else None
        if slug and place is None:
            raise CommandError(f"There is no organization with the short name {slug}.")
        roles = dict.fromkeys(options["roles"])
        return [people.Grant(role=Role(role), organization=place) for role in roles]

    def _give(self, actor: Actor, person: User, grants: list[people.Grant], options: dict[str, Any]) -> None:
        given = people.give_roles(actor=actor, person=person, grants=grants, reason=options["reason"])
        if not given:
            raise CommandError(f"{person.username} exists and has these roles already. Nothing was changed.")
        self.stdout.write(f"{person.username} exists; gave it: {_words(given)}. Its password is as it was.")


def _line(prompt: str) -> str:
    """One line of standard input, without its line end."""
    if sys.stdin.isatty():
        return getpass(prompt)
    return sys.stdin.readline().rstrip("\r\n")


def _words(grants: list[people.Grant]) -> str:
    place = grants[0].organization
    return f"{', '.join(grant.role.value for grant in grants)} in {place.name if place else 'the whole installation'}"
