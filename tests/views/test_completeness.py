"""The statement of completeness on its page, the rows behind its numbers, and the line on the audit page."""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from segadmin.actions import completeness as actions
from segadmin.actions import explanations, findings
from segadmin.audit import Actor
from segadmin.models import (
    Action,
    BadRecord,
    EventContent,
    FileReceipt,
    Finding,
    Job,
    Organization,
    Origin,
    Reading,
    Role,
    Sandbox,
    Unread,
    User,
)
from segadmin.queries import completeness, completeness_sandboxes
from segadmin.queries.completeness import line
from tests.conftest import make_person, make_sandbox, signed_in
from tests.factories import make_job
from tests.views.pages import get, job_ids, link, text_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 7, 2, 12, 0, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def read_from(sandbox: Sandbox, first: datetime, last: datetime, clock: time_machine.Traveller) -> None:
    """The mirror reads it, once a minute and whole once an hour."""
    Sandbox.objects.filter(pk=sandbox.pk).update(connected_at=first, last_read_at=None)
    moment, number = first, 0
    while moment <= last:
        clock.move_to(moment, tick=False)
        actions.note_read(sandbox, read_at=moment, listed=3 if number % 20 == 0 else None)
        moment, number = moment + timedelta(minutes=3), number + 1
    clock.move_to(NOW, tick=False)


def job_at(sandbox: Sandbox, job_id: str, at: datetime, origin: Origin) -> Job:
    return make_job(sandbox, job_id, origin=origin, created_at=at, sort_at=at, first_seen_at=at, ended_at=at)


@pytest.fixture
def quarter(prod: Sandbox, clock: time_machine.Traveller) -> Sandbox:
    """A sandbox connected on 30 June at 10, read for four hours, with jobs of all kinds."""
    first = datetime(2026, 6, 30, 10, tzinfo=UTC)
    read_from(prod, first, first + timedelta(hours=3, minutes=57), clock)
    Sandbox.objects.filter(pk=prod.pk).update(last_read_at=NOW)
    for number, origin in enumerate([Origin.HERE, Origin.HERE, Origin.OUTSIDE, Origin.OLDER]):
        hours = -50 if origin == Origin.OLDER else 1
        job_at(prod, str(number), first + timedelta(hours=hours, minutes=number), origin)
    findings.look(prod)
    return prod


def statement(client: Client, query: str = "") -> str:
    return text_of(get(client, f"/completeness/{query}"))


def test_the_last_full_quarter_is_the_default(prod: Sandbox, auditor: User) -> None:
    Sandbox.objects.filter(pk=prod.pk).update(connected_at=NOW - timedelta(days=200))
    assert "1 April to 30 June 2026, UTC" in statement(signed_in(auditor))


def test_of_a_new_connection_this_quarter_is_shown(prod: Sandbox, auditor: User) -> None:
    Sandbox.objects.filter(pk=prod.pk).update(connected_at=NOW)
    page = signed_in(auditor).get("/completeness/").text
    assert "1 July to " in text_of(signed_in(auditor).get("/completeness/"))
    assert 'value="2026-07-01"' in page


def test_a_time_before_the_connection_is_told_as_not_watched(prod: Sandbox, auditor: User) -> None:
    page = statement(signed_in(auditor), "?from=2026-01-01&to=2026-03-31")
    assert "Nothing was watched in this time." in page


def test_the_statement_says_what_was_read_and_what_was_shown(quarter: Sandbox, auditor: User) -> None:
    make_sandbox(quarter.organization, "stage2", "development", watched=False, connected_at=None)
    page = statement(signed_in(auditor))
    assert "1 April to 30 June 2026, UTC, Acme Retail / prod." in page
    assert "Adobe’s list, read to the end 4 times" in page
    assert "showed 4 jobs made in this time: 2 sent from here , 1 from outside without explanation" in page
    assert "1 older than the connection" in page
    assert "Acme Retail / prod is connected since 30 June 2026 10:00:00 UTC" in page
    assert "Not watched: Acme Retail / stage2" in page
    assert "Not export jobs, so not here: destinations, queries, downloads." in page
    assert "The record has no summary for 10 h 03 min on 30 June 2026 (Acme Retail / prod)." in page
    assert "Added up from 4 summaries in the record, 80 readings in all." in page


