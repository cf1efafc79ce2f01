"""The register follows requests and jobs, row by row, in the same transaction; and what may be corrected of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from segadmin import aep, sync
from segadmin.actions import jobs, mirror, register, requests
from segadmin.actions.projection import data_left
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, NotRecorded
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Amendment,
    Attempt,
    DataLeft,
    EventContent,
    ExportOutcome,
    ExportRequest,
    Job,
    Name,
    Origin,
    ProfileSource,
    RegisterEntry,
    RequestState,
    Sandbox,
    State,
    User,
)
from tests.conftest import make_person
from tests.factories import make_job, make_name, make_request, raw_job
from tests.upstream import NOBODY, Clock, body_for

pytestmark = pytest.mark.django_db

DATASET = "5b7c86968f7b6501e21ba9df"


def told(entry: RegisterEntry) -> dict[str, Any]:
    """Everything that a row says; the key and the count of its changes aside."""
    aside = {"id", "version"}
    return {field.attname: getattr(entry, field.attname) for field in entry._meta.concrete_fields} | dict.fromkeys(
        aside
    )


def all_told() -> list[dict[str, Any]]:
    return sorted((told(row) for row in RegisterEntry.objects.all()), key=str)


def seen(sandbox: Sandbox, *raws: dict[str, Any]) -> list[Job]:
    found = [aep.ExportJob.parse(raw) for raw in raws]
    mirror.take_in(sandbox, found, read_at=timezone.now())
    return list(Job.objects.filter(sandbox=sandbox, job_id__in=[job.id for job in found]).order_by("pk"))


def only() -> RegisterEntry:
    return RegisterEntry.objects.get()


# -- jobs from outside ------------------------------------------------------------------------------------------------


def test_a_job_from_outside_has_a_row_that_follows_it(prod: Sandbox) -> None:
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers", evaluated_at="2020-01-01T00:00:00+00:00")
    make_name(prod, Name.Kind.DATASET, DATASET, "CRM out")
    [job] = seen(prod, raw_job("7", "PROCESSING"))
    row = only()
    assert (row.job, row.export_request, row.origin, row.person) == (job, None, Origin.OUTSIDE, "")
    assert (row.outcome, row.data_left) == (ExportOutcome.RUNNING, DataLeft.NOT_YET)
    assert row.audiences == [{"id": "seg-lapsed", "name": "Lapsed buyers", "evaluated_at": "2020-01-01T00:00:00+00:00"}]
    assert (row.dataset_id, row.dataset_name) == (DATASET, "CRM out")
    assert row.fields == ["personalEmail.address", "identityMap"]
    assert (row.pii_certain, row.pii_possible) == (["email", "identifier"], ["phone"])
    assert row.pii_words == "|email|identifier|?phone|"
    assert (row.purpose, row.asked_at, row.approver) == ("", None, "")
    assert row.sort_at == job.sort_at
    seen(prod, raw_job("7", "SUCCEEDED", metrics={"totalExportedProfileCounter": 41}))
    row = only()
    assert (row.outcome, row.data_left) == (ExportOutcome.SUCCEEDED, DataLeft.YES)
    assert (row.profiles, row.profile_source, row.version) == (41, ProfileSource.ADOBE, 2)
    assert row.batch_ids == job.batch_ids


def test_what_did_not_change_is_not_written_again(prod: Sandbox) -> None:
    seen(prod, raw_job("7", "PROCESSING"))
    seen(prod, raw_job("7", "PROCESSING", somethingElse=1))
    register.rebuild()
    assert only().version == 1


def test_names_stay_as_first_known(prod: Sandbox) -> None:
    """A later name is a name of today, and not of the time of the export."""
    [job] = seen(prod, raw_job("7", "PROCESSING"))
    assert only().audiences[0]["name"] == ""
    name = make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Diabetes newsletter")
    register.refresh(jobs=[job])
    assert only().audiences[0]["name"] == "Diabetes newsletter"
    assert "health" in only().pii_certain
    Name.objects.filter(pk=name.pk).update(name="Renamed")
    seen(prod, raw_job("7", "SUCCEEDED"))
    register.rebuild()
    assert only().audiences[0]["name"] == "Diabetes newsletter"


def test_names_that_become_known_reach_the_rows(emulator: Emulator, live_prod: Sandbox) -> None:
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    row = only()
    assert row.audiences[0]["name"]
    assert row.dataset_name


def test_an_evaluation_after_the_export_says_nothing_about_it(prod: Sandbox) -> None:
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers", evaluated_at=later)
    seen(prod, raw_job("7", "PROCESSING"))
    assert only().audiences == [{"id": "seg-lapsed", "name": "Lapsed buyers", "evaluated_at": ""}]


def test_a_job_that_is_gone(prod: Sandbox) -> None:
    [job] = seen(prod, raw_job("7", "PROCESSING"))
    mirror.mark_missing(prod, job, read_at=timezone.now())
    assert (only().outcome, only().data_left) == (ExportOutcome.MISSING, DataLeft.POSSIBLY)
    seen(prod, raw_job("7", "SUCCEEDED"))
    assert only().outcome == ExportOutcome.SUCCEEDED


def test_a_finished_job_that_is_gone_stays_finished(prod: Sandbox) -> None:
    [job] = seen(prod, raw_job("7", "SUCCEEDED"))
    mirror.mark_missing(prod, job, read_at=timezone.now())
    assert (only().outcome, only().data_left) == (ExportOutcome.SUCCEEDED, DataLeft.YES)


@pytest.mark.parametrize(
    ("state", "values", "left"),
    [
        (State.SUCCEEDED, {"profiles": 5}, DataLeft.YES),
        (State.SUCCEEDED, {"profiles": None}, DataLeft.YES),
        (State.SUCCEEDED, {"profiles": 0}, DataLeft.NO),
        (State.FAILED, {"batch_ids": ["b"]}, DataLeft.POSSIBLY),
        (State.FAILED, {"raw": {"metrics": {"profileExportTime": {"startTimeInMs": 1}}}}, DataLeft.POSSIBLY),
        (State.FAILED, {"profiles": 3}, DataLeft.POSSIBLY),
        (State.FAILED, {}, DataLeft.NO),
        (State.CANCELLED, {"batch_ids": ["b"]}, DataLeft.POSSIBLY),
        (State.CANCELLED, {}, DataLeft.NO),
        (State.RUNNING, {"batch_ids": ["b"]}, DataLeft.NOT_YET),
        (State.CANCELLING, {}, DataLeft.NOT_YET),
        (State.UNKNOWN, {}, DataLeft.POSSIBLY),
    ],
)
def test_whether_data_left(state: State, values: dict[str, Any], left: DataLeft) -> None:
    assert data_left(ExportOutcome(state.value), Job(state=state, **values)) == left


@pytest.mark.parametrize(
    ("outcome", "left"),
    [
        (ExportOutcome.ASKED, DataLeft.NOT_YET),
        (ExportOutcome.UNKNOWN, DataLeft.POSSIBLY),
        (ExportOutcome.REFUSED, DataLeft.NO),
        (ExportOutcome.NOT_SENT, DataLeft.NO),
        (ExportOutcome.RELEASED, DataLeft.NO),
    ],
)
def test_whether_data_left_without_a_job(outcome: ExportOutcome, left: DataLeft) -> None:
    assert data_left(outcome, None) == left


def test_the_size_is_never_made_up(prod: Sandbox, operator: User) -> None:
    """Adobe's count, else what the audience had when it was asked for, else not reported."""
    asked = make_request(prod, operator)
    reported, silent = (make_job(prod, str(n), export_request=None, profiles=n or None) for n in (9, 0))
    estimated = make_job(prod, "5", export_request=asked, origin=Origin.HERE, profiles=None)
    register.rebuild()
    rows = {row.job_id: (row.profiles, row.profile_source) for row in RegisterEntry.objects.all()}
    assert rows == {
        reported.pk: (9, ProfileSource.ADOBE),
        silent.pk: (None, ProfileSource.NONE),
        estimated.pk: (41200, ProfileSource.ESTIMATE),
    }


