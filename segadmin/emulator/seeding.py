"""The jobs that are there at the start, made once and stored."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from segadmin.emulator.content import LEGACY_MERGE_POLICY, Content, namespaces_of, shelf_of
from segadmin.emulator.jobs import JobBook, Place
from segadmin.emulator.messages import JsonObject
from segadmin.emulator.planner import PROFILE_SCHEMA, failure, reach
from segadmin.emulator.plans import JobPlan
from segadmin.emulator.showcase import CASES, DAY, FAILURES, HOUR, REMARKS, ROUTINES, Case, Routine, Shelf
from segadmin.emulator.stable import stable_uuid
from segadmin.emulator.world import Tenant

_REACH_BACK = 42 * DAY


@dataclass(frozen=True, slots=True)
class _Draft:
    place: Place
    case: Case
    created_ms: int


def starting_plans(
    tenants: Sequence[Tenant], contents: Mapping[Place, Content], book: JobBook, count: int, seed: int
) -> list[JobPlan]:
    """`count` jobs over all active sandboxes: first the cases worth seeing, then routine ones, the more the older."""
    places = _places_by_shelf(tenants)
    if not places or count <= 0:
        return []
    dice = random.Random(seed)
    now_ms = book.now_ms()
    chosen = [(places[case.shelf][0], case) for case in CASES if case.shelf in places][:count]
    routines = [routine for routine in ROUTINES if routine.shelf in places]
    chosen += [_routine_case(places, routines, index, count, dice) for index in range(count - len(chosen))]
    drafts = [_Draft(place, case, now_ms - round(case.age * 1000)) for place, case in chosen]
    drafts.sort(key=lambda draft: draft.created_ms)
    return [_plan(draft, contents[draft.place], book, now_ms, seed) for draft in drafts]


def _places_by_shelf(tenants: Sequence[Tenant]) -> dict[Shelf, list[Place]]:
    """Where the jobs of a shelf may go; the first sandbox of a shelf gets its special cases."""
    places: dict[Shelf, list[Place]] = {}
    for tenant in tenants:
        for sandbox in tenant.sandboxes:
            if sandbox.state == "active":
                places.setdefault(shelf_of(tenant, sandbox), []).append((tenant.ims_org_id, sandbox.name))
    return places


def _routine_case(
    places: Mapping[Shelf, list[Place]], routines: Sequence[Routine], index: int, count: int, dice: random.Random
) -> tuple[Place, Case]:
    routine = dice.choice(routines)
    homes = places[routine.shelf]
    home = homes[0] if dice.random() < 0.9 else dice.choice(homes)
    luck = dice.random()
    minutes = routine.minutes * dice.uniform(0.7, 1.4)
    # Squared, so that most jobs are recent and some are weeks old.
    age = 1.5 * HOUR + _REACH_BACK * ((index + dice.random()) / count) ** 2
    case = Case(
        routine.shelf,
        age,
        routine.audiences,
        routine.dataset,
        routine.fields,
        minutes,
        "FAILED" if luck < 0.08 else "SUCCEEDED",
        per_segment=routine.per_segment,
        cancelled=luck > 0.97,
        failures=(dice.choice((1, 2, 3)),) if luck < 0.08 else (),
        policy=dice.choice(("default", "default", "graph", "none")),
    )
    return home, case


def _plan(draft: _Draft, content: Content, book: JobBook, now_ms: int, seed: int) -> JobPlan:
    case, place = draft.case, draft.place
    job_id = book.take_id(place)
    request = _request(case, content, draft.created_ms)
    starts_ms, ends_ms = _times(draft, now_ms, random.Random(f"{seed}/{place}/{job_id}"))
    profiles = reach(request, content) if case.outcome == "SUCCEEDED" else 0
    plan = JobPlan(
        job_id=job_id,
        request=request,
        created_ms=draft.created_ms,
        starts_ms=starts_ms,
        ends_ms=ends_ms,
        outcome=case.outcome,
        request_id=_request_id(seed, place, job_id),
        ims_org_id=place[0],
        sandbox=place[1],
        profiles=profiles,
        namespaces=namespaces_of(profiles),
        errors=_errors(case, request, place[0]),
        quirks=list(case.quirks),
        profile_instance_id=case.instance,
    )
    if case.cancelled:
        _cancel(plan, case, now_ms)
    return plan


def _times(draft: _Draft, now_ms: int, dice: random.Random) -> tuple[int, int | None]:
    """(start of work, end) in milliseconds; the end of a stuck job is None."""
    case = draft.case
    if case.starts_in is not None:
        starts_ms = now_ms + round(case.starts_in * 1000)
    else:
        starts_ms = min(draft.created_ms + round(dice.uniform(12, 50) * 1000), now_ms - 1000)
    if not case.live:
        return starts_ms, starts_ms + round(case.minutes * 60_000)
    return starts_ms, None if case.ends_in is None else now_ms + round(case.ends_in * 1000)


def _cancel(plan: JobPlan, case: Case, now_ms: int) -> None:
    if case.live:
        plan.cancel_asked_ms, plan.cancelled_ms = now_ms - 5000, now_ms + 25_000
        return
    assert plan.ends_ms is not None
    plan.cancel_asked_ms = (plan.starts_ms + plan.ends_ms) // 2
    plan.cancelled_ms = plan.cancel_asked_ms + 9000
    plan.ends_ms = None


def _request(case: Case, content: Content, created_ms: int) -> JsonObject:
    request: JsonObject = {}
    if case.fields:
        request["fields"] = case.fields
    policy = _policy(case, content)
    if policy:
        request["mergePolicy"] = policy
    segments = [_segment(case, content.audience_named(name).audience_id) for name in case.audiences]
    if segments:
        request["filter"] = {"segments": segments}
    for name, value in case.more.items():
        request[name] = {**request.get(name, {}), **value}
    request["destination"] = {"datasetId": content.dataset_named(case.dataset).dataset_id}
    if case.per_segment:
        request["destination"]["segmentPerBatch"] = True
    request["schema"] = {"name": PROFILE_SCHEMA}
    return _dated(request, created_ms)


def _dated(request: JsonObject, created_ms: int) -> JsonObject:
    """Move the sample dates to before the job, so that they make sense whenever the emulator is started."""
    begin = datetime.fromtimestamp(created_ms / 1000 - 90 * DAY, UTC).strftime("%Y-%m-01T00:00:00Z")
    end = datetime.fromtimestamp(created_ms / 1000 - DAY, UTC).strftime("%Y-%m-%dT23:59:59Z")
    dates = {"fromIngestTimestamp": begin, "startTime": begin, "endTime": end}
    return {
        name: _dated(value, created_ms) if isinstance(value, dict) else dates.get(name, value)
        for name, value in request.items()
    }


def _segment(case: Case, audience_id: str) -> JsonObject:
    segment: JsonObject = {"segmentId": audience_id}
    if case.namespace or case.statuses:
        segment["segmentNs"] = case.namespace or "ups"
        segment["status"] = list(case.statuses or ("realized",))
    return segment


def _policy(case: Case, content: Content) -> JsonObject | None:
    if case.policy == "none":
        return None
    if case.policy == "legacy":
        return {"id": LEGACY_MERGE_POLICY, "version": 1}
    policies = list(content.merge_policies.values())
    policy = policies[1] if case.policy == "graph" else policies[0]
    return {"id": policy.policy_id, "version": policy.version}


def _errors(case: Case, request: JsonObject, org: str) -> list[JsonObject]:
    segments = (request.get("filter") or {}).get("segments") or [{"segmentId": ""}]
    words = {
        "dataset": request["destination"]["datasetId"],
        "org": org.partition("@")[0].lower(),
        "audience": segments[0]["segmentId"],
    }
    made = [
        failure(code, text.format(**words), origin)
        for code, text, origin in (FAILURES[index] for index in case.failures)
    ]
    made += [{"code": REMARKS[index][0], "msg": REMARKS[index][1], "callStack": ""} for index in case.remarks]
    return made


def _request_id(seed: int, place: Place, job_id: int) -> str:
    """A UUID, or for some a token of 32 characters: both are seen."""
    made = stable_uuid(seed, *place, job_id, "request")
    return made if job_id % 4 else made.replace("-", "")
