"""The audit page: newest first, by day, filtered in the address, paged by keyset, for auditors and admins only."""

import re
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Event, EventContent, Job, Organization, Outcome, Role, Sandbox, State, User
from tests.conftest import make_person, signed_in

pytestmark = pytest.mark.django_db

URL = "/audit/"
type Writer = Callable[..., Event]


def write(
    sentence: str = "did something",
    *,
    subject: Subject | None = None,
    name: str = "operator",
    action: Action = Action.EXPORT_CANCEL,
    outcome: Outcome = Outcome.SUCCEEDED,
    **details: object,
) -> Event:
    actor = Actor(kind="person", name=name, id="7", roles=("operator",), signed_in="password", address="10.20.4.17")
    return record(
        actor=actor, action=action, outcome=outcome, sentence=sentence, subject=subject or Subject(), details=details
    )


def numbers(client: Client, address: str = URL) -> list[int]:
    response = client.get(address)
    assert response.status_code == 200
    return [int(seq) for seq in re.findall(r'data-seq="(\d+)"', response.content.decode())]


def headings(text: str) -> list[str]:
    """What stands over the groups of records, in words."""
    found = re.findall(r"<h2 id=\"d\d+\">(.*?)</h2>", text)
    return [re.sub(r"<[^>]+>", "", heading) for heading in found]


@pytest.fixture
def acme_event(prod: Sandbox) -> Event:
    return write("cancelled 24102", subject=Subject(sandbox=prod, job_id="24102"), reason="wrong dataset")


# -- who may read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auditor", "admin"])
def test_works_for_those_who_may_read_the_record(
    request: pytest.FixtureRequest, name: str, acme_event: Event, foreign: Sandbox
) -> None:
    person: User = request.getfixturevalue(name)
    other = write("cancelled 3301", subject=Subject(sandbox=foreign, job_id="3301"))
    response = signed_in(person).get(URL)
    text = response.content.decode()
    assert response.status_code == 200
    assert f'data-seq="{acme_event.seq}"' in text
    assert f'data-seq="{other.seq}"' not in text
    assert "cancelled 24102" in text
    assert "wrong dataset" not in text
    assert "wrong dataset" in signed_in(person).get(f"{URL}?details=1").content.decode()


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "stranger"])
def test_others_are_refused_once_on_record(request: pytest.FixtureRequest, name: str) -> None:
    client = signed_in(request.getfixturevalue(name))
    for _repeat in range(2):
        assert client.get(URL).status_code == 403
    refusal = EventContent.objects.get(action=Action.ACCESS_REFUSED)
    assert refusal.actor_name == name
    assert refusal.outcome == Outcome.REFUSED
    assert URL in refusal.sentence


def test_signed_out_goes_to_sign_in(db: None) -> None:
    assert Client().get(URL).headers["Location"] == f"/accounts/login/?next={URL}"


def test_only_get(auditor: User) -> None:
    client = signed_in(auditor)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(URL).status_code == 405


def test_records_of_no_org_are_for_the_whole_installation(acme: Organization, auditor: User, root: User) -> None:
    sign_in = write("signed in with password", action=Action.SIGN_IN)
    assert sign_in.seq not in numbers(signed_in(auditor))
    assert sign_in.seq in numbers(signed_in(root))
    assert numbers(signed_in(root), f"{URL}?org=-&person=operator") == [sign_in.seq]


def test_an_auditor_of_two_orgs_reads_both_in_one_order(prod: Sandbox, foreign: Sandbox) -> None:
    person = make_person("dpo", Role.AUDITOR, organization=prod.organization)
    person.memberships.create(role=Role.AUDITOR, organization=foreign.organization)
    mixed = [write(subject=Subject(sandbox=sandbox)).seq for sandbox in (prod, foreign, prod, foreign)]
    write("signed in", action=Action.SIGN_IN)
    assert numbers(signed_in(person)) == mixed[::-1]
    assert numbers(signed_in(person), f"{URL}?org=nordwind") == [mixed[3], mixed[1]]


