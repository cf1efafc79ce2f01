"""How many records an export's batches hold by Adobe's catalog: what stands in where Adobe's job has no count."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from segadmin.actions import mirror, register
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Job, Sandbox

# A batch that the catalog has not finished by then is not asked for any more.
LOOK_FOR = timedelta(hours=24)
LONGEST_PAUSE = timedelta(hours=1)


def note_count(sandbox: Sandbox, job: Job, *, records: int) -> bool:
    """All batches of the job are finished and hold so many records. False: a count was known before."""
    with transaction.atomic():
        held = mirror.hold(sandbox)
        rows = Job.objects.filter(pk=job.pk, profiles=None, batch_records=None)
        # The search for findings looks at it again, now that its size is known.
        if not rows.update(batch_records=records, batch_due_at=None, judged=False, version=F("version") + 1):
            Job.objects.filter(pk=job.pk).update(batch_due_at=None)
            return False
        row = Job.objects.select_related("export_request", "sandbox").get(pk=job.pk)
        register.refresh(jobs=[row])
        batches = "batch holds" if len(row.batch_ids) == 1 else f"{len(row.batch_ids)} batches hold"
        record(
            actor=Actor.system(),
            action=Action.BATCH_COUNTED,
            sentence=f"read in Adobe's catalog that the {batches} {records:,} records of {row.job_id}, "
            "for which Adobe's job has no count",
            subject=Subject(
                sandbox=held,
                job_id=row.job_id,
                request_uuid=row.export_request.uuid if row.export_request else None,
            ),
            details={"records": records, "batches": row.batch_ids},
        )
    return True


def look_later(job: Job, *, now: datetime | None = None) -> None:
    """Not finished in the catalog yet: ask again, less and less often, and give up after a day."""
    now = now or timezone.now()
    age = now - (job.ended_at or job.sort_at)
    pause = min(max(age / 5, timedelta(minutes=1)), LONGEST_PAUSE)
    Job.objects.filter(pk=job.pk).update(batch_due_at=now + pause if age < LOOK_FOR else None)


def give_up(job: Job) -> None:
    """The catalog has no count for it, and will have none."""
    Job.objects.filter(pk=job.pk).update(batch_due_at=None)
