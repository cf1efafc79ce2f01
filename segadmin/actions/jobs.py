"""What a person does with jobs: cancel, check with Adobe now, ask for an unknown one, tick off a batch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from segadmin import aep, audit, connect
from segadmin.actions import completeness, limits, mirror, register, settlement
from segadmin.actions.requests import answer_of, why_not
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject
from segadmin.models import Action, Attempt, Job, Sandbox, State

# Two people who press "Check with Adobe now" within this time share one answer.
COALESCE = timedelta(seconds=3)


@dataclass(frozen=True)
class CancelResult:
    """`kind`: asked, already, final, gone, refused, unknown, unreadable or not_allowed; `sentence` is for the person."""

    kind: str
    sentence: str


@dataclass(frozen=True)
class CheckResult:
    """What reading one sandbox or job gave."""

    sandbox: Sandbox
    ok: bool
    sentence: str


def _fresh(job: Job) -> Job:
    return Job.objects.select_related("sandbox__organization", "export_request").get(pk=job.pk)


def _look(job: Job, by: str) -> Job:
    """Read one job by id into the mirror. Raises AEPError; NotFound marks it as no longer listed."""
    read_at = timezone.now()
    try:
        seen = connect.reader(job.sandbox).retrieve(job.job_id)
    except aep.NotFound:
        mirror.mark_missing(job.sandbox, job, read_at=read_at)
        raise
    except aep.AEPError as error:
        connect.note_limits(job.sandbox.organization, error)
        raise
    mirror.take_in(job.sandbox, [seen], read_at=read_at)
    Job.objects.filter(pk=job.pk, last_seen_at__lt=read_at).update(last_seen_at=read_at)
    connect.note_success(job.sandbox.organization, by)
    return _fresh(job)


def _with_adobes_words(error: aep.AEPError) -> str:
    said = f" Adobe said: “{error.adobe_message}”." if error.adobe_message else ""
    request = f" Adobe's request: {error.adobe_request_id}." if error.adobe_request_id else ""
    return f"{error.message}{said}{request}"


def _calm(job: Job) -> CancelResult | None:
    """Why there is nothing to cancel, if so."""
    if job.is_final:
        words = {State.SUCCEEDED: "finished", State.FAILED: "failed", State.CANCELLED: "been cancelled"}
        return CancelResult("final", f"It has already {words[State(job.state)]}, so there was nothing to cancel.")
    if job.missing_since_at:
        return CancelResult("gone", "Adobe no longer lists this job, so there was nothing to cancel.")
    if job.cancel_result in mirror.UNDER_WAY and job.cancel_asked_at and job.state == State.CANCELLING:
        return CancelResult(
            "already",
            f"It is already being cancelled: {job.cancel_asked_by} asked at {job.cancel_asked_at:%H:%M} UTC.",
        )
    return None


def cancel(*, actor: Actor, job: Job, reason: str) -> CancelResult:
    """Re-read the job, record the intent, ask Adobe once. What Adobe does then is followed by sync."""
    if calm := _calm(job):
        return calm
    if job.sandbox.organization.retired_at:
        return CancelResult("not_allowed", why_not(job.sandbox))
    if not limits.spend("cancel", actor.name):
        return CancelResult("not_allowed", "You have cancelled many exports in this minute. Wait a minute.")
    try:
        job = _look(job, actor.name)
    except aep.NotFound:
        return CancelResult("gone", "Adobe no longer lists this job, so there was nothing to cancel.")
    except aep.AEPError as error:
        told = f"The job could not be read, so nothing was sent. {_with_adobes_words(error)}"
        return CancelResult("unreadable", told)
    if calm := _calm(job):
        return calm
    attempt = _open_cancel(actor, job, reason)
    if attempt is None:
        return _calm(_fresh(job)) or CancelResult("already", "It is already being cancelled.")
    return _ask(attempt, job, actor)


def _open_cancel(actor: Actor, job: Job, reason: str) -> Attempt | None:
    now = timezone.now()

    def claim() -> bool:
        free = ~Q(cancel_result__in=mirror.UNDER_WAY) | Q(cancel_until_at__lt=now)
        won = bool(
            Job.objects.filter(free, pk=job.pk)
            .exclude(state__in=State.final())
            .update(
                cancel_asked_at=now,
                cancel_asked_by=actor.name[:150],
                cancel_reason=storable(reason),
                cancel_result="asked",
                cancel_until_at=now + mirror.CANCEL_LIMIT,
                state=State.CANCELLING,
                version=job.version + 1,
                changed_at=now,
            )
        )
        register.refresh(jobs=[job])
        return won

    return audit.attempt(
        actor=actor,
        kind=Attempt.Kind.CANCEL,
        sandbox=job.sandbox,
        job=job,
        export_request=job.export_request,
        sentence=f"asked to cancel {job.job_id}, {mirror.audience_title(job)}: {reason}",
        details={"reason": reason, "state_before": job.state, "status_before": job.status},
        claim=claim,
    )


def _ask(attempt: Attempt, job: Job, actor: Actor) -> CancelResult:
    try:
        reply = connect.writer(attempt).cancel(job.job_id)
    except aep.OutcomeUnknown as error:
        told = f"asked to cancel, but Adobe's answer was lost: {error.message}"
        _close(attempt, job, Attempt.State.UNKNOWN, "unknown", told, error)
        return CancelResult("unknown", "Adobe's answer was lost. segadmin goes on asking how the job ends.")
    except aep.NotFound as error:
        _close(attempt, job, Attempt.State.FAILED, "gone", "asked to cancel, but Adobe no longer lists the job", error)
        mirror.mark_missing(job.sandbox, job, read_at=timezone.now())
        return CancelResult("gone", "Adobe no longer lists this job, so there was nothing to cancel.")
    except aep.AEPError as error:
        connect.note_limits(job.sandbox.organization, error)
        _close(attempt, job, Attempt.State.FAILED, "refused", f"was refused the cancel: {error.message}", error)
        return _after_refusal(job, actor, _with_adobes_words(error))
    connect.note_success(job.sandbox.organization, actor.name)
    if reply.acknowledged is False:
        _close(attempt, job, Attempt.State.FAILED, "refused", f"was refused the cancel by Adobe: {reply.message}", None)
        return _after_refusal(job, actor, f"Adobe did not accept the cancel. {reply.message}")
    _close(attempt, job, Attempt.State.SUCCEEDED, "acknowledged", "got the cancel acknowledged by Adobe", None, reply)
    _look_again(job, actor)
    return CancelResult("asked", "Cancel asked. Adobe has not confirmed yet; this page tells how the job really ends.")


def _close(
    attempt: Attempt,
    job: Job,
    state: str,
    result: str,
    sentence: str,
    error: aep.AEPError | None,
    reply: aep.CancelReply | None = None,
) -> None:
    details = answer_of(error) if error else {}
    if reply:
        details = {
            "status": reply.status,
            "message": reply.message,
            "adobe_request_id": reply.adobe_request_id or "",
            "sent_request_ids": reply.sent_request_ids,
        }
    ended = result in ("refused", "gone")

    def also() -> None:
        Sandbox.objects.filter(pk=job.sandbox_id).update(due_at=timezone.now())  # locked before its jobs, as always
        Job.objects.filter(pk=job.pk, cancel_result="asked").update(
            cancel_result=result, next_look_at=timezone.now(), version=job.version + 2
        )
        if ended:  # nothing is under way: show the state that Adobe told last
            Job.objects.filter(pk=job.pk, state=State.CANCELLING).update(state=mirror.state_of(job.status))
        register.refresh(jobs=[job])

    audit.close(attempt, Attempt.State(state), sentence=f"{sentence} ({job.job_id})", details=details, also=also)


def _look_again(job: Job, actor: Actor) -> Job:
    try:
        return _look(job, actor.name)
    except aep.AEPError:
        return _fresh(job)  # sync reads it soon


def _after_refusal(job: Job, actor: Actor, told: str) -> CancelResult:
    """A refusal often means that the job has just ended: say what is really so."""
    now = _look_again(job, actor)
    if now.is_final and (calm := _calm(now)):
        return calm
    return CancelResult("refused", told)


def check(*, actor: Actor, job: Job) -> CheckResult:
    """Read one job now. Leaves no event of its own; what it finds does."""
    if timezone.now() - job.last_seen_at < COALESCE:
        return CheckResult(job.sandbox, True, "Adobe was asked a moment ago; this is its answer.")
    try:
        _look(job, actor.name)
    except aep.NotFound:
        return CheckResult(job.sandbox, True, "Adobe no longer lists this job.")
    except aep.AEPError as error:
        return CheckResult(job.sandbox, False, f"Adobe could not be read. {_with_adobes_words(error)}")
    return CheckResult(job.sandbox, True, "This is what Adobe says now.")


def read_newest(sandbox: Sandbox, *, by: str) -> None:
    """The newest page of one sandbox into the mirror, then what waits for it. Raises AEPError.

    If there may be more that is new, all of it is left to a sweep, and nothing is concluded from this page.
    """
    mirror.come_back(sandbox)
    read_at = timezone.now()
    try:
        page = connect.reader(sandbox).list(limit=100)
    except aep.AEPError as error:
        connect.note_limits(sandbox.organization, error)
        raise
    taken = mirror.take_in(sandbox, page.jobs, read_at=read_at)
    mirror.take_in_bad(sandbox, page.bad, read_at=read_at)
    connect.note_success(sandbox.organization, by)
    if (page.next_offset or page.has_unreadable_next) and not taken.known:
        Sandbox.objects.filter(pk=sandbox.pk).update(last_sweep_at=None, due_at=timezone.now())
        return
    completeness.note_read(sandbox, read_at=read_at)
    settlement.settle_all(sandbox, read_at=read_at)


def note_unread(sandbox: Sandbox, error: aep.AEPError, **values: object) -> None:
    """A list of this sandbox could not be read; pages say since when and why."""
    now = timezone.now()
    Sandbox.objects.filter(pk=sandbox.pk, failing_since_at=None).update(failing_since_at=now)
    said = f" Adobe said: {error.adobe_message}" if error.adobe_message else ""
    Sandbox.objects.filter(pk=sandbox.pk).update(
        failures=sandbox.failures + 1,
        last_error=f"{error.message}{said}".replace("\x00", "")[:2000],
        last_error_at=now,
        last_error_request_id=(error.adobe_request_id or "")[:200],
        **values,
    )


def check_sandboxes(*, actor: Actor, sandboxes: Sequence[Sandbox]) -> list[CheckResult]:
    """Read the newest page of each now, healthy ones first, within one deadline; the rest is left to sync at once."""
    ends = time.monotonic() + settings.UPSTREAM_DEADLINE_SECONDS
    results = []
    for sandbox in sorted(sandboxes, key=lambda row: row.failures):
        now = timezone.now()
        if sandbox.last_read_at and timedelta() <= now - sandbox.last_read_at < COALESCE:
            results.append(CheckResult(sandbox, True, f"{sandbox}: read a moment ago."))
        elif time.monotonic() > ends:
            Sandbox.objects.filter(pk=sandbox.pk).update(due_at=now)
            results.append(CheckResult(sandbox, False, f"{sandbox}: not asked yet, others took too long; it is next."))
        else:
            results.append(_check_sandbox(actor, sandbox))
    return results


def _check_sandbox(actor: Actor, sandbox: Sandbox) -> CheckResult:
    try:
        read_newest(sandbox, by=actor.name)
    except aep.AEPError as error:
        note_unread(sandbox, error)
        return CheckResult(sandbox, False, f"{sandbox} could not be read. {_with_adobes_words(error)}")
    return CheckResult(sandbox, True, f"{sandbox}: this is what Adobe lists now.")


def ask_adobe(*, actor: Actor, sandbox: Sandbox, job_id: str) -> Job | None:
    """Look an unknown id up at Adobe; None when this sandbox has no such job. Raises AEPError."""
    read_at = timezone.now()
    try:
        seen = connect.reader(sandbox).retrieve(job_id)
    except (aep.NotFound, ValueError):
        return None
    taken = mirror.take_in(sandbox, [seen], read_at=read_at)
    if taken.new:  # what else was made around it is not known, so the next visit reads everything
        Sandbox.objects.filter(pk=sandbox.pk).update(last_sweep_at=None, due_at=timezone.now())
    connect.note_success(sandbox.organization, actor.name)
    return Job.objects.filter(sandbox=sandbox, job_id=seen.id[:200]).select_related("sandbox__organization").first()


def batch_checked(*, actor: Actor, job: Job, batch_id: str, note: str) -> None:
    """A person looked at what a cancelled export may have left in the dataset, and says what they found."""
    if batch_id not in job.batch_ids:
        raise ValueError("This batch is not of this job.")
    with transaction.atomic():
        audit.record(
            actor=actor,
            action=Action.BATCH_CHECKED,
            sentence=f"checked batch {batch_id} of {job.job_id}: {note}",
            subject=Subject(
                sandbox=job.sandbox,
                job_id=job.job_id,
                request_uuid=job.export_request.uuid if job.export_request else None,
            ),
            details={"batch": batch_id, "note": note, "dataset": job.dataset_id},
        )
