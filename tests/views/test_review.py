"""The review and the send: what is told before, that one POST goes out at most, and what became of it."""

import json
import shlex
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from segadmin import sync
from segadmin.actions import requests as actions
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Attempt,
    EventContent,
    ExportRequest,
    Job,
    Name,
    RequestState,
    Role,
    Sandbox,
    Settlement,
    State,
    User,
)
from tests.conftest import make_person, signed_in
from tests.factories import make_job, make_name, make_request
from tests.upstream import NOBODY, body_for

NEW = "/orgs/acme/prod/jobs/new/"
PLAIN: dict[str, Any] = {
    "fields": "personalEmail.address",
    "filter": {"segments": [{"segmentId": "seg-lapsed"}]},
    "destination": {"datasetId": "5b7c86968f7b6501e21ba9df"},
    "schema": {"name": "_xdm.context.profile"},
}


def make_draft(sandbox: Sandbox, author: User, body: dict[str, Any] | None = None, **values: Any) -> ExportRequest:
    chosen = {"purpose": "Win-back letter in July", "recipient": "CRM team", "ticket": "MK-311", **values}
    return actions.save_draft(
        actor=Actor.command("test"),
        author=author,
        sandbox=sandbox,
        typed={"purpose": [chosen["purpose"]]},
        body=PLAIN if body is None else body,
        who="audiences",
        which="these",
        legal_basis="Consent",
        **chosen,
    )


def url(row: ExportRequest, more: str = "") -> str:
    return f"/orgs/{row.sandbox.organization.slug}/{row.sandbox.name}/requests/{row.uuid}/{more}"


def page(response: Any, status: int = 200) -> str:
    assert response.status_code == status
    return " ".join(response.content.decode().split())


@pytest.fixture
def client(operator: User) -> Client:
    return signed_in(operator)


# What is told before sending -----------------------------------------------------------------------------------------


def test_it_tells_sentence_purpose_json_and_curl(client: Client, prod: Sandbox, operator: User) -> None:
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers", profiles=41200)
    make_name(prod, Name.Kind.DATASET, "5b7c86968f7b6501e21ba9df", "CRM out", union=True)
    draft = make_draft(prod, operator)
    text = page(client.get(url(draft)))
    assert "operator asks to export <b>e-mail</b> of everyone who was in “Lapsed buyers”" in text
    assert "from <b>Acme Retail / prod</b> to dataset <b>“CRM out”</b>, at most 41,200 profiles." in text
    assert "For: “Win-back letter in July” · ticket MK-311 · goes to CRM team · legal basis: Consent" in text
    assert "&quot;segmentId&quot;: &quot;seg-lapsed&quot;" in text
    assert f'name="version" value="{draft.version}"' in text
    assert "The record is written first. If that fails, nothing is sent." in text
    assert 'name="confirm"' not in text
    assert "data-once" in text


def test_the_curl_command_is_quoted_and_holds_no_secret(prod: Sandbox, operator: User) -> None:
    from segadmin.queries import requests as queries

    body = {**PLAIN, "destination": {"datasetId": "a'b; rm -rf $HOME `id`"}}
    words = shlex.split(queries.as_curl(make_draft(prod, operator, body)).replace("\\\n", " "))
    assert words[:3] == ["curl", "-X", "POST"]
    assert words[3] == "https://platform.adobe.io/data/core/ups/export/jobs"
    assert "Authorization: Bearer $TOKEN" in words
    assert "x-sandbox-name: prod" in words
    assert "x-gw-ims-org-id: AC3E0000@AdobeOrg" in words
    assert json.loads(words[words.index("--data-raw") + 1]) == body


