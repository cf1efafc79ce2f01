"""One event's own page: everything it says, its proof, its siblings; and a tombstone once its content has expired."""

import json
import re
import uuid
from datetime import UTC, datetime
from html import unescape

import pytest
import time_machine
from django.db import connection
from django.test import Client

from segadmin.audit import Actor, Subject, record
from segadmin.audit.triggers import CONTENT, install
from segadmin.models import (
    Action,
    ContentExpiry,
    Event,
    EventContent,
    Job,
    Name,
    Outcome,
    RegisterEntry,
    Sandbox,
    State,
    User,
)
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

PERSON = Actor(
    kind="person",
    name="operator",
    id="7",
    roles=("operator",),
    signed_in="password",
    address="10.20.4.17",
    correlation_id="7f31bb20",
)


def write(subject: Subject, sentence: str = "cancelled 24102", outcome: Outcome = Outcome.SUCCEEDED) -> Event:
    return record(
        actor=PERSON,
        action=Action.EXPORT_CANCEL,
        outcome=outcome,
        sentence=sentence,
        subject=subject,
        details={"reason": "wrong dataset"},
    )


@pytest.fixture
def event(prod: Sandbox) -> Event:
    return write(Subject(sandbox=prod, job_id="24102"))


def page(client: Client, seq: int) -> str:
    response = client.get(f"/audit/{seq}/")
    assert response.status_code == 200
    return unescape(response.content.decode())


# -- who may read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("auditor", 200),
        ("admin", 200),
        ("root", 200),
        ("viewer", 403),
        ("operator", 403),
        ("approver", 403),
        ("stranger", 404),
    ],
)
def test_who_may_read_it(request: pytest.FixtureRequest, event: Event, name: str, status: int) -> None:
    client = signed_in(request.getfixturevalue(name))
    assert client.get(f"/audit/{event.seq}/").status_code == status
    refusals = EventContent.objects.filter(action=Action.ACCESS_REFUSED, actor_name=name)
    assert refusals.count() == (0 if status == 200 else 1)


@pytest.mark.parametrize(("name", "status"), [("auditor", 403), ("viewer", 403), ("root", 200)])
def test_an_event_of_no_org_is_for_the_whole_installation(
    request: pytest.FixtureRequest, name: str, status: int
) -> None:
    sign_in = record(actor=PERSON, action=Action.SIGN_IN, sentence="signed in with password")
    assert signed_in(request.getfixturevalue(name)).get(f"/audit/{sign_in.seq}/").status_code == status


def test_signed_out_goes_to_sign_in(event: Event) -> None:
    address = f"/audit/{event.seq}/"
    assert Client().get(address).headers["Location"] == f"/accounts/login/?next={address}"


def test_only_get(auditor: User, event: Event) -> None:
    client = signed_in(auditor)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(f"/audit/{event.seq}/").status_code == 405


@pytest.mark.parametrize("seq", ["0", "999", str(10**30)])
def test_a_record_that_does_not_exist_is_404(root: User, event: Event, seq: str) -> None:
    assert signed_in(root).get(f"/audit/{seq}/").status_code == 404


OPENED = ("page", "drawer", "list")


def raw(client: Client, seq: int, where: str) -> str:
    """An event with all that it says: on its page, as its line in the list fetches it, and in the list opened up."""
    address = "/audit/?details=1" if where == "list" else f"/audit/{seq}/"
    response = client.get(address, headers={"HX-Request": "true"} if where == "drawer" else {})
    assert response.status_code == 200
    return response.content.decode()


def told(client: Client, seq: int, where: str) -> str:
    return unescape(raw(client, seq, where))


