"""The jobs list: one list over all sandboxes the person may see, filtered and paged by its address."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from segadmin.actions import register
from segadmin.emulator.server import Emulator
from segadmin.models import BadRecord, Job, Name, Organization, Origin, RequestState, Role, Sandbox, State, User
from tests.conftest import make_person, make_sandbox, signed_in
from tests.factories import make_job, make_jobs, make_name, make_request, raw_job
from tests.upstream import body_for
from tests.views.pages import get, job_ids, link, states, text_of

pytestmark = pytest.mark.django_db
URL = "/jobs/"


def ids(client: Client, **params: Any) -> list[str]:
    register.rebuild()  # as the mirror does when it takes a job in: a search finds jobs by it
    return job_ids(get(client, f"{URL}?{urlencode(params, doseq=True)}"))


# -- who sees what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "auditor", "admin"])
def test_every_role_sees_the_jobs_of_its_orgs_only(
    request: pytest.FixtureRequest, name: str, prod: Sandbox, stage: Sandbox, foreign: Sandbox
) -> None:
    person: User = request.getfixturevalue(name)
    make_job(prod, "1", minutes_ago=3)
    make_job(stage, "2", minutes_ago=2)
    make_job(foreign, "3", minutes_ago=1)
    assert ids(signed_in(person)) == ["2", "1"]


def test_one_list_over_several_orgs(root: User, prod: Sandbox, foreign: Sandbox) -> None:
    make_job(prod, "1", minutes_ago=3)
    make_job(foreign, "2", minutes_ago=2)
    make_job(prod, "3", minutes_ago=1)
    page = get(signed_in(root), URL)
    assert job_ids(page) == ["3", "2", "1"]
    assert 'data-org="nordwind" data-sandbox="prod"' in page.content.decode()


def test_a_signed_out_person_is_sent_to_the_sign_in(client: Client) -> None:
    response = client.get(URL)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


def test_post_is_refused(operator: User) -> None:
    assert signed_in(operator).post(URL).status_code == 405


def test_no_page_of_jobs_asks_adobe(emulator: Emulator, live_prod: Sandbox, root: User) -> None:
    make_job(live_prod, "1")
    client = signed_in(root)
    emulator.forget_requests()
    for address in (URL, f"{URL}?q=nothing", "/orgs/acme/prod/jobs/1/", "/orgs/acme/prod/jobs/1/cancel/"):
        get(client, address)
    assert emulator.requests == []


# -- what a row says --------------------------------------------------------------------------------------------------


def test_a_row_says_audience_dataset_fields_place_person_and_ticket(operator: User, prod: Sandbox) -> None:
    request = make_request(prod, operator)
    make_job(prod, "24127", profiles=12946, export_request=request, origin=Origin.HERE, person="operator")
    page = get(signed_in(operator), URL)
    said = text_of(page)
    for words in ("Lapsed buyers", "to CRM out", "24127", "Acme Retail", "prod, production", "12,946", "e-mail"):
        assert words in said
    for words in ("operator MK-311", "20 min", "1 h ago", "Started, UTC"):
        assert words in said
    row = re.search(r"<tr id=[^>]*>", page.content.decode())
    assert row is not None
    assert 'data-job-id="24127" data-state="succeeded" data-org="acme" data-sandbox="prod"' in row[0]


def test_names_are_those_of_the_time_of_asking_else_those_of_now_else_ids(operator: User, prod: Sandbox) -> None:
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Renamed since")
    make_job(prod, "1", export_request=make_request(prod, operator), origin=Origin.HERE)
    make_job(prod, "2")
    make_job(prod, "3", raw=raw_job("3", filter={"segments": [{"segmentId": "seg-unnamed"}]}))
    client = signed_in(operator)
    titles = re.findall(r'<th scope="row" class="full"><a [^>]*>([^<]*)</a>', get(client, URL).content.decode())
    assert sorted(titles) == ["Lapsed buyers", "Renamed since", "seg-unnamed"]


def test_everyone_and_all_fields_are_said(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1", raw=raw_job("1", fields=None, filter=None))
    said = text_of(get(signed_in(operator), URL))
    assert "Everyone, no audience" in said
    assert "All fields" in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": State.WAITING}, "Waiting at Adobe"),
        ({"state": State.RUNNING}, "Running at Adobe"),
        ({"state": State.FAILED}, "Failed"),
        ({"state": State.CANCELLED}, "Cancelled not asked here, person not known"),
        ({"state": State.CANCELLED, "cancel_asked_by": "m.lead", "cancel_reason": "too big"}, "too big"),
        ({"profiles": 0}, "Finished, but empty the audience may not have been evaluated"),
        ({"remarks": 2}, "Finished, with remarks from Adobe 2 remarks"),
        ({"profiles": None}, "not reported"),
        ({"state": State.UNKNOWN, "status": "QUEUED_RETRY"}, "Adobe says QUEUED_RETRY"),
        ({"state": State.UNKNOWN, "status": "X"}, "not counted as finished"),
        ({"state": State.CANCELLING}, "Being cancelled at Adobe"),
        ({"state": State.RUNNING, "cancel_result": "refused", "cancel_asked_by": "x"}, "Adobe refused to cancel it"),
        ({"state": State.RUNNING, "cancel_result": "late", "cancel_asked_by": "m.lead"}, "it may still finish"),
        ({"cancel_result": "acknowledged", "cancel_asked_by": "m.lead"}, "Finished although m.lead asked to cancel it"),
        ({"cancel_result": "refused", "cancel_asked_by": "m.lead"}, "Finished"),
        ({"origin": Origin.OUTSIDE}, "From outside segadmin person not known"),
        ({"origin": Origin.OLDER}, "before the connection"),
        ({"origin": Origin.MATCHING}, "may be an export sent from here"),
    ],
)
def test_states_in_words(operator: User, prod: Sandbox, values: dict[str, Any], words: str) -> None:
    if "cancel_asked_by" in values:
        values["cancel_asked_at"] = timezone.now()
    make_job(prod, "1", **values)
    assert words in text_of(get(signed_in(operator), URL))


@pytest.mark.parametrize(
    ("metrics", "batch", "words"),
    [
        ({}, "", "nothing was written"),
        ({"profileExportTime": {"startTimeInMs": 1700000000000}}, "", "not known whether data was written"),
        ({}, "01J", "not known whether data was written"),
        ({"aCPDatasetWriteTime": {"startTimeInMs": 1700000000000}}, "", "data may have been written"),
    ],
)
def test_a_failed_job_says_whether_it_left_data(
    operator: User, prod: Sandbox, metrics: dict[str, Any], batch: str, words: str
) -> None:
    raw = raw_job("1", "FAILED", metrics=metrics, destination={"datasetId": "d", "batchId": batch})
    make_job(prod, "1", State.FAILED, raw=raw)
    assert f"Failed {words}" in text_of(get(signed_in(operator), URL))


def test_a_job_that_adobe_no_longer_lists_says_so(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1", missing_since_at=timezone.now())
    make_job(prod, "2", State.UNKNOWN, status="PROCESSING", missing_since_at=timezone.now())
    said = text_of(get(signed_in(operator), URL))
    assert "last seen: Finished" in said
    assert "last seen: PROCESSING" in said


def test_usual_time_is_said_only_from_three_finished_exports_of_the_same(operator: User, prod: Sandbox) -> None:
    for number, took in enumerate((14, 22)):
        make_job(prod, f"old{number}", minutes_ago=300, took=took)
    make_job(prod, "1", State.RUNNING, minutes_ago=5)
    client = signed_in(operator)
    assert "usually" not in text_of(get(client, URL))
    make_job(prod, "old3", minutes_ago=400, took=18)
    assert "usually 14 to 22 min" in text_of(get(client, URL))


def test_what_adobe_or_a_person_wrote_is_never_markup(operator: User, prod: Sandbox) -> None:
    evil = "<script>alert(1)</script>"
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", evil)
    make_job(prod, '"><script>', State.UNKNOWN, status=evil, person=evil, cancel_reason=evil)
    BadRecord.objects.create(
        sandbox=prod,
        digest="1",
        raw={"x": evil},
        reason=evil,
        first_seen_at=timezone.now(),
        last_seen_at=timezone.now(),
    )
    Sandbox.objects.update(bad_records=1, last_error=evil)
    page = get(signed_in(operator), f"{URL}?q=&by={evil}&state={evil}&org={evil}&since={evil}&after={evil}")
    assert "<script>alert" not in page.content.decode()
    assert "<script>alert" not in get(signed_in(operator), URL).content.decode()


@pytest.mark.parametrize("job_id", ["a b?c#d", "ä/ö", "100%", "x" * 200, "a&b=c"])
def test_any_id_leads_to_its_page(operator: User, prod: Sandbox, job_id: str) -> None:
    make_job(prod, job_id)
    client = signed_in(operator)
    found = re.search(r'<th scope="row" class="full"><a href="([^"]*)"', get(client, URL).content.decode())
    assert found is not None
    assert get(client, found[1].replace("&amp;", "&")).status_code == 200


# -- requests without a job -------------------------------------------------------------------------------------------


def test_a_request_whose_answer_was_lost_is_a_row_in_its_place(operator: User, prod: Sandbox) -> None:
    make_job(prod, "old", minutes_ago=90)
    make_request(prod, operator, RequestState.UNKNOWN, minutes_ago=60)
    make_job(prod, "new", minutes_ago=30)
    page = get(signed_in(operator), URL)
    assert job_ids(page) == ["new", "", "old"]
    assert states(page)[""] == "unknown"
    said = text_of(page)
    assert "Sent, but Adobe’s answer was lost" in said
    assert "Please don’t send it again yet : looking for it until" in said
    assert "about 41,200" in said


def test_a_request_being_sent_is_a_row_and_others_are_not(operator: User, prod: Sandbox) -> None:
    make_request(prod, operator, RequestState.SENDING)
    for state in (RequestState.DRAFT, RequestState.REFUSED, RequestState.NOT_SENT, RequestState.RELEASED):
        make_request(prod, operator, state)
    page = get(signed_in(operator), URL)
    assert states(page) == {"": "waiting"}
    assert job_ids(page) == [""]


# -- filters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def varied(operator: User, prod: Sandbox, stage: Sandbox, foreign: Sandbox) -> Client:
    """Jobs that differ in what filters look at; the client sees everything."""
    request = make_request(prod, operator)
    make_job(prod, "run", State.RUNNING, minutes_ago=1, export_request=request, origin=Origin.HERE, person="operator")
    make_job(prod, "fail", State.FAILED, minutes_ago=2)
    make_job(stage, "empty", minutes_ago=3, profiles=0)
    make_job(stage, "full", minutes_ago=4, profiles=7)
    make_job(foreign, "old", minutes_ago=60 * 24 * 30, origin=Origin.OLDER)
    make_job(foreign, "gone", minutes_ago=60 * 24 * 31, missing_since_at=timezone.now())
    return signed_in(make_person("everybody", Role.ADMIN))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"org": "acme"}, ["run", "fail", "empty", "full"]),
        ({"org": "nordwind"}, ["old", "gone"]),
        ({"org": ["acme", "nordwind"]}, ["run", "fail", "empty", "full", "old", "gone"]),
        ({"sandbox": "prod"}, ["run", "fail", "old", "gone"]),
        ({"org": "acme", "sandbox": "prod"}, ["run", "fail"]),
        ({"sandbox": ["acme/stage", "nordwind/prod"]}, ["empty", "full", "old", "gone"]),
        ({"state": "failed"}, ["fail"]),
        ({"state": ["failed", "running"]}, ["run", "fail"]),
        ({"by": "operator"}, ["run"]),
        ({"origin": "older"}, ["old"]),
        ({"empty": "1"}, ["empty"]),
        ({"empty": "0"}, ["run", "fail", "full", "old", "gone"]),
        ({"missing": "1"}, ["gone"]),
        ({"since": "7d"}, ["run", "fail", "empty", "full"]),
        ({"state": "succeeded", "sandbox": "stage", "empty": "0"}, ["full"]),
    ],
)
def test_filters(varied: Client, params: dict[str, Any], expected: list[str]) -> None:
    assert ids(varied, **params) == expected


@pytest.mark.parametrize(
    ("since", "expected"),
    [("2026-07-02", ["b"]), ("2026-07-01", ["b", "a"]), ("2026-07-02T00:30:00Z", []), ("today", ["b"])],
)
def test_days_are_those_of_the_persons_zone(operator: User, prod: Sandbox, since: str, expected: list[str]) -> None:
    User.objects.update(zone="Europe/Berlin")
    with time_machine.travel(datetime(2026, 7, 2, 12, tzinfo=UTC), tick=False):
        # Midnight in Berlin is 22:00 UTC of the day before.
        make_job(prod, "a", sort_at=datetime(2026, 7, 1, 21, 59, tzinfo=UTC))
        make_job(prod, "b", sort_at=datetime(2026, 7, 1, 22, 1, tzinfo=UTC))
        assert ids(signed_in(operator), since=since) == expected


@pytest.mark.parametrize(
    "params",
    [
        {"state": "bogus"},
        {"origin": "bogus"},
        {"since": "bogus"},
        {"since": "9999-99-99"},
        {"empty": "maybe"},
        {"org": "bogus"},
        {"sandbox": "bogus"},
    ],
)
def test_an_unknown_value_is_explained_and_matches_nothing(varied: Client, params: dict[str, str]) -> None:
    page = get(varied, f"{URL}?{urlencode(params)}")
    assert job_ids(page) == []
    value = next(iter(params.values()))
    assert "Not every filter was understood." in text_of(page)
    assert f"“{value}”" in text_of(page)


def test_an_unknown_value_beside_a_known_one_takes_nothing_away(varied: Client) -> None:
    page = get(varied, f"{URL}?state=failed&state=bogus")
    assert job_ids(page) == ["fail"]
    assert "There is no state “bogus”" in text_of(page)


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=2026-07-01_5", "after=9999-12-31T23:59:59.999999Z_1", "q=%00", "since=%00&by=%00", "poll=x"],
)
def test_a_damaged_address_is_no_fault(varied: Client, query: str) -> None:
    assert len(job_ids(get(varied, f"{URL}?{query}"))) > 0


def test_each_filter_is_a_chip_that_removes_it(varied: Client) -> None:
    page = get(varied, f"{URL}?state=failed&state=running&org=acme&since=7d&after=2026-07-01T00:00:00Z_1")
    chips = dict(re.findall(r'<a class="chip" href="([^"]*)">([^<]*?) ?<svg', page.content.decode()))
    assert {words.strip() for words in chips.values()} == {
        "Organization: Acme Retail",
        "State: Failed",
        "State: Running at Adobe",
        "Started: in the last 7 days",
    }
    assert "/jobs/?org=acme&amp;state=running&amp;since=7d" in chips


def test_the_search_in_the_header_keeps_working_with_ids_names_people_and_tickets(
    operator: User, prod: Sandbox, foreign: Sandbox
) -> None:
    request = make_request(prod, operator)
    make_job(
        prod,
        "24127",
        export_request=request,
        origin=Origin.HERE,
        search="24127\nlapsed buyers\ncrm out\noperator\nmk-311\ncrm team\n01jz4v8q",
        adobe_request_id="e73d8a0f",
    )
    make_job(foreign, "24127", search="24127")
    other = raw_job("other", filter=None, destination={"datasetId": "x"})
    make_job(prod, "other", search="other", adobe_request_id="x", raw=other)
    client = signed_in(operator)
    for q in (
        "24127",
        "LAPSED Buyers",
        "buyers 24127",
        "mk-311",
        "crm team",
        "01JZ4V8Q",
        "e73d8a0f",
        str(request.uuid),
    ):
        assert ids(client, q=q) == ["24127"], q


def test_a_name_that_became_known_after_the_job_finds_it(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1")
    make_job(prod, "2", raw=raw_job("2", filter=None, destination={"datasetId": "other"}))
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Birthday in July")
    make_name(prod, Name.Kind.DATASET, "other", "Store mail-out")
    client = signed_in(operator)
    assert ids(client, q="birthday") == ["1"]
    assert ids(client, q="store mail") == ["2"]


def test_a_request_without_a_job_is_found_and_filtered_too(operator: User, viewer: User, prod: Sandbox) -> None:
    request = make_request(prod, operator, RequestState.UNKNOWN)
    client = signed_in(viewer)
    assert ids(client, q="lapsed") == ids(client, q="MK-311") == ids(client, q=str(request.uuid)) == [""]
    assert ids(client, state="unknown") == ids(client, by="operator") == ids(client, since="7d") == [""]
    assert ids(client, state="running") == ids(client, q="nothing") == ids(client, by="viewer") == []
    assert ids(client, origin="outside") == ids(client, empty="1") == ids(client, missing="1") == []


def test_percent_and_underscore_are_letters_in_a_search(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1", raw=raw_job("1", destination={"datasetId": "100% wool"}))
    make_job(prod, "2", raw=raw_job("2", destination={"datasetId": "100 wool"}))
    assert ids(signed_in(operator), q="100%") == ["1"]


# -- pages ------------------------------------------------------------------------------------------------------------


def walk(client: Client, address: str) -> list[str]:
    found: list[str] = []
    while address:
        page = get(client, address)
        found += job_ids(page)
        address = link(page, "next")
    return found


def test_five_thousand_jobs_page_through_without_loss_or_repetition(
    root: User, prod: Sandbox, foreign: Sandbox
) -> None:
    make_jobs(prod, 4000)
    make_jobs(foreign, 1000, fingerprint="x")
    found = walk(signed_in(root), URL)
    assert len(found) == 5000
    assert sorted(found) == sorted([str(1000 + n) for n in range(4000)] + [str(1000 + n) for n in range(1000)])


def test_jobs_and_requests_of_one_instant_page_through_whole(operator: User, prod: Sandbox) -> None:
    at = timezone.now().replace(microsecond=0)
    for number in range(60):
        make_job(prod, str(number), sort_at=at)
        request = make_request(prod, operator, RequestState.UNKNOWN)
        request.sent_at = at
        request.save()
    found = walk(signed_in(operator), URL)
    assert len(found) == 120
    assert set(found) == {"", *(str(number) for number in range(60))}
    assert found.count("") == 60


def test_new_jobs_do_not_shift_older_pages(operator: User, prod: Sandbox) -> None:
    make_jobs(prod, 120)
    client = signed_in(operator)
    first = get(client, URL)
    make_job(prod, "brand-new", minutes_ago=0)
    second = get(client, link(first, "next"))
    assert not set(job_ids(first)) & set(job_ids(second))
    assert len(job_ids(second)) == 50


def test_filters_stay_on_the_next_page(operator: User, prod: Sandbox) -> None:
    make_jobs(prod, 120)
    make_job(prod, "fail", State.FAILED, minutes_ago=1)
    client = signed_in(operator)
    address = link(get(client, f"{URL}?state=succeeded&org=acme"), "next")
    assert "state=succeeded" in address
    assert "org=acme" in address
    assert len(walk(client, f"{URL}?state=succeeded&org=acme")) == 120


def query_count(client: Client, address: str = URL) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        get(client, address)
    return len(captured)


@pytest.mark.parametrize("query", ["", "?q=seg-lapsed", "?state=running&state=succeeded", "?org=acme"])
def test_the_number_of_queries_does_not_depend_on_the_rows(
    operator: User, prod: Sandbox, stage: Sandbox, query: str
) -> None:
    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            request = make_request(prod, operator)
            make_job(prod, f"r{number}", State.RUNNING, export_request=request, origin=Origin.HERE)
            make_job(stage, f"s{number}")
            make_request(stage, operator, RequestState.UNKNOWN)

    client = signed_in(operator)
    fill(0, 2)
    few = query_count(client, URL + query)
    fill(2, 30)
    assert query_count(client, URL + query) == few <= 20


def test_the_number_of_queries_does_not_depend_on_the_sandboxes(acme: Organization, root: User, prod: Sandbox) -> None:
    make_job(prod, "1")
    client = signed_in(root)
    few = query_count(client)
    for number in range(30):
        make_job(make_sandbox(acme, f"more-{number}"), "1", minutes_ago=number)
    assert query_count(client) == few
    assert len(ids(client)) == 31
    assert len(ids(client, state=[state.value for state in State])) == 31


# -- the line on top, freshness ---------------------------------------------------------------------------------------


def test_the_line_of_counts_leads_to_just_these(varied: Client) -> None:
    page = get(varied, URL)
    said = re.search(r'<p id="counts">(.*?)</p>', page.content.decode(), re.DOTALL)
    assert said is not None
    links = {words: href.replace("&amp;", "&") for href, words in re.findall(r'<a href="([^"]*)">([^<]*)</a>', said[1])}
    assert list(links) == ["1 finished", "1 failed", "1 finished empty", "1 running", "3 from outside"]
    for words, address in links.items():
        assert len(job_ids(get(varied, address))) == int(words.split()[0]), words


def test_each_sandbox_says_as_of_when(operator: User, prod: Sandbox, stage: Sandbox) -> None:
    with time_machine.travel(datetime(2026, 7, 2, 9, 14, 7, tzinfo=UTC), tick=False):
        Sandbox.objects.update(last_read_at=timezone.now())
        said = text_of(get(signed_in(operator), URL))
    assert "Acme Retail / prod 09:14:07" in said
    assert "Acme Retail / stage 09:14:07" in said


def test_a_sandbox_that_could_not_be_read_is_told_with_since_when_and_why(
    operator: User, prod: Sandbox, stage: Sandbox
) -> None:
    with time_machine.travel(datetime(2026, 7, 2, 9, 14, tzinfo=UTC), tick=False):
        now = timezone.now()
        Sandbox.objects.update(last_read_at=now)
        Sandbox.objects.filter(pk=stage.pk).update(
            last_read_at=now - timedelta(minutes=12), last_error="Adobe answered 503.", last_error_at=now, failures=4
        )
        said = text_of(get(signed_in(operator), URL))
    assert "Acme Retail / stage not read since 09:02 : Adobe answered 503." in said
    assert "This list is old" not in said


def test_jobs_of_a_sandbox_no_longer_watched_stay_in_reach_and_quiet(
    operator: User, prod: Sandbox, stage: Sandbox
) -> None:
    make_job(stage, "old", minutes_ago=90)
    make_job(prod, "new")
    Sandbox.objects.filter(pk=stage.pk).update(
        watched=False,
        exports_allowed=False,
        last_read_at=datetime(2026, 5, 23, 9, 14, tzinfo=UTC),
        last_error="Adobe answered 503.",
    )
    client = signed_in(operator)
    page = get(client, URL)
    said, html = text_of(page), page.content.decode()
    assert job_ids(page) == ["new", "old"]
    assert "Acme Retail / stage no longer watched, last read 23 May" in said
    assert "stage not read since" not in said
    assert "no longer watched, last read 23 May 2026 09:14" in html.split('value="acme/stage"')[1].split("</label>")[0]
    assert "no longer watched" not in html.split('value="acme/prod"')[1].split("</label>")[0]
    assert ids(client, sandbox="acme/stage") == ["old"]
    assert "/orgs/acme/prod/jobs/new/" in html
    assert "/orgs/acme/stage/jobs/new/" not in html
    job = text_of(get(client, "/orgs/acme/stage/jobs/old/"))
    assert "its sandbox is no longer watched: nothing changes here by itself" in job
    assert "can’t be read since" not in job


def test_a_removed_organization_is_told_in_the_menu(operator: User, prod: Sandbox, acme: Organization) -> None:
    make_job(prod, "1")
    Organization.objects.update(retired_at=timezone.now())
    page = get(signed_in(operator), URL)
    assert job_ids(page) == ["1"]
    assert "organization removed" in page.content.decode().split('value="acme/prod"')[1].split("</label>")[0]


def test_a_dead_mirror_is_said_on_list_and_job(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1")
    Sandbox.objects.update(last_read_at=timezone.now() - timedelta(hours=1))
    client = signed_in(operator)
    assert "This list is old. Adobe was last asked" in text_of(get(client, URL))
    assert "What this page says is old." in text_of(get(client, "/orgs/acme/prod/jobs/1/"))


def test_unreadable_records_are_counted_and_shown_raw(operator: User, prod: Sandbox) -> None:
    now = timezone.now()
    BadRecord.objects.create(
        sandbox=prod, digest="1", raw={"status": "NEW"}, reason="It has no id.", first_seen_at=now, last_seen_at=now
    )
    Sandbox.objects.update(bad_records=1)
    make_job(prod, "1")
    page = get(signed_in(operator), URL)
    assert job_ids(page) == ["1"]
    assert "1 record of Adobe’s lists could not be read as a job" in text_of(page)
    assert '{ "status": "NEW" }' in text_of(page)


# -- four kinds of nothing --------------------------------------------------------------------------------------------


def kind(client: Client, address: str = URL) -> tuple[str, str]:
    page = get(client, address)
    found = re.search(r'data-empty="([^"]*)"', page.content.decode())
    return (found[1] if found else "", text_of(page))


def test_nothing_yet(operator: User, prod: Sandbox) -> None:
    found, said = kind(signed_in(operator))
    assert found == "nothing"
    assert "No exports in Acme Retail / prod so far. Adobe’s list was read to the end at" in said


def test_entries_that_are_no_jobs_are_not_called_an_empty_list(operator: User, prod: Sandbox) -> None:
    Sandbox.objects.filter(pk=prod.pk).update(bad_records=2)
    _found, said = kind(signed_in(operator))
    assert "held only entries that could not be read as jobs" in said
    assert "is empty" not in said


def test_a_request_is_found_by_letters_in_another_form(operator: User, viewer: User, prod: Sandbox) -> None:
    make_request(prod, operator, RequestState.UNKNOWN, recipient="Größe & Söhne")
    client = signed_in(viewer)
    assert ids(client, q="GRÖSSE") == ids(client, q="so\u0308hne") == [""]


def test_no_match(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1")
    found, said = kind(signed_in(operator), f"{URL}?state=failed")
    assert found == "no-match"
    assert "No export matches these filters. Without filters there would be 1." in said


def test_could_not_load(operator: User, prod: Sandbox) -> None:
    Sandbox.objects.update(last_read_at=None, last_error="Adobe answered 403.", last_error_at=timezone.now())
    found, said = kind(signed_in(operator))
    assert found == "could-not-load"
    assert "Acme Retail / prod has never been read. Adobe answered 403." in said
    assert "empty for the wrong reason" in said


def test_not_read_yet_is_not_called_empty(operator: User, prod: Sandbox) -> None:
    Sandbox.objects.update(last_read_at=None)
    found, said = kind(signed_in(operator))
    assert found == "could-not-load"
    assert "has not been read yet" in said


def test_nothing_is_watched_yet_is_not_called_a_missing_role(root: User, viewer: User, acme: Organization) -> None:
    for person in (root, viewer):
        found, said = kind(signed_in(person))
        assert found == "nothing"
        assert "No sandbox is watched yet." in said
        assert "may not see" not in said
    page = text_of(get(signed_in(viewer), URL))
    assert "As of" not in page
    assert "0 finished" not in page


def test_not_permitted(operator: User, prod: Sandbox, foreign: Sandbox) -> None:
    make_job(prod, "1")
    make_job(foreign, "2")
    client = signed_in(operator)
    theirs, bogus = kind(client, f"{URL}?org=nordwind"), kind(client, f"{URL}?org=no-such")
    assert theirs[0] == bogus[0] == "not-permitted"
    assert "Nordwind" not in theirs[1]  # nor is it told that there is such an org
    assert kind(signed_in(make_person("nobody")))[0] == "not-permitted"


# -- what can be done from here ---------------------------------------------------------------------------------------


def test_new_export_is_offered_where_the_person_may(
    operator: User, viewer: User, prod: Sandbox, stage: Sandbox, foreign: Sandbox
) -> None:
    page = get(signed_in(operator), URL).content.decode()
    assert "/orgs/acme/prod/jobs/new/" in page
    assert "/orgs/acme/stage/jobs/new/" in page
    assert "/orgs/nordwind/" not in page
    assert "/jobs/new/" not in get(signed_in(viewer), URL).content.decode()
    Sandbox.objects.filter(pk=stage.pk).update(exports_allowed=False)
    assert "/orgs/acme/stage/jobs/new/" not in get(signed_in(operator), URL).content.decode()


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_check_with_adobe_now_reads_and_comes_back(
    emulator: Emulator, live_prod: Sandbox, root: User, adobe_clock: Callable[[], float]
) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    client = signed_in(root)
    response = client.post("/jobs/check/", {"next": "/jobs/?org=acme", "place": "acme/prod"})
    assert response.status_code == 302
    assert response["Location"] == "/jobs/?org=acme"
    assert messages_of(response) == ["This is what Adobe lists now."]
    assert list(Job.objects.values_list("job_id", flat=True)) == [str(made["id"])]
    lists = [item for item in emulator.requests if item.path.rstrip("/").endswith("/export/jobs")]
    assert len(lists) == 1  # the other sandbox was not asked


def test_check_tells_which_sandbox_could_not_be_read(emulator: Emulator, live_prod: Sandbox, root: User) -> None:
    emulator.faults.set(endpoint="jobs.list", status=403, sandbox="prod")
    response = signed_in(root).post("/jobs/check/", {"next": "https://elsewhere.example/"})
    assert response["Location"] == "/jobs/"
    assert len(messages_of(response)) == 1
    assert "Acme Retail / prod could not be read." in messages_of(response)[0]


def test_check_never_reads_what_the_person_may_not_see(emulator: Emulator, live_prod: Sandbox, stranger: User) -> None:
    emulator.forget_requests()
    assert signed_in(stranger).post("/jobs/check/", {"place": "acme/prod"}).status_code == 302
    assert emulator.requests == []


def test_get_does_not_check(operator: User) -> None:
    assert signed_in(operator).get("/jobs/check/").status_code == 405
    assert signed_in(operator).get("/jobs/ask/").status_code == 405


def test_an_unknown_id_can_be_asked_for(emulator: Emulator, live_prod: Sandbox, root: User) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    client = signed_in(root)
    page = get(client, f"{URL}?q={made['id']}")
    assert f"Ask Adobe for the job “{made['id']}” in" in text_of(page)
    response = client.post("/jobs/ask/", {"q": str(made["id"]), "place": "acme/prod"})
    assert response["Location"] == f"/orgs/acme/prod/jobs/{made['id']}/"
    get(client, response["Location"])


def test_an_id_that_adobe_does_not_know_is_told(emulator: Emulator, live_prod: Sandbox, root: User) -> None:
    client = signed_in(root)
    response = client.post("/jobs/ask/", {"q": "424242", "place": "acme/prod"})
    assert response["Location"] == "/jobs/?q=424242"
    assert messages_of(response) == ["Adobe has no export job “424242” in Acme Retail / prod."]
    emulator.faults.set(endpoint="jobs.get", status=403)
    response = client.post("/jobs/ask/", {"q": "424242", "place": "acme/prod"})
    assert messages_of(response)[-1].startswith("Adobe could not be asked.")


@pytest.mark.parametrize("q", ["two words", "", "..", "x" * 300, "a\nb"])
def test_what_can_be_no_id_is_not_asked_for(emulator: Emulator, live_prod: Sandbox, root: User, q: str) -> None:
    emulator.forget_requests()
    assert "Ask Adobe for" not in text_of(get(signed_in(root), f"{URL}?{urlencode({'q': q})}"))
    assert signed_in(root).post("/jobs/ask/", {"q": q, "place": "acme/prod"}).status_code == 302
    assert emulator.requests == []


def test_asking_in_another_org_is_404(prod: Sandbox, stranger: User) -> None:
    assert signed_in(stranger).post("/jobs/ask/", {"q": "1", "place": "acme/prod"}).status_code == 404
    assert signed_in(stranger).post("/jobs/ask/", {"q": "1"}).status_code == 404
