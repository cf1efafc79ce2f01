"""Who could do what on a day: from the records of roles and accounts, not from today's rows."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from segadmin.actions import people
from segadmin.actions.people import Grant
from segadmin.audit import Actor, Subject
from segadmin.models import Action, ContentExpiry, EventContent, Membership, Organization, Outcome, Role, Sandbox, User
from tests.conftest import make_person, signed_in
from tests.views.test_audit import write

pytestmark = pytest.mark.django_db

URL = "/people/rights/"
COMMAND = Actor.command("root")
NOW = datetime(2026, 7, 2, 9, 0, tzinfo=UTC)


def rows(client: Client, address: str = URL) -> set[tuple[str, str, str]]:
    """(account, role, where) of each line."""
    response = client.get(address)
    assert response.status_code == 200
    text = unescape(response.content.decode())
    found = re.findall(
        r'<tr data-person="\d+" data-role="(\w+)">.*?<a href="[^"]*">([^<]*)</a></th>(.*?)</tr>', text, re.DOTALL
    )
    cells = [(role, name, re.findall(r"<td>(.*?)</td>", rest, re.DOTALL)) for role, name, rest in found]
    return {(name, role, places[1]) for role, name, places in cells}


def give(person: User, role: Role, where: Organization | None, ends_at: datetime | None = None) -> None:
    people.give_role(actor=COMMAND, person=person, grant=Grant(role=role, organization=where, ends_at=ends_at))


@pytest.fixture
def told(acme: Organization, nordwind: Organization) -> Iterator[dict[str, User]]:
    """Accounts whose roles changed over the spring."""
    made = {name: User.objects.create_user(name) for name in ("lead", "leaver", "guest", "chief", "other")}
    steps = [
        ((2026, 3, 1), lambda: give(made["lead"], Role.OPERATOR, acme)),
        ((2026, 3, 2), lambda: give(made["leaver"], Role.ADMIN, acme)),
        ((2026, 3, 3), lambda: give(made["guest"], Role.AUDITOR, acme, datetime(2026, 4, 1, tzinfo=UTC))),
        ((2026, 3, 4), lambda: give(made["chief"], Role.ADMIN, None)),
        ((2026, 3, 5), lambda: give(made["other"], Role.OPERATOR, nordwind)),
        ((2026, 5, 1), lambda: people.close(actor=COMMAND, person=made["leaver"])),
        ((2026, 5, 3), lambda: _take(made["lead"], Role.OPERATOR)),
        ((2026, 5, 4), lambda: give(made["lead"], Role.VIEWER, acme)),
        ((2026, 6, 1), lambda: people.reopen(actor=COMMAND, person=made["leaver"])),
    ]
    for day, step in steps:
        with time_machine.travel(datetime(*day, 12, tzinfo=UTC), tick=False):  # type: ignore[misc]
            step()
    with time_machine.travel(NOW, tick=False):
        yield made


def _take(person: User, role: Role) -> None:
    people.take_role(actor=COMMAND, person=person, membership=person.memberships.get(role=role))


@pytest.fixture
def client(told: dict[str, User], acme: Organization) -> Client:
    return signed_in(make_person("reader", Role.AUDITOR, organization=acme))


READER = ("reader", "auditor", "Acme Retail")  # by its row alone: no record tells of it
LEAD, CHIEF = ("lead", "operator", "Acme Retail"), ("chief", "admin", "all organizations")
LEAVER, GUEST = ("leaver", "admin", "Acme Retail"), ("guest", "auditor", "Acme Retail")


# -- who may read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "stranger"])
def test_others_are_refused(request: pytest.FixtureRequest, name: str) -> None:
    assert signed_in(request.getfixturevalue(name)).get(URL).status_code == 403


def test_only_get(auditor: User) -> None:
    for method in ("post", "put", "patch", "delete"):
        assert getattr(signed_in(auditor), method)(URL).status_code == 405


def test_other_orgs_stay_hidden(client: Client, root: User) -> None:
    assert not [row for row in rows(client) if row[2] == "Nordwind"]
    text = client.get(f"{URL}?org=nordwind").content.decode()
    assert "There is no such organization here." in text
    assert ("other", "operator", "Nordwind") in rows(signed_in(root))


# -- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-02-28", set()),
        ("2026-03-01", {LEAD}),
        ("2026-03-31", {LEAD, LEAVER, GUEST, CHIEF}),
        ("2026-04-01", {LEAD, LEAVER, CHIEF}),  # the guest's role ended as the day began
        ("2026-05-02", {LEAD, CHIEF}),
        ("2026-05-03", {CHIEF}),
        ("2026-05-04", {("lead", "viewer", "Acme Retail"), CHIEF}),
        ("2026-06-30", {("lead", "viewer", "Acme Retail"), LEAVER, CHIEF}),
    ],
)
def test_a_day(client: Client, day: str, expected: set[tuple[str, str, str]]) -> None:
    assert rows(client, f"{URL}?on={day}") == expected


def test_who_could_export_on_a_day(client: Client) -> None:
    assert rows(client, f"{URL}?on=2026-05-02&may=export&org=acme") == {LEAD, CHIEF}
    assert rows(client, f"{URL}?on=2026-03-31&may=record") == {LEAVER, GUEST, CHIEF}
    assert rows(client, f"{URL}?on=2026-05-04&may=cancel") == {CHIEF}


def test_today_is_now(client: Client) -> None:
    expected = {("lead", "viewer", "Acme Retail"), LEAVER, CHIEF, READER}
    assert rows(client) == rows(client, f"{URL}?on=2026-07-02") == expected
    assert "at 2 July 2026 09:00:00 UTC" in client.get(URL).content.decode()


def test_a_day_is_of_the_persons_zone(told: dict[str, User], acme: Organization) -> None:
    reader = make_person("reader", Role.AUDITOR, organization=acme)
    User.objects.filter(pk=reader.pk).update(zone="Pacific/Kiritimati")  # 14 hours ahead: 02:00 of the next day there
    assert LEAD not in rows(signed_in(User.objects.get(pk=reader.pk)), f"{URL}?on=2026-03-01")
    assert LEAD in rows(signed_in(User.objects.get(pk=reader.pk)), f"{URL}?on=2026-03-02")


def test_who_gave_it_and_when(client: Client, told: dict[str, User]) -> None:
    text = client.get(f"{URL}?on=2026-05-02").content.decode()
    assert re.search(r'1 March 12:00</time><small>given by root, <a href="/audit/\d+/">record \d+</a>', text)
    # Records of the whole installation are not theirs to read.
    chief = text.split('data-role="admin"')[1]
    assert "given by root</small>" in chief


def test_a_longer_end_keeps_the_beginning(client: Client, told: dict[str, User], acme: Organization) -> None:
    with time_machine.travel(datetime(2026, 3, 20, tzinfo=UTC), tick=False):
        give(told["guest"], Role.AUDITOR, acme, datetime(2026, 6, 1, tzinfo=UTC))
    assert GUEST in rows(client, f"{URL}?on=2026-05-31")
    text = client.get(f"{URL}?on=2026-05-31").content.decode()
    assert "3 March 12:00" in text.split(">guest</a>")[1].split("</tr>")[0]


def test_a_role_that_no_record_tells_of_is_named(client: Client) -> None:
    """As one does that was put into the database by hand."""
    text = client.get(URL).content.decode()
    line = text.split(">reader</a>")[1].split("</tr>")[0]
    assert "no record tells of it" in line


def test_what_was_taken_by_hand_is_still_told(client: Client, told: dict[str, User]) -> None:
    Membership.objects.filter(user=told["leaver"]).delete()
    assert LEAVER in rows(client, f"{URL}?on=2026-06-30")


def test_rights_that_nobody_used(client: Client, told: dict[str, User], prod: Sandbox) -> None:
    def used(name: str) -> str:
        text = client.get(f"{URL}?on=2026-05-02").content.decode()
        return text.split(f">{name}</a>")[1].split("</tr>")[0]

    assert "not used" in used("lead")
    with time_machine.travel(datetime(2026, 4, 9, 8, tzinfo=UTC), tick=False):
        write(name="lead", subject=Subject(sandbox=prod), action=Action.EXPORT_CREATE, outcome=Outcome.REQUESTED)
        write(name="chief", subject=Subject(sandbox=prod), action=Action.ACCESS_REFUSED, outcome=Outcome.REFUSED)
    assert "9 April 08:00" in used("lead")
    assert "not used" in used("chief")
    assert "reads only" in client.get(f"{URL}?on=2026-03-31").content.decode().split(">guest</a>")[1].split("</tr>")[0]


def test_expired_records_are_said(client: Client, told: dict[str, User]) -> None:
    assert "have expired" not in client.get(URL).content.decode()
    ContentExpiry(seq=1, at="2026-06-01T00:00:00Z", reason="over").save()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM segadmin_eventcontent WHERE seq = 1")
    text = client.get(URL).content.decode()
    assert "Some records before 2 March 2026 12:00:00 UTC have expired." in text


# -- the form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("on=2026-13-01", "aria-invalid"),
        ("on=", "aria-invalid"),
        ("on=0001-01-01", "aria-invalid"),
        ("on=9999-12-31", "aria-invalid"),
        ("on=2026-07-03", "This day lies ahead."),
        ("may=fly", "Choose one of these."),
    ],
)
def test_a_wrong_value_shows_nothing_else(client: Client, query: str, words: str) -> None:
    text = client.get(f"{URL}?{query}").content.decode()
    assert words in text
    assert "data-person" not in text


def test_nobody(client: Client) -> None:
    assert 'data-empty="no-match"' in client.get(f"{URL}?on=2020-01-01").content.decode()


def test_reading_it_is_reading_the_record(client: Client, told: dict[str, User]) -> None:
    client.get(URL)
    client.get(URL)
    assert EventContent.objects.filter(action=Action.RECORD_VIEWED, actor_name="reader").count() == 1


def test_queries_do_not_grow_with_the_rows(client: Client, told: dict[str, User], acme: Organization) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(URL)
        return len(captured)

    count()
    before = count()
    for number in range(20):
        give(User.objects.create_user(f"more-{number}"), Role.OPERATOR, acme)
    assert count() == before


def test_it_is_linked(client: Client) -> None:
    assert f'href="{URL}"' in client.get("/people/").content.decode()