def test_looking_through_the_record_is_on_record_once_an_hour(auditor: User, acme_event: Event) -> None:
    start = datetime(2026, 7, 2, 9, 0, tzinfo=UTC)
    for minutes, expected in ((0, 1), (30, 1), (61, 2)):
        with time_machine.travel(start + timedelta(minutes=minutes), tick=False):
            # Another browser of the same person counts as the same reading.
            for _browser in range(2):
                client = signed_in(auditor)
                client.get(f"{URL}?q=jane@example.org")
                client.get(f"/audit/{acme_event.seq}/")
        seen = EventContent.objects.filter(action=Action.RECORD_VIEWED)
        assert seen.count() == expected
    assert "example" not in "".join(row.text for row in seen)


def test_reading_leaves_no_event_but_that_it_was_read(auditor: User, acme_event: Event) -> None:
    client = signed_in(auditor)
    client.get(URL)
    before = Event.objects.count()
    client.get(URL)
    assert Event.objects.count() == before


# -- filters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def varied(prod: Sandbox, stage: Sandbox) -> dict[str, int]:
    """One event of several kinds; the key says which."""
    made = {
        "cancelled": write(subject=Subject(sandbox=prod), name="operator"),
        "refused": write(subject=Subject(sandbox=stage), name="m.lead", outcome=Outcome.REFUSED),
        "created": write(subject=Subject(sandbox=prod), name="m.lead", action=Action.EXPORT_CREATE),
        "lost": write(
            subject=Subject(sandbox=prod), name="crm.ops", action=Action.EXPORT_CREATE, outcome=Outcome.UNKNOWN
        ),
    }
    return {name: event.seq for name, event in made.items()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("person=m.lead", ["created", "refused"]),
        ("person=m.lead&person=crm.ops", ["lost", "created", "refused"]),
        ("action=export.create", ["lost", "created"]),
        ("action=export.create&person=m.lead", ["created"]),
        ("outcome=unknown&outcome=refused", ["lost", "refused"]),
        ("org=acme&outcome=unknown", ["lost"]),
        ("person=nobody", []),
        ("person=&person=", ["lost", "created", "refused", "cancelled"]),
    ],
)
def test_filters_repeat_and_combine(auditor: User, varied: dict[str, int], query: str, expected: list[str]) -> None:
    assert numbers(signed_in(auditor), f"{URL}?{query}") == [varied[name] for name in expected]


def test_chips_take_one_filter_away(auditor: User, varied: dict[str, int]) -> None:
    text = signed_in(auditor).get(f"{URL}?person=m.lead&person=crm.ops&outcome=refused&after=99").content.decode()
    chips = [unescape(address) for address in re.findall(r'class="chip" href="([^"]+)"', text)]
    assert chips == [
        "?q=actor%3Acrm.ops+outcome%3Arefused",
        "?q=actor%3Am.lead+outcome%3Arefused",
        "?q=actor%3Am.lead%2Ccrm.ops",
    ]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("action=export.everything", "knows no action “export.everything”"),
        ("outcome=fine", "knows no outcome “fine”"),
        ("org=nordwind", "no organization “nordwind”"),
        ("org=-", "no organization “-”"),
        ("from=yesterday", "year, month and day"),
        ("from=0001-01-01", "year, month and day"),
        ("to=9999-12-31", "year, month and day"),
        ("from=2026-07-02&to=2026-07-01", "The last day is before the first one"),
        ("after=first", "place in the list"),
        (f"after={10**30}", "place in the list"),
    ],
)
def test_a_filter_that_can_not_be_applied_is_told_and_shows_nothing(
    auditor: User, varied: dict[str, int], nordwind: Organization, query: str, words: str
) -> None:
    response = signed_in(auditor).get(f"{URL}?{query}")
    text = unescape(response.content.decode())
    assert response.status_code == 200
    assert words in text
    assert "data-seq" not in text
    assert "Nothing is shown." in text


@pytest.mark.parametrize(
    "value", ["<script>alert(1)</script>", "'; DROP TABLE x; --", "%00", "%F0%9F%92%A9" * 9, "x" * 9000]
)
@pytest.mark.parametrize("name", ["person", "org", "action", "outcome", "from", "to", "request", "after", "unknown"])
def test_any_text_in_the_address_is_survived(auditor: User, acme_event: Event, name: str, value: str) -> None:
    response = signed_in(auditor).get(f"{URL}?{name}={value}")
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


