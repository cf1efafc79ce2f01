"""What becomes of a create whose answer was lost: adopted, released, or shown to a person. Never sent again by itself."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from segadmin import audit
from segadmin.actions import mirror, register
from segadmin.actions import names as cached
from segadmin.audit import Actor
from segadmin.models import Attempt, ExportRequest, Job, Origin, Outcome, RequestState, Sandbox, Settlement
from segadmin.queries import names

WAITING = (Settlement.LOOKING, Settlement.PERSON)


class Taken(Exception):
    """The job belongs to another request by now, or the request has its job; nothing was changed."""


def close_stale() -> int:
    """Close attempts that nobody closed in time (a killed process): sent or not, nobody knows. By the database's clock."""
    closed = 0
    stale = Attempt.objects.filter(state=Attempt.State.OPEN, deadline_at__lt=Now())
    for row in stale.select_related("sandbox__organization", "export_request", "job").order_by("pk")[:100]:
        what = "create the export" if row.kind == Attempt.Kind.CREATE else "cancel the export"

        def also(row: Attempt = row) -> None:
            _mark_unknown(row)

        closed += audit.close(
            row,
            Attempt.State.UNKNOWN,
            actor=Actor.system(),
            sentence=f"found that nobody told how the attempt to {what} ended; whether Adobe got it is not known",
            details={"asked_by": row.actor.get("name", "")},
            also=also,
        )
    return closed


def _mark_unknown(row: Attempt) -> None:
    if row.kind == Attempt.Kind.CREATE:
        ExportRequest.objects.filter(attempts=row, state=RequestState.SENDING).update(state=RequestState.UNKNOWN)
        register.refresh(requests=ExportRequest.objects.filter(attempts=row))
    elif row.job_id:
        Job.objects.filter(pk=row.job_id, cancel_result="asked").update(cancel_result="unknown")


def candidates(attempt: Attempt) -> list[Job]:
    """Jobs that may be the lost one: not seen before it was asked for, not linked, same dataset, audiences and fields."""
    return list(
        Job.objects.filter(
            sandbox_id=attempt.sandbox_id,
            fingerprint=attempt.fingerprint,
            export_request=None,
            first_seen_at__gte=attempt.opened_at,
        )
        .filter(Q(created_at=None) | Q(created_at__gte=attempt.opened_at - mirror.CLOCK_SKEW))
        .select_related("sandbox__organization")
        .order_by("created_at", "pk")[:20]
    )


def has_open_twin(row: Attempt) -> bool:
    """Whether a create like it is still under way: a job that looks like the lost one may be that one's."""
    twins = Attempt.objects.filter(sandbox_id=row.sandbox_id, kind=Attempt.Kind.CREATE, fingerprint=row.fingerprint)
    return twins.filter(state=Attempt.State.OPEN).exists()


def settle_all(sandbox: Sandbox, *, read_at: datetime) -> None:
    """After a list was read that began at `read_at`: adopt, ask a person, or release; then tell whose the rest are."""
    looking = list(
        Attempt.objects.filter(sandbox=sandbox, settlement__in=WAITING)
        .select_related("sandbox__organization", "export_request")
        .order_by("opened_at", "pk")
    )
    for row in looking:
        if has_open_twin(row):
            continue
        found = candidates(row)
        twins = [other for other in looking if other.pk != row.pk and other.fingerprint == row.fingerprint]
        if len(found) == 1 and not twins and row.settlement == Settlement.LOOKING:
            adopt(row, found[0], actor=Actor.system())
        elif found and row.settlement == Settlement.LOOKING:
            _ask_a_person(row, found)
        elif not found and row.look_until_at and read_at > row.look_until_at:
            release(row, actor=Actor.system())
    _tell_whose(sandbox)


def adopt(row: Attempt, job: Job, *, actor: Actor) -> bool:
    """Link the job to the request that made it. False: settled or linked meanwhile."""
    export_request = row.export_request
    if export_request is None:
        return False
    title = mirror.audience_title(job)

    def link() -> None:
        link_job(job, export_request)

    try:
        return audit.settle(
            row,
            Settlement.ADOPTED,
            actor=actor,
            sentence=f"found job {job.job_id}, {title}, as the export that {export_request.author_name} asked for",
            details={"asked_by": export_request.author_name, "asked_in_record": row.opened_seq},
            job_id=job.job_id,
            also=link,
        )
    except Taken:
        return False


def link_job(job: Job, export_request: ExportRequest) -> None:
    """The job was made by this request. Runs inside the transaction of the event that says so. Raises Taken."""
    ExportRequest.objects.filter(pk=export_request.pk).update(
        state=RequestState.SENT, version=export_request.version + 1
    )
    export_request.refresh_from_db()
    job = Job.objects.select_for_update(of=("self",), no_key=True).get(pk=job.pk)
    other = Job.objects.filter(export_request=export_request).exclude(pk=job.pk)
    if job.export_request_id not in (None, export_request.pk) or other.exists():
        raise Taken
    job.export_request, job.origin, job.person = export_request, Origin.HERE, export_request.author_name
    job.version += 1
    job.judged = False
    job.changed_at = timezone.now()
    keys = {(job.sandbox_id, "audience", str(item)) for item in job.audience_ids}
    job.search = cached.search_words(job, names.labels(keys | {(job.sandbox_id, "dataset", job.dataset_id)}))
    job.save()
    register.refresh(jobs=[job])


def release(row: Attempt, *, actor: Actor, sentence: str = "", details: dict[str, Any] | None = None) -> bool:
    """No job was found in the whole window (or a person or Adobe says there is none): it may be sent again."""

    def free() -> None:
        ExportRequest.objects.filter(attempts=row, state=RequestState.UNKNOWN).update(state=RequestState.RELEASED)
        register.refresh(requests=ExportRequest.objects.filter(attempts=row))

    return audit.settle(
        row,
        Settlement.RELEASED,
        actor=actor,
        outcome=Outcome.FAILED,
        sentence=sentence or "looked for the lost export and found no such job at Adobe; it may be sent again",
        details={"asked_in_record": row.opened_seq, **(details or {})},
        also=free,
    )


def _ask_a_person(row: Attempt, found: list[Job]) -> None:
    audit.settle(
        row,
        Settlement.PERSON,
        actor=Actor.system(),
        outcome=Outcome.UNKNOWN,
        sentence=f"found {len(found)} jobs that may be the lost export; a person has to say which",
        details={"candidates": [job.job_id for job in found], "asked_in_record": row.opened_seq},
    )


def _tell_whose(sandbox: Sandbox) -> None:
    """Jobs held back as "being matched" that no attempt waits for any more came from outside."""
    waiting = (
        Attempt.objects.filter(sandbox=sandbox, kind=Attempt.Kind.CREATE)
        .filter(Q(state=Attempt.State.OPEN) | Q(settlement__in=WAITING))
        .values_list("fingerprint", flat=True)
    )
    with transaction.atomic():
        rows = Job.objects.filter(sandbox=sandbox, origin=Origin.MATCHING).exclude(fingerprint__in=list(waiting))
        told = list(rows.select_for_update(of=("self",), no_key=True)[:100])
        for row in told:
            row.origin = Origin.OUTSIDE
            row.version += 1
            row.save(update_fields=["origin", "version"])
        register.refresh(jobs=told)
        for row in told:
            mirror.record_first_sight(sandbox, row)
