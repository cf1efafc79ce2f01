"""The statement of completeness claims nothing that was not seen, whatever happens: two orgs, three sandboxes, one truth.

Beside the product runs a model that knows when each list was really read and what it held. The statement may not claim
more; what was read it may not call unread either.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from segadmin.actions import jobs as job_actions
from segadmin.actions import organizations
from segadmin.audit import Actor
from segadmin.emulator import exports
from segadmin.emulator.server import Emulator
from segadmin.models import Finding, Job, Reading, Sandbox, Unread
from segadmin.queries import completeness
from segadmin.queries.completeness import Period, Statement
from segadmin.queries.intervals import Span, merged, minus, total
from segadmin.queries.unread import DOUBTFUL, patience
from segadmin.sync import jobs as mirror
from tests.upstream import body_for, connect

pytestmark = pytest.mark.django_db

START = datetime(2026, 5, 9, 22, 0, tzinfo=UTC)
ADMIN = Actor(kind="person", name="admin", id="1", roles=("admin",))
# How long the steps of one moment take, on a slow machine; a pass begins before its readings are noted.
SLACK = timedelta(seconds=30)
PLACES = [("acme", "prod"), ("acme", "stage"), ("nordwind", "prod")]
places = st.sampled_from(PLACES)
times = st.sampled_from([1, 2, 5, 12, 61, 200, 1500])
Place = tuple[str, str]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Truth:
    """What really happened to one sandbox. `covered`: times in which it was read, by the clock of the server."""

    reads: list[datetime] = field(default_factory=list)
    watched_since: datetime | None = None
    covered: list[Span] = field(default_factory=list)
    unwatched: list[Span] = field(default_factory=list)
    last: datetime | None = None
    listed_ever: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    counts: dict[Any, int] = field(default_factory=dict)

    def read(self, at: datetime, listed: set[str]) -> None:
        if self.last is not None and at - self.last <= patience() + SLACK:
            self.covered.append((min(self.last, at), at))
        self.covered.append((at - SLACK, at + SLACK))
        self.reads.append(at)
        self.last = at
        self.shown |= listed
        self.counts[at.date()] = self.counts.get(at.date(), 0) + 1


class World:
    """The emulated Adobe, segadmin beside it, and everybody's clock."""

    def __init__(self) -> None:
        self.travel = time_machine.travel(START, tick=True)
        self.clock = self.travel.start()
        self.emulator = Emulator(jobs=0).start()
        self.patch = pytest.MonkeyPatch()
        host = self.emulator.url.removeprefix("http://")
        self.patch.setattr("django.conf.settings.UPSTREAM_HOSTS", frozenset({host}))
        self.patch.setattr(exports, "LONGEST_PAGE", 3)
        self.orgs = {slug: connect(self.emulator, slug) for slug in ("acme", "nordwind")}
        self.bodies = {place: body_for(self.emulator, *place) for place in PLACES}
        self.truths = {place: Truth(last=timezone.now()) for place in PLACES}
        self.failing: dict[str, str] = {}
        self.runs, self.was_set_back = True, False
        self.dies_after: int | None = None
        self.breaks_at: int | None = None
        for place in PLACES:
            for days in (200, 100):
                made_at = (START - timedelta(days=days)).timestamp()
                self._made(place, self.emulator.add_job(*place, self.bodies[place], created_at=made_at))
        self._watch_the_passes()

    def close(self) -> None:
        self.patch.undo()
        self.emulator.stop()
        self.travel.stop()

    def sandbox(self, place: Place) -> Sandbox:
        return Sandbox.objects.select_related("organization").get(organization__slug=place[0], name=place[1])

    def listed(self, place: Place) -> set[str]:
        return {str(job["id"]) for job in self.emulator.jobs_of(*place)}

    def _made(self, place: Place, job: dict[str, Any]) -> None:
        self.truths[place].listed_ever.add(str(job["id"]))

    def _watch_the_passes(self) -> None:
        """The model learns from Adobe's side and from the end of a pass, not from what segadmin wrote."""
        run, release, take = mirror.Pass.run, mirror.Pass.release, mirror.Pass._take

        def watched_run(visit: mirror.Pass) -> Any:
            place = (visit.sandbox.organization.slug, visit.sandbox.name)
            listed, before = self.listed(place), len(self.emulator.requests)
            error = run(visit)
            asked = [item for item in self.emulator.requests[before:] if item.endpoint == "jobs.list"]
            if error is None:
                assert asked, "a list is read by asking for it"
                self.truths[place].read(visit.began_at, listed)
            return error

        def dying_release(visit: mirror.Pass, due_at: datetime) -> None:
            if self.dies_after is None or self.dies_after > 0:
                release(visit, due_at)

        def dying_take(visit: mirror.Pass, page: Any, read_at: datetime) -> Any:
            if self.dies_after is not None:
                self.dies_after -= 1
                if self.dies_after <= 0:
                    raise Killed
            return take(visit, page, read_at)

        self.patch.setattr(mirror.Pass, "run", watched_run)
        self.patch.setattr(mirror.Pass, "release", dying_release)
        self.patch.setattr(mirror.Pass, "_take", dying_take)

    # what happens

    def add(self, place: Place, count: int) -> None:
        for _number in range(count):
            self._made(place, self.emulator.add_job(*place, self.bodies[place]))

    def remove(self, place: Place, which: int) -> None:
        ids = sorted(self.listed(place))
        if ids:
            self.emulator.remove_job(*place, ids[which % len(ids)])

    def empty(self, place: Place) -> None:
        for job_id in self.listed(place):
            self.emulator.remove_job(*place, job_id)

    def visit(self) -> None:
        """The mirror's own loop, once: only what is due."""
        if not self.runs:
            return
        self._set_faults()
        try:
            for organization in mirror.due(timezone.now()):
                mirror.tend(organization)
        except Killed:
            pass
        finally:
            self.dies_after = self.breaks_at = None
            self.emulator.faults.clear()

    def _set_faults(self) -> None:
        for slug, how in self.failing.items():
            if how == "secret":
                self.emulator.forget_tokens()
                self.emulator.faults.set(path="*/ims/token/*", org=slug, status=400, shape="ims")
            elif how == "slow down":
                self.emulator.faults.set(endpoint="jobs.list", org=slug, status=429, retry_after="900")
            else:
                self.emulator.faults.set(endpoint="jobs.list", org=slug, status=403)
        if self.breaks_at is not None:
            self.emulator.faults.set(endpoint="jobs.list", skip=self.breaks_at, times=1, status=403)

    def look(self, place: Place) -> None:
        """A person presses "Check with Adobe now"; it reads one page only, which the model takes for no more than that."""
        sandbox = self.sandbox(place)
        if not sandbox.watched:
            return
        self._set_faults()
        at, listed = timezone.now(), self.listed(place)
        before = sandbox.last_read_at
        [result] = job_actions.check_sandboxes(actor=ADMIN, sandboxes=[sandbox])
        after = self.sandbox(place)
        if result.ok and after.last_read_at != before:
            known = set(Job.objects.filter(sandbox=sandbox).values_list("job_id", flat=True))
            assert listed <= known, "a look that counts as a reading left nothing unread"
            self.truths[place].read(at, listed)
        self.emulator.faults.clear()

    def watch(self, place: Place) -> None:
        sandbox, truth, now = self.sandbox(place), self.truths[place], timezone.now()
        organizations.change_sandbox(actor=ADMIN, sandbox=sandbox, watched=not sandbox.watched, exports_allowed=False)
        if sandbox.watched:
            if truth.last and now - truth.last <= patience() + SLACK:  # no longer than a pause between two readings
                truth.covered.append((truth.last, now))
            truth.watched_since, truth.last = now, None
        else:
            truth.unwatched.append((truth.watched_since or now, now))
            truth.last = now

    def set_back(self, minutes: int) -> None:
        """Somebody corrects a clock that was wrong."""
        self.was_set_back = True
        self.clock.shift(timedelta(minutes=-minutes))
        now = timezone.now()
        for truth in self.truths.values():
            # What is still to come was not read, whatever the wrong clock said; and of the day before nobody knows.
            doubt = (now - DOUBTFUL, datetime.max.replace(tzinfo=UTC))
            truth.covered = minus(truth.covered, [doubt])

    # what must be true

    def told(self, slug: str, first: datetime, last: datetime) -> Statement:
        return completeness.statement([self.orgs[slug]], Period(first.date(), last.date()))

    def check_jobs(self) -> None:
        for place, truth in self.truths.items():
            rows = Job.objects.filter(sandbox=self.sandbox(place))
            known = set(rows.values_list("job_id", flat=True))
            assert truth.shown <= known <= truth.listed_ever
            gone = set(rows.exclude(missing_since_at=None).values_list("job_id", flat=True))
            assert not gone & self.listed(place), "called gone, and Adobe lists it"

    def check_times(self, slug: str) -> None:
        first, now = START - timedelta(days=1), timezone.now()
        told = self.told(slug, first, now + timedelta(days=1))
        for place, truth in self.truths.items():
            if place[0] != slug:
                continue
            sandbox = self.sandbox(place)
            assert sandbox.connected_at is not None
            wanted = [(sandbox.connected_at, now)]
            gaps = [gap for gap in told.gaps if gap.sandbox.pk == sandbox.pk]
            if sandbox not in told.watched:
                continue
            claimed = minus(wanted, [(gap.from_at, gap.to_at) for gap in gaps])
            covered = merged((a - SLACK, b + SLACK) for a, b in truth.covered)
            lied = [span for span in minus(claimed, covered) if span[1] - span[0] > patience() + SLACK]
            assert lied == [], f"{place}: claims to have read {lied}"
            if not self.was_set_back:
                self._check_denied(place, truth, gaps)

    @staticmethod
    def _check_denied(place: Place, truth: Truth, gaps: list[Any]) -> None:
        """What was read is not called unread, and watched times are not called unwatched."""
        unread = [(gap.from_at + SLACK, gap.to_at - SLACK) for gap in gaps if gap.why != Unread.Why.UNWATCHED]
        for at in truth.reads:
            assert not [span for span in unread if span[0] < at < span[1]], f"{place}: was read at {at}"
        away = merged((gap.from_at, gap.to_at) for gap in gaps if gap.why == Unread.Why.UNWATCHED)
        open_end = [(truth.watched_since, timezone.now())] if truth.watched_since and truth.last is None else []
        known = merged((a - SLACK, b + SLACK) for a, b in [*truth.unwatched, *open_end])
        assert total(minus(away, known)) == timedelta()

    def check_days(self) -> None:
        """Each reading counts once, in its own day; the numbers of the table are those of the sentence."""
        for slug in self.orgs:
            day = START
            while day.date() <= timezone.now().date():
                told = self.told(slug, day, day)
                real = sum(truth.counts.get(day.date(), 0) for place, truth in self.truths.items() if place[0] == slug)
                assert told.readings.reads == real, day
                assert (told.readings.differing, told.missing_rows, told.readings.crossing) == (0, 0, 0)
                jobs = told.jobs
                parts = jobs.here + jobs.older + jobs.matching + jobs.open + jobs.explained + jobs.closed
                assert parts + sum(item.count for item in jobs.by_rule) == jobs.total
                day += timedelta(days=1)

    def finish(self) -> None:
        """Adobe answers again, all is watched and read whole: every job is known, and every absence told."""
        self.failing.clear()
        self.runs = True
        for place in PLACES:
            if not self.sandbox(place).watched:
                self.watch(place)
        for _number in range(4):
            self.clock.shift(timedelta(minutes=61))
            self.visit()
        self.check_jobs()
        for place, truth in self.truths.items():
            rows = Job.objects.filter(sandbox=self.sandbox(place))
            known, listed = set(rows.values_list("job_id", flat=True)), self.listed(place)
            assert listed <= known
            absent = rows.exclude(missing_since_at=None) | rows.exclude(aged_out_at=None)
            assert set(absent.values_list("job_id", flat=True)) == known - listed, place
            assert truth.shown <= known
        for slug in self.orgs:
            self.check_times(slug)
            told = self.told(slug, START - timedelta(days=300), timezone.now() + timedelta(days=30))
            assert told.jobs.unsure == 0
            assert told.jobs.total == Job.objects.filter(sandbox__organization__slug=slug).count()
            gone = Job.objects.filter(sandbox__organization__slug=slug).exclude(missing_since_at=None)
            assert told.jobs.gone == gone.count()
            alone = gone.exclude(origin="older")
            assert not alone.filter(gone_finding=None).exists()
        assert not Finding.objects.exclude(kind__in=["outside", "gone", "reset"]).exists()
        if not self.was_set_back:
            self.check_days()
        for sandbox in Sandbox.objects.filter(watched=True):
            rows = list(Reading.objects.filter(sandbox=sandbox).order_by("from_at", "pk"))
            overlaps = [(a, b) for a, b in pairwise(rows) if a.to_at > b.from_at]
            assert self.was_set_back or overlaps == []


