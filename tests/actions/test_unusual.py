"""Unusual exports: what each rule tells, what it keeps silent about, who changes the rules, and what is mailed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings

from segadmin import sync
from segadmin.actions import findings, register, unusual
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, NotRecorded
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    EventContent,
    Explanation,
    Finding,
    Installation,
    Job,
    Organization,
    Origin,
    Outcome,
    Sandbox,
    State,
    UnusualMail,
    UnusualRule,
    User,
)
from segadmin.queries import unusual as queries
from segadmin.queries.explanations import what_of
from tests.conftest import make_person, make_sandbox
from tests.factories import make_job, make_request, raw_job
from tests.upstream import body_for

pytestmark = pytest.mark.django_db

Kind = Finding.Kind
ADMIN = Actor(kind="person", name="admin", id="1", roles=("admin",))
SYSTEM = Actor.system()
# A Saturday and a Tuesday.
SATURDAY = datetime(2026, 6, 6, 12, 0, tzinfo=UTC)
TUESDAY = datetime(2026, 6, 2, 12, 0, tzinfo=UTC)
UNUSUAL = set(queries.KINDS)


@pytest.fixture
def anna(prod: Sandbox) -> User:
    Sandbox.objects.filter(pk=prod.pk).update(connected_at=timezone.now() - timedelta(days=500))
    return make_person("anna")


@pytest.fixture
def ben(db: None) -> User:
    return make_person("ben")


def export(
    sandbox: Sandbox,
    job_id: str,
    author: User | None,
    *,
    fields: str = "personalEmail.address",
    profiles: int | None = 1000,
    days_ago: float = 0,
    dataset: str = "crm",
    recipient: str = "CRM team",
    state: State = State.SUCCEEDED,
    **values: Any,
) -> Job:
    """One export with its row in the register; without an author it is from outside."""
    raw = raw_job(job_id, "SUCCEEDED", fields=fields, destination={"datasetId": dataset})
    minutes = days_ago * 1440 + 5
    wish = None
    if author is not None:
        body = {"fields": fields, "filter": raw["filter"], "destination": raw["destination"]}
        wish = make_request(sandbox, author, minutes_ago=minutes, body=body, recipient=recipient, names={})
    job = make_job(
        sandbox,
        job_id,
        state,
        minutes_ago=minutes,
        took=1,
        raw=raw,
        profiles=profiles,
        export_request=wish,
        person=author.username if author else "",
        origin=values.pop("origin", Origin.HERE if author else Origin.OUTSIDE),
        **values,
    )
    register.refresh(jobs=[job])
    return job


def history(sandbox: Sandbox, author: User, count: int = 12, **values: Any) -> None:
    for number in range(count):
        export(sandbox, f"old-{author.username}-{number}", author, days_ago=10 + number, judged=True, **values)


def told(job: Job) -> dict[str, str]:
    """Kind -> sentence of the unusual findings about this job, after the search."""
    findings.look(job.sandbox)
    return {row.kind: row.sentence for row in Finding.objects.filter(job=job, kind__in=UNUSUAL)}


def set_rule(organization: Organization, kind: str, on: bool = True, **values: Any) -> None:
    rule = queries.rules(organization)[kind]
    UnusualRule.objects.update_or_create(
        organization=organization,
        kind=kind,
        defaults={
            "on": on,
            "values": {**rule.values, **values},
            "set_by": "admin",
            "set_at": TUESDAY - timedelta(days=900),
        },
    )


# -- many profiles -----------------------------------------------------------------------------------------------------


def test_far_more_than_the_person_and_the_audience_usually_have(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    found = told(export(prod, "24127", anna, profiles=41_200))
    assert found == {
        Kind.MANY: "Job 24127 exported 41,200 profiles; anna usually exports about 1,000 and exports of these audiences "
        "usually hold about 1,000."
    }


@pytest.mark.parametrize("profiles", [None, 0, 900, 4_900, 5_000])
def test_an_ordinary_size_is_silent(prod: Sandbox, anna: User, profiles: int | None) -> None:
    history(prod, anna)
    assert told(export(prod, "24127", anna, profiles=profiles)) == {}


def test_small_numbers_are_never_far(prod: Sandbox, anna: User) -> None:
    history(prod, anna, profiles=10)
    assert told(export(prod, "24127", anna, profiles=900)) == {}
    assert Kind.MANY in told(export(prod, "24128", anna, profiles=1_011))


def test_what_is_usual_takes_three_counts(prod: Sandbox, anna: User) -> None:
    history(prod, anna, count=2)
    assert told(export(prod, "24127", anna, profiles=400_000)) == {}


def test_above_a_number_it_is_told_without_any_history(prod: Sandbox, anna: User) -> None:
    found = told(export(prod, "24127", anna, profiles=1_000_001))
    assert found == {Kind.MANY: "Job 24127 exported 1,000,001 profiles; more than 1,000,000 is always told."}
    set_rule(prod.organization, Kind.MANY, most=None)
    assert told(export(prod, "24128", anna, profiles=2_000_000)) == {}


def test_a_job_from_outside_is_compared_with_its_audiences(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    found = told(export(prod, "24127", None, profiles=90_000))
    assert found == {
        Kind.MANY: "Job 24127 exported 90,000 profiles; exports of these audiences usually hold about 1,000."
    }


def test_the_count_of_the_batch_counts_too(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    job = export(prod, "24127", anna, profiles=None)
    assert told(job) == {}
    Job.objects.filter(pk=job.pk).update(batch_records=41_200, judged=False)
    assert set(told(job)) == {Kind.MANY}


def test_it_is_told_once_whatever_is_read_of_the_job_later(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    job = export(prod, "24127", anna, profiles=41_200)
    assert len(told(job)) == 1
    Job.objects.filter(pk=job.pk).update(judged=False, profiles=50_000)
    told(job)
    assert Finding.objects.filter(kind=Kind.MANY).count() == 1
    assert EventContent.objects.filter(action=Action.FINDING_OPENED).count() == 1


# -- the hour ----------------------------------------------------------------------------------------------------------


def started(sandbox: Sandbox, author: User | None, moment: datetime, job_id: str) -> Job:
    days = (timezone.now() - moment).total_seconds() / 86400 - 5 / 1440
    return export(sandbox, job_id, author, days_ago=days)


def test_hours_are_told_only_where_somebody_said_them(prod: Sandbox, anna: User) -> None:
    assert Kind.HOUR not in told(started(prod, anna, SATURDAY, "1"))
    set_rule(prod.organization, Kind.HOUR)
    found = told(started(prod, anna, SATURDAY, "2"))
    assert found[Kind.HOUR] == (
        "Job 2 was started by anna on Saturday 6 June, 12:00 (UTC), outside the working hours that are set here."
    )
    assert Kind.HOUR not in told(started(prod, anna, TUESDAY, "3"))


@pytest.mark.parametrize(
    ("hour", "zone", "is_told"),
    [
        (6.9, "UTC", True),
        (7.1, "UTC", False),
        (19.9, "UTC", False),
        (20.1, "UTC", True),
        (5.5, "Europe/Berlin", False),
        (18.5, "Europe/Berlin", True),
    ],
)
def test_the_edges_of_the_day_are_in_the_zone_of_the_rule(
    prod: Sandbox, anna: User, hour: float, zone: str, is_told: bool
) -> None:
    set_rule(prod.organization, Kind.HOUR, zone=zone)
    job = started(prod, anna, TUESDAY.replace(hour=0) + timedelta(hours=hour), "1")
    assert (Kind.HOUR in told(job)) == is_told


def test_working_hours_may_reach_over_midnight(prod: Sandbox, anna: User) -> None:
    set_rule(prod.organization, Kind.HOUR, from_hour=22, to_hour=6, days="1234567")
    assert Kind.HOUR not in told(started(prod, anna, TUESDAY.replace(hour=23), "1"))
    assert Kind.HOUR not in told(started(prod, anna, TUESDAY.replace(hour=5), "2"))
    assert Kind.HOUR in told(started(prod, anna, TUESDAY, "3"))


def test_a_job_from_outside_has_an_hour_too(prod: Sandbox, anna: User) -> None:
    set_rule(prod.organization, Kind.HOUR)
    assert "somebody outside segadmin" in told(started(prod, None, SATURDAY, "1"))[Kind.HOUR]


def test_a_standing_explanation_silences_its_jobs(prod: Sandbox, anna: User) -> None:
    set_rule(prod.organization, Kind.HOUR)
    job = started(prod, None, SATURDAY, "1")
    what = what_of(job.raw)
    assert what is not None
    Explanation.objects.create(
        organization=prod.organization,
        sandbox=prod,
        dataset_id=what.dataset,
        fields=list(what.fields),
        shape=what.shape,
        owner="Adobe",
        reason="daily",
        valid_from_at=SATURDAY - timedelta(days=1),
        valid_until_at=SATURDAY + timedelta(days=1),
        set_by="ben",
        set_at=SATURDAY,
    )
    assert told(job) == {}


# -- a new kind of personal data --------------------------------------------------------------------------------------


def test_a_kind_that_the_dataset_and_the_recipient_never_got(prod: Sandbox, anna: User) -> None:
    history(prod, anna, fields="personalEmail.address,mobilePhone.number", dataset="other", recipient="Other")
    history(prod, make_person("clara"))
    found = told(export(prod, "24127", anna, fields="personalEmail.address,mobilePhone.number"))
    assert found == {
        Kind.NEW_DATA: "Job 24127 takes phone to dataset “crm” and phone to recipient “CRM team”, which no earlier export did."
    }


def test_known_kinds_are_silent_also_in_another_sandbox_of_the_recipient(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    assert told(export(prod, "24127", anna)) == {}


def test_nothing_is_new_while_there_is_no_history(prod: Sandbox, anna: User) -> None:
    history(prod, anna, count=9)
    assert told(export(prod, "24127", anna, fields="mobilePhone.number", dataset="never-seen")) == {}


def test_what_never_left_is_no_history(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    failed = export(
        prod, "23000", anna, fields="mobilePhone.number", profiles=None, days_ago=2, state=State.CANCELLED, judged=True
    )
    assert failed.entry.data_left == "no"
    assert Kind.NEW_DATA in told(export(prod, "24127", anna, fields="mobilePhone.number"))


def test_another_organization_is_no_history(prod: Sandbox, anna: User, nordwind: Organization) -> None:
    elsewhere = make_sandbox(nordwind, "prod")
    history(elsewhere, anna, fields="mobilePhone.number")
    history(prod, anna)
    assert Kind.NEW_DATA in told(export(prod, "24127", anna, fields="mobilePhone.number"))


def test_all_fields_are_shortened(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    sentence = told(export(prod, "24127", anna, fields=""))[Kind.NEW_DATA]
    assert "more kinds of personal data" in sentence
    assert len(sentence) < 400


# -- a person's first --------------------------------------------------------------------------------------------------


def test_the_first_export_of_a_person(prod: Sandbox, anna: User, ben: User) -> None:
    history(prod, anna)
    found = told(export(prod, "24127", ben))
    assert found == {Kind.FIRST: "Job 24127 is the first export of ben in this organization."}
    Job.objects.update(judged=True)
    assert told(export(prod, "24128", ben, days_ago=-0.001)) == {}


def test_the_first_with_a_kind_of_personal_data(prod: Sandbox, anna: User, ben: User) -> None:
    history(prod, ben, fields="mobilePhone.number")
    history(prod, anna)
    found = told(export(prod, "24127", anna, fields="mobilePhone.number"))
    assert found == {Kind.FIRST: "With job 24127 anna exports phone for the first time."}


def test_a_job_from_outside_has_no_person(prod: Sandbox, anna: User) -> None:
    history(prod, anna)
    assert Kind.FIRST not in told(export(prod, "24127", None))


def test_jobs_of_nobody_are_no_history_of_persons(prod: Sandbox, anna: User) -> None:
    for number in range(12):
        export(prod, f"old-{number}", None, days_ago=10 + number, judged=True, origin=Origin.OLDER)
    assert Kind.FIRST not in told(export(prod, "24127", anna))


# -- what is never told ------------------------------------------------------------------------------------------------


def test_jobs_older_than_the_connection_open_nothing(prod: Sandbox, anna: User) -> None:
    set_rule(prod.organization, Kind.HOUR)
    history(prod, anna)
    assert told(export(prod, "24127", None, profiles=9_000_000, fields="", origin=Origin.OLDER)) == {}


def test_a_rule_that_is_off_opens_nothing(prod: Sandbox, anna: User, ben: User) -> None:
    history(prod, anna)
    for kind in UNUSUAL:
        set_rule(prod.organization, kind, on=False)
    assert told(export(prod, "24127", ben, profiles=9_000_000, fields="", dataset="new")) == {}


def test_a_rule_speaks_of_exports_made_since_it_was_set(prod: Sandbox, anna: User) -> None:
    job = export(prod, "24127", anna, profiles=500_000, days_ago=3)
    Job.objects.filter(pk=job.pk).update(judged=True)
    change(prod.organization, most=400_000)
    Job.objects.filter(pk=job.pk).update(judged=False)  # Adobe tells the old job anew
    assert told(job) == {}
    assert Kind.MANY in told(export(prod, "24128", anna, profiles=500_000, days_ago=-1))


# -- changing the rules ------------------------------------------------------------------------------------------------


def change(organization: Organization, to: str = "witness", mail: str = "", version: int = 0, **values: Any) -> bool:
    """`values` override single values of any rule; `off` names kinds to switch off."""
    off = values.pop("off", ())
    wanted = {
        kind: (rule.on and kind not in off, {name: values.get(name, value) for name, value in rule.values.items()})
        for kind, rule in queries.rules(organization).items()
    }
    seen = version or unusual.mail_of(organization).version
    return unusual.change(actor=ADMIN, organization=organization, wanted=wanted, to=to, mail=mail, version=seen)


def test_a_change_is_on_record_with_before_and_after(acme: Organization) -> None:
    assert change(acme, times=3, off=[Kind.FIRST])
    [event] = EventContent.objects.filter(action=Action.UNUSUAL_RULES)
    assert event.sentence == (
        "changed the rules for unusual exports of Acme Retail: unusually many profiles: times the usual 5 → 3; "
        "first of its kind by this person: on yes → no"
    )
    details = json.loads(event.text)["details"]
    assert details["before"]["many"] == {"on": True, "times": 5, "most": 1_000_000}
    assert details["after"]["many"]["times"] == 3
    rules = queries.rules(acme)
    assert (rules[Kind.MANY].values["times"], rules[Kind.FIRST].on, rules[Kind.NEW_DATA].set_at) == (3, False, None)


def test_nothing_differs(acme: Organization) -> None:
    assert not change(acme)
    assert not EventContent.objects.filter(action=Action.UNUSUAL_RULES).exists()


def test_two_at_once(acme: Organization) -> None:
    assert change(acme, times=3, version=1)
    with pytest.raises(NotDone, match="meanwhile"):
        change(acme, times=4, version=1)
    assert queries.rules(acme)[Kind.MANY].values["times"] == 3


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"times": 1}, "times"),
        ({"times": 1001}, "times"),
        ({"most": 0}, "most"),
        ({"from_hour": 9, "to_hour": 9}, "to_hour"),
        ({"days": ""}, "days"),
        ({"days": "9"}, "days"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"to": "own", "mail": "x"}, "mail"),
        ({"to": "everybody"}, "to"),
    ],
)
def test_values_out_of_reason_are_refused(acme: Organization, values: dict[str, Any], name: str) -> None:
    with pytest.raises(NotDone) as refused:
        change(acme, **values)
    assert name in refused.value.problems
    assert not UnusualRule.objects.exists()


# -- mail --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mailed(settings: Settings, acme: Organization) -> None:
    settings.MAIL_READY = True
    settings.MAIL_FROM = "segadmin@example.com"
    Installation.objects.update_or_create(pk=1, defaults={"witness_mail": "audit@example.com"})


def find(sandbox: Sandbox, count: int, minutes_ago: float = 5) -> None:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    first = Finding.objects.count()
    for number in range(first, first + count):
        Finding.objects.create(
            organization=sandbox.organization,
            sandbox=sandbox,
            kind=Kind.HOUR,
            key=str(number),
            sentence=f"Job {number} was started\nat night.",
            found_at=at,
        )


def test_a_first_connection_with_years_of_jobs_makes_no_finding_and_no_mail(
    emulator: Emulator, live_prod: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAIL_READY = True
    Installation.objects.update_or_create(pk=1, defaults={"witness_mail": "audit@example.com"})
    monkeypatch.setattr("segadmin.sync.names.tend", lambda *_args, **_more: None)
    set_rule(live_prod.organization, Kind.HOUR, from_hour=3, to_hour=4, days="1")
    set_rule(live_prod.organization, Kind.MANY, most=1)
    for number in range(30):
        at = (timezone.now() - timedelta(days=20 * number + 1)).timestamp()
        emulator.add_job("acme", "prod", body_for(emulator, audiences=1 + number % 2), created_at=at)
    assert sync.once() == []
    assert Job.objects.filter(origin=Origin.OLDER).count() == 30
    assert not Finding.objects.exists()
    assert unusual.tell(actor=SYSTEM, now=timezone.now() + timedelta(hours=2)) == 0
    assert mail.outbox == []


@pytest.mark.usefixtures("mailed")
def test_a_flood_is_one_mail(prod: Sandbox) -> None:
    find(prod, 200)
    assert unusual.tell(actor=SYSTEM) == 1
    [sent] = mail.outbox
    assert sent.to == ["audit@example.com"]
    assert sent.subject == "segadmin: 200 unusual exports, Acme Retail"
    assert "- Job 0 was started at night." in sent.body
    assert "- and 180 more" in sent.body
    assert sent.body.count("/findings/") == 20
    begun, event = EventContent.objects.filter(action=Action.UNUSUAL_TOLD).order_by("event_id")
    assert (begun.outcome, begun.sentence) == (
        Outcome.REQUESTED,
        "began to tell audit@example.com of 200 unusual exports of Acme Retail",
    )
    assert event.sentence == "told audit@example.com of 200 unusual exports of Acme Retail"
    assert unusual.tell(actor=SYSTEM) == 0


@pytest.mark.usefixtures("mailed")
def test_it_waits_for_more_and_then_an_hour(prod: Sandbox) -> None:
    now = timezone.now()
    find(prod, 1, minutes_ago=1)
    assert unusual.tell(actor=SYSTEM, now=now) == 0
    assert unusual.tell(actor=SYSTEM, now=now + timedelta(minutes=2)) == 1
    find(prod, 1, minutes_ago=0)
    assert unusual.tell(actor=SYSTEM, now=now + timedelta(minutes=50)) == 0
    assert unusual.tell(actor=SYSTEM, now=now + timedelta(minutes=63)) == 1
    assert [message.subject for message in mail.outbox] == ["segadmin: 1 unusual export, Acme Retail"] * 2


@pytest.mark.usefixtures("mailed")
def test_other_findings_are_not_mailed(prod: Sandbox) -> None:
    find(prod, 3)
    Finding.objects.update(kind=Kind.OUTSIDE)
    assert unusual.tell(actor=SYSTEM) == 0


@pytest.mark.usefixtures("mailed")
@pytest.mark.parametrize(("to", "address"), [("own", "privacy@example.com"), ("nobody", "")])
def test_an_org_says_who_is_told(prod: Sandbox, to: str, address: str) -> None:
    change(prod.organization, to=to, mail="privacy@example.com")
    find(prod, 1)
    unusual.tell(actor=SYSTEM)
    assert [message.to for message in mail.outbox] == ([[address]] if address else [])


@pytest.mark.usefixtures("mailed")
def test_what_was_found_while_nobody_was_told_is_not_sent_later(prod: Sandbox, settings: Settings) -> None:
    settings.MAIL_READY = False
    find(prod, 3)
    assert unusual.tell(actor=SYSTEM) == 0
    settings.MAIL_READY = True
    assert unusual.tell(actor=SYSTEM) == 0
    find(prod, 1)
    assert unusual.tell(actor=SYSTEM) == 1
    assert "1 unusual export," in mail.outbox[0].subject


@pytest.mark.usefixtures("mailed")
def test_a_mail_server_out_of_reach_is_told_once_and_nothing_is_lost(
    prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    now = timezone.now()
    find(prod, 2)
    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.EmailMessage.send", refuse)
        for minutes in (0, 1, 31):
            assert unusual.tell(actor=SYSTEM, now=now + timedelta(minutes=minutes)) == 0
    events = EventContent.objects.filter(action=Action.UNUSUAL_TOLD).order_by("event_id")
    assert [event.outcome for event in events] == [Outcome.REQUESTED, Outcome.FAILED]
    assert "Connection refused" in UnusualMail.objects.get().problem
    assert unusual.tell(actor=SYSTEM, now=now + timedelta(minutes=62)) == 1
    assert "2 unusual exports" in mail.outbox[0].subject
    assert UnusualMail.objects.get().problem == ""


@pytest.mark.usefixtures("mailed")
def test_a_mail_whose_end_is_not_on_record_comes_again_much_later_and_says_so(
    prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise NotRecorded("the disk is full")

    now = timezone.now()
    find(prod, 1)
    with monkeypatch.context() as patch:
        patch.setattr(unusual, "_note", full)
        with pytest.raises(NotRecorded):
            unusual.tell(actor=SYSTEM, now=now)
    assert UnusualMail.objects.get().is_unsure
    assert unusual.tell(actor=SYSTEM, now=now + timedelta(minutes=29)) == 0
    assert unusual.tell(actor=SYSTEM, now=now + timedelta(minutes=31)) == 1
    first, second = mail.outbox
    assert "may have reached you before" not in first.body
    assert "may have reached you before" in second.body
    assert first.message()["Message-ID"] == second.message()["Message-ID"]
    told = EventContent.objects.filter(action=Action.UNUSUAL_TOLD).order_by("-event_id")[0]
    assert "perhaps for the second time" in told.sentence


@pytest.mark.usefixtures("mailed")
def test_without_a_record_no_mail_leaves(prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_values: object) -> None:
        raise NotRecorded("the disk is full")

    find(prod, 1)
    monkeypatch.setattr(unusual, "record", full)
    with pytest.raises(NotRecorded):
        unusual.tell(actor=SYSTEM)
    assert mail.outbox == []


@pytest.mark.usefixtures("mailed")
def test_a_name_with_line_ends_adds_no_header(prod: Sandbox) -> None:
    Organization.objects.filter(pk=prod.organization_id).update(name="Acme\r\nBcc: eve@example.com")
    find(prod, 1)
    assert unusual.tell(actor=SYSTEM) == 1
    assert mail.outbox[0].subject == "segadmin: 1 unusual export, Acme Bcc: eve@example.com"
    assert mail.outbox[0].recipients() == ["audit@example.com"]
