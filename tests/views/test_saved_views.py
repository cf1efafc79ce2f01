"""Saved views: private ones, shared ones, who sees and removes them, and what is never kept."""

import re
from html import unescape

import pytest
from django.test import Client

from segadmin.models import Action, EventContent, Membership, Organization, Role, SavedView, User
from tests.conftest import make_person, signed_in

pytestmark = pytest.mark.django_db

NEW, LIST = "/views/new/", "/views/"
QUERY = "actor:m.lead outcome:refused"


def save(
    client: Client, *, name: str = "Refusals", query: str = QUERY, seen_by: str = "private", page: str = "audit"
) -> int:
    return client.post(NEW, {"page": page, "name": name, "query": query, "seen_by": seen_by}).status_code


def tabs(client: Client, address: str = "/audit/") -> list[str]:
    text = client.get(address).content.decode()
    found = re.search(r'<nav class="tabs" aria-label="Saved views">(.*?)</nav>', text, re.DOTALL)
    return [word.strip() for word in re.findall(r"<a [^>]*>([^<]+)", found[1])] if found else []


def saved_events() -> list[str]:
    rows = EventContent.objects.filter(action=Action.VIEW_SAVED).order_by("event_id")
    return [row.sentence for row in rows]


def test_a_private_view_is_a_tab_of_its_page_and_leaves_no_event(auditor: User, admin: User) -> None:
    client = signed_in(auditor)
    response = client.post(NEW, {"page": "audit", "name": "Refusals", "query": f"  {QUERY} ", "seen_by": "private"})
    assert response.status_code == 302
    assert response.headers["Location"] == "/audit/?q=actor%3Am.lead+outcome%3Arefused"
    assert tabs(client) == ["Refusals"]
    assert tabs(client, "/register/") == []
    assert tabs(signed_in(admin)) == []
    assert saved_events() == []


def test_the_tab_of_the_line_that_is_shown_is_marked(auditor: User) -> None:
    client = signed_in(auditor)
    save(client)
    text = client.get("/audit/?q=actor%3Am.lead+outcome%3Arefused").content.decode()
    assert 'aria-current="page">Refusals' in text
    assert 'aria-current="page">Refusals' not in client.get("/audit/").content.decode()


def test_the_page_offers_its_line_for_saving(auditor: User) -> None:
    client = signed_in(auditor)
    text = client.get("/audit/?q=actor%3Am.lead").content.decode()
    link = re.search(r'href="(/views/new/\?[^"]+)"', text)
    assert link is not None
    form = unescape(client.get(unescape(link[1])).content.decode())
    assert 'value="actor:m.lead"' in form
    assert 'name="page" value="audit"' in form


def test_a_shared_view_is_seen_in_its_org_and_is_on_record(
    admin: User, auditor: User, nordwind: Organization, root: User
) -> None:
    assert save(signed_in(admin), seen_by="acme") == 302
    assert tabs(signed_in(auditor)) == ["Refusals"]
    assert tabs(signed_in(root)) == ["Refusals"]
    assert tabs(signed_in(make_person("dpo", Role.AUDITOR, organization=nordwind))) == []
    assert saved_events() == ["shared view “Refusals” of the audit page"]
    event = EventContent.objects.get(action=Action.VIEW_SAVED)
    assert event.organization_name == "Acme Retail"
    assert QUERY in event.text


def test_shared_with_the_whole_installation(root: User, auditor: User) -> None:
    assert save(signed_in(root), seen_by="everywhere") == 302
    assert tabs(signed_in(auditor)) == []
    assert tabs(signed_in(make_person("dpo", Role.AUDITOR))) == ["Refusals"]


@pytest.mark.parametrize("seen_by", ["acme", "nordwind", "everywhere", "x"])
def test_auditors_keep_views_for_themselves_only(auditor: User, nordwind: Organization, seen_by: str) -> None:
    assert save(signed_in(auditor), seen_by=seen_by) == 422
    assert not SavedView.objects.exists()


