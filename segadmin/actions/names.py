"""The words by which jobs are found, and the cache of names behind ids."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from segadmin import aep
from segadmin.actions import register, register_terms
from segadmin.actions.storable import storable
from segadmin.models import ExportRequest, Job, Name, Sandbox
from segadmin.queries import names

# Up to so many changed names the database looks for the jobs that mention them; beyond, every job is looked at.
FEW_NAMES = 20
CHUNK = 500


def search_words(row: Job, found: dict[names.Key, str]) -> str:
    """Lower-case words by which `q` finds a job."""
    words = [row.job_id, row.dataset_id, row.adobe_request_id, *row.batch_ids, *row.audience_ids, row.person]
    words += [found.get((row.sandbox_id, Name.Kind.AUDIENCE.value, item), "") for item in row.audience_ids]
    words.append(found.get((row.sandbox_id, Name.Kind.DATASET.value, row.dataset_id), ""))
    if row.export_request:
        words += request_words(row.export_request)
    return "\n".join(dict.fromkeys(str(word).lower() for word in words if word))[:20_000]


def request_words(export_request: ExportRequest) -> list[str]:
    """What a person typed or chose, for the search."""
    kept = export_request.names
    chosen = [str(item.get("name") or "") for item in kept.get("audiences", [])]
    chosen.append(str((kept.get("dataset") or {}).get("name") or ""))
    return [
        export_request.author_name,
        export_request.ticket,
        export_request.recipient,
        export_request.purpose,
        str(export_request.uuid),
        *chosen,
    ]


def index(sandbox: Sandbox, rows: Iterable[Job]) -> None:
    rows = list(rows)
    keys = {(sandbox.pk, Name.Kind.AUDIENCE.value, item) for row in rows for item in row.audience_ids}
    keys |= {(sandbox.pk, Name.Kind.DATASET.value, row.dataset_id) for row in rows if row.dataset_id}
    found = names.labels(keys) if keys else {}
    for row in rows:
        row.search = search_words(row, found)


def reindex(sandbox: Sandbox, ids: Sequence[str]) -> None:
    """Find jobs by names that became known or changed after the jobs were stored. In chunks: few rows locked at a time."""
    wanted = set(ids)
    rows = Job.objects.filter(sandbox=sandbox).select_related("export_request").order_by("pk")
    if len(wanted) <= FEW_NAMES:
        mentions = Q()
        for external_id in wanted:
            mentions |= Q(search__contains=external_id.lower())
        rows = rows.filter(mentions)
    last = 0
    while wanted and (chunk := list(rows.filter(pk__gt=last)[:CHUNK])):
        last = chunk[-1].pk
        mentioned = [row for row in chunk if wanted & {row.dataset_id, *map(str, row.audience_ids)}]
        with transaction.atomic():
            index(sandbox, mentioned)
            Job.objects.bulk_update(mentioned, ["search"], batch_size=100)
            register.refresh(jobs=mentioned)
    register_terms.renamed(sandbox, list(ids))


def take_in_names(
    sandbox: Sandbox, kind: Name.Kind, found: Sequence[aep.NameRecord], *, read_at: datetime
) -> list[str]:
    """Replace the cached names of one kind; returns ids whose name is new or changed. A vanished name is kept, marked."""
    changed: list[str] = []
    unique = {item.id[:300]: item for item in found}
    known = {row.external_id: row for row in Name.objects.filter(sandbox=sandbox, kind=kind)}
    fresh, altered = [], []
    for external_id, item in unique.items():
        label, details = item.name[:300].replace("\x00", ""), storable(item.details)
        row = known.get(external_id)
        if row is None:
            fresh.append(
                Name(
                    sandbox=sandbox,
                    kind=kind,
                    external_id=external_id,
                    namespace=(item.namespace or "")[:60],
                    name=label,
                    details=details,
                    read_at=read_at,
                )
            )
            changed.append(external_id)
        elif (row.name, row.details, row.gone_at) != (label, details, None):
            if row.name != label:
                changed.append(external_id)
            row.name, row.details, row.read_at, row.gone_at = label, details, read_at, None
            altered.append(row)
    with transaction.atomic():
        Name.objects.bulk_create(fresh, batch_size=100, ignore_conflicts=True)
        Name.objects.bulk_update(altered, ["name", "details", "read_at", "gone_at"], batch_size=100)
        gone = [row.pk for external_id, row in known.items() if external_id not in unique and row.gone_at is None]
        for start in range(0, len(gone), 500):
            Name.objects.filter(pk__in=gone[start : start + 500]).update(gone_at=read_at)
    return changed
