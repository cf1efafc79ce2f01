"""Sending: one POST a request, ever; what came of it is on record whatever happened."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from segadmin import sync
from segadmin.actions import requests as actions
from segadmin.actions import settlement
from segadmin.audit import Actor, NotRecorded
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Attempt,
    EventContent,
    ExportRequest,
    Job,
    Origin,
    Outcome,
    RequestState,
    Sandbox,
    Settlement,
    User,
)
from tests.conftest import make_person
from tests.upstream import NOBODY, body_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def author(live_prod: Sandbox) -> User:
    return make_person("operator")


@pytest.fixture
def draft(emulator: Emulator, live_prod: Sandbox, author: User, actor: Actor) -> ExportRequest:
    return save(emulator, live_prod, author, actor)


def save(emulator: Emulator, sandbox: Sandbox, author: User, actor: Actor, **values: Any) -> ExportRequest:
    chosen: dict[str, Any] = {"body": body_for(emulator), "purpose": "Win-back letter", "ticket": "MK-311", **values}
    return actions.save_draft(
        actor=actor,
        author=author,
        sandbox=sandbox,
        typed={"purpose": ["Win-back letter"]},
        who="audiences",
        which="these",
        recipient="CRM team",
        legal_basis="consent",
        **chosen,
    )


def send(actor: Actor, draft: ExportRequest) -> ExportRequest:
    return actions.send(actor=actor, export_request=draft, version=draft.version, confirmed=frozenset())


def posts(emulator: Emulator) -> list[Any]:
    return [item for item in emulator.requests if item.method == "POST" and "export/jobs" in item.path]


def outcomes() -> list[str]:
    rows = EventContent.objects.filter(action__in=[Action.EXPORT_CREATE, Action.EXPORT_SETTLE]).order_by("event_id")
    return [f"{row.action}:{row.outcome}" for row in rows]


def test_sending_makes_one_job_and_two_events(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    sent = send(actor, draft)
    [post] = posts(emulator)
    assert json.loads(post.body) == draft.body
    assert sent.state == RequestState.SENT
    assert sent.job.origin == Origin.HERE
    assert sent.job.person == "operator"
    assert "mk-311" in sent.job.search
    assert outcomes() == ["export.create:requested", "export.create:succeeded"]
    sync.once()
    assert Job.objects.count() == 1
    assert not EventContent.objects.filter(action=Action.JOB_SEEN).exists()


def test_the_headers_are_those_of_the_contract(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    send(actor, draft)
    headers = {name.lower(): value for name, value in posts(emulator)[0].headers.items()}
    tenant = emulator.tenant("acme")
    assert headers["x-api-key"] == tenant.client_id
    assert headers["x-gw-ims-org-id"] == tenant.ims_org_id
    assert headers["x-sandbox-name"] == "prod"
    assert headers["authorization"].startswith("Bearer ")
    assert headers["content-type"].startswith("application/json")
    assert headers["x-request-id"]


@pytest.mark.parametrize("again", range(3))
def test_a_second_send_is_refused_before_any_call(
    emulator: Emulator, draft: ExportRequest, actor: Actor, again: int
) -> None:
    version = draft.version
    send(actor, draft)
    for _ in range(again + 1):
        with pytest.raises(actions.AlreadySent):
            actions.send(actor=actor, export_request=draft, version=version, confirmed=frozenset())
    assert len(posts(emulator)) == 1


def test_a_request_changed_after_the_review_is_not_sent(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, author: User, actor: Actor
) -> None:
    reviewed = draft.version
    changed = save(emulator, live_prod, author, actor, purpose="Something else", export_request=draft)
    with pytest.raises(actions.Changed):
        actions.send(actor=actor, export_request=changed, version=reviewed, confirmed=frozenset())
    assert posts(emulator) == []
    assert outcomes() == []


def test_everyone_and_all_fields_need_their_confirmations(
    emulator: Emulator, live_prod: Sandbox, author: User, actor: Actor
) -> None:
    body = {key: value for key, value in body_for(emulator).items() if key in ("destination", "schema")}
    draft = save(emulator, live_prod, author, actor, body=body)
    assert actions.needed_confirmations(draft) == ["everyone", "all_fields"]
    with pytest.raises(actions.NotAllowed):
        actions.send(actor=actor, export_request=draft, version=draft.version, confirmed=frozenset({"everyone"}))
    assert posts(emulator) == []
    sent = actions.send(
        actor=actor, export_request=draft, version=draft.version, confirmed=frozenset({"everyone", "all_fields"})
    )
    assert sent.state == RequestState.SENT


def test_a_read_only_sandbox_sends_nothing(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, actor: Actor
) -> None:
    Sandbox.objects.update(exports_allowed=False)
    draft.refresh_from_db()
    with pytest.raises(actions.NotAllowed, match="read-only"):
        send(actor, ExportRequest.objects.get(pk=draft.pk))
    assert posts(emulator) == []


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_refusal_is_told_and_may_be_changed(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, author: User, actor: Actor, status: int
) -> None:
    emulator.faults.set(
        endpoint="jobs.create", status=status, shape="problem", message="datasetId is not known", times=1
    )
    refused = send(actor, draft)
    assert refused.state == RequestState.REFUSED
    assert "datasetId is not known" in refused.answer["adobe_message"]
    assert outcomes()[-1] == "export.create:failed"
    again = save(emulator, live_prod, author, actor, export_request=refused)
    assert send(actor, again).state == RequestState.SENT
    assert len(posts(emulator)) == 2


def test_a_refused_connection_is_surely_not_sent(draft: ExportRequest, live_prod: Sandbox, actor: Actor) -> None:
    organization = live_prod.organization
    sync.once()  # a token is at hand, so only the call itself fails
    organization.api_url = f"http://{NOBODY}"
    organization.save()
    failed = send(actor, ExportRequest.objects.select_related("sandbox__organization").get(pk=draft.pk))
    assert failed.state == RequestState.NOT_SENT
    assert outcomes() == ["export.create:requested", "export.create:failed"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "shape": "empty"},
        {"lost_answer": True},
        {"reset": True},
        {"cut": True},
        {"hang": True},
        {"shape": "html"},
        {"status": 200, "body": {"ok": True}},
    ],
    ids=lambda fault: "-".join(f"{k}={v}" for k, v in fault.items()),
)
def test_a_lost_answer_is_unknown_and_never_repeated(
    emulator: Emulator, draft: ExportRequest, actor: Actor, fault: dict[str, Any]
) -> None:
    emulator.faults.set(endpoint="jobs.create", **fault)
    lost = send(actor, draft)
    assert lost.state == RequestState.UNKNOWN
    assert len(posts(emulator)) == 1
    assert outcomes() == ["export.create:requested", "export.create:unknown"]
    attempt = Attempt.objects.get()
    assert attempt.settlement == Settlement.LOOKING
    with pytest.raises(actions.AlreadySent):
        send(actor, ExportRequest.objects.get(pk=draft.pk))


def test_a_job_that_was_made_after_all_is_adopted(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    sync.once()
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    send(actor, draft)
    sync.once()
    draft.refresh_from_db()
    job = Job.objects.get()
    assert draft.state == RequestState.SENT
    assert (job.export_request, job.origin, job.person) == (draft, Origin.HERE, "operator")
    assert outcomes()[-1] == "export.settle:succeeded"
    assert not EventContent.objects.filter(action=Action.JOB_SEEN).exists()
    sync.once()
    assert outcomes().count("export.settle:succeeded") == 1


def test_a_job_that_was_not_made_is_released_only_after_the_window(
    emulator: Emulator, draft: ExportRequest, actor: Actor
) -> None:
    emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
    send(actor, draft)
    sync.once()
    draft.refresh_from_db()
    assert draft.state == RequestState.UNKNOWN
    Attempt.objects.update(look_until_at=timezone.now() - timedelta(seconds=1))
    emulator.faults.set(endpoint="jobs.list", status=503, sandbox="prod")
    sync.once()  # Adobe could not be read: that is no proof
    draft.refresh_from_db()
    assert draft.state == RequestState.UNKNOWN
    emulator.faults.clear()
    sync.once()
    draft.refresh_from_db()
    assert draft.state == RequestState.RELEASED
    assert outcomes()[-1] == "export.settle:failed"


def test_two_candidates_wait_for_a_person(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    sync.once()
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    send(actor, draft)
    emulator.add_job("acme", "prod", draft.body)
    sync.once()
    draft.refresh_from_db()
    attempt = Attempt.objects.get()
    assert (draft.state, attempt.settlement) == (RequestState.UNKNOWN, Settlement.PERSON)
    found = settlement.candidates(attempt)
    assert len(found) == 2
    assert all(job.origin == Origin.MATCHING for job in found)
    assert actions.settle(actor=actor, export_request=draft, job=found[0])
    draft.refresh_from_db()
    assert draft.job == found[0]
    assert not actions.settle(actor=actor, export_request=draft, job=found[1])
    sync.once()
    assert Job.objects.get(pk=found[1].pk).origin == Origin.OUTSIDE


def test_a_person_may_say_that_none_is_ours(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    sync.once()
    emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
    send(actor, draft)
    for _ in range(2):
        emulator.add_job("acme", "prod", draft.body)
    sync.once()
    assert actions.settle(actor=actor, export_request=draft, job=None)
    sync.once()
    draft.refresh_from_db()
    assert draft.state == RequestState.RELEASED
    assert set(Job.objects.values_list("origin", flat=True)) == {Origin.OUTSIDE}


def test_a_job_that_was_there_before_is_never_adopted(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    emulator.add_job("acme", "prod", draft.body)
    sync.once()
    emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
    send(actor, draft)
    sync.once()
    draft.refresh_from_db()
    assert draft.state == RequestState.UNKNOWN
    assert Job.objects.get().export_request is None


def test_one_401_is_healed_in_the_same_attempt(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    sync.once()
    emulator.forget_tokens()
    sent = send(actor, draft)
    assert sent.state == RequestState.SENT
    assert len(posts(emulator)) == 2
    assert Job.objects.count() == 1
    assert len(Attempt.objects.get().note["sent_request_ids"]) == 2


def test_no_event_no_call(
    emulator: Emulator, draft: ExportRequest, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("segadmin.audit.chain.secrets.token_hex", broken)
    with pytest.raises(NotRecorded, match="disk full"):
        send(actor, draft)
    assert posts(emulator) == []
    draft.refresh_from_db()
    assert draft.state == RequestState.DRAFT
    assert not Attempt.objects.exists()


def test_an_attempt_left_open_is_closed_as_unknown_and_found(
    emulator: Emulator, draft: ExportRequest, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process killed between the call and its outcome leaves behind."""
    sync.once()

    def killed(*_args: object, **_kwargs: object) -> None:
        raise SystemExit

    monkeypatch.setattr(actions, "_done", killed)
    with pytest.raises(SystemExit):
        send(actor, draft)
    assert len(posts(emulator)) == 1
    attempt = Attempt.objects.get()
    assert attempt.state == Attempt.State.OPEN
    sync.once()
    assert Job.objects.get().origin == Origin.MATCHING
    Attempt.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    sync.once()
    draft.refresh_from_db()
    assert draft.state == RequestState.SENT
    assert draft.job == Job.objects.get()
    assert outcomes() == ["export.create:requested", "export.create:unknown", "export.settle:succeeded"]


