"""The statement's numbers sandbox by sandbox, as the table on its page and as a file with the same columns."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F

from segadmin.models import Finding, Origin, Sandbox, Unread
from segadmin.queries import cells
from segadmin.queries.completeness import UNTOLD, Gap, Statement, jobs_made, unreadable
from segadmin.queries.files import Part
from segadmin.queries.intervals import merged, total

_NUMBERS = {
    "reads": "readings of Adobe's list",
    "sweeps": "of them to the list's end",
    "made": "jobs made in this time; the sum of the next eight",
    "here": "sent from here",
    "by_rule": "from outside, covered by a standing explanation",
    "closed": "from outside, explained and checked",
    "explained": "from outside, explained, not checked",
    "open": "from outside, without explanation",
    "matching": "being matched with a lost answer",
    "older": "older than the connection",
    "other": "of an origin that is none of these",
    "gone": "of those made: no longer listed by Adobe",
    "aged": "of those made: ended, and older than what Adobe's list still shows",
    "unsure": "of those made: not in the last whole list, and not looked up one by one yet",
    "unreadable": "entries of the list in this time that could not be read as jobs; not among those made",
}
COLUMNS: dict[str, str] = {
    "line": "sandbox (one for each), total (all of them), or unread (a time in which one sandbox was not read)",
    "organization": "short name of the organization",
    "organization_name": "its name now",
    "sandbox": "sandbox",
    "sandbox_type": "Adobe's type of the sandbox",
    "watched": "yes, partly (connected or not watched within this time), or no",
    "from": "from when on this time is spoken of: its first moment or the connection; of an unread time its beginning, UTC",
    "to": "until when: its end or now; of an unread time its end, UTC",
    **_NUMBERS,
    "unread_adobe_seconds": "how long Adobe could not be read",
    "unread_stopped_seconds": "how long segadmin was not reading",
    "unread_clock_seconds": "of how long it can't be told whether it was read: the clock was set back",
    "unread_untold_seconds": "how long the record tells nothing at all",
    "not_watched_seconds": "how long it was not watched",
    "why": "of an unread time: adobe, stopped, unwatched, clock (was set back), or untold (nothing on record)",
    "lasts": "of an unread time: whether it still lasts",
    "note": "of an unread time: what Adobe said last",
    "record": "of an unread time: number of its record; empty while it lasts",
}


@dataclass
class Row:
    """One sandbox, or (None) all of them. Numbers as in COLUMNS; lengths within the time."""

    sandbox: Sandbox | None
    watched: str = "no"
    from_at: datetime | None = None
    to_at: datetime | None = None
    reads: int = 0
    sweeps: int = 0
    made: int = 0
    here: int = 0
    by_rule: int = 0
    closed: int = 0
    explained: int = 0
    open: int = 0
    matching: int = 0
    older: int = 0
    other: int = 0
    gone: int = 0
    aged: int = 0
    unsure: int = 0
    unreadable: int = 0
    adobe: timedelta = timedelta()
    stopped: timedelta = timedelta()
    clock: timedelta = timedelta()
    untold: timedelta = timedelta()
    unwatched: timedelta = timedelta()

    @property
    def unread(self) -> timedelta:
        """By whatever cause but choice. Its times do not overlap, but for those of a clock that was set back."""
        return self.adobe + self.stopped + self.clock + self.untold


def rows(found: Statement) -> list[Row]:
    """The watched ones, then those that were not, in the order of the statement. Five queries."""
    by_pk = {row.pk: _row(row, found) for row in found.watched}
    _add_jobs(found, by_pk)
    gaps: dict[int, list[Gap]] = defaultdict(list)
    for gap in found.gaps:
        gaps[gap.sandbox.pk].append(gap)
    for pk, row in by_pk.items():
        row.reads, row.sweeps = found.readings.counts.get(pk, (0, 0))
        row.adobe, row.stopped = _length(gaps[pk], Unread.Why.ADOBE), _length(gaps[pk], Unread.Why.STOPPED)
        row.clock = _length(gaps[pk], Unread.Why.CLOCK)
        row.untold, row.unwatched = _length(gaps[pk], UNTOLD), _length(gaps[pk], Unread.Why.UNWATCHED)
        row.watched = "partly" if row.unwatched or row.sandbox in found.connected_within else "yes"
    return [*by_pk.values(), *(Row(sandbox) for sandbox in found.unwatched)]


def _row(sandbox: Sandbox, found: Statement) -> Row:
    assert sandbox.connected_at is not None
    return Row(sandbox, from_at=max(found.period.from_at, sandbox.connected_at), to_at=found.until_at)


def _length(gaps: Sequence[Gap], why: str) -> timedelta:
    return total(merged((gap.from_at, gap.to_at) for gap in gaps if gap.why == why))


def _add_jobs(found: Statement, by_pk: dict[int, Row]) -> None:
    made = jobs_made(found).order_by()
    names: dict[str, str] = {Origin.HERE: "here", Origin.MATCHING: "matching", Origin.OLDER: "older"}
    for pk, origin, count in made.values_list("sandbox", "origin").annotate(Count("pk")):
        row = by_pk[pk]
        row.made += count
        name = names.get(origin, "open" if origin == Origin.OUTSIDE else "other")
        setattr(row, name, getattr(row, name) + count)
    outside = made.filter(origin=Origin.OUTSIDE)
    for pk, count in outside.exclude(explanation=None).values_list("sandbox").annotate(Count("pk")):
        by_pk[pk].by_rule += count
        by_pk[pk].open -= count
    looked = Finding.objects.filter(kind=Finding.Kind.OUTSIDE, job__in=outside.filter(explanation=None)).order_by()
    for pk, state, count in (
        looked.exclude(state=Finding.State.OPEN).values_list("sandbox", "state").annotate(Count("pk"))
    ):
        name = "closed" if state == Finding.State.CLOSED else "explained"
        setattr(by_pk[pk], name, getattr(by_pk[pk], name) + count)
        by_pk[pk].open -= count
    parts = {
        "gone": made.exclude(missing_since_at=None),
        "aged": made.filter(missing_since_at=None).exclude(aged_out_at=None),
        "unsure": made.filter(
            missing_since_at=None,
            aged_out_at=None,
            last_seen_at__lt=F("sandbox__swept_at"),
            sandbox__absent_jobs__gt=0,
        ),
    }
    for name, some in parts.items():
        for pk, count in some.values_list("sandbox").annotate(Count("pk")):
            setattr(by_pk[pk], name, count)
    for pk, count in unreadable(found).order_by().values_list("sandbox").annotate(Count("pk")):
        by_pk[pk].unreadable = count


def summed(found: Sequence[Row]) -> Row:
    """All of them; lengths are added up, though times of several sandboxes may overlap."""
    together = Row(None, watched="")
    for part in fields(Row):
        if part.name not in ("sandbox", "watched", "from_at", "to_at"):
            values = [getattr(row, part.name) for row in found]
            setattr(together, part.name, sum(values, type(getattr(together, part.name))()))
    return together


# -- the file ----------------------------------------------------------------------------------------------------------


def csv(found: Statement) -> Iterator[Part]:
    """The sandboxes, their total, then every time not read; a line of column names first."""
    lines = cells.Lines()
    yield 0, lines.bytes_of([list(COLUMNS)])
    several = rows(found)
    table = [_line(row, found) for row in [*several, summed(several)]]
    table += [_unread(gap) for gap in found.gaps]
    for start in range(0, len(table), 500):
        chunk = table[start : start + 500]
        yield len(chunk), lines.bytes_of([[cells.cell(row.get(name, "")) for name in COLUMNS] for row in chunk])


def _place(sandbox: Sandbox | None) -> dict[str, Any]:
    if sandbox is None:
        return {}
    return {
        "organization": sandbox.organization.slug,
        "organization_name": sandbox.organization.name,
        "sandbox": sandbox.name,
        "sandbox_type": sandbox.type,
    }


def _line(row: Row, found: Statement) -> dict[str, Any]:
    is_total = row.sandbox is None
    told: dict[str, Any] = {
        "line": "total" if is_total else "sandbox",
        **_place(row.sandbox),
        "watched": row.watched,
        "from": found.period.from_at if is_total else row.from_at,
        "to": found.until_at if is_total else row.to_at,
    }
    if row.watched == "no":  # nothing is known of it, which is not the same as none
        return told
    lengths = {
        "unread_adobe_seconds": row.adobe,
        "unread_stopped_seconds": row.stopped,
        "unread_clock_seconds": row.clock,
        "unread_untold_seconds": row.untold,
        "not_watched_seconds": row.unwatched,
    }
    told |= {name: getattr(row, name) for name in _NUMBERS}
    return told | {name: round(length.total_seconds()) for name, length in lengths.items()}


def _unread(gap: Gap) -> dict[str, Any]:
    return {
        "line": "unread",
        **_place(gap.sandbox),
        "from": gap.from_at,
        "to": gap.to_at,
        "why": gap.why,
        "lasts": gap.lasts,
        "note": gap.note,
        "record": gap.seq or "",
    }


def clocks(told: Statement) -> list[tuple[Sandbox, int]] | None:
    """Sandboxes at whose last reading the clock of this server was ahead of Adobe's, by so many seconds (a minus: behind).

    None where it was not compared at all.
    """
    compared = [(row, row.clock_ahead) for row in told.watched if row.clock_ahead is not None]
    return [(row, ahead) for row, ahead in compared if ahead] if compared else None
