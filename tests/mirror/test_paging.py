"""Paging: every job once, whatever the list does while it is read, and however short Adobe keeps its pages."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from segadmin import connect, sync
from segadmin.actions import jobs as job_actions
from segadmin.actions import mirror
from segadmin.audit import Actor
from segadmin.emulator import exports
from segadmin.emulator.jobs import JobBook, Place
from segadmin.emulator.server import Emulator, RecordedRequest
from segadmin.models import Action, Attempt, EventContent, Job, RequestState, Sandbox, State
from segadmin.sync import jobs as job_lane
from tests.actions.test_send import save, send
from tests.conftest import make_person
from tests.mirror.test_sync import only
from tests.upstream import Clock, body_for

pytestmark = pytest.mark.django_db

# Of processor time, so that a busy machine does not matter. It takes under 10; quadratic work would take minutes.
MOST_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _jobs_alone(monkeypatch: pytest.MonkeyPatch, settings: Settings, live_prod: Sandbox) -> None:
    """One sandbox, and no reading of names: only pages of jobs are asked for, and a busy machine may take its time."""
    settings.UPSTREAM_DEADLINE_SECONDS = 15
    monkeypatch.setattr("segadmin.sync.names.tend", lambda *_args, **_more: None)
    Sandbox.objects.exclude(pk=live_prod.pk).update(watched=False)


@pytest.fixture
def cap(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Keep Adobe's pages as short as that."""
    return lambda limit: monkeypatch.setattr(exports, "LONGEST_PAGE", limit)


@pytest.fixture
def between_pages(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[int], object]]:
    """Functions that are called when Adobe has cut a page, with its number from 1 up since the first was added."""
    happens: list[Callable[[int], object]] = []
    served = 0
    real = JobBook.page

    def page(self: JobBook, place: Place, limit: int | None, *more: Any) -> Any:
        nonlocal served
        answer = real(self, place, limit, *more)
        if happens and limit is not None:
            served += 1
            for one in happens:
                one(served)
        return answer

    monkeypatch.setattr(JobBook, "page", page)
    return happens


def add(emulator: Emulator, count: int) -> list[str]:
    body = body_for(emulator)
    return [str(emulator.add_job("acme", "prod", body)["id"]) for _ in range(count)]


def mirrored(sandbox: Sandbox) -> list[str]:
    return sorted(Job.objects.filter(sandbox=sandbox, missing_since_at=None).values_list("job_id", flat=True))


def listed(emulator: Emulator) -> list[str]:
    return sorted(str(job["id"]) for job in emulator.jobs_of("acme", "prod"))


def lists(emulator: Emulator) -> list[RecordedRequest]:
    return [item for item in emulator.requests if item.endpoint == "jobs.list"]


def make_due(sandbox: Sandbox) -> Sandbox:
    """As after the pause between two visits."""
    Sandbox.objects.filter(pk=sandbox.pk).update(due_at=None, last_read_at=timezone.now() - timedelta(minutes=1))
    return Sandbox.objects.select_related("organization").get(pk=sandbox.pk)


@pytest.mark.parametrize(
    ("limit", "count"),
    [pytest.param(10, 1500, marks=pytest.mark.not_on_postgres("three times as many pages")), (25, 500)],
)
def test_thousands_of_jobs_in_short_pages(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None], limit: int, count: int
) -> None:
    cap(limit)
    body = body_for(emulator)
    began = timezone.now() - timedelta(days=30)
    for number in range(count):
        emulator.add_job("acme", "prod", body, created_at=(began + timedelta(minutes=number)).timestamp())
    begun = time.process_time()
    assert sync.once() == []
    assert time.process_time() - begun < MOST_SECONDS
    assert mirrored(live_prod) == listed(emulator)
    assert len(lists(emulator)) == count / limit
    emulator.forget_requests()
    sync.once()
    assert len(lists(emulator)) == 1, "what is known is not read again"