# -- exports from here ------------------------------------------------------------------------------------------------


@pytest.fixture
def author(live_prod: Sandbox) -> User:
    return make_person("operator")


@pytest.fixture
def draft(emulator: Emulator, live_prod: Sandbox, author: User, actor: Actor) -> ExportRequest:
    return save(emulator, live_prod, author, actor)


def save(emulator: Emulator, sandbox: Sandbox, author: User, actor: Actor, **values: Any) -> ExportRequest:
    chosen: dict[str, Any] = {"body": body_for(emulator), "purpose": "Win-back letter", **values}
    return requests.save_draft(
        actor=actor,
        author=author,
        sandbox=sandbox,
        typed={},
        who="audiences",
        which="these",
        recipient="CRM team",
        ticket="MK-311",
        legal_basis="consent",
        **chosen,
    )


def send(actor: Actor, draft: ExportRequest) -> ExportRequest:
    return requests.send(actor=actor, export_request=draft, version=draft.version, confirmed=frozenset())


def test_a_draft_is_in_no_register(draft: ExportRequest) -> None:
    register.rebuild()
    assert not RegisterEntry.objects.exists()


def test_an_export_from_here_is_one_row(
    emulator: Emulator, draft: ExportRequest, actor: Actor, adobe_clock: Clock
) -> None:
    sync.once()
    sent = send(actor, draft)
    row = only()
    assert (row.export_request, row.job, row.origin) == (sent, sent.job, Origin.HERE)
    assert (row.person, row.purpose, row.recipient) == ("operator", "Win-back letter", "CRM team")
    assert (row.ticket, row.legal_basis, row.approver) == ("MK-311", "consent", "")
    assert row.asked_at == row.sent_at == row.sort_at == sent.sent_at
    assert row.data_left == DataLeft.NOT_YET
    adobe_clock.advance(3600)
    Job.objects.update(last_seen_at=timezone.now() - timedelta(minutes=1))
    sync.once()
    row = only()
    assert (row.outcome, row.data_left, row.profile_source) == ("succeeded", DataLeft.YES, ProfileSource.ADOBE)
    assert row.ended_at is not None