def test_dates_are_days_of_the_chosen_zone(auditor: User, prod: Sandbox) -> None:
    with time_machine.travel(datetime(2026, 6, 30, 22, 30, tzinfo=UTC), tick=False):
        evening = write(subject=Subject(sandbox=prod)).seq  # 1 July, 00:30 in Berlin
    with time_machine.travel(datetime(2026, 7, 1, 22, 30, tzinfo=UTC), tick=False):
        next_evening = write(subject=Subject(sandbox=prod)).seq  # 2 July, 00:30 in Berlin
    client = signed_in(auditor)
    assert numbers(client, f"{URL}?from=2026-07-01&to=2026-07-01") == [next_evening]
    assert numbers(client, f"{URL}?to=2026-06-30") == [evening]
    User.objects.filter(pk=auditor.pk).update(zone="Europe/Berlin")
    assert numbers(client, f"{URL}?from=2026-07-01&to=2026-07-01") == [evening]
    text = client.get(f"{URL}?from=2026-07-01&to=2026-07-01").content.decode()
    assert '<time datetime="2026-07-01">Wednesday 1 July 2026</time> <small>1 record, CEST</small>' in text
    assert ">00:30:00</time>" in text


def test_events_are_grouped_by_day(auditor: User, prod: Sandbox) -> None:
    start = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
    for hours in (0, 1, 26):
        with time_machine.travel(start + timedelta(hours=hours), tick=False):
            write(subject=Subject(sandbox=prod))
    with time_machine.travel(start + timedelta(hours=30), tick=False):
        text = signed_in(auditor).get(URL).content.decode()
    assert headings(text) == ["Today, Thursday 2 July 2026 1 record, UTC", "Wednesday 1 July 2026 2 records, UTC"]


def test_a_day_that_goes_on_upon_another_page_says_what_is_here(auditor: User, prod: Sandbox) -> None:
    for day, records in ((1, 10), (2, 60), (3, 5)):
        for minute in range(records):
            with time_machine.travel(datetime(2026, 7, day, 9, minute % 60, tzinfo=UTC), tick=False):
                write(subject=Subject(sandbox=prod))
    client = signed_in(auditor)
    found, address = [], "?q=actor:operator"
    with time_machine.travel(datetime(2026, 7, 4, 9, tzinfo=UTC), tick=False):
        while address:
            text = client.get(f"{URL}{address}").content.decode()
            found.append(headings(text))
            following = re.search(r'rel="next" href="([^"]+)"', text)
            address = unescape(following[1]) if following else ""
    assert found == [
        ["Friday 3 July 2026 5 records, UTC", "Thursday 2 July 2026 45 records on this page, UTC"],
        ["Thursday 2 July 2026 15 records on this page, UTC", "Wednesday 1 July 2026 10 records, UTC"],
    ]


def test_a_day_that_ends_with_the_page_is_whole(auditor: User, prod: Sandbox) -> None:
    for day, records in ((1, 1), (2, 50)):
        for minute in range(records):
            with time_machine.travel(datetime(2026, 7, day, 9, minute, tzinfo=UTC), tick=False):
                write(subject=Subject(sandbox=prod))
    with time_machine.travel(datetime(2026, 7, 4, 9, tzinfo=UTC), tick=False):
        text = signed_in(auditor).get(f"{URL}?q=actor:operator").content.decode()
    assert headings(text) == ["Thursday 2 July 2026 50 records, UTC"]


def test_records_can_be_grouped_by_job(auditor: User, prod: Sandbox) -> None:
    wish = uuid.uuid4()
    asked = write(subject=Subject(sandbox=prod, request_uuid=wish)).seq
    other = write(subject=Subject(sandbox=prod)).seq
    made = write(subject=Subject(sandbox=prod, request_uuid=wish, job_id="24127")).seq
    elsewhere = write(subject=Subject(sandbox=prod, job_id="24128")).seq
    refused = write(subject=Subject(sandbox=prod, request_uuid=uuid.uuid4())).seq
    seen = write(subject=Subject(sandbox=prod, job_id="24127")).seq
    text = signed_in(auditor).get(f"{URL}?group=job&q=actor:operator").content.decode()
    assert [int(seq) for seq in re.findall(r'data-seq="(\d+)"', text)] == [seen, made, asked, refused, elsewhere, other]
    assert [heading.split(" record")[0] for heading in headings(text)] == [
        "Job 24127 3",
        "A request without a job 1",
        "Job 24128 1",
        "About no export 1",
    ]
    address = re.search(r'href="\?q=([^"]+)">all its records', text)
    assert address is not None
    assert set(numbers(signed_in(auditor), f"{URL}?q={address[1]}")) == {seen, made}


