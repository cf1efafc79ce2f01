"""Answers that come late, and jobs that two requests could claim: each job is one request's, and the record says how."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from segadmin import connect, sync
from segadmin.actions import requests as actions
from segadmin.actions import settlement
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import Attempt, EventContent, ExportRequest, Job, RequestState, Sandbox, Settlement, User
from tests.actions.test_send import outcomes, save, send
from tests.conftest import make_person

pytestmark = pytest.mark.django_db

type Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def author(live_prod: Sandbox, settings: Settings) -> User:
    settings.UPSTREAM_DEADLINE_SECONDS = 15  # a busy machine may take its time
    return make_person("operator")


@pytest.fixture
def draft(emulator: Emulator, live_prod: Sandbox, author: User, actor: Actor) -> ExportRequest:
    sync.once()
    return save(emulator, live_prod, author, actor)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """What happens after Adobe answered the next create and before its answer is here."""
    real = connect.writer

    def during(happens: Callable[[], object]) -> None:
        def writer(attempt: Attempt) -> Any:
            monkeypatch.setattr(connect, "writer", real)
            inner = real(attempt)
            create = inner.create

            def slow(body: Any) -> Any:
                try:
                    return create(body)
                finally:
                    happens()

            inner.create = slow  # type: ignore[method-assign]
            return inner

        monkeypatch.setattr(connect, "writer", writer)

    return during


def given_up() -> None:
    """Nobody heard of the open attempts in time."""
    Attempt.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    settlement.close_stale()


def released() -> None:
    """Given up, and no job was found in the time it was looked for."""
    given_up()
    for row in Attempt.objects.filter(settlement=Settlement.LOOKING).select_related("export_request", "sandbox"):
        assert settlement.release(row, actor=Actor.system())


def state_of(draft: ExportRequest) -> str:
    return ExportRequest.objects.get(pk=draft.pk).state


def test_an_answer_after_the_release_is_believed(draft: ExportRequest, actor: Actor, meanwhile: Meanwhile) -> None:
    meanwhile(released)
    assert send(actor, draft).state == RequestState.SENT
    assert Job.objects.get().export_request == draft
    assert Attempt.objects.get().settlement == Settlement.ADOPTED
    assert outcomes()[-2:] == ["export.settle:failed", "export.settle:succeeded"]


def test_a_late_refusal_frees_the_request_at_once(
    emulator: Emulator, draft: ExportRequest, actor: Actor, meanwhile: Meanwhile
) -> None:
    emulator.faults.set(endpoint="jobs.create", status=400, shape="problem", message="datasetId is not known")
    meanwhile(given_up)
    assert send(actor, draft).state == RequestState.RELEASED
    last = EventContent.objects.order_by("-event_id")[0]
    assert "datasetId is not known" in last.text
    assert outcomes() == ["export.create:requested", "export.create:unknown", "export.settle:failed"]


def test_a_lost_export_waits_while_one_like_it_is_under_way(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, author: User, actor: Actor, meanwhile: Meanwhile
) -> None:
    """The mirror sees the second one's job before the second one has its answer: it must not be taken for the first."""
    emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
    send(actor, draft)
    second = save(emulator, live_prod, author, actor)
    meanwhile(sync.once)
    assert send(actor, second).state == RequestState.SENT
    assert Job.objects.get().export_request == second
    sync.once()
    assert state_of(draft) == RequestState.UNKNOWN
    Attempt.objects.update(look_until_at=timezone.now() - timedelta(seconds=1))
    sync.once()
    assert state_of(draft) == RequestState.RELEASED


def test_nobody_takes_a_job_while_an_export_like_it_is_under_way(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, author: User, actor: Actor, meanwhile: Meanwhile
) -> None:
    emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
    send(actor, draft)
    for _ in range(2):
        emulator.add_job("acme", "prod", draft.body)
    sync.once()
    assert Attempt.objects.get().settlement == Settlement.PERSON
    answers: list[bool] = []

    def a_person_chooses() -> None:
        sync.once()
        newest = Job.objects.order_by("-created_at", "-pk")[0]
        answers.append(actions.settle(actor=actor, export_request=draft, job=newest))

    second = save(emulator, live_prod, author, actor)
    meanwhile(a_person_chooses)
    send(actor, second)
    assert answers == [False]
    assert (state_of(draft), state_of(second)) == (RequestState.UNKNOWN, RequestState.SENT)


def test_two_people_can_not_take_the_same_job(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, author: User, actor: Actor
) -> None:
    second = save(emulator, live_prod, author, actor)
    for row in (draft, second):
        emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
        send(actor, row)
    emulator.add_job("acme", "prod", draft.body)
    sync.once()
    job = Job.objects.get()
    one, two = Attempt.objects.order_by("pk")
    assert {one.settlement, two.settlement} == {Settlement.PERSON}
    assert settlement.adopt(one, job, actor=actor)
    assert not settlement.adopt(two, job, actor=actor)
    assert (state_of(draft), state_of(second)) == (RequestState.SENT, RequestState.UNKNOWN)
    assert Job.objects.get().export_request == draft


def test_an_answer_that_contradicts_what_was_taken_is_on_record(
    emulator: Emulator, draft: ExportRequest, actor: Actor, meanwhile: Meanwhile
) -> None:
    """Given up, and somebody else's job taken for it; then the answer comes and names the real one."""

    def wrongly_taken() -> None:
        given_up()
        other = str(emulator.add_job("acme", "prod", draft.body)["id"])
        sync.once()
        assert actions.settle(actor=actor, export_request=draft, job=Job.objects.get(job_id=other))

    meanwhile(wrongly_taken)
    sent = send(actor, draft)
    assert sent.state == RequestState.SENT
    mine = min(str(job["id"]) for job in emulator.jobs_of("acme", "prod"))
    assert Job.objects.get(export_request=draft).job_id != mine
    last = EventContent.objects.order_by("-event_id")[0]
    assert (last.outcome, last.job_id) == ("unknown", mine)
    assert "which was wrong" in last.sentence


def test_an_answer_that_says_what_was_found_already_adds_nothing(
    draft: ExportRequest, actor: Actor, meanwhile: Meanwhile
) -> None:
    def found() -> None:
        given_up()
        sync.once()

    meanwhile(found)
    assert send(actor, draft).state == RequestState.SENT
    assert outcomes() == ["export.create:requested", "export.create:unknown", "export.settle:succeeded"]
