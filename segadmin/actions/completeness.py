"""How completely the lists were read: stretches of reading, times not read, and their summaries in the record.

Every function runs under the lock of the sandbox's row, so two readers of one sandbox can't interleave.
"""

import hashlib
from datetime import UTC, datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from segadmin.actions import mirror
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Job, Origin, Reading, Sandbox, Unread
from segadmin.queries.completeness_words import between, lasted
from segadmin.queries.summaries import in_record
from segadmin.queries.unread import Missed, doubtful, missed, watched_since

# Summaries come with a full sweep, about hourly; sweeps that come sooner are counted in the next one.
SUMMARY_EVERY = timedelta(minutes=50)
CLOCKS_TOLD_EVERY = timedelta(hours=1)
CHUNK = 2000


def note_read(
    sandbox: Sandbox, *, read_at: datetime, listed: int | None = None, counts: bool = True, may_close: bool = False
) -> None:
    """A list was read well, from `read_at` on; `listed`: how many jobs it held, where it was read to its end.

    Without `counts` only the moment is noted: the same list is counted when it has come to its end. `may_close`: all of
    the list was asked for, so that it is time for a summary.
    """
    with transaction.atomic():
        held = mirror.hold(sandbox)
        base = watched_since(held)
        doubt = None if _told_lately(held) else doubtful(held, timezone.now())
        gaps = ([doubt] if doubt else missed(held, read_at)) if held.watched else []
        Sandbox.objects.filter(pk=held.pk).update(
            last_read_at=read_at if doubt else max(read_at, held.last_read_at or read_at),
            failures=0,
            failing_since_at=None,
            last_error="",
            last_error_request_id="",
        )
        if not held.watched:
            return  # watching ended meanwhile: this reading counts nowhere
        unread = [_unread(held, gap) for gap in gaps]
        reading, ended = _up_to(held, base, read_at, is_back=doubt is not None)
        _count(reading, read_at, listed, counts)
        _tell_unread(held, unread)
        for row in ended:
            _close(held, row)
        if (may_close or listed is not None) and _is_due(reading):
            _close(held, reading)


def _told_lately(held: Sandbox) -> bool:
    """Several servers whose clocks differ, which look like one that is set back over and over, tell so once an hour."""
    now = timezone.now()
    told = Unread.objects.filter(sandbox=held, why=Unread.Why.CLOCK, to_at__gt=now - CLOCKS_TOLD_EVERY, to_at__lte=now)
    return told.exists()


def _unread(held: Sandbox, gap: Missed) -> Unread:
    return Unread.objects.create(
        sandbox=held, from_at=gap.from_at, to_at=gap.to_at, why=gap.why, note=gap.note.replace("\x00", "")[:300]
    )


def _midnight(moment: datetime) -> datetime:
    """The beginning of its day in UTC."""
    return datetime.combine(moment.astimezone(UTC).date(), time.min, tzinfo=UTC)


def _up_to(
    held: Sandbox, base: datetime | None, at: datetime, *, is_back: bool = False
) -> tuple[Reading, list[Reading]]:
    """The open stretch that `at` belongs to, and those that are over; `is_back`: the clock was set back.

    No stretch reaches over midnight UTC, where periods of the statement begin and end: so each reading counts in the
    period that it was made in.
    """
    row = Reading.objects.filter(sandbox=held, seq=None).order_by("from_at", "pk").first()
    if row is None:
        begin = min(base or at, at)
        row = Reading(sandbox=held, from_at=begin, to_at=begin)
    if is_back and at < row.from_at:
        return Reading(sandbox=held, from_at=at, to_at=at), [row] if row.pk else []
    edge, today = _midnight(row.from_at) + timedelta(days=1), _midnight(at)
    if at < edge:
        return row, []
    row.to_at = edge
    ended = [row]
    if edge < today:
        ended.append(Reading(sandbox=held, from_at=edge, to_at=today))
    ended = [stretch for stretch in ended if stretch.from_at < stretch.to_at]
    for stretch in ended:
        stretch.save()
    return Reading(sandbox=held, from_at=today, to_at=today), ended


def _count(row: Reading, read_at: datetime, listed: int | None, counts: bool) -> None:
    """Put this reading into the open stretch."""
    row.to_at = max(row.to_at, read_at)
    row.reads += counts
    if listed is not None:
        row.sweeps += 1
        row.jobs_listed = listed
    row.save()


def _is_due(reading: Reading) -> bool:
    told = Reading.objects.filter(sandbox=reading.sandbox_id, sweeps__gt=0).exclude(seq=None)
    return reading.to_at - reading.from_at >= SUMMARY_EVERY or not told.exists()


WORDS = {
    Unread.Why.ADOBE: "could not read the list of {place} at Adobe for {length}, {span}",
    Unread.Why.STOPPED: "did not read the list of {place} for {length}, {span}: segadmin was not reading",
    Unread.Why.UNWATCHED: "did not watch {place} for {length}, {span}",
    Unread.Why.CLOCK: (
        "can't tell whether it read the list of {place} for {length}, {span}: the clock of this server was set back"
    ),
}


