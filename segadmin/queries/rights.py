"""Who could do what at a moment, by the records of roles given and taken and of accounts closed and reopened.

Not by today's rows: those say what is so now. Where a role of today is told by no record of the time, it is listed as such.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.db.models import Max, Q

from segadmin.models import Action, ContentExpiry, EventContent, Membership, Organization, Outcome, Role

UNUSED_AFTER = timedelta(days=90)
CHUNK = 500
_ROLES, _ACCOUNTS = (Action.ROLE_GIVE, Action.ROLE_TAKE), (Action.PERSON_CLOSE, Action.PERSON_REOPEN)
type Key = tuple[int, int | None, str]  # account, organization (None: the whole installation), role


@dataclass(frozen=True)
class Right:
    """One role that one account had. `seq` 0 and `by` empty: no record tells of it. `used_at`: the newest export or
    cancellation there within UNUSED_AFTER before the moment; only roles that let one do that are `is_usable`."""

    account: int
    person: str
    role: Role
    organization: Organization | None
    since_at: datetime | None
    by: str
    seq: int
    ends_at: datetime | None
    used_at: datetime | None = None
    is_usable: bool = False


@dataclass
class _State:
    """What the records up to a moment say."""

    given: dict[Key, Right] = field(default_factory=dict)
    taken: set[Key] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Rights:
    """`oldest_lost`: records up to this moment may have expired, so that roles given before may be missing."""

    rows: list[Right]
    oldest_lost: datetime | None


def rights(
    organizations: Sequence[Organization],
    at: datetime,
    *,
    roles: Collection[Role],
    using: Collection[Role],
    now: bool = False,
) -> Rights:
    """Those of these roles, of these orgs and of the whole installation, by person.

    `using`: the roles that let one export or cancel. `now`: the moment is this one.
    """
    known = {row.pk: row for row in organizations}
    state = _state(known, at)
    state.given |= {
        key: row for key, row in _untold(known, at, now) if key not in state.given and key not in state.taken
    }
    rows = [row for row in state.given.values() if row.role in roles and row.account not in state.closed]
    rows = [row for row in rows if row.ends_at is None or row.ends_at > at]
    used = _used({row.person for row in rows if row.role in using}, known, at)
    found = [_with_use(row, used) if row.role in using else row for row in rows]
    found.sort(
        key=lambda row: (row.person.lower(), row.account, row.organization is not None, str(row.organization), row.role)
    )
    return Rights(found, _oldest_lost(at))


def _state(known: dict[int, Organization], at: datetime) -> _State:
    """Accounts are closed in all orgs at once, wherever the record of it belongs."""
    state = _State()
    until = EventContent.objects.filter(at__lte=at)
    roles = until.filter(Q(organization__in=known) | Q(organization=None), action__in=_ROLES)
    for told in (roles, until.filter(action__in=_ACCOUNTS)):
        after = 0
        while found := list(told.filter(event__gt=after).order_by("event_id")[:CHUNK]):
            after = found[-1].event_id
            for content in found:
                _tell(state, content, known)
    return state


def _tell(state: _State, content: EventContent, known: dict[int, Organization]) -> None:
    try:
        details = json.loads(content.text)["details"]
        account, name = details["person"]["id"], details["person"]["name"]
        if content.action in _ACCOUNTS:
            (state.closed.add if content.action == Action.PERSON_CLOSE else state.closed.discard)(account)
            return
        stands = details["after"] or details["before"]
        role, ends = Role(stands["role"]), stands["ends_at"]
        ends_at = datetime.fromisoformat(ends) if ends else None
    except (ValueError, KeyError, TypeError):  # altered behind the triggers' back: the check of the record names it
        return
    key = (account, content.organization_id, role.value)
    if content.action == Action.ROLE_TAKE:
        state.given.pop(key, None)
        state.taken.add(key)
        return
    before = state.given.get(key)
    since = before.since_at if before else content.at
    place = known[content.organization_id] if content.organization_id else None
    state.taken.discard(key)
    state.given[key] = Right(account, name, role, place, since, content.actor_name, content.event_id, ends_at)


def _untold(known: dict[int, Organization], at: datetime, now: bool) -> Iterator[tuple[Key, Right]]:
    """Roles of today that were there at the moment by their rows alone; closed accounts left out where that is now."""
    rows = Membership.objects.filter(Q(organization__in=known) | Q(organization=None), created_at__lte=at)
    rows = rows.filter(user__is_active=True) if now else rows
    for row in rows.select_related("user").order_by("pk"):
        place = known[row.organization_id] if row.organization_id else None
        right = Right(row.user_id, row.user.username, Role(row.role), place, row.created_at, "", 0, row.ends_at)
        yield (row.user_id, row.organization_id, row.role), right


def _used(
    names: Collection[str], known: dict[int, Organization], at: datetime
) -> dict[tuple[str, int | None], datetime]:
    """The newest export or cancellation of each person in each org, and (None) anywhere."""
    rows = (
        EventContent.objects.filter(
            actor_name__in=names,
            actor_kind="person",
            action__in=(Action.EXPORT_CREATE, Action.EXPORT_CANCEL),
            outcome=Outcome.REQUESTED,
            organization__in=known,
            at__gt=at - UNUSED_AFTER,
            at__lte=at,
        )
        .order_by()
        .values_list("actor_name", "organization")
        .annotate(newest=Max("at"))
    )
    found: dict[tuple[str, int | None], datetime] = {}
    for name, organization, newest in rows:
        found[name, organization] = newest
        found[name, None] = max(newest, found.get((name, None), newest))
    return found


def _with_use(row: Right, used: dict[tuple[str, int | None], datetime]) -> Right:
    at = used.get((row.person, row.organization.pk if row.organization else None))
    return replace(row, used_at=at, is_usable=True)


def _oldest_lost(at: datetime) -> datetime | None:
    """None while no content has expired: then every role that was ever given is told."""
    if not ContentExpiry.objects.exists():
        return None
    oldest: datetime | None = EventContent.objects.order_by("at").values_list("at", flat=True).first()
    return oldest or at
