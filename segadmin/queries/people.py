"""Reads for the pages of people. What the one who looks may see comes in as org keys; nothing here decides about rights."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.models import Membership, Organization, Role, User

PAGE_SIZE = 50
MOST_MEANT = 10


@dataclass(frozen=True)
class RoleLine:
    """One role of one account, in words."""

    membership: Membership
    role: str
    where: str
    ends_at: datetime | None
    ended: bool


@dataclass(frozen=True)
class PersonRow:
    """One account in the list."""

    user: User
    roles: list[RoleLine]


def _lines(memberships: Iterable[Membership], organizations: Collection[int], everywhere: bool) -> list[RoleLine]:
    """Roles that may be shown to somebody who sees these orgs, installation-wide ones first."""
    now = timezone.now()
    lines = []
    for row in memberships:
        if not everywhere and row.organization_id is not None and row.organization_id not in organizations:
            continue
        where = row.organization.name if row.organization else _("all organizations")
        ended = row.ends_at is not None and row.ends_at <= now
        lines.append(RoleLine(row, str(Role(row.role).label), where, row.ends_at, ended))
    return sorted(lines, key=lambda line: (line.membership.organization_id is not None, line.where, line.role))


@dataclass(frozen=True)
class PersonPage:
    """One page of the list; `next_after` is the account after which the next one begins, None at the end."""

    rows: list[PersonRow]
    next_after: int | None


def person_page(organizations: Collection[int], *, everywhere: bool, after: int | None = None) -> PersonPage:
    """Accounts with a role in these orgs or in the whole installation; with `everywhere` every account.

    Open ones first, by name. `after`: the key of an account; one that is not in the list means the first page.
    """
    people = User.objects.order_by("-is_active", "username", "pk")
    if not everywhere:
        here = Membership.objects.filter(user=OuterRef("pk")).filter(
            Q(organization__in=organizations) | Q(organization=None)
        )
        people = people.filter(Exists(here))
    last = people.filter(pk=after).first() if after is not None else None
    if last is not None:
        further = Q(is_active=last.is_active, username__gt=last.username)
        people = people.filter(further | Q(is_active=False) if last.is_active else further)
    found = list(people.prefetch_related("memberships__organization")[: PAGE_SIZE + 1])
    rows = [PersonRow(user, _lines(user.memberships.all(), organizations, everywhere)) for user in found[:PAGE_SIZE]]
    return PersonPage(rows, rows[-1].user.pk if len(found) > PAGE_SIZE else None)


def role_lines(person: User, organizations: Collection[int], *, everywhere: bool) -> list[RoleLine]:
    return _lines(person.memberships.select_related("organization").order_by("pk"), organizations, everywhere)


def by_name(username: str) -> User | None:
    """The account of that name; capital letters don't matter, as at sign-in."""
    return User.objects.filter(username__iexact=username.strip()).first()


def takeable(person: User, organizations: Collection[int], *, everywhere: bool) -> QuerySet[Membership]:
    """Roles of a person that an admin of these orgs may take."""
    rows = person.memberships.select_related("organization").order_by("pk")
    return rows if everywhere else rows.filter(organization__in=organizations)


def organizations_for_roles(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Orgs in which a role still makes sense."""
    return organizations.filter(retired_at=None)


def meant(names: Iterable[str]) -> list[str]:
    """Names of accounts as they were typed; where no account is called exactly so, those that differ in capitals only.

    Else "M.Lead" for m.lead would find nothing, which passes for an answer.
    """
    typed = list(dict.fromkeys(names))
    exact = set(User.objects.filter(username__in=typed).order_by().values_list("username", flat=True))
    found = dict.fromkeys(typed)
    for name in typed:
        if name not in exact:
            others = User.objects.filter(username__iexact=name).order_by("pk").values_list("username", flat=True)
            found |= dict.fromkeys(others[:MOST_MEANT])
    return list(found)
