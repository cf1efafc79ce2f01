"""The create form: what a POST keeps, where it leads, and that nothing typed is lost."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from segadmin.models import EventContent, ExportRequest, Name, Organization, RequestState, Role, Sandbox, User
from tests.conftest import make_person, make_sandbox, signed_in
from tests.factories import make_job, make_name, make_request, raw_job

NEW = "/orgs/acme/prod/jobs/new/"
DATASET = "5b7c86968f7b6501e21ba9df"
MINIMAL: dict[str, Any] = {
    "destination__datasetId": DATASET,
    "schema__name": "_xdm.context.profile",
    "who": "audiences",
    "which": "these",
    "fields": "personalEmail.address,identityMap",
    "filter__segments-0-segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff",
    "purpose": "Win-back letter in July",
}
BODY = {
    "fields": "personalEmail.address,identityMap",
    "filter": {"segments": [{"segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff"}]},
    "destination": {"datasetId": DATASET},
    "schema": {"name": "_xdm.context.profile"},
}


@pytest.fixture
def client(operator: User) -> Client:
    return signed_in(operator)


def page(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


def the_draft() -> ExportRequest:
    return ExportRequest.objects.get()


def test_it_shows_a_blank_form_that_preselects_nothing_wide(client: Client, prod: Sandbox) -> None:
    text = page(client.get(NEW))
    for name in ("destination__datasetId", "schema__name", "fields", "filter__segments-0-segmentId", "purpose"):
        assert f'name="{name}"' in text
    assert 'name="filter__segments-TOTAL_FORMS"' in text
    ticked = re.findall(r"<input[^>]*\bchecked\b[^>]*>", text)
    assert [re.findall(r'value="(\w+)"', tag) for tag in ticked] == [["audiences"], ["these"]]
    assert not ExportRequest.objects.exists()


def test_every_field_of_the_contract_is_on_the_page(client: Client, prod: Sandbox) -> None:
    from segadmin.forms.typed import HTML_NAMES, SEGMENTS

    text = page(client.get(NEW))
    for name in HTML_NAMES.values():
        row = name in {"segmentId", "segmentNs"}
        assert f'name="{SEGMENTS}-0-{name}"' in text if row else f'name="{name}"' in text
    assert f'name="{SEGMENTS}-0-status"' in text


def test_a_valid_form_is_kept_and_leads_to_the_review(client: Client, prod: Sandbox, operator: User) -> None:
    response = client.post(NEW, {**MINIMAL, "recipient": "CRM team", "ticket": "MK-311", "legal_basis": "consent"})
    draft = the_draft()
    assert response.status_code == 302
    assert response["Location"] == f"/orgs/acme/prod/requests/{draft.uuid}/"
    assert draft.body == BODY
    assert (draft.state, draft.author, draft.is_complete) == (RequestState.DRAFT, operator, True)
    assert (draft.purpose, draft.recipient, draft.ticket) == ("Win-back letter in July", "CRM team", "MK-311")
    assert (draft.legal_basis, draft.who, draft.which) == ("consent", "audiences", "these")
    assert not EventContent.objects.filter(action__startswith="export.").exists()


def test_names_from_the_cache_are_offered_and_understood(client: Client, prod: Sandbox) -> None:
    make_name(prod, Name.Kind.AUDIENCE, "seg-1", "Lapsed <buyers>", profiles=41200)
    make_name(prod, Name.Kind.DATASET, DATASET, "CRM out", union=True)
    make_name(prod, Name.Kind.DATASET, "0" * 24, "Web logs", union=False)
    make_name(prod, Name.Kind.FIELD, "loyalty.tier", "Loyalty tier")
    text = page(client.get(NEW))
    assert '<option value="Lapsed &lt;buyers&gt;">' in text
    assert '<option value="CRM out">' in text
    assert "Web logs" not in text
    assert 'name="fields" value="loyalty.tier"' in text
    names = {"filter__segments-0-segmentId": "lapsed <BUYERS>", "destination__datasetId": "crm out"}
    client.post(NEW, {**MINIMAL, **names})
    assert the_draft().body["filter"]["segments"] == [{"segmentId": "seg-1"}]
    assert the_draft().body["destination"]["datasetId"] == DATASET
    assert the_draft().names["audiences"][0]["name"] == "Lapsed <buyers>"


def test_a_form_with_faults_keeps_everything_typed_and_tells_each_fault(client: Client, prod: Sandbox) -> None:
    typed = {**MINIMAL, "purpose": "For MK-311", "filter__fromIngestTimestamp": "last <b>week</b>", "fields": "a b"}
    text = page(client.post(NEW, typed))
    draft = the_draft()
    assert 'href="#id_purpose"' in text
    assert "names the ticket only" in text
    assert 'href="#id_filter__fromIngestTimestamp"' in text
    assert 'value="last &lt;b&gt;week&lt;/b&gt;"' in text
    assert ">a b</textarea>" in text.replace("\n", "")
    assert f'action="/orgs/acme/prod/requests/{draft.uuid}/edit/"' in text
    assert (draft.is_complete, draft.body) == (False, {})
    assert draft.typed["filter__fromIngestTimestamp"] == ["last <b>week</b>"]
    assert draft.typed["purpose"] == ["For MK-311"]


def test_a_blank_form_is_told_what_is_missing_and_leaves_no_draft(client: Client, prod: Sandbox) -> None:
    text = page(client.post(NEW, {}))
    for words in ("Say whose profiles", "Say which fields", "Name the dataset", "Say what the export is for"):
        assert words in text
    assert not ExportRequest.objects.exists()


def test_the_same_form_again_is_the_same_draft(client: Client, prod: Sandbox) -> None:
    keyed = {**MINIMAL, "form_key": "k1"}
    first = client.post(NEW, keyed)
    second = client.post(NEW, {**keyed, "purpose": "Win-back letter in August"})
    assert first["Location"] == second["Location"]
    assert the_draft().purpose == "Win-back letter in August"
    client.post(NEW, {**MINIMAL, "form_key": "k2"})
    assert ExportRequest.objects.count() == 2


def test_going_back_after_sending_does_not_ask_for_it_again(client: Client, prod: Sandbox, operator: User) -> None:
    typed = {"form_key": ["k1"]}
    sent = make_request(prod, operator, RequestState.SENT, body=BODY, typed=typed)
    make_job(prod, "24127", export_request=sent)
    response = client.post(NEW, {**MINIMAL, "form_key": "k1"})
    assert response["Location"] == "/orgs/acme/prod/jobs/24127/"
    assert ExportRequest.objects.count() == 1
    assert client.post(NEW, {**MINIMAL, "form_key": "k1", "autosave": "1"}).status_code == 204
    other = client.post(NEW, {**MINIMAL, "form_key": "k1", "fields": "identityMap"})
    assert ExportRequest.objects.count() == 2
    assert str(sent.uuid) not in other["Location"]


def test_what_is_typed_is_kept_by_itself(client: Client, prod: Sandbox) -> None:
    typed = {"form_key": "k1", "purpose": "Win-back", "autosave": "1"}
    response = client.post(NEW, typed, headers={"HX-Request": "true"})
    assert "Kept as a draft" in page(response)
    assert response["HX-Replace-Url"] == f"/orgs/acme/prod/requests/{the_draft().uuid}/edit/"
    assert f"/requests/{the_draft().uuid}/discard/" in response.content.decode()
    assert client.post(NEW, {"form_key": "k2", "who": "audiences", "autosave": "1"}).status_code == 204
    response = client.post(NEW, {**MINIMAL, "form_key": "k1", "autosave": "1"})
    assert "asks to export" in page(response)
    assert the_draft().is_complete
    version = the_draft().version
    client.post(NEW, {**MINIMAL, "form_key": "k1", "autosave": "1"})
    assert the_draft().version == version


def test_keep_as_draft_and_more_rows_lead_back_to_the_form(client: Client, prod: Sandbox) -> None:
    response = client.post(NEW, {"purpose": "Win-back", "draft": "1"})
    edit = f"/orgs/acme/prod/requests/{the_draft().uuid}/edit/"
    assert response["Location"] == edit
    response = client.post(edit, {"purpose": "Win-back", "filter__segments-0-segmentId": "a-1", "more": "1"})
    assert response["Location"] == f"{edit}?more=1#audiences"
    text = page(client.get(f"{edit}?more=1"))
    assert 'name="filter__segments-3-segmentId"' in text
    assert 'value="a-1"' in text
    assert "things to put right" not in text


def test_signed_out_it_leads_to_sign_in_and_back(db: None, prod: Sandbox) -> None:
    assert Client().get(NEW)["Location"] == f"/accounts/login/?next={quote(NEW)}"
    response = Client().post(NEW, MINIMAL)
    assert response.status_code == 302
    assert not ExportRequest.objects.exists()


def test_the_recipient_of_the_datasets_last_export_is_filled_in(client: Client, prod: Sandbox, operator: User) -> None:
    make_request(prod, operator, recipient="CRM <team>", body=BODY)
    make_name(prod, Name.Kind.DATASET, DATASET, "CRM out", union=True)
    ask = {"part": "recipient", "destination__datasetId": "CRM out", "recipient": ""}
    assert 'value="CRM &lt;team&gt;"' in page(client.get(NEW, ask))
    assert client.get(NEW, {**ask, "recipient": "Agency"}).status_code == 204
    assert client.get(NEW, {**ask, "destination__datasetId": "other"}).status_code == 204


def test_among_many_audiences_those_typed_are_found(client: Client, prod: Sandbox) -> None:
    Name.objects.bulk_create(
        Name(sandbox=prod, kind="audience", external_id=f"s-{n}", name=f"Audience {n}", read_at=prod.created_at)
        for n in range(320)
    )
    text = page(client.get(NEW))
    assert "?part=audiences" in text
    assert text.count('<option value="Audience') == 300
    found = page(client.get(NEW, {"part": "audiences", "filter__segments-4-segmentId": "audience 31"}))
    assert found.count("<option") == 11
    assert client.get(NEW, {"part": "audiences"}).status_code == 204


def test_a_copy_of_a_job_is_filled_in(client: Client, prod: Sandbox, operator: User) -> None:
    sent = make_request(prod, operator, legal_basis="Consent")
    raw = raw_job("24127", filter={"segments": [{"segmentId": "seg-1", "segmentNs": "AAM", "status": "exited"}]})
    make_job(prod, "24127", raw=raw, export_request=sent)
    text = page(client.get(NEW, {"copy": "24127"}))
    assert "Filled in from 24127" in text
    for value in ("seg-1", "AAM", DATASET, "timestampOrdered-none-mp", "MK-311", "CRM team", "Consent"):
        assert f'value="{value}"' in text
    assert "Win-back letter in July" in text
    assert 'value="exited" id="id_filter__segments-0-status_2" checked' in text


def test_a_copy_of_everyone_asks_again(client: Client, prod: Sandbox) -> None:
    raw = raw_job("7")
    del raw["filter"], raw["fields"]
    make_job(prod, "7", raw=raw)
    text = page(client.get(NEW, {"copy": "7"}))
    assert "That one was of everyone" in text
    assert "That one had all fields" in text
    assert "checked" not in text.split('id="h-to"')[0].split('id="h-who"')[1]


def test_a_copy_of_a_request_is_filled_in_and_says_so(client: Client, prod: Sandbox, operator: User) -> None:
    released = make_request(prod, operator, RequestState.RELEASED)
    text = page(client.get(NEW, {"again": str(released.uuid)}))
    assert 'value="seg-lapsed"' in text
    client.post(NEW, {**MINIMAL, "copied_from": str(released.uuid)})
    assert ExportRequest.objects.get(state="draft").copied_from == str(released.uuid)


def test_only_what_the_person_may_see_is_copied(
    client: Client, prod: Sandbox, foreign: Sandbox, operator: User
) -> None:
    make_job(foreign, "99")
    other = make_request(prod, make_person("other", Role.OPERATOR, organization=prod.organization), RequestState.DRAFT)
    assert client.get(NEW, {"copy": "99"}).status_code == 404
    assert client.get(NEW, {"again": str(other.uuid)}).status_code == 404
    page(client.get(NEW, {"again": "junk"}))


# Who may -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("viewer", 403), ("approver", 403), ("auditor", 403), ("stranger", 404)])
def test_others_are_refused_and_it_is_on_record(
    request: pytest.FixtureRequest, prod: Sandbox, name: str, status: int
) -> None:
    client = signed_in(request.getfixturevalue(name))
    assert client.get(NEW).status_code == status
    assert client.post(NEW, MINIMAL).status_code == status
    assert not ExportRequest.objects.exists()
    assert EventContent.objects.filter(action="access.refused").count() == 2


@pytest.mark.parametrize("name", ["operator", "admin", "root"])
def test_who_may_create_can(request: pytest.FixtureRequest, prod: Sandbox, name: str) -> None:
    assert signed_in(request.getfixturevalue(name)).post(NEW, MINIMAL).status_code == 302


def test_a_sandbox_that_is_not_there_is_404(client: Client, prod: Sandbox) -> None:
    assert client.get("/orgs/acme/nope/jobs/new/").status_code == 404
    assert client.get("/orgs/nope/prod/jobs/new/").status_code == 404


@pytest.mark.parametrize("cause", ["read-only", "removed"])
def test_where_nothing_may_be_exported_it_says_why(
    client: Client, acme: Organization, operator: User, cause: str
) -> None:
    make_sandbox(acme, "prod", exports_allowed=cause != "read-only")
    if cause == "removed":
        acme.retired_at = acme.created_at
        acme.save()
    text = page(client.get(NEW))
    assert cause in text
    assert 'name="purpose"' not in text
    response = client.post(NEW, MINIMAL)
    assert response.status_code == 403
    assert "Win-back letter in July" in response.content.decode()
    assert not ExportRequest.objects.exists()


def test_a_post_without_the_token_is_refused(operator: User, prod: Sandbox) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    for headers in ({}, {"HX-Request": "true"}, {"Origin": "https://elsewhere.example"}):
        assert client.post(NEW, MINIMAL, headers=headers).status_code == 403
    assert not ExportRequest.objects.exists()


class AnythingTyped(TestCase):
    """Whatever is typed: no crash, and the page or the draft still has it."""

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        purpose=st.text(max_size=80),
        dataset=st.text(max_size=40),
        audience=st.text(max_size=40),
        moment=st.text(max_size=30),
        version=st.text(max_size=12) | st.integers().map(str),
    )
    def test_nothing_is_lost(self, purpose: str, dataset: str, audience: str, moment: str, version: str) -> None:
        acme = Organization.objects.create(slug="acme", name="Acme Retail", ims_org_id="AC3E0000@AdobeOrg")
        make_sandbox(acme, "prod")
        client = signed_in(make_person("operator", Role.OPERATOR, organization=acme))
        typed = {
            "purpose": purpose,
            "destination__datasetId": dataset,
            "filter__segments-0-segmentId": audience,
            "filter__fromIngestTimestamp": moment,
            "mergePolicy__version": version,
            "who": "audiences",
        }
        response = client.post(NEW, {key: value.encode("utf-8", "replace").decode() for key, value in typed.items()})
        assert response.status_code in (200, 302)
        if any(typed[name].strip() for name in typed if name != "who"):
            draft = ExportRequest.objects.get()
            assert draft.typed["purpose"] == [purpose.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")]
            assert client.get(f"/orgs/acme/prod/requests/{draft.uuid}/edit/").status_code == 200
