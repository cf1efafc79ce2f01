"""Findings: what opens one, what opens none, and the two persons that it takes to close one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from segadmin import aep, sync
from segadmin.actions import explanations, findings, jobs, mirror, requests
from segadmin.actions.judging import judge
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Attempt,
    EventContent,
    Explanation,
    ExportRequest,
    Finding,
    Job,
    Origin,
    Sandbox,
    Settlement,
    State,
    User,
)
from segadmin.queries.explanations import allows, what_of
from tests.factories import make_job, make_request, raw_job
from tests.upstream import body_for, connect

pytestmark = pytest.mark.django_db

START = datetime(2026, 5, 9, 10, 0, tzinfo=UTC)
ANNA = Actor(kind="person", name="anna", id="1", roles=("operator",))
BEN = Actor(kind="person", name="ben", id="2", roles=("approver",))
Kind = Finding.Kind


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=True) as traveller:
        yield traveller


@pytest.fixture
def live(clock: time_machine.Traveller, db: None, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that was read once, empty."""
    monkeypatch.setattr("segadmin.sync.names.tend", lambda *_args, **_more: None)
    organization = connect(emulator, "acme")
    organization.sandboxes.exclude(name="prod").update(watched=False, connected_at=None)
    sync.once()
    return organization.sandboxes.select_related("organization").get(name="prod")


def at(clock: time_machine.Traveller, minutes: float) -> None:
    clock.move_to(START + timedelta(minutes=minutes), tick=True)


def kinds() -> list[str]:
    return list(Finding.objects.order_by("pk").values_list("kind", flat=True))


def events(action: Action) -> list[EventContent]:
    return list(EventContent.objects.filter(action=action).order_by("event_id"))


def details(event: EventContent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.text)["details"]
    return found


def found_outside(emulator: Emulator, clock: time_machine.Traveller, minutes: float = 1, **body: Any) -> Finding:
    """A job that somebody made at Adobe, read by the mirror."""
    at(clock, minutes)
    made = emulator.add_job("acme", "prod", {**body_for(emulator), **body})
    sync.once()
    return Finding.objects.select_related("sandbox__organization", "organization", "job").get(
        kind=Kind.OUTSIDE, job__job_id=str(made["id"])
    )


# -- jobs from outside -------------------------------------------------------------------------------------------------


def test_a_job_from_outside_is_found_once(emulator: Emulator, live: Sandbox, clock: time_machine.Traveller) -> None:
    finding = found_outside(emulator, clock)
    at(clock, 30)
    sync.once()
    sync.once()
    assert kinds() == [Kind.OUTSIDE]
    assert "came from outside segadmin" in finding.sentence
    [event] = events(Action.FINDING_OPENED)
    assert (finding.seq, event.job_id, event.actor_name) == (event.event_id, finding.key, "segadmin sync")


