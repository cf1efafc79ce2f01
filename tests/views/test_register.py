"""The register's list and an entry's page: who may read them, filters, totals, order, and the words for what is not known."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from segadmin.actions import register as actions
from segadmin.audit import Actor
from segadmin.models import (
    Action,
    EventContent,
    Job,
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
from tests.conftest import make_person, signed_in
from tests.factories import make_job, make_name, make_request, raw_job

pytestmark = pytest.mark.django_db

URL = "/register/"
type Page = Callable[[str], str]


def ids(text: str) -> list[str]:
    """Job ids of the rows, in order; a row without a job gives its outcome."""
    rows = re.findall(r'<tr id="entry-[^>]*data-outcome="(\w+)"[^>]*?(?:data-job-id="([^"]*)")?>', text)
    return [job or outcome for outcome, job in rows]


def words(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def row(text: str, job_id: str) -> str:
    """The words of one row."""
    found = re.search(rf'<tr id="entry-[^>]*data-job-id="{job_id}">(.*?)</tr>', text, re.DOTALL)
    assert found is not None
    return words(found[1])


@pytest.fixture
def read(auditor: User) -> Page:
    client = signed_in(auditor)

    def get(query: str = "") -> str:
        response = client.get(f"{URL}{query}")
        assert response.status_code == 200
        return response.content.decode()

    return get


@pytest.fixture
def varied(prod: Sandbox, stage: Sandbox, foreign: Sandbox, operator: User) -> None:
    """Exports that differ in everything that can be filtered by, a minute apart."""
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers")
    make_name(prod, Name.Kind.AUDIENCE, "seg-sugar", "Diabetes newsletter")
    asked = make_request(prod, operator, minutes_ago=1, legal_basis="consent")
    make_job(prod, "here", export_request=asked, origin=Origin.HERE, person="operator", minutes_ago=1, profiles=40)
    sugar = {**raw_job("sugar"), "filter": {"segments": [{"segmentId": "seg-sugar"}]}, "fields": "_acme.points"}
    make_job(prod, "sugar", raw=sugar, minutes_ago=2, profiles=0)
    make_job(prod, "every", raw={**raw_job("every"), "fields": "", "filter": {}}, minutes_ago=3, profiles=None)
    make_job(stage, "fails", State.FAILED, minutes_ago=4, batch_ids=[], raw=_with_dataset("fails", "dataset-2"))
    make_job(stage, "runs", State.RUNNING, minutes_ago=5, origin=Origin.OLDER)
    make_request(prod, operator, RequestState.REFUSED, minutes_ago=6, recipient="Print house", ticket="MK-9")
    make_job(foreign, "theirs", minutes_ago=1)
    actions.rebuild()


def _with_dataset(job_id: str, dataset: str) -> dict[str, object]:
    return {**raw_job(job_id, "FAILED"), "destination": {"datasetId": dataset}, "fields": "person"}


# -- who may read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auditor", "admin", "approver"])
def test_works_for_those_who_may_read_the_register(request: pytest.FixtureRequest, varied: None, name: str) -> None:
    response = signed_in(request.getfixturevalue(name)).get(URL)
    assert response.status_code == 200
    assert ids(response.content.decode()) == ["here", "sugar", "every", "fails", "runs", "refused"]


@pytest.mark.parametrize("name", ["viewer", "operator", "stranger"])
def test_others_are_refused_on_record(request: pytest.FixtureRequest, name: str) -> None:
    assert signed_in(request.getfixturevalue(name)).get(URL).status_code == 403
    assert EventContent.objects.get(action=Action.ACCESS_REFUSED).actor_name == name


def test_signed_out_goes_to_sign_in(db: None) -> None:
    assert Client().get(URL).headers["Location"] == f"/accounts/login/?next={URL}"


def test_only_get(auditor: User) -> None:
    for method in ("post", "put", "patch", "delete"):
        assert getattr(signed_in(auditor), method)(URL).status_code == 405


def test_reading_changes_nothing(varied: None, read: Page) -> None:
    before = list(RegisterEntry.objects.order_by("pk").values())
    read("")
    assert list(RegisterEntry.objects.order_by("pk").values()) == before


def test_it_is_the_second_in_the_menu_and_an_auditors_first_page(
    acme: Organization, auditor: User, operator: User, approver: User
) -> None:
    home = signed_in(auditor).get("/")
    assert home.headers["Location"] == URL
    nav = re.findall(r'<a href="(/\w+/)"', signed_in(auditor).get(URL).content.decode().split("<nav", 1)[1])
    assert nav[:3] == ["/jobs/", "/register/", "/audit/"]
    for other in (operator, approver):
        assert signed_in(other).get("/").headers["Location"] == "/jobs/"
    both = make_person("both", Role.AUDITOR, Role.OPERATOR, organization=acme)
    assert signed_in(both).get("/").headers["Location"] == "/jobs/"


def test_signing_in_leads_an_auditor_to_the_register(auditor: User, operator: User) -> None:
    for person, first in ((auditor, URL), (operator, "/jobs/")):
        response = Client().post("/accounts/login/", {"login": person.username, "password": "correct horse battery"})
        assert response.headers["Location"] == first


def test_several_orgs_are_one_list(varied: None, acme: Organization, nordwind: Organization) -> None:
    person = make_person("both", Role.AUDITOR, organization=acme)
    person.memberships.create(role=Role.APPROVER, organization=nordwind)
    text = signed_in(person).get(URL).content.decode()
    assert set(ids(text)) == {"here", "theirs", "sugar", "every", "fails", "runs", "refused"}
    assert ids(signed_in(person).get(f"{URL}?org=nordwind").content.decode()) == ["theirs"]


# -- what a row says --------------------------------------------------------------------------------------------------


def test_a_row_says_who_what_where_why_and_whether(varied: None, read: Page) -> None:
    said = row(read(""), "here")
    for part in (
        "operator no approval required",
        "Lapsed buyers",
        "e-mail, identity ids",
        "e-mail identifier possibly phone",
        "Acme Retail",
        "prod, production",
        "CRM out goes on to CRM team, as stated",
        "Win-back letter in July",
        "MK-311 · consent",
        "40 Adobe’s count",
        "Finished",
        "yes",
    ):
        assert part in said


def test_what_is_not_known_is_said(varied: None, read: Page) -> None:
    text = read("")
    every = row(text, "every")
    for part in (
        "from outside person not known",
        "Everyone, no audience",
        "all fields",
        "not reported",
        "recipient not said",
    ):
        assert part in every
    assert "0 Adobe’s count" in row(text, "sugar")
    assert "Finished, but empty" in row(text, "sugar")
    assert "before the connection" in row(text, "runs")
    assert "not ended" in row(text, "runs")
    assert "not known yet" in row(text, "runs")
    refused = words(text.split('data-outcome="refused"')[1].split("</tr>")[0])
    for part in ("Refused by Adobe", "none no export came of it", "Print house", "no"):
        assert part in refused


def test_a_failed_export_says_whether_it_had_begun(prod: Sandbox, read: Page) -> None:
    begun = {**raw_job("7", "FAILED"), "metrics": {"aCPDatasetWriteTime": {"startTimeInMs": 1}}}
    make_job(prod, "7", State.FAILED, raw=begun)
    make_job(prod, "8", State.FAILED, raw={**raw_job("8", "FAILED"), "destination": {}})
    actions.rebuild()
    text = read("")
    assert "Failed data may have been written possibly" in row(text, "7")
    assert "Failed nothing was written no" in row(text, "8")


def test_certain_and_possible_are_kept_apart(varied: None, read: Page) -> None:
    text = read("")
    assert '<span class="tag special">health</span>' in text
    assert '<span class="tag maybe">possibly other personal data</span>' in text
    assert '<span class="tag">e-mail</span>' in text


def test_the_record_is_linked_for_those_who_may_read_it(prod: Sandbox, approver: User, auditor: User) -> None:
    from segadmin.actions import mirror
    from segadmin.aep.types import ExportJob

    mirror.take_in(prod, [ExportJob.parse(raw_job("7"))], read_at=timezone.now())
    seq = EventContent.objects.get(action=Action.JOB_SEEN).event_id
    assert f'href="/audit/{seq}/"' in signed_in(auditor).get(URL).content.decode()
    assert f'href="/audit/{seq}/"' not in signed_in(approver).get(URL).content.decode()


def test_text_from_outside_is_text(prod: Sandbox, operator: User, read: Page) -> None:
    make_request(prod, operator, RequestState.REFUSED, purpose="<script>alert(1)</script>", recipient="=1+1<b>")
    make_name(prod, Name.Kind.AUDIENCE, "seg-x", "\u202e<img src=x>")
    make_job(prod, "7", raw={**raw_job("7"), "filter": {"segments": [{"segmentId": "seg-x"}]}})
    actions.rebuild()
    text = read("")
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "<b>" not in text.split("<tbody>")[1].split("=1+1")[1][:20]


# -- filters ----------------------------------------------------------------------------------------------------------

ALL = ["here", "sugar", "every", "fails", "runs", "refused"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?org=acme", ALL),
        ("?sandbox=acme/stage", ["fails", "runs"]),
        ("?person=operator", ["here", "refused"]),
        ("?person=-", ["sugar", "every", "fails", "runs"]),
        ("?person=operator&person=-", ALL),
        ("?origin=here", ["here", "refused"]),
        ("?origin=outside", ["sugar", "every", "fails"]),
        ("?outcome=failed&outcome=refused", ["fails", "refused"]),
        ("?left=yes", ["here", "every"]),
        ("?left=no", ["sugar", "fails", "refused"]),
        ("?left=not_yet", ["runs"]),
        ("?pii=email", ["here", "runs", "refused"]),
        ("?pii=%3Femail", ["every"]),
        ("?pii=email&pii=%3Femail", ["here", "every", "runs", "refused"]),
        ("?pii=health", ["sugar"]),
        ("?pii=any", ["here", "sugar", "fails", "runs", "refused"]),
        ("?pii=%3Fany", ["every"]),
        ("?audience=lapsed", ["here", "fails", "runs", "refused"]),
        ("?audience=SEG-SUGAR", ["sugar"]),
        ("?audience=diabetes", ["sugar"]),
        ("?dataset=dataset-2", ["fails"]),
        # The same dataset, also where its name was not known then.
        ("?dataset=crm+out", ["here", "sugar", "every", "runs", "refused"]),
        ("?recipient=print", ["refused"]),
        ("?ticket=mk-9", ["refused"]),
        ("?ticket=mk", []),
        ("?field=person.name.firstName", ["every", "fails"]),
        ("?field=personalEmail", ["here", "every", "runs", "refused"]),
        ("?field=personalEmail.address", ["here", "every", "runs", "refused"]),
        ("?field=_acme.points", ["sugar", "every"]),
        ("?text=win-back+letter", ["here", "refused"]),
        ("?text=win-back+mk-311", ["here"]),
        ("?sandbox=acme/prod&pii=email&left=yes", ["here"]),
    ],
)
def test_filters(varied: None, read: Page, query: str, found: list[str]) -> None:
    text = read(query)
    assert ids(text) == found
    if found:
        assert f"{len(found)} of {len(found)}, newest first" in words(text)


@pytest.mark.parametrize(
    "query",
    ["?org=nordwind", "?outcome=lost", "?pii=shoes", "?from=yesterday", "?from=2026-05-02&to=2026-05-01"],
)
def test_a_filter_that_can_not_be_applied_shows_nothing(varied: None, read: Page, query: str) -> None:
    text = read(query)
    assert ids(text) == []
    assert "Nothing is shown." in text
    assert 'id="errors"' in text


def test_the_period_says_what_it_is_about_and_in_which_zone(prod: Sandbox, auditor: User, operator: User) -> None:
    asked = make_request(prod, operator)
    late = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    type(asked).objects.filter(pk=asked.pk).update(sent_at=late)
    job = make_job(prod, "7", export_request=asked, origin=Origin.HERE, ended_at=late + timedelta(hours=1))
    make_job(prod, "8", sort_at=late, ended_at=None)
    actions.rebuild()
    assert Job.objects.filter(pk=job.pk).exists()
    client = signed_in(auditor)

    def found(query: str) -> tuple[list[str], str]:
        text = client.get(f"{URL}{query}").content.decode()
        return sorted(ids(text)), words(text)

    told, text = found("?from=2026-03-01&to=2026-03-31")
    assert told == ["7", "8"]
    basis = (
        "By when it was asked for (from outside: made at Adobe): from 1 March 2026 00:00 until 1 April 2026 00:00, UTC"
    )
    assert basis in text
    told, text = found("?from=2026-04-01&basis=ended")
    assert told == ["7"]
    assert "By when it ended: from 1 April 2026 00:00 on, UTC" in text
    User.objects.update(zone="Europe/Berlin")
    told, text = found("?from=2026-04-01&to=2026-04-30")
    assert told == ["7", "8"]
    assert "until 1 May 2026 00:00, CE" in text


def test_chips_take_one_filter_away(varied: None, read: Page) -> None:
    text = unescape(read("?person=operator&person=-&left=yes&after=x"))
    chips = [parse_qs(found) for found in re.findall(r'class="chip" href="\?([^"]*)"', text)]
    assert chips == [
        {"person": ["-"], "left": ["yes"]},
        {"person": ["operator"], "left": ["yes"]},
        {"person": ["operator", "-"]},
    ]


# -- totals -----------------------------------------------------------------------------------------------------------


def test_totals_count_what_is_listed(varied: None, read: Page) -> None:
    text = read("")
    totals = words(text.split('<dl class="facts totals">')[1].split("</dl>")[0])
    assert totals == (
        "Exports 6 With personal data, certain 5 Only possible 1 Special category, certain 1 "
        "Special category, possible 2 From outside, or older 4 Refused, failed, cancelled 2 Data left: yes 2 "
        "Data left: possibly 0 Profiles, Adobe’s count 40"
    )
    assert "Counted for 2 exports" in words(text)
    assert "For 1 more that left, Adobe reported no number." in words(text)


def test_each_number_leads_to_its_rows(varied: None, read: Page) -> None:
    for query in ("", "?sandbox=acme/stage", "?left=no"):
        block = read(query).split('<dl class="facts totals">')[1].split("</dl>")[0]
        found = re.findall(r'<a href="([^"]+)">([\d,]+)</a>', block)
        assert found
        for url, number in found:
            assert len(ids(read(unescape(url)))) == int(number), url


def test_the_drawing_is_told_in_words(varied: None, read: Page) -> None:
    text = read("")
    label = re.search(r'<svg class="chart" role="img" aria-label="([^"]+)">', text)
    assert label is not None
    assert label[1].startswith("Exports a month, ")
    assert "Most in " in label[1]
    assert text.count("<rect") == 24


# -- order and size ---------------------------------------------------------------------------------------------------


def test_pages_follow_each_other_without_gaps(prod: Sandbox, stage: Sandbox, read: Page) -> None:
    now = timezone.now()
    for number in range(130):  # three share an instant
        make_job([prod, stage][number % 2], f"j{number:03}", sort_at=now - timedelta(minutes=number // 3))
    actions.rebuild()
    seen: list[str] = []
    query, pages = "", 0
    while True:
        text = read(query)
        seen += ids(text)
        pages += 1
        link = re.search(r'rel="next" href="([^"]+)"', text)
        if link is None:
            break
        query = unescape(link[1])
    assert pages == 3
    assert len(seen) == len(set(seen)) == 130
    assert [int(job[1:]) // 3 for job in seen] == sorted(int(job[1:]) // 3 for job in seen)


@pytest.mark.parametrize(
    "place", ["x", "2026-01-01T00:00:00Z_", "_5", "2026-13-01T00:00:00Z_4", "2026-01-01T00:00:00_4"]
)
def test_a_damaged_place_is_the_first_page(varied: None, read: Page, place: str) -> None:
    assert ids(read(f"?after={place}")) == ALL


def test_the_number_of_queries_does_not_depend_on_the_rows(prod: Sandbox, operator: User, auditor: User) -> None:
    client = signed_in(auditor)
    client.get(URL)  # that somebody reads the register goes on record once
    counts = []
    for size in (3, 40):
        for number in range(size):
            asked = make_request(prod, operator, minutes_ago=number) if number % 2 else None
            make_job(prod, f"{size}-{number}", export_request=asked, profiles=3)
        actions.rebuild()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(URL).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 22


def test_two_kinds_of_nothing(acme: Organization, prod: Sandbox, read: Page) -> None:
    assert 'data-empty="nothing"' in read("")
    assert 'data-empty="no-match"' in read("?left=yes")


# -- one entry --------------------------------------------------------------------------------------------------------


def entry(job_id: str) -> RegisterEntry:
    return RegisterEntry.objects.get(job__job_id=job_id)


def test_an_entry_of_which_adobe_names_nobody_says_so_in_a_sentence(varied: None, auditor: User) -> None:
    text = words(signed_in(auditor).get(f"{URL}{entry('runs').pk}/").content.decode())
    assert "Somebody whom Adobe does not name asked to export" in text
    assert "Asked by not known before the connection Approval not known: not asked for here" in text


def test_an_entry_tells_all_of_it(varied: None, auditor: User) -> None:
    found = entry("here")
    text = words(signed_in(auditor).get(f"{URL}{found.pk}/").content.decode())
    for part in (
        "operator exported e-mail and identity ids of everyone who was in “Lapsed buyers”",
        "from Acme Retail / prod to dataset “CRM out”",
        "Goes on to (as stated) CRM team",
        "last evaluation not known",
        "e-mail certain personalEmail.address",
        "phone possible identityMap",
        "By segadmin’s own map",
        "Approved no approval required",
        "Data left: yes",
        "40 Adobe’s count",
    ):
        assert part in text


def test_an_entry_of_all_fields(varied: None, auditor: User) -> None:
    text = words(signed_in(auditor).get(f"{URL}{entry('every').pk}/").content.decode())
    assert "e-mail possible all fields: nothing can be excluded" in text
    assert "Approved not known: not asked for here" in text
    assert "all fields of everyone" in text


def test_an_entry_lists_its_records(prod: Sandbox, auditor: User, approver: User, actor: Actor) -> None:
    from segadmin.actions import mirror
    from segadmin.aep.types import ExportJob

    mirror.take_in(prod, [ExportJob.parse(raw_job("7"))], read_at=timezone.now())
    address = f"{URL}{entry('7').pk}/"
    assert "What the record says" in signed_in(auditor).get(address).content.decode()
    assert "What the record says" not in signed_in(approver).get(address).content.decode()


def test_an_entry_of_another_org_does_not_exist(varied: None, auditor: User) -> None:
    assert signed_in(auditor).get(f"{URL}{entry('theirs').pk}/").status_code == 404
    assert signed_in(auditor).get(f"{URL}999999/").status_code == 404


def test_an_operator_reads_the_own_entry_only(varied: None, operator: User, viewer: User) -> None:
    assert signed_in(operator).get(f"{URL}{entry('here').pk}/").status_code == 200
    assert signed_in(operator).get(f"{URL}{entry('sugar').pk}/").status_code == 403
    assert signed_in(viewer).get(f"{URL}{entry('here').pk}/").status_code == 403


def test_a_draft_made_of_a_refused_export_stays_private(prod: Sandbox, operator: User, auditor: User) -> None:
    asked = make_request(prod, operator, RequestState.REFUSED)
    actions.rebuild()
    type(asked).objects.filter(pk=asked.pk).update(state=RequestState.DRAFT, purpose="not for others")
    found = RegisterEntry.objects.get()
    text = signed_in(auditor).get(f"{URL}{found.pk}/").content.decode()
    assert "not for others" not in text
    assert str(asked.uuid) not in text
