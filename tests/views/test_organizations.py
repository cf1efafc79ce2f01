"""The list of organizations, and adding one."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from segadmin.models import Action, Credential, EventContent, Organization, Role, Sandbox, User
from tests.conftest import make_person, make_sandbox, signed_in

pytestmark = pytest.mark.django_db

LIST, ADD = "/organizations/", "/organizations/new/"
NEW = {
    "name": "Südwind Moden",
    "slug": "suedwind",
    "ims_org_id": "5A5D0000@AdobeOrg",
    "api_url": "https://platform.adobe.io",
    "token_url": "https://ims-na1.adobelogin.com/ims/token/v3",
}


def test_the_list_shows_the_orgs_one_may_see(viewer: User, prod: Sandbox, foreign: Sandbox) -> None:
    page = signed_in(viewer).get(LIST)
    assert page.status_code == 200
    text = page.content.decode()
    assert "Acme Retail" in text
    assert "Nordwind" not in text
    assert "None yet" in text  # no credential
    assert "production" in text


def test_an_admin_of_the_installation_sees_all_and_removed_ones_last(
    root: User, prod: Sandbox, foreign: Sandbox
) -> None:
    Organization.objects.filter(slug="acme").update(retired_at=timezone.now())
    text = signed_in(root).get(LIST).content.decode()
    assert text.index("Nordwind") < text.index("Acme Retail")
    assert "Removed" in text


def test_who_has_no_role_reads_that_this_is_the_reason(db: None) -> None:
    text = signed_in(make_person("nobody")).get(LIST).content.decode()
    assert 'data-empty="not-permitted"' in text
    assert "You have no role in any organization." in text


def test_an_auditor_of_the_installation_reads_that_there_is_none_yet(db: None) -> None:
    text = signed_in(make_person("auditor", Role.AUDITOR)).get(LIST).content.decode()
    assert 'data-empty="nothing"' in text
    assert "An administrator of the whole installation adds the first one." in text
    assert ADD not in text


def test_the_first_admin_reads_what_to_do(root: User) -> None:
    text = signed_in(root).get(LIST).content.decode()
    assert 'data-empty="nothing"' in text
    assert ADD in text


def test_an_org_off_adobe_is_marked(viewer: User, acme: Organization) -> None:
    assert "not Adobe’s own API" not in signed_in(viewer).get(LIST).content.decode()
    Organization.objects.update(api_url="http://127.0.0.1:8010")
    assert "not Adobe’s own API" in signed_in(viewer).get(LIST).content.decode()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "Not used yet"),
        ({"last_ok_at": timedelta(0)}, "Works"),
        ({"last_ok_at": timedelta(0), "set_at": timedelta(days=-121)}, "121 days; the limit is 90"),
        ({"kind": "token", "token_expires_at": timedelta(hours=-1)}, "Expired"),
        ({"kind": "token", "token_expires_at": timedelta(hours=1)}, "Expires soon"),
    ],
)
def test_the_health_of_a_credential_is_told(
    viewer: User, acme: Organization, change: dict[str, object], word: str
) -> None:
    now = timezone.now()
    values = {name: now + value if isinstance(value, timedelta) else value for name, value in change.items()}
    defaults = {"client_id": "c", "secret_sealed": "v1.t1.x.y", "set_at": now, "set_by": "admin"}
    Credential.objects.create(organization=acme, **{**defaults, **values})
    assert word in signed_in(viewer).get(LIST).content.decode()


def test_an_org_that_is_not_read_says_so(viewer: User, prod: Sandbox) -> None:
    Sandbox.objects.update(failing_since_at=timezone.now(), last_error="Adobe answered 503.")
    assert "Not read" in signed_in(viewer).get(LIST).content.decode()


def test_the_number_of_queries_does_not_grow(
    root: User, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for number in range(8):
        one = Organization.objects.create(slug=f"o{number}", name=f"Org {number}", ims_org_id="A1@AdobeOrg")
        make_sandbox(one, "prod")
        make_sandbox(one, "stage", "development")
    client = signed_in(root)
    client.get(LIST)
    with django_assert_max_num_queries(9):  # type: ignore[attr-defined]
        client.get(LIST)


def test_only_an_admin_of_the_installation_adds(admin: User, root: User, viewer: User) -> None:
    assert signed_in(root).get(ADD).status_code == 200
    for user in (admin, viewer):
        assert signed_in(user).get(ADD).status_code == 403
        assert signed_in(user).post(ADD, NEW).status_code == 403
        assert ADD not in signed_in(user).get(LIST).content.decode()
    assert EventContent.objects.filter(action=Action.ACCESS_REFUSED).exists()
    assert not Organization.objects.filter(slug="suedwind").exists()


def test_adding_leads_to_the_org_and_is_on_record(root: User) -> None:
    answer = signed_in(root).post(ADD, NEW)
    assert (answer.status_code, answer["Location"]) == (302, "/organizations/suedwind/")
    [event] = EventContent.objects.filter(action=Action.ORGANIZATION_ADD)
    assert event.sentence == "added the organization Südwind Moden, 5A5D0000@AdobeOrg"
    assert event.actor_name == "root"
    assert '"api_url":"https://platform.adobe.io"' in event.text


def test_a_blank_short_name_is_made_from_the_name(root: User) -> None:
    answer = signed_in(root).post(ADD, {**NEW, "slug": ""})
    assert answer["Location"] == "/organizations/sudwind-moden/"


def test_adding_twice_says_that_it_is_there(root: User) -> None:
    client = signed_in(root)
    client.post(ADD, NEW)
    page = client.post(ADD, NEW)
    assert page.status_code == 200
    assert "already" in page.content.decode()
    assert EventContent.objects.filter(action=Action.ORGANIZATION_ADD).count() == 1


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("slug", "Süd", "Use small letters"),
        ("ims_org_id", "5A5D", "ends in @AdobeOrg"),
        ("api_url", "https://platform.example.com", "SEGADMIN_UPSTREAM_HOSTS"),
        ("api_url", "http://127.0.0.1:8010", "SEGADMIN_UPSTREAM_HOSTS"),
        ("api_url", "https://platform.adobe.io@example.com/", "user name and password"),
        ("token_url", "https://169.254.169.254/latest/", "not among the allowed"),
        ("token_url", "http://ims-na1.adobelogin.com/ims/token/v3", "https://"),
        ("name", "", "required"),
    ],
)
def test_what_can_not_be_taken_is_told_at_its_field(root: User, field: str, value: str, told: str) -> None:
    page = signed_in(root).post(ADD, {**NEW, field: value})
    text = page.content.decode()
    assert page.status_code == 200
    assert told in text
    assert f'href="#id_{field}"' in text
    kept = {name: typed for name, typed in {**NEW, field: value}.items() if typed}
    assert all(f'value="{typed}"' in text for typed in kept.values())
    assert not Organization.objects.exists()
    assert not EventContent.objects.filter(action=Action.ORGANIZATION_ADD).exists()


def test_signed_out_people_are_asked_to_sign_in(db: None) -> None:
    for url in (LIST, ADD):
        answer = Client().get(url)
        assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={url}")


def test_an_auditor_of_all_may_not_add(db: None) -> None:
    assert signed_in(make_person("auditor", Role.AUDITOR)).post(ADD, NEW).status_code == 403
