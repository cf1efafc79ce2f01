"""Sweep summaries: the stretches of reading as rows, compared with what the record says of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Q

from segadmin.models import Action, EventContent, Job, Reading, Sandbox, Unread
from segadmin.queries.intervals import Span, merged

CHUNK = 500


@dataclass
class Summaries:
    """Sums over the stretches that end in a time.

    `spans`: sandbox pk -> its stretches; `read`: those in which the list was read at all. `crossing` reach over an edge of
    the time, and are counted whole where they end (only those from before stretches ended at midnight do). `recorded`
    are in the record and fit it, `differing` are there and say otherwise (or are no summaries), `expired` stand there by
    digest only, `open` are not in the record yet.
    """

    reads: int = 0
    sweeps: int = 0
    spans: dict[int, list[Span]] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    # Sandbox pk -> readings, and those to the end.
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    crossing: int = 0
    recorded: int = 0
    differing: int = 0
    expired: int = 0
    open: int = 0
    # Sandbox pk -> its recorded stretches, and the jobs made in them by the record.
    told: dict[int, list[Span]] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)
    missing_jobs: int = 0


def summaries(sandboxes: Sequence[Sandbox], span: Span, *, compare: bool = True) -> Summaries:
    """Everything that overlaps the span; sums count stretches that end in it. Read in finished chunks.

    Without `compare` only the spans and sums are filled in.
    """
    found = Summaries()
    places = [row.pk for row in sandboxes]
    rows = Reading.objects.filter(sandbox__in=places, from_at__lt=span[1], to_at__gt=span[0]).order_by("pk")
    unread = _unread(places, span) if compare else set()
    last = 0
    while chunk := list(rows.filter(pk__gt=last)[:CHUNK]):
        last = chunk[-1].pk
        told = _told([row.seq for row in chunk if row.seq is not None]) if compare else {}
        for row in chunk:
            _add(found, row, span)
            if compare:
                _compare(found, row, told, unread)
    _count_missing(found)
    return found


def _told(numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Record number -> details of the summary; other events give an empty one."""
    rows = EventContent.objects.filter(event__in=list(numbers)).values_list("event_id", "action", "text")
    return {seq: _details(text) if action == Action.SWEEP else {} for seq, action, text in rows.order_by("event_id")}


def _details(text: str) -> dict[str, Any]:
    try:
        details = json.loads(text).get("details")
    except (ValueError, AttributeError):
        return {}
    return details if isinstance(details, dict) else {}


def _add(found: Summaries, row: Reading, span: Span) -> None:
    found.spans.setdefault(row.sandbox_id, []).append((row.from_at, row.to_at))
    if row.reads:
        found.read.add(row.sandbox_id)
        found.crossing += row.from_at < span[0] or (row.to_at > span[1] and row.seq is not None)
    if row.to_at <= span[1] or row.seq is None:
        found.reads += row.reads
        found.sweeps += row.sweeps
        reads, sweeps = found.counts.get(row.sandbox_id, (0, 0))
        found.counts[row.sandbox_id] = (reads + row.reads, sweeps + row.sweeps)


type _Time = tuple[int, str, str, str]  # of a sandbox: from, to, why


def _unread(places: Sequence[int], span: Span) -> set[_Time]:
    """The times not read that have ended, of all stretches that overlap the span."""
    edge = timedelta(days=1)  # no stretch is longer
    rows = Unread.objects.filter(sandbox__in=places, from_at__lt=span[1] + edge, to_at__gt=span[0] - edge)
    told = rows.order_by().values_list("sandbox", "from_at", "to_at", "why")
    return {(place, first.isoformat(), last.isoformat(), why) for place, first, last, why in told if last}


def _is_told(row: Reading, details: dict[str, Any], unread: set[_Time]) -> bool:
    """Whether the row says what the record does, and the times not read that the record names are all there."""
    named = details.get("unread") or []
    return all(details.get(name) == value for name, value in in_record(row).items()) and all(
        (row.sandbox_id, item.get("from"), item.get("to"), item.get("why")) in unread for item in named
    )


def _compare(found: Summaries, row: Reading, told: dict[int, dict[str, Any]], unread: set[_Time]) -> None:
    if row.seq is None:
        found.open += 1
    elif row.seq not in told:
        found.expired += 1
    elif _is_told(row, told[row.seq], unread):
        found.recorded += 1
        found.told.setdefault(row.sandbox_id, []).append((row.from_at, row.to_at))
        found.made[row.sandbox_id] = found.made.get(row.sandbox_id, 0) + int(told[row.seq].get("jobs_made") or 0)
    else:
        found.differing += 1


def in_record(row: Reading) -> dict[str, Any]:
    """What of a stretch stands both in its row and in its event."""
    return {
        "from": row.from_at.isoformat(),
        "to": row.to_at.isoformat(),
        "reads": row.reads,
        "sweeps": row.sweeps,
        "jobs_listed": row.jobs_listed,
    }


def _count_missing(found: Summaries) -> None:
    """Jobs are never deleted here: fewer rows than the record counted means that somebody deleted some."""
    for sandbox, made in found.made.items():
        within = Q(pk__in=())
        for first, last in merged(found.told[sandbox]):
            within |= Q(sort_at__gte=first, sort_at__lt=last)
        there = Job.objects.filter(within, sandbox=sandbox).count()
        found.missing_jobs += max(0, made - there)