def test_markup_in_what_was_typed_stays_text(client: Client, prod: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator, purpose="<script>alert(1)</script>", recipient='"><b>', ticket="<i>")
    text = page(client.get(url(draft)))
    assert "<script>alert" not in text
    assert "<i>" not in text.replace("<i></i>", "").split('class="split"')[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"destination": {"datasetId": "unknown-1"}}, "segadmin doesn’t know this dataset."),
        ({"destination": {"datasetId": "web-logs"}}, "“Web logs” is not on the union profile schema."),
        ({"filter": {"segments": [{"segmentId": "unknown-2"}]}}, "segadmin doesn’t know the audience unknown-2."),
        ({"filter": {"segments": [{"segmentId": "seg-empty"}]}}, "“Nobody yet” was empty"),
        ({"filter": {"segments": [{"segmentId": "seg-new"}]}}, "“Made today” was never evaluated."),
        ({"filter": {"segments": [{"segmentId": "seg-upload"}]}}, "does not come from Adobe’s segments."),
        ({"fields": "personalEmail,loyalty.tire"}, "segadmin doesn’t know loyalty.tire."),
        ({"additionalFields": {"eventList": {"fields": "_id"}}}, "The events have no start."),
        ({}, "prod is production."),
    ],
)
def test_it_warns(client: Client, prod: Sandbox, operator: User, body: dict[str, Any], words: str) -> None:
    make_name(prod, Name.Kind.DATASET, "5b7c86968f7b6501e21ba9df", "CRM out", union=True)
    make_name(prod, Name.Kind.DATASET, "web-logs", "Web logs", union=False)
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers", profiles=41200)
    make_name(prod, Name.Kind.AUDIENCE, "seg-empty", "Nobody yet", profiles=0)
    make_name(prod, Name.Kind.AUDIENCE, "seg-new", "Made today", evaluated_at=None)
    upload = make_name(prod, Name.Kind.AUDIENCE, "seg-upload", "Uploaded")
    Name.objects.filter(pk=upload.pk).update(namespace="CustomerAudienceUpload")
    make_name(prod, Name.Kind.FIELD, "personalEmail.address", "Address")
    quiet = page(client.get(url(make_draft(prod, operator))))
    text = page(client.get(url(make_draft(prod, operator, {**PLAIN, **body}))))
    assert words in text
    assert not body or words not in quiet


def test_it_says_when_names_were_never_read(client: Client, prod: Sandbox, operator: User) -> None:
    text = page(client.get(url(make_draft(prod, operator))))
    assert "The dataset could not be checked." in text
    assert "The audiences could not be checked." in text


@pytest.mark.parametrize(
    ("state", "minutes", "dataset", "words"),
    [
        (State.RUNNING, 12, "other", "“seg-lapsed” is being exported to another dataset now"),
        (State.RUNNING, 12, "5b7c86968f7b6501e21ba9df", "“seg-lapsed” is being exported to the same dataset now"),
        (State.SUCCEEDED, 120, "5b7c86968f7b6501e21ba9df", "“seg-lapsed” went to the same dataset lately"),
        (State.SUCCEEDED, 120, "other", ""),
        (State.SUCCEEDED, 1500, "5b7c86968f7b6501e21ba9df", ""),
        (State.FAILED, 12, "5b7c86968f7b6501e21ba9df", ""),
        (State.UNKNOWN, 60 * 24 * 30, "other", ""),
    ],
)
def test_it_warns_of_the_same_audience(
    client: Client, prod: Sandbox, operator: User, state: State, minutes: int, dataset: str, words: str
) -> None:
    make_job(prod, "24130", state, minutes_ago=minutes, dataset_id=dataset)
    text = page(client.get(url(make_draft(prod, operator))))
    assert (words in text) if words else ("Send this only if you want both" not in text)


def test_limits_and_the_last_export_are_told(client: Client, prod: Sandbox, operator: User) -> None:
    make_job(prod, "24090", minutes_ago=3000, profiles=40871)
    filters = {**PLAIN["filter"], "fromIngestTimestamp": "2026-07-01T00:00:00Z", "emptyProfiles": True}
    body = {**PLAIN, "filter": filters, "mergePolicy": {"id": "mp-1", "version": 2}}
    text = page(client.get(url(make_draft(prod, operator, body))))
    assert "only profiles changed in Adobe after 1 July 2026 00:00:00 UTC" in text
    assert "also people known only from events" in text
    assert "mp-1, version 2" in text
    assert "40,871 profiles" in text


