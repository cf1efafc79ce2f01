"""The mirror: what sync takes in, and how it goes on when Adobe does not answer."""

from datetime import timedelta

import pytest
from django.utils import timezone

from segadmin import sync
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    BadRecord,
    EventContent,
    Job,
    JobChange,
    Name,
    Organization,
    Origin,
    Sandbox,
    State,
)
from tests.upstream import NOBODY, Clock, body_for, connect

pytestmark = pytest.mark.django_db


def only(sandbox: Sandbox) -> Job:
    return Job.objects.get(sandbox=sandbox)


def events(action: Action) -> list[EventContent]:
    return list(EventContent.objects.filter(action=action).order_by("event_id"))


def test_a_first_pass_takes_in_jobs_names_and_sandboxes(emulator: Emulator, live_prod: Sandbox) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    assert sync.once() == []
    job = only(live_prod)
    assert (job.job_id, job.state, job.raw["id"]) == (str(made["id"]), State.WAITING, made["id"])
    live_prod.refresh_from_db()
    assert live_prod.last_read_at is not None
    assert live_prod.type == "production"
    assert Name.objects.filter(sandbox=live_prod, kind=Name.Kind.AUDIENCE).exists()
    assert Name.objects.filter(sandbox=live_prod, kind=Name.Kind.FIELD, external_id="identityMap").exists()
    assert live_prod.organization.sandboxes.filter(name="training", watched=False).exists()


def test_a_job_from_outside_is_told_once_and_its_end_too(
    emulator: Emulator, live_prod: Sandbox, adobe_clock: Clock
) -> None:
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    sync.once()
    [seen] = events(Action.JOB_SEEN)
    assert "from outside segadmin" in seen.sentence
    assert only(live_prod).origin == Origin.OUTSIDE
    adobe_clock.advance(3600)
    sync.once()
    job = only(live_prod)
    assert job.state == State.SUCCEEDED
    assert job.profiles is not None
    assert job.ended_at is not None
    [ended] = events(Action.JOB_CHANGED)
    assert "finish" in ended.sentence
    assert [change.to_state for change in JobChange.objects.filter(job=job)] == [State.WAITING, State.SUCCEEDED]
    assert events(Action.JOB_SEEN) == [seen]


def test_jobs_older_than_the_connection_are_history_told_in_one_event(emulator: Emulator, live_prod: Sandbox) -> None:
    before = timezone.now() - timedelta(days=400)
    emulator.add_job("acme", "prod", body_for(emulator), created_at=before.timestamp())
    sync.once()
    assert only(live_prod).origin == Origin.OLDER
    [seen] = events(Action.JOB_SEEN)
    assert "older than this connection" in seen.sentence
    assert seen.job_id == ""


def test_sandboxes_are_kept_apart(emulator: Emulator, live_prod: Sandbox) -> None:
    emulator.add_job("acme", "stage", body_for(emulator, sandbox="stage"))
    sync.once()
    assert not Job.objects.filter(sandbox=live_prod).exists()
    assert Job.objects.get().sandbox.name == "stage"


def test_many_pages_are_read_to_the_end(emulator: Emulator, live_prod: Sandbox) -> None:
    body = body_for(emulator)
    for _ in range(250):
        emulator.add_job("acme", "prod", body)
    sync.once()
    assert Job.objects.filter(sandbox=live_prod).count() == 250
    cursors = [item.query.get("offset") for item in emulator.requests if item.path.rstrip("/").endswith("export/jobs")]
    assert len(cursors) >= 3


def test_more_new_jobs_than_a_page_between_two_passes(emulator: Emulator, live_prod: Sandbox) -> None:
    body = body_for(emulator)
    emulator.add_job("acme", "prod", body)
    sync.once()
    for _ in range(230):
        emulator.add_job("acme", "prod", body)
    sync.once()
    assert Job.objects.filter(sandbox=live_prod).count() == 231


def test_an_unreadable_record_hides_no_other(emulator: Emulator, live_prod: Sandbox) -> None:
    good = emulator.add_job("acme", "prod", body_for(emulator))
    answer = {"records": [good, {"status": "NEW"}, "nonsense", None], "page": {}, "link": {"next": ""}}
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", status=200, body=answer)
    sync.once()
    assert only(live_prod).job_id == str(good["id"])
    live_prod.refresh_from_db()
    assert live_prod.bad_records == BadRecord.objects.filter(sandbox=live_prod).count() == 3


def test_an_unknown_status_is_kept_and_still_polled(emulator: Emulator, live_prod: Sandbox) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    odd = {**made, "status": "QUEUED_RETRY", "surprise": {"deep": [1, None]}}
    emulator.faults.set(endpoint="jobs.list", status=200, body={"records": [odd], "link": {}}, times=1, sandbox="prod")
    sync.once()
    job = only(live_prod)
    assert (job.state, job.status) == (State.UNKNOWN, "QUEUED_RETRY")
    assert job.raw["surprise"] == {"deep": [1, None]}
    assert not job.is_final


