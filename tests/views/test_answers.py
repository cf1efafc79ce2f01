"""The pages and files of the answers: who may read them, each number's way to its rows, and words for what is not known."""

import csv
import io
import re
from collections.abc import Callable
from html import unescape

import pytest
from django.http import StreamingHttpResponse
from django.test import Client

from segadmin.actions import register as actions
from segadmin.models import (
    Action,
    EventContent,
    FileReceipt,
    Name,
    Organization,
    Origin,
    RegisterEntry,
    RequestState,
    Role,
    Sandbox,
    State,
    User,
)
from tests.conftest import signed_in
from tests.factories import make_job, make_name, make_request, raw_job

pytestmark = pytest.mark.django_db

PAGES = ["/answers/", "/answers/where/", "/answers/erasure/", "/answers/processing/", "/answers/breach/"]
FILES = [
    "/answers/exported.csv",
    "/answers/where.csv?audience=lapsed",
    "/answers/erasure.csv?audiences=lapsed",
    "/answers/processing.csv",
    "/answers/breach.csv",
]
type Read = Callable[[str], str]


@pytest.fixture
def varied(prod: Sandbox, stage: Sandbox, foreign: Sandbox, operator: User) -> None:
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers")
    asked = make_request(prod, operator, minutes_ago=1, legal_basis="consent")
    make_job(prod, "here", export_request=asked, origin=Origin.HERE, person="operator", minutes_ago=1, profiles=40)
    two = {"segments": [{"segmentId": "seg-lapsed"}, {"segmentId": "seg-new"}]}
    make_job(prod, "two", raw={**raw_job("two"), "filter": two}, minutes_ago=60 * 24 * 70, profiles=60)
    make_job(prod, "every", raw={**raw_job("every"), "fields": "", "filter": {}}, minutes_ago=3, profiles=None)
    make_job(
        stage, "fails", State.FAILED, minutes_ago=4, batch_ids=[], raw={**raw_job("fails", "FAILED"), "metrics": {}}
    )
    make_job(stage, "runs", State.RUNNING, minutes_ago=5)
    make_request(prod, operator, RequestState.REFUSED, minutes_ago=6, recipient="CRM team two", ticket="MK-9")
    make_job(foreign, "theirs", minutes_ago=1)
    actions.rebuild()


@pytest.fixture
def read(varied: None, auditor: User) -> Read:
    client = signed_in(auditor)

    def get(address: str) -> str:
        response = client.get(address)
        assert response.status_code == 200
        return response.content.decode()

    return get


def words(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def links(text: str) -> dict[str, int]:
    """Address in the register -> the number that leads there."""
    found = re.findall(r'<a href="(/register/\?[^"]*)">([\d,]+)</a>', text)
    return {unescape(address): int(number.replace(",", "")) for address, number in found}


def total(text: str) -> int:
    """Of the register's page."""
    found = re.search(r"<dt>Exports</dt><dd class=\"num\"><b>([\d,]+)</b>", text)
    return int(found[1].replace(",", "")) if found else 0


def rows(client: Client, address: str) -> list[dict[str, str]]:
    response = client.get(address)
    assert isinstance(response, StreamingHttpResponse), response.content
    data = b"".join(response)
    return list(csv.DictReader(io.StringIO(data.decode())))


# -- who may read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [*PAGES, *FILES])
def test_those_who_read_the_register_may_ask_it(varied: None, approver: User, operator: User, address: str) -> None:
    assert signed_in(approver).get(address).status_code == 200
    assert signed_in(operator).get(address).status_code == 403
    assert EventContent.objects.filter(action=Action.ACCESS_REFUSED).count() == 1


@pytest.mark.parametrize("address", PAGES)
def test_only_get_and_signed_out_goes_to_sign_in(auditor: User, address: str) -> None:
    assert signed_in(auditor).post(address).status_code == 405
    assert Client().get(address).headers["Location"].startswith("/accounts/login/")


def test_only_rows_of_own_orgs(read: Read, nordwind: Organization) -> None:
    assert "Nordwind" not in read("/answers/?by=org")
    assert "Nothing is shown" in read("/answers/?org=nordwind")


def test_by_person_is_for_auditors_alone(varied: None, admin: User, auditor: User) -> None:
    refused = signed_in(admin).get("/answers/?by=person").content.decode()
    assert "can’t be counted by “person”" in refused
    assert 'data-key="operator"' not in refused
    assert signed_in(admin).get("/answers/exported.csv?by=person").status_code == 400
    text = signed_in(auditor).get("/answers/?by=person").content.decode()
    assert 'data-key="operator"' in text
    assert "Adobe names nobody" in text


def test_by_person_leaves_out_orgs_of_which_one_is_no_auditor(varied: None, acme: Organization, auditor: User) -> None:
    auditor.memberships.create(role=Role.APPROVER, organization=Organization.objects.get(slug="nordwind"))
    client = signed_in(auditor)
    assert client.get("/answers/?by=org").content.decode().count('data-key="nordwind"') == 1
    text = client.get("/answers/?by=person").content.decode()
    for address, number in links(text).items():
        assert "org=acme" in address
        assert total(client.get(address).content.decode()) == number


# -- numbers and their rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *(f"/answers/?by={by}" for by in ("audience", "dataset", "recipient", "field", "org", "period", "person")),
        "/answers/?by=dataset&sandbox=acme%2Fprod&audience=lapsed",
        "/answers/?by=recipient&q=-ticket:MK-9",
        "/answers/?by=period&basis=ended",
        "/answers/where/?audience=lapsed",
        "/answers/where/?field=personalEmail&left=yes",
        "/answers/erasure/?audiences=lapsed%0Aseg-new",
        "/answers/processing/",
        "/answers/breach/",
        "/answers/breach/?dataset=5b7c86968f7b6501e21ba9df",
    ],
)
def test_each_number_leads_to_as_many_rows(read: Read, address: str) -> None:
    found = links(read(address))
    assert found
    for where, number in found.items():
        assert total(read(where)) == number, where


