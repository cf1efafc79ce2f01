"""Fetch and authorise in one call. Another org's object is 404, a wrong role 403; both are on record."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.audit import Actor, Subject, record
from segadmin.audit.record import one_line
from segadmin.models import (
    Action,
    Event,
    EventContent,
    Explanation,
    ExportOutcome,
    ExportRequest,
    Finding,
    Job,
    Membership,
    Organization,
    Outcome,
    RegisterEntry,
    RequestState,
    Review,
    Role,
    Sandbox,
    User,
)

ANY = frozenset(Role)
MAY_CREATE = frozenset({Role.OPERATOR, Role.ADMIN})
MAY_CANCEL = frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN})
MAY_CHECK = frozenset({Role.OPERATOR, Role.APPROVER, Role.AUDITOR, Role.ADMIN, Role.VIEWER})
MAY_ADMINISTER = frozenset({Role.ADMIN})
MAY_READ_RECORD = frozenset({Role.AUDITOR, Role.ADMIN})
MAY_READ_REGISTER = frozenset({Role.AUDITOR, Role.APPROVER, Role.ADMIN})
MAY_SEE_PEOPLE = frozenset({Role.AUDITOR, Role.ADMIN})
MAY_EXPLAIN = frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN})
MAY_SEE_FINDINGS = MAY_READ_RECORD | MAY_EXPLAIN
# Signing a review is all that an auditor ever writes; guests, whose role has an end date, read only.
MAY_SIGN = frozenset({Role.AUDITOR, Role.ADMIN})
# The same refusal of the same person is one event in this time.
REFUSAL_ONCE_IN = timedelta(minutes=10)


class Refused(PermissionDenied):
    """403 with a sentence that says which role is missing."""


def current(request: HttpRequest) -> User:
    """The signed-in person."""
    assert isinstance(request.user, User)
    return request.user


def _memberships(user: User) -> list[Membership]:
    """The valid memberships, read once per request (kept on the user object that the request made)."""
    kept: list[Membership] | None = getattr(user, "_valid_memberships", None)
    if kept is None:
        now = timezone.now()
        rows = user.memberships.filter(Q(ends_at=None) | Q(ends_at__gt=now)).order_by("pk")
        kept = list(rows) if user.is_active else []
        user._valid_memberships = kept  # type: ignore[attr-defined]
    return kept


def roles_in(user: User, organization: Organization | None) -> frozenset[Role]:
    """Roles that hold in this org; for None those that hold for the whole installation."""
    wanted = {None, organization.pk if organization else None}
    return frozenset(Role(row.role) for row in _memberships(user) if row.organization_id in wanted)


def roles_anywhere(user: User) -> frozenset[Role]:
    return frozenset(Role(row.role) for row in _memberships(user))


def ends_at(user: User) -> datetime | None:
    """When a guest's last role ends; None for everybody else."""
    ends = [row.ends_at for row in _memberships(user)]
    known = [moment for moment in ends if moment is not None]
    return max(known) if known and len(known) == len(ends) else None


def visible_organizations(user: User, needs: Iterable[Role] = ANY) -> QuerySet[Organization]:
    """Orgs in which the person has one of these roles, removed ones included (their history stays)."""
    rows = [row for row in _memberships(user) if row.role in set(needs)]
    if any(row.organization_id is None for row in rows):
        return Organization.objects.order_by("name", "pk")
    return Organization.objects.filter(pk__in={row.organization_id for row in rows}).order_by("name", "pk")


def visible_sandboxes(user: User, needs: Iterable[Role] = ANY) -> QuerySet[Sandbox]:
    """Sandboxes that are or were watched, or may take exports, in the orgs the person sees."""
    return (
        Sandbox.objects.filter(organization__in=visible_organizations(user, needs))
        .filter(Q(watched=True) | Q(exports_allowed=True) | ~Q(connected_at=None))
        .select_related("organization")
        .order_by("organization__name", "name", "pk")
    )


def may_create_somewhere(user: User) -> bool:
    """Whether drafts can be of use to this person."""
    return bool(roles_anywhere(user) & MAY_CREATE)


def menu(user: User) -> list[str]:
    """Which main pages the person has."""
    roles = roles_anywhere(user)
    items = ["jobs"]
    if roles & MAY_READ_REGISTER:
        items.append("register")
    if roles & MAY_READ_RECORD:
        items.append("audit")
    if roles & MAY_SEE_FINDINGS:
        items.append("findings")
    if roles & MAY_READ_RECORD:
        items.append("reviews")
    items.append("organizations")
    if roles & MAY_SEE_PEOPLE:
        items.append("people")
    return items


def front_page(user: User) -> str:
    """The name of the page that the front door leads to: who does nothing but audit begins with the register."""
    return "register" if roles_anywhere(user) == {Role.AUDITOR} else "jobs"


