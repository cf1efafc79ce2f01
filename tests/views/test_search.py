"""Searching the record and the register: one line, its chips and its menus, all in the address."""

import re
from html import unescape
from urllib.parse import quote

import pytest
import time_machine
from django.test import Client

from segadmin.actions import register as registers
from segadmin.audit import Subject
from segadmin.models import Action, Job, Name, Organization, Outcome, RegisterEntry, Role, Sandbox, User
from segadmin.queries import audit_filters
from tests.conftest import make_person, signed_in
from tests.factories import make_job, make_name, make_request, raw_job
from tests.views.test_audit import write

pytestmark = pytest.mark.django_db

URL = "/audit/"


def address(line: str, page: str = URL) -> str:
    return f"{page}?q={quote(line)}"


def numbers(client: Client, line: str) -> list[int]:
    return re_numbers(client.get(address(line)).content.decode())


def re_numbers(text: str) -> list[int]:
    return [int(seq) for seq in re.findall(r'data-seq="(\d+)"', text)]


def line_of(text: str) -> str:
    found = re.search(r'id="filter-q"[^>]* value="([^"]*)"', text)
    assert found is not None
    return unescape(found[1])


@pytest.fixture
def exports(prod: Sandbox, stage: Sandbox, operator: User) -> dict[str, Job]:
    """Two exports: one of ours with e-mail to the CRM team, one from outside of everything."""
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers")
    wish = make_request(prod, operator)
    ours = make_job(prod, "24127", export_request=wish, origin="here", person="operator")
    other = make_job(stage, "3301", raw=raw_job("3301", fields="", filter={}, destination={"datasetId": "other-ds"}))
    registers.rebuild()
    return {"ours": ours, "other": other}


@pytest.fixture
def events(exports: dict[str, Job], prod: Sandbox, stage: Sandbox) -> dict[str, int]:
    """Events of these exports and of something else; the key says which."""
    make_person("m.lead")
    wish = exports["ours"].export_request
    assert wish is not None
    about = Subject(sandbox=prod, request_uuid=wish.uuid)
    made = {
        "asked": write("asked to export", subject=about, action=Action.EXPORT_CREATE, outcome=Outcome.REQUESTED),
        "cancelled": write("cancelled 24127", subject=Subject(sandbox=prod, job_id="24127"), name="m.lead"),
        "seen": write("saw 3301", subject=Subject(sandbox=stage, job_id="3301"), action=Action.JOB_SEEN),
        "changed": write(
            "changed Acme to Größe",
            subject=Subject(organization=prod.organization),
            action=Action.ORGANIZATION_CHANGE,
            why="nothing",
        ),
    }
    return {name: event.seq for name, event in made.items()}


CASES = [
    ("actor:m.lead", ["cancelled"]),
    ("-actor:operator", ["cancelled"]),
    ("actor:operator,m.lead -action:export.*", ["changed", "seen"]),
    ("action:export.create outcome:requested", ["asked"]),
    ("org:acme sandbox:stage", ["seen"]),
    ("sandbox:acme/prod", ["cancelled", "asked"]),
    ("-sandbox:prod", ["changed", "seen"]),
    ("job:24127", ["cancelled"]),
    ("job:24127,3301", ["seen", "cancelled"]),
    ("-job:24127", ["changed", "seen", "asked"]),
    ("audience:seg-lapsed", ["cancelled", "asked"]),
    ('audience:"lapsed buyers"', ["cancelled", "asked"]),
    ("-audience:seg-lapsed", ["changed", "seen"]),
    ("dataset:other-ds", ["seen"]),
    ("field:personalEmail.address", ["seen", "cancelled", "asked"]),
    ('recipient:"CRM team" ticket:mk-311', ["cancelled", "asked"]),
    ("recipient:nobody", []),
    ("pii:certain-email", ["cancelled", "asked"]),
    ("pii:possible-email", ["seen"]),
    ("pii:email", ["seen", "cancelled", "asked"]),
    ("cancelled", ["cancelled"]),
    ("CANCELLED -24127", []),
    ("größe", ["changed"]),
    ("gro\u0308ße", ["changed"]),
    ("actor:M.LEAD", ["cancelled"]),
    ("-actor:M.Lead action:export.*", ["asked"]),
    ("GRÖSSE", []),
    ('"asked to export"', ["asked"]),
    ("nothing of the kind", []),
    # Purpose and names of the export that an event is about, by the beginnings of their words.
    ("win-back", ["cancelled", "asked"]),
    ("lapsed", ["cancelled", "asked"]),
    ("crm letter", ["cancelled", "asked"]),
    ("apsed", []),
    ("-letter", ["changed", "seen"]),
    ("acme stage", ["seen"]),
    # Never how the record is written: names of its parts, or the salt.
    ("signed_in", []),
    ("details", []),
    ("correlation_id", []),
    ("salt", []),
    ("created:all", ["changed", "seen", "cancelled", "asked"]),
    ("created:2001-01-01,2002-01-01", []),
    ("created:<2001-01-01", []),
    ("-created:>=2001-01-01", []),
]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_the_record(auditor: User, events: dict[str, int], line: str, expected: list[str]) -> None:
    assert numbers(signed_in(auditor), line) == [events[name] for name in expected]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_the_same_where_everything_is_too_much_to_list(
    auditor: User, events: dict[str, int], monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]
) -> None:
    """The other way in which events are found: walked, and asked one by one."""
    monkeypatch.setattr(audit_filters, "MOST_LISTED", 0)
    monkeypatch.setattr("segadmin.queries.search_audit.MOST_EXPORTS", 0)
    assert numbers(signed_in(auditor), line) == [events[name] for name in expected]


