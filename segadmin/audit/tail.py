"""Whether the end of the record was cut off: rows and files beside it that know of records beyond its end.

The chain itself can't tell. What a row of the database names, whoever may write to the database can remove too; the files
of the data folder take somebody who may write there as well; and against that only what is kept elsewhere counts.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Max

from segadmin.audit import mark, seen
from segadmin.audit.verifier import Damage
from segadmin.models import (
    Amendment,
    Attempt,
    Event,
    FileReceipt,
    Finding,
    Hold,
    Reading,
    Review,
    SigningKey,
    SignOff,
    Verification,
)

_NAMED = (
    (Verification, "last", "A check of the record"),
    (Attempt, "opened_seq", "A change at Adobe"),
    (Attempt, "closed_seq", "A change at Adobe"),
    (FileReceipt, "cut_off", "The receipt of a file"),
    (Amendment, "seq", "A correction of the register"),
    (Hold, "seq", "A legal hold"),
    (SigningKey, "seq", "A signing key"),
    (Finding, "seq", "A finding"),
    (Reading, "seq", "A summary of reading"),
    (Review, "seq", "A review"),
    (SignOff, "seq", "A signature under a review"),
)
type Gaps = Sequence[tuple[int, int, dict[str, Any]]]


def cut_tail(gaps: Gaps, *, here: bool) -> tuple[list[Damage], list[str]]:
    """Damage and remarks. `gaps`: numbers that restores left out; `here`: whether this is the record of the data folder."""
    named = [
        (highest, words)
        for model, column, words in _NAMED
        if (highest := model._default_manager.aggregate(highest=Max(column))["highest"])
    ]
    told = seen.seen() if here else []
    marked = _marked() if here else 0
    # Read after them, so that what was written meanwhile does not look cut off.
    newest = Event.objects.aggregate(highest=Max("seq"))["highest"] or 0
    highest, words = max(named, default=(0, ""))
    found = []
    if highest > newest:
        found.append(
            Damage("tail cut", newest + 1, f"{words} names record {highest}, and the record ends at {newest}.")
        )
    if marked > newest:
        says = f"By the file {mark.path().name} record {marked} was there, and the record ends at {newest}."
        found.append(Damage("tail cut", newest + 1, says))
    remarks: list[str] = []
    found += _seen(told, newest, gaps, remarks)
    if here and (odd := seen.odd_lines()):
        remarks.append(f"The file {seen.FILE} holds lines that say nothing: {odd}.")
    return found, remarks


def _marked() -> int:
    """The record that was there when the mark was last moved on: it is moved so far ahead of it, and no further."""
    try:
        return max(mark.read() - mark.BLOCK, 0)
    except ValueError:
        return 0  # nothing can be recorded then, and whoever tries is told


def _seen(told: Sequence[seen.Seen], newest: int, gaps: Gaps, remarks: list[str]) -> Iterator[Damage]:
    """What was committed from here and is not there, or not so."""
    links = {
        seq: (epoch, chain)
        for seq, epoch, chain in Event.objects.filter(pk__in=[line.seq for line in told])
        .order_by("seq")
        .values_list("seq", "epoch", "chain")
    }
    for line in told:
        lost = next((gap for gap in gaps if gap[0] < line.seq < gap[1]), None)
        if lost is not None and _is_stated(line, lost[2]):
            remarks.append(
                f"Record {line.seq:,} was written from here and lost in a restore; record {lost[1]:,} says so."
            )
        elif lost is not None:
            says = (
                f"Record {line.seq} was written from here, and the restore at record {lost[1]} does not call it lost."
            )
            yield Damage("tail cut", line.seq, says)
        elif line.seq > newest:
            says = (
                f"Record {line.seq} was written from here, and the record ends at {newest}: its end was cut off, or an "
                "older copy of the database was put back without restore."
            )
            yield Damage("tail cut", newest + 1, says)
        elif line.seq in links and links[line.seq] != (line.epoch, line.chain):
            says = (
                f"Record {line.seq} is not the one that was written from here: the record was rewritten up to there, or an "
                "older copy of the database was put back without restore."
            )
            yield Damage("checkpoint mismatch", line.seq, says)


def _is_stated(line: seen.Seen, details: dict[str, Any]) -> bool:
    lost = details.get("lost")
    up_to = lost.get("to") if isinstance(lost, dict) else None
    return isinstance(up_to, int) and line.seq <= up_to
