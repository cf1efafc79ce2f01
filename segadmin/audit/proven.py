"""What the proof itself keeps in rows, compared with the records that tell of it.

Checks of the record, deliveries to a witness, receipts of files, reviews with their signatures, the head, and the settings
of the installation. Pages read these rows; someone who may write to the database could make them say more than happened.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from segadmin.audit.beside import (
    DIFFERS,
    NEAR,
    Told,
    expired_and_told,
    silent_until,
    some_of_each,
    told_by,
    was_told_since,
)
from segadmin.audit.chain import canonical
from segadmin.audit.record import plain
from segadmin.audit.verifier import Damage, digest_of
from segadmin.models import (
    Action,
    Delivery,
    FileReceipt,
    Installation,
    Outcome,
    Review,
    SignOff,
    Verification,
)

CHUNK = 500
# Kept in a receipt's filter beside what was asked for; the last one is told at the end.
_NOT_ASKED = ("event", "checkpoint", "changed_while_written")
_HEADS = "SELECT id, epoch, seq FROM segadmin_chainhead WHERE id <> 1 ORDER BY id"


def proven(last: int) -> list[Damage]:
    """Everything up to record `last` that does not agree, some of each kind of row."""
    silent = silent_until()
    of_time = (_verifications(last, silent), _deliveries(last, silent), _files(last, silent))
    return some_of_each((_heads(last), *of_time, _reviews(last), _sign_offs(last), _settings()))


def _same(one: Any, other: Any) -> bool:
    """Whether two pieces of JSON are one, in the form that the record has."""
    first, second = (json.dumps(plain(value), sort_keys=True) for value in (one, other))
    return first == second


def _heads(last: int) -> Iterator[Damage]:
    with connection.cursor() as cursor:
        cursor.execute(_HEADS)
        more = cursor.fetchall()
    for key, epoch, seq in more:
        says = f"The record has a second head (row {key}, epoch {epoch}, record {seq}); it has one alone."
        yield Damage(DIFFERS, max(last, 1), says)


# -- checks of the record ---------------------------------------------------------------------------------------------

_CHECKED = {
    "first": "first",
    "last": "last",
    "with_content": "with_content",
    "by_digest_only": "by_digest_only",
    "missing": "missing",
    "checkpoints": "checkpoints_that_agree",
    "outside": "of_them_from_outside",
    "full": "full",
    "damage": "damage",
    "remarks": "remarks",
}


def _verifications(last: int, silent: datetime | None) -> Iterator[Damage]:
    rows = list(Verification.objects.order_by("at", "pk").values("pk", "at", "by", "ok", *_CHECKED))
    taken: set[int] = set()
    for told in told_by(Action.RECORD_VERIFIED):
        near = [row for row in rows if row["pk"] not in taken and abs(row["at"] - told.at) <= NEAR]
        found = next((row for row in near if _is_check(row, told)), None)
        if found is not None:
            taken.add(found["pk"])
        elif told.seq <= last:
            words = "is not what the record says" if near else "is gone"
            yield Damage(DIFFERS, told.seq, f"The row of the check that record {told.seq} tells of {words}.")
    for row in rows:
        if row["pk"] not in taken and was_told_since(row["at"], silent):
            says = f"The check of {row['at']:%Y-%m-%d %H:%M} UTC by {row['by']}, up to record {row['last']}, is not as "
            yield Damage(DIFFERS, max(row["last"], 1), says + "any record tells of a check.")


def _is_check(row: Mapping[str, Any], told: Told) -> bool:
    said = all(_same(row[name], told.details[key]) for name, key in _CHECKED.items() if key in told.details)
    return said and row["by"] == told.actor[:150] and row["ok"] is (told.outcome == Outcome.SUCCEEDED)


# -- what went to a witness -------------------------------------------------------------------------------------------


def _deliveries(last: int, silent: datetime | None) -> Iterator[Damage]:
    """Those that arrived: they are what the banner is green for. A try that failed has a record only now and then."""
    rows = list(
        Delivery.objects.filter(ok=True)
        .order_by("at", "pk")
        .values_list("pk", "checkpoint_id", "kind", "address", "at", "checkpoint__seq")
    )
    taken: set[int] = set()
    for told in told_by(Action.WITNESS):
        if told.outcome != Outcome.SUCCEEDED:
            continue
        said = (told.details.get("checkpoint"), told.details.get("kind"))
        to = told.details.get("to")
        of_it = (row for row in rows if row[0] not in taken and row[1:3] == said and to in (None, row[3]))
        found = next((row for row in of_it if abs(row[4] - told.at) <= 10 * NEAR), None)
        if found is not None:
            taken.add(found[0])
        elif told.seq <= last:
            says = f"The row of the delivery that record {told.seq} tells of is gone, or not what the record says."
            yield Damage(DIFFERS, told.seq, says)
    for pk, number, _kind, address, at, seq in rows:
        if pk not in taken and was_told_since(at, silent):
            says = f"By its row, checkpoint {number} arrived at {address} on {at:%Y-%m-%d %H:%M} UTC; no record tells of it."
            yield Damage(DIFFERS, max(seq or 0, 1), says)


# -- receipts of files ------------------------------------------------------------------------------------------------

_ASKED = ("kind", "what", "zone", "cut_off", "version")
_ENDED = ("rows", "size", "sha256")


class _File(NamedTuple):
    """One receipt: what was asked for, as a digest, and how it ended (None while it has not)."""

    at: datetime
    cut_off: int
    asked: str
    ended: tuple[Any, ...] | None


def _files(last: int, silent: datetime | None) -> Iterator[Damage]:
    # Rows are read first, so that the record of each is there when records are read.
    rows = dict(_file_rows())
    ends: dict[str, list[Told]] = {}
    untold = dict(rows)
    for told in told_by(Action.RECORD_EXPORTED):
        code = told.details.get("file")
        if not isinstance(code, str):
            continue
        untold.pop(code, None)
        row = rows.get(code)
        if told.outcome != Outcome.REQUESTED:
            ends.setdefault(code, []).append(told)
        elif row is None and told.seq <= last:
            yield Damage(DIFFERS, told.seq, f"The receipt of the file that record {told.seq} tells of is gone.")
        elif row is not None and row.asked != _asked([told.details.get(name) for name in _ASKED], told.actor, told):
            yield Damage(DIFFERS, told.seq, f"The receipt of file {code} is not what record {told.seq} says.")
    for code, row in rows.items():
        if code in untold:
            if was_told_since(row.at, silent):
                says = f"The receipt of file {code} is of {row.at:%Y-%m-%d %H:%M} UTC; no record tells of it."
                yield Damage(DIFFERS, max(row.cut_off, 1), says)
        elif not _is_end(row, ends.get(code, []), last) and (code in ends or was_told_since(row.at, silent)):
            seq = ends[code][-1].seq if code in ends else max(row.cut_off, 1)
            yield Damage(DIFFERS, seq, f"How file {code} ended is not what its records say: rows, size or SHA-256.")


def _file_rows() -> Iterator[tuple[str, _File]]:
    after = 0
    rows = FileReceipt.objects.order_by("pk")
    while found := list(rows.filter(pk__gt=after)[:CHUNK]):
        after = found[-1].pk
        for row in found:
            asked = _asked([getattr(row, name) for name in _ASKED], row.by, row)
            ended = tuple(getattr(row, name) for name in _ENDED) if row.finished_at else None
            yield row.code, _File(row.at, row.cut_off, asked, ended)


def _asked(values: list[Any], by: str, source: FileReceipt | Told) -> str:
    chosen = source.filter if isinstance(source, FileReceipt) else source.details.get("filter")
    chosen = {key: value for key, value in chosen.items() if key not in _NOT_ASKED} if isinstance(chosen, dict) else {}
    return digest_of(json.dumps(plain([*values, by[:150], chosen]), sort_keys=True))


def _is_end(row: _File, ends: list[Told], last: int) -> bool:
    """The newest end up to `last` counts; one that came while this ran may be in the row already."""
    before = [told for told in ends if told.seq <= last][-1:]
    if row.ended is None:
        return not before
    said = [(told.details.get("rows"), told.details.get("size"), told.details.get("sha256", "")) for told in ends]
    return row.ended in said[len(ends) - len([told for told in ends if told.seq > last]) - len(before) :]


# -- reviews ----------------------------------------------------------------------------------------------------------


def _reviews(last: int) -> Iterator[Damage]:
    rows = Review.objects.filter(seq__lte=last).select_related("organization").order_by("pk")
    found = {row.seq: row for row in rows}
    for told in told_by(Action.REVIEW_OPENED, last=last):
        row = found.pop(told.seq, None)
        if row is None:
            yield Damage(DIFFERS, told.seq, f"The review that record {told.seq} tells of is gone.")
        elif not _is_review(row, told):
            yield Damage(DIFFERS, told.seq, f"The review of record {told.seq} does not show what it showed then.")
    yield from _untold(((seq, "review") for seq in sorted(found)), set(found))


def _is_review(row: Review, told: Told) -> bool:
    said = tuple(told.details.get(name) for name in ("first", "last", "sha256", "up_to"))
    shown = hashlib.sha256(canonical(row.told).encode("utf-8", "surrogatepass")).hexdigest()
    stands = (row.first.isoformat(), row.last.isoformat(), row.digest, row.up_to)
    whose = (row.opened_by, row.organization.slug) == (told.actor[:150], told.organization)
    return said == stands and shown == row.digest and whose and abs(row.opened_at - told.at) <= NEAR


def _sign_offs(last: int) -> Iterator[Damage]:
    found = {row.seq: row for row in SignOff.objects.filter(seq__lte=last).select_related("review").order_by("pk")}
    for told in told_by(Action.REVIEW_SIGNED, last=last):
        row = found.pop(told.seq, None)
        said = tuple(told.details.get(name) for name in ("review", "sha256", "verdict", "note"))
        if row is None:
            yield Damage(DIFFERS, told.seq, f"The signature under a review that record {told.seq} tells of is gone.")
        elif (
            said != (row.review_id, row.review.digest, row.verdict, row.note)
            or row.by != told.actor[:150]
            or abs(row.at - told.at) > NEAR
        ):
            yield Damage(DIFFERS, told.seq, f"The signature of record {told.seq} is not what the record says.")
    yield from _untold(((seq, "signature under a review") for seq in sorted(found)), set(found))


def _untold(rows: Iterator[tuple[int, str]], seqs: set[int]) -> Iterator[Damage]:
    """Rows whose record does not tell of them, unless its content has expired."""
    silent = expired_and_told(seqs)
    for seq, what in rows:
        if seq not in silent:
            yield Damage(DIFFERS, seq, f"A {what} names record {seq}, which tells of none.")


# -- settings ---------------------------------------------------------------------------------------------------------

_SET = {
    Action.RETENTION_SET: {
        "register_months": "register_months",
        "access_months": "access_months",
        "reason": "retention_reason",
    },
    Action.SETTINGS_CHANGED: {"witness_mail": "witness_mail", "checkpoint_minutes": "checkpoint_minutes"},
}


def _settings() -> Iterator[Damage]:
    """How long records are kept, and where checkpoints go, are as they were last set on record."""
    for action, names in _SET.items():
        for _try in range(2):  # read again: they may have been set in this moment
            row = Installation.objects.filter(pk=1).first() or Installation()
            said: dict[str, tuple[int, Any]] = {}
            for told in told_by(action):
                after = told.details.get("after")
                said |= {key: (told.seq, after[key]) for key in names if isinstance(after, dict) and key in after}
            wrong = {key: seq for key, (seq, value) in said.items() if getattr(row, names[key]) != value}
            if not wrong:
                break
        for key, seq in wrong.items():
            says = f"A setting is not as record {seq} set it, the newest one that tells of it: {key.replace('_', ' ')}."
            yield Damage(DIFFERS, seq, says)