def test_an_approver_has_views_of_the_register_and_may_share_them(approver: User, auditor: User) -> None:
    client = signed_in(approver)
    assert save(client, page="register", query="pii:email", seen_by="acme") == 302
    assert tabs(signed_in(auditor), "/register/") == ["Refusals"]
    assert save(client, page="audit") == 403


@pytest.mark.parametrize(
    ("name", "query"),
    [("Jane", "actor:jane@example.org"), ("jane@example.org", QUERY), ("x", '"mail jane.d@example.org"')],
)
def test_an_address_is_not_kept(admin: User, name: str, query: str) -> None:
    client = signed_in(admin)
    response = client.post(NEW, {"page": "audit", "name": name, "query": query, "seen_by": "acme"})
    assert response.status_code == 422
    assert "Such a search is not kept anywhere." in response.content.decode()
    assert not SavedView.objects.exists()
    assert not EventContent.objects.filter(text__contains="example.org").exists()


def test_a_name_is_used_once(auditor: User, admin: User) -> None:
    client = signed_in(auditor)
    assert [save(client), save(client), save(client, page="register")] == [302, 422, 302]
    assert save(signed_in(admin)) == 302


@pytest.mark.parametrize("fault", [{"name": ""}, {"name": "x" * 101}, {"query": "x" * 2001}])
def test_faults_are_told(auditor: User, fault: dict[str, str]) -> None:
    assert save(signed_in(auditor), **fault) == 422
    assert not SavedView.objects.exists()


def test_removing(admin: User, auditor: User, viewer: User, nordwind: Organization) -> None:
    mine, other = signed_in(auditor), signed_in(make_person("boss", Role.ADMIN, organization=nordwind))
    save(mine)
    own = SavedView.objects.get()
    assert other.post(f"/views/{own.pk}/remove/").status_code == 404
    assert signed_in(admin).post(f"/views/{own.pk}/remove/").status_code == 404
    assert signed_in(viewer).post(f"/views/{own.pk}/remove/").status_code == 403
    assert mine.get(f"/views/{own.pk}/remove/").status_code == 405
    assert mine.post(f"/views/{own.pk}/remove/").status_code == 302
    assert mine.post(f"/views/{own.pk}/remove/").status_code == 404
    assert saved_events() == []


def test_an_admin_removes_what_is_shared_in_the_org(admin: User, approver: User, auditor: User) -> None:
    save(signed_in(approver), page="register", seen_by="acme")
    shared = SavedView.objects.get()
    assert signed_in(auditor).post(f"/views/{shared.pk}/remove/").status_code == 404
    client = signed_in(admin)
    assert "Refusals" in client.get(LIST).content.decode()
    assert client.post(f"/views/{shared.pk}/remove/").status_code == 302
    assert not SavedView.objects.exists()
    assert saved_events()[-1] == "removed the shared view “Refusals” of the register page"


def test_text_is_escaped(auditor: User) -> None:
    client = signed_in(auditor)
    save(client, name="<script>alert(1)</script>", query="<img src=x>")
    for address in (LIST, "/audit/"):
        text = client.get(address).content.decode()
        assert "<script>alert" not in text
        assert "<img" not in text


def test_a_view_of_an_organization_that_its_owner_may_read_no_longer_shows_nothing_and_says_so(
    acme: Organization, nordwind: Organization
) -> None:
    reader = make_person("both", Role.AUDITOR, organization=acme)
    given = Membership.objects.create(user=reader, organization=nordwind, role=Role.AUDITOR)
    client = signed_in(reader)
    for page in ("audit", "register"):
        assert save(client, name=f"Theirs {page}", query="org:nordwind,acme created:all", page=page) == 302
    given.delete()
    for page in ("/audit/", "/register/"):
        text = client.get(f"{page}?q=org%3Anordwind%2Cacme+created%3Aall").content.decode()
        assert "There is no organization “nordwind”" in text or "“nordwind” is nothing that can be filtered by" in text
        assert "Nordwind" not in text
        assert "data-seq=" not in text
        assert 'id="entry-' not in text
