"""Taking in what Adobe says: jobs, their changes, unreadable records, absences. Used by sync and by the explicit checks.

Each function is one short transaction that holds the sandbox's row, so two readers of one sandbox can't interleave.
What was read earlier than what we already hold is left aside.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from segadmin import aep
from segadmin.actions import names as cached
from segadmin.actions import register
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, record
from segadmin.audit.chain import canonical
from segadmin.audit.verifier import snapshot_digest
from segadmin.models import (
    Action,
    Attempt,
    BadRecord,
    Job,
    JobChange,
    Name,
    Origin,
    Sandbox,
    Settlement,
    State,
)
from segadmin.queries import names, sentences
from segadmin.queries.unread import DOUBTFUL, doubtful

STATES = {
    "NEW": State.WAITING,
    "QUEUED": State.WAITING,
    "PROCESSING": State.RUNNING,
    "CANCELLING": State.CANCELLING,
    "CANCELING": State.CANCELLING,
    "SUCCEEDED": State.SUCCEEDED,
    "FAILED": State.FAILED,
    "CANCELLED": State.CANCELLED,
    "CANCELED": State.CANCELLED,
}
# A cancel that Adobe has not carried out by then is told as late, and the job is shown as Adobe tells it.
CANCEL_LIMIT = timedelta(hours=1)
UNDER_WAY = ("asked", "acknowledged", "unknown")
CLOCK_SKEW = timedelta(minutes=10)
# Batches of jobs that ended longer ago are not asked for: a first connection may bring years of them.
BATCHES_FOR = timedelta(days=30)


class LeaseLost(Exception):
    """Another process took the sandbox over; nothing was written."""


@dataclass
class Taken:
    """What one take-in did."""

    # Rows that an earlier list showed. Jobs made here since then don't count: their neighbours may still be unread.
    known: int = 0
    new: list[Job] = field(default_factory=list)
    changed: list[Job] = field(default_factory=list)
    returned: list[Job] = field(default_factory=list)


def state_of(status: str) -> State:
    """Our state for Adobe's word; an unknown word is never taken for an end."""
    return STATES.get(status.strip().upper(), State.UNKNOWN)


def hold(sandbox: Sandbox, lease: str | None = None) -> Sandbox:
    """Lock the sandbox's row for this transaction; with a lease, only if it is still ours.

    Taken before any row of a job, everywhere. `no_key`: an event that names the sandbox must not wait for it.
    """
    rows = Sandbox.objects.select_for_update(of=("self",), no_key=True).select_related("organization")
    rows = rows.filter(pk=sandbox.pk)
    if lease is not None:
        rows = rows.filter(lease_token=lease)
    held = rows.first()
    if held is None:
        raise LeaseLost(str(sandbox))
    return held


def come_back(sandbox: Sandbox) -> None:
    """Before a reading: where the clock was set back, nothing was seen later than now.

    Else what a wrong clock wrote would be newer than everything that Adobe says until that time is there.
    """
    if doubtful(sandbox, now := timezone.now()) is None:
        return
    with transaction.atomic():
        hold(sandbox)
        Job.objects.filter(sandbox=sandbox, last_seen_at__gt=now).update(last_seen_at=now)
        Job.objects.filter(sandbox=sandbox, next_look_at__gt=now + DOUBTFUL).update(next_look_at=None)