def actor_of(request: HttpRequest, organization: Organization | None = None) -> Actor:
    """The acting person as the record keeps them."""
    user = current(request)
    roles = roles_in(user, organization) if organization else roles_anywhere(user)
    return Actor(
        kind="person",
        name=user.get_username(),
        id=str(user.pk),
        roles=tuple(sorted(roles)),
        signed_in=str(request.session.get("signed_in", "")),
        address=getattr(request, "client_address", ""),
        correlation_id=getattr(request, "id", ""),
    )


def _on_record(request: HttpRequest, organization: Organization | None, sandbox: Sandbox | None, what: str) -> None:
    actor = actor_of(request, organization)
    sentence = f"was refused: {request.method} {request.path} ({what})"
    lately = EventContent.objects.filter(
        action=Action.ACCESS_REFUSED,
        actor_name=actor.name,
        at__gt=timezone.now() - REFUSAL_ONCE_IN,
        sentence=one_line(sentence),
    )
    if not lately.exists():
        record(
            actor=actor,
            action=Action.ACCESS_REFUSED,
            outcome=Outcome.REFUSED,
            sentence=sentence,
            subject=Subject(organization=organization, sandbox=sandbox),
            details={"path": request.path, "method": request.method, "why": what},
        )


def _names(needs: Iterable[Role]) -> str:
    return ", ".join(sorted(str(Role(role).label) for role in needs))


def _authorise(
    request: HttpRequest, organization: Organization, needs: Iterable[Role], sandbox: Sandbox | None = None
) -> None:
    roles = roles_in(current(request), organization)
    if not roles:
        _on_record(request, organization, sandbox, "not a member of this organization")
        raise Http404
    if not roles & frozenset(needs):
        words = _names(needs)
        _on_record(request, organization, sandbox, f"needs one of the roles: {words}")
        raise Refused(
            _("This needs one of these roles in %(org)s: %(roles)s. An administrator can give it to you.")
            % {"org": organization.name, "roles": words}
        )


def organization(request: HttpRequest, slug: str, *, needs: Iterable[Role] = ANY) -> Organization:
    found = Organization.objects.filter(slug=slug).first()
    if found is None:
        raise Http404
    _authorise(request, found, needs)
    return found


def everywhere(request: HttpRequest, *, needs: Iterable[Role]) -> None:
    """A role that holds for the whole installation, else 403."""
    if not roles_in(current(request), None) & frozenset(needs):
        words = _names(needs)
        _on_record(request, None, None, f"needs one of the roles, for the whole installation: {words}")
        raise Refused(_("This needs one of these roles for the whole installation: %(roles)s.") % {"roles": words})


def anywhere(request: HttpRequest, *, needs: Iterable[Role]) -> None:
    """A role in at least one org, else 403."""
    if not roles_anywhere(current(request)) & frozenset(needs):
        words = _names(needs)
        _on_record(request, None, None, f"needs one of the roles, in any organization: {words}")
        raise Refused(_("This needs one of these roles: %(roles)s.") % {"roles": words})


def event(request: HttpRequest, seq: int) -> Event:
    """One event of the record; those of no org, and those whose content has expired, are for the whole installation."""
    found: Event | None = Event.objects.filter(pk=seq).first()
    if found is None:
        raise Http404
    content = EventContent.objects.select_related("organization", "sandbox").filter(event=found).first()
    if content is None or content.organization is None:
        everywhere(request, needs=MAY_READ_RECORD)
    else:
        _authorise(request, content.organization, MAY_READ_RECORD, content.sandbox)
    return found


def register_entry(
    request: HttpRequest, pk: int, *, needs: Iterable[Role] = MAY_READ_REGISTER, own: Iterable[Role] = MAY_CREATE
) -> RegisterEntry:
    """One row of the register: for those who may read it all, and with a role of `own` for who asked for the export."""
    found = (
        RegisterEntry.objects.select_related("sandbox__organization", "organization", "export_request")
        .exclude(outcome=ExportOutcome.MERGED)
        .filter(pk=pk)
        .first()
    )
    if found is None:
        raise Http404
    asked = found.export_request
    theirs = asked is not None and asked.author_id == current(request).pk
    _authorise(request, found.organization, {*needs, *(own if theirs else ())}, found.sandbox)
    return found


def sandbox(request: HttpRequest, slug: str, name: str, *, needs: Iterable[Role] = ANY) -> Sandbox:
    if "\0" in f"{slug}{name}":  # may come out of a form; PostgreSQL does not take the question
        raise Http404
    found = Sandbox.objects.select_related("organization").filter(organization__slug=slug, name=name).first()
    if found is None:
        raise Http404
    _authorise(request, found.organization, needs, found)
    return found


def job(request: HttpRequest, slug: str, name: str, job_id: str, *, needs: Iterable[Role] = ANY) -> Job:
    found = (
        Job.objects.select_related("sandbox__organization", "export_request")
        .filter(sandbox__organization__slug=slug, sandbox__name=name, job_id=job_id)
        .first()
    )
    if found is None:
        raise Http404
    _authorise(request, found.sandbox.organization, needs, found.sandbox)
    return found