def test_a_refused_export_stays_as_it_was_sent(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, author: User, actor: Actor
) -> None:
    """The request goes back to its author's desk; what is written there then is nobody else's business."""
    emulator.faults.set(endpoint="jobs.create", status=422, shape="problem", times=1)
    refused = send(actor, draft)
    before = told(only())
    assert (before["outcome"], before["data_left"], before["profiles"]) == ("refused", "no", None)
    assert before["ended_at"] is not None
    assert before["sent_at"] == before["asked_at"]
    edited = save(emulator, live_prod, author, actor, purpose="Something private", export_request=refused)
    register.rebuild()
    assert told(only()) == before
    RegisterEntry.objects.all().delete()
    register.rebuild()
    assert told(only()) == before
    requests.discard(actor=actor, export_request=edited)
    requests.expire_drafts(days=0)
    RegisterEntry.objects.all().delete()
    register.rebuild()
    assert told(only()) == before


def test_a_refused_export_that_is_sent_again_goes_on_in_its_row(
    emulator: Emulator, draft: ExportRequest, live_prod: Sandbox, author: User, actor: Actor
) -> None:
    emulator.faults.set(endpoint="jobs.create", status=422, shape="problem", times=1)
    refused = send(actor, draft)
    sent = send(actor, save(emulator, live_prod, author, actor, purpose="Another", export_request=refused))
    assert (only().job, only().purpose) == (sent.job, "Another")