def take_in(
    sandbox: Sandbox,
    jobs: Sequence[aep.ExportJob],
    *,
    read_at: datetime,
    lease: str | None = None,
    ours: bool = False,
) -> Taken:
    """Store what a list, a look-up or (`ours`) the answer to a create said. At most a page (100) at a time."""
    taken = Taken()
    if not jobs:
        return taken
    by_id = {job.id[:200]: job for job in jobs}
    with transaction.atomic():
        sandbox = hold(sandbox, lease)
        rows = Job.objects.filter(sandbox=sandbox, job_id__in=by_id).select_related("export_request")
        known = {row.job_id: row for row in rows}
        taken.known = sum(not _made_here_since(sandbox.last_read_at, row) for row in known.values())
        fresh = [job for job_id, job in by_id.items() if job_id not in known]
        _add(sandbox, fresh, read_at, taken, Origin.HERE if ours else None)
        for job_id, row in known.items():
            _refresh(sandbox, row, by_id[job_id], read_at, taken)
        unchanged = [row.pk for row in known.values() if row not in taken.changed and row.last_seen_at < read_at]
        Job.objects.filter(pk__in=unchanged).update(last_seen_at=read_at)
        # A job made by a send that is still under way gets its row when it is linked to the request.
        register.refresh(jobs=[*([] if ours else taken.new), *taken.changed])
        # Events come last: the head of the record is the last lock that a transaction takes.
        for row in taken.returned:
            _event(sandbox, row, Action.JOB_RETURNED, f"saw that Adobe lists {_title(row)} again")
        for row in taken.new:
            record_first_sight(sandbox, row)
        for row in taken.changed:
            _record_end(sandbox, row)
    return taken


def _made_here_since(last_read_at: datetime | None, row: Job) -> bool:
    return row.export_request_id is not None and last_read_at is not None and row.first_seen_at > last_read_at


def values_of(seen: aep.ExportJob) -> dict[str, Any]:
    """Columns that come from Adobe alone."""
    total = seen.times.get("total")
    state = state_of(seen.status)
    ended = (total.end_at if total else None) or (seen.updated_at if state in State.final() else None)
    return {
        "status": seen.status[:60].replace("\x00", ""),
        "raw": storable(seen.raw),
        "dataset_id": (seen.dataset_id or "")[:200],
        "fields": seen.fields or "",
        "has_fields": bool(seen.fields),
        "audience_ids": [segment.id for segment in seen.segments],
        "batch_ids": seen.batch_ids,
        "profiles": seen.profiles if seen.profiles is not None and 0 <= seen.profiles < 2**63 else None,
        "remarks": len(seen.errors),
        "adobe_request_id": (seen.request_id or "")[:200],
        "fingerprint": aep.fingerprint_of_job(seen),
        "created_at": seen.created_at,
        "ended_at": ended if state in State.final() else None,
    }


def shown_state(row: Job, status: str, now: datetime) -> State:
    """Adobe's state, but "cancelling" while a cancel from here is under way and Adobe still says live."""
    state = state_of(status)
    live = state in (State.WAITING, State.RUNNING)
    if live and row.cancel_result in UNDER_WAY and row.cancel_until_at and row.cancel_until_at > now:
        return State.CANCELLING
    return state


def _add(
    sandbox: Sandbox, seen: Sequence[aep.ExportJob], read_at: datetime, taken: Taken, origin: Origin | None
) -> None:
    open_prints = set(
        Attempt.objects.filter(sandbox=sandbox, kind=Attempt.Kind.CREATE)
        .filter(state__in=[Attempt.State.OPEN, Attempt.State.UNKNOWN])
        .exclude(settlement__in=[Settlement.ADOPTED, Settlement.RELEASED])
        .values_list("fingerprint", flat=True)
    )
    rows = []
    # When the answer was here, not when it was asked for: a list asked for before a create can show its job.
    first_seen_at = timezone.now()
    for job in seen:
        values = values_of(job)
        older = job.created_at and sandbox.connected_at and job.created_at < sandbox.connected_at
        matching = values["fingerprint"] in open_prints
        told = Origin.OLDER if older else Origin.MATCHING if matching else Origin.OUTSIDE
        rows.append(
            Job(
                sandbox=sandbox,
                job_id=job.id[:200],
                origin=origin or told,
                state=state_of(job.status),
                sort_at=job.created_at or read_at,
                first_seen_at=first_seen_at,
                last_seen_at=read_at,
                changed_at=read_at,
                **values,
            )
        )
        rows[-1].batch_due_at = _batch_due_at(rows[-1], first_seen_at)
    cached.index(sandbox, rows)
    Job.objects.bulk_create(rows)
    JobChange.objects.bulk_create(
        [JobChange(job=row, at=read_at, to_state=row.state, status=row.status, note="first seen") for row in rows]
    )
    taken.new.extend(rows)


