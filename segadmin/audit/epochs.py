"""A restore begins a new epoch: numbers go on above every one ever issued, and the record says what is known to be lost."""

from typing import Any

from django.db import transaction

from segadmin.audit import checkpoints, mark, seen
from segadmin.audit.actor import Actor
from segadmin.audit.chain import begin, locked_head
from segadmin.audit.record import record
from segadmin.models import Action, Event

MOST_NAMED = 200
# So many numbers are left out where nothing is left that says how far they were issued.
LEAP = 1_000_000


def begin_epoch(*, actor: Actor, reason: str, known_highest: int | None = None) -> Event:
    """Begin a new epoch in a database that was put back to an earlier state; returns its first event.

    The next number follows the highest that is known: of this database, of the mark, the checkpoints and the newest record
    seen in the data folder, and `known_highest` (a receipt, a mail, what somebody remembers). Where the mark is lost, it
    leaps far beyond. Raises ValueError for a damaged mark.
    """
    with transaction.atomic():
        head = locked_head()
        known = {line.number: line for line in [*checkpoints.in_table(), *checkpoints.in_file()]}
        lost = [line for _number, line in sorted(known.items()) if line.seq > head.seq]
        lost_here = [line for line in seen.seen() if line.seq > head.seq]
        told = {
            "checkpoints": max((line.seq for line in lost), default=0),
            "given": known_highest or 0,
            "mark": mark.read(),
            "seen": max((line.seq for line in lost_here), default=0),
        }
        leap = 0 if told["mark"] else LEAP
        highest = max(head.seq, *told.values()) + leap
        surely = max(told["checkpoints"], told["given"], told["seen"])
        begin(head, highest)
        details: dict[str, Any] = {
            "epoch_before": head.epoch,
            "last_kept": head.seq,
            "first_new": highest + 1,
            "lost": {"from": head.seq + 1, "to": surely} if surely > head.seq else {},
            "known_highest": told,
            "checkpoints": [line.line for line in lost[-MOST_NAMED:]],
            "seen": [line.line for line in lost_here],
            "reason": reason,
            "leap": leap,
        }
        return record(
            actor=actor,
            action=Action.EPOCH_BEGUN,
            sentence=f"began epoch {head.epoch + 1}: {_lost(head.seq, surely, highest, leap)}. {reason}".strip(),
            details=details,
        )


def _lost(kept: int, surely: int, highest: int, leap: int) -> str:
    goes_on = f"numbers go on at {highest + 1:,}"
    if leap:
        goes_on += ", far beyond, since the file that says how far they were issued is lost"
    if surely <= kept:
        return f"no lost record is known of, records end at {kept:,} and {goes_on}"
    which = f"record {surely:,} is" if surely == kept + 1 else f"records {kept + 1:,} to {surely:,} are"
    return f"{which} lost, {goes_on}"