def test_what_never_reached_adobe(draft: ExportRequest, live_prod: Sandbox, actor: Actor) -> None:
    sync.once()
    live_prod.organization.api_url = f"http://{NOBODY}"
    live_prod.organization.save()
    send(actor, ExportRequest.objects.select_related("sandbox__organization").get(pk=draft.pk))
    row = only()
    assert (row.outcome, row.sent_at, row.data_left) == (ExportOutcome.NOT_SENT, None, DataLeft.NO)


def test_a_lost_answer_and_the_job_that_is_found_become_one_row(
    emulator: Emulator, draft: ExportRequest, actor: Actor
) -> None:
    sync.once()
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    send(actor, draft)
    before = only()
    assert (before.outcome, before.data_left, before.job) == (ExportOutcome.UNKNOWN, DataLeft.POSSIBLY, None)
    sync.once()
    row = only()
    assert (row.pk, row.job, row.origin) == (before.pk, Job.objects.get(), Origin.HERE)
    assert row.outcome in (State.WAITING, State.RUNNING)


def test_candidates_stand_apart_until_a_person_says_which(
    emulator: Emulator, draft: ExportRequest, actor: Actor
) -> None:
    sync.once()
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    send(actor, draft)
    emulator.add_job("acme", "prod", draft.body)
    sync.once()
    assert list(RegisterEntry.objects.filter(job__isnull=False).values_list("origin", flat=True)) == ["matching"] * 2
    job = Job.objects.order_by("pk")[0]
    assert requests.settle(actor=actor, export_request=draft, job=job)
    sync.once()
    assert sorted(RegisterEntry.objects.values_list("origin", flat=True)) == ["here", "outside"]
    assert RegisterEntry.objects.get(origin="here").job == job


