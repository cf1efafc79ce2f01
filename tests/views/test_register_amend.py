"""Correcting a row: by an admin or who asked for it, with a reason; the first statement stays in sight."""

import re
from html import unescape

import pytest
from django.test import Client

from segadmin.actions import register as actions
from segadmin.models import (
    Action,
    Amendment,
    Event,
    EventContent,
    ExportRequest,
    Origin,
    RegisterEntry,
    RequestState,
    Role,
    Sandbox,
    User,
)
from tests.conftest import make_person, signed_in
from tests.factories import make_job, make_request

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(prod: Sandbox, operator: User) -> RegisterEntry:
    asked = make_request(prod, operator, legal_basis="consent")
    make_job(prod, export_request=asked, origin=Origin.HERE, person="operator")
    actions.rebuild()
    return RegisterEntry.objects.get()


def url(entry: RegisterEntry) -> str:
    return f"/register/{entry.pk}/amend/"


def typed(**values: object) -> dict[str, object]:
    """What is in force, with these changes."""
    return {
        "recipient": "CRM team",
        "purpose": "Win-back letter in July",
        "legal_basis": "consent",
        "ticket": "MK-311",
        "why": "typed wrong",
        "version": 0,
        **values,
    }


def words(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


@pytest.mark.parametrize("name", ["operator", "admin"])
def test_works(request: pytest.FixtureRequest, entry: RegisterEntry, name: str) -> None:
    client = signed_in(request.getfixturevalue(name))
    page = client.get(url(entry)).content.decode()
    assert 'value="CRM team"' in page
    response = client.post(url(entry), typed(recipient="Print house"))
    assert response.headers["Location"] == f"/register/{entry.pk}/"
    item = Amendment.objects.get()
    assert (item.field, item.old, item.new, item.by) == ("recipient", "CRM team", "Print house", name)
    event = EventContent.objects.get(action=Action.REGISTER_AMENDED)
    assert (event.actor_name, event.event_id) == (name, item.seq)
    assert ExportRequest.objects.get().recipient == "CRM team"


def test_both_statements_stand_on_the_entry_and_in_the_list(entry: RegisterEntry, admin: User, auditor: User) -> None:
    signed_in(admin).post(url(entry), typed(recipient="Print house", why="the first name was last year's"))
    page = words(signed_in(auditor).get(f"/register/{entry.pk}/").content.decode())
    assert "Goes on to (as stated) Print house first stated: “CRM team”" in page
    assert "admin" in page
    assert "the first name was last year's" in page
    listed = words(signed_in(auditor).get("/register/").content.decode())
    assert "goes on to Print house, as stated" in listed
    assert "corrected since" in listed


@pytest.mark.parametrize("query", ["?text=print+house", "?text=crm+team", "?recipient=print"])
def test_old_and_new_are_found(entry: RegisterEntry, admin: User, auditor: User, query: str) -> None:
    signed_in(admin).post(url(entry), typed(recipient="Print house"))
    assert f'id="entry-{entry.pk}"' in signed_in(auditor).get(f"/register/{query}").content.decode()


@pytest.mark.parametrize(
    ("values", "words_of_it"),
    [
        ({"why": ""}, "Say why it has to be corrected."),
        ({"recipient": "CRM team"}, "Nothing differs"),
        ({"recipient": "Print house", "version": 3}, "Somebody corrected this row in the meantime."),
        ({"recipient": "x" * 301}, "at most 300 characters"),
    ],
)
def test_faults_are_told_and_nothing_typed_is_lost(
    entry: RegisterEntry, operator: User, values: dict[str, object], words_of_it: str
) -> None:
    client = signed_in(operator)
    before = Event.objects.count()
    response = client.post(url(entry), typed(purpose=" Win-back letter in July", **values))
    text = response.content.decode()
    assert response.status_code == 200
    assert words_of_it in unescape(text)
    assert 'id="errors"' in text
    assert str(values.get("recipient", "CRM team")) in text
    assert not Amendment.objects.exists()
    assert Event.objects.count() == before


def test_sent_twice_it_is_one_correction(entry: RegisterEntry, operator: User) -> None:
    client = signed_in(operator)
    for _repeat in range(2):
        client.post(url(entry), typed(recipient="Print house"))
    assert Amendment.objects.count() == 1


@pytest.mark.parametrize("name", ["viewer", "approver", "auditor"])
def test_others_are_refused_on_record(request: pytest.FixtureRequest, entry: RegisterEntry, name: str) -> None:
    client = signed_in(request.getfixturevalue(name))
    assert client.get(url(entry)).status_code == 403
    assert client.post(url(entry), typed(recipient="Print house")).status_code == 403
    assert not Amendment.objects.exists()
    assert EventContent.objects.filter(action=Action.ACCESS_REFUSED, actor_name=name).count() == 2
    assert "Correct this row" not in client.get(f"/register/{entry.pk}/").content.decode()


def test_an_operator_corrects_the_own_exports_only(entry: RegisterEntry, prod: Sandbox) -> None:
    another = make_person("another", Role.OPERATOR, organization=prod.organization)
    assert signed_in(another).post(url(entry), typed(recipient="Print house")).status_code == 403
    assert not Amendment.objects.exists()


def test_who_lost_the_role_corrects_nothing(entry: RegisterEntry, operator: User) -> None:
    operator.memberships.all().delete()
    assert signed_in(operator).get(url(entry)).status_code == 404


def test_strangers_find_nothing(entry: RegisterEntry, stranger: User) -> None:
    assert signed_in(stranger).get(url(entry)).status_code == 404
    assert signed_in(stranger).post(url(entry), typed()).status_code == 404
    assert Client().get(url(entry)).headers["Location"].startswith("/accounts/login/")


def test_a_job_from_outside_gets_its_purpose_from_an_admin(prod: Sandbox, admin: User, operator: User) -> None:
    make_job(prod)
    actions.rebuild()
    entry = RegisterEntry.objects.get()
    values = {"recipient": "", "purpose": "Adobe's daily schedule", "legal_basis": "", "ticket": ""}
    told = {**values, "why": "asked in the CRM team", "version": 0}
    assert signed_in(operator).post(url(entry), told).status_code == 403
    signed_in(admin).post(url(entry), told)
    assert RegisterEntry.objects.get().purpose == "Adobe's daily schedule"
    assert RegisterEntry.objects.get().person == ""


def test_nothing_is_offered_while_it_is_not_settled(prod: Sandbox, operator: User) -> None:
    make_request(prod, operator, RequestState.UNKNOWN)
    actions.rebuild()
    entry = RegisterEntry.objects.get()
    client = signed_in(operator)
    assert "Correct this row" not in client.get(f"/register/{entry.pk}/").content.decode()
    assert "not settled yet" in client.post(url(entry), typed(recipient="Print house")).content.decode()


def test_text_in_a_correction_is_text(entry: RegisterEntry, operator: User, auditor: User) -> None:
    evil = '<script>alert("x")</script>'
    signed_in(operator).post(url(entry), typed(recipient=evil, why=f"{evil}\r\nFake: line \u202e"))
    for address in (f"/register/{entry.pk}/", "/register/", "/audit/"):
        assert "<script>alert" not in signed_in(auditor).get(address).content.decode()
    sentence = EventContent.objects.get(action=Action.REGISTER_AMENDED).sentence
    assert "\n" not in sentence
    assert "\u202e" not in sentence