class Completeness(RuleBasedStateMachine):
    """Adobe fails, slows down, forgets the secret; jobs come and go; segadmin stops, dies, and its clock is corrected."""

    def __init__(self) -> None:
        super().__init__()
        # Undone after each run. Marked as a test's own, so that durable transactions may run inside.
        self.block = transaction.atomic()
        self.block._from_testcase = True  # type: ignore[attr-defined]
        self.block.__enter__()
        self.world = World()
        self.world.visit()

    def teardown(self) -> None:
        try:
            self.world.finish()
        finally:
            self.world.close()
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    @rule(minutes=times, rounds=st.integers(1, 3))
    def time_passes(self, minutes: int, rounds: int) -> None:
        for _number in range(rounds):
            self.world.clock.shift(timedelta(minutes=minutes))
            self.world.visit()

    @rule(place=places, what=st.sampled_from(["add", "add", "blink", "remove", "empty"]), count=st.integers(1, 5))
    def jobs_change(self, place: Place, what: str, count: int) -> None:
        """Blink: made and removed again before anybody looks."""
        if what == "empty":
            self.world.empty(place)
        elif what == "remove":
            self.world.remove(place, count)
        elif what == "blink":
            job = self.world.emulator.add_job(*place, self.world.bodies[place])
            self.world.emulator.remove_job(*place, str(job["id"]))
        else:
            self.world.add(place, count)
        self.time_passes(minutes=1, rounds=1)

    @rule(
        slug=st.sampled_from(["acme", "nordwind"]),
        how=st.sampled_from(["refused", "slow down", "secret"]),
        minutes=times,
        recovers=st.booleans(),
    )
    def adobe_fails(self, slug: str, how: str, minutes: int, recovers: bool) -> None:
        self.world.failing[slug] = how
        self.time_passes(minutes=minutes, rounds=2)
        if recovers:
            self.world.failing.clear()
            self.time_passes(minutes=5, rounds=2)

    @rule(page=st.integers(0, 2))
    def a_list_breaks_off(self, page: int) -> None:
        self.world.add(PLACES[0], 4)
        self.world.breaks_at = page
        self.time_passes(minutes=61, rounds=1)

    @rule(page=st.integers(1, 3), minutes=st.sampled_from([2, 30]))
    def the_process_dies(self, page: int, minutes: int) -> None:
        self.world.dies_after = page
        self.time_passes(minutes=61, rounds=1)
        self.time_passes(minutes=minutes, rounds=1)

    @rule(minutes=times, while_adobe_fails=st.booleans())
    def the_process_stops(self, minutes: int, while_adobe_fails: bool) -> None:
        if while_adobe_fails:
            self.adobe_fails("acme", "refused", 5, recovers=False)
        self.world.runs = False
        self.time_passes(minutes=minutes, rounds=1)
        self.world.runs = True
        self.world.failing.clear()
        self.time_passes(minutes=5, rounds=2)

    @rule(place=places, minutes=times)
    def watch(self, place: Place, minutes: int) -> None:
        self.world.watch(place)
        self.time_passes(minutes=minutes, rounds=1)

    @rule(place=places)
    def look(self, place: Place) -> None:
        self.world.look(place)

    @precondition(lambda self: not self.world.was_set_back)
    @rule(minutes=st.sampled_from([30, 200, 4000]), stays=st.sampled_from([1, 20, 90]))
    def a_clock_is_corrected(self, minutes: int, stays: int) -> None:
        """It had been ahead, for some readings or none; then nobody reads for a while."""
        self.time_passes(minutes=minutes, rounds=1)
        self.time_passes(minutes=1, rounds=2)
        self.world.set_back(minutes + 2)
        self.world.clock.shift(timedelta(minutes=stays))
        self.time_passes(minutes=1, rounds=2)

    @invariant()
    def holds(self) -> None:
        self.world.check_jobs()
        self.world.check_times("acme")
        self.world.check_times("nordwind")


def test_the_statement_claims_no_more_than_was_seen() -> None:
    run_state_machine_as_test(
        Completeness,
        settings=settings(
            max_examples=10,
            stateful_step_count=10,
            deadline=None,
            derandomize=True,
            report_multiple_bugs=False,
            phases=[Phase.generate],  # shrinking takes minutes, and a dozen steps are read as they are
            suppress_health_check=list(HealthCheck),
        ),
    )
