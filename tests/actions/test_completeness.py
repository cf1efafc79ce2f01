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
from segadmin.queries.completeness_words import lasted
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


# -- midnight ----------------------------------------------------------------------------------------------------------


def day_of(org: Organization, days: int = 0) -> Statement:
    return told(org, START + timedelta(days=days), START + timedelta(days=days))


def test_no_stretch_reaches_over_midnight_so_readings_count_in_their_own_day(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    for minute in (0, 13 * 60 + 56, 13 * 60 + 58):  # the last at 23:58
        at(clock, minute)
        sync.once()
    emulator.add_job("acme", "prod", body_for(emulator))
    for minute in (14 * 60 + 1, 14 * 60 + 3, 14 * 60 + 5):
        at(clock, minute)
        sync.once()
    midnight = datetime(2026, 5, 10, tzinfo=UTC)
    edges = [(row.from_at, row.to_at, row.reads) for row in Reading.objects.filter(sandbox=prod).order_by("from_at")]
    assert not [span for span in edges if span[0] < midnight < span[1]]
    assert (day_of(org).readings.reads, day_of(org, 1).readings.reads) == (3, 3)
    assert (day_of(org).jobs.total, day_of(org, 1).jobs.total) == (1, 0)  # made at 23:58, seen at 00:01
    assert day_of(org).readings.crossing == day_of(org, 1).readings.crossing == 0
    assert sum(item["jobs_made"] for item in details(Action.SWEEP)) == 1
    assert told(org, START, START + timedelta(days=1)).missing_rows == 0


def test_a_stop_over_several_days_leaves_no_day_with_readings_that_were_none(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    at(clock, 3 * 24 * 60)
    sync.once()
    assert [day_of(org, day).readings.reads for day in range(4)] == [1, 0, 0, 1]
    assert day_of(org, 1).readings.sweeps == 0
    [gap] = day_of(org, 2).by_us
    assert gap.length == timedelta(days=1)
    assert "did not read the list" in EventContent.objects.filter(action=Action.SWEEP).order_by("event_id")[2].sentence
    assert told(org, START, START + timedelta(days=3)).untold == []


def test_the_line_is_not_taken_in_by_a_stretch_without_readings(
    org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    Reading.objects.update(reads=0, sweeps=0)
    assert [row.name for row in completeness.line([org]).unread] == ["prod"]


def test_watching_that_ends_after_midnight_is_cut_there_too(
    org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    at(clock, 13 * 60 + 59)
    sync.once()
    at(clock, 14 * 60 + 1)
    organizations.change_sandbox(actor=ADMIN, sandbox=prod, watched=False, exports_allowed=False)
    assert not Reading.objects.filter(seq=None).exists()
    assert (day_of(org).readings.reads, day_of(org, 1).readings.reads) == (2, 0)
    assert [gap.why for gap in day_of(org, 1).gaps] == ["unwatched"]


# -- readings that take long -------------------------------------------------------------------------------------------


@pytest.fixture
def slow(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, clock: time_machine.Traveller) -> None:
    """Each page of two jobs takes Adobe a minute and a half."""
    monkeypatch.setattr("segadmin.emulator.exports.LONGEST_PAGE", 2)
    pages = sync.jobs.Pass._pages

    def crawling(self: Any, reader: Any) -> Iterator[Any]:
        for found in pages(self, reader):
            clock.shift(timedelta(seconds=90))
            yield found

    monkeypatch.setattr(sync.jobs.Pass, "_pages", crawling)


@pytest.mark.usefixtures("slow")
def test_a_sweep_of_half_an_hour_is_no_time_without_reading(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    for days in range(1, 21):
        emulator.add_job("acme", "prod", body_for(emulator), created_at=(START - timedelta(days=days)).timestamp())
    assert sync.once() == []
    spent = (datetime.now(UTC) - START).total_seconds() / 60
    assert spent > 25
    assert unread(prod) == []
    assert told(org).gaps == []
    [summary] = details(Action.SWEEP)
    assert (summary["sweeps"], summary["jobs_listed"]) == (1, 20)
    assert summary["reads"] > 5


@pytest.mark.usefixtures("slow")
def test_a_job_that_is_made_while_a_long_sweep_goes_on_is_seen_before_its_end(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in range(1, 9):
        emulator.add_job("acme", "prod", body_for(emulator), created_at=(START - timedelta(days=days)).timestamp())
    made: list[str] = []
    keep_up = sync.jobs.Pass._keep_up

    def somebody_exports(self: Any, reader: Any) -> None:
        if not made:
            made.append(str(emulator.add_job("acme", "prod", body_for(emulator))["id"]))
        keep_up(self, reader)

    monkeypatch.setattr(sync.jobs.Pass, "_keep_up", somebody_exports)
    sync.once()
    assert Job.objects.filter(job_id__in=made).count() == 1


def test_many_that_vanish_are_looked_up_one_after_the_other_and_the_rest_is_told(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segadmin.sync.jobs.LOOKUPS_A_PASS", 3)
    sync.once()
    ids = [str(emulator.add_job("acme", "prod", body_for(emulator))["id"]) for _ in range(8)]
    at(clock, 60 * 24 - 61)
    Sandbox.objects.update(last_sweep_at=None)
    sync.once()  # all have ended
    for job_id in ids:
        emulator.remove_job("acme", "prod", job_id)
    at(clock, 60 * 24)
    sync.once()
    seen = [(told(org).jobs.gone, told(org).jobs.unsure)]
    for minute in (1, 2):
        at(clock, 60 * 24 + minute)
        sync.once()
        seen.append((told(org).jobs.gone, told(org).jobs.unsure))
    assert seen == [(3, 5), (6, 2), (8, 0)]
    assert Sandbox.objects.get(pk=prod.pk).absent_jobs == 0
    assert details(Action.SWEEP)[-1]["jobs_listed"] == 0
    assert Finding.objects.filter(kind=Finding.Kind.RESET).count() == 1


def test_jobs_of_a_day_that_nobody_watched_are_told_as_known_later(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    organizations.change_sandbox(actor=ADMIN, sandbox=prod, watched=False, exports_allowed=False)
    at(clock, 24 * 60)
    emulator.add_job("acme", "prod", body_for(emulator))
    at(clock, 2 * 24 * 60)
    prod.refresh_from_db()
    organizations.change_sandbox(actor=ADMIN, sandbox=prod, watched=True, exports_allowed=False)
    sync.once()
    statement = day_of(org, 1)
    assert (statement.watched, statement.jobs.total, statement.later) == ([], 0, 1)
    whole = told(org, START, START + timedelta(days=2))
    assert (whole.jobs.total, whole.later) == (1, 0)


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
    assert lasted(line.length) == "12 min"


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
    assert lasted(length) == words


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


# -- what may be claimed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("following", ["/export/jobs/?limit=2&start=2", "/export/jobs/?limit=2&offset=x_x"])
def test_a_list_whose_pages_come_to_no_end_was_not_read_to_its_end(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller, following: str
) -> None:
    """A next page that can't be followed, or the same one over and over."""
    old = emulator.add_job("acme", "prod", body_for(emulator), created_at=(START - timedelta(days=90)).timestamp())
    sync.once()
    made = emulator.add_job("acme", "prod", body_for(emulator))
    at(clock, 61)
    answer = {"records": [made], "page": {}, "link": {"next": following}}
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", status=200, body=answer)
    emulator.remove_job("acme", "prod", str(old["id"]))
    sync.once()
    assert (told(org).readings.reads, told(org).readings.sweeps) == (2, 1)
    assert not Job.objects.exclude(aged_out_at=None).exists()
    assert details(Action.SWEEP)[-1]["sweeps"] == 0
    Reading.objects.filter(sweeps__gt=0).delete()
    line = completeness.line([org])
    assert ([row.name for row in line.begun], line.read, line.unread, line.kind) == (["prod"], [], [], "warn")


def test_entries_that_are_no_jobs_are_told_beside_the_jobs(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    good = emulator.add_job("acme", "prod", body_for(emulator))
    answer = {"records": [good, {"status": "NEW"}, "nonsense"], "page": {}, "link": {"next": ""}}
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", status=200, body=answer)
    sync.once()
    assert (told(org).jobs.total, told(org).unreadable) == (1, 2)
    emulator.faults.clear()
    at(clock, 2 * 24 * 60)
    sync.once()
    assert [day_of(org, day).unreadable for day in range(3)] == [2, 0, 0]


def test_times_not_read_that_somebody_deleted_or_shortened_differ_from_the_record(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    at(clock, 45)
    sync.once()
    at(clock, 62)
    sync.once()
    at(clock, 125)
    sync.once()
    assert [row.why for row in Unread.objects.all()] == ["stopped"] * 3
    assert told(org).readings.differing == 0
    row = Unread.objects.order_by("pk")[0]
    Unread.objects.filter(pk=row.pk).update(to_at=row.to_at and row.to_at - timedelta(minutes=20))
    assert told(org).readings.differing == 1
    Unread.objects.all().delete()
    assert told(org).readings.differing >= 1


def test_what_the_last_whole_list_did_not_show_stays_told_while_the_next_one_is_not_read(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segadmin.sync.jobs.LOOKUPS_A_PASS", 1)
    sync.once()
    ids = [str(emulator.add_job("acme", "prod", body_for(emulator))["id"]) for _ in range(4)]
    at(clock, 1)
    sync.once()
    for job_id in ids:
        emulator.remove_job("acme", "prod", job_id)
    at(clock, 62)
    sync.once()
    assert (told(org).jobs.gone, told(org).jobs.unsure) == (1, 3)
    # A process that died left its lease; what it left unread is read anew, and Adobe fails.
    Sandbox.objects.filter(pk=prod.pk).update(lease_until=datetime.now(UTC) - timedelta(minutes=1))
    emulator.faults.set(endpoint="jobs.list", status=403)
    at(clock, 70)
    sync.once()
    assert Sandbox.objects.get(pk=prod.pk).last_sweep_at is None
    assert (told(org).jobs.gone, told(org).jobs.unsure) == (1, 3)


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_leaves_a_time_of_which_nothing_is_claimed(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    at(clock, 3 * 60)  # three hours too far
    sync.once()
    at(clock, 20)
    [lasting] = told(org).by_clock
    assert (lasting.lasts, lasting.from_at) == (True, prod.connected_at)
    sync.once()
    at(clock, 22)
    sync.once()
    # What the wrong clock had called three hours without reading ends where it was set back.
    assert [(gap.why, round(gap.length.total_seconds() / 60)) for gap in told(org).gaps] == [
        ("clock", 20),
        ("stopped", 20),
    ]
    assert [item["why"] for item in details(Action.UNREAD)] == ["stopped", "clock"]
    # Nobody reads for an hour and more, in the hours that the wrong clock had called read.
    at(clock, 90)
    assert [gap.lasted for gap in told(org).by_us if gap.lasts] == ["1 h 08 min"]
    sync.once()
    assert told(org).by_us[-1].lasted == "1 h 08 min"
    prod.refresh_from_db()
    assert prod.last_read_at is not None
    assert prod.last_read_at < START + timedelta(minutes=91)


@pytest.mark.parametrize("minutes", [90, 24 * 60, 365 * 24 * 60])
def test_the_mirror_goes_on_soon_after_a_clock_was_set_back(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller, minutes: int
) -> None:
    sync.once()
    at(clock, minutes)
    emulator.faults.set(endpoint="jobs.list", status=429, retry_after="3600")
    sync.once()
    Sandbox.objects.filter(pk=prod.pk).update(lease_until=datetime.now(UTC) + timedelta(minutes=1), lease_token="x")
    emulator.faults.clear()
    at(clock, 5)
    late = 5 if minutes > 120 else minutes + 61  # at the latest when the pause is over by either clock
    at(clock, late)
    assert [row.pk for row in sync.jobs.due(datetime.now(UTC))] == [org.pk]
    assert sync.jobs.tend(org) == []
    prod.refresh_from_db()
    assert prod.last_read_at is not None
    assert abs(prod.last_read_at - START - timedelta(minutes=late)) < timedelta(minutes=1)


def test_servers_whose_clocks_differ_tell_of_it_once_an_hour(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    sync.once()
    for minute in range(1, 55, 3):
        at(clock, 10 + minute)
        sync.once()
        at(clock, minute)
        sync.once()
    assert sorted(why for why, _minutes in unread(prod)) == ["clock", "stopped", "stopped"]


def test_a_clock_set_back_over_midnight_counts_readings_in_their_own_day(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    for minute in (0, 15 * 60, 2, 4, 14 * 60 + 30):
        at(clock, minute)
        sync.once()
        if minute == 2:
            emulator.add_job("acme", "prod", body_for(emulator))
    at(clock, 16 * 60)
    sync.once()
    # The reading of the wrong clock stays in the day that it said.
    assert (day_of(org).readings.reads, day_of(org, 1).readings.reads) == (3, 3)
    assert (day_of(org).missing_rows, day_of(org).readings.differing) == (0, 0)
    assert day_of(org).by_clock
    assert day_of(org).jobs.total == 1


def test_what_adobe_says_after_a_clock_was_set_back_is_newer_than_what_it_said_before(
    emulator: Emulator, org: Organization, prod: Sandbox, clock: time_machine.Traveller
) -> None:
    kept, gone = (str(emulator.add_job("acme", "prod", body_for(emulator))["id"]) for _ in range(2))
    at(clock, 3 * 24 * 60)
    sync.once()
    emulator.remove_job("acme", "prod", gone)
    at(clock, 2)
    for minute in (2, 64, 126):
        at(clock, minute)
        sync.once()
    assert list(Job.objects.exclude(missing_since_at=None).values_list("job_id", flat=True)) == [gone]
    row = Job.objects.get(job_id=kept)
    assert abs(row.last_seen_at - datetime.now(UTC)) < timedelta(minutes=1)
