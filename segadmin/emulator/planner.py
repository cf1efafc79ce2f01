"""Accepting an export: which bodies are refused, and how an accepted job will go."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segadmin.emulator.content import LEGACY_MERGE_POLICY, Content, namespaces_of
from segadmin.emulator.errors import refuse
from segadmin.emulator.messages import JsonObject
from segadmin.emulator.plans import JobPlan

PROFILE_SCHEMA = "_xdm.context.profile"
_SEGMENT_STATUSES = {"realized", "existing", "exited"}
_REMEMBERED = ("fields", "filter", "additionalFields", "mergePolicy", "schema", "evaluationInfo")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a new job is given besides its body. `created_ms` is in milliseconds since the epoch."""

    ims_org_id: str
    sandbox: str
    job_id: int
    created_ms: int
    request_id: str
    profile_instance_id: str = "ups"


def _bad(message: str) -> None:
    raise refuse("problem", 400, message)


def _text(owner: JsonObject, name: str, where: str, *, required: bool) -> None:
    value = owner.get(name)
    if value is None and not required:
        return
    if not isinstance(value, str) or (required and not value):
        _bad(f"{where}{name} must be a non-empty string" if required else f"{where}{name} must be a string")


def _part(owner: JsonObject, name: str, *, required: bool = False) -> JsonObject:
    value: Any = owner.get(name)
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        _bad(f"{name} must be an object")
    part: JsonObject = value
    return part


def _flag(owner: JsonObject, name: str) -> None:
    if not isinstance(owner.get(name, False), bool):
        _bad(f"{name} must be true or false")


def _moment(owner: JsonObject, name: str) -> datetime | None:
    value = owner.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        _bad(f"{name} must be an RFC 3339 timestamp with a zone")
    return moment


def check(body: JsonObject, content: Content) -> None:
    """Refuse a body that Adobe would answer with 400: incomplete, mistyped, or for a dataset that does not exist."""
    destination = _part(body, "destination", required=True)
    _text(destination, "datasetId", "destination.", required=True)
    _flag(destination, "segmentPerBatch")
    _text(_part(body, "schema", required=True), "name", "schema.", required=True)
    if body["schema"]["name"] != PROFILE_SCHEMA:
        _bad(f"schema.name must be {PROFILE_SCHEMA}")
    _text(body, "fields", "", required=False)
    _text(_part(body, "mergePolicy"), "id", "mergePolicy.", required=False)
    _flag(_part(body, "evaluationInfo"), "segmentation")
    _check_filter(_part(body, "filter"))
    _check_events(_part(_part(body, "additionalFields"), "eventList"))
    if destination["datasetId"] not in content.datasets:
        raise refuse("ups", 400, f"Dataset {destination['datasetId']} does not exist")


def _check_filter(asked: JsonObject) -> None:
    segments = [] if asked.get("segments") is None else asked["segments"]
    if not isinstance(segments, list):
        _bad("filter.segments must be an array")
    for segment in segments:
        if not isinstance(segment, dict):
            _bad("filter.segments must hold objects")
        _text(segment, "segmentId", "filter.segments.", required=True)
        _text(segment, "segmentNs", "filter.segments.", required=False)
        statuses = segment.get("status", ["realized"])
        if not isinstance(statuses, list) or not statuses or not all(word in _SEGMENT_STATUSES for word in statuses):
            _bad("filter.segments.status must be an array of realized, existing, exited")
    window = _part(asked, "segmentQualificationTime")
    start, end = _moment(window, "startTime"), _moment(window, "endTime")
    if start and end and start >= end:
        _bad("segmentQualificationTime.startTime must be before endTime")
    _moment(asked, "fromIngestTimestamp")
    _flag(asked, "emptyProfiles")


def _check_events(events: JsonObject) -> None:
    _text(events, "fields", "additionalFields.eventList.", required=False)
    limits = _part(events, "filter")
    start, end = _moment(limits, "fromIngestTimestamp"), _moment(limits, "toIngestTimestamp")
    if start and end and start >= end:
        _bad("fromIngestTimestamp must be before toIngestTimestamp")