def test_jobs_older_than_the_connection_are_no_findings_even_when_they_go(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    before = (START - timedelta(days=300)).timestamp()
    ids = [str(emulator.add_job("acme", "prod", body_for(emulator), created_at=before)["id"]) for _ in range(7)]
    emulator.add_job("acme", "prod", body_for(emulator), created_at=before - 10)
    at(clock, 61)
    sync.once()
    for job_id in ids:
        emulator.remove_job("acme", "prod", job_id)
    at(clock, 122)
    sync.once()
    assert Job.objects.exclude(missing_since_at=None).count() == 7
    assert kinds() == []


def test_a_job_sent_from_here_is_no_finding(emulator: Emulator, live: Sandbox, clock: time_machine.Traveller) -> None:
    sent = send(emulator, live)
    at(clock, 1)
    sync.once()
    assert sent.job.origin == Origin.HERE
    assert kinds() == []


def send(emulator: Emulator, sandbox: Sandbox) -> ExportRequest:
    author = User.objects.filter(username="anna").first() or User.objects.create_user("anna")
    draft = requests.save_draft(
        actor=ANNA,
        author=author,
        sandbox=sandbox,
        typed={},
        body=body_for(emulator),
        who="audiences",
        which="these",
        purpose="Letter",
        recipient="CRM",
        ticket="",
        legal_basis="",
    )
    return requests.send(actor=ANNA, export_request=draft, version=draft.version, confirmed=frozenset())


# -- gone --------------------------------------------------------------------------------------------------------------


def test_one_job_gone_is_one_finding(emulator: Emulator, live: Sandbox, clock: time_machine.Traveller) -> None:
    sent = send(emulator, live)
    other = found_outside(emulator, clock)
    emulator.remove_job("acme", "prod", sent.job.job_id)
    at(clock, 62)
    sync.once()
    assert kinds() == [Kind.OUTSIDE, Kind.GONE]
    gone = Finding.objects.get(kind=Kind.GONE)
    assert gone.job == sent.job
    assert [job.pk for job in gone.gone_jobs.all()] == [sent.job.pk]
    assert other.job is not None
    assert other.job.missing_since_at is None


@pytest.mark.parametrize(("made", "removed"), [(7, 5), (3, 3)])
def test_many_gone_at_once_are_one_finding(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller, made: int, removed: int
) -> None:
    ids = [str(emulator.add_job("acme", "prod", body_for(emulator))["id"]) for _ in range(made)]
    at(clock, 1)
    sync.once()
    for job_id in ids[:removed]:
        emulator.remove_job("acme", "prod", job_id)
    at(clock, 62)
    sync.once()
    assert kinds() == [Kind.OUTSIDE] * made + [Kind.RESET]
    reset = Finding.objects.get(kind=Kind.RESET)
    assert f"{removed} jobs of Acme Retail / prod are gone" in reset.sentence
    assert "Was the sandbox reset?" in reset.sentence
    assert reset.gone_jobs.count() == removed


def test_what_goes_on_vanishing_is_added_to_the_open_finding(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segadmin.sync.jobs.LOOKUPS_A_PASS", 5)
    ids = [str(emulator.add_job("acme", "prod", body_for(emulator))["id"]) for _ in range(9)]
    at(clock, 1)
    sync.once()
    for job_id in ids:
        emulator.remove_job("acme", "prod", job_id)
    for minute in (62, 123):
        at(clock, minute)
        sync.once()
    reset = Finding.objects.get(kind=Kind.RESET)
    assert reset.gone_jobs.count() == 9
    assert reset.sentence.startswith("9 jobs")


def test_a_broken_sweep_calls_nothing_gone(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segadmin.emulator.exports.LONGEST_PAGE", 2)
    for _ in range(8):
        emulator.add_job("acme", "prod", body_for(emulator))
    at(clock, 1)
    sync.once()
    emulator.faults.set(endpoint="jobs.list", skip=1, times=1, status=403)
    at(clock, 62)
    sync.once()
    assert set(kinds()) == {Kind.OUTSIDE}


def test_gone_after_a_cancel_from_here_is_no_finding(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    sent = send(emulator, live)
    job = Job.objects.select_related("sandbox__organization", "export_request").get(pk=sent.job.pk)
    jobs.cancel(actor=ANNA, job=job, reason="wrong dataset")
    emulator.remove_job("acme", "prod", job.job_id)
    at(clock, 62)
    sync.once()
    job.refresh_from_db()
    assert job.missing_since_at is not None
    assert kinds() == []


# -- changed -----------------------------------------------------------------------------------------------------------


def test_a_job_that_changes_at_adobe_is_found_with_before_and_after(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    sent = send(emulator, live)
    at(clock, 1)
    sync.once()
    emulator.change_job("acme", "prod", sent.job.job_id, fields="identityMap,personalEmail.address,homeAddress")
    at(clock, 2)
    sync.once()
    sync.once()
    assert kinds() == [Kind.CHANGED]
    finding = Finding.objects.get()
    assert "other fields of job" in finding.sentence
    told = details(events(Action.FINDING_OPENED)[0])
    assert set(told["after"]["fields"]) - set(told["before"]["fields"]) == {"homeAddress"}


# -- answers lost ------------------------------------------------------------------------------------------------------


def test_a_lost_answer_that_is_given_up_is_a_finding(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    emulator.faults.set(endpoint="jobs.create", reset=True)
    send(emulator, live)
    emulator.faults.clear()
    at(clock, 1)
    sync.once()
    assert kinds() == []  # it is still being looked for
    at(clock, 30)
    sync.once()
    finding = Finding.objects.get()
    assert (finding.kind, finding.state) == (Kind.LOST, Finding.State.OPEN)
    assert "No such job was found" in finding.sentence
    attempt = Attempt.objects.get(kind=Attempt.Kind.CREATE)
    assert attempt.settlement == Settlement.RELEASED
    # The job turns up later after all, and is linked: the finding closes itself.
    Attempt.objects.filter(pk=attempt.pk).update(settlement=Settlement.ADOPTED)
    at(clock, 31)
    sync.once()
    finding.refresh_from_db()
    assert (finding.state, finding.closed_by) == (Finding.State.CLOSED, "segadmin sync")
    assert len(events(Action.FINDING_CLOSED)) == 1


def test_a_lost_answer_whose_job_is_found_is_none(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    emulator.faults.set(endpoint="jobs.create", lost_answer=True, times=1)
    send(emulator, live)
    at(clock, 1)
    sync.once()
    assert Attempt.objects.get(kind=Attempt.Kind.CREATE).settlement == Settlement.ADOPTED
    assert kinds() == []


# -- size --------------------------------------------------------------------------------------------------------------


def sized(sandbox: Sandbox, count: int | None, *sizes: int | None, **filters: Any) -> list[str]:
    """The kinds found for a job from here that exported `count` profiles where the audiences had these sizes."""
    author = User.objects.create_user(f"u{User.objects.count()}")
    named = [{"id": f"a{number}", "profiles": size} for number, size in enumerate(sizes)]
    wish = make_request(sandbox, author, names={"audiences": named, "dataset": {}, "merge_policy": {}})
    raw = raw_job("1", filter={"segments": [{"segmentId": "a0"}], **filters})
    job = make_job(
        sandbox,
        f"j{User.objects.count()}",
        State.SUCCEEDED,
        raw=raw,
        profiles=count,
        origin=Origin.HERE,
        export_request=wish,
    )
    return [finding.kind for finding in judge(job, []).findings]


@pytest.mark.parametrize(
    ("count", "sizes", "filters", "expected"),
    [
        (41_000, [41_200], {}, []),
        (90_000, [41_200], {}, ["size"]),
        (20_000, [41_200], {}, ["size"]),
        (20_700, [41_200], {}, []),  # more than half
        (1_400, [600], {}, []),  # not 1,000 apart
        (0, [41_200], {}, ["size"]),
        (None, [41_200], {}, []),  # not reported is not 0
        (90_000, [None], {}, []),
        (90_000, [41_200, None], {}, []),
        (90_000, [41_200, 30_000], {}, []),  # two audiences: at most their sum
        (150_000, [41_200, 30_000], {}, ["size"]),
        (35_000, [41_200, 30_000], {}, []),  # and at least the larger one
        (1_000, [41_200], {"fromIngestTimestamp": "2026-01-01T00:00:00Z"}, []),  # narrowed by a filter
        (90_000, [41_200], {"fromIngestTimestamp": "2026-01-01T00:00:00Z"}, ["size"]),
    ],
)
def test_size_far_from_the_estimate(
    prod: Sandbox, count: int | None, sizes: list[int | None], filters: dict[str, Any], expected: list[str]
) -> None:
    assert sized(prod, count, *sizes, **filters) == expected


# -- two persons -------------------------------------------------------------------------------------------------------


def test_explained_by_one_closed_by_another(emulator: Emulator, live: Sandbox, clock: time_machine.Traveller) -> None:
    finding = found_outside(emulator, clock)
    findings.explain(actor=ANNA, finding=finding, note="The vendor's own run")
    finding.refresh_from_db()
    assert (finding.state, finding.explained_by) == (Finding.State.EXPLAINED, "anna")
    with pytest.raises(NotDone, match="second person"):
        findings.close(actor=ANNA, finding=finding)
    with pytest.raises(NotDone, match="second person"):
        findings.send_back(actor=ANNA, finding=finding, note="no")
    findings.close(actor=BEN, finding=finding, note="asked the vendor")
    finding.refresh_from_db()
    assert (finding.state, finding.closed_by) == (Finding.State.CLOSED, "ben")
    assert finding.note == "anna: The vendor's own run\nben: asked the vendor"
    assert [len(events(action)) for action in (Action.FINDING_EXPLAINED, Action.FINDING_CLOSED)] == [1, 1]


def test_an_explanation_that_does_not_convince_opens_it_again(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    finding = found_outside(emulator, clock)
    findings.explain(actor=ANNA, finding=finding, note="A test")
    stale = Finding.objects.get(pk=finding.pk)
    finding.refresh_from_db()
    with pytest.raises(NotDone):
        findings.send_back(actor=BEN, finding=finding, note=" ")
    findings.send_back(actor=BEN, finding=finding, note="Whose test?")
    finding.refresh_from_db()
    assert (finding.state, finding.explained_by) == (Finding.State.OPEN, "")
    with pytest.raises(NotDone, match="meanwhile"):
        findings.close(actor=BEN, finding=stale)
    findings.explain(actor=BEN, finding=finding, note="Ours")
    with pytest.raises(NotDone, match="meanwhile"):
        findings.explain(actor=ANNA, finding=finding, note="late")


def test_an_open_finding_can_not_be_closed(emulator: Emulator, live: Sandbox, clock: time_machine.Traveller) -> None:
    with pytest.raises(NotDone, match="explained"):
        findings.close(actor=BEN, finding=found_outside(emulator, clock))


# -- standing explanations ---------------------------------------------------------------------------------------------


def stand(finding: Finding, days: int = 90) -> Explanation:
    until = datetime.now(UTC) + timedelta(days=days)
    return explanations.set_explanation(
        actor=ANNA, finding=finding, owner="Mail vendor", reason="Their daily schedule", valid_until_at=until
    )


def test_a_standing_explanation_covers_the_next_jobs_like_it(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    rule = stand(found_outside(emulator, clock))
    at(clock, 60 * 24)
    made = emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    assert kinds() == [Kind.OUTSIDE]
    assert Job.objects.get(job_id=str(made["id"])).explanation == rule
    [event] = events(Action.EXPLANATION_SET)
    assert details(event)["findings_explained"] == [Finding.objects.get().pk]


@pytest.mark.parametrize(
    "wider",
    [
        {"fields": "identityMap,personalEmail.address,homeAddress"},
        {"fields": ""},
        {"audiences": 2},
        {"filter_more": {"emptyProfiles": True}},
    ],
)
def test_one_thing_more_breaks_it(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller, wider: dict[str, Any]
) -> None:
    stand(found_outside(emulator, clock))
    body = body_for(emulator, audiences=wider.get("audiences", 1))
    if "fields" in wider:
        body["fields"] = wider["fields"]
        if not wider["fields"]:
            del body["fields"]
    if "filter_more" in wider:
        body["filter"] = {**body["filter"], **wider["filter_more"]}  # type: ignore[dict-item]
    at(clock, 10)
    emulator.add_job("acme", "prod", body)
    sync.once()
    assert kinds() == [Kind.OUTSIDE, Kind.OUTSIDE]


def test_fewer_fields_and_other_times_do_not_break_it(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    narrowed = {**body_for(emulator)["filter"], "fromIngestTimestamp": "2026-05-08T00:00:00Z"}  # type: ignore[dict-item]
    stand(found_outside(emulator, clock, filter=narrowed))
    at(clock, 60 * 24)
    narrowed["fromIngestTimestamp"] = "2026-05-09T00:00:00Z"
    emulator.add_job("acme", "prod", {**body_for(emulator), "filter": narrowed, "fields": "identityMap"})
    sync.once()
    assert kinds() == [Kind.OUTSIDE]


def test_after_its_end_new_jobs_are_findings_and_old_ones_stay_covered(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    rule = stand(found_outside(emulator, clock), days=2)
    at(clock, 60 * 24)
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    at(clock, 60 * 24 * 3)
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    assert kinds() == [Kind.OUTSIDE, Kind.OUTSIDE]
    assert Job.objects.filter(explanation=rule).count() == 1
    with pytest.raises(NotDone, match="ended before"):
        explanations.end(actor=ANNA, explanation=rule, reason="over")


def test_it_can_be_ended_early(emulator: Emulator, live: Sandbox, clock: time_machine.Traveller) -> None:
    rule = stand(found_outside(emulator, clock))
    with pytest.raises(NotDone):
        explanations.end(actor=BEN, explanation=rule, reason="")
    explanations.end(actor=BEN, explanation=rule, reason="Contract is over")
    at(clock, 10)
    emulator.add_job("acme", "prod", body_for(emulator))
    sync.once()
    assert kinds() == [Kind.OUTSIDE, Kind.OUTSIDE]
    assert len(events(Action.EXPLANATION_ENDED)) == 1


def test_setting_it_explains_open_findings_alike_and_checking_closes_them(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    first = found_outside(emulator, clock, 1)
    second = found_outside(emulator, clock, 2)
    other = found_outside(emulator, clock, 3, fields="identityMap,homeAddress")
    rule = stand(first)
    states = {row.pk: row.state for row in Finding.objects.all()}
    assert states == {first.pk: "explained", second.pk: "explained", other.pk: "open"}
    with pytest.raises(NotDone, match="second person"):
        explanations.check(actor=ANNA, explanation=rule)
    assert explanations.check(actor=BEN, explanation=rule) == 2
    with pytest.raises(NotDone, match="meanwhile"):
        explanations.check(actor=BEN, explanation=rule)
    assert set(Finding.objects.filter(explanation=rule).values_list("state", "closed_by")) == {("closed", "ben")}


@pytest.mark.parametrize(("days", "owner", "reason"), [(367, "a", "b"), (-1, "a", "b"), (9, " ", "b"), (9, "a", "")])
def test_it_needs_an_owner_a_reason_and_an_end_within_a_year(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller, days: int, owner: str, reason: str
) -> None:
    finding = found_outside(emulator, clock)
    until = datetime.now(UTC) + timedelta(days=days)
    with pytest.raises(NotDone):
        explanations.set_explanation(actor=ANNA, finding=finding, owner=owner, reason=reason, valid_until_at=until)
    assert not Explanation.objects.exists()
    finding.refresh_from_db()
    assert finding.state == Finding.State.OPEN


def test_all_fields_are_allowed_by_all_fields_only() -> None:
    assert allows([], ["a"])
    assert allows([], [])
    assert allows(["a", "b"], ["a"])
    assert not allows(["a"], ["a", "b"])
    assert not allows(["a"], [])


def test_an_answer_with_an_id_only_says_nothing_about_the_job() -> None:
    assert what_of({"id": "1"}) is None
    told = what_of(raw_job())
    assert told is not None
    assert told.fields == ("identityMap", "personalEmail.address")


def test_a_job_removed_from_the_end_of_the_list_is_gone_and_not_just_old(
    emulator: Emulator, live: Sandbox, clock: time_machine.Traveller
) -> None:
    for minute in (1, 2):
        found_outside(emulator, clock, minute)
    at(clock, 60 * 24)
    sync.once()
    first = Job.objects.order_by("sort_at")[0]
    assert first.state in State.final()
    emulator.remove_job("acme", "prod", first.job_id)
    at(clock, 60 * 25 + 1)
    sync.once()
    assert kinds() == [Kind.OUTSIDE, Kind.OUTSIDE, Kind.GONE]


def test_a_job_that_came_back_and_goes_again_is_found_again(live: Sandbox, clock: time_machine.Traveller) -> None:
    make_job(live, "1", State.RUNNING)
    job = make_job(live, "2", State.SUCCEEDED)
    Job.objects.update(judged=True, origin=Origin.HERE)
    for minute in (1, 3):
        at(clock, minute)
        mirror.mark_missing(live, job, read_at=datetime.now(UTC))
        findings.look(live)
        at(clock, minute + 1)
        mirror.take_in(live, [aep.ExportJob.parse(raw_job("2"))], read_at=datetime.now(UTC))
        job.refresh_from_db()
        assert (job.missing_since_at, job.gone_finding) == (None, None)
    assert kinds() == [Kind.GONE, Kind.GONE]
