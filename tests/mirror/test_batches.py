"""How many records batches hold: read from the catalog where Adobe's job has no count, and only there."""

from datetime import timedelta

import pytest
from django.utils import timezone

from segadmin import sync
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    DataLeft,
    EventContent,
    ExportOutcome,
    Job,
    Organization,
    ProfileSource,
    RegisterEntry,
    Sandbox,
)
from segadmin.queries import job_words
from segadmin.sync import batches
from segadmin.sync import names as name_lane
from tests.upstream import Clock, body_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def uncounted(emulator: Emulator, live_prod: Sandbox, adobe_clock: Clock) -> Job:
    """Finished, and Adobe's job says nothing of how many profiles."""
    made = str(emulator.add_job("acme", "prod", body_for(emulator))["id"])
    emulator.change_job("acme", "prod", made, quirks=["no_counters"], profiles=41_200)
    adobe_clock.advance(3600)
    return _read(live_prod, made)


def _read(sandbox: Sandbox, job_id: str) -> Job:
    """Only the jobs: the lane of the names has not come round."""
    for error in sync.jobs.tend(sandbox.organization, force=True):
        raise AssertionError(error)
    return Job.objects.get(sandbox=sandbox, job_id=job_id)


def asked(emulator: Emulator) -> int:
    return sum(item.endpoint == "batches.get" for item in emulator.requests)


def entry(job: Job) -> RegisterEntry:
    return RegisterEntry.objects.get(job=job)


def test_the_catalog_counts_where_the_job_does_not(emulator: Emulator, live_prod: Sandbox, uncounted: Job) -> None:
    assert (uncounted.profiles, uncounted.batch_records) == (None, None)
    assert uncounted.batch_due_at is not None
    assert (entry(uncounted).profiles, entry(uncounted).profile_source) == (None, ProfileSource.NONE)
    before = uncounted.version
    name_lane.tend(live_prod.organization)
    uncounted.refresh_from_db()
    assert (uncounted.batch_records, uncounted.batch_due_at, uncounted.profiles) == (41_200, None, None)
    assert uncounted.version == before + 1
    row = entry(uncounted)
    assert (row.profiles, row.profile_source, row.data_left) == (41_200, ProfileSource.BATCH, DataLeft.YES)
    [event] = EventContent.objects.filter(action=Action.BATCH_COUNTED)
    assert f"41,200 records of {uncounted.job_id}" in event.sentence
    assert job_words.profile_words(uncounted, {}) == ("41,200", "count of the batch")


def test_it_is_asked_once_and_a_later_reading_keeps_it(
    emulator: Emulator, live_prod: Sandbox, uncounted: Job, adobe_clock: Clock
) -> None:
    name_lane.tend(live_prod.organization)
    emulator.change_job("acme", "prod", uncounted.job_id, filter={})
    Sandbox.objects.update(batches_due_at=None)
    job = _read(live_prod, uncounted.job_id)
    assert (job.batch_records, job.batch_due_at) == (41_200, None)
    name_lane.tend(live_prod.organization)
    assert asked(emulator) == 1


def test_a_job_with_its_own_count_is_not_asked_for(emulator: Emulator, live_prod: Sandbox, adobe_clock: Clock) -> None:
    made = str(emulator.add_job("acme", "prod", body_for(emulator))["id"])
    adobe_clock.advance(3600)
    job = _read(live_prod, made)
    assert job.profiles is not None
    assert job.batch_due_at is None
    name_lane.tend(live_prod.organization)
    assert asked(emulator) == 0


def test_a_fault_is_tried_again_and_hides_nothing(emulator: Emulator, live_prod: Sandbox, uncounted: Job) -> None:
    emulator.faults.set(endpoint="batches.get", status=403)
    name_lane.tend(live_prod.organization)
    uncounted.refresh_from_db()
    assert uncounted.batch_records is None
    assert uncounted.batch_due_at is not None
    live_prod.refresh_from_db()
    assert live_prod.batches_due_at is not None
    assert live_prod.batches_due_at > timezone.now() + timedelta(minutes=4)
    emulator.faults.clear()
    name_lane.tend(live_prod.organization)
    assert asked(emulator) == 1  # not before the pause is over
    Sandbox.objects.update(batches_due_at=None)
    Job.objects.update(batch_due_at=timezone.now())
    name_lane.tend(live_prod.organization)
    uncounted.refresh_from_db()
    assert uncounted.batch_records == 41_200


def test_a_batch_that_is_only_reserved_is_asked_for_less_and_less_and_then_given_up(
    emulator: Emulator, live_prod: Sandbox, uncounted: Job
) -> None:
    emulator.faults.set(endpoint="batches.get", status=404)
    name_lane.tend(live_prod.organization)
    uncounted.refresh_from_db()
    assert uncounted.batch_due_at is not None
    assert uncounted.batch_due_at > timezone.now()
    long_ago = timezone.now() - timedelta(hours=25)
    Job.objects.update(ended_at=long_ago, batch_due_at=timezone.now())
    Sandbox.objects.update(batches_due_at=None)
    name_lane.tend(live_prod.organization)
    uncounted.refresh_from_db()
    assert (uncounted.batch_due_at, uncounted.batch_records) == (None, None)
    assert entry(uncounted).profile_source == ProfileSource.NONE


def test_a_count_of_nothing_is_said_to_have_left_nothing(
    emulator: Emulator, live_prod: Sandbox, uncounted: Job
) -> None:
    emulator.change_job("acme", "prod", uncounted.job_id, profiles=0)
    name_lane.tend(live_prod.organization)
    row = entry(uncounted)
    assert (row.outcome, row.profiles, row.data_left) == (ExportOutcome.SUCCEEDED, 0, DataLeft.NO)


def test_years_of_old_jobs_are_not_asked_for(emulator: Emulator, live_prod: Sandbox, adobe_clock: Clock) -> None:
    long_ago = (timezone.now() - timedelta(days=200)).timestamp()
    made = str(emulator.add_job("acme", "prod", body_for(emulator), created_at=long_ago)["id"])
    emulator.change_job("acme", "prod", made, quirks=["no_counters"])
    assert _read(live_prod, made).batch_due_at is None


def test_the_lane_wakes_for_it_alone(emulator: Emulator, live_prod: Sandbox, uncounted: Job) -> None:
    now = timezone.now()
    Sandbox.objects.update(names_read_at=now)
    Organization.objects.update(sandboxes_due_at=now + timedelta(hours=1))
    assert [org.slug for org in name_lane.due(timezone.now())] == ["acme"]
    name_lane.tend(live_prod.organization)
    assert name_lane.due(timezone.now()) == []
    assert asked(emulator) == 1


def test_two_processes_do_not_ask_twice(emulator: Emulator, live_prod: Sandbox, uncounted: Job) -> None:
    Sandbox.objects.filter(pk=live_prod.pk).update(batches_due_at=timezone.now() + timedelta(seconds=5))
    batches.tend(live_prod)
    assert asked(emulator) == 0
