"""A small world for the state machine: segadmin, an emulated Adobe whose jobs are known, and people who send."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from segadmin import aep, connect, sync
from segadmin.actions import jobs as job_actions
from segadmin.actions import requests as actions
from segadmin.actions import settlement
from segadmin.audit import Actor
from segadmin.emulator import exports
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Attempt,
    EventContent,
    ExportRequest,
    Job,
    Outcome,
    RequestState,
    Sandbox,
    Settlement,
    State,
    User,
)
from tests.faults.chain import assert_chain_holds
from tests.upstream import Clock, body_for
from tests.upstream import connect as connect_org

# What may become of one POST, and how many requests the emulator sees of it.
MADE_AND_LOST = ("lost_answer", "killed_after", "server_error_after")
NOT_MADE = ("reset", "server_error", "killed_before")
CLEAR = ("fine", "refused", "token_over")
SENDS = {"killed_before": 0, "token_over": 2}


REAL_WRITER = connect.writer


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Sent:
    """One request as the world knows it: what really came of it at Adobe."""

    pk: int
    how: str
    job_id: str | None
    by_person: bool = False
    seen_states: list[str] = field(default_factory=list)


class World:
    """Everything that happens, and what must be true whatever happened."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.emulator = Emulator(jobs=0, clock=self.clock).start()
        self.patch = pytest.MonkeyPatch()
        host = self.emulator.url.removeprefix("http://")
        self.patch.setattr("django.conf.settings.UPSTREAM_HOSTS", frozenset({host}))
        self.patch.setattr("django.conf.settings.UPSTREAM_DEADLINE_SECONDS", 15)
        # Names are a comfort, and reading them is most of what a visit costs.
        self.patch.setattr("segadmin.sync.names.tend", lambda *_args, **_more: None)
        organization = connect_org(self.emulator, "acme")
        self.sandbox = Sandbox.objects.select_related("organization").get(organization=organization, name="prod")
        Sandbox.objects.exclude(pk=self.sandbox.pk).update(watched=False)
        self.author = User.objects.create_user("machine")
        self.actor = Actor(kind="person", name="machine", id=str(self.author.pk), roles=("operator",))
        self.bodies = [body_for(self.emulator, audiences=1), body_for(self.emulator, audiences=2)]
        self.sent: list[Sent] = []
        self.expected_posts = 0
        self.outsiders: set[str] = set()
        self.everything: set[str] = set()
        self.nested = 0

    def close(self) -> None:
        self.patch.undo()
        self.emulator.stop()

    # what happens

    def page_cap(self, limit: int) -> None:
        """From now on Adobe gives no longer pages than this, whatever is asked for."""
        self.patch.setattr(exports, "LONGEST_PAGE", limit)

    def draft(self, body: int) -> ExportRequest:
        return actions.save_draft(
            actor=self.actor,
            author=self.author,
            sandbox=self.sandbox,
            typed={},
            body=self.bodies[body],
            who="audiences",
            which="these",
            purpose="machine",
            recipient="",
            ticket="",
            legal_basis="",
        )

    def send(self, body: int, how: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Send a new request; `meanwhile` happens between Adobe's work and the arrival of its answer."""
        row = self.draft(body)
        before = self._ids()
        self.expected_posts += SENDS.get(how, 1)
        record = Sent(row.pk, how, None)
        self.sent.append(record)

        def arrived() -> None:
            made = self._ids() - before - self.outsiders
            record.job_id = made.pop() if made else None
            before.update(self._ids())
            if meanwhile:
                meanwhile()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("segadmin.actions.limits.spend", lambda *_args: True)
            patch.setattr(connect, "writer", self._writer(how, arrived))
            with contextlib.suppress(Killed):
                actions.send(actor=self.actor, export_request=row, version=row.version, confirmed=frozenset())
        self.emulator.faults.clear()
        self._again(row)

    def _again(self, row: ExportRequest) -> None:
        """A double click, a reload, Back: nothing is sent. A refused one may be sent anew, which is another story."""
        row.refresh_from_db()
        if row.state in actions.OPEN_STATES:
            return
        with pytest.raises(actions.AlreadySent):
            actions.send(actor=self.actor, export_request=row, version=row.version, confirmed=frozenset())

    def _writer(self, how: str, arrived: Callable[[], None]) -> Callable[[Attempt], Any]:
        faults: dict[str, dict[str, Any]] = {
            "lost_answer": {"lost_answer": True},
            "server_error_after": {"status": 502, "after": True},
            "reset": {"reset": True},
            "server_error": {"status": 503},
            "refused": {"status": 400, "shape": "problem"},
        }

        def writer(attempt: Attempt) -> Any:
            assert EventContent.objects.filter(event_id=attempt.opened_seq, outcome=Outcome.REQUESTED).exists()
            if how == "killed_before":
                arrived()
                raise Killed
            if how == "token_over":
                self.emulator.forget_tokens()
            if how in faults:
                self.emulator.faults.set(endpoint="jobs.create", times=1, **faults[how])
            return Slow(REAL_WRITER(attempt), arrived, dies=how == "killed_after")

        return writer

    def _ids(self) -> set[str]:
        found = {str(job["id"]) for job in self.emulator.jobs_of("acme", "prod")}
        self.everything |= found
        return found

    def outsider(self, body: int, count: int = 1) -> None:
        """Somebody else exports the very same thing."""
        for _ in range(count):
            self.outsiders.add(str(self.emulator.add_job("acme", "prod", self.bodies[body])["id"]))

    def visit(self, fails_at_page: int | None = None) -> None:
        """One pass of the mirror, whatever is due; its list may break at a page."""
        if fails_at_page is not None:
            self.emulator.faults.set(endpoint="jobs.list", skip=fails_at_page, times=1, status=403)
        try:
            sync.once()
        finally:
            self.emulator.faults.clear()

    def look(self) -> None:
        """A person presses "Check with Adobe now"."""
        Sandbox.objects.filter(pk=self.sandbox.pk).update(last_read_at=timezone.now() - timedelta(minutes=1))
        job_actions.check_sandboxes(actor=self.actor, sandboxes=[self._fresh_sandbox()])

    def _fresh_sandbox(self) -> Sandbox:
        return Sandbox.objects.select_related("organization").get(pk=self.sandbox.pk)

    def deadline_passes(self) -> None:
        """Nobody heard of the open attempts in time."""
        Attempt.objects.filter(state=Attempt.State.OPEN).update(deadline_at=timezone.now() - timedelta(seconds=1))
        settlement.close_stale()

    def window_passes(self) -> None:
        """The time in which a lost job is looked for is over."""
        Attempt.objects.filter(settlement=Settlement.LOOKING).update(
            look_until_at=timezone.now() - timedelta(seconds=1)
        )

    def person_settles(self, choice: int) -> None:
        """A person says which of the candidates it was, or that none was."""
        attempt = Attempt.objects.filter(settlement=Settlement.PERSON).order_by("pk").first()
        if attempt is None or attempt.export_request is None:
            return
        found: list[Job | None] = [None, *settlement.candidates(attempt)]
        chosen = found[choice % len(found)]
        if actions.settle(actor=self.actor, export_request=attempt.export_request, job=chosen):
            self._of(attempt.export_request).by_person = True

    def _of(self, row: ExportRequest) -> Sent:
        return next(item for item in self.sent if item.pk == row.pk)

    def cancel(self, which: int) -> None:
        """A person cancels a job."""
        rows = list(Job.objects.filter(sandbox=self.sandbox).exclude(state__in=State.final()).order_by("pk"))
        if rows:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("segadmin.actions.limits.spend", lambda *_args: True)
                job_actions.cancel(actor=self.actor, job=rows[which % len(rows)], reason="machine")

    # what must be true

    def check(self) -> None:
        """At any moment."""
        posts = [item for item in self.emulator.requests if (item.endpoint, item.method) == ("jobs.create", "POST")]
        assert len(posts) == self.expected_posts, "one POST a request"
        rows = {row.pk: row for row in ExportRequest.objects.filter(pk__in=[item.pk for item in self.sent])}
        linked = dict(Job.objects.exclude(export_request=None).values_list("export_request_id", "job_id"))
        for item in self.sent:
            row, job_id = rows[item.pk], linked.get(item.pk)
            assert (row.state == RequestState.SENT) == (job_id is not None), f"{item}: {row.state} with job {job_id}"
            if row.state in (RequestState.REFUSED, RequestState.NOT_SENT):
                assert item.job_id is None, f"{item} has a job at Adobe, but is told as {row.state}"
            if row.state == RequestState.RELEASED and not item.by_person:
                assert item.job_id is None, f"{item} has a job at Adobe, but was released"
            if item.how == "fine":
                assert job_id in (item.job_id, None), f"{item} was told its job, but has {job_id}"
        self._check_record()

    def _check_record(self) -> None:
        deletes = sum(item.method == "DELETE" for item in self.emulator.requests)
        asked = {action: self._events(action, Outcome.REQUESTED) for action in Action}
        assert len(asked[Action.EXPORT_CREATE]) == len(self.sent)
        assert len(asked[Action.EXPORT_CANCEL]) == deletes
        for attempt in Attempt.objects.all():
            ends = EventContent.objects.filter(attempt_uuid=attempt.uuid).exclude(outcome=Outcome.REQUESTED)
            ends = ends.exclude(action=Action.EXPORT_SETTLE)
            assert ends.count() == (attempt.state != Attempt.State.OPEN), f"{attempt.state}: {list(ends)}"

    @staticmethod
    def _events(action: Action, outcome: Outcome) -> list[EventContent]:
        return list(EventContent.objects.filter(action=action, outcome=outcome))

    def finish(self) -> None:
        """Adobe answers again, all times are over: everything is known or waits for a person, and nothing is lost."""
        self.emulator.faults.clear()
        self.deadline_passes()
        for _ in range(2):
            self.visit()
            self.window_passes()
        self.visit()
        self.check()
        assert not Attempt.objects.filter(state=Attempt.State.OPEN).exists()
        waiting = Attempt.objects.filter(settlement__in=settlement.WAITING)
        assert {row.settlement for row in waiting} <= {Settlement.PERSON}
        ids = list(Job.objects.filter(sandbox=self.sandbox).values_list("job_id", flat=True))
        self._ids()
        assert sorted(ids) == sorted(self.everything), "the mirror has every job once"
        assert_chain_holds()


class Slow:
    """A writer whose answer takes so long that other things happen first; or whose process dies before it comes."""

    def __init__(self, writer: aep.ExportJobsWriter, arrived: Callable[[], None], *, dies: bool) -> None:
        self._writer, self._arrived, self._dies = writer, arrived, dies

    def create(self, body: Any) -> aep.CreateReply:
        try:
            return self._writer.create(body)
        finally:
            self._arrived()
            if self._dies:
                raise Killed
