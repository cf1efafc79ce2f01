"""Findings and standing explanations, compared with the records that opened, explained, checked and ended them.

Who may write to the database could close a finding, or let an explanation cover more than a second person agreed to.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from segadmin.audit.beside import DIFFERS, Told, silent_until, some_of_each, told_by, was_told_since
from segadmin.audit.verifier import Damage
from segadmin.models import Action, Explanation, Finding

CHUNK = 1000
_STATES = {
    Action.FINDING_OPENED: Finding.State.OPEN,
    Action.FINDING_EXPLAINED: Finding.State.EXPLAINED,
    Action.FINDING_CLOSED: Finding.State.CLOSED,
}


def explained(last: int) -> list[Damage]:
    """Everything up to record `last` that does not agree."""
    return some_of_each((_findings(last), _explanations(last)))


class _Stand(NamedTuple):
    """What the newest record says of a finding; `seq` is 0 where that can't be compared."""

    seq: int
    state: str
    by: str


def _stands(last: int, silent: datetime | None) -> dict[int, _Stand]:
    """By finding. What came after the check began is left aside, and what a record that has expired may have changed."""
    newest: dict[int, tuple[Told, str]] = {}
    for action in (*_STATES, Action.EXPLANATION_SET):
        for told in told_by(action):
            for key in _named(told):
                if key not in newest or told.seq > newest[key][0].seq:
                    newest[key] = (told, _STATES.get(action, Finding.State.EXPLAINED))
    return {
        key: _Stand(told.seq if told.seq <= last and was_told_since(told.at, silent) else 0, state, told.actor[:150])
        for key, (told, state) in newest.items()
    }


def _findings(last: int) -> Iterator[Damage]:
    # Rows are read first: what is recorded meanwhile is left aside.
    rows = {row[0]: row[1:] for row in _rows()}
    silent = silent_until()
    stands = _stands(last, silent)
    for key, (state, explained_by, closed_by, found_at, seq) in rows.items():
        stand = stands.pop(key, None)
        by = closed_by if state == Finding.State.CLOSED else explained_by
        if stand is None:
            if seq is not None and seq <= last and was_told_since(found_at, silent):
                yield Damage(DIFFERS, max(seq, 1), f"No record tells of finding {key}.")
        elif stand.seq and (state != stand.state or (state != Finding.State.OPEN and by != stand.by)):
            says = f"Finding {key} is {state}" + (f" by {by}" if by else "")
            yield Damage(DIFFERS, stand.seq, f"{says}; the newest record of it says {stand.state} by {stand.by}.")
    for key, stand in sorted(stands.items()):
        if stand.seq:
            yield Damage(DIFFERS, stand.seq, f"Finding {key}, of which record {stand.seq} tells, is gone.")


def _rows() -> Iterator[tuple[Any, ...]]:
    rows = Finding.objects.order_by("pk").values_list("pk", "state", "explained_by", "closed_by", "found_at", "seq")
    after = 0
    while found := list(rows.filter(pk__gt=after)[:CHUNK]):
        after = found[-1][0]
        yield from found


def _named(told: Told) -> list[int]:
    """The findings that a record is about: one, or all that an explanation covers."""
    one = told.details.get("finding")
    several = told.details.get("findings_explained") or told.details.get("findings_closed") or []
    named = [one] if one is not None else several if isinstance(several, list) else []
    return [key for key in named if isinstance(key, int)]


def _explanations(last: int) -> Iterator[Damage]:
    rows = {row.pk: row for row in Explanation.objects.order_by("pk")}
    silent = silent_until()
    said = {key: told for told in told_by(Action.EXPLANATION_SET) if isinstance(key := _number(told), int)}
    ended = {_number(told): told for told in told_by(Action.EXPLANATION_ENDED)}
    checked = {_number(told): told for told in told_by(Action.FINDING_CLOSED) if "explanation" in told.details}
    for key, told in said.items():
        row = rows.pop(key, None)
        if row is None and told.seq <= last:
            says = f"The standing explanation that record {told.seq} tells of is gone."
            yield Damage(DIFFERS, told.seq, says)
        elif row is not None and (wrong := _differing(row, told, ended.get(key), checked.get(key), last, silent)):
            says = f"The standing explanation of record {told.seq} is not what its records say: {', '.join(wrong)}."
            yield Damage(DIFFERS, told.seq, says)
    for key, row in rows.items():
        if was_told_since(row.set_at, silent):
            yield Damage(DIFFERS, max(last, 1), f"No record tells of the standing explanation {key}, of {row.owner}.")


def _number(told: Told) -> Any:
    return told.details.get("explanation")


def _differing(
    row: Explanation, told: Told, ended: Told | None, checked: Told | None, last: int, silent: datetime | None
) -> list[str]:
    stands = {
        "dataset": row.dataset_id,
        "fields": row.fields or "all fields",
        "shape": row.shape,
        "owner": row.owner,
        "reason": row.reason,
        "valid_from": row.valid_from_at.astimezone(UTC).isoformat(),
        "valid_until": row.valid_until_at.astimezone(UTC).isoformat(),
        "set_by": row.set_by,
    }
    wrong = [name.replace("_", " ") for name, value in stands.items() if told.details.get(name) != value]
    if _disagrees(row.checked_at, row.checked_by, checked, last, silent):
        wrong.append("who checked it")
    if _disagrees(row.ended_at, ended.actor[:150] if ended else "", ended, last, silent):
        wrong.append("when it ended")
    return wrong


def _disagrees(at: datetime | None, by: str, told: Told | None, last: int, silent: datetime | None) -> bool:
    """Whether a row's moment, and who made it, is without a record, or the other way round."""
    if told is None:
        return at is not None and was_told_since(at, silent)
    return told.seq <= last and (at is None or by != told.actor[:150])