def test_records_can_be_grouped_by_person(auditor: User, prod: Sandbox) -> None:
    rows = {name: [write(subject=Subject(sandbox=prod), name=name).seq for _n in range(2)] for name in ("a.b", "c d")}
    late = write(subject=Subject(sandbox=prod), name="a.b").seq
    text = signed_in(auditor).get(f"{URL}?group=person&q=actor:a.b,%22c d%22").content.decode()
    assert [heading.split(" record")[0] for heading in headings(text)] == ["a.b 3", "c d 2"]
    assert numbers(signed_in(auditor), f"{URL}?q=actor%3A%22c%20d%22") == rows["c d"][::-1]
    assert [int(seq) for seq in re.findall(r'data-seq="(\d+)"', text)] == [late, *rows["a.b"][::-1], *rows["c d"][::-1]]
    assert "actor%3A%22c%20d%22" in text


def test_the_way_to_group_is_kept_by_every_link(auditor: User, prod: Sandbox) -> None:
    for _n in range(60):
        write(subject=Subject(sandbox=prod))
    client = signed_in(auditor)
    text = client.get(f"{URL}?q=actor:operator&group=job").content.decode()
    following = re.search(r'rel="next" href="([^"]+)"', text)
    assert following is not None
    assert "group=job" in following[1]
    assert "group=job" in unescape(re.findall(r'class="chip" href="([^"]+)"', text)[0])
    assert text.count('<input type="hidden" name="group" value="job">') == 2
    moved = client.get(f"{URL}?write=1&q=actor:operator&group=job&outcome=refused")
    assert moved.headers["Location"] == f"{URL}?q=actor%3Aoperator+outcome%3Arefused&group=job"
    assert "group=day" not in text
    assert headings(client.get(f"{URL}?group=moon").content.decode()) == headings(client.get(URL).content.decode())


# -- paging -----------------------------------------------------------------------------------------------------------


def test_pages_lose_and_repeat_nothing_while_events_arrive(auditor: User, prod: Sandbox) -> None:
    made = [write(subject=Subject(sandbox=prod)).seq for _n in range(120)]
    client = signed_in(auditor)
    seen: list[int] = []
    address: str | None = f"{URL}?person=operator"
    while address:
        text = client.get(address).content.decode()
        seen += [int(seq) for seq in re.findall(r'data-seq="(\d+)"', text)]
        write(subject=Subject(sandbox=prod))
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = f"{URL}{unescape(following[1])}" if following else None
        assert address is None or "q=actor%3Aoperator" in address
    assert seen == made[::-1]


@pytest.mark.parametrize("orgs", [1, 3])
def test_queries_do_not_grow_with_rows_or_orgs(prod: Sandbox, foreign: Sandbox, orgs: int) -> None:
    person = make_person("dpo", Role.AUDITOR, organization=prod.organization)
    third = Organization.objects.create(slug="third", name="Third", ims_org_id="3@AdobeOrg")
    for organization in (foreign.organization, third)[: orgs - 1]:
        person.memberships.create(role=Role.AUDITOR, organization=organization)
    client = signed_in(person)

    def queries() -> int:
        context: AbstractContextManager[CaptureQueriesContext] = CaptureQueriesContext(connection)
        with context as captured:
            client.get(URL)
        return len(captured)

    write(subject=Subject(sandbox=prod, job_id="1"))
    queries()  # the first look is put on record
    few = queries()
    for n in range(49):
        write(subject=Subject(sandbox=prod, job_id=str(n)))
    assert queries() == few <= 21


# -- what a row says --------------------------------------------------------------------------------------------------


