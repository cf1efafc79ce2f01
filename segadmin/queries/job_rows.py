"""The rows of the jobs list: everything a row says, as text, so that a template only has to place it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models.fields.json import KT
from django.urls import reverse
from django.utils.translation import gettext as _

from segadmin.models import Attempt, ExportRequest, Job, Name, Origin, RequestState, Sandbox, Settlement, State
from segadmin.queries import job_words, names, sentences
from segadmin.queries.job_filters import Cursor
from segadmin.queries.job_words import Words

FIELDS_SPELLED = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row. `key` is "12" for a job and "r5" for a request; `token` changes with every visible change.

    `replaces` is the key of a row on the page that this one stands for now (a request that became a job).
    """

    key: str
    token: str
    cursor: Cursor
    sandbox: Sandbox
    url: str
    job_id: str
    state: str
    words: Words
    title: str
    dataset: str
    profiles: str
    profiles_note: str
    all_fields: bool
    fields: str
    fields_note: str
    asked_by: str
    asked_note: str
    from_outside: bool
    started_at: datetime
    took: str
    replaces: str = ""

    @property
    def target(self) -> str:
        """The id of the row on the page that this one takes the place of."""
        return f"row-{self.replaces or self.key}"


def load_jobs(pks: Sequence[int], sandboxes: Mapping[int, Sandbox]) -> list[Job]:
    """Jobs with all that a row needs, without the raw JSON. In no order."""
    rows = (
        Job.objects.filter(pk__in=pks, sandbox_id__in=sandboxes)
        .select_related("export_request")
        .annotate(
            wrote=KT("raw__metrics__aCPDatasetWriteTime__startTimeInMs"),
            exported=KT("raw__metrics__profileExportTime__startTimeInMs"),
        )
        .defer("raw", "search", "export_request__typed", "export_request__body", "export_request__answer")
        .order_by("pk")
    )
    found: list[Job] = [*rows]
    for job in found:
        job.sandbox = sandboxes[job.sandbox_id]
    return found


def load_pending(sandboxes: Mapping[int, Sandbox]) -> list[ExportRequest]:
    """Requests that were sent and have no job yet, newest first; few at any time."""
    rows = (
        ExportRequest.objects.filter(
            sandbox_id__in=sandboxes, state__in=[RequestState.SENDING, RequestState.UNKNOWN], job=None
        )
        .defer("typed", "answer")
        .order_by("-sent_at", "-pk")[:500]
    )
    found = list(rows)
    for row in found:
        row.sandbox = sandboxes[row.sandbox_id]
    return found


def latest_attempts(requests: Sequence[ExportRequest]) -> dict[int, Attempt]:
    """Request pk -> its newest attempt to create."""
    if not requests:
        return {}
    rows = Attempt.objects.filter(export_request__in=[row.pk for row in requests], kind=Attempt.Kind.CREATE)
    return {row.export_request_id: row for row in rows.order_by("opened_at", "pk") if row.export_request_id}


def request_cursor(export_request: ExportRequest) -> Cursor:
    return Cursor(export_request.sent_at or export_request.created_at, 1, export_request.pk)


def job_cursor(job: Job) -> Cursor:
    return Cursor(job.sort_at, 0, job.pk)


def build(
    jobs: Sequence[Job],
    requests: Sequence[ExportRequest],
    attempts: Mapping[int, Attempt],
    replacing: Mapping[int, str] | None = None,
) -> list[Row]:
    """Rows of these jobs and requests, newest first. Two queries at most, however many there are."""
    replacing = replacing or {}
    known = names.labels(_name_keys(jobs, requests)) if jobs or requests else {}
    live = [job for job in jobs if job.state in (State.WAITING, State.RUNNING)]
    usual = job_words.usual_times((job.sandbox_id, job.fingerprint) for job in live)
    rows = [
        _job_row(job, known, usual.get((job.sandbox_id, job.fingerprint)), replacing.get(job.pk, "")) for job in jobs
    ]
    rows += [_request_row(row, known, attempts.get(row.pk)) for row in requests]
    return sorted(rows, key=lambda row: row.cursor, reverse=True)


def request_token(export_request: ExportRequest, attempt: Attempt | None) -> str:
    settlement = attempt.settlement if attempt else Settlement.NONE
    return f"r{export_request.pk}:{export_request.version}.{export_request.state}.{settlement}"


def _job_row(job: Job, known: Mapping[names.Key, str], usual: job_words.Usual | None, replaces: str) -> Row:
    sandbox, kept = job.sandbox, (job.export_request.names if job.export_request else {})
    profiles, profiles_note = job_words.profile_words(job, kept)
    wrote, exported = getattr(job, "wrote", None), getattr(job, "exported", None)
    asked_by, asked_note = asked(job)
    return Row(
        key=str(job.pk),
        token=f"{job.pk}:{job.version}",
        cursor=job_cursor(job),
        sandbox=sandbox,
        url=job_url(job),
        job_id=job.job_id,
        state=job.state,
        words=job_words.job_words(job, usual=usual, wrote=wrote, exported=exported),
        title=title(audience_names(job.audience_ids, sandbox.pk, kept, known)),
        dataset=dataset_name(job.dataset_id, sandbox.pk, kept, known),
        profiles=profiles,
        profiles_note=profiles_note,
        **_fields(job.fields),
        asked_by=asked_by,
        asked_note=asked_note,
        from_outside=job.origin in (Origin.OUTSIDE, Origin.OLDER),
        started_at=job.sort_at,
        took=job_words.took(job) or (_("not reported") if job.is_final else _("not ended")),
        replaces=replaces,
    )