def _refresh(sandbox: Sandbox, row: Job, seen: aep.ExportJob, read_at: datetime, taken: Taken) -> None:
    if read_at < row.last_seen_at:
        return  # read before what we hold: an older answer must not undo a newer one
    values = values_of(seen)
    state = shown_state(row, seen.status, timezone.now())
    came_back = row.missing_since_at is not None
    if values["raw"] == row.raw and state == row.state and not came_back and row.aged_out_at is None:
        return
    before, told_else = row.state, values["raw"] != row.raw
    for name, value in values.items():
        setattr(row, name, value)
    row.state, row.last_seen_at, row.changed_at = state, read_at, read_at
    row.version += 1
    row.judged = False
    if came_back:
        row.gone_finding = None
    row.missing_since_at = None
    row.aged_out_at = None
    if row.cancel_result in UNDER_WAY and state in (State.WAITING, State.RUNNING):
        row.cancel_result = "late"  # its time is over, or it would be shown as cancelling
    if state in State.final() and row.ended_at is None:
        row.ended_at = read_at
    row.batch_due_at = _batch_due_at(row, timezone.now())
    cached.index(sandbox, [row])
    row.save()
    if before != state or came_back:
        JobChange.objects.create(job=row, at=read_at, from_state=before, to_state=state, status=row.status)
    if came_back:
        taken.returned.append(row)
    # Of one that is listed again, its return is on record already, as Adobe tells it now.
    row._came_from, row._told_else = before, told_else and not came_back  # type: ignore[attr-defined]
    taken.changed.append(row)


def _batch_due_at(row: Job, now: datetime) -> datetime | None:
    """When to read how many records its batches hold: only where Adobe's job has no count."""
    has_count = row.profiles is not None or row.batch_records is not None
    if has_count or row.state != State.SUCCEEDED or not row.batch_ids:
        return None
    return now if (row.ended_at or row.sort_at) > now - BATCHES_FOR else None


def _title(row: Job) -> str:
    return f"{row.job_id}, {audience_title(row)}"


def audience_title(row: Job) -> str:
    """ "“Lapsed buyers” and 1 more", or "everyone"."""
    if not row.audience_ids:
        return "everyone, no audience"
    first = names.label(row.sandbox_id, Name.Kind.AUDIENCE, str(row.audience_ids[0]))
    more = f" and {len(row.audience_ids) - 1} more" if len(row.audience_ids) > 1 else ""
    return f"“{first}”{more}"


def _event(sandbox: Sandbox, row: Job, action: Action, sentence: str, **details: Any) -> None:
    record(
        actor=Actor.system(),
        action=action,
        sentence=sentence,
        subject=Subject(
            sandbox=sandbox,
            job_id=row.job_id,
            request_uuid=row.export_request.uuid if row.export_request else None,
        ),
        # The digest shows that a job, here or in an evidence pack, is the one that Adobe told then. "sealed": from now on
        # each change of what Adobe tells of it is a record, so the newest one says how the job has to be.
        details={
            "status": row.status,
            "state": row.state,
            "snapshot": snapshot_digest(row.raw),
            "sealed": row.is_final or action == Action.JOB_MISSING,
            **details,
        },
    )


def record_first_sight(sandbox: Sandbox, row: Job) -> None:
    """The event of a job from outside. Older jobs are history and leave none; those being matched wait."""
    if row.origin != Origin.OUTSIDE:
        return
    told = sentences.body_parts(row.raw, sandbox)
    sentence = (
        f"saw {row.job_id} for the first time: {told['fields']} of {told['people']} "
        f"to dataset {told['dataset']}, from outside segadmin, person not known"
    )
    _event(sandbox, row, Action.JOB_SEEN, sentence, origin=row.origin)