def test_jobs_that_appear_while_the_list_is_read(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None], between_pages: list[Callable[[int], object]]
) -> None:
    cap(10)
    add(emulator, 45)
    between_pages.append(lambda page: page <= 3 and bool(add(emulator, 12)))
    sync.once()
    assert len(lists(emulator)) == 5
    assert len(mirrored(live_prod)) == 45, "what came later is newer than the first page"
    sync.once()
    assert mirrored(live_prod) == listed(emulator)
    assert len(mirrored(live_prod)) == 45 + 36


def test_jobs_that_vanish_while_the_list_is_read_are_looked_up_and_kept(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None], between_pages: list[Callable[[int], object]]
) -> None:
    cap(10)
    made = add(emulator, 40)
    sync.once()
    Sandbox.objects.update(last_sweep_at=None)
    gone = made[5]  # on the last page
    between_pages.append(lambda page: page == 2 and remove(emulator, gone))
    sync.once()
    assert mirrored(live_prod) == listed(emulator)
    assert Job.objects.get(job_id=gone).missing_since_at is not None
    assert Job.objects.count() == 40
    assert EventContent.objects.filter(action=Action.JOB_MISSING).count() == 1


def remove(emulator: Emulator, job_id: str) -> bool:
    plan = emulator.exports._book.find((emulator.tenant("acme").ims_org_id, "prod"), job_id)
    assert plan is not None
    plan.removed = True
    emulator.exports._book.save(plan)
    return True


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_pages_that_overlap_give_no_job_twice(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """A cursor that names the first job of the next page as the last of this one; pages of one never get further."""
    cap(limit)
    real = exports._cursor

    def inclusive(request: Any) -> Any:
        found = real(request)
        return (found[0], found[1] + 1) if found else None

    monkeypatch.setattr(exports, "_cursor", inclusive)
    add(emulator, 25)
    assert sync.once() == []
    assert len(mirrored(live_prod)) == (1 if limit == 1 else 25)


def test_new_jobs_behind_a_page_that_broke_are_not_forgotten(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None]
) -> None:
    cap(10)
    add(emulator, 5)
    sync.once()
    add(emulator, 35)
    emulator.faults.set(endpoint="jobs.list", skip=2, times=1, status=403)
    assert sync.once() != []
    assert len(mirrored(live_prod)) == 25
    assert sync.once() == []
    assert mirrored(live_prod) == listed(emulator)


def test_a_visit_that_died_is_followed_by_one_that_reads_everything(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None]
) -> None:
    cap(10)
    add(emulator, 5)
    sync.once()
    add(emulator, 35)
    assert sync.claim(live_prod, force=True)
    page = connect.reader(make_due(live_prod)).list(limit=100)
    mirror.take_in(live_prod, page.jobs, read_at=timezone.now())  # and here the process was killed
    Sandbox.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sync.once() == []
    assert mirrored(live_prod) == listed(emulator)


def test_a_visit_that_is_asked_to_stop_ends_at_its_next_page(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None], between_pages: list[Callable[[int], object]]
) -> None:
    cap(10)
    add(emulator, 5)
    sync.once()
    add(emulator, 35)
    stop = threading.Event()
    between_pages.append(lambda page: stop.set() if page == 3 else None)
    assert job_lane.tend(live_prod.organization, force=True, stop=stop) == []
    assert len(lists(emulator)) == 1 + 3
    live_prod.refresh_from_db()
    assert (live_prod.lease_token, live_prod.lease_until) == ("", None)
    assert sync.once() == []
    assert mirrored(live_prod) == listed(emulator)


def test_a_job_made_here_does_not_hide_the_new_ones_before_it(
    emulator: Emulator, live_prod: Sandbox, actor: Actor, cap: Callable[[int], None]
) -> None:
    cap(10)
    add(emulator, 5)
    sync.once()
    add(emulator, 12)
    author = make_person("operator")
    draft = save(emulator, live_prod, author, actor)
    send(actor, draft)
    sync.once()
    assert mirrored(live_prod) == listed(emulator)
    emulator.forget_requests()
    sync.once()
    assert len(lists(emulator)) == 1


