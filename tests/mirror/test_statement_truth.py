"""The statement against what really happened: days of chance, in which Adobe fails, segadmin stops, jobs come and go.

The world is told minute by minute by a generator of fixed seeds; what the statement says is then compared with it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import time_machine
from django.utils import timezone

from segadmin import sync
from segadmin.actions import organizations
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import Job, Organization, Sandbox, Unread
from segadmin.queries import completeness
from segadmin.queries.completeness import Period, Statement
from segadmin.queries.intervals import Span, merged, minus, total
from segadmin.queries.unread import patience
from tests.upstream import body_for, connect

pytestmark = pytest.mark.django_db

START = datetime(2026, 5, 9, 22, 0, tzinfo=UTC)
ADMIN = Actor(kind="person", name="admin", id="1", roles=("admin",))
MOMENT = timedelta(seconds=20)  # how long a step itself takes, on a slow machine
STEPS = 45


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=True) as traveller:
        yield traveller


@dataclass
class World:
    """What really happens to one sandbox."""

    emulator: Emulator
    clock: time_machine.Traveller
    org: Organization
    chance: random.Random
    body: dict[str, object]
    adobe_answers: bool = True
    runs: bool = True
    watched: bool = True
    reads: list[datetime] = field(default_factory=list)
    unwatched: list[Span] = field(default_factory=list)
    unwatched_since: datetime | None = None
    seen: set[str] = field(default_factory=set)

    @property
    def prod(self) -> Sandbox:
        return self.org.sandboxes.select_related("organization").get(name="prod")

    def listed(self) -> set[str]:
        return {str(job["id"]) for job in self.emulator.jobs_of("acme", "prod")}

    def step(self) -> None:
        self.clock.shift(timedelta(minutes=self.chance.choice([1, 1, 1, 1, 2, 5, 20, 61, 90, 400])))
        act = self.chance.choice(
            [self.add, self.add, self.remove, self.adobe, self.process, self.watch, self.empty, self.go]
        )
        act()
        self.visit(breaks=self.chance.random() < 0.15)

    def add(self) -> None:
        for _number in range(self.chance.choice([1, 1, 3])):
            self.emulator.add_job("acme", "prod", self.body)

    def remove(self) -> None:
        for job_id in sorted(self.listed())[:1]:
            self.emulator.remove_job("acme", "prod", job_id)

    def empty(self) -> None:
        if self.chance.random() < 0.3:
            for job_id in self.listed():
                self.emulator.remove_job("acme", "prod", job_id)

    def adobe(self) -> None:
        self.adobe_answers = not self.adobe_answers

    def process(self) -> None:
        self.runs = not self.runs

    def go(self) -> None:
        self.adobe_answers = self.runs = True

    def watch(self) -> None:
        self.watched = not self.watched
        now = timezone.now()
        organizations.change_sandbox(actor=ADMIN, sandbox=self.prod, watched=self.watched, exports_allowed=False)
        if self.watched and self.unwatched_since:
            self.unwatched.append((self.unwatched_since, now))
        self.unwatched_since = None if self.watched else now

    def visit(self, *, breaks: bool = False) -> None:
        """The mirror comes round, where it runs; `breaks`: a list that has further pages breaks off after the first."""
        if not (self.runs and self.watched):
            return
        self.emulator.faults.clear()
        if not self.adobe_answers:
            self.emulator.faults.set(endpoint="jobs.list", status=403)
        elif breaks:
            self.emulator.faults.set(endpoint="jobs.list", skip=1, times=1, status=403)
        at = timezone.now()
        if sync.once() == []:
            self.reads.append(at)
            self.seen |= self.listed()
        self.emulator.faults.clear()

    def told(self, first: datetime, last: datetime) -> Statement:
        return completeness.statement([self.org], Period(first.date(), last.date()))


@pytest.fixture(params=range(4))
def world(
    request: pytest.FixtureRequest,
    clock: time_machine.Traveller,
    db: None,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    monkeypatch.setattr("segadmin.sync.names.tend", lambda *_args, **_more: None)
    monkeypatch.setattr("segadmin.emulator.exports.LONGEST_PAGE", 4)
    organization = connect(emulator, "acme")
    organization.sandboxes.exclude(name="prod").update(watched=False, connected_at=None)
    for days in (300, 200, 100):
        emulator.add_job("acme", "prod", body_for(emulator), created_at=(START - timedelta(days=days)).timestamp())
    return World(emulator, clock, organization, random.Random(request.param), body_for(emulator))


def test_the_statement_tells_the_truth_and_no_more(world: World) -> None:
    world.visit()
    for _number in range(STEPS):
        world.step()
    world.go()
    if not world.watched:
        world.watch()
    world.visit()
    end = timezone.now()
    told = world.told(START, end)
    spoken = [(gap.from_at, gap.to_at, gap.why) for gap in told.gaps]
    unread = [(first, last) for first, last, why in spoken if why != Unread.Why.UNWATCHED]
    _times_without_reading_are_told(world, end, merged((first, last) for first, last, _why in spoken))
    _no_time_is_told_in_which_it_was_read(world, unread)
    away = merged((first, last) for first, last, why in spoken if why == Unread.Why.UNWATCHED)
    assert total(minus(away, [(a - MOMENT, b + MOMENT) for a, b in world.unwatched])) == timedelta()
    assert total(minus(world.unwatched, [(a - MOMENT, b + MOMENT) for a, b in away])) == timedelta()
    assert told.untold == []
    _each_day_has_its_own_numbers(world, end)
    _every_job_is_counted(world, end)


def _times_without_reading_are_told(world: World, end: datetime, spoken: list[Span]) -> None:
    moments = [START, *world.reads, end]
    for first, last in pairwise(moments):
        silent = minus([(first + MOMENT, last)], spoken)
        assert all(after - before <= patience() for before, after in silent), f"{silent} is told by nobody"


def _no_time_is_told_in_which_it_was_read(world: World, unread: list[Span]) -> None:
    for moment in world.reads:
        around = [span for span in unread if span[0] < moment - MOMENT and span[1] > moment + MOMENT]
        assert around == [], f"read at {moment}"


def _each_day_has_its_own_numbers(world: World, end: datetime) -> None:
    day = START
    while day.date() <= end.date():
        told = world.told(day, day)
        assert told.readings.reads == sum(moment.date() == day.date() for moment in world.reads), day
        made = Job.objects.filter(sort_at__gte=told.period.from_at, sort_at__lt=told.period.to_at).count()
        assert told.jobs.total + told.later == made
        assert told.watched == [] or told.later == 0
        assert (told.readings.differing, told.missing_rows, told.readings.crossing) == (0, 0, 0)
        day += timedelta(days=1)


def _every_job_is_counted(world: World, end: datetime) -> None:
    """Also what is gone, once the lists were read whole again."""
    rows = set(Job.objects.filter(sandbox=world.prod).values_list("job_id", flat=True))
    assert world.seen <= rows
    for _number in range(3):
        world.clock.shift(timedelta(minutes=61))
        world.visit()
    listed = world.listed()
    told = world.told(START - timedelta(days=400), timezone.now())
    assert told.jobs.total == len(rows | listed)
    # Of the oldest it can't be told whether they were removed, or are older than what Adobe lists.
    assert (told.jobs.gone + told.jobs.aged, told.jobs.unsure) == (len(rows - listed), 0)
    assert told.jobs.aged <= 3
    assert told.jobs.older == 3
