"""What was read and what was not: summaries and unread times, told from an emulated Adobe that fails, moves and empties."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from segadmin import sync
from segadmin.actions import organizations
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    EventContent,
    Finding,
    Job,
    JobChange,
    Organization,
    Reading,
    RegisterEntry,
    Sandbox,
    Unread,
)
from segadmin.queries import completeness
from segadmin.queries.completeness import Period, Statement
from segadmin.queries.intervals import merged, minus, total
from tests.upstream import body_for, connect

pytestmark = pytest.mark.django_db

START = datetime(2026, 5, 9, 10, 0, tzinfo=UTC)
ADMIN = Actor(kind="person", name="admin", id="1", roles=("admin",))


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """Everybody's clock, Adobe's too; it goes on by itself and is moved by hand."""
    with time_machine.travel(START, tick=True) as traveller:
        yield traveller


@pytest.fixture
def org(clock: time_machine.Traveller, db: None, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Organization:
    # Names are a comfort, and reading them is most of what a visit costs.
    monkeypatch.setattr("segadmin.sync.names.tend", lambda *_args, **_more: None)
    organization = connect(emulator, "acme")
    for sandbox in organization.sandboxes.exclude(name="prod"):
        Sandbox.objects.filter(pk=sandbox.pk).update(watched=False, connected_at=None)
    return organization


@pytest.fixture
def prod(org: Organization) -> Sandbox:
    return org.sandboxes.select_related("organization").get(name="prod")


def at(clock: time_machine.Traveller, minutes: float) -> None:
    clock.move_to(START + timedelta(minutes=minutes), tick=True)


def details(action: Action) -> list[dict[str, Any]]:
    rows = EventContent.objects.filter(action=action).order_by("event_id")
    return [json.loads(row.text)["details"] for row in rows]


def told(org: Organization, first: datetime = START, last: datetime = START) -> Statement:
    return completeness.statement([org], Period(first.date(), last.date()))


def unread(sandbox: Sandbox) -> list[tuple[str, int]]:
    """Why, and how many minutes."""
    return [
        (row.why, round((row.to_at - row.from_at).total_seconds() / 60) if row.to_at else -1)
        for row in Unread.objects.filter(sandbox=sandbox)
    ]


# -- summaries ---------------------------------------------------------------------------------------------------------


def test_the_first_sweep_leaves_a_summary_and_then_one_comes_about_hourly(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    [first] = details(Action.SWEEP)
    assert (first["reads"], first["sweeps"], first["jobs_listed"]) == (1, 1, 1)
    for minute in (1, 2, 3, 30, 31, 32):
        at(clock, minute)
        sync.once()
    assert len(details(Action.SWEEP)) == 1
    emulator.add_job("acme", "prod", body_for(emulator))
    at(clock, 34)
    sync.once()
    at(clock, 62)
    sync.once()
    second = details(Action.SWEEP)[1]
    assert (second["reads"], second["sweeps"], second["jobs_listed"], second["jobs_made"]) == (8, 1, 2, 1)
    assert second["from"] == first["to"]
    rows = list(Reading.objects.filter(sandbox=prod))
    assert [row.seq is not None for row in rows] == [True, True]


def test_a_sweep_that_breaks_off_counts_nothing(
    emulator: Emulator, prod: Sandbox, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segadmin.emulator.exports.LONGEST_PAGE", 2)
    for _ in range(5):
        emulator.add_job("acme", "prod", body_for(emulator))
    emulator.faults.set(endpoint="jobs.list", skip=1, times=1, status=403)
    assert sync.once() != []
    assert not Reading.objects.exists()
    assert details(Action.SWEEP) == []
    assert not Job.objects.exclude(missing_since_at=None).exists()
    sync.once()
    [summary] = details(Action.SWEEP)
    assert (summary["reads"], summary["sweeps"], summary["jobs_listed"]) == (1, 1, 5)
    assert told(org).readings.sweeps == 1


def test_jobs_older_than_the_connection_are_one_event(emulator: Emulator, prod: Sandbox) -> None:
    for days in (400, 300, 200):
        emulator.add_job("acme", "prod", body_for(emulator), created_at=(START - timedelta(days=days)).timestamp())
    sync.once()
    [seen] = details(Action.JOB_SEEN)
    assert (seen["origin"], seen["count"]) == ("older", 3)
    assert len(seen["sha256_of_sorted_ids"]) == 64
    Sandbox.objects.update(last_sweep_at=None)
    sync.once()
    assert len(details(Action.JOB_SEEN)) == 1


# -- times not read ----------------------------------------------------------------------------------------------------


def test_adobe_failing_is_an_unread_time_from_the_first_failure_to_the_next_success(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    emulator.faults.set(endpoint="jobs.list", status=403)
    for minute in (1, 5, 10, 14):
        at(clock, minute)
        sync.once()
    [lasting] = told(org).by_adobe
    assert lasting.lasts
    assert "since 9 May 2026 10:01 UTC" in lasting.words
    emulator.faults.clear()
    at(clock, 15)
    sync.once()
    assert unread(prod) == [("adobe", 14)]
    [event] = EventContent.objects.filter(action=Action.UNREAD)
    assert "for 14 min, from 9 May 2026 10:01 to 10:15 UTC" in event.sentence
    [gap] = told(org).by_adobe
    assert (gap.words, gap.seq, gap.lasts) == ("14 min on 9 May 2026", event.event_id, False)


def test_segadmin_stopped_is_told_apart_from_adobe_failing(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    at(clock, 3)
    sync.once()
    assert unread(prod) == []  # shorter than three of the slow intervals and a minute
    at(clock, 63)
    [lasting] = told(org).by_us
    assert lasting.lasts
    sync.once()
    assert unread(prod) == [("stopped", 60)]
    emulator.faults.set(endpoint="jobs.list", status=403)
    at(clock, 64)
    sync.once()
    emulator.faults.clear()
    at(clock, 184)  # nobody tried for two hours
    sync.once()
    assert unread(prod)[1:] == [("stopped", 120)]  # Adobe failed at one moment, then nobody asked
    assert told(org).untold == []


def test_not_watched_is_told_while_it_lasts_and_afterwards(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    at(clock, 2)
    organizations.change_sandbox(actor=ADMIN, sandbox=prod, watched=False, exports_allowed=False)
    assert Reading.objects.filter(sandbox=prod, seq=None).count() == 0
    at(clock, 62)
    [gap] = told(org).by_choice
    assert gap.lasts
    prod.refresh_from_db()
    organizations.change_sandbox(actor=ADMIN, sandbox=prod, watched=True, exports_allowed=False)
    at(clock, 63)
    sync.once()
    assert unread(prod) == [("unwatched", 60)]
    [event] = details(Action.UNREAD)
    assert event["why"] == "unwatched"
    statement = told(org)
    assert [gap.why for gap in statement.gaps] == ["unwatched"]
    assert statement.unread_length == timedelta()


def test_a_removed_organization_is_watched_no_longer(org: Organization, prod: Sandbox) -> None:
    sync.once()
    organizations.retire(actor=ADMIN, organization=org)
    assert unread(prod) == [("unwatched", -1)]
    assert not Reading.objects.filter(seq=None).exists()


def test_a_sandbox_not_watched_for_the_whole_time_is_not_among_the_watched(
    org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    organizations.change_sandbox(actor=ADMIN, sandbox=prod, watched=False, exports_allowed=False)
    later = START + timedelta(days=3)
    clock.move_to(later + timedelta(hours=2), tick=True)
    statement = told(org, later - timedelta(days=1), later)
    assert statement.watched == []
    assert {row.name for row in statement.unwatched} >= {"prod", "stage"}


# -- the statement -----------------------------------------------------------------------------------------------------


def test_the_statement_counts_what_the_list_showed(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    emulator.add_job("acme", "prod", body_for(emulator), created_at=(START - timedelta(hours=3)).timestamp())
    sync.once()
    for _ in range(3):
        emulator.add_job("acme", "prod", body_for(emulator))
    at(clock, 1)
    sync.once()
    jobs = told(org).jobs
    assert (jobs.total, jobs.here, jobs.open, jobs.older) == (4, 0, 3, 1)
    assert [row.name for row in told(org).connected_within] == ["prod"]


def test_a_job_made_and_removed_while_nobody_read_does_not_show_and_the_time_is_told(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    made = emulator.add_job("acme", "prod", body_for(emulator))
    emulator.remove_job("acme", "prod", str(made["id"]))
    at(clock, 30)
    sync.once()
    statement = told(org)
    assert statement.jobs.total == 0
    assert [gap.why for gap in statement.gaps] == ["stopped"]


def test_times_without_any_summary_are_told(org: Organization, prod: Sandbox, clock: time_machine.Traveller) -> None:
    sync.once()
    at(clock, 60)
    sync.once()
    Reading.objects.all().delete()
    Unread.objects.all().delete()
    [gap] = told(org).untold
    assert gap.length > timedelta(minutes=59)


def test_rows_that_differ_from_the_record_are_told(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    emulator.add_job("acme", "prod", body_for(emulator), created_at=(START + timedelta(seconds=0)).timestamp())
    sync.once()
    at(clock, 61)
    sync.once()
    assert (told(org).readings.recorded, told(org).readings.differing, told(org).missing_rows) == (2, 0, 0)
    row = Reading.objects.order_by("pk")[0]
    Reading.objects.filter(pk=row.pk).update(sweeps=400)
    assert told(org).readings.differing == 1


def test_jobs_deleted_from_the_database_are_told(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    emulator.add_job("acme", "prod", body_for(emulator))
    at(clock, 1)
    sync.once()
    at(clock, 61)
    sync.once()
    assert told(org).missing_rows == 0
    for rows in (Finding.objects, JobChange.objects, RegisterEntry.objects):
        rows.all().delete()
    Job.objects.all().delete()
    assert told(org).missing_rows == 1


def test_an_emptied_sandbox_still_shows_what_it_held(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    ids = [str(emulator.add_job("acme", "prod", body_for(emulator))["id"]) for _ in range(6)]
    at(clock, 1)
    sync.once()
    for job_id in ids:
        emulator.remove_job("acme", "prod", job_id)
    at(clock, 61)
    sync.once()
    jobs = told(org).jobs
    assert (jobs.total, jobs.gone, jobs.open) == (6, 6, 6)
    assert details(Action.SWEEP)[-1]["jobs_listed"] == 0


def test_the_line_names_what_is_read_and_what_is_not(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    line = completeness.line([org])
    assert [row.name for row in line.read] == ["prod"]
    assert (line.told, line.kind, line.open) == ([], "soft", 0)
    emulator.faults.set(endpoint="jobs.list", status=403)
    at(clock, 1)
    sync.once()
    at(clock, 13)
    line = completeness.line([org])
    assert line.kind == "warn"
    assert completeness.lasted(line.length) == "12 min"


# -- words and sums ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=40), "40 s"),
        (timedelta(minutes=14), "14 min"),
        (timedelta(hours=3, minutes=2), "3 h 02 min"),
        (timedelta(days=1, hours=3), "1 day 3 h"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_lengths_in_words(length: timedelta, words: str) -> None:
    assert completeness.lasted(length) == words


def test_the_last_full_quarter() -> None:
    assert str(completeness.last_quarter(datetime(2026, 7, 2, tzinfo=UTC).date())) == "1 April to 30 June 2026, UTC"
    assert str(completeness.last_quarter(datetime(2026, 1, 31, tzinfo=UTC).date())) == (
        "1 October to 31 December 2025, UTC"
    )


def test_spans() -> None:
    hour = [START + timedelta(hours=number) for number in range(8)]
    spans = merged([(hour[3], hour[4]), (hour[0], hour[2]), (hour[1], hour[3]), (hour[5], hour[5])])
    assert spans == [(hour[0], hour[4])]
    assert minus([(hour[0], hour[6])], [(hour[1], hour[2]), (hour[5], hour[7])]) == [
        (hour[0], hour[1]),
        (hour[2], hour[5]),
    ]
    assert total(spans) == timedelta(hours=4)
