"""The jobs of a sandbox: the newest page each time, the others by id at their own pace, all of them once an hour."""

import logging
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import F, Q
from django.utils import timezone

from segadmin import aep, connect
from segadmin.actions import jobs, mirror, settlement
from segadmin.models import Job, Organization, Sandbox, State

log = logging.getLogger("segadmin.sync")

PAGE = 100
SWEEP_EVERY = timedelta(hours=1)
LONGEST_PAUSE = timedelta(minutes=5)
LOOKUPS_A_PASS = 50


def _lease_time() -> timedelta:
    return timedelta(seconds=30 + 2 * settings.UPSTREAM_DEADLINE_SECONDS)


def claim(sandbox: Sandbox, *, force: bool = False) -> str | None:
    """A lease on the sandbox, or None if it is not due or another process has it."""
    now = timezone.now()
    rows = Sandbox.objects.filter(pk=sandbox.pk, watched=True).filter(Q(lease_until=None) | Q(lease_until__lt=now))
    if not force:
        rows = rows.filter(Q(due_at=None) | Q(due_at__lte=now))
    token = secrets.token_hex(16)
    return token if rows.update(lease_until=now + _lease_time(), lease_token=token) else None


class Pass:
    """One visit to one sandbox, under a lease."""

    def __init__(self, sandbox: Sandbox, lease: str) -> None:
        self.sandbox, self.lease = sandbox, lease
        self.seen: set[str] = set()
        self.began_at = timezone.now()

    def renew(self) -> None:
        rows = Sandbox.objects.filter(pk=self.sandbox.pk, lease_token=self.lease)
        if not rows.update(lease_until=timezone.now() + _lease_time()):
            raise mirror.LeaseLost(str(self.sandbox))

    def release(self, due_at: datetime) -> None:
        Sandbox.objects.filter(pk=self.sandbox.pk, lease_token=self.lease).update(
            lease_until=None, lease_token="", due_at=due_at
        )

    def run(self) -> aep.AEPError | None:
        """Read what is due. Returns the error that stopped it, if any; the lease is always given back."""
        due_at = timezone.now() + timedelta(seconds=settings.SYNC_SECONDS)
        try:
            due_at = self._read()
        except aep.AEPError as error:
            connect.note_limits(self.sandbox.organization, error)
            self.sandbox.refresh_from_db(fields=["failures"])
            jobs.note_unread(self.sandbox, error)
            due_at = self._after_error(error)
            log.warning("%s could not be read: %s", self.sandbox, error.message)
            return error
        except mirror.LeaseLost:
            log.info("%s was taken over by another process", self.sandbox)
        finally:
            self.release(due_at)
        return None

    def _after_error(self, error: aep.AEPError) -> datetime:
        now = timezone.now()
        pause = timedelta(seconds=settings.SYNC_SECONDS * 2 ** min(self.sandbox.failures, 6))
        again = now + min(pause, LONGEST_PAUSE)
        return max(again, error.retry_at) if error.retry_at else again

    def _read(self) -> datetime:
        reader = connect.reader(self.sandbox)
        if self._sweep_is_due():
            self._sweep(reader)
        else:
            self._newest(reader)
        self._look_up_the_others(reader)
        jobs.note_read(self.sandbox, read_at=self.began_at)
        connect.note_success(self.sandbox.organization, "segadmin sync")
        settlement.settle_all(self.sandbox, read_at=self.began_at)
        return self._next_due()

    def _sweep_is_due(self) -> bool:
        last = self.sandbox.last_sweep_at
        return last is None or timezone.now() - last >= SWEEP_EVERY

    def _pages(self, reader: aep.ExportJobsReader) -> Iterator[tuple[aep.Page, mirror.Taken]]:
        pages = reader.pages(limit=PAGE)
        while True:
            read_at = timezone.now()
            page = next(pages, None)
            if page is None:
                return
            self.renew()
            yield page, self._take(page, read_at)

    def _take(self, page: aep.Page, read_at: datetime) -> mirror.Taken:
        taken = mirror.Taken()
        for start in range(0, len(page.jobs), PAGE):  # a server may send more than was asked for
            part = mirror.take_in(self.sandbox, page.jobs[start : start + PAGE], read_at=read_at, lease=self.lease)
            taken.known += part.known
            taken.new += part.new
        mirror.take_in_bad(self.sandbox, page.bad, read_at=read_at)
        self.seen.update(job.id[:200] for job in page.jobs)
        return taken

    def _newest(self, reader: aep.ExportJobsReader) -> None:
        """The newest page, and further ones only while all of a page was new to us."""
        for page, taken in self._pages(reader):
            if taken.known or not page.jobs:
                return

    def _sweep(self, reader: aep.ExportJobsReader) -> None:
        """Every page. What it did not show is looked up by id before anything is called missing."""
        reach: datetime | None = None
        for page, _taken in self._pages(reader):
            created = [job.created_at for job in page.jobs if job.created_at]
            reach = min([*created, *([reach] if reach else [])], default=reach)
        Sandbox.objects.filter(pk=self.sandbox.pk).update(last_sweep_at=self.began_at, sweep_count=F("sweep_count") + 1)
        if reach:
            mirror.mark_aged_out(self.sandbox, reach=reach, swept_at=self.began_at)
        absent = Job.objects.filter(
            sandbox=self.sandbox, last_seen_at__lt=self.began_at, missing_since_at=None, aged_out_at=None
        )
        for job in absent.order_by("-sort_at", "-pk")[:LOOKUPS_A_PASS]:
            self._look_up(reader, job)

    def _look_up_the_others(self, reader: aep.ExportJobsReader) -> None:
        """Jobs still going that the pages did not show, each at its own pace."""
        going = (
            Job.objects.filter(sandbox=self.sandbox, last_seen_at__lt=self.began_at)
            .exclude(state__in=State.final())
            .filter(Q(next_look_at=None) | Q(next_look_at__lte=timezone.now()))
            .order_by("next_look_at", "pk")
        )
        for job in going[:LOOKUPS_A_PASS]:
            if job.job_id not in self.seen:
                self._look_up(reader, job)

    def _look_up(self, reader: aep.ExportJobsReader, job: Job) -> None:
        self.renew()
        read_at = timezone.now()
        # Older jobs are asked for less often, down to every five minutes.
        pause = min(max((read_at - job.sort_at) / 20, timedelta(seconds=settings.SYNC_SECONDS)), LONGEST_PAUSE)
        Job.objects.filter(pk=job.pk).update(next_look_at=read_at + pause)
        try:
            seen = reader.retrieve(job.job_id)
        except aep.NotFound:
            mirror.mark_missing(self.sandbox, job, read_at=read_at)
        else:
            mirror.take_in(self.sandbox, [seen], read_at=read_at, lease=self.lease)

    def _next_due(self) -> datetime:
        going = (
            Job.objects.filter(sandbox=self.sandbox, missing_since_at=None)
            .filter(Q(sort_at__gt=timezone.now() - timedelta(days=1)))
            .exclude(state__in=State.final())
        )
        looking = self.sandbox.attempts.filter(settlement__in=settlement.WAITING)
        busy = going.exists() or looking.exists()
        return timezone.now() + timedelta(seconds=settings.SYNC_SECONDS * (1 if busy else 6))


def tend(organization: Organization, *, force: bool = False) -> list[str]:
    """Visit the due sandboxes of one org. Returns a sentence for each that could not be read."""
    faults = []
    try:
        for sandbox in organization.sandboxes.filter(watched=True).select_related("organization").order_by("due_at"):
            lease = claim(sandbox, force=force)
            if lease is None:
                continue
            sandbox.refresh_from_db()
            error = Pass(sandbox, lease).run()
            if error is not None:
                faults.append(f"{sandbox}: {error.message}")
    finally:
        if not connection.in_atomic_block:
            connection.close()
    return faults


def due(now: datetime) -> list[Organization]:
    """Orgs with a sandbox whose time has come and that nobody has."""
    return list(
        Organization.objects.filter(retired_at=None)
        .filter(Q(not_before_at=None) | Q(not_before_at__lte=now))
        .filter(
            Q(sandboxes__due_at=None) | Q(sandboxes__due_at__lte=now),
            Q(sandboxes__lease_until=None) | Q(sandboxes__lease_until__lt=now),
            sandboxes__watched=True,
        )
        .order_by("pk")
        .distinct()
    )
