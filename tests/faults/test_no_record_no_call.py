"""The record can't be written: nothing is sent, and the person is told so. Fault 33."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from segadmin import connect, sync
from segadmin.actions import jobs as job_actions
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import Attempt, Event, ExportRequest, Job, Organization, RequestState, Role, Sandbox, State, User
from tests.actions.test_send import save, send
from tests.conftest import make_person, signed_in
from tests.faults.chain import assert_chain_holds
from tests.upstream import body_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(live_acme: Organization) -> User:
    return make_person("operator", Role.OPERATOR, organization=live_acme)


@pytest.fixture
def draft(emulator: Emulator, live_prod: Sandbox, person: User, actor: Actor) -> ExportRequest:
    return save(emulator, live_prod, person, actor)


def break_record() -> None:
    """From now on the database itself refuses every event."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS "
                "$body$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $body$"
            )
            cursor.execute("CREATE TRIGGER broken BEFORE INSERT ON segadmin_event EXECUTE FUNCTION broken()")
        else:
            cursor.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON segadmin_event BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )


def mend_record() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER broken{' ON segadmin_event' if connection.vendor == 'postgresql' else ''}")


def writes(emulator: Emulator) -> list[str]:
    return [item.endpoint for item in emulator.requests if item.endpoint in ("jobs.create", "jobs.delete")]


def test_an_export_is_not_sent(emulator: Emulator, draft: ExportRequest, person: User) -> None:
    client = signed_in(person)
    client.raise_request_exception = False
    events = Event.objects.count()
    break_record()
    answer = client.post(address(draft), {"version": draft.version})
    assert answer.status_code == 500
    assert "look at the jobs list before you send it again" in answer.content.decode()
    assert writes(emulator) == []
    draft.refresh_from_db()
    assert draft.state == RequestState.DRAFT
    assert not Attempt.objects.exists()
    assert Event.objects.count() == events


def test_a_cancel_is_not_sent(emulator: Emulator, live_prod: Sandbox, actor: Actor) -> None:
    emulator.add_job("acme", "prod", body_for(emulator))
    job_actions.read_newest(live_prod, by="test")
    job = Job.objects.select_related("sandbox__organization").get()
    break_record()
    with pytest.raises(DatabaseError, match="refused"):
        job_actions.cancel(actor=actor, job=job, reason="wrong dataset")
    assert writes(emulator) == []
    job.refresh_from_db()
    assert (job.state, job.cancel_result) == (State.WAITING, "")
    assert not Attempt.objects.exists()


def test_an_outcome_that_can_not_be_written_is_found_later(
    emulator: Emulator, draft: ExportRequest, person: User, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record breaks while Adobe works: the intent is on record, the job is adopted once it is mended."""
    sync.once()
    real = connect.writer

    def writer(attempt: Attempt) -> Any:
        break_record()
        return real(attempt)

    monkeypatch.setattr(connect, "writer", writer)
    with pytest.raises(DatabaseError):
        send(actor, draft)
    draft.refresh_from_db()
    assert draft.state == RequestState.SENDING
    mend_record()
    Attempt.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    sync.once()
    draft.refresh_from_db()
    assert draft.state == RequestState.SENT
    assert writes(emulator) == ["jobs.create"]
    assert_chain_holds()


def address(draft: ExportRequest) -> str:
    return f"/orgs/{draft.sandbox.organization.slug}/{draft.sandbox.name}/requests/{draft.uuid}/"