def _tell_unread(held: Sandbox, rows: list[Unread]) -> None:
    """One event for each time that has ended."""
    for row in rows:
        assert row.to_at is not None
        words = WORDS[Unread.Why(row.why)]
        event = record(
            actor=Actor.system(),
            action=Action.UNREAD,
            sentence=words.format(
                place=held, length=lasted(row.to_at - row.from_at), span=between(row.from_at, row.to_at)
            ),
            subject=Subject(sandbox=held),
            details={"from": row.from_at.isoformat(), "to": row.to_at.isoformat(), "why": row.why, "note": row.note},
        )
        Unread.objects.filter(pk=row.pk).update(seq=event.seq)


def _close(held: Sandbox, reading: Reading) -> None:
    """Put the stretch into the record: from when to when, how often read, what the list held, what was not read."""
    span = (reading.from_at, reading.to_at)
    made = Job.objects.filter(sandbox=held, sort_at__gte=span[0], sort_at__lt=span[1]).count()
    gaps = Unread.objects.filter(sandbox=held, from_at__lt=span[1], to_at__gt=span[0]).exclude(to_at=None)
    _tell_older(held)
    event = record(
        actor=Actor.system(),
        action=Action.SWEEP,
        sentence=_summary(held, reading, made),
        subject=Subject(sandbox=held),
        details={
            **in_record(reading),
            "jobs_made": made,
            **({} if held.clock_ahead is None else {"clock_ahead_seconds": held.clock_ahead}),
            "unread": [
                {"from": row.from_at.isoformat(), "to": row.to_at.isoformat(), "why": row.why}
                for row in gaps.order_by("from_at", "pk")
                if row.to_at
            ],
        },
    )
    Reading.objects.filter(pk=reading.pk).update(seq=event.seq, closed_at=timezone.now())


def _summary(held: Sandbox, reading: Reading, made: int) -> str:
    span = between(reading.from_at, reading.to_at)
    if not reading.reads:
        return f"did not read the list of {held} {span}; {made:,} jobs made in this time are known from later readings"
    listed = f"{reading.jobs_listed:,} jobs listed, " if reading.sweeps else ""
    times = "time" if reading.reads == 1 else "times"
    return (
        f"read the list of {held} {reading.reads} {times}, {reading.sweeps} of them to its end, {span}: "
        f"{listed}{made:,} made in this time"
    )


def _tell_older(held: Sandbox) -> None:
    """Jobs older than the connection that were first seen since the last summary: one event for all of them."""
    last = Reading.objects.filter(sandbox=held).exclude(closed_at=None).order_by("-closed_at").first()
    rows = Job.objects.filter(sandbox=held, origin=Origin.OLDER)
    if last is not None:
        rows = rows.filter(first_seen_at__gt=last.closed_at)
    ids: list[str] = []
    key = 0
    while chunk := list(rows.filter(pk__gt=key).order_by("pk").values_list("pk", "job_id")[:CHUNK]):
        key = chunk[-1][0]
        ids += [job_id for _pk, job_id in chunk]
    if ids:
        digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
        what = "1 job" if len(ids) == 1 else f"{len(ids):,} jobs"
        record(
            actor=Actor.system(),
            action=Action.JOB_SEEN,
            sentence=f"saw {what} of {held} for the first time that {'is' if len(ids) == 1 else 'are'} "
            "older than this connection",
            subject=Subject(sandbox=held),
            details={"origin": Origin.OLDER.value, "count": len(ids), "sha256_of_sorted_ids": digest},
        )


def note_watched(sandbox: Sandbox, *, at: datetime) -> None:
    """Watching begins: a time in which nobody watched ends, and is put on record."""
    with transaction.atomic():
        held = mirror.hold(sandbox)
        rows = list(Unread.objects.filter(sandbox=held, why=Unread.Why.UNWATCHED, to_at=None).order_by("pk"))
        for row in rows:
            row.to_at = at
            row.save(update_fields=["to_at"])
        _tell_unread(held, rows)


def note_unwatched(sandbox: Sandbox, *, at: datetime) -> None:
    """Watching ends: what was read until now is closed, and a time begins that is not."""
    with transaction.atomic():
        held = mirror.hold(sandbox)
        unread = [_unread(held, gap) for gap in missed(held, at)]
        Sandbox.objects.filter(pk=held.pk).update(failing_since_at=None, failures=0)
        Unread.objects.create(sandbox=held, from_at=at, why=Unread.Why.UNWATCHED)
        reading, ended = _up_to(held, None, at)
        if reading.pk is not None or ended:
            # What follows the last good reading is told as not read, or is no longer than a pause between two readings.
            reading.to_at = max(reading.to_at, at)
            reading.save()
            ended.append(reading)
        _tell_unread(held, unread)
        for row in ended:
            _close(held, row)
