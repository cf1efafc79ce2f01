"""What an evidence pack holds beside the records: the requests, the jobs as Adobe last told them, and register rows."""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db.models import Q

from segadmin.models import EventContent, ExportRequest, Job, JobChange, RequestState
from segadmin.plain import visible_json
from segadmin.queries import audit, cells, files, files_register

BATCH = 200
# Being written again by its author after a refusal: what was sent then stands in the record.
PRIVATE = (RequestState.DRAFT, RequestState.WITHDRAWN, RequestState.EXPIRED)


def of_job(sandbox: int, job_id: str, request: UUID | None) -> Q:
    """Every record of one export job, and of the request that made it."""
    found = Q(sandbox=sandbox, job_id=job_id)
    return found | Q(sandbox=sandbox, request_uuid=request) if request else found


def find_jobs(organizations: Iterable[int], job_id: str) -> list[Job]:
    """Jobs of that id in the orgs; sandboxes may have the same numbers."""
    rows = Job.objects.filter(job_id=job_id, sandbox__organization__in=list(organizations))
    return list(rows.select_related("sandbox__organization", "export_request").order_by("pk")[:BATCH])


def condition(scope: audit.Scope, filters: audit.Filters, jobs: Iterable[Job]) -> Q | None:
    """What the pack is about: a filter of the list, narrowed to jobs where some are named."""
    found = audit.condition(scope, filters)
    about = Q()
    for job in jobs:
        about |= of_job(job.sandbox_id, job.job_id, job.export_request.uuid if job.export_request else None)
    return found & about if found is not None and about else found


def extent(condition: Q, cut_off: int, most: int) -> tuple[int, int]:
    """(number of the first record that matches, how many match; `most` + 1 for more than that)."""
    first, count = 0, 0
    for start, end in files.ranges(1, cut_off):
        numbers = EventContent.objects.filter(condition, event__gte=start, event__lte=end).order_by("event_id")
        found = list(numbers.values_list("event_id", flat=True))
        if found:
            first = first or found[0]
            count += len(found)
        if count > most:
            return first, most + 1
    return first, count


class Exports:
    """The jobs and requests that records name, each once, in batches."""

    def __init__(self, condition: Q, first: int, cut_off: int) -> None:
        self._condition, self._first, self._cut_off = condition, first, cut_off
        self._jobs: set[tuple[int, str]] = set()
        self._requests: set[UUID] = set()

    def batches(self) -> Iterator[tuple[list[Job], list[ExportRequest]]]:
        matching = EventContent.objects.filter(self._condition).exclude(sandbox=None)
        for start, end in files.ranges(self._first, self._cut_off):
            rows = matching.filter(event__gte=start, event__lte=end).order_by("event_id")
            named = list(rows.values_list("sandbox_id", "job_id", "request_uuid"))
            jobs = {(sandbox, job) for sandbox, job, _request in named if job} - self._jobs
            requests = {request for _sandbox, _job, request in named if request} - self._requests
            self._jobs |= jobs
            self._requests |= requests
            yield from _batched(sorted(jobs), sorted(requests))


def _batched(jobs: list[tuple[int, str]], requests: list[UUID]) -> Iterator[tuple[list[Job], list[ExportRequest]]]:
    for start in range(0, len(jobs), BATCH):
        wanted = Q()
        for sandbox, job in jobs[start : start + BATCH]:
            wanted |= Q(sandbox=sandbox, job_id=job)
        yield list(Job.objects.filter(wanted).select_related("sandbox__organization").order_by("pk")), []
    for start in range(0, len(requests), BATCH):
        found = ExportRequest.objects.filter(uuid__in=requests[start : start + BATCH]).exclude(sent_at=None)
        found = found.exclude(state__in=PRIVATE)
        yield [], list(found.select_related("sandbox__organization").order_by("pk"))


def request_lines(requests: Iterable[ExportRequest]) -> str:
    """Each request as it was sent, with what came back when it did not work, as JSON Lines."""
    return "".join(
        _line(
            {
                "request": str(row.uuid),
                "organization": row.sandbox.organization.slug,
                "sandbox": row.sandbox.name,
                "person": row.author_name,
                "state": row.state,
                "sent_at": cells.utc(row.sent_at) or None,
                "body": row.body,
                "names_then": row.names,
                "purpose": row.purpose,
                "recipient": row.recipient,
                "ticket": row.ticket,
                "legal_basis": row.legal_basis,
                "answer": row.answer,
            }
        )
        for row in requests
    )


def job_lines(jobs: list[Job]) -> str:
    """Each job as Adobe last told it, with the changes that segadmin saw, as JSON Lines."""
    changes: dict[int, list[dict[str, Any]]] = {}
    for change in JobChange.objects.filter(job__in=[job.pk for job in jobs]).order_by("at", "pk"):
        told = {"at": cells.utc(change.at), "from": change.from_state, "to": change.to_state, "status": change.status}
        changes.setdefault(change.job_id, []).append(told)
    return "".join(
        _line(
            {
                "job": job.job_id,
                "organization": job.sandbox.organization.slug,
                "sandbox": job.sandbox.name,
                "origin": job.origin,
                "state": job.state,
                "first_seen_at": cells.utc(job.first_seen_at),
                "last_seen_at": cells.utc(job.last_seen_at),
                "as_adobe_last_told_it": job.raw,
                "changes_seen": changes.get(job.pk, []),
            }
        )
        for job in jobs
    )


def _line(told: dict[str, Any]) -> str:
    return visible_json(json.dumps(told, ensure_ascii=False, sort_keys=True, default=str)) + "\n"


def register_rows(organizations: Iterable[int], jobs: list[Job], requests: list[ExportRequest]) -> list[dict[str, Any]]:
    """The register's rows of these."""
    return files_register.of_exports(organizations, {job.pk for job in jobs}, {row.pk for row in requests})