def test_a_late_answer_and_sync_do_not_both_win(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    sync.once()
    from segadmin import connect

    real = connect.writer

    def slow(attempt: Attempt) -> Any:
        writer = real(attempt)
        inner = writer.create

        def create(body: Any) -> Any:
            reply = inner(body)
            Attempt.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
            settlement.close_stale()
            return reply

        writer.create = create  # type: ignore[method-assign]
        return writer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "writer", slow)
        sent = send(actor, draft)
    assert sent.state == RequestState.SENT
    assert Job.objects.count() == 1
    assert outcomes() == ["export.create:requested", "export.create:unknown", "export.settle:succeeded"]
    assert EventContent.objects.filter(outcome=Outcome.UNKNOWN).count() == 1


def test_only_an_open_attempt_gives_a_writer(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    from segadmin import connect

    send(actor, draft)
    with pytest.raises(PermissionError):
        connect.writer(Attempt.objects.select_related("sandbox__organization").get())
    with pytest.raises(PermissionError):
        connect.writer(Attempt(sandbox=draft.sandbox))


def test_the_number_of_sends_a_minute_is_limited(
    emulator: Emulator, live_prod: Sandbox, author: User, actor: Actor
) -> None:
    from segadmin.actions import limits

    for _ in range(limits.SENDS_A_MINUTE):
        limits.spend("send", actor.name)
    draft = save(emulator, live_prod, author, actor)
    with pytest.raises(actions.NotAllowed, match="many exports"):
        send(actor, draft)
    assert posts(emulator) == []
