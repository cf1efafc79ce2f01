"""The jobs of a sandbox: the newest page each time, the others by id at their own pace, all of them once an hour."""

import logging
import secrets
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Case, F, Q, When
from django.utils import timezone

from segadmin import aep, connect
from segadmin.actions import completeness, findings, jobs, mirror, settlement
from segadmin.models import Job, Organization, Sandbox, State
from segadmin.queries.unread import LONGEST_PAUSE

log = logging.getLogger("segadmin.sync")

PAGE = 100
SWEEP_EVERY = timedelta(hours=1)
LOOKUPS_A_PASS = 50
# Adobe does not say how long it lists a job. One that is younger and no longer there was removed, also from the list's end.
MAY_AGE_OUT_AFTER = timedelta(days=30)
# No pause is as long (Adobe's own is cut at an hour): a time that lies further ahead was written by a wrong clock.
CLOCK_AHEAD = timedelta(hours=2)
# Of this server and of Adobe, in seconds: within the first they agree, from the second on the log says so.
CLOCKS_AGREE, CLOCKS_DIFFER, CLOCK_MOST = 2, 60, 2_000_000_000


def _lease_time() -> timedelta:
    """Renewed before each call, and a call ends at the deadline; the rest is for the database to take its time."""
    return timedelta(seconds=5 + 2 * settings.UPSTREAM_DEADLINE_SECONDS)


def _over(column: str, now: datetime) -> Q:
    """That this time is over, or is none that the mirror would have set: a clock that went ahead must not stop it."""
    ahead = now + CLOCK_AHEAD
    return Q(**{column: None}) | Q(**{f"{column}__lte": now}) | Q(**{f"{column}__gt": ahead})


class Stopped(Exception):
    """The process is asked to end: the pass ends at its next step."""


def claim(sandbox: Sandbox, *, force: bool = False) -> str | None:
    """A lease on the sandbox, or None if it is not due or another process has it.

    A lease that ran out belonged to a process that died in the middle: what it left unread is not known, so all is read.
    """
    now = timezone.now()
    rows = Sandbox.objects.filter(pk=sandbox.pk, watched=True).filter(_over("lease_until", now))
    if not force:
        rows = rows.filter(_over("due_at", now))
    token = secrets.token_hex(16)
    swept = Case(When(lease_until=None, then=F("last_sweep_at")), default=None)
    won = rows.update(lease_until=now + _lease_time(), lease_token=token, last_sweep_at=swept)
    return token if won else None


