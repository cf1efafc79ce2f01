"""Rows that stand beside the record, compared with the records that tell of them.

Legal holds, corrections of the register, signing keys, expiries, and what was sent are tables of their own, because the
database and the pages work with them. Each of their rows has a record; a row that was altered, deleted or put in behind
the record's back shows by it. Only the full check looks at them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import F, Max, Q, Value
from django.db.models.functions import Concat

from segadmin.audit.verifier import Damage, without_floats
from segadmin.models import (
    Action,
    Amendment,
    ContentExpiry,
    Event,
    EventContent,
    ExportRequest,
    Hold,
    Installation,
    Outcome,
    RegisterEntry,
    RequestState,
    SigningKey,
)

DIFFERS = "row differs"
CHUNK = 500
MOST_NAMED = 50
# The instants of a row and of its record are taken one after the other.
NEAR = timedelta(minutes=1)
MONTH = timedelta(days=365.25 / 12)
_STATED = ("purpose", "recipient", "ticket", "legal_basis")
_COMPARED = ("author_name", "body", "names", *_STATED)
PART = 5000
# The author may be changing the request again: what was sent stands in the record, and the register reads it there.
_PRIVATE = (RequestState.DRAFT, RequestState.WITHDRAWN, RequestState.EXPIRED)


class Told(NamedTuple):
    """What one record says."""

    seq: int
    at: datetime
    actor: str
    organization: str
    details: dict[str, Any]
    outcome: str


def told_by(*actions: Action, after: int = 0, last: int | None = None) -> Iterator[Told]:
    """The records of these actions whose content is there, oldest first."""
    rows = EventContent.objects.filter(action__in=actions).order_by("event_id")
    rows = rows.filter(event__lte=last) if last is not None else rows
    while found := list(rows.filter(event__gt=after).values_list("event_id", "text")[:CHUNK]):
        after = found[-1][0]
        yield from (told for seq, text in found if (told := _told(seq, text)))


def told_of(seqs: Iterable[int]) -> dict[int, Told]:
    """What these records say, of those whose content is there."""
    texts = EventContent.objects.filter(pk__in=list(seqs)).order_by().values_list("event_id", "text")
    return {seq: told for seq, text in texts if (told := _told(seq, text))}


def _told(seq: int, text: object) -> Told | None:
    """None for a text that is no event's, which the other half of the check names."""
    try:
        told = json.loads(text if isinstance(text, str) else "")
        at, actor, details = datetime.fromisoformat(told["at"]), told["actor"]["name"], told["details"]
        details = details if isinstance(details, dict) else {}
        return Told(seq, at, actor, told["organization"].get("slug", ""), details, told["outcome"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def beside(last: int) -> list[Damage]:
    """Everything up to record `last` that does not agree, at most MOST_NAMED of each table.

    Others go on writing meanwhile: a row and its record are written in one transaction, so up to a record that was there
    at the start both are there, or something is wrong.
    """
    parts = (_expiries(last), _too_early(last), _holds(last), _amendments(last), _keys(last), _register())
    return some_of_each(parts)


def some_of_each(parts: Iterable[Iterable[Damage]]) -> list[Damage]:
    """At most MOST_NAMED of each part."""
    return [damage for part in parts for damage, _number in zip(part, range(MOST_NAMED), strict=False)]


def expired_and_told(seqs: Iterable[int]) -> set[int]:
    """Those of these records whose content is gone: what they told of can't be compared any more."""
    return set(Event.objects.filter(pk__in=list(seqs)).exclude(content__event__gt=0).values_list("pk", flat=True))


def silent_until() -> datetime | None:
    """Records up to this moment may have expired, so that nothing tells of their rows any more."""
    newest = None
    for told in told_by(Action.CONTENT_EXPIRED):
        at = told.at
        with suppress(ValueError):
            at = datetime.fromisoformat(str(told.details.get("newest"))).astimezone(UTC)
        newest = at if newest is None else max(newest, at)
    return newest


def was_told_since(at: datetime, silent: datetime | None) -> bool:
    """Whether the record of a row of that moment would still be there."""
    return silent is None or at > silent + NEAR


# -- legal holds ------------------------------------------------------------------------------------------------------


def _holds(last: int) -> Iterator[Damage]:
    rows: dict[tuple[str, int], Hold] = {}
    for row in Hold.objects.filter(seq__lte=last).select_related("organization", "places").order_by("pk"):
        if rows.setdefault((row.move, row.seq), row) is not row:
            yield Damage(DIFFERS, row.seq, f"There are two legal holds, or two releases, of record {row.seq}.")
    for told in told_by(Action.HOLD_PLACED, Action.HOLD_RELEASED, last=last):
        move = Hold.Move.RELEASE if "placed_in_record" in told.details else Hold.Move.PLACE
        hold = rows.pop((move, told.seq), None)
        if hold is None:
            yield Damage(DIFFERS, told.seq, f"The row of the legal hold that record {told.seq} tells of is gone.")
        elif not _is_hold(hold, told):
            yield Damage(DIFFERS, told.seq, f"The legal hold of record {told.seq} is not what the record says.")
    for seq in sorted(seq for _move, seq in rows):
        yield Damage(DIFFERS, seq, f"A legal hold, or its release, names record {seq}, which tells of none.")


def _is_hold(row: Hold, told: Told) -> bool:
    same = (row.reason, row.by) == (told.details.get("reason"), told.actor) and abs(row.at - told.at) <= NEAR
    if row.move == Hold.Move.RELEASE:
        return same and row.places is not None and row.places.seq == told.details.get("placed_in_record")
    names = ("kind", "sandbox_name", "job_id", "request_uuid", "person", "from_at", "until_at")
    said = {name: str(value) for name in names if (value := getattr(row, name))}
    organization = row.organization.slug if row.organization else ""
    return same and {**said, "reason": row.reason} == told.details and organization == told.organization


# -- corrections ------------------------------------------------------------------------------------------------------


def _amendments(last: int) -> Iterator[Damage]:
    rows: dict[tuple[int, str], Amendment] = {}
    for row in Amendment.objects.filter(seq__lte=last).order_by("pk"):
        if rows.setdefault((row.seq, row.field), row) is not row:
            yield Damage(DIFFERS, row.seq, f"There are two corrections of one field by record {row.seq}.")
    for told in told_by(Action.REGISTER_AMENDED, last=last):
        before, after = told.details.get("before", {}), told.details.get("after", {})
        for field in after:
            said = (told.details.get("register_row"), before.get(field), after[field], told.details.get("why"))
            found = rows.pop((told.seq, field), None)
            if found is None:
                yield Damage(DIFFERS, told.seq, f"The correction that record {told.seq} tells of is gone: {field}.")
            elif (
                said != (found.entry_id, found.old, found.new, found.why)
                or found.by != told.actor[:150]
                or abs(found.at - told.at) > NEAR
            ):
                says = f"The correction of record {told.seq} is not what the record says: {field}."
                yield Damage(DIFFERS, told.seq, says)
    # What is left may be of records whose content has expired; those can't be compared.
    silent = expired_and_told(seq for seq, _field in rows)
    for seq, field in sorted(rows):
        if seq not in silent:
            yield Damage(DIFFERS, seq, f"A correction names record {seq}, which tells of no such correction: {field}.")


# -- signing keys -----------------------------------------------------------------------------------------------------


def _keys(last: int) -> Iterator[Damage]:
    rows = {row.seq: row for row in SigningKey.objects.filter(seq__lte=last).order_by("seq")}
    for told in told_by(Action.CHECKPOINT, last=last):
        if "public_key" not in told.details:
            continue
        row = rows.pop(told.seq, None)
        if row is None:
            yield Damage(DIFFERS, told.seq, f"The signing key that record {told.seq} tells of is gone.")
        elif (row.key_id, row.public) != (told.details.get("key"), told.details["public_key"]) or (
            abs(row.first_used_at - told.at) > NEAR
        ):
            yield Damage(DIFFERS, told.seq, f"The signing key of record {told.seq} is not the one that it tells of.")
    for seq, row in sorted(rows.items()):
        yield Damage(DIFFERS, seq, f"The signing key {row.key_id} names record {seq}, which tells of no such key.")


# -- expiries ---------------------------------------------------------------------------------------------------------


def _expiries(last: int) -> Iterator[Damage]:
    """Each expiry has a record that tells of it, as it stands there."""
    highest = ContentExpiry.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    known = bytearray(highest // 8 + 1)
    for told in told_by(Action.CONTENT_EXPIRED, last=last):
        listed = _listed(told)
        for row in ContentExpiry.objects.filter(seq__in=listed).order_by("seq"):
            listed.discard(row.seq)
            known[row.seq // 8] |= 1 << row.seq % 8
            if abs(row.at - told.at) > NEAR or row.reason != told.details.get("reason", row.reason):
                yield Damage(DIFFERS, row.seq, f"The expiry of record {row.seq} is not what record {told.seq} says.")
        for seq in sorted(listed):
            yield Damage(DIFFERS, seq, f"The expiry of record {seq}, of which record {told.seq} tells, is gone.")
    untold = [seq for seq in _expiry_numbers() if seq < 0 or seq > highest or not known[seq // 8] >> seq % 8 & 1]
    if untold:
        since = {seq for told in told_by(Action.CONTENT_EXPIRED, after=last) for seq in _listed(told)}
        # Those whose content went are named by what was removed.
        there = EventContent.objects.filter(pk__in=untold[:MOST_NAMED]).values_list("pk", flat=True)
        for seq in sorted(set(there) - since):
            yield Damage(DIFFERS, seq, f"There is an expiry of record {seq} that no record tells of.")


def _too_early(last: int) -> Iterator[Damage]:
    """Contents that were removed before their time, by how long records were kept then.

    What was removed can't tell how old it was; the record before it that still has its content was no younger.
    """
    keep = {"register_months": Installation().register_months, "access_months": Installation().access_months}
    for told in told_by(Action.CONTENT_EXPIRED, Action.RETENTION_SET, last=last):
        after = told.details.get("after")
        if isinstance(after, dict):
            keep |= {name: after[name] for name in keep if isinstance(after.get(name), int)}
        elif listed := _listed(told):
            newest = max(listed)
            before = EventContent.objects.filter(pk__lt=newest).order_by("-pk").values_list("at", flat=True).first()
            least = min(keep.values()) * MONTH
            if before is not None and told.at - before < least - NEAR:
                days = max((told.at - before).days, 0)
                says = (
                    f"The content of record {newest} was removed by record {told.seq} at most {days} days after it was "
                    f"written, and records were kept for {least.days} days then."
                )
                yield Damage("removed", newest, says)


def _listed(told: Told) -> set[int]:
    listed = told.details.get("records")
    return {seq for seq in (listed if isinstance(listed, list) else ()) if isinstance(seq, int)}


def _expiry_numbers() -> Iterator[int]:
    rows = ContentExpiry.objects.order_by("seq").values_list("seq", flat=True)
    at: int | None = None
    while found := list((rows if at is None else rows.filter(seq__gt=at))[:5000]):
        at = found[-1]
        yield from found


# -- what was sent, and the register ----------------------------------------------------------------------------------


def requests_in_parts() -> list[tuple[int, int]]:
    """(after, up to) of the primary keys of requests, for `sent`: several processes can take one each."""
    newest = ExportRequest.objects.aggregate(newest=Max("pk"))["newest"] or 0
    return [(after, after + PART) for after in range(0, newest, PART)]


def sent(after: int, up_to: int) -> list[Damage]:
    """Each request that was sent is as the newest record of its sending says. At most MOST_NAMED that differ."""
    found: list[Damage] = []
    rows = ExportRequest.objects.exclude(sent_at=None).exclude(state__in=_PRIVATE).order_by("pk")
    rows = rows.filter(pk__lte=up_to)
    while chunk := list(rows.filter(pk__gt=after).values_list("pk", "uuid", *_COMPARED)[:CHUNK]):
        after = chunk[-1][0]
        newest = _newest_of({uuid for _pk, uuid, *_values in chunk})
        odd = [pk for pk, uuid, *values in chunk if uuid in newest and _differing(values, newest[uuid])]
        # Read again: one that was changed and sent again in this moment is none.
        for _pk, uuid, *values in rows.filter(pk__in=odd).values_list("pk", "uuid", *_COMPARED):
            told = _newest_of({uuid}).get(uuid)
            if told is not None and (names := _differing(values, told)):
                says = f"The request of record {told.seq} is not what was sent by it: {', '.join(names)}."
                found.append(Damage(DIFFERS, told.seq, says))
        if len(found) >= MOST_NAMED:
            break
    return found[:MOST_NAMED]


def _newest_of(uuids: set[Any]) -> dict[Any, Told]:
    """Request -> the newest record of its sending.

    Action and outcome are asked for in one text, which no index has: else SQLite walks every record of that outcome.
    """
    sending = Value(f"{Action.EXPORT_CREATE} {Outcome.REQUESTED}")
    rows = EventContent.objects.filter(request_uuid__in=uuids).order_by()
    rows = rows.annotate(kind=Concat("action", Value(" "), "outcome")).filter(kind=sending)
    newest: dict[Any, int] = dict(rows.values_list("request_uuid").annotate(newest=Max("event_id")))
    told = told_of(newest.values())
    return {request: told[seq] for request, seq in newest.items() if seq in told}


def _differing(values: Sequence[Any], told: Told) -> list[str]:
    """Which of _COMPARED are not as the record says."""
    author, *stored = values
    names = [
        name
        for name, value in zip(_COMPARED[1:], stored, strict=True)
        # The record has no floats: what is one in the request is its text there.
        if name in told.details and without_floats(value) != told.details[name]
    ]
    return [*names, "author"] if author != told.actor else names


def _register() -> Iterator[Damage]:
    """What the register states is what was asked for, or its last correction."""
    sent = ExportRequest.objects.exclude(sent_at=None).exclude(state__in=_PRIVATE)
    for uuid in sent.filter(entry=None).order_by("pk").values_list("uuid", flat=True)[:MOST_NAMED]:
        yield Damage(DIFFERS, _record_of(uuid), f"The request {uuid} was sent, and its row of the register is gone.")
    altered = ~Q(person=F("export_request__author_name"))
    altered |= ~Q(sandbox=F("export_request__sandbox")) | ~Q(organization=F("export_request__sandbox__organization"))
    for name in _STATED:
        altered |= ~Q(**{name: F(f"export_request__{name}")})
    rows = RegisterEntry.objects.exclude(export_request=None).exclude(export_request__state__in=_PRIVATE)
    columns = ["person", "export_request__author_name", "export_request__uuid", "amended"]
    columns += ["sandbox", "export_request__sandbox", "organization", "export_request__sandbox__organization"]
    stated = [*_STATED, *(f"export_request__{name}" for name in _STATED)]
    for row in rows.filter(altered).order_by("pk").values("pk", *columns, *stated):
        newest = dict(Amendment.objects.filter(entry=row["pk"]).order_by("pk").values_list("field", "new"))
        wrong = [name for name in _STATED if row[name] != newest.get(name, row[f"export_request__{name}"])]
        wrong += ["person"] if row["person"] != row["export_request__author_name"] else []
        wrong += ["sandbox"] if row["sandbox"] != row["export_request__sandbox"] else []
        wrong += ["organization"] if row["organization"] != row["export_request__sandbox__organization"] else []
        if wrong:
            says = f"Row {row['pk']} of the register is not what was asked for or corrected: {', '.join(wrong)}."
            yield Damage(DIFFERS, _record_of(row["export_request__uuid"]), says)


def _record_of(request: Any) -> int:
    """The number of the newest record of its sending; 0 where there is none."""
    told = _newest_of({request}).get(request)
    return told.seq if told else 0
