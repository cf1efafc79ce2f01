"""Cancelling: read again first, asked once, followed to the real end."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from segadmin import sync
from segadmin.actions import jobs as actions
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import Action, Attempt, EventContent, Job, Sandbox, State
from tests.upstream import Clock, body_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(emulator: Emulator, live_prod: Sandbox) -> Job:
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    return Job.objects.select_related("sandbox__organization", "export_request").get()


def cancel(actor: Actor, job: Job, reason: str = "wrong dataset") -> actions.CancelResult:
    return actions.cancel(actor=actor, job=job, reason=reason)


def deletes(emulator: Emulator) -> list[Any]:
    return [item for item in emulator.requests if item.method == "DELETE"]


def outcomes() -> list[str]:
    rows = EventContent.objects.filter(action=Action.EXPORT_CANCEL).order_by("event_id")
    return [row.outcome for row in rows]


def test_a_cancel_is_asked_once_and_followed_to_its_end(
    emulator: Emulator, job: Job, actor: Actor, adobe_clock: Clock
) -> None:
    assert cancel(actor, job).kind == "asked"
    job.refresh_from_db()
    assert (job.state, job.cancel_asked_by, job.cancel_reason) == (State.CANCELLING, "operator", "wrong dataset")
    assert outcomes() == ["requested", "succeeded"]
    assert len(deletes(emulator)) == 1
    adobe_clock.advance(3600)
    sync.once()
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert EventContent.objects.filter(action=Action.JOB_CHANGED).count() == 1


def test_a_second_cancel_is_answered_calmly(emulator: Emulator, job: Job, actor: Actor) -> None:
    cancel(actor, job)
    job.refresh_from_db()
    again = cancel(actor, job)
    assert again.kind == "already"
    assert "operator" in again.sentence
    assert len(deletes(emulator)) == 1


def test_a_job_that_ended_meanwhile_is_not_cancelled(
    emulator: Emulator, job: Job, actor: Actor, adobe_clock: Clock
) -> None:
    adobe_clock.advance(3600)
    result = cancel(actor, job)
    assert result.kind == "final"
    assert "finished" in result.sentence
    assert deletes(emulator) == []
    assert outcomes() == []
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED


def test_a_conflict_tells_the_real_state(emulator: Emulator, job: Job, actor: Actor, adobe_clock: Clock) -> None:
    emulator.faults.set(endpoint="jobs.delete", status=409, shape="problem")
    result = cancel(actor, job)
    assert result.kind == "refused"
    job.refresh_from_db()
    assert job.state == State.WAITING
    assert outcomes() == ["requested", "failed"]
    emulator.faults.clear()
    assert cancel(actor, job).kind == "asked"


def test_a_job_that_adobe_does_not_know_any_more(emulator: Emulator, job: Job, actor: Actor) -> None:
    emulator.faults.set(endpoint="jobs.get", status=404)
    assert cancel(actor, job).kind == "gone"
    assert deletes(emulator) == []
    job.refresh_from_db()
    assert job.missing_since_at is not None


def test_a_delete_answered_404(emulator: Emulator, job: Job, actor: Actor) -> None:
    emulator.faults.set(endpoint="jobs.delete", status=404)
    assert cancel(actor, job).kind == "gone"
    assert outcomes() == ["requested", "failed"]
    job.refresh_from_db()
    assert job.missing_since_at is not None


def test_what_can_not_be_read_is_not_cancelled(emulator: Emulator, job: Job, actor: Actor) -> None:
    emulator.faults.set(endpoint="jobs.get", status=503)
    assert cancel(actor, job).kind == "unreadable"
    assert deletes(emulator) == []
    assert outcomes() == []


@pytest.mark.parametrize("fault", [{"reset": True, "after": True}, {"status": 502, "shape": "html"}, {"hang": True}])
def test_a_lost_answer_is_unknown_and_not_repeated(
    emulator: Emulator, job: Job, actor: Actor, fault: dict[str, Any]
) -> None:
    emulator.faults.set(endpoint="jobs.delete", **fault)
    assert cancel(actor, job).kind == "unknown"
    assert len(deletes(emulator)) == 1
    assert outcomes() == ["requested", "unknown"]
    job.refresh_from_db()
    assert (job.state, job.cancel_result) == (State.CANCELLING, "unknown")


def test_204_without_a_body_is_an_acknowledgement(emulator: Emulator, job: Job, actor: Actor) -> None:
    emulator.faults.set(endpoint="jobs.delete", no_content=True)
    assert cancel(actor, job).kind == "asked"
    assert outcomes() == ["requested", "succeeded"]


def test_adobe_may_say_no_with_200(emulator: Emulator, job: Job, actor: Actor) -> None:
    emulator.faults.set(endpoint="jobs.delete", status=200, body={"status": False, "message": "Too late"})
    result = cancel(actor, job)
    assert result.kind == "refused"
    assert "Too late" in result.sentence
    job.refresh_from_db()
    assert job.state == State.WAITING


def test_finished_although_a_cancel_was_asked(emulator: Emulator, job: Job, actor: Actor, adobe_clock: Clock) -> None:
    emulator.faults.set(endpoint="jobs.delete", status=200, body={"status": True, "message": "marked"})
    cancel(actor, job)
    adobe_clock.advance(3600)
    sync.once()
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    [event] = EventContent.objects.filter(action=Action.JOB_CHANGED)
    assert "although operator asked to cancel it" in event.sentence


def test_cancelling_does_not_last_for_ever(emulator: Emulator, job: Job, actor: Actor) -> None:
    emulator.faults.set(endpoint="jobs.delete", status=200, body={"status": True, "message": "marked"})
    cancel(actor, job)
    sync.once()
    job.refresh_from_db()
    assert job.state == State.CANCELLING
    Job.objects.update(cancel_until_at=timezone.now() - timedelta(seconds=1))
    sync.once()
    job.refresh_from_db()
    assert (job.state, job.cancel_result) == (State.WAITING, "late")
    assert cancel(actor, job).kind == "asked"


def test_a_job_from_here_keeps_its_request_in_the_event(emulator: Emulator, job: Job, actor: Actor) -> None:
    cancel(actor, job, reason="two\nlines <b>")
    [asked, _done] = EventContent.objects.filter(action=Action.EXPORT_CANCEL).order_by("event_id")
    assert "two lines <b>" in asked.sentence
    assert asked.job_id == job.job_id
    assert Attempt.objects.get().job == job


def test_check_reads_one_job_and_shares_a_fresh_answer(emulator: Emulator, job: Job, actor: Actor) -> None:
    emulator.forget_requests()
    assert actions.check(actor=actor, job=job).ok
    assert emulator.requests == []
    Job.objects.update(last_seen_at=timezone.now() - timedelta(seconds=10))
    job.refresh_from_db()
    assert actions.check(actor=actor, job=job).ok
    assert len(emulator.requests) == 1


def test_check_of_sandboxes_tells_each_and_leaves_no_event(
    emulator: Emulator, job: Job, actor: Actor, live_prod: Sandbox
) -> None:
    Sandbox.objects.update(last_read_at=None)
    events = EventContent.objects.count()
    emulator.faults.set(endpoint="jobs.list", sandbox="stage", status=503)
    sandboxes = list(Sandbox.objects.filter(watched=True).select_related("organization"))
    results = {result.sandbox.name: result.ok for result in actions.check_sandboxes(actor=actor, sandboxes=sandboxes)}
    assert results == {"prod": True, "stage": False}
    assert EventContent.objects.count() == events


def test_ask_adobe_finds_a_job_that_the_mirror_does_not_know(
    emulator: Emulator, live_prod: Sandbox, actor: Actor
) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    found = actions.ask_adobe(actor=actor, sandbox=live_prod, job_id=str(made["id"]))
    assert found == Job.objects.get()
    assert actions.ask_adobe(actor=actor, sandbox=live_prod, job_id="999999") is None
    assert actions.ask_adobe(actor=actor, sandbox=live_prod, job_id="..") is None


def test_a_batch_is_ticked_off_on_record(job: Job, actor: Actor) -> None:
    Job.objects.update(batch_ids=["B1"])
    job.refresh_from_db()
    actions.batch_checked(actor=actor, job=job, batch_id="B1", note="removed")
    [event] = EventContent.objects.filter(action=Action.BATCH_CHECKED)
    assert "B1" in event.sentence
    with pytest.raises(ValueError, match="not of this job"):
        actions.batch_checked(actor=actor, job=job, batch_id="B2", note="removed")
