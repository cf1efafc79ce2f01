"""Changes to people: accounts, roles, passwords."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Membership, Organization, Role, User


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One role to be given: in an org, or (None) in the whole installation; `ends_at` None: until it is taken."""

    role: Role
    organization: Organization | None
    ends_at: datetime | None = None


def choose_zone(user: User, *, zone: str) -> None:
    """A person's own display setting; leaves no event."""
    User.objects.filter(pk=user.pk).update(zone=zone)


def choose_keys(user: User, *, single: bool) -> None:
    """Whether single keys do something for this person; leaves no event."""
    User.objects.filter(pk=user.pk).update(single_keys=single)


@sensitive_variables("password")
def add(*, actor: Actor, username: str, password: str, grants: Collection[Grant], reason: str = "") -> User:
    """Make an account with its first roles."""
    new = User(username=User.normalize_username(username.strip()))
    problems = _name_problems(new) | _password_problems(new, password)
    if not grants:
        problems["roles"] = _("Choose at least one role: without one the account sees nothing.")
    if problems:
        raise NotDone(problems)
    new.set_password(password)
    try:
        with transaction.atomic():
            new.save(force_insert=True)
            record(
                actor=actor,
                action=Action.PERSON_ADD,
                sentence=f"made an account for {new.username}",
                subject=Subject(organization=_one_organization(grants)),
                details={"person": {"id": new.pk, "name": new.username}, "reason": reason},
            )
            for grant in grants:
                give_role(actor=actor, person=new, grant=grant, reason=reason)
    except IntegrityError as error:
        raise NotDone({"username": _name_taken(new.username)}) from error
    return new


def _one_organization(grants: Collection[Grant]) -> Organization | None:
    """The org that an account's event belongs to, where it is one only."""
    found = {grant.organization.pk: grant.organization for grant in grants if grant.organization}
    return next(iter(found.values())) if len(found) == 1 and all(grant.organization for grant in grants) else None


def _name_taken(username: str) -> str:
    return _("There is an account named %(name)s already.") % {"name": username}


def _name_problems(new: User) -> dict[str, str]:
    try:
        new.clean_fields(exclude=["password"])
    except ValidationError as error:
        return {"username": " ".join(error.message_dict.get("username", error.messages))}
    # Sign-in does not look at capital letters.
    if User.objects.filter(username__iexact=new.username).exists():
        return {"username": _name_taken(new.username)}
    return {}


@sensitive_variables("password")
def _password_problems(person: User, password: str) -> dict[str, str]:
    try:
        validate_password(password, person)
    except ValidationError as error:
        return {"password": " ".join(error.messages)}
    return {}


def _where(organization: Organization | None) -> str:
    return f"in {organization.name}" if organization else "in the whole installation"


def give_role(*, actor: Actor, person: User, grant: Grant, reason: str = "") -> bool:
    """Give a role, or change until when it holds. False: the person has it like this already."""
    if not person.is_active:
        raise NotDone(_("The account of %(name)s is closed. Reopen it first.") % {"name": person.username})
    if grant.organization and grant.organization.retired_at:
        raise NotDone({"organization": _("%(org)s was removed from segadmin.") % {"org": grant.organization.name}})
    if grant.ends_at and grant.ends_at <= timezone.now():
        raise NotDone({"ends_on": _("The last day has to lie ahead.")})
    if grant.ends_at and grant.role == Role.ADMIN and grant.organization is None:
        raise NotDone({"ends_on": _("An admin of the whole installation has no last day: nobody might be left.")})
    with transaction.atomic():
        row = (
            Membership.objects.select_for_update(of=("self",))
            .filter(user=person, organization=grant.organization, role=grant.role)
            .order_by("pk")
            .first()
        )
        if row is not None and row.ends_at == grant.ends_at:
            return False
        if row is None:
            Membership.objects.create(
                user=person, organization=grant.organization, role=grant.role, ends_at=grant.ends_at
            )
        else:
            Membership.objects.filter(pk=row.pk, ends_at=row.ends_at).update(ends_at=grant.ends_at)
        until = f" until {grant.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if grant.ends_at else ""
        record(
            actor=actor,
            action=Action.ROLE_GIVE,
            sentence=f"gave {person.username} the role {grant.role.value} {_where(grant.organization)}{until}",
            subject=Subject(organization=grant.organization),
            details=_role_details(person, grant.role, row, ends_at=grant.ends_at, reason=reason, given=True),
        )
    return True


def give_roles(*, actor: Actor, person: User, grants: Collection[Grant], reason: str = "") -> list[Grant]:
    """Give several roles, all or none. Returns those that the person did not have like this."""
    with transaction.atomic():
        return [one for one in grants if give_role(actor=actor, person=person, grant=one, reason=reason)]