def export_request(
    request: HttpRequest, slug: str, name: str, request_uuid: uuid.UUID, *, needs: Iterable[Role] = ANY
) -> ExportRequest:
    """A request; drafts are private to their author, for others they do not exist."""
    found = (
        ExportRequest.objects.select_related("sandbox__organization", "author")
        .filter(sandbox__organization__slug=slug, sandbox__name=name, uuid=request_uuid)
        .first()
    )
    if found is None:
        raise Http404
    _authorise(request, found.sandbox.organization, needs, found.sandbox)
    private = {RequestState.DRAFT, RequestState.WITHDRAWN, RequestState.EXPIRED}
    if found.state in private and found.author_id != current(request).pk:
        _on_record(request, found.sandbox.organization, found.sandbox, "another person's draft")
        raise Http404
    return found


def finding(request: HttpRequest, pk: int, *, needs: Iterable[Role] = MAY_SEE_FINDINGS) -> Finding:
    rows = Finding.objects.select_related("organization", "sandbox__organization", "job", "explanation")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404
    _authorise(request, found.organization, needs, found.sandbox)
    return found


def explanation(request: HttpRequest, pk: int, *, needs: Iterable[Role] = MAY_SEE_FINDINGS) -> Explanation:
    found = Explanation.objects.select_related("organization", "sandbox__organization").filter(pk=pk).first()
    if found is None:
        raise Http404
    _authorise(request, found.organization, needs, found.sandbox)
    return found


def signable_organizations(user: User) -> list[Organization]:
    """Orgs in which the person may open and sign reviews, by a role that has no end date; not removed ones."""
    rows = visible_organizations(user, MAY_SIGN).filter(retired_at=None)
    return [row for row in rows if may_sign(user, row)]


def may_sign(user: User, organization: Organization) -> bool:
    """Whether one of the person's lasting roles signs reviews here."""
    wanted = {None, organization.pk}
    return any(
        row.organization_id in wanted and row.ends_at is None and row.role in MAY_SIGN for row in _memberships(user)
    )


def signer(request: HttpRequest, organization: Organization) -> None:
    """Somebody who may open and sign reviews of this org, else 403."""
    _authorise(request, organization, MAY_SIGN)
    if not may_sign(current(request), organization):
        _on_record(request, organization, None, "a guest, whose role has an end date, signs no reviews")
        raise Refused(_("Your role has an end date. Guests read reviews; they don’t open or sign them."))


def review(request: HttpRequest, pk: int) -> Review:
    """One review, for those who may read the org's record."""
    found: Review | None = Review.objects.select_related("organization").filter(pk=pk).first()
    if found is None:
        raise Http404
    _authorise(request, found.organization, MAY_READ_RECORD)
    return found


@dataclass(frozen=True)
class Reach:
    """Where somebody has one of some roles: in these orgs (by primary key), or in the whole installation."""

    everywhere: bool
    organizations: frozenset[int]

    def touches(self, person: User) -> bool:
        """Whether any role of `person`, an ended one too, holds in one of these orgs or in the whole installation."""
        places = {row.organization_id for row in person.memberships.all()}
        return self.everywhere or (bool(self.organizations) and bool(places & {None, *self.organizations}))

    def holds(self, person: User) -> bool:
        """Whether all roles of `person` lie within these orgs."""
        places = {row.organization_id for row in person.memberships.all()}
        return self.everywhere or (bool(places) and places <= self.organizations)


def reach(user: User, needs: Iterable[Role]) -> Reach:
    places = {row.organization_id for row in _memberships(user) if row.role in set(needs)}
    return Reach(None in places, frozenset(place for place in places if place is not None))


def person(request: HttpRequest, pk: int, *, needs: Iterable[Role] = MAY_SEE_PEOPLE) -> User:
    """An account with a role in an org where the one who looks has a fitting role, or in the whole installation."""
    anywhere(request, needs=MAY_SEE_PEOPLE)
    found = User.objects.prefetch_related("memberships__organization").filter(pk=pk).first()
    if found is None:
        raise Http404
    if not reach(current(request), MAY_SEE_PEOPLE).touches(found):
        _on_record(request, None, None, "an account of another organization")
        raise Http404
    if not reach(current(request), needs).touches(found):
        _on_record(request, None, None, f"needs one of the roles: {_names(needs)}")
        raise Refused(_("This needs one of these roles: %(roles)s.") % {"roles": _names(needs)})
    return found


def account(request: HttpRequest, pk: int) -> User:
    """An account over which an admin decides as a whole: all its roles lie in orgs of that admin."""
    found = person(request, pk, needs=MAY_ADMINISTER)
    if not reach(current(request), MAY_ADMINISTER).holds(found):
        _on_record(request, None, None, "the account also has roles where the person is no admin")
        raise Refused(
            _("%(name)s also has roles that are not yours to manage. An admin of the whole installation can do this.")
            % {"name": found.get_username()}
        )
    return found