def make_plan(body: JsonObject, ticket: Ticket, content: Content, speed: float, seed: int) -> JobPlan:
    """The life of an accepted job: a few seconds of waiting, then less than a minute of work at speed 1."""
    dice = random.Random(f"{seed}/{ticket.ims_org_id}/{ticket.sandbox}/{ticket.job_id}")
    request = {name: body[name] for name in _REMEMBERED if name in body}
    request["destination"] = {
        name: body["destination"][name] for name in ("datasetId", "segmentPerBatch") if name in body["destination"]
    }
    policy = content.merge_policies.get((request.get("mergePolicy") or {}).get("id", ""))
    if policy is not None:
        request["mergePolicy"] = {"version": policy.version, **request["mergePolicy"]}
    troubles = _troubles(body, content)
    waiting = dice.uniform(3.5, 4.5) + (8 if (body.get("evaluationInfo") or {}).get("segmentation") else 0)
    working = dice.uniform(6, 10) if troubles else dice.uniform(20, 40)
    starts_ms = ticket.created_ms + max(1, round(waiting * 1000 / speed))
    profiles = 0 if troubles else reach(body, content)
    return JobPlan(
        job_id=ticket.job_id,
        request=request,
        created_ms=ticket.created_ms,
        starts_ms=starts_ms,
        ends_ms=starts_ms + max(1, round(working * 1000 / speed)),
        outcome="FAILED" if troubles else "SUCCEEDED",
        request_id=ticket.request_id,
        ims_org_id=ticket.ims_org_id,
        sandbox=ticket.sandbox,
        profiles=profiles,
        namespaces=namespaces_of(profiles),
        errors=troubles or _remarks(body, content),
        profile_instance_id=ticket.profile_instance_id,
    )


def failure(code: str, message: str, origin: str) -> JsonObject:
    """One item of a job's `errors`, with a call stack as long as the real ones."""
    frames = (
        f"com.adobe.platform.ups.export.{origin}.run({origin}.scala:214)",
        "com.adobe.platform.ups.export.ExportWorkflow.stage(ExportWorkflow.scala:118)",
        "com.adobe.platform.ups.export.ExportWorkflow.$anonfun$execute$3(ExportWorkflow.scala:77)",
        "scala.util.Try$.apply(Try.scala:213)",
        "com.adobe.platform.ups.compute.JobRunner.main(JobRunner.scala:41)",
    )
    return {"code": code, "msg": message, "callStack": "\n\tat ".join(frames)}


def _segments(body: JsonObject) -> list[JsonObject]:
    return (body.get("filter") or {}).get("segments") or []


def _troubles(body: JsonObject, content: Content) -> list[JsonObject]:
    """Why an accepted job will fail: what the service finds out only while it works."""
    found = []
    dataset = content.datasets[body["destination"]["datasetId"]]
    if not dataset.takes_exports:
        text = f"Dataset {dataset.dataset_id} is not based on the union schema {PROFILE_SCHEMA}__union"
        found.append(failure("0100000003", text, "DatasetValidator"))
    for segment in _segments(body):
        if segment.get("segmentNs", "ups") == "ups" and segment["segmentId"] not in content.audiences:
            text = f"Segment definition {segment['segmentId']} could not be found"
            found.append(failure("0090000009", text, "SegmentResolver"))
    policy = (body.get("mergePolicy") or {}).get("id")
    if policy and policy != LEGACY_MERGE_POLICY and policy not in content.merge_policies:
        found.append(failure("0100000007", f"Merge policy {policy} does not exist", "MergePolicyResolver"))
    return found


def _remarks(body: JsonObject, content: Content) -> list[JsonObject]:
    asked = (content.audiences.get(segment["segmentId"]) for segment in _segments(body))
    if not any(audience is not None and audience.remarks for audience in asked):
        return []
    text = "214 profiles with more than 50 identities were left out of the export"
    return [{"code": "0090000021", "msg": text, "callStack": ""}]


def reach(body: JsonObject, content: Content) -> int:
    """How many profiles such an export writes."""
    asked = body.get("filter") or {}
    segments = _segments(body)
    total = sum(_segment_reach(segment, content) for segment in segments)
    if not segments:
        total = content.total_profiles + (content.total_profiles // 9 if asked.get("emptyProfiles") else 0)
    if asked.get("fromIngestTimestamp"):
        total //= 6
    if asked.get("segmentQualificationTime"):
        total //= 4
    return min(total, content.total_profiles * 2)


def _segment_reach(segment: JsonObject, content: Content) -> int:
    audience = content.audiences.get(segment["segmentId"])
    members = audience.profiles if audience else 5_000
    statuses = set(segment.get("status") or ["realized"])
    reach = members if statuses & {"realized", "existing"} else 0
    return reach + (members // 12 if "exited" in statuses else 0)