def test_requests_and_records(auditor: User, events: dict[str, int], exports: dict[str, Job]) -> None:
    wish = exports["ours"].export_request
    assert wish is not None
    client = signed_in(auditor)
    assert numbers(client, f"request:{wish.uuid}") == [events["asked"]]
    assert numbers(client, f"record:{events['seen']}") == [events["seen"]]
    assert numbers(client, f"record:{events['asked']}..{events['seen']} -record:{events['cancelled']}") == [
        events["seen"],
        events["asked"],
    ]


def test_another_orgs_exports_are_not_found(stranger: User, events: dict[str, int], nordwind: Organization) -> None:
    client = signed_in(make_person("dpo", Role.AUDITOR, organization=nordwind))
    for line in ("audience:seg-lapsed", "job:24127", "cancelled", "record:1..99", "-actor:nobody"):
        assert set(numbers(client, line)) & set(events.values()) == set()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("actr:m.lead", "There is no “actr:” here"),
        ("actor:", "“actor:” needs a value"),
        ("action:export.everything", "knows no action “export.everything”"),
        ("-action:export.everything", "knows no action “export.everything”"),
        ("-outcome:fine", "There is no outcome “fine”"),
        ("org:nordwind", "no organization “nordwind”"),
        ("sandbox:nowhere", "There is no sandbox “nowhere”"),
        ("created:yesterday", "year, month and day"),
        ("created:2026-07-02..2026-07-01", "The last day is before the first one"),
        ("record:x", "Write a record as its number"),
        ("pii:shoe-size", "There is no kind of personal data “shoe-size”"),
        ("-pii:shoe-size", "There is no kind of personal data “shoe-size”"),
        ('"never closed', "not closed"),
    ],
)
def test_what_can_not_be_understood_is_told_at_the_field_and_shows_nothing(
    auditor: User, events: dict[str, int], nordwind: Organization, line: str, words: str
) -> None:
    text = unescape(signed_in(auditor).get(address(f"actor:operator {line}")).content.decode())
    assert words in text
    assert "data-seq" not in text
    assert "Nothing is shown." in text
    assert 'aria-invalid="true"' in text or "org:" in line or line.startswith("action:")


def test_menus_write_into_the_line_and_the_line_fills_the_menus(auditor: User, events: dict[str, int]) -> None:
    client = signed_in(auditor)
    line = 'actor:operator -outcome:refused audience:"Lapsed buyers"'
    text = client.get(address(line)).content.decode()
    assert line_of(text) == line
    assert re.search(r'<input type="checkbox" name="person" value="operator"[^>]* checked', text)
    assert unescape(text).count('name="q" value="-outcome:refused audience:"Lapsed buyers""') == 1
    sent = client.get(URL, {"write": "1", "q": "-outcome:refused", "person": ["m.lead", ""], "from": "2026-07-01"})
    assert sent.status_code == 302
    assert unescape(sent.headers["Location"]) == f"{URL}?q=-outcome%3Arefused+actor%3Am.lead+created%3A2026-07-01.."


def test_chips_take_one_value_away_and_lead_to_the_first_page(auditor: User, events: dict[str, int]) -> None:
    text = signed_in(auditor).get(address("actor:a,b -action:export.create words") + "&after=99").content.decode()
    chips = [unescape(found) for found in re.findall(r'class="chip" href="([^"]+)"', text)]
    assert chips == [
        "?q=actor%3Ab+-action%3Aexport.create+words",
        "?q=actor%3Aa+-action%3Aexport.create+words",
        "?q=actor%3Aa%2Cb+words",
        "?q=actor%3Aa%2Cb+-action%3Aexport.create",
    ]


def test_the_default_period_is_said_and_can_be_lifted(auditor: User, prod: Sandbox) -> None:
    with time_machine.travel("2020-01-01", tick=False):
        old = write("long ago", subject=Subject(sandbox=prod)).seq
    client = signed_in(auditor)
    text = client.get(URL).content.decode()
    assert re_numbers(text) == []
    assert "There are older records." in unescape(text)
    assert "Shown since" in text
    link = re.search(r'href="(\?q=created%3Aall)"', text)
    assert link is not None
    assert old in re_numbers(client.get(URL + link[1]).content.decode())
    assert numbers(client, f"record:{old}") == [old]


