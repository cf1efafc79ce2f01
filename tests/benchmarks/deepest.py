"""The last page of a long list against its first: paging goes by keys, so the depth should not matter."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from tests.benchmarks.installation import Installation
from tests.benchmarks.measure import Row, at_most, in_turns, median, ratio_row
from tests.benchmarks.wire import EVENT_ROW, JOB_ROW, REGISTER_ROW

TARGET = at_most(1.2)


@contextmanager
def _shown() -> Iterator[None]:
    """The list of jobs shows sandboxes that are watched; the filled ones are not, since no Adobe stands behind them."""
    from segadmin.models import Sandbox

    filled = Sandbox.objects.filter(watched=False, jobs__isnull=False).distinct().values_list("pk", flat=True)
    keys = list(filled)
    Sandbox.objects.filter(pk__in=keys).update(watched=True)
    try:
        yield
    finally:
        Sandbox.objects.filter(pk__in=keys).update(watched=False)


def run(site: Installation) -> Iterator[Row]:
    from segadmin.queries import audit

    lists = {
        # Without a time of its own the record shows three months.
        "record": ("/audit/", f"/audit/?q=created%3Aall&after={audit.PAGE_SIZE + 1}", EVENT_ROW),
        "register": ("/register/", _last_of_register(), REGISTER_ROW),
        "jobs list": ("/jobs/", _last_of_jobs(), JOB_ROW),
    }
    with _shown(), site.web() as server, site.wire(server, "reader") as wire:
        for name, (first, last, row) in lists.items():

            def page(path: str) -> float:
                return median(wire.page(path).seconds for _request in range(site.sizes.requests))

            for path in (first, last):  # the first view of the hour leaves an event
                wire.holds(path, row, audit.PAGE_SIZE)
            sides = {"first": lambda path=first: page(path), "last": lambda path=last: page(path)}
            found = in_turns(sides, site.sizes.rounds)
            what = f"{name}, deepest page against the first"
            yield ratio_row("deepest", what, site.database, ours=found["last"], base=found["first"], target=TARGET)


def _last_of_register() -> str:
    from segadmin.models import RegisterEntry
    from segadmin.queries import register

    rows = list(RegisterEntry.objects.order_by("sort_at", "pk")[: register.PAGE_SIZE + 1])
    return f"/register/?{urlencode({'after': str(register.Cursor.of(rows[-1]))})}"


def _last_of_jobs() -> str:
    from segadmin.models import Job
    from segadmin.queries import jobs
    from segadmin.queries.job_filters import Cursor

    rows = list(Job.objects.order_by("sort_at", "pk").values_list("sort_at", "pk")[: jobs.PAGE_SIZE + 1])
    at, pk = rows[-1]
    return f"/jobs/?{urlencode({'after': str(Cursor(at, 0, pk))})}"
