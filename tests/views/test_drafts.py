"""Drafts: only one's own, with their end, continued or discarded."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from segadmin.models import ExportRequest, RequestState, Role, Sandbox, User
from tests.conftest import make_person, signed_in
from tests.factories import make_request
from tests.views.test_review import make_draft, page, url


@pytest.fixture
def client(operator: User) -> Client:
    return signed_in(operator)


def test_own_drafts_are_listed_with_their_end(client: Client, prod: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator, purpose="Win-back <letter>")
    unfinished = make_draft(prod, operator, {}, purpose="")
    other = make_draft(prod, make_person("other", Role.OPERATOR, organization=prod.organization), purpose="Not yours")
    ExportRequest.objects.update(updated_at=timezone.now())
    text = page(client.get("/drafts/"))
    assert "Win-back &lt;letter&gt;" in text
    assert "Without a purpose yet" in text
    assert "Not yours" not in text
    assert str(other.uuid) not in text
    assert f'href="{url(draft)}"' in text
    assert f'href="{url(unfinished, "edit/")}"' in text
    end = timezone.localtime(timezone.now() + timedelta(days=30))
    assert f"{end.day} {end:%B}" in text


def test_what_adobe_never_got_is_listed_too(client: Client, prod: Sandbox, operator: User) -> None:
    refused = make_request(prod, operator, RequestState.REFUSED)
    sent = make_request(prod, operator, RequestState.SENT)
    text = page(client.get("/drafts/"))
    assert str(refused.uuid) in text
    assert str(sent.uuid) not in text


def test_without_drafts_it_says_so_and_where_to_start(client: Client, prod: Sandbox, stage: Sandbox) -> None:
    Sandbox.objects.filter(pk=stage.pk).update(exports_allowed=False)
    text = page(client.get("/drafts/"))
    assert "No drafts." in text
    assert "/orgs/acme/prod/jobs/new/" in text
    assert "/orgs/acme/stage/jobs/new/" not in text


def test_the_form_reminds_of_other_drafts_here(client: Client, prod: Sandbox, stage: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator)
    elsewhere = make_draft(stage, operator, purpose="In stage")
    text = page(client.get("/orgs/acme/prod/jobs/new/"))
    assert url(draft, "edit/") in text
    assert str(elsewhere.uuid) not in text
    assert str(draft.uuid) not in page(client.get(url(draft, "edit/"))).split("<aside")[1].split("</aside")[0]


def test_a_draft_is_discarded_once(client: Client, prod: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator)
    assert client.post(url(draft, "discard/"))["Location"] == "/drafts/"
    draft.refresh_from_db()
    assert draft.state == RequestState.WITHDRAWN
    assert client.post(url(draft, "discard/"))["Location"] == url(draft)
    assert "You discarded this draft." in page(client.get(url(draft)))
    assert client.post(url(draft), {})["Location"] == url(draft)
    assert str(draft.uuid) not in page(client.get("/drafts/"))


def test_a_draft_changed_in_two_tabs_keeps_what_was_typed_last(client: Client, prod: Sandbox, operator: User) -> None:
    draft = make_draft(prod, operator)
    for purpose in ("First tab", "Second tab"):
        client.post(url(draft, "edit/"), {"purpose": purpose, "draft": "1"})
    draft.refresh_from_db()
    assert draft.purpose == "Second tab"
    assert not draft.is_complete


@pytest.mark.parametrize(("name", "status"), [("viewer", 403), ("auditor", 403), ("admin", 200), ("stranger", 200)])
def test_it_is_for_those_who_may_create_somewhere(
    request: pytest.FixtureRequest, prod: Sandbox, name: str, status: int
) -> None:
    assert signed_in(request.getfixturevalue(name)).get("/drafts/").status_code == status


def test_a_role_that_was_lost_hides_the_drafts(client: Client, prod: Sandbox, operator: User) -> None:
    make_draft(prod, operator)
    operator.memberships.update(role=Role.VIEWER)
    assert client.get("/drafts/").status_code == 403
    assert Client().get("/drafts/").status_code == 302
