"""Fills jobs, requests and register with the exports that the events of fill.py tell of: `fill(count)`.

Jobs and requests are stored at once; the register's rows are then made by the same code as in use, so that whatever it
keeps for searching is there.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.benchmarks.exports import AUDIENCES, DATASETS, RARE_AUDIENCE, RARE_DATASET, Asked, asked, id_of
from tests.benchmarks.fill import KINDS, PEOPLE, STEP, first_at, person_of, places

CHUNK = 2000


def fill(count: int) -> None:
    """Make `count` exports, numbered as those of the events; then the register's rows."""
    from segadmin.actions import register
    from segadmin.models import Sandbox, User

    author, _made = User.objects.get_or_create(username=PEOPLE[0])
    sandboxes = [Sandbox.objects.select_related("organization").get(pk=place.sandbox) for place in places()]
    begun_at = first_at(count * len(KINDS))
    _names(sandboxes, begun_at)
    for start in range(0, count, CHUNK):
        _store(range(start, min(start + CHUNK, count)), sandboxes, author, begun_at)
    register.rebuild(only_missing=True)


def _names(sandboxes: list[Any], read_at: datetime) -> None:
    """Audiences and datasets as the mirror would have read them."""
    from segadmin.models import Name

    named = [("audience", "seg", name) for name in (*AUDIENCES, RARE_AUDIENCE)]
    named += [("dataset", "ds", name) for name in (*DATASETS, RARE_DATASET)]
    Name.objects.bulk_create(
        Name(
            sandbox=sandbox,
            kind=kind,
            external_id=id_of(prefix, name),
            name=name,
            read_at=read_at,
        )
        for sandbox in sandboxes
        for kind, prefix, name in named
    )


def _store(numbers: range, sandboxes: list[Any], author: Any, begun_at: datetime) -> None:
    from django.db import transaction

    from segadmin.models import ExportRequest, Job

    requests, made = [], []
    for number in numbers:
        sandbox, facts = sandboxes[number % len(sandboxes)], asked(number)
        # The events of an export are a step apart, as many as there are kinds.
        at = begun_at + number * len(KINDS) * STEP
        # One of four is from outside.
        request = None if number % 4 == 3 else _request(number, sandbox, author, facts, at)
        if request is not None:
            requests.append(request)
        made.append((request, _job(number, sandbox, facts, at, by=request.author_name if request else "")))
    with transaction.atomic():
        ExportRequest.objects.bulk_create(requests, batch_size=500)
        for request, job in made:
            job.export_request = request
        Job.objects.bulk_create([job for _request, job in made], batch_size=500)


def _request(number: int, sandbox: Any, author: Any, facts: Asked, at: datetime) -> Any:
    from segadmin.models import ExportRequest, RequestState

    return ExportRequest(
        uuid=UUID(int=number + 10**12),
        sandbox=sandbox,
        author=author,
        author_name=person_of(number * len(KINDS)),
        state=RequestState.SENT,
        sent_at=at,
        is_complete=True,
        who="audiences",
        which="these",
        purpose=facts.purpose,
        recipient=facts.recipient,
        ticket=facts.ticket,
        legal_basis=facts.legal_basis,
        body={
            "fields": ",".join(facts.fields),
            "filter": {"segments": [{"segmentId": facts.audience_id, "segmentNs": "ups"}]},
            "destination": {"datasetId": facts.dataset_id},
            "schema": {"name": "_xdm.context.profile"},
        },
        names={
            "audiences": [{"id": facts.audience_id, "ns": "ups", "name": facts.audience, "profiles": 41200}],
            "dataset": {"id": facts.dataset_id, "name": facts.dataset, "known": True},
            "merge_policy": {},
        },
    )


def _job(number: int, sandbox: Any, facts: Asked, at: datetime, *, by: str) -> Any:
    from segadmin.models import Job, Origin, State
    from tests.factories import raw_job

    job_id = str(20_000 + number)
    ended_at = at + timedelta(minutes=20)
    batch = f"01JZ4V8Q6W3N5T7Y{number:010d}"
    raw = raw_job(
        job_id,
        fields=",".join(facts.fields),
        destination={"datasetId": facts.dataset_id, "batchId": batch},
        filter={"segments": [{"segmentId": facts.audience_id, "segmentNs": "ups"}]},
    )
    words = [job_id, batch, facts.dataset_id, facts.audience_id, facts.audience, facts.dataset, by]
    return Job(
        sandbox=sandbox,
        job_id=job_id,
        origin=Origin.HERE if by else Origin.OUTSIDE,
        state=State.FAILED if number % 17 == 0 else State.SUCCEEDED,
        status="FAILED" if number % 17 == 0 else "SUCCEEDED",
        raw=raw,
        dataset_id=facts.dataset_id,
        fields=",".join(facts.fields),
        has_fields=True,
        audience_ids=[facts.audience_id],
        batch_ids=[batch],
        profiles=41_000 + number % 999,
        created_at=at,
        ended_at=ended_at,
        sort_at=at,
        first_seen_at=at,
        last_seen_at=ended_at,
        changed_at=ended_at,
        judged=True,
        person=by,
        search="\n".join(word.lower() for word in words if word),
    )
