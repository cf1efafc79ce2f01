"""The export register: rows kept in step with requests and jobs, in the transaction of what changed; and amendments."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models import Q, QuerySet
from django.utils import timezone

from segadmin.actions import register_terms
from segadmin.actions.projection import AMENDABLE, PRIVATE, Known, Source, details_of, values_of, what_of
from segadmin.actions.refusals import NotDone
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, record
from segadmin.audit.record import one_line
from segadmin.models import (
    Action,
    Amendment,
    Attempt,
    EventContent,
    ExportOutcome,
    ExportRequest,
    Job,
    Name,
    Organization,
    Origin,
    RegisterEntry,
    Sandbox,
)
from segadmin.queries.personal_data import InForce

CHUNK = 200
LONGEST = {"recipient": 300, "ticket": 100, "purpose": 2000, "legal_basis": 40}
LONGEST_WHY = 1000


def refresh(*, jobs: Iterable[Job] = (), requests: Iterable[ExportRequest] = ()) -> None:
    """Bring the rows of these up to date. In the caller's transaction, before its event; about ten queries in all.

    Both are read again once their rows are locked, so that of two writers the later one writes what is so.
    """
    pks, wanted = {job.pk for job in jobs}, {row.pk for row in requests}
    if not pks and not wanted:
        return
    with transaction.atomic():
        pairs = Job.objects.filter(Q(pk__in=pks) | Q(export_request__in=wanted)).order_by("pk")
        for pk, asked_for in pairs.values_list("pk", "export_request_id"):
            pks.add(pk)
            wanted |= {asked_for} if asked_for else set()
        before = _Before(pks, wanted)
        made = list(Job.objects.filter(pk__in=pks).defer("search").order_by("pk")) if pks else []
        asked = ExportRequest.objects.filter(pk__in=wanted).exclude(sent_at=None) if wanted else ()
        before.merge(made)
        sources = _sources(made, list(asked), before)
        _write([source for source in sources if not source.is_gone])


class _Before:
    """The rows as they stand, locked. An export that has two by now (a job, and the request that made it) keeps one."""

    def __init__(self, jobs: Iterable[int], requests: Iterable[int]) -> None:
        rows = RegisterEntry.objects.filter(Q(job__in=list(jobs)) | Q(export_request__in=list(requests)))
        found = list(rows.select_for_update(of=("self",)).order_by("pk"))
        self.by_job = {row.job_id: row for row in found if row.job_id}
        self.by_request = {row.export_request_id: row for row in found if row.export_request_id}
        amended = [row.pk for row in found if row.amended]
        self.amendments: dict[int, list[Amendment]] = {}
        for item in Amendment.objects.filter(entry__in=amended).order_by("pk") if amended else ():
            self.amendments.setdefault(item.entry_id, []).append(item)

    def merge(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            ours = self.by_request.get(job.export_request_id) if job.export_request_id else None
            other = self.by_job.get(job.pk)
            if ours is not None and other is not None and ours.pk != other.pk:
                self._merge(ours, other, job)

    def _merge(self, ours: RegisterEntry, other: RegisterEntry, job: Job) -> None:
        if other.amended and not ours.amended:
            ours, other = other, ours
        if other.amended:
            other.job_id = other.export_request_id = None
            other.outcome = ExportOutcome.MERGED
            other.save(update_fields=["job", "export_request", "outcome"])
            register_terms.forget(other)
        else:
            other.delete()
        self.by_job[job.pk] = ours
        if job.export_request_id:
            self.by_request[job.export_request_id] = ours


def _sources(jobs: Sequence[Job], requests: Sequence[ExportRequest], before: _Before) -> list[Source]:
    by_pk = {row.pk: row for row in requests}
    with_job = {job.export_request_id for job in jobs}
    alone = [row for row in requests if row.pk not in with_job]
    attempts = _attempts(alone)
    told = _told([attempts[row.pk].opened_seq for row in alone if row.state in PRIVATE and row.pk in attempts])
    sources = []
    for job in jobs:
        asked = by_pk.get(job.export_request_id) if job.export_request_id else None
        row = before.by_job.get(job.pk) or (before.by_request.get(asked.pk) if asked else None)
        sources.append(Source(asked, job, before=row, amendments=_of(row, before)))
    for asked in alone:
        attempt, row = attempts.get(asked.pk), before.by_request.get(asked.pk)
        details = told.get(attempt.opened_seq, {}) if attempt else {}
        sources.append(Source(asked, None, attempt, details, row, _of(row, before)))
    return sources


def _of(row: RegisterEntry | None, before: _Before) -> Sequence[Amendment]:
    return before.amendments.get(row.pk, ()) if row is not None else ()


def _attempts(requests: Sequence[ExportRequest]) -> dict[int, Attempt]:
    """Request pk -> its newest attempt to create."""
    if not requests:
        return {}
    rows = Attempt.objects.filter(export_request__in=[row.pk for row in requests], kind=Attempt.Kind.CREATE)
    return {row.export_request_id: row for row in rows.order_by("opened_at", "pk") if row.export_request_id}


def _told(numbers: Sequence[int]) -> dict[int, Any]:
    """Record number -> the details that it tells."""
    if not numbers:
        return {}
    rows = EventContent.objects.filter(event__in=numbers).order_by("event_id").values_list("event_id", "text")
    return {seq: details_of(text) for seq, text in rows}


def _write(sources: Sequence[Source]) -> None:
    """Insert what is new, save what differs."""
    places = {source.sandbox_id for source in sources}
    rows = Sandbox.objects.filter(pk__in=places).order_by("pk").values_list("pk", "organization_id")
    organizations = dict(rows)
    maps, known = InForce(organizations.values()), _known(sources)
    fresh, touched = [], []
    for source in sources:
        values = values_of(source, organizations[source.sandbox_id], maps, known)
        row = source.before
        if row is None:
            fresh.append(RegisterEntry(**values))
            continue
        changed = [name for name, value in values.items() if getattr(row, name) != value]
        if changed:
            for name in changed:
                setattr(row, name, values[name])
            row.version += 1
            row.save(update_fields=[*changed, "version"])
        if register_terms.TOUCHED & set(changed):
            touched.append(row)
    made = RegisterEntry.objects.bulk_create(fresh, batch_size=100)
    register_terms.write([*made, *touched])


def _known(sources: Sequence[Source]) -> Known:
    """Names and last evaluations of everything that these mention: one query."""
    wanted: set[tuple[int, str, str]] = set()
    for source in sources:
        what = what_of(source)
        wanted |= {(source.sandbox_id, Name.Kind.AUDIENCE.value, item) for item in what.audience_ids}
        wanted.add((source.sandbox_id, Name.Kind.DATASET.value, what.dataset_id))
    rows = Name.objects.filter(
        sandbox_id__in={key[0] for key in wanted},
        kind__in=[Name.Kind.AUDIENCE, Name.Kind.DATASET],
        external_id__in={key[2] for key in wanted},
    ).order_by("pk")
    return Known(
        {
            (row.sandbox_id, row.kind, row.external_id): (row.name, str(row.details.get("evaluated_at") or ""))
            for row in rows
        }
    )


def rebuild(organization: Organization | None = None, *, only_missing: bool = False) -> int:
    """Make every row (of one org) anew from requests, jobs, record and amendments; returns how many exports there were.

    Rows keep their key. Names of jobs from outside stay as first known, which only their rows say.
    """
    jobs = Job.objects.order_by("pk")
    requests = ExportRequest.objects.exclude(sent_at=None).filter(job=None).order_by("pk")
    if organization is not None:
        jobs = jobs.filter(sandbox__organization=organization)
        requests = requests.filter(sandbox__organization=organization)
    if only_missing:
        jobs, requests = jobs.filter(entry=None), requests.filter(entry=None)
    seen = _in_chunks(jobs.only("pk", "export_request_id"), lambda chunk: refresh(jobs=chunk))
    return seen + _in_chunks(requests.only("pk"), lambda chunk: refresh(requests=chunk))


def _in_chunks[Row: (Job, ExportRequest)](rows: QuerySet[Row], work: Callable[[list[Row]], None]) -> int:
    """Finished selects by key, each followed by a transaction of its own: nobody waits long for the database."""
    seen, last = 0, 0
    while chunk := list(rows.filter(pk__gt=last)[:CHUNK]):
        last, seen = chunk[-1].pk, seen + len(chunk)
        work(chunk)
    return seen


def build_after_migrate(*, using: str, **_kwargs: Any) -> None:
    """Receiver of post_migrate: exports that were stored before the register was get their rows.

    Not a migration, since that would need every later column to be there; does nothing until all migrations are in.
    """
    if using != DEFAULT_DB_ALIAS:
        return
    loader = MigrationLoader(connections[using])
    if set(loader.graph.leaf_nodes("segadmin")) <= set(loader.applied_migrations):
        rebuild(only_missing=True)


def may_be_amended(entry: RegisterEntry) -> bool:
    """Not while it is open whose export it is, or whether there is one."""
    open_ends = (ExportOutcome.ASKED, ExportOutcome.UNKNOWN, ExportOutcome.MERGED)
    return (entry.job_id is not None or entry.outcome not in open_ends) and entry.origin != Origin.MATCHING


def amend(*, actor: Actor, entry: RegisterEntry, values: dict[str, str], why: str, version: int) -> list[Amendment]:
    """Correct recipient, ticket, purpose or legal basis, with a reason; the request and the record stay as they were.

    `version` is how many amendments the person had seen. Raises NotDone.
    """
    why = one_line(storable(why), LONGEST_WHY)
    if not why:
        raise NotDone({"why": "Say why it has to be corrected. The reason stays beside the correction."})
    with transaction.atomic():
        row = RegisterEntry.objects.select_for_update(of=("self",)).get(pk=entry.pk)
        if row.amended != version:
            raise NotDone("Somebody corrected this row in the meantime. Look at it again, then correct what is left.")
        if not may_be_amended(row):
            raise NotDone("It is not settled yet which export this is, so nothing can be corrected now.")
        cleaned = {name: storable(values[name]).strip()[: LONGEST[name]] for name in AMENDABLE if name in values}
        changes = {name: new for name, new in cleaned.items() if new != getattr(row, name)}
        if not changes:
            raise NotDone("Nothing differs from what is in force, so nothing was corrected.")
        return _amend(actor, row, changes, why)


def _amend(actor: Actor, row: RegisterEntry, changes: dict[str, str], why: str) -> list[Amendment]:
    before = {name: getattr(row, name) for name in changes}
    row.amended += len(changes)
    row.save(update_fields=["amended"])
    job = Job.objects.filter(pk=row.job_id).first() if row.job_id else None
    asked = ExportRequest.objects.filter(pk=row.export_request_id).first() if row.export_request_id else None
    named = ", ".join(name.replace("_", " ") for name in changes)
    event = record(
        actor=actor,
        action=Action.REGISTER_AMENDED,
        sentence=f"corrected {named} of {f'job {job.job_id}' if job else 'an export'} in the register: {why}",
        subject=Subject(
            sandbox=Sandbox.objects.select_related("organization").get(pk=row.sandbox_id),
            job_id=job.job_id if job else "",
            request_uuid=asked.uuid if asked else None,
        ),
        details={"before": before, "after": changes, "why": why, "register_row": row.pk},
    )
    # An amendment carries the number of its record, so it is written after it; the row follows from both.
    told = {"entry": row, "why": why, "by": actor.name[:150], "at": timezone.now(), "seq": event.seq}
    made = [Amendment(field=name, old=before[name], new=new, **told) for name, new in changes.items()]
    for item in made:
        item.save()
    refresh(jobs=[job] if job else (), requests=[asked] if asked else ())
    return made
