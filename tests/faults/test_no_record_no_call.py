"""The record can't be written: nothing is sent, and the person is told so. Fault 33."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone
from pytest_django import Settings

from segadmin import connect, sync
from segadmin.actions import jobs as job_actions
from segadmin.audit import Actor, Subject, record
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Attempt,
    Event,
    ExportRequest,
    FileReceipt,
    Hold,
    Installation,
    Job,
    Organization,
    RequestState,
    Role,
    Sandbox,
    State,
    User,
    Verification,
)
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
    assert answer.status_code == 503
    assert "So nothing was sent to Adobe, and nothing was changed." in answer.content.decode()
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


def test_a_person_is_told_when_the_answer_is_what_the_record_did_not_take(
    emulator: Emulator, draft: ExportRequest, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then something was sent, and the page must not say otherwise."""
    real = connect.writer

    def writer(attempt: Attempt) -> Any:
        break_record()
        return real(attempt)

    monkeypatch.setattr(connect, "writer", writer)
    client = signed_in(person)
    client.raise_request_exception = False
    answer = client.post(address(draft), {"version": draft.version})
    assert answer.status_code == 503
    page = answer.content.decode()
    assert "Adobe’s answer could not be put on record" in page
    assert "nothing was sent" not in page
    assert writes(emulator) == ["jobs.create"]


PAGES: dict[str, dict[str, str]] = {
    "/audit/": {},
    "/audit/export.csv": {},
    "/register/export.jsonl": {},
    "/audit/evidence/": {"from": "", "to": ""},
    "/audit/proof/check/": {"now": "1"},
    "/retention/": {"register_months": "40", "access_months": "12", "reason": "the law"},
    "/retention/holds/new/": {"kind": "person", "person": "operator", "reason": "case 7"},
    "/people/new/": {
        "username": "someone",
        "password": "correct horse battery staple",
        "roles": "viewer",
        "organization": "acme",
    },
    "/organizations/nordwind/": {},
    "/accounts/logout/": {"": ""},
}


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_that_nothing_was_changed(
    acme: Organization, nordwind: Organization, auditor: User, root: User, path: str, settings: Settings, tmp_path: Path
) -> None:
    """Also where reading or a refusal itself has to be on record."""
    settings.DATA_DIR = tmp_path
    reads = path.startswith(("/audit/e", "/register", "/organizations", "/audit/proof")) or path == "/audit/"
    client = signed_in(auditor if reads else root)
    client.raise_request_exception = False
    record(actor=Actor.system(), action=Action.SWEEP, sentence="read", subject=Subject(organization=acme))
    before = counts()
    break_record()
    answer = client.post(path, PAGES[path]) if PAGES[path] else client.get(path)
    assert answer.status_code == 503, answer.content.decode()[:3000]
    assert "So nothing was sent to Adobe, and nothing was changed." in answer.content.decode()
    # An event alone has no savepoint: where it was refused, the whole transaction can only be undone.
    assert connection.needs_rollback or counts() == before


def counts() -> dict[str, int]:
    kept = (Event, Hold, User, Organization, FileReceipt, Verification, Installation)
    return {model.__name__: model._default_manager.count() for model in kept}
