"""Jobs and requests for tests, stored the way the mirror stores them."""

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from segadmin.aep.types import ExportJob, fingerprint_of_job
from segadmin.models import Attempt, ExportRequest, Job, JobChange, Name, Origin, RequestState, Sandbox, State, User

STATUSES = {
    State.WAITING: "NEW",
    State.RUNNING: "PROCESSING",
    State.CANCELLING: "PROCESSING",
    State.SUCCEEDED: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.CANCELLED: "CANCELLED",
    State.UNKNOWN: "QUEUED_RETRY",
}


def raw_job(job_id: str = "24127", status: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
    """A job as Adobe sends it, with a field that nobody knows."""
    return {
        "id": job_id,
        "jobType": "BATCH",
        "status": status,
        "fields": "personalEmail.address,identityMap",
        "destination": {"datasetId": "5b7c86968f7b6501e21ba9df", "batchId": f"01JZ4V8Q6W3N5T7Y{job_id}"},
        "filter": {"segments": [{"segmentId": "seg-lapsed", "segmentNs": "ups"}]},
        "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
        "schema": {"name": "_xdm.context.profile"},
        "computeGatewayJobId": {"exportJob": "f5058161-1349-4c8b-9e07-66eed44fcaa3"},
        "requestId": "e73d8a0f-42a9-4c1b-b6f5-1d9c7e206b83",
        "somethingNew": {"of": "Adobe"},
        **more,
    }


def make_job(
    sandbox: Sandbox,
    job_id: str = "24127",
    state: State = State.SUCCEEDED,
    *,
    minutes_ago: float = 60,
    took: float | None = 20,
    raw: dict[str, Any] | None = None,
    changes: bool = False,
    **values: Any,
) -> Job:
    """A job started `minutes_ago` that took `took` minutes (final ones). `values` override columns."""
    now = timezone.now()
    raw = raw_job(job_id, STATUSES[state]) if raw is None else raw
    seen = ExportJob.parse(raw)
    created_at = now - timedelta(minutes=minutes_ago)
    ended_at = created_at + timedelta(minutes=took) if state in State.final() and took is not None else None
    columns: dict[str, Any] = {
        "status": seen.status,
        "raw": raw,
        "dataset_id": seen.dataset_id or "",
        "fields": seen.fields or "",
        "has_fields": bool(seen.fields),
        "audience_ids": [segment.id for segment in seen.segments],
        "batch_ids": seen.batch_ids,
        "profiles": seen.profiles,
        "remarks": len(seen.errors),
        "adobe_request_id": seen.request_id or "",
        "fingerprint": fingerprint_of_job(seen),
        "created_at": created_at,
        "ended_at": ended_at,
        "sort_at": created_at,
        "first_seen_at": created_at,
        "last_seen_at": now,
        "changed_at": ended_at or created_at,
        "origin": Origin.OUTSIDE,
    }
    columns |= values
    words = [job_id, seen.dataset_id, *seen.batch_ids, *columns["audience_ids"], columns.get("person", "")]
    columns.setdefault("search", "\n".join(str(word).lower() for word in words if word))
    job = Job.objects.create(sandbox=sandbox, job_id=job_id, state=state, **columns)
    if changes:
        JobChange.objects.create(job=job, at=created_at, to_state=State.WAITING, status="NEW", note="first seen")
        JobChange.objects.create(job=job, at=job.changed_at, from_state=State.WAITING, to_state=state)
    return job


def make_jobs(sandbox: Sandbox, count: int, **values: Any) -> None:
    """Many jobs at once, one a minute into the past; ids from 1000 up, the newest first."""
    now = timezone.now()
    raw = raw_job("0")
    Job.objects.bulk_create(
        [
            Job(
                sandbox=sandbox,
                job_id=str(1000 + number),
                state=State.SUCCEEDED,
                status="SUCCEEDED",
                raw=raw,
                audience_ids=["seg-lapsed"],
                dataset_id="5b7c86968f7b6501e21ba9df",
                fields="identityMap",
                sort_at=at,
                created_at=at,
                first_seen_at=at,
                last_seen_at=now,
                changed_at=at,
                search=str(1000 + number),
                **values,
            )
            for number in range(count)
            # Three jobs share an instant, so that the place in the list needs more than the time.
            for at in [now - timedelta(minutes=number // 3)]
        ],
        batch_size=500,
    )


def make_request(
    sandbox: Sandbox, author: User, state: RequestState = RequestState.SENT, *, minutes_ago: float = 60, **values: Any
) -> ExportRequest:
    """A request as it stands after it was sent; with an attempt where nobody knows what became of it."""
    now = timezone.now()
    at = now - timedelta(minutes=minutes_ago)
    defaults: dict[str, Any] = {
        "body": {
            "fields": "personalEmail.address",
            "filter": {"segments": [{"segmentId": "seg-lapsed"}]},
            "destination": {"datasetId": "5b7c86968f7b6501e21ba9df"},
            "schema": {"name": "_xdm.context.profile"},
        },
        "names": {
            "audiences": [{"id": "seg-lapsed", "ns": "ups", "name": "Lapsed buyers", "profiles": 41200}],
            "dataset": {"id": "5b7c86968f7b6501e21ba9df", "name": "CRM out", "known": True},
            "merge_policy": {},
        },
        "purpose": "Win-back letter in July",
        "recipient": "CRM team",
        "ticket": "MK-311",
        "is_complete": True,
    }
    row = ExportRequest.objects.create(
        sandbox=sandbox,
        author=author,
        author_name=author.get_username(),
        state=state,
        sent_at=at,
        **{**defaults, **values},
    )
    if state in (RequestState.SENDING, RequestState.UNKNOWN):
        unknown = state == RequestState.UNKNOWN
        Attempt.objects.create(
            uuid=uuid.uuid4(),
            kind=Attempt.Kind.CREATE,
            state=Attempt.State.UNKNOWN if unknown else Attempt.State.OPEN,
            sandbox=sandbox,
            export_request=row,
            opened_at=at,
            deadline_at=at + timedelta(minutes=1),
            opened_seq=0,
            settlement="looking" if unknown else "",
            look_until_at=now + timedelta(minutes=5) if unknown else None,
        )
    return row


def make_name(sandbox: Sandbox, kind: Name.Kind, external_id: str, name: str, **details: Any) -> Name:
    return Name.objects.create(
        sandbox=sandbox, kind=kind, external_id=external_id, name=name, details=details, read_at=timezone.now()
    )
