"""A job's whole life, fixed when it is made and read off the clock, so that it goes on across restarts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from segadmin.emulator.messages import JsonObject
from segadmin.emulator.stable import stable_hex, stable_ulid

FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(slots=True)
class JobPlan:
    """When a job starts and ends, how, and what it will have to say.

    All times are milliseconds since the epoch. `ends_ms` None means that it never ends (a stuck job). `outcome` is
    SUCCEEDED, FAILED, or a status word of Adobe's that no document mentions. `quirks` name response shapes of other
    ages: dataSetId, batches_object, bare_item_status, no_namespaces, blank_batch, seconds, push_job.
    """

    job_id: int
    request: JsonObject
    created_ms: int
    starts_ms: int
    ends_ms: int | None
    outcome: str
    request_id: str
    ims_org_id: str
    sandbox: str
    profiles: int = 0
    namespaces: dict[str, int] = field(default_factory=dict)
    errors: list[JsonObject] = field(default_factory=list)
    quirks: list[str] = field(default_factory=list)
    profile_instance_id: str = "ups"
    cancel_asked_ms: int | None = None
    cancelled_ms: int | None = None
    removed: bool = False

    def to_text(self) -> str:
        """JSON for the store."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> JobPlan:
        """Back from the store."""
        return cls(**json.loads(text))

    @property
    def over_ms(self) -> int | None:
        """When it is over; a job that ends before the cancelling takes hold ends as planned."""
        return min((moment for moment in (self.ends_ms, self.cancelled_ms) if moment is not None), default=None)

    def status_at(self, now_ms: int) -> str:
        """The status word at a moment."""
        if self.over_ms is not None and now_ms >= self.over_ms:
            return self.outcome if self.over_ms == self.ends_ms else "CANCELLED"
        if self.cancelled_ms is not None:
            return "CANCELLING"
        return "NEW" if now_ms < self.starts_ms else "PROCESSING"

    def started_by(self, now_ms: int) -> bool:
        """Whether work had begun by then; it never does on a job that is cancelled while it waits."""
        return self.starts_ms <= now_ms and (self.over_ms is None or self.starts_ms < self.over_ms)

    def updated_ms(self, now_ms: int) -> int:
        """The moment of the last change up to `now_ms`."""
        latest = now_ms if self.over_ms is None else min(now_ms, self.over_ms)
        moments = (self.starts_ms, self.over_ms, self.cancel_asked_ms)
        return max((moment for moment in moments if moment is not None and moment <= latest), default=self.created_ms)

    @property
    def segments(self) -> list[JsonObject]:
        """The segments asked for; empty when everyone is exported."""
        asked = (self.request.get("filter") or {}).get("segments") or []
        return [segment for segment in asked if isinstance(segment, dict)]

    @property
    def per_segment(self) -> bool:
        """One batch per segment was asked for."""
        return bool(self.request["destination"].get("segmentPerBatch")) and bool(self.segments)

    def batch_ids(self) -> list[str]:
        """The batches that this job writes, in the order of its segments; one when it does not split."""
        count = len(self.segments) if self.per_segment else 1
        return [self._batch_id(index) for index in range(count)]

    def _batch_id(self, index: int) -> str:
        key = (self.ims_org_id, self.sandbox, self.job_id, index, "batch")
        # Batch ids come in several formats, side by side in one org.
        forms = (stable_ulid(*key), stable_hex(32, *key), stable_hex(24, *key))
        return forms[0] if self.job_id % 5 else forms[1 + self.job_id % 2]


def render(plan: JobPlan, now_ms: int) -> JsonObject:
    """The job as the API shows it at a moment."""
    status = plan.status_at(now_ms)
    request = plan.request
    job: JsonObject = {
        "id": plan.job_id,
        "jobType": "BATCH",
        "destination": _destination(plan, status),
        "schema": request["schema"],
        "imsOrgId": plan.ims_org_id,
        "status": status,
        "profileInstanceId": plan.profile_instance_id,
    }
    for name in ("fields", "filter", "additionalFields", "mergePolicy"):
        if name in request:
            job[name] = request[name]
    if plan.errors and status == plan.outcome:
        job["errors"] = plan.errors
    unit = 1000 if "seconds" in plan.quirks else 1
    job |= {
        "metrics": _metrics(plan, status, now_ms),
        "computeGatewayJobId": _compute_job(plan, now_ms),
        "creationTime": plan.created_ms // unit,
        "updateTime": plan.updated_ms(now_ms) // unit,
        "requestId": plan.request_id,
    }
    return job


def _destination(plan: JobPlan, status: str) -> JsonObject:
    asked = plan.request["destination"]
    shown: JsonObject = {"dataSetId" if "dataSetId" in plan.quirks else "datasetId": asked["datasetId"]}
    shown["segmentPerBatch"] = bool(asked.get("segmentPerBatch"))
    if "no_split_flag" in plan.quirks:
        del shown["segmentPerBatch"]
    if not plan.per_segment:
        blank = status == "FAILED" and "blank_batch" in plan.quirks
        shown["batchId"] = "" if blank else plan.batch_ids()[0]
        return shown
    items = [
        _batch_item(segment, batch_id, bare="bare_item_status" in plan.quirks)
        for segment, batch_id in zip(plan.segments, plan.batch_ids(), strict=True)
    ]
    shown["batches"] = items[0] if "batches_object" in plan.quirks else items
    return shown


def _batch_item(segment: JsonObject, batch_id: str, *, bare: bool) -> JsonObject:
    statuses: Any = segment.get("status") or ["realized"]
    return {
        "segmentId": segment.get("segmentId", ""),
        "segmentNs": segment.get("segmentNs", "ups"),
        "status": statuses[0] if bare else statuses,
        "batchId": batch_id,
    }


def _span(start: int, end: int | None) -> JsonObject:
    if end is None:
        return {"startTimeInMs": start}
    return {"startTimeInMs": start, "endTimeInMs": end, "totalTimeInMs": end - start}


def _metrics(plan: JobPlan, status: str, now_ms: int) -> JsonObject:
    """Times and counters as far as they are known. The parts do not add up to the total: most of it is waiting."""
    over = status in FINAL or status == plan.outcome
    end = plan.updated_ms(now_ms) if over else None
    metrics: JsonObject = {"totalTime": _span(plan.created_ms, end)}
    if not plan.started_by(now_ms):
        return metrics
    if end is None:
        metrics["profileExportTime"] = _span(plan.starts_ms, None)
        return metrics
    length = end - plan.starts_ms
    export_end = plan.starts_ms + length * 7 // 10
    metrics["profileExportTime"] = _span(plan.starts_ms, export_end)
    if status != "SUCCEEDED":
        return metrics
    if "no_write_time" not in plan.quirks:
        metrics["aCPDatasetWriteTime"] = _span(export_end + length // 20, end)
    if "no_counters" not in plan.quirks:
        metrics["totalExportedProfileCounter"] = plan.profiles
        metrics["exportedProfileByNamespaceCounter"] = plan.namespaces
    return metrics


def _compute_job(plan: JobPlan, now_ms: int) -> JsonObject:
    if not plan.started_by(now_ms):
        return {"exportJob": ""}
    shown = {"exportJob": stable_hex(40, plan.ims_org_id, plan.sandbox, plan.job_id, "export")}
    if "push_job" in plan.quirks:
        shown["pushJob"] = stable_hex(40, plan.ims_org_id, plan.sandbox, plan.job_id, "push")
    return shown