@pytest.mark.parametrize("where", OPENED)
def test_details_read_as_words(auditor: User, prod: Sandbox, where: str) -> None:
    """No JSON but in the whole text below; the difference by signs and not by colour alone; names instead of ids."""
    now = datetime.now(UTC)
    Name.objects.create(sandbox=prod, kind=Name.Kind.DATASET, external_id="58ee92", name="CRM out", read_at=now)
    event = record(
        actor=PERSON,
        action=Action.ROLE_GIVE,
        sentence="gave viewer a role",
        subject=Subject(sandbox=prod, job_id="24102"),
        details={
            "person": {"id": 5, "name": "viewer"},
            "before": {"role": "viewer", "ends_at": ""},
            "after": {"role": "auditor", "ends_at": "2027-02-01T00:00:00+00:00"},
            "dataset": "58ee92",
            "steps": [{"name": "Access token", "ok": True}],
        },
    )
    said = re.sub(r"<pre.*?</pre>", "", told(signed_in(auditor), event.seq, where), flags=re.DOTALL)
    for words in (
        "<del>viewer</del>",
        "<ins>auditor</ins>",
        "<ins>1 February 2027 00:00:00 UTC</ins>",
        '<span>viewer</span> <span class="soft">account 5</span>',
        "CRM out",
        "<td><span>Access token</span>",
        "all records of this request",
    ):
        assert words in said
    assert '{"' not in said[said.find("<main") :]
    assert ("<main" in said) == (where != "drawer")


def test_it_leads_to_the_row_of_the_register(auditor: User, prod: Sandbox, event: Event) -> None:
    now = datetime.now(UTC)
    times = {"sort_at": now, "first_seen_at": now, "last_seen_at": now, "changed_at": now}
    job = Job.objects.create(sandbox=prod, job_id="24102", state=State.CANCELLED, **times)
    entry = RegisterEntry.objects.create(
        sandbox=prod, organization=prod.organization, job=job, outcome="cancelled", sort_at=now
    )
    for where in OPENED:
        assert f'href="/register/{entry.pk}/"' in told(signed_in(auditor), event.seq, where)


def test_how_long_it_is_kept(root: User, prod: Sandbox) -> None:
    with time_machine.travel(datetime(2026, 7, 2, 9, 0, tzinfo=UTC), tick=False):
        kept = {
            action: record(actor=PERSON, action=action, sentence="x").seq
            for action in (Action.SIGN_IN, Action.ROLE_GIVE, Action.CHECKPOINT)
        }
        client = signed_in(root)
        assert "until 2 July 2027" in page(client, kept[Action.SIGN_IN])
        assert "until 2 July 2029" in page(client, kept[Action.ROLE_GIVE])
        assert "as long as segadmin" in page(client, kept[Action.CHECKPOINT])


def test_the_first_record_of_an_epoch_follows_the_last_one_that_was_kept(root: User) -> None:
    begun = record(actor=PERSON, action=Action.EPOCH_BEGUN, sentence="began epoch 2", details={"last_kept": 47900})
    assert "record 47,900</dd>" in page(signed_in(root), begun.seq)


# -- what it says -----------------------------------------------------------------------------------------------------


def test_everything_is_told(auditor: User, prod: Sandbox, event: Event) -> None:
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
    text = page(signed_in(auditor), event.seq)
    content = EventContent.objects.get(event=event)
    for words in (
        "<b>operator</b> cancelled 24102",
        "as operator at that time",
        "10.20.4.17",
        "?request=7f31bb20",
        "wrong dataset",
        event.digest[:-5],
        event.chain[:-5],
        "fits the digest",
        "How the whole is proven",
        'href="/orgs/acme/prod/jobs/24102/"',
        'class="is-prod"',
        content.text,
        json.dumps(json.loads(content.text), indent=2, ensure_ascii=False, sort_keys=True),
    ):
        assert words in text
    assert "unbroken" not in text


def test_the_first_record_follows_nothing_and_the_next_one_the_first(auditor: User, prod: Sandbox) -> None:
    first, second = (write(Subject(sandbox=prod)) for _n in range(2))
    assert "this is the first record" in page(signed_in(auditor), first.seq)
    assert f"record {first.seq}</dd>" in page(signed_in(auditor), second.seq)


