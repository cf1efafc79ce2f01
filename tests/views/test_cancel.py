"""Cancelling: a confirmation of its own, a reason that is kept, calm answers, and the checks afterwards."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from segadmin import sync
from segadmin.emulator.server import Emulator
from segadmin.models import Action, EventContent, Job, Origin, Role, Sandbox, State, User
from tests.conftest import make_person, signed_in
from tests.factories import make_job, make_request
from tests.upstream import Clock, body_for
from tests.views.pages import get, text_of

pytestmark = pytest.mark.django_db
PAGE = "/orgs/acme/prod/jobs/24127/"
URL = f"{PAGE}cancel/"


@pytest.fixture
def running(operator: User, prod: Sandbox) -> Job:
    request = make_request(prod, operator)
    return make_job(prod, state=State.RUNNING, export_request=request, origin=Origin.HERE, person="operator")


@pytest.fixture
def live(emulator: Emulator, live_prod: Sandbox) -> Job:
    """A job that goes on at the emulated Adobe."""
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    return Job.objects.get()


@pytest.fixture
def live_operator(live_prod: Sandbox) -> Client:
    return signed_in(make_person("m.lead", Role.OPERATOR, organization=live_prod.organization))


def address(job: Job, more: str = "") -> str:
    return f"/orgs/acme/prod/jobs/{job.job_id}/{more}"


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def deletes(emulator: Emulator) -> list[Any]:
    return [item for item in emulator.requests if item.method == "DELETE"]


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("operator", 200), ("approver", 200), ("admin", 200)])
def test_these_may_cancel(request: pytest.FixtureRequest, name: str, status: int, running: Job) -> None:
    assert signed_in(request.getfixturevalue(name)).get(URL).status_code == status


@pytest.mark.parametrize("name", ["viewer", "auditor"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_these_may_not(request: pytest.FixtureRequest, name: str, method: str, running: Job) -> None:
    client = signed_in(request.getfixturevalue(name))
    response = getattr(client, method)(URL, {"reason": "because"})
    assert response.status_code == 403
    assert "operator" in text_of(response)
    assert EventContent.objects.filter(action=Action.ACCESS_REFUSED).count() == 1
    assert Job.objects.get().cancel_asked_at is None
    page = text_of(get(client, PAGE))
    assert "Cancelling needs the role operator, approver or admin in Acme Retail." in page


def test_another_orgs_job_is_404(running: Job, stranger: User) -> None:
    client = signed_in(stranger)
    assert client.get(URL).status_code == client.post(URL, {"reason": "x"}).status_code == 404


def test_without_the_forms_token_nothing_happens(running: Job, operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(URL, {"reason": "x"}).status_code == 403
    assert client.post(URL, {"reason": "x"}, headers={"HX-Request": "true"}).status_code == 403
    assert not EventContent.objects.filter(action=Action.EXPORT_CANCEL).exists()


# -- the confirmation -------------------------------------------------------------------------------------------------


def test_the_confirmation_names_what_is_cancelled_and_what_is_not_undone(running: Job, operator: User) -> None:
    said = text_of(get(signed_in(operator), URL))
    for words in (
        "Cancel this export?",
        "“Lapsed buyers” from Acme Retail / prod to dataset “CRM out”",
        "job 24127, asked for by operator",
        "about 41,200 profiles",
        "Data already written stays in “CRM out”.",
        "Running at Adobe",
        "Cancel this export Keep it running",
    ):
        assert words in said


def test_opening_it_is_no_event(running: Job, operator: User) -> None:
    get(signed_in(operator), URL)
    assert not EventContent.objects.exclude(action=Action.SIGN_IN).exists()


@pytest.mark.parametrize("data", [{}, {"reason": "  "}, {"why": "other"}, {"why": "bogus"}, {"reason": "x" * 501}])
def test_a_reason_is_needed_and_what_was_typed_stays(running: Job, operator: User, data: dict[str, str]) -> None:
    response = signed_in(operator).post(URL, data)
    assert response.status_code == 200
    assert "to put right" in text_of(response)
    assert data.get("reason", "").strip() in response.content.decode()
    assert not EventContent.objects.filter(action=Action.EXPORT_CANCEL).exists()
    assert signed_in(operator).post(URL, data, headers={"HX-Request": "true"}).status_code == 422


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": State.SUCCEEDED}, "It has finished, so there is nothing to cancel."),
        ({"state": State.FAILED}, "It has failed"),
        ({"state": State.CANCELLED}, "It is cancelled already."),
        ({"state": State.UNKNOWN, "missing_since_at": timezone.now()}, "Adobe no longer lists it"),
        ({"state": State.CANCELLING}, "Adobe is cancelling it already."),
        ({"state": State.CANCELLING, "cancel_asked_by": "m.lead"}, "Already being cancelled by m.lead since"),
    ],
)
def test_where_there_is_nothing_to_cancel_the_page_says_so(
    operator: User, prod: Sandbox, values: dict[str, Any], words: str
) -> None:
    make_job(prod, cancel_asked_at=timezone.now(), **values)
    page = get(signed_in(operator), URL)
    assert words in text_of(page)
    assert 'name="reason"' not in page.content.decode()


# -- what it does -----------------------------------------------------------------------------------------------------


def test_a_reason_alone_cancels_and_is_followed_to_the_end(
    emulator: Emulator, live: Job, live_operator: Client, adobe_clock: Clock
) -> None:
    response = live_operator.post(address(live, "cancel/"), {"reason": "Should have gone elsewhere"})
    assert response.status_code == 302
    assert response["Location"] == address(live)
    assert messages_of(response)[0].startswith("Cancel asked.")
    assert len(deletes(emulator)) == 1
    said = text_of(get(live_operator, address(live)))
    assert "Cancel asked by m.lead" in said
    assert "Cancelling does not take data back." in said
    assert "m.lead: Should have gone elsewhere" in said
    adobe_clock.advance(3600)
    sync.once()
    said = text_of(get(live_operator, address(live)))
    assert "Cancelled by m.lead" in said
    events = EventContent.objects.filter(action=Action.EXPORT_CANCEL).order_by("event_id")
    assert [event.outcome for event in events] == ["requested", "succeeded"]
    assert "Should have gone elsewhere" in events[0].sentence


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({"why": "dataset"}, "Wrong dataset"),
        ({"why": "dataset", "reason": "it was the old one"}, "Wrong dataset: it was the old one"),
        ({"why": "other", "reason": "a rehearsal"}, "a rehearsal"),
    ],
)
def test_a_common_reason_is_one_click(live: Job, live_operator: Client, data: dict[str, str], kept: str) -> None:
    live_operator.post(address(live, "cancel/"), data)
    assert Job.objects.get().cancel_reason == kept


def test_a_second_cancel_is_answered_calmly(emulator: Emulator, live: Job, live_operator: Client) -> None:
    live_operator.post(address(live, "cancel/"), {"reason": "first"})
    response = live_operator.post(address(live, "cancel/"), {"reason": "second"})
    assert response.status_code == 302
    assert "already being cancelled: m.lead asked" in messages_of(response)[-1]
    assert len(deletes(emulator)) == 1
    assert Job.objects.get().cancel_reason == "first"


def test_a_job_that_ended_meanwhile_is_not_cancelled(
    emulator: Emulator, live: Job, live_operator: Client, adobe_clock: Clock
) -> None:
    get(live_operator, address(live, "cancel/"))
    adobe_clock.advance(3600)
    response = live_operator.post(address(live, "cancel/"), {"reason": "too late"})
    assert response.status_code == 302
    assert "so there was nothing to cancel" in messages_of(response)[0]
    assert deletes(emulator) == []


def test_a_lost_answer_is_told_as_not_known(emulator: Emulator, live: Job, live_operator: Client) -> None:
    emulator.faults.set(method="DELETE", lost_answer=True, times=1)
    response = live_operator.post(address(live, "cancel/"), {"reason": "x"})
    assert messages_of(response) == ["Adobe's answer was lost. segadmin goes on asking how the job ends."]


def test_a_job_from_outside_can_be_cancelled_too(emulator: Emulator, live: Job, live_operator: Client) -> None:
    assert live.origin in (Origin.OUTSIDE, Origin.OLDER)
    assert "not asked for here" in text_of(get(live_operator, address(live, "cancel/")))
    live_operator.post(address(live, "cancel/"), {"reason": "nobody knows it"})
    assert len(deletes(emulator)) == 1


# -- afterwards -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cancelled(prod: Sandbox) -> Job:
    return make_job(
        prod,
        state=State.CANCELLED,
        cancel_asked_at=timezone.now(),
        cancel_asked_by="m.lead",
        cancel_reason="wrong dataset",
        cancel_result="acknowledged",
    )


BATCH = "01JZ4V8Q6W3N5T7Y24127"


def test_batches_that_may_hold_data_are_listed_until_somebody_checked_them(operator: User, cancelled: Job) -> None:
    client = signed_in(operator)
    said = text_of(get(client, PAGE))
    assert "To check afterwards" in said
    assert "may hold data" in said
    response = client.post(f"{PAGE}batches/", {"batch": BATCH, "note": "deleted it"})
    assert response["Location"] == PAGE
    event = EventContent.objects.get(action=Action.BATCH_CHECKED)
    assert event.sentence == f"checked batch {BATCH} of 24127: deleted it"
    said = text_of(get(client, PAGE))
    assert "operator" in said.split("Checked by")[1]
    assert "deleted it" in said.split("Checked by")[1]


@pytest.mark.parametrize("data", [{"batch": BATCH}, {"batch": BATCH, "note": " "}, {"batch": "other", "note": "x"}, {}])
def test_a_check_needs_a_batch_of_the_job_and_words(operator: User, cancelled: Job, data: dict[str, str]) -> None:
    response = signed_in(operator).post(f"{PAGE}batches/", data)
    assert response.status_code == 302
    assert len(messages_of(response)) == 1
    assert not EventContent.objects.exclude(action=Action.SIGN_IN).exists()


def test_who_may_not_cancel_may_not_tick_off_batches(viewer: User, stranger: User, cancelled: Job) -> None:
    data = {"batch": BATCH, "note": "x"}
    assert signed_in(viewer).post(f"{PAGE}batches/", data).status_code == 403
    assert signed_in(stranger).post(f"{PAGE}batches/", data).status_code == 404
    assert "nobody yet" in text_of(get(signed_in(viewer), PAGE))


def test_a_job_that_finished_all_the_same_says_that_the_data_is_there(operator: User, cancelled: Job) -> None:
    Job.objects.update(state=State.SUCCEEDED, profiles=1207)
    said = text_of(get(signed_in(operator), PAGE))
    assert "Finished although m.lead asked to cancel it · 1,207 profiles" in said
    assert "The data is in “5b7c86968f7b6501e21ba9df”." in said


def test_without_a_batch_the_page_says_where_to_look(operator: User, cancelled: Job) -> None:
    Job.objects.update(batch_ids=[])
    assert "Adobe named no batch of this job." in text_of(get(signed_in(operator), PAGE))
