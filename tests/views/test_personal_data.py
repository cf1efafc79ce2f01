"""An org's map of personal data: everybody in the org reads it, an admin stores a new version."""

import re
from html import unescape

import pytest
from django.test import Client

from segadmin.actions import register
from segadmin.forms.register import lines, parse
from segadmin.models import Action, EventContent, Organization, PersonalDataMap, RegisterEntry, Sandbox, User
from segadmin.queries.personal_data import BUILT_IN
from tests.conftest import signed_in
from tests.factories import make_job

pytestmark = pytest.mark.django_db

URL = "/organizations/acme/personal-data/"
MAP = "identityMap → identifier\nidentityMap -> possibly email\nhomeAddress => location\n# a remark\n\n_acme.points → none"


def typed(**values: object) -> dict[str, object]:
    return {"field_lines": MAP, "audience_lines": "*Diabet* → health", "version": 0, **values}


def stored() -> list[tuple[str, str, str, bool]]:
    entries = PersonalDataMap.objects.get().entries
    return [(item["pattern"], item["category"], item["kind"], item["possible"]) for item in entries]


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "auditor"])
def test_everybody_in_the_org_reads_it(request: pytest.FixtureRequest, acme: Organization, name: str) -> None:
    text = unescape(signed_in(request.getfixturevalue(name)).get(URL).content.decode())
    assert "personalEmail → email" in text
    assert "identityMap → possibly phone" in text
    assert "*diabet* → health" in text
    assert "<textarea" not in text


def test_an_admin_stores_a_version(acme: Organization, admin: User) -> None:
    client = signed_in(admin)
    assert "personalEmail → email" in unescape(client.get(URL).content.decode())
    assert client.post(URL, typed()).headers["Location"] == URL
    assert stored() == [
        ("identityMap", "identifier", "field", False),
        ("identityMap", "email", "field", True),
        ("homeAddress", "location", "field", False),
        ("_acme.points", "none", "field", False),
        ("*Diabet*", "health", "audience", False),
    ]
    row = PersonalDataMap.objects.get()
    assert (row.version, row.set_by, row.retroactive, row.organization) == (1, "admin", False, acme)
    assert EventContent.objects.get(action=Action.PERSONAL_DATA_MAP).actor_name == "admin"
    text = unescape(client.get(URL).content.decode())
    assert "identityMap → possibly email" in text
    assert "personalEmail → email" not in text


def test_earlier_versions_stay_readable(acme: Organization, admin: User, auditor: User) -> None:
    signed_in(admin).post(URL, typed())
    client = signed_in(auditor)
    old = unescape(client.get(f"{URL}?version=0").content.decode())
    assert "personalEmail → email" in old
    assert "This is version 0, an earlier one." in old
    assert "personalEmail → email" not in unescape(client.get(f"{URL}?version=1").content.decode())
    for number in ("2", "-1", "x", "9" * 30, "²"):
        assert client.get(URL, {"version": number}).status_code == 404


def test_it_may_hold_for_the_register_of_before(prod: Sandbox, admin: User) -> None:
    make_job(prod)
    register.rebuild()
    signed_in(admin).post(URL, typed())
    assert RegisterEntry.objects.get().pii_map_version == 0
    signed_in(admin).post(URL, typed(version=1, retroactive="on"))
    row = RegisterEntry.objects.get()
    assert (row.pii_map_version, row.pii_certain, row.pii_possible) == (2, ["identifier"], ["email", "other"])


def test_what_is_shown_can_be_stored_again() -> None:
    entries = [entry.as_json() for entry in BUILT_IN]
    again = [*parse(lines(entries, "field"), "field"), *parse(lines(entries, "audience"), "audience")]
    assert again == entries


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("personalEmail", "Line 1: “personalEmail” needs a pattern, an arrow"),
        ("→ email", "needs a pattern"),
        ("a → b → email", "needs a pattern"),
        ("personalEmail → shoes", "There is no kind “shoes”. Known are: email, phone"),
        ("* → email", "can’t be a pattern"),
        ("*a*b*c*d*e* → email", "can’t be a pattern"),
        (f"{'a' * 201} → email", "can’t be a pattern"),
        ("personal email → email", "contains a space"),
    ],
)
def test_faults_name_the_line(acme: Organization, admin: User, line: str, problem: str) -> None:
    text = unescape(signed_in(admin).post(URL, typed(field_lines=line)).content.decode())
    assert problem in text
    assert line in text
    assert not PersonalDataMap.objects.exists()


def test_spoken_kinds_are_understood() -> None:
    assert [item["category"] for item in parse("a → E-Mail\nb → ?birth date\nc → possibly nothing", "field")] == [
        "email",
        "birth",
        "none",
    ]


def test_another_version_came_first(acme: Organization, admin: User) -> None:
    client = signed_in(admin)
    client.post(URL, typed())
    text = client.post(URL, typed(audience_lines="")).content.decode()
    assert "in the meantime" in text
    assert PersonalDataMap.objects.count() == 1


def test_stored_twice_it_is_one_version(acme: Organization, admin: User) -> None:
    for _repeat in range(2):
        signed_in(admin).post(URL, typed())
    assert PersonalDataMap.objects.count() == 1


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "auditor"])
def test_others_store_nothing(request: pytest.FixtureRequest, acme: Organization, name: str) -> None:
    assert signed_in(request.getfixturevalue(name)).post(URL, typed()).status_code == 403
    assert not PersonalDataMap.objects.exists()


def test_strangers_find_nothing(acme: Organization, stranger: User) -> None:
    assert signed_in(stranger).get(URL).status_code == 404
    assert signed_in(stranger).post(URL, typed()).status_code == 404
    assert Client().get(URL).headers["Location"].startswith("/accounts/login/")


def test_other_methods_are_refused(admin: User) -> None:
    for method in ("put", "patch", "delete"):
        assert getattr(signed_in(admin), method)(URL).status_code == 405


def test_the_org_page_leads_to_it(acme: Organization, viewer: User) -> None:
    text = signed_in(viewer).get("/organizations/acme/").content.decode()
    assert re.search(rf'<a href="{URL}">', text)
