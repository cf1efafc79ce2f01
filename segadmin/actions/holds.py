"""Legal holds: placed and released by a row each, which are never changed. While one holds, nothing it covers expires."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Hold, Job
from segadmin.queries import retention


def place_on_job(*, actor: Actor, job: Job, reason: str) -> Hold:
    """Everything on record of one job, also from before it had an id."""
    asked = job.export_request
    return _place(
        actor,
        reason,
        f"the export {job.job_id} of {job.sandbox}",
        Subject(sandbox=job.sandbox, job_id=job.job_id, request_uuid=asked.uuid if asked else None),
        kind=Hold.Kind.JOB,
        organization=job.sandbox.organization,
        sandbox_name=job.sandbox.name,
        job_id=job.job_id,
        request_uuid=asked.uuid if asked else None,
    )


def place_on_person(*, actor: Actor, person: str, reason: str) -> Hold:
    """Everything on record that this person did."""
    if not person.strip():
        raise NotDone({"person": "Say whose records are to be held."})
    return _place(actor, reason, f"what {person} did", Subject(), kind=Hold.Kind.PERSON, person=person.strip())


def place_on_period(*, actor: Actor, from_at: datetime, until_at: datetime, reason: str) -> Hold:
    """Everything on record from `from_at` to just before `until_at`."""
    if from_at >= until_at:
        raise NotDone({"until_at": "The end has to be later than the beginning."})
    what = f"everything from {from_at:%Y-%m-%d %H:%M} to {until_at:%Y-%m-%d %H:%M} UTC"
    return _place(actor, reason, what, Subject(), kind=Hold.Kind.PERIOD, from_at=from_at, until_at=until_at)


def _place(actor: Actor, reason: str, what: str, subject: Subject, **values: Any) -> Hold:
    if not reason.strip():
        raise NotDone({"reason": "Say why this is held; auditors read it."})
    told = {name: str(value) for name, value in values.items() if value and name != "organization"}
    with transaction.atomic():
        event = record(
            actor=actor,
            action=Action.HOLD_PLACED,
            sentence=f"placed a legal hold on {what}: {reason.strip()}",
            subject=subject,
            details={**told, "reason": reason.strip()},
        )
        hold = Hold(
            move=Hold.Move.PLACE, reason=reason.strip(), by=actor.name, at=timezone.now(), seq=event.seq, **values
        )
        hold.save()
    return hold


def release(*, actor: Actor, hold: Hold, reason: str) -> bool:
    """End a hold with a row of its own. False: it was released meanwhile."""
    if not reason.strip():
        raise NotDone({"reason": "Say why this hold ends; auditors read it."})
    with transaction.atomic():
        # The head of the record is locked by the event below; whoever comes second finds the release.
        event = record(
            actor=actor,
            action=Action.HOLD_RELEASED,
            sentence=f"released the legal hold of record {hold.seq:,}: {reason.strip()}",
            subject=Subject(organization=hold.organization, job_id=hold.job_id, request_uuid=hold.request_uuid),
            details={"placed_in_record": hold.seq, "reason": reason.strip()},
        )
        if not retention.in_force().filter(pk=hold.pk).exists():
            transaction.set_rollback(True)
            return False
        Hold(
            move=Hold.Move.RELEASE,
            places=hold,
            kind=hold.kind,
            reason=reason.strip(),
            by=actor.name,
            at=timezone.now(),
            seq=event.seq,
        ).save()
    return True
