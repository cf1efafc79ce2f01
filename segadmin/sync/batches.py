"""Counts of batches, for finished jobs to which Adobe gave none: read from the catalog in the lane of the names.

A few jobs at a time; a fault ends the round, and the rest is tried again.
"""

import logging
import threading
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from segadmin import aep, connect
from segadmin.actions import batches
from segadmin.models import Job, Sandbox

log = logging.getLogger("segadmin.sync")

JOBS_A_ROUND = 20
ROUND_EVERY = timedelta(seconds=20)
AGAIN_AFTER_FAULT = timedelta(minutes=5)
# A job that was split into more batches stays without a count.
MOST_BATCHES = 50
NO_COUNT_TO_COME = frozenset({"failed", "failure", "aborted", "abandoned", "inactive", "deleted"})


def due(now: datetime) -> Exists:
    """Whether an org has a job whose batches are to be looked at, as a condition on orgs."""
    rested = Q(sandbox__batches_due_at=None) | Q(sandbox__batches_due_at__lte=now)
    jobs = Job.objects.filter(
        rested, batch_due_at__lte=now, sandbox__watched=True, sandbox__organization=OuterRef("pk")
    )
    return Exists(jobs)


def tend(sandbox: Sandbox, stop: threading.Event | None = None) -> None:
    """Look at the batches of the jobs that are due, if nobody else does."""
    now = timezone.now()
    waiting = Job.objects.filter(sandbox=sandbox, batch_due_at__lte=now).order_by("batch_due_at", "pk")
    if not waiting.exists():
        return
    free = Sandbox.objects.filter(Q(batches_due_at=None) | Q(batches_due_at__lte=now), pk=sandbox.pk)
    if not free.update(batches_due_at=now + ROUND_EVERY):
        return
    source = connect.names(sandbox)
    for job in waiting[:JOBS_A_ROUND]:
        if stop and stop.is_set():
            return
        try:
            _look_at(source, sandbox, job)
        except aep.AEPError as error:
            connect.note_limits(sandbox.organization, error)
            Sandbox.objects.filter(pk=sandbox.pk).update(batches_due_at=timezone.now() + AGAIN_AFTER_FAULT)
            batches.look_later(job)
            log.warning("%s: a batch of job %r could not be read: %s", sandbox, job.job_id, error.message)
            return


def _look_at(source: aep.Names, sandbox: Sandbox, job: Job) -> None:
    if not 0 < len(job.batch_ids) <= MOST_BATCHES:
        batches.give_up(job)
        return
    total = 0
    for batch_id in job.batch_ids:
        try:
            found = source.batch(str(batch_id))
        except ValueError:  # an id that no address can carry
            batches.give_up(job)
            return
        if found is not None and found.status == "success" and found.records is not None:
            total += found.records
        elif found is not None and (found.status in NO_COUNT_TO_COME or found.status == "success"):
            batches.give_up(job)
            return
        else:
            batches.look_later(job)
            return
    batches.note_count(sandbox, job, records=total)