def test_each_number_leads_to_its_rows(quarter: Sandbox, auditor: User) -> None:
    client = signed_in(auditor)
    expected = {"made": ["2", "1", "0", "3"], "here": ["1", "0"], "open": ["2"], "older": ["3"], "gone": []}
    for what, ids in expected.items():
        page = get(client, f"/completeness/rows/?from=2026-04-01&to=2026-06-30&what={what}")
        assert job_ids(page) == ids, what
    page = get(client, "/completeness/rows/?from=2026-04-01&to=2026-06-30&what=sweeps")
    assert page.content.decode().count('<tr><th scope="row">') == Reading.objects.count()
    assert f'href="/audit/{Reading.objects.exclude(seq=None)[0].seq}/"' in page.content.decode()
    whole = get(client, "/completeness/").content.decode()
    for what in ("made", "here", "open", "older", "sweeps"):
        assert f"from=2026-04-01&amp;to=2026-06-30&amp;what={what}" in whole


def test_rows_are_paged_without_loss(quarter: Sandbox, auditor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segadmin.queries.completeness_rows.PAGE_SIZE", 3)
    first = datetime(2026, 6, 30, 11, tzinfo=UTC)
    for number in range(10, 18):
        job_at(quarter, str(number), first + timedelta(minutes=number // 3), Origin.HERE)
    client, address, seen = signed_in(auditor), "/completeness/rows/?what=made", []
    while address:
        page = get(client, address)
        seen += job_ids(page)
        address = f"/completeness/rows/{link(page, 'next')}" if link(page, "next") else ""
    assert sorted(seen) == sorted(Job.objects.values_list("job_id", flat=True))


def test_a_standing_explanation_is_told_with_who_set_and_checked_it(quarter: Sandbox, auditor: User) -> None:
    anna = Actor(kind="person", name="anna", id="1", roles=("operator",))
    rule = explanations.set_explanation(
        actor=anna,
        finding=Finding.objects.select_related("sandbox__organization", "organization", "job").get(),
        owner="Mail vendor",
        reason="Daily",
        valid_until_at=NOW + timedelta(days=30),
    )
    Job.objects.filter(job_id="2").update(explanation=rule)
    client = signed_in(auditor)
    page = statement(client)
    assert "1 from outside as known of Mail vendor ( rule by anna , not checked )" in page
    assert "0 from outside without explanation" in page
    rows = get(client, f"/completeness/rows/?from=2026-04-01&to=2026-06-30&what=rule&rule={rule.pk}")
    assert job_ids(rows) == ["2"]
    explanations.check(actor=Actor(kind="person", name="ben", id="2", roles=("admin",)), explanation=rule)
    assert "rule by anna , checked by ben" in statement(client)


def test_times_not_read_are_told_with_their_records(quarter: Sandbox, auditor: User) -> None:
    Unread.objects.create(
        sandbox=quarter,
        from_at=datetime(2026, 6, 30, 12, 0, tzinfo=UTC),
        to_at=datetime(2026, 6, 30, 12, 14, tzinfo=UTC),
        why=Unread.Why.ADOBE,
        note="<b>Adobe</b> did not answer",
        seq=1,
    )
    page = get(signed_in(auditor), "/completeness/")
    assert "Adobe could not be read for 14 min on 30 June 2026 (Acme Retail / prod)" in text_of(page)
    assert "A job made and removed again in such a time would not show." in text_of(page)
    assert "<b>Adobe</b>" not in page.content.decode()
    assert 'href="/audit/1/"' in page.content.decode()


def test_summaries_that_were_altered_are_told(quarter: Sandbox, auditor: User) -> None:
    assert "differ" not in statement(signed_in(auditor))
    Reading.objects.filter(pk=Reading.objects.order_by("pk")[0].pk).update(jobs_listed=99)
    assert "1 summary differs from the record." in statement(signed_in(auditor))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?from=2026-06-01", "Choose both days, or none."),
        ("?from=2026-06-02&to=2026-06-01", "The last day is before the first one."),
        ("?from=x&to=2026-06-01", "Write the day as year, month and day"),
        ("?from=2026-08-01&to=2026-08-02", "This day has not come yet."),
        ("?org=nordwind", "There is no organization “nordwind”"),
    ],
)
@pytest.mark.parametrize("place", ["/completeness/", "/completeness/rows/"])
def test_a_time_that_can_not_be_read_states_nothing(
    quarter: Sandbox, auditor: User, place: str, query: str, words: str
) -> None:
    page = get(signed_in(auditor), f"{place}{query}")
    assert words in text_of(page)
    assert 'id="statement"' not in page.content.decode()
    assert "made in this time" not in text_of(page)


@pytest.mark.parametrize(
    "query", ["", "?what=odd", "?what=rule&rule=x", "?what=made&after=odd", "?what=sweeps&after=x"]
)
def test_a_damaged_address_of_rows_is_no_fault(quarter: Sandbox, auditor: User, query: str) -> None:
    get(signed_in(auditor), f"/completeness/rows/{query}")


def test_each_org_is_for_its_own_auditors(quarter: Sandbox, foreign: Sandbox, nordwind: Organization) -> None:
    elsewhere = signed_in(make_person("elsewhere", Role.AUDITOR, organization=nordwind))
    assert "Acme" not in statement(elsewhere)


def test_operators_and_viewers_do_not_get_in(quarter: Sandbox, operator: User, viewer: User) -> None:
    for person in (operator, viewer):
        for place in ("/completeness/", "/completeness/rows/"):
            assert signed_in(person).get(place).status_code == 403


# -- the line on the audit page ----------------------------------------------------------------------------------------


def test_the_audit_page_has_the_line(quarter: Sandbox, auditor: User) -> None:
    page = text_of(get(signed_in(auditor), "/audit/"))
    assert "Complete for Acme Retail / prod, 26 June 00:00 UTC to now, but for" in page
    assert "no summary on record" in page  # nothing read on 1 July, and nothing on record about it
    assert "1 open finding" in page
    assert "The whole statement" in page


def test_the_line_claims_nothing_where_nothing_was_read(prod: Sandbox, auditor: User) -> None:
    page = text_of(get(signed_in(auditor), "/audit/"))
    assert "Complete for" not in page
    assert "Nothing was read in the last days." in page


def test_queries_do_not_grow_with_the_sandboxes(
    quarter: Sandbox, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        sandbox = make_sandbox(quarter.organization, f"more-{number}")
        Unread.objects.create(sandbox=sandbox, from_at=NOW - timedelta(hours=1), to_at=NOW, why=Unread.Why.ADOBE)
    with django_assert_max_num_queries(6):
        line([quarter.organization])


# -- sandbox by sandbox, and as a file -------------------------------------------------------------------------------


def csv_of(response: object) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def places(quarter: Sandbox, clock: time_machine.Traveller) -> Organization:
    """Beside `quarter` one that was read for an hour, with a gap, and one that was never watched."""
    stage = make_sandbox(quarter.organization, "stage", "development")
    first = datetime(2026, 6, 30, 10, tzinfo=UTC)
    read_from(stage, first, first + timedelta(hours=1), clock)
    Sandbox.objects.filter(pk=stage.pk).update(last_read_at=NOW)
    Unread.objects.create(
        sandbox=stage, from_at=first, to_at=first + timedelta(minutes=14), why="adobe", note="=cmd|x", seq=7
    )
    job_at(stage, "77", first, Origin.OUTSIDE)
    findings.look(stage)
    findings.explain(actor=Actor.command("ben"), finding=Finding.objects.get(job__job_id="77"), note="a test")
    make_sandbox(quarter.organization, "stage2", "development", watched=False, connected_at=None)
    return quarter.organization


def told_of(organization: Organization) -> completeness.Statement:
    return completeness.statement([organization], completeness.Period(date(2026, 4, 1), date(2026, 6, 30)))


def test_the_table_adds_up_to_the_statement(places: Organization, auditor: User) -> None:
    told = told_of(places)
    rows = completeness_sandboxes.rows(told)
    total = completeness_sandboxes.summed(rows)
    page = get(signed_in(auditor), "/completeness/").content.decode()
    assert [page.count(f'data-sandbox="{row.sandbox.pk}"') for row in rows if row.sandbox] == [1, 1, 1]
    assert 'data-sandbox="total"' in page
    assert [str(row.sandbox) for row in rows] == ["Acme Retail / prod", "Acme Retail / stage", "Acme Retail / stage2"]
    assert [row.watched for row in rows] == ["partly", "partly", "no"]
    jobs = told.jobs
    for name in ("here", "open", "explained", "closed", "older", "matching", "gone", "aged", "unsure"):
        assert getattr(total, name) == getattr(jobs, name) == sum(getattr(row, name) for row in rows), name
    assert (total.made, total.by_rule) == (jobs.total, sum(item.count for item in jobs.by_rule))
    assert (total.reads, total.sweeps) == (told.readings.reads, told.readings.sweeps)
    parts = ("here", "by_rule", "closed", "explained", "open", "matching", "older", "other")
    assert all(row.made == sum(getattr(row, name) for name in parts) for row in rows)
    assert (rows[1].explained, rows[1].open) == (1, 0)


def test_one_that_was_not_watched_has_no_zeros(places: Organization, auditor: User) -> None:
    page = get(signed_in(auditor), "/completeness/").content.decode()
    stage2 = Sandbox.objects.get(name="stage2").pk
    row = page.partition(f'data-sandbox="{stage2}"')[2].partition("</tr>")[0]
    assert "its list was not read." in row
    assert ">0<" not in row


def test_the_file_has_the_same_numbers_and_every_time(places: Organization, auditor: User) -> None:
    client = signed_in(auditor)
    page = get(client, "/completeness/")
    assert 'href="/completeness/export.csv?from=2026-04-01&amp;to=2026-06-30"' in page.content.decode()
    response = client.get("/completeness/export.csv?from=2026-04-01&to=2026-06-30")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = csv_of(response)
    told = told_of(places)
    assert [row["line"] for row in rows] == ["sandbox"] * 3 + ["total"] + ["unread"] * len(told.gaps)
    prod, _stage, stage2, total = rows[:4]
    assert (prod["organization"], prod["sandbox"], prod["made"], prod["here"]) == ("acme", "prod", "4", "2")
    assert (total["made"], total["sweeps"]) == (str(told.jobs.total), str(told.readings.sweeps))
    assert (stage2["watched"], stage2["made"], stage2["reads"]) == ("no", "", "")
    unread = [row for row in rows if row["why"] == "adobe"]
    assert [(row["sandbox"], row["record"], row["note"]) for row in unread] == [("stage", "7", "'=cmd|x")]
    assert unread[0]["from"].startswith("2026-06-30T10:00:00")
    assert rows[1]["unread_adobe_seconds"] == "840"


def test_the_file_has_a_receipt_that_fits_and_an_event(places: Organization, auditor: User) -> None:
    client = signed_in(auditor)
    response = client.get("/completeness/export.csv?from=2026-06-01&to=2026-06-30")
    data = b"".join(response.streaming_content)  # type: ignore[attr-defined]
    receipt = FileReceipt.objects.get()
    assert (receipt.what, receipt.sha256) == ("completeness", hashlib.sha256(data).hexdigest())
    assert receipt.rows == len(data.splitlines()) - 1
    assert receipt.filter["from"] == "2026-06-01T00:00:00.000000Z"
    words = text_of(get(client, f"/files/{receipt.code}/"))
    assert "lines of the statement" in words
    assert "how long Adobe could not be read" in words
    events = EventContent.objects.filter(action=Action.RECORD_EXPORTED).order_by("event_id")
    assert [event.outcome for event in events] == ["requested", "succeeded"]
    assert "the statement of completeness as CSV" in events[0].sentence


def test_a_time_that_can_not_be_read_gives_no_file(prod: Sandbox, auditor: User) -> None:
    response = signed_in(auditor).get("/completeness/export.csv?from=x&to=y")
    assert response.status_code == 400
    assert not FileReceipt.objects.exists()


def test_the_file_is_for_those_of_the_page(prod: Sandbox, operator: User) -> None:
    assert signed_in(operator).get("/completeness/export.csv").status_code == 403


# -- what is told beside the jobs --------------------------------------------------------------------------------------


def test_entries_that_are_no_jobs_are_told_and_shown_as_they_came(quarter: Sandbox, auditor: User) -> None:
    at = datetime(2026, 6, 30, 12, tzinfo=UTC)
    for number in range(2):
        raw = {"record": {"status": f"<b>NEW {number}</b>"}}
        values = {"reason": "It has no id.", "first_seen_at": at, "last_seen_at": at}
        BadRecord.objects.create(sandbox=quarter, digest=str(number), raw=raw, **values)
    client = signed_in(auditor)
    page = client.get("/completeness/").text
    assert "2 more entries of the lists could not be read as jobs" in text_of(client.get("/completeness/"))
    address = re.search(r'href="([^"]*what=unreadable)"', page)
    assert address is not None
    shown = client.get(unescape(address[1])).text
    assert shown.count("It has no id.") == 2
    assert "&lt;b&gt;NEW 1&lt;/b&gt;" in shown
    line = csv_of(client.get("/completeness/export.csv"))[0]
    assert (line["unreadable"], line["made"]) == ("2", "4")
    none = client.get("/completeness/rows/?from=2026-05-01&to=2026-05-31&what=unreadable").text
    assert "It has no id." not in none


def test_a_clock_that_was_set_back_is_told(quarter: Sandbox, auditor: User) -> None:
    at = datetime(2026, 6, 30, 12, tzinfo=UTC)
    Unread.objects.create(sandbox=quarter, from_at=at, to_at=at + timedelta(hours=1), why=Unread.Why.CLOCK)
    client = signed_in(auditor)
    page = statement(client)
    assert "The clock of this server was set back, so it can’t be told whether the list was read for 1 h 00 min" in page
    lines = csv_of(client.get("/completeness/export.csv"))
    assert lines[0]["unread_clock_seconds"] == "3600"
    assert ("unread", "clock") in {(line["line"], line["why"]) for line in lines}