def test_an_incomplete_draft_leads_back_to_the_form(client: Client, prod: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator, {})
    assert client.get(url(draft))["Location"] == url(draft, "edit/")
    assert client.post(url(draft))["Location"] == url(draft, "edit/")


# Confirming ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(live_prod: Sandbox) -> Sandbox:
    sync.once()
    return live_prod


@pytest.fixture
def author(live: Sandbox) -> User:
    return make_person("operator", Role.OPERATOR, organization=live.organization)


@pytest.fixture
def sender(author: User) -> Client:
    return signed_in(author)


def posts(emulator: Emulator) -> list[Any]:
    return [item for item in emulator.requests if item.method == "POST" and "export/jobs" in item.path]


EVERYTHING: list[tuple[dict[str, str], str]] = [
    ({}, "Type prod, the sandbox’s name"),
    ({"confirm": "prod"}, "Tick this if all fields are meant"),
    ({"confirm": "stage", "all_fields": "on", "events": "on"}, "Type prod, the sandbox’s name"),
    ({"confirm": "PROD", "all_fields": "on", "events": "on"}, "Type prod, the sandbox’s name"),
    ({"confirm": "prod", "all_fields": "on"}, "Tick this if the events are meant"),
]


@pytest.mark.parametrize(("given", "words"), EVERYTHING)
def test_what_widens_needs_its_own_confirmation(
    emulator: Emulator, live: Sandbox, author: User, sender: Client, given: dict[str, str], words: str
) -> None:
    body = {key: value for key, value in body_for(emulator).items() if key in ("destination", "schema")}
    body["additionalFields"] = {"eventList": {"filter": {"fromIngestTimestamp": "2026-07-01T00:00:00Z"}}}
    draft = make_draft(live, author, body)
    shown = page(sender.get(url(draft)))
    for name in ("confirm", "all_fields", "events"):
        assert f'name="{name}"' in shown
    text = page(sender.post(url(draft), {"version": draft.version, **given}))
    assert words in text
    assert 'role="alert"' in text
    assert posts(emulator) == []
    draft.refresh_from_db()
    assert draft.state == RequestState.DRAFT
    everything = {"version": draft.version, "confirm": " prod ", "all_fields": "on", "events": "on"}
    assert sender.post(url(draft), everything).status_code == 302
    assert json.loads(posts(emulator)[0].body) == body
    told = json.loads(EventContent.objects.get(action=Action.EXPORT_CREATE, outcome="requested").text)["details"]
    assert told["confirmed"] == ["all_fields", "events", "everyone"]


# Sending -------------------------------------------------------------------------------------------------------------


def fill_in(emulator: Emulator, **more: str) -> dict[str, Any]:
    body = body_for(emulator, audiences=2)
    [first, second] = [item["segmentId"] for item in body["filter"]["segments"]]  # type: ignore[index]
    return {
        "destination__datasetId": body["destination"]["datasetId"],  # type: ignore[index]
        "schema__name": "_xdm.context.profile",
        "who": "audiences",
        "which": "these",
        "fields": "identityMap,personalEmail.address",
        "filter__segments-TOTAL_FORMS": "2",
        "filter__segments-INITIAL_FORMS": "0",
        "filter__segments-0-segmentId": first,
        "filter__segments-1-segmentId": second,
        "filter__segments-1-segmentNs": "ups",
        "mergePolicy__id": "timestampOrdered-none-mp",
        "filter__fromIngestTimestamp": "2026-07-01 00:00",
        "purpose": "Win-back letter in July",
        "ticket": "MK-311",
        **more,
    }