def test_a_search_that_stops_says_so_and_goes_on(auditor: User, prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_filters, "BATCH", 5)
    monkeypatch.setattr(audit_filters, "MOST_SEARCHED", 10)
    wanted = write("needle", subject=Subject(sandbox=prod)).seq
    for _n in range(30):
        write("hay", subject=Subject(sandbox=prod))
    client, where, pages = signed_in(auditor), address("needle"), 0
    while wanted not in re_numbers(text := client.get(where).content.decode()):
        assert "Looked back as far as record" in text
        found = re.search(r'href="(\?q=needle&amp;after=\d+)">Go on from there', text)
        assert found is not None
        where, pages = URL + unescape(found[1]), pages + 1
    assert pages >= 3


def test_paging_by_text_loses_and_repeats_nothing(auditor: User, prod: Sandbox) -> None:
    made = [write(f"needle {n}", subject=Subject(sandbox=prod)).seq for n in range(120)]
    client = signed_in(auditor)
    where, seen = address("needle"), []
    while where:
        text = client.get(where).content.decode()
        seen += re_numbers(text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        where = URL + unescape(following[1]) if following else ""
    assert seen == made[::-1]


@pytest.mark.parametrize("line", ["<script>alert(1)</script>", "'; DROP TABLE x; --", "\x00", "💩" * 9, "%_\\", 'a"b'])
@pytest.mark.parametrize("page", [URL, "/register/"])
def test_any_line_is_survived(auditor: User, events: dict[str, int], page: str, line: str) -> None:
    response = signed_in(auditor).get(address(line, page))
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {"24127", "3301"}),
        ("actor:operator", {"24127"}),
        ("-actor:operator", {"3301"}),
        ("actor:-", {"3301"}),
        ("sandbox:stage", {"3301"}),
        ("-sandbox:acme/stage", {"24127"}),
        ("audience:seg-lapsed,other", {"24127"}),
        ("-audience:seg-lapsed", {"3301"}),
        ("dataset:other-ds", {"3301"}),
        ("job:3301", {"3301"}),
        ("origin:outside", {"3301"}),
        ("-outcome:succeeded", set()),
        ("pii:certain-email", {"24127"}),
        ("pii:possible-email", {"3301"}),
        ("pii:email", {"24127", "3301"}),
        ("win-back", {"24127"}),
        ('"letter in july"', {"24127"}),
        ("-win-back", {"3301"}),
        ("created:<2001-01-01", set()),
        ("created:2001-01-01,>2002-01-01", {"24127", "3301"}),
        ("ticket:MK-311 recipient:crm", {"24127"}),
    ],
)
def test_the_register(auditor: User, exports: dict[str, Job], line: str, expected: set[str]) -> None:
    text = signed_in(auditor).get(address(line, "/register/")).content.decode()
    keys = {int(pk) for pk in re.findall(r'id="entry-(\d+)"', text)}
    assert set(RegisterEntry.objects.filter(pk__in=keys).values_list("job__job_id", flat=True)) == expected
    assert line_of(text) == "" if not line else line_of(text)


@pytest.mark.parametrize("line", ["record:1", "left:maybe", "-left:maybe", "created:x", "request:1", "sandbox:nowhere"])
def test_the_register_explains_what_it_can_not_apply(auditor: User, exports: dict[str, Job], line: str) -> None:
    text = signed_in(auditor).get(address(line, "/register/")).content.decode()
    assert 'id="entry-' not in text
    assert "Nothing is shown." in text
    assert 'role="alert"' in text


def test_the_register_keeps_what_its_menus_have_no_place_for(auditor: User, exports: dict[str, Job]) -> None:
    client = signed_in(auditor)
    text = unescape(client.get(address("actor:operator -job:1", "/register/")).content.decode())
    assert '<input type="hidden" name="q" value="-job:1">' in text
    assert line_of(text) == "actor:operator -job:1"
    sent = client.get("/register/", {"write": "1", "q": "-job:1", "person": ["operator"], "pii": ["?email"]})
    assert sent.headers["Location"] == "/register/?q=-job%3A1+actor%3Aoperator+pii%3Apossible-email"


def test_a_file_holds_what_the_page_shows(auditor: User, events: dict[str, int]) -> None:
    client = signed_in(auditor)
    text = client.get(address("-actor:operator cancelled")).content.decode()
    link = re.search(r'href="(/audit/export\.jsonl\?[^"]+)"', text)
    assert link is not None
    body = b"".join(client.get(unescape(link[1])))
    assert body.count(b'"seq":') == 1
    assert b"cancelled 24127" in body


def test_the_single_key_is_off_by_default(auditor: User) -> None:
    client = signed_in(auditor)
    assert "data-single-keys" not in client.get(URL).content.decode()
    User.objects.filter(pk=auditor.pk).update(single_keys=True)
    text = client.get(URL).content.decode()
    assert "data-single-keys" in text
    assert "data-find" in text


def test_capitals_of_a_name_count_only_where_two_accounts_differ_in_them(
    auditor: User, exports: dict[str, Job], prod: Sandbox
) -> None:
    client = signed_in(auditor)
    page = client.get(address("actor:OPERATOR", "/register/")).content.decode()
    assert page.count('id="entry-') == 1
    assert client.get("/register/?person=Operator").content.decode().count('id="entry-') == 1
    make_person("OPERATOR")
    page = client.get(address("actor:OPERATOR", "/register/")).content.decode()
    assert page.count('id="entry-') == 0