def test_a_link_that_could_not_say_exactly_these_is_none(read: Read) -> None:
    """Of an audience within those of another one: the register's filter can name only one."""
    text = read("/answers/?by=audience&audience=seg-new")
    line = text.split('data-key="seg-lapsed"')[1].split("</tr>")[0]
    assert "/register/" not in line
    assert links(text)  # the total's


@pytest.mark.parametrize("by", ["audience", "field", "recipient"])
def test_the_files_total_is_the_pages_and_the_registers(read: Read, auditor: User, by: str) -> None:
    client = signed_in(auditor)
    answer = rows(client, f"/answers/exported.csv?by={by}")
    register = rows(client, "/register/export.csv")
    last = answer[-1]
    assert (last["by"], int(last["exports"])) == ("total", len(register)) == ("total", 6)
    counted = [int(row["profiles"]) for row in register if row["profiles_source"] == "adobe"]
    assert (int(last["profiles_adobe"]), int(last["exports_counted_by_adobe"])) == (sum(counted), len(counted))
    shown = re.findall(r'<tr data-key="([^"]*)"', read(f"/answers/?by={by}"))
    assert len(shown) == len(answer)


def test_the_erasure_file_has_each_row_once(varied: None, auditor: User) -> None:
    found = rows(signed_in(auditor), "/answers/erasure.csv?audiences=lapsed")
    assert len(found) == RegisterEntry.objects.filter(organization__slug="acme").count()
    assert {row["verdict"] for row in found} == {"may_contain", "cannot_be_excluded", "does_not"}


def test_a_file_leaves_an_event_and_a_receipt_with_its_columns(varied: None, auditor: User) -> None:
    client = signed_in(auditor)
    rows(client, "/answers/breach.csv")
    receipt = FileReceipt.objects.get()
    assert (receipt.what, receipt.filter["chosen"]["answer"], len(receipt.sha256)) == ("answers", ["breach"], 64)
    assert EventContent.objects.filter(action=Action.RECORD_EXPORTED).count() == 2
    assert "largest_export" in client.get(f"/files/{receipt.code}/").content.decode()


@pytest.mark.parametrize("address", ["/answers/where.csv", "/answers/erasure.csv", "/answers/exported.csv?by=moon"])
def test_a_question_that_is_none_gives_no_file(auditor: User, address: str) -> None:
    assert signed_in(auditor).get(address).status_code == 400
    assert not FileReceipt.objects.exists()


# -- words ------------------------------------------------------------------------------------------------------------


def test_who_exported_what_is_drawn_and_told(read: Read) -> None:
    text = read("/answers/")
    assert re.search(r'<svg class="chart" role="img" aria-label="Exports a month, [^"]* Most in', text)
    for part in (
        "at most 100, Adobe’s count of 2 exports",
        "not reported for 1 export",
        "Everyone, no audience",
        "In all, each export once",
        "By when it was asked for",
        "UTC",
    ):
        assert part in words(text)