def test_from_the_form_to_the_job(emulator: Emulator, live: Sandbox, author: User, sender: Client) -> None:
    typed = fill_in(emulator)
    review = sender.post(NEW, typed)["Location"]
    page(sender.get(review))
    sent = sender.post(review, {"version": "1"})
    job = Job.objects.get()
    assert sent["Location"] == f"/orgs/acme/prod/jobs/{job.job_id}/"
    [post] = posts(emulator)
    assert json.loads(post.body) == {
        "fields": "identityMap,personalEmail.address",
        "mergePolicy": {"id": "timestampOrdered-none-mp"},
        "filter": {
            "segments": [
                {"segmentId": typed["filter__segments-0-segmentId"]},
                {"segmentId": typed["filter__segments-1-segmentId"], "segmentNs": "ups"},
            ],
            "fromIngestTimestamp": "2026-07-01T00:00:00Z",
        },
        "destination": {"datasetId": typed["destination__datasetId"]},
        "schema": {"name": "_xdm.context.profile"},
    }
    headers = {name.lower(): value for name, value in post.headers.items()}
    tenant = emulator.tenant("acme")
    assert (headers["x-api-key"], headers["x-gw-ims-org-id"]) == (tenant.client_id, tenant.ims_org_id)
    assert headers["x-sandbox-name"] == "prod"
    assert headers["content-type"].startswith("application/json")
    assert headers["authorization"].startswith("Bearer ")
    rows = EventContent.objects.filter(action=Action.EXPORT_CREATE).order_by("event_id")
    assert [(row.actor_name, row.outcome) for row in rows] == [("operator", "requested"), ("operator", "succeeded")]
    assert (job.person, job.export_request.purpose) == ("operator", "Win-back letter in July")  # type: ignore[union-attr]


def test_submitting_reloading_and_going_back_make_one_job(
    emulator: Emulator, live: Sandbox, author: User, sender: Client
) -> None:
    typed = fill_in(emulator, form_key="k1")
    review = sender.post(NEW, typed)["Location"]
    first = sender.post(review, {"version": "1"})["Location"]
    for _again in range(2):
        assert sender.post(review, {"version": "1"})["Location"] == first
    assert sender.post(review, {})["Location"] == first
    assert sender.post(f"{review}edit/", typed)["Location"] == first
    assert sender.get(f"{review}edit/")["Location"] == first
    assert sender.post(NEW, typed)["Location"] == first
    assert sender.post(f"{review}discard/")["Location"] == first
    assert f'href="{first}"' in page(sender.get(review))
    assert len(posts(emulator)) == 1
    assert Job.objects.count() == 1


def test_a_client_that_names_no_version_means_the_stored_one(
    emulator: Emulator, live: Sandbox, author: User, sender: Client
) -> None:
    draft = make_draft(live, author, body_for(emulator))
    assert "/jobs/" in sender.post(url(draft))["Location"]


def test_a_draft_that_changed_since_is_shown_again(
    emulator: Emulator, live: Sandbox, author: User, sender: Client
) -> None:
    draft = make_draft(live, author, body_for(emulator))
    reviewed = draft.version
    make_draft(live, author, body_for(emulator), purpose="Something else", export_request=draft)
    response = sender.post(url(draft), {"version": reviewed})
    assert response["Location"] == url(draft)
    text = page(sender.get(url(draft)))
    assert "It was changed since you reviewed it" in text
    assert "Something else" in text
    assert posts(emulator) == []
    page(sender.post(url(draft), {"version": "x"}))
    assert posts(emulator) == []


def test_a_refusal_is_told_with_adobes_words_and_stands_at_the_field(
    emulator: Emulator, live: Sandbox, author: User, sender: Client
) -> None:
    review = sender.post(NEW, fill_in(emulator))["Location"]
    message = "destination.datasetId is <not> known"
    emulator.faults.set(endpoint="jobs.create", status=400, shape="problem", message=message, times=1)
    assert sender.post(review, {"version": "1"})["Location"] == review
    text = page(sender.get(review))
    row = ExportRequest.objects.get()
    assert row.state == RequestState.REFUSED
    assert "Adobe refused it. No job was made." in text
    assert "destination.datasetId is &lt;not&gt; known" in text
    if row.answer["adobe_request_id"]:
        assert row.answer["adobe_request_id"][-5:] in text
    assert 'data-poll-seconds="5"' not in text
    form = page(sender.get(url(row, "edit/")))
    assert 'href="#id_destination__datasetId"' in form
    assert "Adobe said:" in form
    typed = fill_in(emulator, purpose="Win-back letter in August")
    assert sender.post(url(row, "edit/"), typed)["Location"] == review
    row.refresh_from_db()
    assert "/jobs/" in sender.post(review, {"version": row.version})["Location"]
    assert len(posts(emulator)) == 2