def test_a_remote_change_shows_its_events_from_intent_to_outcome(auditor: User, prod: Sandbox) -> None:
    subject = Subject(sandbox=prod, job_id="24102", attempt_uuid=uuid.uuid4())
    asked = write(subject, "asked to cancel 24102", Outcome.REQUESTED)
    other = write(Subject(sandbox=prod, job_id="24102", attempt_uuid=uuid.uuid4()), "another cancel")
    lost = write(subject, "cancelled 24102, answer lost", Outcome.UNKNOWN)
    for seq in (asked.seq, lost.seq):
        text = page(signed_in(auditor), seq)
        assert text.index("asked to cancel 24102</td>") < text.index("cancelled 24102, answer lost</td>")
        assert "another cancel" not in text
    assert "The same change at Adobe" not in page(signed_in(auditor), other.seq)


def test_a_create_is_joined_by_its_request(auditor: User, prod: Sandbox) -> None:
    attempt, wish = uuid.uuid4(), uuid.uuid4()
    asked = write(Subject(sandbox=prod, attempt_uuid=attempt, request_uuid=wish), "asked to export")
    made = write(Subject(sandbox=prod, attempt_uuid=attempt, request_uuid=wish, job_id="24127"), "created 24127")
    text = page(signed_in(auditor), made.seq)
    assert f'href="/audit/{asked.seq}/"' in text
    assert f'href="/orgs/acme/prod/requests/{wish}/"' in text


def test_an_altered_text_is_told(auditor: User, event: Event) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP TRIGGER {CONTENT}_no_update ON {CONTENT}")
        else:
            cursor.execute(f"DROP TRIGGER {CONTENT}_no_update")
        cursor.execute(f"UPDATE {CONTENT} SET text = 'no JSON at all' WHERE seq = %s", [event.seq])  # noqa: S608
    install(connection)
    text = page(signed_in(auditor), event.seq)
    assert "does not fit the digest" in text
    assert "no JSON at all" in text
    assert "10.20.4.17" in page(signed_in(auditor), event.seq)


def expire(event: Event) -> None:
    ContentExpiry(seq=event.seq, at="2026-06-01T00:00:00Z", reason="sign-ins are kept 12 months").save()
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {CONTENT} WHERE seq = %s", [event.seq])  # noqa: S608


def test_expired_content_leaves_a_tombstone(root: User, auditor: User, event: Event) -> None:
    expire(event)
    text = page(signed_in(root), event.seq)
    assert "has expired" in text
    assert "sign-ins are kept 12 months" in text
    assert "1 June 2026" in text
    assert event.digest[:-5] in text
    assert "wrong dataset" not in text
    # Whose org it was is gone with the content.
    assert signed_in(auditor).get(f"/audit/{event.seq}/").status_code == 403


def test_a_line_whose_content_is_gone_says_so_when_it_is_opened(root: User, event: Event) -> None:
    expire(event)
    assert "is no longer here" in told(signed_in(root), event.seq, "drawer")


def test_content_that_went_without_an_expiry_is_an_alarm(root: User, event: Event) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP TRIGGER {CONTENT}_no_delete ON {CONTENT}")
        else:
            cursor.execute(f"DROP TRIGGER {CONTENT}_no_delete")
        cursor.execute(f"DELETE FROM {CONTENT} WHERE seq = %s", [event.seq])  # noqa: S608
    install(connection)
    assert "no expiry covers it" in page(signed_in(root), event.seq)


def test_text_from_outside_is_escaped(auditor: User, prod: Sandbox) -> None:
    nasty = "<script>alert(1)</script>"
    event = record(
        actor=Actor(kind="person", name=nasty, signed_in=nasty, address=nasty, correlation_id=nasty),
        action=Action.EXPORT_CANCEL,
        sentence=nasty,
        subject=Subject(sandbox=prod, job_id=nasty),
        details={nasty: nasty, "before": {nasty: nasty}, "after": {}},
    )
    for where in OPENED:
        assert nasty not in raw(signed_in(auditor), event.seq, where)
