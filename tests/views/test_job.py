"""The page of one job: what it was to do, what became of it, who asked for it and why."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from segadmin import sync
from segadmin.audit import Actor, Subject, record
from segadmin.emulator.server import Emulator
from segadmin.models import Action, EventContent, Job, JobChange, Name, Origin, Outcome, Sandbox, State, User
from tests.conftest import signed_in
from tests.factories import make_job, make_name, make_request, raw_job
from tests.upstream import body_for
from tests.views.pages import get, text_of

pytestmark = pytest.mark.django_db
URL = "/orgs/acme/prod/jobs/24127/"
HTMX = {"HX-Request": "true"}
START = datetime(2026, 7, 2, 8, 40, 57, tzinfo=UTC)


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def span(start: datetime, end: datetime) -> dict[str, int]:
    return {
        "startTimeInMs": milliseconds(start),
        "endTimeInMs": milliseconds(end),
        "totalTimeInMs": milliseconds(end) - milliseconds(start),
    }


METRICS: dict[str, Any] = {
    "totalTime": span(START, START + timedelta(minutes=20)),
    "profileExportTime": span(START + timedelta(minutes=5), START + timedelta(minutes=18)),
    "aCPDatasetWriteTime": span(START + timedelta(minutes=18), START + timedelta(minutes=20)),
    "totalExportedProfileCounter": 12946,
    "exportedProfileByNamespaceCounter": {"Phone": 7455, "Email": 12310},
}
ERRORS = [
    {
        "code": "0100000003",
        "msg": "The dataset is not built on the union schema",
        "callStack": "at ExportWriter.scala:214",
    },
    {"code": "0090000009", "msg": "Second <b>thing</b>"},
]


@pytest.fixture
def finished(operator: User, prod: Sandbox) -> Job:
    """A job sent from here, finished in twenty minutes, with a remark."""
    with time_machine.travel(START + timedelta(minutes=33), tick=False):
        request = make_request(prod, operator, legal_basis="Consent")
        request.sent_at = START - timedelta(seconds=2)
        request.save()
        return make_job(
            prod,
            raw=raw_job(metrics=METRICS, errors=ERRORS[1:]),
            minutes_ago=33,
            export_request=request,
            origin=Origin.HERE,
            person="operator",
            created_at=START,
            ended_at=START + timedelta(minutes=20),
        )


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "auditor", "admin"])
def test_every_role_of_the_org_sees_it(request: pytest.FixtureRequest, name: str, finished: Job) -> None:
    assert "High value" not in text_of(get(signed_in(request.getfixturevalue(name)), URL))


def test_another_orgs_job_is_404_and_on_record(finished: Job, stranger: User) -> None:
    client = signed_in(stranger)
    assert client.get(URL).status_code == client.get("/orgs/acme/prod/jobs/no-such/").status_code == 404
    assert EventContent.objects.filter(action=Action.ACCESS_REFUSED, actor_name="stranger").exists()


def test_reading_it_leaves_no_event(finished: Job, operator: User) -> None:
    get(signed_in(operator), URL)
    assert not EventContent.objects.exclude(action=Action.SIGN_IN).exists()


def test_post_is_refused(finished: Job, operator: User) -> None:
    assert signed_in(operator).post(URL).status_code == 405


# -- what it says -----------------------------------------------------------------------------------------------------


def test_the_sentence_stands_on_top(finished: Job, operator: User) -> None:
    said = text_of(get(signed_in(operator), URL))
    assert (
        "operator exported e-mail and identity ids of everyone who was in “Lapsed buyers” when Adobe last evaluated it "
        "from Acme Retail / prod to dataset “CRM out” , for ticket MK-311: 12,946 profiles." in said
    )


def test_exported_is_said_only_after_success(operator: User, prod: Sandbox) -> None:
    for state in (State.WAITING, State.RUNNING, State.FAILED, State.CANCELLED, State.UNKNOWN):
        Job.objects.all().delete()
        make_job(prod, state=state)
        said = text_of(get(signed_in(operator), URL))
        assert "Somebody outside segadmin asked to export" in said
        assert " exported " not in said


def test_the_state_is_a_region_of_its_own(finished: Job, operator: User) -> None:
    page = get(signed_in(operator), URL).content.decode()
    assert re.search(r'<div id="job-status" role="status"', page)
    said = text_of(get(signed_in(operator), URL))
    assert "Finished, with remarks from Adobe · 12,946 profiles" in said
    assert "It has finished, so there is nothing to cancel." in said


def test_the_timeline_tells_times_and_who(finished: Job, operator: User) -> None:
    with time_machine.travel(START + timedelta(days=2), tick=False):
        page = get(signed_in(operator), URL)
    steps = re.findall(r"<li><b>(.*?)</b><time [^>]*>(.*?)</time><small>(.*?)</small>", page.content.decode())
    assert steps == [
        ("Requested", "2 July 08:40:55", "operator, after review"),
        ("Accepted", "08:40:57", "Adobe, job 24127"),
        ("Processing", "08:45:57", "Adobe"),
        ("Written", "09:00:57", "Adobe, 1 batch"),
        ("Finished", "09:00:57", "seen by segadmin 2 July 09:00"),
    ]
    drawn = re.search(r'<svg class="path".*?</svg>\s*<ol', page.content.decode(), re.DOTALL)
    assert drawn is not None
    assert drawn[0].count("<circle") == 5
    assert 'class="end"' in drawn[0]
    assert ">5 min<" in drawn[0]


def test_the_bar_shows_where_the_time_went(finished: Job, operator: User) -> None:
    page = get(signed_in(operator), URL).content.decode()
    assert 'aria-label="waiting 25 percent, exporting 65 percent, writing 10 percent"' in page
    assert "20 min in all" in text_of(get(signed_in(operator), URL))


def test_parts_that_overlap_give_no_bar(operator: User, prod: Sandbox) -> None:
    whole = span(START, START + timedelta(minutes=20))
    make_job(prod, raw=raw_job(metrics={**METRICS, "profileExportTime": whole}))
    page = get(signed_in(operator), URL).content.decode()
    assert "percent" not in page


def test_profiles_by_namespace_largest_first(finished: Job, operator: User) -> None:
    page = get(signed_in(operator), URL).content.decode()
    rows = re.findall(r'<th scope="row">(\w+)</th>\s*<td class="num">([\d,]+)</td>', page)
    assert rows == [("Email", "12,310"), ("Phone", "7,455")]
    assert 'width="95.1%"' in page


@pytest.mark.parametrize(
    ("state", "values", "words"),
    [
        (State.SUCCEEDED, {"profiles": 0}, "Adobe counted 0 profiles."),
        (State.SUCCEEDED, {"profiles": None}, "Adobe did not report how many profiles."),
        (State.RUNNING, {}, "Not known until it has ended."),
    ],
)
def test_the_result_never_hides_what_is_not_known(
    operator: User, prod: Sandbox, state: State, values: dict[str, Any], words: str
) -> None:
    make_job(prod, state=state, **values)
    assert words in text_of(get(signed_in(operator), URL))


def test_errors_are_told_in_plain_words_with_the_call_stack_folded(operator: User, prod: Sandbox) -> None:
    make_job(prod, state=State.FAILED, raw=raw_job(status="FAILED", errors=ERRORS))
    page = get(signed_in(operator), URL)
    said = text_of(page)
    assert "2 errors from Adobe" in said
    assert "Probably the dataset is not built on the union profile schema" in said
    assert "Adobe’s words: “The dataset is not built on the union schema” Code 0100000003" in said
    assert "“Second <b>thing</b>”" in said
    assert "<b>thing</b>" not in page.content.decode()
    assert re.search(r"<details[^>]*>\s*<summary>Call stack</summary>", page.content.decode())


def test_the_request_is_told_with_its_limits(operator: User, prod: Sandbox) -> None:
    make_name(prod, Name.Kind.MERGE_POLICY, "timestampOrdered-none-mp", "Default, timebased")
    raw = raw_job(
        fields=None,
        filter={
            "segments": [{"segmentId": "seg-lapsed", "status": ["realized", "exited"]}],
            "segmentQualificationTime": {"startTime": "2026-06-01T00:00:00Z", "endTime": "2026-07-01T00:00:00Z"},
            "fromIngestTimestamp": "2026-06-01T00:00:00Z",
            "emptyProfiles": True,
        },
        additionalFields={"eventList": {"fields": "", "filter": {"fromIngestTimestamp": "2026-06-01T00:00:00Z"}}},
    )
    make_job(prod, raw=raw)
    said = text_of(get(signed_in(operator), URL))
    for words in (
        "All fields That includes everything Adobe knows about each profile",
        "membership: in the audience, left the audience",
        "only people who joined the audience between 1 June 2026 00:00:00 UTC and 1 July 2026 00:00:00 UTC",
        "only profiles changed in Adobe after 1 June 2026 00:00:00 UTC",
        "also people known only from events (no profile record)",
        "all event fields; taken in by Adobe after 1 June 2026 00:00:00 UTC",
        "Default, timebased",
    ):
        assert words in said


def test_who_and_why(finished: Job, operator: User) -> None:
    said = text_of(get(signed_in(operator), URL))
    for words in ("Asked by operator", "Win-back letter in July", "CRM team", "MK-311", "Legal basis Consent"):
        assert words in said
    assert "about 41,200; the result is 68.6 % below it" in said


def test_ids_are_whole_and_copyable(finished: Job, operator: User) -> None:
    page = get(signed_in(operator), URL).content.decode()
    ids = re.findall(r'<span class="id" data-copy>(.*?)</span>', page)
    whole = {re.sub(r"</?i>", "", item) for item in ids}
    assert {
        "24127",
        "01JZ4V8Q6W3N5T7Y24127",
        "f5058161-1349-4c8b-9e07-66eed44fcaa3",
        "e73d8a0f-42a9-4c1b-b6f5-1d9c7e206b83",
        "5b7c86968f7b6501e21ba9df",
        "timestampOrdered-none-mp",
    } <= whole


def test_raw_json_is_kept_with_fields_that_nobody_knows(finished: Job, operator: User) -> None:
    page = get(signed_in(operator), URL)
    found = re.search(r'<pre id="raw"[^>]*><code>(.*?)</code>', page.content.decode(), re.DOTALL)
    assert found is not None
    assert json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")) == finished.raw


def test_the_record_of_the_job_stands_on_its_page(finished: Job, operator: User, auditor: User, prod: Sandbox) -> None:
    request = finished.export_request
    assert request is not None
    actor = Actor(kind="person", name="operator")
    about = Subject(sandbox=prod, request_uuid=request.uuid)
    record(actor=actor, action=Action.EXPORT_CREATE, outcome=Outcome.REQUESTED, sentence="asked", subject=about)
    record(
        actor=actor, action=Action.JOB_CHANGED, sentence="saw it finish", subject=Subject(sandbox=prod, job_id="24127")
    )
    record(actor=actor, action=Action.JOB_CHANGED, sentence="of another", subject=Subject(sandbox=prod, job_id="1"))
    page = get(signed_in(operator), URL)
    assert "saw it finish" in text_of(page)
    assert "of another" not in text_of(page)
    assert 'href="/audit/2/"' not in page.content.decode()
    assert 'href="/audit/2/"' in get(signed_in(auditor), URL).content.decode()


def test_the_summary_is_plain_text_for_a_ticket(finished: Job, operator: User) -> None:
    page = get(signed_in(operator), URL).content.decode()
    found = re.search(r'<pre id="summary"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    lines = found[1].splitlines()
    assert lines[0] == "Export 24127: Lapsed buyers"
    assert "Purpose: Win-back letter in July" in lines
    assert any(line.endswith("/orgs/acme/prod/jobs/24127/") for line in lines)
    assert 'data-copy-target="summary"' in page


def test_copy_as_new_is_there_or_says_why_not(finished: Job, operator: User, viewer: User, prod: Sandbox) -> None:
    assert 'href="/orgs/acme/prod/jobs/new/?copy=24127"' in get(signed_in(operator), URL).content.decode()
    assert "A new export needs the role operator or admin in Acme Retail." in text_of(get(signed_in(viewer), URL))
    Sandbox.objects.update(exports_allowed=False)
    assert "Acme Retail / prod is read-only in segadmin." in text_of(get(signed_in(operator), URL))


def test_usual_duration_only_where_enough_of_the_same_ended(operator: User, prod: Sandbox) -> None:
    make_job(prod, state=State.RUNNING, minutes_ago=5)
    assert "usually" not in text_of(get(signed_in(operator), URL))
    for number in range(3):
        make_job(prod, f"old{number}", minutes_ago=300 + number, took=14 + number)
    assert "the same export usually 14 to 16 min" in text_of(get(signed_in(operator), URL))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"origin": Origin.OUTSIDE}, "From outside segadmin person not known"),
        ({"origin": Origin.OLDER}, "before the connection"),
        ({"state": State.UNKNOWN, "missing_since_at": START}, "how it ended is not known"),
        ({"missing_since_at": START}, "Adobe no longer lists it"),
        ({"aged_out_at": START}, "older than what Adobe still lists"),
        ({"state": State.UNKNOWN, "status": "QUEUED_RETRY"}, "Adobe says QUEUED_RETRY"),
        ({"created_at": None}, "segadmin; Adobe gave no time"),
    ],
)
def test_odd_jobs_say_what_is_known(operator: User, prod: Sandbox, values: dict[str, Any], words: str) -> None:
    make_job(prod, **values)
    assert words in text_of(get(signed_in(operator), URL))


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"id": "24127"},
        raw_job(metrics=[], errors="boom", filter=[], additionalFields={"eventList": []}, destination=None),
        raw_job(metrics={"totalTime": {"totalTimeInMs": -5}}, filter={"segmentQualificationTime": {"endTime": "soon"}}),
        raw_job(evaluationInfo={"segmentation": True}, filter={"segmentQualificationTime": {"startTime": 5}}),
    ],
)
def test_any_raw_json_gives_a_page(operator: User, prod: Sandbox, raw: dict[str, Any]) -> None:
    job = make_job(prod)
    Job.objects.filter(pk=job.pk).update(raw=raw)
    get(signed_in(operator), URL)


def test_a_sandbox_that_can_not_be_read_is_told_beside_the_state(operator: User, prod: Sandbox) -> None:
    make_job(prod, state=State.RUNNING)
    Sandbox.objects.update(last_error="Adobe answered 503.", last_error_at=timezone.now())
    assert "Acme Retail / prod can’t be read since" in text_of(get(signed_in(operator), URL))


def test_the_number_of_queries_is_constant(operator: User, prod: Sandbox) -> None:
    client = signed_in(operator)
    make_job(prod, state=State.RUNNING)
    counts = []
    for more in (0, 30):
        for number in range(more):
            make_job(prod, f"x{number}")
            JobChange.objects.create(job=Job.objects.get(job_id="24127"), at=timezone.now(), to_state="running")
            about = Subject(sandbox=prod, job_id="24127")
            record(actor=Actor.system(), action=Action.JOB_SEEN, sentence=f"saw {number}", subject=about)
        with CaptureQueriesContext(connection) as captured:
            get(client, URL)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 12


# -- its refresh ------------------------------------------------------------------------------------------------------


def poll_address(page: str) -> str:
    found = re.search(r'hx-get="([^"]*\?poll=\d+)"', page)
    return found[1] if found else ""


def test_while_it_goes_on_the_page_asks_again_and_hears_204(operator: User, prod: Sandbox) -> None:
    make_job(prod, state=State.RUNNING)
    client = signed_in(operator)
    response = client.get(poll_address(get(client, URL).content.decode()), headers=HTMX)
    assert response.status_code == 204
    assert re.fullmatch(r"\d\d:\d\d:\d\d", json.loads(response["HX-Trigger"])["asof"]["asof-job"])


def test_its_end_is_swapped_in_and_ends_the_asking(operator: User, prod: Sandbox) -> None:
    job = make_job(prod, state=State.RUNNING)
    client = signed_in(operator)
    address = poll_address(get(client, URL).content.decode())
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED, version=2, profiles=5, ended_at=timezone.now())
    response = client.get(address, headers=HTMX)
    assert response.status_code == 200
    page = response.content.decode()
    assert "<h1>" not in page
    assert "Finished · 5 profiles" in page
    assert poll_address(page) == ""
    for part in ("job-sentence", "job-age", "job-body"):
        assert f'hx-swap-oob="innerHTML:#{part}"' in page


def test_a_final_job_does_not_ask_again(finished: Job, operator: User) -> None:
    page = get(signed_in(operator), URL).content.decode()
    assert poll_address(page) == ""
    assert "data-poll-seconds" not in page


# -- check with Adobe now ---------------------------------------------------------------------------------------------


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_check_now_reads_the_job(emulator: Emulator, live_prod: Sandbox, root: User, adobe_clock: Any) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    Job.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    adobe_clock.advance(3600)
    address = f"/orgs/acme/prod/jobs/{made['id']}/"
    response = signed_in(root).post(f"{address}check/")
    assert response["Location"] == address
    assert messages_of(response) == ["This is what Adobe says now."]
    assert Job.objects.get().state in (State.SUCCEEDED, State.FAILED)


def test_check_now_tells_why_it_could_not(emulator: Emulator, live_prod: Sandbox, root: User) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    Job.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    emulator.faults.set(endpoint="jobs.get", status=403)
    response = signed_in(root).post(f"/orgs/acme/prod/jobs/{made['id']}/check/")
    assert response.status_code == 302
    assert messages_of(response)[0].startswith("Adobe could not be read.")


def test_check_now_is_a_post_for_members(finished: Job, operator: User, stranger: User) -> None:
    assert signed_in(operator).get(f"{URL}check/").status_code == 405
    assert signed_in(stranger).post(f"{URL}check/").status_code == 404