def test_what_never_reached_adobe_may_be_sent_again(
    emulator: Emulator, live: Sandbox, author: User, sender: Client
) -> None:
    draft = make_draft(live, author, body_for(emulator))
    organization = live.organization
    organization.api_url = f"http://{NOBODY}"
    organization.save()
    assert sender.post(url(draft), {"version": draft.version})["Location"] == url(draft)
    text = page(sender.get(url(draft)))
    assert "It was not sent. It is safe to send it again." in text
    organization.api_url = emulator.url
    organization.save()
    draft.refresh_from_db()
    assert "/jobs/" in sender.post(url(draft), {"version": draft.version})["Location"]
    assert len(posts(emulator)) == 1


def test_a_lost_answer_is_looked_for_and_never_sent_again(
    emulator: Emulator, live: Sandbox, author: User, sender: Client
) -> None:
    draft = make_draft(live, author, body_for(emulator))
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    assert sender.post(url(draft), {"version": draft.version})["Location"] == url(draft)
    text = page(sender.get(url(draft)))
    assert "Sent, but Adobe’s answer was lost. Please don’t send it again yet." in text
    assert "Looking for it until" in text
    assert "Send this export" not in text
    assert sender.post(url(draft), {})["Location"] == url(draft)
    poll = text.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")
    assert sender.get(poll, headers={"HX-Request": "true"}).status_code == 204
    sync.once()
    part = page(sender.get(poll, headers={"HX-Request": "true"}))
    job = Job.objects.get()
    assert f'href="/orgs/acme/prod/jobs/{job.job_id}/"' in part
    assert "data-poll-seconds" not in part
    assert "<html" not in part
    assert len(posts(emulator)) == 1
    assert sender.post(url(draft), {})["Location"].endswith(f"/jobs/{job.job_id}/")


def lose(emulator: Emulator, live: Sandbox, author: User, sender: Client, twins: int) -> ExportRequest:
    draft = make_draft(live, author, body_for(emulator))
    emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
    sender.post(url(draft), {"version": draft.version})
    for _ in range(twins):
        emulator.add_job("acme", "prod", draft.body)
    sync.once()
    return draft


@pytest.mark.parametrize("choice", ["first", "none"])
def test_a_person_settles_what_several_jobs_may_be(
    emulator: Emulator, live: Sandbox, author: User, sender: Client, choice: str
) -> None:
    draft = lose(emulator, live, author, sender, twins=2)
    first, second = Job.objects.order_by("pk")
    text = page(sender.get(url(draft)))
    for job in (first, second):
        assert f'name="job_id" value="{job.job_id}"' in text
    for nothing in ({}, {"job_id": "999"}):
        assert sender.post(url(draft, "settle/"), nothing)["Location"] == url(draft)
    assert Attempt.objects.get().settlement == Settlement.PERSON
    chosen = first.job_id if choice == "first" else "none"
    after = sender.post(url(draft, "settle/"), {"job_id": chosen})
    draft.refresh_from_db()
    if choice == "first":
        assert after["Location"].endswith(f"/jobs/{first.job_id}/")
        assert draft.state == RequestState.SENT
    else:
        assert draft.state == RequestState.RELEASED
        assert "you may send it again" in page(sender.get(url(draft)))
        assert f"/jobs/new/?again={draft.uuid}" in page(sender.get(url(draft)))
    assert sender.post(url(draft, "settle/"), {"job_id": second.job_id})["Location"] == after["Location"]
    assert EventContent.objects.filter(action=Action.EXPORT_SETTLE, actor_name="operator").count() == 1


