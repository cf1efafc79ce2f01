"""Remote changes are write-ahead: no event, no call; one outcome each; a lost answer is settled once."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from segadmin import connect
from segadmin.audit import Actor, attempt, attempts, close, settle
from segadmin.models import (
    Action,
    Attempt,
    Event,
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

pytestmark = pytest.mark.django_db


@pytest.fixture
def wish(prod: Sandbox, operator: User) -> ExportRequest:
    return ExportRequest.objects.create(
        sandbox=prod, author=operator, author_name="operator", state=RequestState.DRAFT, body={"a": 1}
    )


@pytest.fixture
def job(prod: Sandbox) -> Job:
    now = timezone.now()
    return Job.objects.create(
        sandbox=prod,
        job_id="24102",
        state=State.RUNNING,
        sort_at=now,
        first_seen_at=now,
        last_seen_at=now,
        changed_at=now,
    )


def asked(actor: Actor, sandbox: Sandbox, **values: Any) -> Attempt:
    kind = values.pop("kind", Attempt.Kind.CREATE)
    row = attempt(actor=actor, kind=kind, sandbox=sandbox, sentence="asked to create an export", **values)
    assert row is not None
    return row


def test_what_is_written_is_what_the_model_would_write(actor: Actor, prod: Sandbox, wish: ExportRequest) -> None:
    """The statement is written out, so it must name every column, in the order of the values."""
    row = asked(actor, prod, export_request=wish, fingerprint="f" * 64, details={"dataset": "a"})
    read, columns = Attempt.objects.get(pk=row.pk), list(Attempt._meta.concrete_fields)
    assert [getattr(read, field.attname) for field in columns] == [getattr(row, field.attname) for field in columns]
    named = re.search(r"\((.*?)\)", attempts._INSERT)
    assert named is not None
    assert named[1].split(", ") == [field.column for field in columns if not field.primary_key]
    row.refresh_from_db()  # it knows where it is kept
    assert row.export_request == wish


def last() -> EventContent:
    content: EventContent | None = EventContent.objects.order_by("-event_id").first()
    assert content is not None
    return content


def test_the_intent_is_on_record_before_anybody_may_call(actor: Actor, prod: Sandbox, wish: ExportRequest) -> None:
    row = asked(actor, prod, export_request=wish, fingerprint="f" * 64, details={"body": {"a": 1}})
    told = last()
    assert (told.action, told.outcome) == (Action.EXPORT_CREATE, Outcome.REQUESTED)
    assert (told.attempt_uuid, told.request_uuid, told.sandbox) == (row.uuid, wish.uuid, prod)
    assert row.opened_seq == told.event_id
    assert row.state == Attempt.State.OPEN
    # Three times the deadline: a token, the call, and one repeat after a 401.
    assert row.deadline_at - row.opened_at > timedelta(seconds=3 * settings.UPSTREAM_DEADLINE_SECONDS)


def test_somebody_else_was_first(actor: Actor, prod: Sandbox) -> None:
    made = attempt(
        actor=actor, kind=Attempt.Kind.CANCEL, sandbox=prod, sentence="asked to cancel 1", claim=lambda: False
    )
    assert made is None
    assert not Attempt.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize("fault", [DatabaseError("database or disk is full"), RuntimeError("head moved")])
def test_no_event_no_attempt_and_no_claim(
    actor: Actor, prod: Sandbox, wish: ExportRequest, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def broken(**_values: object) -> None:
        raise fault

    monkeypatch.setattr(attempts, "record", broken)

    def claim() -> bool:
        return bool(ExportRequest.objects.filter(pk=wish.pk).update(state=RequestState.SENDING))

    with pytest.raises(type(fault)):
        asked(actor, prod, export_request=wish, claim=claim)
    wish.refresh_from_db()
    assert wish.state == RequestState.DRAFT
    assert not Attempt.objects.exists()


def test_the_intent_must_not_hang_on_somebody_elses_transaction(actor: Actor, prod: Sandbox) -> None:
    def open_inside() -> None:
        with transaction.atomic():
            asked(actor, prod)

    with pytest.raises(RuntimeError, match="durable"):
        open_inside()


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (Attempt.State.SUCCEEDED, Outcome.SUCCEEDED),
        (Attempt.State.FAILED, Outcome.FAILED),
        (Attempt.State.UNKNOWN, Outcome.UNKNOWN),
    ],
)
def test_an_attempt_closes_with_its_outcome(
    actor: Actor, prod: Sandbox, state: Attempt.State, outcome: Outcome
) -> None:
    row = asked(actor, prod)
    assert close(row, state, sentence="created 24127", details={"status": 201}, job_id="24127")
    told = last()
    assert (told.outcome, told.attempt_uuid, told.job_id, told.actor_name) == (outcome, row.uuid, "24127", actor.name)
    assert (row.state, row.closed_seq, row.note) == (state, told.event_id, {"status": 201})
    assert row.closed_at is not None


def test_only_a_lost_create_is_looked_for(actor: Actor, prod: Sandbox, job: Job) -> None:
    create, cancel = asked(actor, prod), asked(actor, prod, kind=Attempt.Kind.CANCEL, job=job)
    for row in (create, cancel):
        close(row, Attempt.State.UNKNOWN, sentence="lost the answer")
    assert create.settlement == Settlement.LOOKING
    assert create.look_until_at is not None
    assert create.closed_at is not None
    assert create.look_until_at - create.closed_at == timedelta(seconds=settings.UNKNOWN_WINDOW_SECONDS)
    assert cancel.settlement == Settlement.NONE


def test_a_late_answer_and_the_mirror_can_not_both_win(actor: Actor, prod: Sandbox) -> None:
    row = asked(actor, prod)
    mirror = Attempt.objects.select_related("sandbox__organization").get(pk=row.pk)
    ran: list[str] = []
    assert close(mirror, Attempt.State.UNKNOWN, sentence="no answer in time", actor=Actor.system())
    assert not close(row, Attempt.State.SUCCEEDED, sentence="created 1", also=lambda: ran.append("late"))
    assert ran == []
    assert Event.objects.count() == 2
    assert last().actor_name == "segadmin sync"
    row.refresh_from_db()
    assert row.state == Attempt.State.UNKNOWN


def test_what_belongs_to_the_outcome_is_in_its_transaction(actor: Actor, prod: Sandbox) -> None:
    row = asked(actor, prod)

    def breaks() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        close(row, Attempt.State.SUCCEEDED, sentence="created 1", also=breaks)
    row.refresh_from_db()
    assert row.state == Attempt.State.OPEN
    assert Event.objects.count() == 1


def test_a_lost_answer_is_settled_once(actor: Actor, prod: Sandbox) -> None:
    row = asked(actor, prod)
    close(row, Attempt.State.UNKNOWN, sentence="lost the answer")
    before = Event.objects.count()
    assert settle(row, Settlement.PERSON, actor=Actor.system(), sentence="found two candidates")
    assert not settle(row, Settlement.PERSON, actor=Actor.system(), sentence="found two candidates")
    assert settle(row, Settlement.ADOPTED, actor=actor, sentence="adopted 24127", job_id="24127")
    assert not settle(row, Settlement.RELEASED, actor=Actor.system(), sentence="not found")
    assert Event.objects.count() == before + 2
    assert (last().action, last().job_id, last().attempt_uuid) == (Action.EXPORT_SETTLE, "24127", row.uuid)
    row.refresh_from_db()
    assert row.settlement == Settlement.ADOPTED


def test_nothing_is_settled_that_was_not_lost(actor: Actor, prod: Sandbox) -> None:
    row = asked(actor, prod)
    assert not settle(row, Settlement.RELEASED, actor=actor, sentence="not found")
    close(row, Attempt.State.SUCCEEDED, sentence="created 1")
    assert not settle(row, Settlement.RELEASED, actor=actor, sentence="not found")


def test_only_an_open_attempt_gives_a_writer(actor: Actor, prod: Sandbox) -> None:
    row = asked(actor, prod)
    close(row, Attempt.State.FAILED, sentence="was refused")
    never_saved = Attempt(uuid=uuid.uuid4(), kind=Attempt.Kind.CREATE, sandbox=prod)
    for closed in (row, never_saved):
        with pytest.raises(PermissionError):
            connect.writer(closed)


def test_the_actor_survives_the_way_through_the_attempt(actor: Actor, prod: Sandbox) -> None:
    row = Attempt.objects.get(pk=asked(actor, prod).pk)
    assert Actor.from_json(row.actor) == actor