def test_a_job_that_is_gone_is_missing_only_after_its_own_404(emulator: Emulator, live_prod: Sandbox) -> None:
    body = body_for(emulator)
    kept, gone = (emulator.add_job("acme", "prod", body) for _ in range(2))
    sync.once()
    answer = {"records": [kept], "page": {}, "link": {"next": ""}}
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", status=200, body=answer)
    emulator.faults.set(endpoint="jobs.get", sandbox="prod", status=404, path=f"*/{gone['id']}")
    sync.once()
    job = Job.objects.get(job_id=str(gone["id"]))
    assert job.missing_since_at is not None
    assert job.state == State.UNKNOWN
    assert job.raw["id"] == gone["id"]
    assert len(events(Action.JOB_MISSING)) == 1
    emulator.faults.clear()
    sync.once()
    job.refresh_from_db()
    assert job.missing_since_at is None
    assert len(events(Action.JOB_RETURNED)) == 1


def test_a_broken_sweep_calls_nothing_missing(emulator: Emulator, live_prod: Sandbox) -> None:
    body = body_for(emulator)
    for _ in range(150):
        emulator.add_job("acme", "prod", body)
    sync.once()
    Sandbox.objects.update(last_sweep_at=None)
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", status=500, skip=1)
    assert sync.once() != []
    assert Job.objects.filter(sandbox=live_prod).count() == 150
    assert not Job.objects.exclude(missing_since_at=None).exists()
    live_prod.refresh_from_db()
    assert live_prod.last_error
    assert live_prod.failing_since_at is not None


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 403},
        {"shape": "html"},
        {"reset": True},
        {"truncate": 20},
        {"status": 200, "body": {"title": "InternalError", "status": 500, "detail": "broken"}},
        {"redirect": "http://127.0.0.1:9/elsewhere"},
    ],
    ids=lambda fault: "-".join(fault),
)
def test_a_fault_of_one_sandbox_stays_there_and_is_told(
    emulator: Emulator, live_prod: Sandbox, fault: dict[str, object]
) -> None:
    emulator.add_job("acme", "stage", body_for(emulator, sandbox="stage"))
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", **fault)
    [told] = sync.once()
    assert told.startswith("Acme Retail / prod")
    assert Job.objects.get().sandbox.name == "stage"
    live_prod.refresh_from_db()
    assert live_prod.failures == 1
    assert live_prod.last_read_at is None
    assert "<" not in live_prod.last_error
    emulator.faults.clear()
    assert sync.once() == []
    live_prod.refresh_from_db()
    assert (live_prod.failures, live_prod.last_error, live_prod.failing_since_at) == (0, "", None)


def test_a_dead_org_holds_up_no_other(emulator: Emulator, live_prod: Sandbox) -> None:
    other = connect(emulator, "nordwind")
    Organization.objects.filter(pk=live_prod.organization_id).update(
        api_url=f"http://{NOBODY}", token_url=f"http://{NOBODY}/token"
    )
    emulator.add_job("nordwind", "prod", body_for(emulator, "nordwind"))
    told = sync.once()
    assert {line.partition(":")[0] for line in told} == {"Acme Retail / prod", "Acme Retail / stage"}
    assert Job.objects.get().sandbox.organization == other


def test_a_pause_that_adobe_asks_for_is_kept(emulator: Emulator, live_prod: Sandbox) -> None:
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", status=429, retry_after="120", shape="gateway")
    sync.once()
    organization = Organization.objects.get(pk=live_prod.organization_id)
    assert organization.not_before_at is not None
    wait = organization.not_before_at - timezone.now()
    assert timedelta(seconds=100) < wait <= timedelta(seconds=120)
    emulator.forget_requests()
    sync.once()
    assert [item for item in emulator.requests if "/export/jobs" in item.path] == []


def test_two_processes_share_the_work_by_lease(emulator: Emulator, live_prod: Sandbox) -> None:
    first = sync.claim(live_prod, force=True)
    assert first
    assert sync.claim(live_prod, force=True) is None
    Sandbox.objects.filter(pk=live_prod.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    second = sync.claim(live_prod, force=True)
    assert second
    emulator.add_job("acme", "prod", body_for(emulator))
    live_prod.refresh_from_db()
    sync.Pass(live_prod, first).run()  # the slow one wakes up and must not write
    assert not Job.objects.exists()
    live_prod.refresh_from_db()
    assert live_prod.lease_token == second


def test_an_older_answer_does_not_undo_a_newer_one(emulator: Emulator, live_prod: Sandbox, adobe_clock: Clock) -> None:
    from segadmin import aep
    from segadmin.actions import mirror

    early = aep.ExportJob.parse(emulator.add_job("acme", "prod", body_for(emulator)))
    read_at = timezone.now()
    adobe_clock.advance(3600)
    sync.once()
    assert only(live_prod).state == State.SUCCEEDED
    mirror.take_in(live_prod, [early], read_at=read_at)
    assert only(live_prod).state == State.SUCCEEDED


def test_names_that_change_are_found_by_the_search(emulator: Emulator, live_prod: Sandbox) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    audience = made["filter"]["segments"][0]["segmentId"]  # type: ignore[index]
    row = Name.objects.get(sandbox=live_prod, external_id=audience)
    assert row.name.lower() in only(live_prod).search


def test_a_fault_of_the_name_services_hides_no_jobs(emulator: Emulator, live_prod: Sandbox) -> None:
    emulator.faults.set(endpoint="audiences*", status=403)
    emulator.faults.set(endpoint="definitions*", status=403)
    emulator.faults.set(endpoint="datasets*", status=404)
    emulator.add_job("acme", "prod", body_for(emulator))
    assert sync.once() == []
    assert only(live_prod).state == State.WAITING
    assert Name.objects.filter(sandbox=live_prod, kind=Name.Kind.MERGE_POLICY).exists()