def _request_row(row: ExportRequest, known: Mapping[names.Key, str], attempt: Attempt | None) -> Row:
    sandbox, cursor = row.sandbox, request_cursor(row)
    profiles, profiles_note = job_words.profile_words(None, row.names)
    return Row(
        key=f"r{row.pk}",
        token=request_token(row, attempt),
        cursor=cursor,
        sandbox=sandbox,
        url=reverse("request", args=[sandbox.organization.slug, sandbox.name, row.uuid]),
        job_id="",
        state=State.WAITING if row.state == RequestState.SENDING else State.UNKNOWN,
        words=job_words.request_words(row, attempt),
        title=title(audience_names(body_audiences(row.body), sandbox.pk, row.names, known)),
        dataset=dataset_name(body_dataset(row.body), sandbox.pk, row.names, known),
        profiles=profiles,
        profiles_note=profiles_note,
        **_fields(str(row.body.get("fields") or "")),
        asked_by=row.author_name,
        asked_note=row.ticket or _("no ticket"),
        from_outside=False,
        started_at=cursor.at,
        took=_("not ended"),
    )


def job_url(job: Job, name: str = "job") -> str:
    return reverse(name, args=[job.sandbox.organization.slug, job.sandbox.name, job.job_id])


def asked(job: Job) -> tuple[str, str]:
    """Who asked for a job, and what qualifies that."""
    if job.origin == Origin.OUTSIDE:
        return _("From outside segadmin"), _("person not known")
    if job.origin == Origin.OLDER:
        return _("Not known"), _("before the connection")
    if job.origin == Origin.MATCHING:
        return _("Not told yet"), _("may be an export sent from here")
    return job.person or _("not known"), (job.export_request.ticket if job.export_request else "") or _("no ticket")


def body_audiences(body: Mapping[str, Any]) -> list[str]:
    segments = (body.get("filter") or {}).get("segments") or []
    return [str(item["segmentId"]) for item in segments if item.get("segmentId")]


def body_dataset(body: Mapping[str, Any]) -> str:
    return str((body.get("destination") or {}).get("datasetId") or "")


def _name_keys(jobs: Iterable[Job], requests: Iterable[ExportRequest]) -> set[names.Key]:
    keys: set[names.Key] = set()
    for pk, audiences, dataset in [
        *((job.sandbox_id, job.audience_ids, job.dataset_id) for job in jobs),
        *((row.sandbox_id, body_audiences(row.body), body_dataset(row.body)) for row in requests),
    ]:
        keys |= {(pk, Name.Kind.AUDIENCE.value, str(item)) for item in audiences}
        if dataset:
            keys.add((pk, Name.Kind.DATASET.value, dataset))
    return keys


def audience_names(
    ids: Sequence[object], sandbox_pk: int, kept: Mapping[str, Any], known: Mapping[names.Key, str]
) -> list[str]:
    """Names as they were when it was asked for, else as they are now, else the ids."""
    then = {str(item.get("id")): str(item.get("name") or "") for item in kept.get("audiences", [])}
    keys = [(sandbox_pk, Name.Kind.AUDIENCE.value, str(item)) for item in ids]
    return [then.get(key[2]) or known.get(key) or key[2] for key in keys]


def dataset_name(dataset_id: str, sandbox_pk: int, kept: Mapping[str, Any], known: Mapping[names.Key, str]) -> str:
    then = str((kept.get("dataset") or {}).get("name") or "")
    return then or known.get((sandbox_pk, Name.Kind.DATASET.value, dataset_id)) or dataset_id


def title(audiences: Sequence[str]) -> str:
    """ "Lapsed buyers", "Lapsed buyers and 1 more", or "Everyone, no audience"."""
    if not audiences:
        return _("Everyone, no audience")
    if len(audiences) == 1:
        return audiences[0]
    return _("%(first)s and %(n)d more") % {"first": audiences[0], "n": len(audiences) - 1}


def _fields(listed: str) -> dict[str, Any]:
    """The fields of a row: the first ones spelled out, or that there is no list, which means all."""
    paths = [path.strip() for path in listed.split(",") if path.strip()]
    if not paths:
        return {"all_fields": True, "fields": _("All fields"), "fields_note": ""}
    more = len(paths) - FIELDS_SPELLED
    words = [sentences.WORDS.get(path, path) for path in paths[:FIELDS_SPELLED]]
    return {
        "all_fields": False,
        "fields": ", ".join(words),
        "fields_note": _("and %d more") % more if more > 0 else "",
    }
