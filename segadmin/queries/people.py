"""Reads for the pages of people. What the one who looks may see comes in as org keys; nothing here decides about rights."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.models import Membership, Organization, Role, User


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


def person_rows(organizations: Collection[int], *, everywhere: bool) -> list[PersonRow]:
    """Accounts with a role in these orgs or in the whole installation; with `everywhere` every account. Two queries."""
    people = User.objects.prefetch_related("memberships__organization").order_by("-is_active", "username", "pk")
    if not everywhere:
        here = Membership.objects.filter(user=OuterRef("pk")).filter(
            Q(organization__in=organizations) | Q(organization=None)
        )
        people = people.filter(Exists(here))
    return [PersonRow(user, _lines(user.memberships.all(), organizations, everywhere)) for user in people]


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