class Pass:
    """One visit to one sandbox, under a lease."""

    def __init__(self, sandbox: Sandbox, lease: str, stop: threading.Event | None = None) -> None:
        self.sandbox, self.lease, self._stop = sandbox, lease, stop
        self.seen: set[str] = set()
        mirror.come_back(sandbox)
        self.began_at = self._newest_at = timezone.now()

    def renew(self) -> None:
        """Before each step: go on only while nobody asked to stop and the lease is ours."""
        if self._stop is not None and self._stop.is_set():
            raise Stopped
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
        except Stopped:
            due_at = timezone.now()
        finally:
            self.release(due_at)
        return None

    def _after_error(self, error: aep.AEPError) -> datetime:
        now = timezone.now()
        pause = timedelta(seconds=settings.SYNC_SECONDS * 2 ** min(self.sandbox.failures, 6))
        again = now + min(pause, LONGEST_PAUSE)
        return max(again, min(error.retry_at, now + CLOCK_AHEAD)) if error.retry_at else again

    def _read(self) -> datetime:
        reader = connect.reader(self.sandbox)
        listed: int | None = None
        if is_sweep := self._sweep_is_due():
            listed = self._sweep(reader)
        else:
            self._newest(reader)
            if self.sandbox.absent_jobs and self.sandbox.last_sweep_at:
                self._look_up_absent(reader, self.sandbox.last_sweep_at)
        self._look_up_the_others(reader)
        completeness.note_read(self.sandbox, read_at=self.began_at, listed=listed, may_close=is_sweep)
        connect.note_success(self.sandbox.organization, "segadmin sync")
        settlement.settle_all(self.sandbox, read_at=self.began_at)
        findings.look(self.sandbox)
        return self._next_due()

    def _keep_up(self, reader: aep.ExportJobsReader) -> None:
        """A pass that takes long reads the newest page as often as it would be read between passes.

        So a sweep of many pages, or many look-ups, is no time in which new jobs could come and go unseen.
        """
        read_at = timezone.now()
        if read_at - self._newest_at < timedelta(seconds=6 * settings.SYNC_SECONDS):
            return
        if self._newest_at == self.began_at:
            completeness.note_read(self.sandbox, read_at=self.began_at, counts=False)
        self._newest_at = read_at
        self._newest(reader)
        completeness.note_read(self.sandbox, read_at=read_at)

    def _sweep_is_due(self) -> bool:
        last, now = self.sandbox.last_sweep_at, timezone.now()
        return last is None or now - last >= SWEEP_EVERY or last - now > CLOCK_AHEAD

    def _pages(self, reader: aep.ExportJobsReader) -> Iterator[tuple[aep.Page, mirror.Taken]]:
        pages = reader.pages(limit=PAGE)
        while True:
            read_at = timezone.now()
            page = next(pages, None)
            if page is None:
                return
            self.renew()
            self._compare_clocks(page.date)
            yield page, self._take(page, read_at)

    def _compare_clocks(self, told: datetime | None) -> None:
        """With Adobe's, by the Date of the answer: it is in whole seconds, and the answer was on its way for a while."""
        if told is None:
            return
        ahead = round((timezone.now() - told).total_seconds())
        ahead = 0 if abs(ahead) <= CLOCKS_AGREE else max(min(ahead, CLOCK_MOST), -CLOCK_MOST)
        if ahead == self.sandbox.clock_ahead:
            return
        self.sandbox.clock_ahead = ahead
        Sandbox.objects.filter(pk=self.sandbox.pk).update(clock_ahead=ahead)
        if abs(ahead) >= CLOCKS_DIFFER:
            log.warning("%s: the clock of this server is %d s ahead of Adobe's (a minus: behind)", self.sandbox, ahead)

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
        whole = True
        try:
            for page, taken in self._pages(reader):
                whole = bool(taken.known) or page.next_offset is None
                if whole:
                    return
            whole = True
        finally:
            if not whole:  # new pages were left unread, and the next look at the newest page would not show it
                Sandbox.objects.filter(pk=self.sandbox.pk).update(last_sweep_at=None)

    def _sweep(self, reader: aep.ExportJobsReader) -> int | None:
        """Every page; returns how many jobs they held, None where Adobe's pages did not come to an end.

        What they did not show is looked up by id before it is missing.
        """
        reach: datetime | None = None
        is_whole = True
        for page, _taken in self._pages(reader):
            self._keep_up(reader)
            created = [job.created_at for job in page.jobs if job.created_at]
            reach = min([*created, *([reach] if reach else [])], default=reach)
            is_whole = page.next_offset is None and not page.has_unreadable_next
        listed = len(self.seen) if is_whole else None
        Sandbox.objects.filter(pk=self.sandbox.pk).update(
            last_sweep_at=self.began_at,
            swept_at=self.began_at if is_whole else F("swept_at"),
            sweep_count=F("sweep_count") + 1,
        )
        if reach and is_whole:
            old = min(reach, self.began_at - MAY_AGE_OUT_AFTER)
            mirror.mark_aged_out(self.sandbox, reach=old, swept_at=self.began_at)
        if not is_whole:
            log.warning("%s: Adobe's list goes on, but where it goes on can't be read", self.sandbox)
        self._look_up_absent(reader, self.began_at)
        return listed

    def _look_up_absent(self, reader: aep.ExportJobsReader, swept_at: datetime) -> None:
        """Jobs that the last sweep did not show. What is too many for this pass is left for the next ones."""
        absent = Job.objects.filter(
            sandbox=self.sandbox, last_seen_at__lt=swept_at, missing_since_at=None, aged_out_at=None
        )
        waiting = absent.filter(Q(next_look_at=None) | Q(next_look_at__lte=timezone.now()) | Q(state__in=State.final()))
        self._look_up(reader, waiting.order_by(F("next_look_at").asc(nulls_first=True), "-sort_at")[:LOOKUPS_A_PASS])
        Sandbox.objects.filter(pk=self.sandbox.pk).update(absent_jobs=absent.count())

    def _look_up_the_others(self, reader: aep.ExportJobsReader) -> None:
        """Jobs still going that the pages did not show, each at its own pace."""
        going = (
            Job.objects.filter(sandbox=self.sandbox, last_seen_at__lt=self.began_at)
            .exclude(state__in=State.final())
            .filter(Q(next_look_at=None) | Q(next_look_at__lte=timezone.now()))
            .order_by(F("next_look_at").asc(nulls_first=True), "pk")  # the databases differ in where nothing stands
        )
        self._look_up(reader, (job for job in going[:LOOKUPS_A_PASS] if job.job_id not in self.seen))

    def _look_up(self, reader: aep.ExportJobsReader, rows: Iterable[Job]) -> None:
        """A fault at one id ends the look-ups of this pass, and not the pass: the list was read well."""
        for job in rows:
            self.renew()
            self._keep_up(reader)
            try:
                self._look_at(reader, job)
            except (aep.AuthFailed, aep.RateLimited):
                raise
            except aep.AEPError as error:
                log.warning("%s: job %r could not be read: %s", self.sandbox, job.job_id, error.message)
                return

    def _look_at(self, reader: aep.ExportJobsReader, job: Job) -> None:
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
        absent = Sandbox.objects.filter(pk=self.sandbox.pk, absent_jobs__gt=0)
        busy = going.exists() or looking.exists() or absent.exists()
        return timezone.now() + timedelta(seconds=settings.SYNC_SECONDS * (1 if busy else 6))


def tend(organization: Organization, *, force: bool = False, stop: threading.Event | None = None) -> list[str]:
    """Visit the due sandboxes of one org. Returns a sentence for each that could not be read."""
    faults = []
    try:
        for sandbox in (
            organization.sandboxes.filter(watched=True)
            .select_related("organization")
            .order_by(F("due_at").asc(nulls_first=True))
        ):
            lease = None if stop and stop.is_set() else claim(sandbox, force=force)
            if lease is None:
                continue
            sandbox.refresh_from_db()
            error = Pass(sandbox, lease, stop).run()
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
        .filter(_over("not_before_at", now))
        .filter(_over("sandboxes__due_at", now), _over("sandboxes__lease_until", now), sandboxes__watched=True)
        .order_by("pk")
        .distinct()
    )
