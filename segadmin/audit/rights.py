"""Roles and accounts, compared with the records that gave, took, closed and reopened them.

Who may write to the database could give themselves a role, or reopen an account, without a word.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from segadmin.audit.beside import DIFFERS, Told, silent_until, some_of_each, told_by, was_told_since
from segadmin.audit.verifier import Damage
from segadmin.models import Action, Membership, User


class _Right(NamedTuple):
    """One role of one person; `organization` is a slug, empty for the whole installation."""

    person: int
    organization: str
    role: str


def rights(last: int) -> list[Damage]:
    """Everything up to record `last` that does not agree."""
    return some_of_each((_roles(last), _accounts(last)))


def _roles(last: int) -> Iterator[Damage]:
    # Rows are read first: what is recorded meanwhile is left aside.
    rows = list(Membership.objects.select_related("organization", "user").order_by("pk"))
    silent = silent_until()
    known = {_person(told) for told in told_by(Action.PERSON_ADD, last=last)}
    said: dict[_Right, tuple[int, str | None]] = {}
    for told in told_by(Action.ROLE_GIVE, Action.ROLE_TAKE):
        right, ends_at = _right_of(told)
        said[right] = (told.seq if _counts(told, last, silent) else 0, ends_at)
    for row in rows:
        right = _Right(row.user_id, row.organization.slug if row.organization else "", row.role)
        seq, ends_at = said.pop(right, (-1, None))
        whose = f"{row.user.username} has the role {row.role} in {right.organization or 'the whole installation'}"
        if seq < 0 and row.user_id in known and was_told_since(row.created_at, silent):
            yield Damage(DIFFERS, max(last, 1), f"{whose}, and no record gave it.")
        elif seq > 0 and ends_at is None:
            yield Damage(DIFFERS, seq, f"{whose}, which record {seq} took.")
        elif seq > 0 and ends_at != (row.ends_at.astimezone(UTC).isoformat() if row.ends_at else ""):
            yield Damage(DIFFERS, seq, f"{whose} until another time than record {seq} says.")
    for right, (seq, ends_at) in said.items():
        if seq > 0 and ends_at is not None:
            yield Damage(DIFFERS, seq, f"The role {right.role} that record {seq} gave is gone, and no record took it.")


def _counts(told: Told, last: int, silent: datetime | None) -> bool:
    """Not where it came after the check began, nor where a later record, which has expired, may have said otherwise."""
    return told.seq <= last and was_told_since(told.at, silent)


def _right_of(told: Told) -> tuple[_Right, str | None]:
    """Whose right a record is about, and until when it holds from then on; None where it was taken."""
    before, after = (_part(told.details, name) for name in ("before", "after"))
    role = str((after or before).get("role"))
    return _Right(_person(told), told.organization, role), str(after.get("ends_at", "")) if after else None


def _person(told: Told) -> int:
    found = _part(told.details, "person").get("id")
    return found if isinstance(found, int) else 0


def _part(details: dict[str, Any], name: str) -> dict[str, Any]:
    found = details.get(name)
    return found if isinstance(found, dict) else {}


def _accounts(last: int) -> Iterator[Damage]:
    open_now = dict(User.objects.order_by("pk").values_list("pk", "is_active"))
    silent = silent_until()
    said: dict[int, tuple[int, bool]] = {}
    for told in told_by(Action.PERSON_ADD, Action.PERSON_CLOSE, Action.PERSON_REOPEN):
        is_open = bool(_part(told.details, "after").get("open", True))
        said[_person(told)] = (told.seq if _counts(told, last, silent) else 0, is_open)
    for person, (seq, is_open) in said.items():
        if seq and person not in open_now:
            yield Damage(DIFFERS, seq, f"The account that record {seq} tells of is gone.")
        elif seq and open_now[person] is not is_open:
            is_now = "closed" if is_open else "open"
            yield Damage(DIFFERS, seq, f"The account that record {seq} tells of is {is_now}, and no record made it so.")