def test_a_row_opens_to_everything_that_is_on_record(auditor: User, prod: Sandbox) -> None:
    now = datetime.now(UTC)
    Job.objects.create(
        sandbox=prod,
        job_id="24102",
        state=State.CANCELLED,
        sort_at=now,
        first_seen_at=now,
        last_seen_at=now,
        changed_at=now,
    )
    actor = Actor(
        kind="person",
        name="m.lead",
        id="9",
        roles=("admin", "approver"),
        signed_in="password and second factor",
        address="203.0.113.9",
        correlation_id="7f31bb20-6c1e",
    )
    event = record(
        actor=actor,
        action=Action.SANDBOX_CHANGE,
        sentence="changed what prod may do",
        subject=Subject(sandbox=prod, job_id="24102"),
        details={
            "before": {"watched": False, "kept": 1, "gone": "x"},
            "after": {"watched": True, "kept": 1, "fresh": ["a", "b"]},
            "reason": "July campaign",
        },
    )
    text = unescape(signed_in(auditor).get(f"{URL}?details=1").content.decode())
    for words in (
        "m.lead, as admin, approver at that time",
        "with password and second factor",
        "203.0.113.9",
        "?request=7f31bb20-6c1e",
        "July campaign",
        "<del>no</del>",
        "<ins>yes</ins>",
        "<ins>a</ins><br><ins>b</ins>",
        "<del>x</del>",
        f'href="/audit/{event.seq}/"',
        'href="/orgs/acme/prod/jobs/24102/"',
        "production",
    ):
        assert words in text
    assert ">Kept</th>" not in text
    assert event.digest[:-5] not in text  # fifty of them weigh two kilobytes; it stands on the event's own page


def test_what_a_row_says_is_fetched_when_it_is_opened(auditor: User, acme_event: Event) -> None:
    """Closed rows hold a link for those without script; the layout stays when the page is paged, grouped or filtered."""
    client = signed_in(auditor)
    text = client.get(URL).content.decode()
    fetched = f'<p hx-get="/audit/{acme_event.seq}/" hx-trigger="toggle from:closest details"'
    assert fetched in text
    assert "What changed" not in text
    assert f">Open record {acme_event.seq}</a>" in text
    assert "all records of this request" not in text
    opened = client.get(f"{URL}?details=1&group=job&q=job:24102").content.decode()
    assert fetched not in opened
    assert "?q=job%3A24102&amp;group=person&amp;details=1" in opened
    assert 'name="details" value="1"' in opened
    assert fetched in client.get(f"{URL}?details=9").content.decode()


def test_the_events_of_one_request_are_found_by_its_id(auditor: User, prod: Sandbox) -> None:
    actor = Actor(kind="person", name="m.lead", correlation_id="7f31bb20-6c1e")
    subject = Subject(sandbox=prod)
    pair = [record(actor=actor, action=Action.SANDBOX_CHANGE, sentence="x", subject=subject).seq for _n in range(2)]
    write(subject=subject)
    assert numbers(signed_in(auditor), f"{URL}?request=7f31bb20-6c1e") == pair[::-1]


def test_a_job_that_the_mirror_does_not_know_is_no_link(auditor: User, acme_event: Event) -> None:
    assert "/jobs/24102/" not in signed_in(auditor).get(f"{URL}?details=1").content.decode()


def test_text_from_outside_is_escaped(auditor: User, prod: Sandbox) -> None:
    nasty = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    write(
        nasty, subject=Subject(sandbox=prod, job_id=nasty), name=nasty, before={nasty: 1}, after={nasty: nasty}, x=nasty
    )
    text = signed_in(auditor).get(URL).content.decode()
    assert "<script>alert" not in text
    assert "<img" not in text


@pytest.mark.parametrize("query", ["", "?person=nobody"])
def test_nothing_says_which_nothing(auditor: User, query: str) -> None:
    text = unescape(signed_in(auditor).get(URL + query).content.decode())
    assert ("No record matches." if query else "Nothing is on record yet.") in text


def test_no_claim_is_made_that_nobody_checked(auditor: User, acme_event: Event) -> None:
    text = unescape(signed_in(auditor).get(URL).content.decode())
    text = re.sub(r"<search>.*?</search>", "", text, flags=re.DOTALL)  # the menu names every action there may ever be
    assert 'class="note ok"' not in text  # green takes an outside witness
    assert "unbroken" not in text
    assert "verified" not in text.lower()