def test_an_empty_register_is_not_called_a_filter_that_matches_nothing(
    auditor: User, prod: Sandbox, operator: User
) -> None:
    client = signed_in(auditor)
    assert "No export is in the register yet." in client.get("/answers/").content.decode()
    make_job(prod, "1")
    actions.rebuild()
    filtered = client.get("/answers/?recipient=nobody").content.decode()
    assert 'data-empty="no-match"' in filtered
    assert "No export matches." in filtered


def test_where_names_dataset_recipient_and_exports_of_everyone(read: Read) -> None:
    said = words(read("/answers/where/?audience=lapsed"))
    for part in ("CRM out", "CRM team", "exports of everyone", "recipient not said", "By these exports"):
        assert part in said
    assert "CRM team two" not in said  # refused


def test_nothing_asked_is_no_fault_but_an_incomplete_question_is(read: Read) -> None:
    for address in ("/answers/where/", "/answers/erasure/"):
        assert "error_summary" not in read(address)
        assert 'data-key="total"' not in read(address)
    assert "Name an audience or a field" in read("/answers/where/?from=2026-01-01")
    assert "Name an audience or a field" in read("/answers/where/?audience=&field=&from=&to=")
    assert "Write which audiences" in read("/answers/erasure/?audiences=&from=&to=")
    assert "one audience at a time" in read("/answers/where/?q=audience:a,b")
    assert "Write which audiences" in read("/answers/erasure/?from=2026-01-01")
    assert "named by its id or part of its name" in read("/answers/erasure/?audiences=%3D")


def test_erasure_says_whom_to_tell_and_what_was_not_found(read: Read) -> None:
    said = words(read("/answers/erasure/?audiences=lapsed%0Anobody"))
    for part in ("Not found in any export", "nobody", "Understood as: Lapsed buyers (seg-lapsed)", "CRM team"):
        assert part in said
    assert "Recipient not said: ask who uses the dataset" in said
    assert "segadmin knows no people, only audiences" in said


def test_whom_to_tell_leads_to_the_exports(read: Read) -> None:
    """Of each recipient, and of each reason where there is more than one."""
    text = read("/answers/erasure/?audiences=lapsed%0Aseg-new")
    lines = re.findall(r'<tr data-recipient="([^"]*)">(.*?)</tr>', text, re.DOTALL)
    told = {name: [*links(line).values()] for name, line in lines}
    assert told == {"CRM team": [1], "": [1, 1, 1]}
    for _name, line in lines:
        for address, number in links(line).items():
            assert total(read(address)) == number, address
    assert "whether data leaves is not known yet" in words(dict(lines)[""])
    filtered = read("/answers/erasure/?audiences=lapsed&recipient=CRM")
    line = filtered.split('data-recipient="CRM team"')[1].split("</tr>")[0]
    assert "/register/" not in line  # the register's filter can name only one recipient


def test_each_number_of_a_breach_leads_to_its_rows(read: Read) -> None:
    text = read("/answers/breach/")
    for key, number in (("everyone", 1), ("all-fields", 1), ("total", 3)):
        cell = text.split(f'<dd data-key="{key}">')[1].split("</dd>")[0]
        assert list(links(cell).values()) == [number]
        assert total(read(next(iter(links(cell))))) == number


def test_processing_and_breach_name_what_they_have_to(read: Read) -> None:
    said = words(read("/answers/processing/"))
    for part in (
        "Win-back letter in July",
        "consent",
        "e-mail",
        "Lapsed buyers",
        "Records are kept",
        "third countries",
    ):
        assert part in said
    said = words(read("/answers/breach/"))
    for part in (
        "at most 100",
        "Categories of data",
        "e-mail",
        "possibly",
        "Profiles, not people",
        "Most in one export",
    ):
        assert part in said


@pytest.mark.parametrize("page", PAGES)
def test_what_people_typed_is_text(prod: Sandbox, auditor: User, operator: User, page: str) -> None:
    evil = "<script>alert(1)</script>"
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", evil)
    names = {"audiences": [{"id": "seg-lapsed", "name": evil}], "dataset": {"name": evil}}
    asked = make_request(prod, operator, recipient=evil, purpose=evil, legal_basis="<b>", names=names)
    make_job(prod, "here", export_request=asked, origin=Origin.HERE, person="operator")
    actions.rebuild()
    for query in ("by=recipient&audiences=seg&audience=seg", "by=audience&audiences=%3Cscript%3E", "by=dataset"):
        text = signed_in(auditor).get(f"{page}?{query}").content.decode()
        assert "<script>alert" not in text


def test_looking_leaves_one_event(read: Read) -> None:
    for page in PAGES:
        read(page)
    assert EventContent.objects.filter(action=Action.RECORD_VIEWED).count() == 1