# Who may -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("viewer", 403), ("auditor", 403), ("admin", 404), ("stranger", 404)])
def test_a_draft_is_its_authors_alone(
    request: pytest.FixtureRequest, prod: Sandbox, operator: User, name: str, status: int
) -> None:
    draft = make_draft(prod, operator)
    client = signed_in(request.getfixturevalue(name))
    for more in ("", "edit/"):
        assert client.get(url(draft, more)).status_code == status
    for more in ("", "edit/", "discard/", "settle/"):
        assert client.post(url(draft, more), {}).status_code == status
    assert EventContent.objects.filter(action="access.refused").exists()
    draft.refresh_from_db()
    assert draft.state == RequestState.DRAFT


@pytest.mark.parametrize("name", ["viewer", "approver", "auditor", "admin"])
def test_what_was_sent_is_read_by_everyone_in_the_org_and_changed_by_nobody_else(
    request: pytest.FixtureRequest, prod: Sandbox, operator: User, name: str
) -> None:
    row = make_request(prod, operator, RequestState.REFUSED, answer={"message": "Adobe refuses this."})
    client = signed_in(request.getfixturevalue(name))
    text = page(client.get(url(row)))
    assert "Adobe refuses this." in text
    assert "Send it again" not in text
    assert client.post(url(row), {"version": row.version}).status_code in (302, 403)
    assert client.post(url(row, "discard/")).status_code in (302, 403)
    assert client.get(url(row, "edit/")).status_code in (302, 403)
    row.refresh_from_db()
    assert row.state == RequestState.REFUSED
    assert not EventContent.objects.filter(action=Action.EXPORT_CREATE).exists()


@pytest.mark.parametrize("state", [state for state in RequestState if state != RequestState.DRAFT])
def test_every_state_has_its_words(client: Client, prod: Sandbox, operator: User, state: RequestState) -> None:
    row = make_request(prod, operator, state)
    text = page(client.get(url(row)))
    assert f'id="request-status" class="stack" data-state="{state}"' in text
    assert "Send this export" not in text or state == RequestState.NOT_SENT


def test_other_ways_of_asking_are_refused(client: Client, prod: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator)
    assert client.get(url(draft, "discard/")).status_code == 405
    assert client.get(url(draft, "settle/")).status_code == 405
    assert client.put(url(draft)).status_code == 405
    assert client.get(url(draft).replace("acme/prod", "acme/nope")).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    for more in ("", "discard/", "settle/", "edit/"):
        assert strict.post(url(draft, more), {}).status_code == 403


def test_a_sandbox_that_became_read_only_sends_nothing(client: Client, prod: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator)
    prod.exports_allowed = False
    prod.save()
    text = page(client.get(url(draft)))
    assert "read-only in segadmin" in text
    assert "Send this export" not in text
    assert "read-only in segadmin" in page(client.post(url(draft), {"version": draft.version}), 403)


def test_too_many_sends_in_a_minute_wait(client: Client, prod: Sandbox, operator: User) -> None:
    from segadmin.actions import limits

    for _ in range(limits.SENDS_A_MINUTE):
        limits.spend("send", operator.get_username())
    draft = make_draft(prod, operator)
    assert "many exports in this minute" in page(client.post(url(draft), {"version": draft.version}))


def test_the_page_costs_the_same_however_much_there_is(
    client: Client, prod: Sandbox, operator: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        make_name(prod, Name.Kind.AUDIENCE, f"seg-{number}", f"Audience {number}")
        make_job(prod, f"{number}", State.RUNNING, audience_ids=[f"seg-{number}"], sort_at=timezone.now())
    body = {**PLAIN, "filter": {"segments": [{"segmentId": f"seg-{number}"} for number in range(30)]}}
    draft = make_draft(prod, operator, body)
    with django_assert_max_num_queries(25):
        page(client.get(url(draft)))