def _record_end(sandbox: Sandbox, row: Job) -> None:
    before = getattr(row, "_came_from", row.state)
    if row.state == before or row.state not in State.final():
        if before in State.final() and getattr(row, "_told_else", False):
            _record_later(sandbox, row, before)
        return
    words = {State.SUCCEEDED: "finish", State.FAILED: "fail", State.CANCELLED: "end as cancelled"}[State(row.state)]
    although = row.state == State.SUCCEEDED and row.cancel_result in (*UNDER_WAY, "late")
    more = f", although {row.cancel_asked_by} asked to cancel it" if although else ""
    count = f"; {row.profiles:,} profiles by Adobe's count" if row.profiles is not None else ""
    _event(
        sandbox,
        row,
        Action.JOB_CHANGED,
        f"saw {_title(row)} {words}{more}{count}",
        before=before,
        profiles=row.profiles,
        remarks=row.remarks,
    )


def _record_later(sandbox: Sandbox, row: Job, before: str) -> None:
    """Adobe tells a job that had ended otherwise than before. Rare, and never without a record."""
    sentence = f"saw that Adobe tells {_title(row)}, which had ended, otherwise than before: {row.status}"
    _event(sandbox, row, Action.JOB_CHANGED, sentence, before=before, profiles=row.profiles, remarks=row.remarks)


def take_in_bad(sandbox: Sandbox, bad: Sequence[aep.BadRecordInfo], *, read_at: datetime) -> None:
    """Keep unreadable records as they came; counted per sandbox."""
    if not bad:
        return
    with transaction.atomic():
        hold(sandbox)
        for item in bad:
            raw = {"record": storable(item.raw)}  # a record may be null, which the column can not be
            digest = hashlib.sha256(canonical({"raw": repr(raw)}).encode()).hexdigest()
            BadRecord.objects.update_or_create(
                sandbox=sandbox,
                digest=digest,
                defaults={"raw": raw, "reason": item.reason[:300], "last_seen_at": read_at},
                create_defaults={
                    "raw": raw,
                    "reason": item.reason[:300],
                    "last_seen_at": read_at,
                    "first_seen_at": read_at,
                },
            )
        count = BadRecord.objects.filter(sandbox=sandbox).count()
        Sandbox.objects.filter(pk=sandbox.pk).update(bad_records=count)


def mark_missing(sandbox: Sandbox, row: Job, *, read_at: datetime) -> bool:
    """Adobe answered 404 for this id. How a job that was still going ended is then not known."""
    with transaction.atomic():
        sandbox = hold(sandbox)
        row = Job.objects.select_related("export_request").get(pk=row.pk)
        if row.missing_since_at is not None or read_at < row.last_seen_at:
            return False
        before = row.state
        row.missing_since_at = row.changed_at = read_at
        row.next_look_at = read_at + timedelta(minutes=5)
        row.version += 1
        row.judged = False
        if row.state not in State.final():
            row.state = State.UNKNOWN
        row.save()
        JobChange.objects.create(
            job=row, at=read_at, from_state=before, to_state=row.state, status=row.status, note="no longer listed"
        )
        register.refresh(jobs=[row])
        _event(
            sandbox, row, Action.JOB_MISSING, f"found that Adobe no longer lists {_title(row)}", last_seen_state=before
        )
    return True


def mark_aged_out(sandbox: Sandbox, *, reach: datetime, swept_at: datetime) -> int:
    """Final jobs older than what a whole sweep reached: history that Adobe no longer shows."""
    return Job.objects.filter(
        sandbox=sandbox,
        state__in=State.final(),
        sort_at__lt=reach,
        last_seen_at__lt=swept_at,
        missing_since_at=None,
        aged_out_at=None,
    ).update(aged_out_at=timezone.now())