@pytest.mark.parametrize("how", ["check", "ask"])
def test_a_look_by_a_person_does_not_hide_new_jobs_from_the_mirror(
    emulator: Emulator, live_prod: Sandbox, actor: Actor, cap: Callable[[int], None], how: str
) -> None:
    cap(10)
    add(emulator, 5)
    sync.once()
    made = add(emulator, 25)
    if how == "check":
        [told] = job_actions.check_sandboxes(actor=actor, sandboxes=[make_due(live_prod)])
        assert told.ok
    else:
        assert job_actions.ask_adobe(actor=actor, sandbox=live_prod, job_id=made[-1])
    sync.once()
    assert mirrored(live_prod) == listed(emulator)


def test_a_lost_export_behind_the_page_that_a_person_looked_at_is_not_given_up(
    emulator: Emulator, live_prod: Sandbox, actor: Actor, cap: Callable[[int], None]
) -> None:
    cap(10)
    sync.once()
    draft = save(emulator, live_prod, make_person("operator"), actor)
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    send(actor, draft)
    other = body_for(emulator, audiences=2)
    for _ in range(12):
        emulator.add_job("acme", "prod", other)
    Attempt.objects.update(look_until_at=timezone.now() - timedelta(seconds=1))
    job_actions.check_sandboxes(actor=actor, sandboxes=[make_due(live_prod)])
    draft.refresh_from_db()
    assert draft.state == RequestState.UNKNOWN
    sync.once()
    draft.refresh_from_db()
    assert draft.state == RequestState.SENT


def test_a_list_asked_for_before_the_send_may_show_its_job(
    emulator: Emulator, live_prod: Sandbox, actor: Actor, between_pages: list[Callable[[int], object]]
) -> None:
    """The list is asked for, then the export is sent and its answer lost, then the list's answer comes with the job."""
    sync.once()
    draft = save(emulator, live_prod, make_person("operator"), actor)
    reader = connect.reader(live_prod)
    read_at = timezone.now()
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    send(actor, draft)
    mirror.take_in(live_prod, reader.list().jobs, read_at=read_at)
    sync.once()
    draft.refresh_from_db()
    assert (draft.state, only(live_prod).export_request) == (RequestState.SENT, draft)


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403}, {"shape": "html"}])
def test_one_job_that_can_not_be_looked_up_hides_no_others(
    emulator: Emulator, live_prod: Sandbox, cap: Callable[[int], None], fault: dict[str, Any]
) -> None:
    cap(2)
    made = add(emulator, 4)
    sync.once()
    add(emulator, 2)
    emulator.faults.set(endpoint="jobs.get", path=f"*/{made[1]}", **fault)
    Job.objects.filter(job_id=made[0]).update(next_look_at=timezone.now())
    assert sync.once() == []
    live_prod.refresh_from_db()
    assert (live_prod.failures, live_prod.last_error) == (0, "")
    assert len(mirrored(live_prod)) == 6
    emulator.forget_requests()
    sync.once()
    assert f"/{made[0]}" in {item.path[-len(made[0]) - 1 :] for item in emulator.requests}, "the next one has its turn"


@pytest.mark.parametrize("odd", ["..", "a\nb", "x" * 201, ""])
def test_an_id_that_no_path_can_carry_hides_no_others(emulator: Emulator, live_prod: Sandbox, odd: str) -> None:
    [good] = add(emulator, 1)
    record = emulator.jobs_of("acme", "prod")[0]
    answer = {"records": [{**record, "id": odd}, record], "link": {"next": ""}}
    emulator.faults.set(endpoint="jobs.list", times=1, status=200, body=answer)
    assert sync.once() == []
    assert sync.once() == []
    assert mirrored(live_prod) == [good]
    live_prod.refresh_from_db()
    assert live_prod.bad_records == 1


def test_a_final_job_that_is_listed_again_is_no_longer_aged_out(
    emulator: Emulator, live_prod: Sandbox, adobe_clock: Clock
) -> None:
    add(emulator, 1)
    adobe_clock.advance(3600)
    sync.once()
    assert only(live_prod).state == State.SUCCEEDED
    Job.objects.update(aged_out_at=timezone.now())
    sync.once()
    assert only(live_prod).aged_out_at is None