def test_a_lost_export_that_was_never_made(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    emulator.faults.set(endpoint="jobs.create", reset=True, times=1)
    send(actor, draft)
    Attempt.objects.update(look_until_at=timezone.now() - timedelta(seconds=1))
    sync.once()
    assert (only().outcome, only().data_left) == (ExportOutcome.RELEASED, DataLeft.NO)


def test_a_cancel_shows_at_once(emulator: Emulator, draft: ExportRequest, actor: Actor) -> None:
    sync.once()
    job = send(actor, draft).job
    Job.objects.filter(pk=job.pk).update(last_seen_at=timezone.now() - timedelta(minutes=1))
    job = Job.objects.select_related("sandbox__organization", "export_request").get(pk=job.pk)
    jobs.cancel(actor=actor, job=job, reason="wrong dataset")
    assert only().outcome in (State.CANCELLING, State.CANCELLED)


def test_nothing_of_it_is_left_when_the_event_can_not_be_written(
    emulator: Emulator, draft: ExportRequest, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("segadmin.audit.chain.secrets.token_hex", broken)
    with pytest.raises(NotRecorded, match="disk full"):
        send(actor, draft)
    assert not RegisterEntry.objects.exists()


# -- all of it anew ---------------------------------------------------------------------------------------------------


@pytest.fixture
def many(prod: Sandbox, stage: Sandbox, foreign: Sandbox, operator: User) -> None:
    """One of everything, some of it older than the register."""
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers")
    for number, state in enumerate(State):
        make_job(prod, str(number), state, profiles=number or None)
    make_job(stage, "1", State.RUNNING, missing_since_at=timezone.now())
    make_job(foreign, "1", raw={**raw_job("1"), "fields": "", "filter": {}}, origin=Origin.OLDER)
    for number, moved in enumerate(RequestState):
        asked = make_request(prod, operator, moved, minutes_ago=number)
        if moved == RequestState.SENT:
            make_job(prod, "77", export_request=asked, origin=Origin.HERE, person="operator")


def test_rebuilding_gives_the_same_rows(many: None, actor: Actor, prod: Sandbox) -> None:
    register.rebuild()
    amended = RegisterEntry.objects.get(job__job_id="77")
    register.amend(actor=actor, entry=amended, values={"recipient": "Print house"}, why="typed wrong", version=0)
    before, keys = all_told(), set(RegisterEntry.objects.values_list("pk", flat=True))
    register.rebuild()
    assert all_told() == before
    assert set(RegisterEntry.objects.values_list("pk", flat=True)) == keys
    RegisterEntry.objects.filter(amended=0).delete()
    RegisterEntry.objects.update(recipient="?", outcome="asked", fields=[], pii_words="", person="", search="")
    register.rebuild()
    assert all_told() == before


def test_every_export_is_one_row(many: None) -> None:
    register.rebuild()
    assert RegisterEntry.objects.filter(job__isnull=False).count() == Job.objects.count()
    with_rows = ExportRequest.objects.exclude(entry=None)
    assert {row.state for row in with_rows} >= {"sending", "sent", "refused", "not_sent", "unknown", "released"}
    outcomes = {row.outcome for row in RegisterEntry.objects.all()}
    assert outcomes == set(ExportOutcome.values) - {"merged"}


def test_what_is_missing_is_built_after_a_migration(many: None) -> None:
    register.build_after_migrate(using="default")
    assert RegisterEntry.objects.filter(job__isnull=False).count() == Job.objects.count()
    before = RegisterEntry.objects.count()
    register.build_after_migrate(using="default")
    assert RegisterEntry.objects.count() == before


@pytest.mark.parametrize("count", [5, 60])
def test_the_number_of_queries_does_not_depend_on_the_jobs(prod: Sandbox, operator: User, count: int) -> None:
    for number in range(count):
        asked = make_request(prod, operator) if number % 2 else None
        make_job(prod, str(number), export_request=asked)
    listed = list(Job.objects.all())
    with CaptureQueriesContext(connection) as queries:
        register.refresh(jobs=listed)
    assert RegisterEntry.objects.count() == count
    assert len(queries) <= 16


# -- corrections ------------------------------------------------------------------------------------------------------


@pytest.fixture
def entry(prod: Sandbox, operator: User) -> RegisterEntry:
    job = make_job(prod, export_request=make_request(prod, operator), origin=Origin.HERE, person="operator")
    register.refresh(jobs=[job])
    return RegisterEntry.objects.get(job=job)


def amend(actor: Actor, entry: RegisterEntry, *, version: int = 0, why: str = "typed wrong", **values: str) -> None:
    register.amend(actor=actor, entry=entry, values=values, why=why, version=version)


def test_a_correction_keeps_what_was_stated_first(entry: RegisterEntry, actor: Actor) -> None:
    amend(actor, entry, recipient="Print house", ticket="MK-312", purpose=entry.purpose)
    row = only()
    assert (row.recipient, row.ticket, row.amended) == ("Print house", "MK-312", 2)
    assert row.purpose == entry.purpose
    asked = ExportRequest.objects.get()
    assert (asked.recipient, asked.ticket) == ("CRM team", "MK-311")
    found = {item.field: (item.old, item.new, item.why, item.by) for item in Amendment.objects.all()}
    assert found == {
        "recipient": ("CRM team", "Print house", "typed wrong", "operator"),
        "ticket": ("MK-311", "MK-312", "typed wrong", "operator"),
    }
    [event] = EventContent.objects.filter(action=Action.REGISTER_AMENDED)
    assert event.sentence == "corrected recipient, ticket of job 24127 in the register: typed wrong"
    assert (event.job_id, event.request_uuid) == ("24127", asked.uuid)
    assert {item.seq for item in Amendment.objects.all()} == {event.event_id}
    assert '"before":{"recipient":"CRM team","ticket":"MK-311"}' in event.text


def test_both_statements_are_found(entry: RegisterEntry, actor: Actor) -> None:
    amend(actor, entry, recipient="Print house")
    amend(actor, entry, version=1, recipient="Call centre")
    assert {"crm team", "print house", "call centre"} <= set(only().search.split("\n"))
    assert [(item.old, item.new) for item in Amendment.objects.order_by("pk")] == [
        ("CRM team", "Print house"),
        ("Print house", "Call centre"),
    ]


def test_what_the_mirror_sees_later_undoes_no_correction(entry: RegisterEntry, actor: Actor, prod: Sandbox) -> None:
    amend(actor, entry, recipient="Print house")
    seen(prod, raw_job(metrics={"totalExportedProfileCounter": 7}))
    assert (only().recipient, only().profiles, only().amended) == ("Print house", 7, 1)


@pytest.mark.parametrize(
    ("values", "why", "version", "words"),
    [
        ({"recipient": "Print house"}, "", 0, "Say why"),
        ({"recipient": "Print house"}, "  \n ", 0, "Say why"),
        ({"recipient": "CRM team"}, "no change", 0, "Nothing differs"),
        ({"recipient": "Print house"}, "typed wrong", 1, "meantime"),
        ({"person": "somebody", "outcome": "failed"}, "typed wrong", 0, "Nothing differs"),
    ],
)
def test_what_is_no_correction(
    entry: RegisterEntry, actor: Actor, values: dict[str, str], why: str, version: int, words: str
) -> None:
    with pytest.raises(NotDone, match=words):
        amend(actor, entry, why=why, version=version, **values)
    assert not Amendment.objects.exists()
    assert not EventContent.objects.filter(action=Action.REGISTER_AMENDED).exists()
    assert told(only()) == told(entry)


def test_nothing_is_corrected_while_it_is_open_whose_export_it_is(prod: Sandbox, operator: User, actor: Actor) -> None:
    make_request(prod, operator, RequestState.UNKNOWN)
    make_job(prod, "5", origin=Origin.MATCHING)
    register.rebuild()
    for row in RegisterEntry.objects.all():
        with pytest.raises(NotDone, match="not settled"):
            amend(actor, row, recipient="Print house")


def test_a_correction_without_its_event_is_none(
    entry: RegisterEntry, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("segadmin.audit.chain.secrets.token_hex", broken)
    with pytest.raises(NotRecorded, match="disk full"):
        amend(actor, entry, recipient="Print house")
    assert told(only()) == told(entry)
    assert not Amendment.objects.exists()


def test_corrections_are_written_once(entry: RegisterEntry, actor: Actor) -> None:
    amend(actor, entry, recipient="Print house")
    item = Amendment.objects.get()
    with pytest.raises(PermissionError):
        item.save()
    with pytest.raises(PermissionError):
        item.delete()


def test_two_corrected_rows_of_one_export_become_one(prod: Sandbox, operator: User, actor: Actor) -> None:
    """A job taken for one from outside, corrected, and only then known as ours by a very late answer."""
    asked = make_request(prod, operator, RequestState.RELEASED)
    job = make_job(prod)
    register.rebuild()
    for row in RegisterEntry.objects.all():
        amend(actor, row, ticket=f"T-{row.pk}")
    Job.objects.filter(pk=job.pk).update(export_request=asked, origin=Origin.HERE)
    register.refresh(jobs=[job])
    row = RegisterEntry.objects.exclude(outcome=ExportOutcome.MERGED).get()
    assert (row.export_request, row.job, row.ticket) == (asked, job, f"T-{row.pk}")
    assert RegisterEntry.objects.filter(outcome=ExportOutcome.MERGED, job=None, export_request=None).count() == 1


def test_the_corrected_one_of_two_rows_stays(prod: Sandbox, operator: User, actor: Actor) -> None:
    asked = make_request(prod, operator, RequestState.RELEASED)
    job = make_job(prod)
    register.rebuild()
    amend(actor, RegisterEntry.objects.get(job=job), recipient="Print house")
    Job.objects.filter(pk=job.pk).update(export_request=asked, origin=Origin.HERE)
    register.refresh(jobs=[job])
    assert (only().export_request, only().job, only().recipient) == (asked, job, "Print house")
