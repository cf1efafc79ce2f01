"""All export jobs, shelved by organization and sandbox, kept sorted so that any page is quick to cut."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from segadmin.emulator.plans import JobPlan
from segadmin.emulator.storage import Store

Place = tuple[str, str]
"""(organization id, sandbox name)"""
Cursor = tuple[int, int]
"""(creation time in milliseconds, job id)"""


@dataclass(slots=True)
class _Shelf:
    next_id: int
    order: list[Cursor] = field(default_factory=list)
    plans: dict[int, JobPlan] = field(default_factory=dict)
    by_batch: dict[str, int] = field(default_factory=dict)


class JobBook:
    """The jobs of every sandbox. Removed ones stay in the store, so that their ids are not given again."""

    def __init__(self, places: Sequence[Place], store: Store, clock: Callable[[], float]) -> None:
        firsts = [24_115, 722, 9_001, 9_501, 11_037]
        self._shelves = {
            place: _Shelf(firsts[index] if index < len(firsts) else 40_000 + 10_000 * index)
            for index, place in enumerate(places)
        }
        self._store = store
        self._clock = clock
        self._lock = threading.RLock()
        for org, sandbox, _job_id, text in store.jobs():
            if (org, sandbox) in self._shelves:
                self._shelve(JobPlan.from_text(text))
        for shelf in self._shelves.values():
            shelf.order.sort()

    def now_ms(self) -> int:
        """Now, in milliseconds since the epoch."""
        return int(self._clock() * 1000)

    def _shelve(self, plan: JobPlan) -> None:
        shelf = self._shelves[plan.ims_org_id, plan.sandbox]
        shelf.next_id = max(shelf.next_id, plan.job_id + 1)
        if plan.removed:
            return
        shelf.plans[plan.job_id] = plan
        shelf.order.append((plan.created_ms, plan.job_id))
        shelf.by_batch.update(dict.fromkeys(plan.batch_ids(), plan.job_id))

    def add_many(self, plans: Iterable[JobPlan]) -> None:
        """Store and shelve jobs whose ids were taken from `take_id`."""
        with self._lock:
            added = list(plans)
            self._save(added)
            for plan in added:
                self._shelve(plan)
            for place in {(plan.ims_org_id, plan.sandbox) for plan in added}:
                self._shelves[place].order.sort()

    def take_id(self, place: Place) -> int:
        """The next free job id of a sandbox."""
        with self._lock:
            shelf = self._shelves[place]
            shelf.next_id += 1
            return shelf.next_id - 1

    def save(self, plan: JobPlan) -> None:
        """Store a changed job; a removed one leaves its shelf."""
        with self._lock:
            self._save([plan])
            shelf = self._shelves[plan.ims_org_id, plan.sandbox]
            if plan.removed and plan.job_id in shelf.plans:
                del shelf.plans[plan.job_id]
                shelf.order.pop(bisect.bisect_left(shelf.order, (plan.created_ms, plan.job_id)))
                for batch_id in plan.batch_ids():
                    shelf.by_batch.pop(batch_id, None)

    def _save(self, plans: list[JobPlan]) -> None:
        self._store.save_jobs((plan.ims_org_id, plan.sandbox, plan.job_id, plan.to_text()) for plan in plans)

    def find(self, place: Place, job_id: str) -> JobPlan | None:
        """The job of that id in that sandbox; ids come as text, and anything that is no number is unknown."""
        if not job_id.isascii() or not job_id.isdigit():
            return None
        with self._lock:
            return self._shelves[place].plans.get(int(job_id))

    def of_batch(self, place: Place, batch_id: str) -> JobPlan | None:
        """The job that writes a batch, or None."""
        with self._lock:
            shelf = self._shelves[place]
            job_id = shelf.by_batch.get(batch_id)
            return None if job_id is None else shelf.plans[job_id]

    def page(
        self, place: Place, limit: int | None, after: Cursor | None, status: str | None
    ) -> tuple[list[JobPlan], Cursor | None]:
        """Newest first, those older than the cursor; second comes the cursor of the next page, if there is one."""
        now_ms = self.now_ms()
        found: list[JobPlan] = []
        with self._lock:
            shelf = self._shelves[place]
            index = len(shelf.order) if after is None else bisect.bisect_left(shelf.order, after)
            while index > 0:
                index -= 1
                plan = shelf.plans[shelf.order[index][1]]
                if status is not None and plan.status_at(now_ms) != status:
                    continue
                if limit is not None and len(found) == limit:
                    last = found[-1]
                    return found, (last.created_ms, last.job_id)
                found.append(plan)
        return found, None
