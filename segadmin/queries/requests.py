"""Reads about export requests: drafts, and what a person should know before sending one."""

import json
import shlex
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from segadmin.aep.types import ExportJob
from segadmin.models import Attempt, ExportRequest, Job, Organization, RequestState, Sandbox, State, User
from segadmin.queries import job_facts

PRIVATE = (RequestState.DRAFT, RequestState.WITHDRAWN, RequestState.EXPIRED)
UNFINISHED = (RequestState.DRAFT, RequestState.REFUSED, RequestState.NOT_SENT)
RECENT = timedelta(hours=24)
# A job that never came to an end is not "still running" for ever.
STILL_GOING = timedelta(days=7)
LOOKED_AT = 300


def unfinished(author: User, organizations: Iterable[Organization]) -> list[ExportRequest]:
    """The person's own drafts, and what Adobe never got or refused, in these orgs, last touched first."""
    return list(
        ExportRequest.objects.filter(author=author, state__in=UNFINISHED, sandbox__organization__in=organizations)
        .select_related("sandbox__organization")
        .order_by("-updated_at", "-pk")[:200]
    )


def expires_at(draft: ExportRequest) -> datetime:
    """When an untouched draft is forgotten."""
    return draft.updated_at + timedelta(days=settings.DRAFT_DAYS)


def of_form(author: User, sandbox: Sandbox, form_key: str) -> ExportRequest | None:
    """The request that came of one shown form: submitting it again is not another export."""
    if not form_key:
        return None
    return (
        ExportRequest.objects.select_related("sandbox__organization")
        .filter(author=author, sandbox=sandbox, typed__form_key=[form_key])
        .exclude(state__in=[RequestState.WITHDRAWN, RequestState.EXPIRED])
        .order_by("-pk")
        .first()
    )


def is_public(request_uuid: uuid.UUID) -> bool:
    """Whether a request left its author's desk, so that everyone in the org may read it."""
    return ExportRequest.objects.filter(uuid=request_uuid).exclude(state__in=PRIVATE).exists()


def last_recipient(sandbox: Sandbox, dataset_id: str) -> str:
    """Who got the data when the dataset last took an export from here; "" where nobody said."""
    row = (
        ExportRequest.objects.filter(sandbox=sandbox, sent_at__isnull=False, body__destination__datasetId=dataset_id)
        .exclude(recipient="")
        .order_by("-sent_at", "-pk")
        .first()
    )
    return row.recipient if row else ""


def create_attempt(export_request: ExportRequest) -> Attempt | None:
    """The newest attempt to send it."""
    return export_request.attempts.filter(kind=Attempt.Kind.CREATE).order_by("-opened_at", "-pk").first()


@dataclass(frozen=True)
class Audience:
    """One chosen audience with its size as Adobe last told it; None where it did not."""

    name: str
    profiles: int | None
    evaluated_at: datetime | None


@dataclass(frozen=True)
class Estimate:
    """How many profiles to expect. `at_most` is a sum that may count people twice; None where a part is not known."""

    audiences: Sequence[Audience]
    at_most: int | None
    evaluated_at: datetime | None
    last: Job | None


def estimate(export_request: ExportRequest) -> Estimate:
    """From the sizes that were cached with the names, and from the last finished export of the same audiences."""
    audiences = [
        Audience(
            name=item.get("name") or item["id"],
            profiles=item.get("profiles"),
            evaluated_at=_moment(item.get("evaluated_at")),
        )
        for item in export_request.names.get("audiences", [])
    ]
    sizes = [one.profiles for one in audiences]
    known = [size for size in sizes if size is not None]
    evaluated = [one.evaluated_at for one in audiences if one.evaluated_at]
    return Estimate(
        audiences=audiences,
        at_most=sum(known) if known and len(known) == len(sizes) else None,
        evaluated_at=min(evaluated) if evaluated else None,
        last=_last_like(export_request),
    )


def _moment(text: object) -> datetime | None:
    found = parse_datetime(text) if isinstance(text, str) else None
    return found if found and found.tzinfo else None


def audience_ids(body: Mapping[str, Any]) -> list[str]:
    """Ids of the audiences that a request body names; none means everyone."""
    return [item["segmentId"] for item in (body.get("filter") or {}).get("segments", [])]


def _last_like(export_request: ExportRequest) -> Job | None:
    """The newest finished export of exactly these audiences with a count. Only the newest jobs are looked through."""
    wanted = set(audience_ids(export_request.body))
    rows = Job.objects.filter(sandbox=export_request.sandbox, state=State.SUCCEEDED, profiles__isnull=False)
    newest = rows.only("job_id", "audience_ids", "profiles", "sort_at", "sandbox_id").order_by("-sort_at", "-pk")
    return next((row for row in newest[:LOOKED_AT] if set(row.audience_ids) == wanted), None)


@dataclass(frozen=True)
class Twin:
    """A job that already exports one of the audiences (or everyone, as asked now)."""

    job: Job
    same_dataset: bool
    is_going: bool
    audience_id: str


def twins(export_request: ExportRequest) -> list[Twin]:
    """Jobs that still export an audience asked for now, or exported it to the same dataset within a day."""
    body = export_request.body
    wanted, dataset_id = set(audience_ids(body)), body["destination"]["datasetId"]
    now = timezone.now()
    going = ~Q(state__in=State.final()) & Q(sort_at__gt=now - STILL_GOING, missing_since_at=None)
    lately = Q(state=State.SUCCEEDED, dataset_id=dataset_id, sort_at__gt=now - RECENT)
    rows = Job.objects.filter(sandbox=export_request.sandbox).filter(going | lately).order_by("-sort_at", "-pk")
    found = []
    for job in rows[:LOOKED_AT]:
        shared = sorted(wanted & set(job.audience_ids))
        if shared or (not wanted and not job.audience_ids):
            same = job.dataset_id == dataset_id
            found.append(Twin(job, same, not job.is_final, shared[0] if shared else ""))
    return found


def in_words(export_request: ExportRequest) -> list[str]:
    """What the sentence leaves out: limits of the filter, events, and how Adobe is to go about it."""
    seen = ExportJob.parse({**export_request.body, "id": str(export_request.uuid)})
    events = [_("events: %s") % words for words in job_facts.events(seen)]
    return [*job_facts.limits(seen), *events]


def as_json(export_request: ExportRequest) -> str:
    """The exact body, for reading."""
    return json.dumps(export_request.body, indent=2, ensure_ascii=False)


def as_curl(export_request: ExportRequest) -> str:
    """The same request for a shell. Token and client id stay variables: a secret is never shown."""
    organization = export_request.sandbox.organization
    headers = [
        '"Authorization: Bearer $TOKEN"',
        '"x-api-key: $CLIENT_ID"',
        shlex.quote(f"x-gw-ims-org-id: {organization.ims_org_id}"),
        shlex.quote(f"x-sandbox-name: {export_request.sandbox.name}"),
        "'Content-Type: application/json'",
        "'Accept: application/json'",
    ]
    lines = [
        f"curl -X POST {shlex.quote(organization.api_url.rstrip('/') + '/data/core/ups/export/jobs')}",
        *(f"  -H {header}" for header in headers),
        f"  --data-raw {shlex.quote(as_json(export_request))}",
    ]
    return " \\\n".join(lines)
