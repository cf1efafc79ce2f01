"""The mirror: keeps our copy of each sandbox's jobs and names true, and settles open attempts.

Any number of these may run on one database: work is claimed by a conditional update of the sandbox's row (due time and
lease), renewed per page, and writes are fenced by it. One worker an org and lane, so a hanging org holds up nobody else.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from segadmin.actions import requests, settlement
from segadmin.models import Organization
from segadmin.sync import jobs, names
from segadmin.sync.housekeeping import Housekeeping
from segadmin.sync.jobs import Pass, claim

__all__ = ["Pass", "claim", "once", "run"]

log = logging.getLogger("segadmin.sync")
MOST_WORKERS = 32


def once() -> list[str]:
    """Visit every watched sandbox once. Returns a sentence for each that could not be read."""
    settlement.close_stale()
    faults: list[str] = []
    organizations = list(Organization.objects.filter(retired_at=None).order_by("pk"))
    for organization in organizations:
        faults += jobs.tend(organization, force=True)
    for organization in organizations:
        names.tend(organization, force=True)
    return faults


class Lane:
    """Runs one kind of work, at most one worker an org at a time."""

    def __init__(self, pool: ThreadPoolExecutor, work: Callable[[Organization], object]) -> None:
        self._pool, self._work = pool, work
        self._under_way: dict[int, Future[Any]] = {}

    def start(self, organizations: list[Organization]) -> None:
        for organization in organizations:
            running = self._under_way.get(organization.pk)
            if running is None or running.done():
                _tell(running)
                self._under_way[organization.pk] = self._pool.submit(self._work, organization)


def run(stop: threading.Event) -> None:
    """Go on until `stop` is set: look for due orgs about once a second."""
    with ThreadPoolExecutor(max_workers=MOST_WORKERS, thread_name_prefix="org") as pool:
        job_lane = Lane(pool, partial(jobs.tend, stop=stop))
        name_lane = Lane(pool, partial(names.tend, stop=stop))
        house = Housekeeping(pool, stop)
        while not stop.is_set():
            try:
                close_old_connections()
                settlement.close_stale()
                requests.expire_drafts(days=settings.DRAFT_DAYS)
                now = timezone.now()
                job_lane.start(jobs.due(now))
                name_lane.start(names.due(now))
                house.start()
            except DatabaseError as error:
                log.error("The database did not answer, trying again: %s", type(error).__name__)
            stop.wait(min(1.0, settings.SYNC_SECONDS / 4))


def _tell(finished: Future[Any] | None) -> None:
    """A worker must never die unseen."""
    if finished is not None and (error := finished.exception()) is not None:
        log.error("A worker of the mirror failed: %s", type(error).__name__, exc_info=error)
