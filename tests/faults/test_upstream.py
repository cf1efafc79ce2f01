"""Faults of Adobe as people meet them: what is sent, what is on record, and what the pages say. Faults 2, 3, 7, 12, 13, 24."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from segadmin import sync
from segadmin.actions import jobs as job_actions
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator, RecordedRequest
from segadmin.models import (
    Attempt,
    ExportRequest,
    Job,
    Organization,
    RequestState,
    Role,
    Sandbox,
    State,
    User,
)
from tests.actions.test_send import outcomes, save, send
from tests.conftest import make_person, signed_in
from tests.upstream import body_for, connect

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(live_acme: Organization) -> User:
    return make_person("operator", Role.OPERATOR, organization=live_acme)


@pytest.fixture
def draft(emulator: Emulator, live_prod: Sandbox, person: User, actor: Actor) -> ExportRequest:
    return save(emulator, live_prod, person, actor)


def fresh(draft: ExportRequest) -> ExportRequest:
    return ExportRequest.objects.select_related("sandbox__organization").get(pk=draft.pk)


def seen(emulator: Emulator, endpoint: str) -> list[RecordedRequest]:
    return [item for item in emulator.requests if item.endpoint == endpoint]


def page_of(draft: ExportRequest, person: User) -> str:
    """The page's words; ids are cut in two by markup."""
    page = signed_in(person).get(f"/orgs/acme/prod/requests/{draft.uuid}/").content.decode()
    return re.sub(r"<[^>]*>", "", page)


def jobs_page(person: User) -> str:
    return signed_in(person).get("/jobs/").content.decode()


def test_401_always_is_one_refresh_and_then_said(
    emulator: Emulator, draft: ExportRequest, person: User, actor: Actor
) -> None:
    emulator.faults.set(endpoint="jobs.*", status=401)
    sent = send(actor, draft)
    assert sent.state == RequestState.REFUSED
    assert (len(seen(emulator, "jobs.create")), len(seen(emulator, "token"))) == (2, 2)
    assert outcomes() == ["export.create:requested", "export.create:failed"]
    assert len(Attempt.objects.get().note["sent_request_ids"]) == 2
    assert sent.answer["message"] in page_of(draft, person)
    emulator.forget_requests()
    assert len(sync.once()) == 2
    assert len(seen(emulator, "jobs.list")) <= 4, "each sandbox tries twice at most"


def test_403_is_said_with_adobes_request_and_not_tried_again(
    emulator: Emulator, draft: ExportRequest, person: User, actor: Actor
) -> None:
    emulator.faults.set(
        endpoint="jobs.create", status=403, shape="policy", message="Missing permission: manage segments"
    )
    sent = send(actor, draft)
    [post] = seen(emulator, "jobs.create")
    assert len(seen(emulator, "token")) == 1
    assert sent.answer["adobe_request_id"] == post.headers["x-request-id"]
    page = page_of(draft, person)
    assert "Missing permission: manage segments" in page
    assert post.headers["x-request-id"] in page


def test_429_stops_every_call_to_that_org_until_the_time_adobe_named(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, person: User, actor: Actor
) -> None:
    other = connect(emulator, "nordwind")
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    emulator.faults.set(endpoint="jobs.create", status=429, retry_after="600", times=1)
    sent = send(actor, draft)
    assert sent.state == RequestState.NOT_SENT
    until = datetime.fromisoformat(sent.answer["retry_at"])
    assert timedelta(seconds=590) < until - timezone.now() <= timedelta(seconds=600)
    assert f"{until:%H:%M}" in page_of(draft, person)

    emulator.forget_requests()
    told = sync.once()
    assert all(f"{until:%H:%M}" in line for line in told)
    assert len(told) == 2
    Job.objects.update(last_seen_at=timezone.now() - timedelta(minutes=1))
    job = Job.objects.select_related("sandbox__organization").get()
    assert not job_actions.check(actor=actor, job=job).ok
    assert job_actions.cancel(actor=actor, job=job, reason="wrong").kind == "unreadable"
    assert send(actor, fresh(draft)).state == RequestState.NOT_SENT
    assert {item.ims_org_id for item in emulator.requests} == {other.ims_org_id}, "only the other org is called"
    with time_machine.travel(until.astimezone(UTC) + timedelta(seconds=1)):
        Attempt.objects.update(deadline_at=timezone.now() + timedelta(hours=1))
        assert send(actor, fresh(draft)).state == RequestState.SENT


@contextlib.contextmanager
def nobody_accepts() -> Iterator[str]:
    """An address whose queue of waiting connections is full: connecting there takes for ever."""
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_connecting_takes_for_ever_so_it_was_surely_not_sent(
    emulator: Emulator, draft: ExportRequest, live_acme: Organization, actor: Actor, settings: object
) -> None:
    sync.once()  # a token is at hand
    with nobody_accepts() as address:
        settings.UPSTREAM_HOSTS = frozenset({*settings.UPSTREAM_HOSTS, address})  # type: ignore[attr-defined]
        Organization.objects.filter(pk=live_acme.pk).update(api_url=f"http://{address}")
        begun = time.monotonic()
        assert send(actor, fresh(draft)).state == RequestState.NOT_SENT
        assert time.monotonic() - begun < 10
    assert outcomes() == ["export.create:requested", "export.create:failed"]
    Organization.objects.filter(pk=live_acme.pk).update(api_url=emulator.url)
    assert send(actor, fresh(draft)).state == RequestState.SENT
    assert len(seen(emulator, "jobs.create")) == 1


def test_a_list_that_does_not_come_leaves_the_old_one_with_its_age(
    emulator: Emulator, live_prod: Sandbox, person: User
) -> None:
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Sandbox.objects.update(last_read_at=an_hour_ago)
    emulator.faults.set(endpoint="jobs.list", sandbox="prod", hang=True)
    [told] = sync.once()
    job = Job.objects.get()
    live_prod.refresh_from_db()
    assert (job.state, live_prod.last_read_at) == (State.WAITING, an_hour_ago)
    page = jobs_page(person)
    assert f'data-job-id="{job.job_id}"' in page
    assert "Acme Retail / prod not read since" in page
    assert live_prod.last_error in told


def test_a_name_that_does_not_resolve_is_said_and_others_go_on(
    emulator: Emulator, live_prod: Sandbox, person: User, settings: object
) -> None:
    connect(emulator, "nordwind")
    emulator.add_job("nordwind", "prod", body_for(emulator, "nordwind"))
    settings.UPSTREAM_HOSTS = frozenset({*settings.UPSTREAM_HOSTS, "nowhere.invalid"})  # type: ignore[attr-defined]
    Organization.objects.filter(pk=live_prod.organization_id).update(
        api_url="https://nowhere.invalid", token_url="https://nowhere.invalid/ims/token/v3"
    )
    told = sync.once()
    assert len(told) == 2
    assert all("nowhere.invalid" in line for line in told)
    assert Job.objects.get().sandbox.organization.slug == "nordwind"
    assert "nowhere.invalid" in jobs_page(person)