def _role_details(
    person: User,
    role: Role,
    before: Membership | None,
    *,
    ends_at: datetime | None = None,
    reason: str,
    given: bool,
) -> dict[str, Any]:
    def state(at: datetime | None) -> dict[str, str]:
        return {"role": role.value, "ends_at": at.astimezone(UTC).isoformat() if at else ""}

    return {
        "person": {"id": person.pk, "name": person.username},
        "before": state(before.ends_at) if before else {},
        "after": state(ends_at) if given else {},
        "reason": reason,
    }


def take_role(*, actor: Actor, person: User, membership: Membership, reason: str = "") -> bool:
    """Take a role. False: it was taken before. Nobody can take the own last admin role, nor the installation's last."""
    role, organization = Role(membership.role), membership.organization
    with transaction.atomic():
        if role == Role.ADMIN:
            _keep_an_admin(actor, person, organization)
        gone, _tables = Membership.objects.filter(pk=membership.pk, user=person).delete()
        if not gone:
            return False
        record(
            actor=actor,
            action=Action.ROLE_TAKE,
            sentence=f"took the role {role.value} {_where(organization)} from {person.username}",
            subject=Subject(organization=organization),
            details=_role_details(person, role, membership, reason=reason, given=False),
        )
    return True


def _is(actor: Actor, person: User) -> bool:
    return actor.kind == "person" and actor.id == str(person.pk)


def _installation_admins() -> set[int]:
    """Open accounts that are admin of the whole installation, held until the transaction ends."""
    rows = Membership.objects.select_for_update(of=("self",)).filter(
        Q(ends_at=None) | Q(ends_at__gt=timezone.now()), organization=None, role=Role.ADMIN, user__is_active=True
    )
    return {row.user_id for row in rows.order_by("pk")}


def _keep_an_admin(actor: Actor, person: User, organization: Organization | None) -> None:
    admins = _installation_admins()
    if organization is None and admins == {person.pk}:
        raise NotDone(_("This is the last admin of the whole installation. Give the role to somebody else first."))
    if _is(actor, person) and (organization is None or person.pk not in admins):
        raise NotDone(_("You can't take your own admin role. Another admin can."))


def _end_sessions(person: User) -> int:
    sessions = list(UserSession.objects.filter(user_id=person.pk))
    for session in sessions:
        session.end()
    return len(sessions)


def _home(person: User) -> Organization | None:
    """The org that an account belongs to, where it is one only: its admins and auditors read of it in the record."""
    rows = list(person.memberships.select_related("organization"))
    organizations = {row.organization_id: row.organization for row in rows}
    return next(iter(organizations.values())) if len(organizations) == 1 else None


def close(*, actor: Actor, person: User, reason: str = "") -> bool:
    """Close an account and end its sessions; its name and history stay. False: it was closed before."""
    if _is(actor, person):
        raise NotDone(_("You can't close your own account. Another admin can."))
    with transaction.atomic():
        if _installation_admins() == {person.pk}:
            raise NotDone(_("This is the last admin of the whole installation. Give the role to somebody else first."))
        if not User.objects.filter(pk=person.pk, is_active=True).update(is_active=False):
            return False
        ended = _end_sessions(person)
        record(
            actor=actor,
            action=Action.PERSON_CLOSE,
            sentence=f"closed the account of {person.username}",
            subject=Subject(organization=_home(person)),
            details={
                "person": {"id": person.pk, "name": person.username},
                "before": {"open": True},
                "after": {"open": False},
                "sessions_ended": ended,
                "reason": reason,
            },
        )
    return True


def reopen(*, actor: Actor, person: User, reason: str = "") -> bool:
    """Open a closed account again, with the roles it had. False: it is open."""
    with transaction.atomic():
        if not User.objects.filter(pk=person.pk, is_active=False).update(is_active=True):
            return False
        record(
            actor=actor,
            action=Action.PERSON_REOPEN,
            sentence=f"reopened the account of {person.username}",
            subject=Subject(organization=_home(person)),
            details={
                "person": {"id": person.pk, "name": person.username},
                "before": {"open": False},
                "after": {"open": True},
                "reason": reason,
            },
        )
    return True


@sensitive_variables("password", "hashed")
def set_password(*, actor: Actor, person: User, password: str, reason: str = "") -> None:
    """Give another person a new password and end that person's sessions."""
    if _is(actor, person):
        raise NotDone(_("Change your own password on your account's page."))
    if problems := _password_problems(person, password):
        raise NotDone(problems)
    before = person.password
    person.set_password(password)
    hashed = person.password
    with transaction.atomic():
        if not User.objects.filter(pk=person.pk, password=before).update(password=hashed):
            raise NotDone(_("Somebody else changed this password at the same moment."))
        ended = _end_sessions(person)
        record(
            actor=actor,
            action=Action.PASSWORD_SET,
            sentence=f"set a new password for {person.username}",
            subject=Subject(organization=_home(person)),
            details={"person": {"id": person.pk, "name": person.username}, "sessions_ended": ended, "reason": reason},
        )
