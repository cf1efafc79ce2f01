"""The mirror: keeps our copy of each sandbox's jobs and names true, and settles open attempts.

Any number of these may run on one database: work is claimed by a conditional update of the sandbox's row (due time and
lease), renewed per page, and writes are fenced by it. One worker an org, so a hanging org holds up nobody else.
"""

import logging
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F, Q
from django.utils import timezone

from segadmin import aep, connect
from segadmin.actions import jobs, mirror, names, organizations, requests, settlement
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.models import Job, Name, Organization, Sandbox, State

log = logging.getLogger("segadmin.sync")

PAGE = 100
SWEEP_EVERY = timedelta(hours=1)
NAMES_EVERY = timedelta(minutes=30)
NAMES_AGAIN_AFTER_FAULT = timedelta(minutes=5)
SANDBOXES_EVERY = timedelta(hours=6)
LONGEST_PAUSE = timedelta(minutes=5)
LOOKUPS_A_PASS = 50
MOST_WORKERS = 16


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
        if self._names_are_due():
            self._names()
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

    def _names_are_due(self) -> bool:
        last = self.sandbox.names_read_at
        return last is None or timezone.now() - last >= NAMES_EVERY

    def _names(self) -> None:
        """Names are a comfort: a fault there is logged and tried again soon, and never hides the jobs."""
        source = connect.names(self.sandbox)
        read_at = timezone.now()
        fault = False
        for kind in Name.Kind:
            self.renew()
            try:
                found = _read_names(source, kind)
            except aep.AEPError as error:
                fault = True
                log.warning("%s: names of %s could not be read: %s", self.sandbox, kind.label, error.message)
                continue
            changed = names.take_in_names(self.sandbox, kind, found, read_at=read_at)
            if kind in (Name.Kind.AUDIENCE, Name.Kind.DATASET):
                names.reindex(self.sandbox, changed)
        again = read_at - NAMES_EVERY + NAMES_AGAIN_AFTER_FAULT if fault else read_at
        Sandbox.objects.filter(pk=self.sandbox.pk).update(names_read_at=again)

    def _next_due(self) -> datetime:
        going = (
            Job.objects.filter(sandbox=self.sandbox, missing_since_at=None)
            .filter(Q(sort_at__gt=timezone.now() - timedelta(days=1)))
            .exclude(state__in=State.final())
        )
        looking = self.sandbox.attempts.filter(settlement__in=settlement.WAITING)
        busy = going.exists() or looking.exists()
        return timezone.now() + timedelta(seconds=settings.SYNC_SECONDS * (1 if busy else 6))


def _read_names(source: aep.Names, kind: Name.Kind) -> list[aep.NameRecord]:
    match kind:
        case Name.Kind.AUDIENCE:
            return list(source.audiences())
        case Name.Kind.DATASET:
            return list(source.datasets())
        case Name.Kind.MERGE_POLICY:
            return list(source.merge_policies())
        case Name.Kind.FIELD:
            found = source.profile_fields()
            return [aep.NameRecord("field", item.path, "", item.title, {"type": item.type}) for item in found]


def tend(organization: Organization, *, force: bool = False) -> list[str]:
    """Visit the due sandboxes of one org. Returns a sentence for each that could not be read."""
    faults = []
    try:
        _find_sandboxes(organization)
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


def _find_sandboxes(organization: Organization) -> None:
    now = timezone.now()
    due = Organization.objects.filter(pk=organization.pk).filter(
        Q(sandboxes_due_at=None) | Q(sandboxes_due_at__lte=now)
    )
    if not due.update(sandboxes_due_at=now + SANDBOXES_EVERY):
        return
    try:
        organizations.find_sandboxes(actor=Actor.system(), organization=organization)
    except (NotDone, aep.AEPError) as error:
        Organization.objects.filter(pk=organization.pk).update(sandboxes_due_at=now + NAMES_AGAIN_AFTER_FAULT)
        log.warning("%s: sandboxes could not be listed: %s", organization, error)


def _due() -> list[Organization]:
    now = timezone.now()
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


def once() -> list[str]:
    """Visit every watched sandbox once. Returns a sentence for each that could not be read."""
    settlement.close_stale()
    faults: list[str] = []
    for organization in Organization.objects.filter(retired_at=None).order_by("pk"):
        faults += tend(organization, force=True)
    return faults


def _housekeeping() -> None:
    settlement.close_stale()
    requests.expire_drafts(days=settings.DRAFT_DAYS)


def run(stop: threading.Event) -> None:
    """Go on until `stop` is set: look for due orgs about once a second, one worker an org."""
    under_way: dict[int, Future[list[str]]] = {}
    with ThreadPoolExecutor(max_workers=MOST_WORKERS, thread_name_prefix="org") as pool:
        while not stop.is_set():
            try:
                close_old_connections()
                _housekeeping()
                for organization in _due():
                    running = under_way.get(organization.pk)
                    if running is None or running.done():
                        _tell(running)
                        under_way[organization.pk] = pool.submit(tend, organization)
            except DatabaseError as error:
                log.error("The database did not answer, trying again: %s", type(error).__name__)
            stop.wait(min(1.0, settings.SYNC_SECONDS / 4))


def _tell(finished: Future[list[str]] | None) -> None:
    """A worker must never die unseen."""
    if finished is not None and (error := finished.exception()) is not None:
        log.error("A worker of the mirror failed: %s", type(error).__name__, exc_info=error)
