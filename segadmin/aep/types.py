"""What Adobe's export jobs say, read tolerantly: unknown fields are kept, wrong types never hide a record.

An `ExportJob` holds the raw object beside what could be read from it. Only a record that is no object, or has no id
that could be asked for again, is a `BadRecord`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from segadmin.aep import coerce
from segadmin.aep.addresses import quote_id
from segadmin.aep.export_request import ExportRequest

__all__ = [
    "BadRecord",
    "BadRecordInfo",
    "ExportJob",
    "ExportRequest",
    "JobBatch",
    "JobError",
    "Page",
    "SegmentRef",
    "Span",
    "fingerprint",
    "fingerprint_of_job",
]

DEFAULT_NAMESPACE = "ups"
_SPANS = {
    "total": "totalTime",
    "profile_export": "profileExportTime",
    "dataset_write": "aCPDatasetWriteTime",
}
_MAX_CALL_STACK = 100_000


class BadRecord(ValueError):
    """A record that can't be used at all; `raw` is what came, `reason` a plain sentence."""

    def __init__(self, reason: str, raw: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.raw = raw


@dataclass(frozen=True)
class BadRecordInfo:
    """A bad record as it came, kept so that it can be counted and shown."""

    raw: Any
    reason: str


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SegmentRef(_Model):
    """An audience in a job's filter. `ns` is Adobe's default `ups` where the job does not say."""

    id: str
    ns: str = DEFAULT_NAMESPACE
    statuses: list[str] = Field(default_factory=list)


class JobBatch(_Model):
    """One batch of a job that writes a batch per audience."""

    segment_id: str | None = None
    segment_ns: str | None = None
    statuses: list[str] = Field(default_factory=list)
    batch_id: str | None = None


class JobError(_Model):
    """An error that a job reports; succeeded jobs may have some too. `code` keeps its leading zeros."""

    code: str | None = None
    message: str = ""
    call_stack: str = ""


class Span(_Model):
    """A measured part of a job."""

    start_at: datetime | None = None
    end_at: datetime | None = None
    milliseconds: int | None = None


class ExportJob(_Model):
    """An export job as Adobe tells it. `status` is Adobe's own word; `fields` None means all fields.

    `profiles` is None where Adobe gives no count. `times` may hold `total`, `profile_export` and `dataset_write`.
    """

    id: str
    status: str = ""
    job_type: str | None = None
    dataset_id: str | None = None
    segment_per_batch: bool | None = None
    batch_ids: list[str] = Field(default_factory=list)
    batches: list[JobBatch] = Field(default_factory=list)
    fields: str | None = None
    segments: list[SegmentRef] = Field(default_factory=list)
    merge_policy_id: str | None = None
    merge_policy_version: int | None = None
    schema_name: str | None = None
    ims_org_id: str | None = None
    profile_instance_id: str | None = None
    errors: list[JobError] = Field(default_factory=list)
    profiles: int | None = None
    profiles_by_namespace: dict[str, int] = Field(default_factory=dict)
    times: dict[str, Span] = Field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    request_id: str | None = None
    compute_ids: dict[str, str] = Field(default_factory=dict)
    filter: dict[str, Any] = Field(default_factory=dict)
    additional_fields: dict[str, Any] = Field(default_factory=dict)
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read a job. Raises BadRecord, and nothing else, for what is no object or has no usable id."""
        if not isinstance(raw, Mapping):
            raise BadRecord("The record is not an object.", raw)
        record = coerce.mapping(raw)
        job_id = coerce.text(record.get("id"))
        if job_id is None:
            raise BadRecord("The record has no id.", raw)
        try:
            quote_id(job_id)
        except ValueError as error:
            raise BadRecord(f"The record's id can't be used. {error}", raw) from None
        return cls(id=job_id, raw=record, **_request_parts(record), **_result_parts(record))


def _request_parts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for."""
    destination = coerce.mapping(record.get("destination"))
    policy = coerce.mapping(record.get("mergePolicy"))
    return {
        "job_type": coerce.text(record.get("jobType")),
        "dataset_id": _dataset_id(record),
        "segment_per_batch": coerce.flag(coerce.get(destination, "segmentPerBatch")),
        "fields": ",".join(coerce.comma_list(record.get("fields"))) or None,
        "segments": _segments(record),
        "merge_policy_id": coerce.text(policy.get("id")),
        "merge_policy_version": coerce.count(policy.get("version")),
        "schema_name": coerce.text(coerce.mapping(record.get("schema")).get("name")),
        "ims_org_id": coerce.text(record.get("imsOrgId")),
        "profile_instance_id": coerce.text(record.get("profileInstanceId")),
        "filter": coerce.mapping(record.get("filter")),
        "additional_fields": coerce.mapping(record.get("additionalFields")),
    }


def _result_parts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What came of it."""
    destination = coerce.mapping(record.get("destination"))
    metrics = coerce.mapping(record.get("metrics"))
    batches = _batches(destination.get("batches"))
    by_namespace = coerce.mapping(metrics.get("exportedProfileByNamespaceCounter"))
    batch_ids = [*coerce.texts(destination.get("batchId")), *(item.batch_id for item in batches if item.batch_id)]
    status = record.get("status")
    return {
        "status": status.strip() if isinstance(status, str) else "",
        "batch_ids": list(dict.fromkeys(batch_ids)),
        "batches": batches,
        "errors": _errors(record.get("errors")),
        "profiles": coerce.count(metrics.get("totalExportedProfileCounter")),
        "profiles_by_namespace": {
            name: number for name, value in by_namespace.items() if (number := coerce.count(value)) is not None
        },
        "times": {
            name: span
            for name, key in _SPANS.items()
            if isinstance(found := coerce.get(metrics, key), Mapping) and (span := _span(found)) is not None
        },
        "created_at": coerce.moment(coerce.get(record, "creationTime", "createdTime")),
        "updated_at": coerce.moment(coerce.get(record, "updateTime", "updatedTime")),
        "request_id": coerce.text(record.get("requestId")),
        "compute_ids": _compute_ids(record.get("computeGatewayJobId")),
    }


def _dataset_id(record: Mapping[str, Any]) -> str | None:
    return coerce.text(coerce.get(coerce.mapping(record.get("destination")), "datasetId"))


def _segments(record: Mapping[str, Any]) -> list[SegmentRef]:
    """The audiences of a job or request. `sgementNs` is how an old table of Adobe's spelled the namespace."""
    listed = coerce.mapping(record.get("filter")).get("segments")
    found = []
    for item in listed if isinstance(listed, list) else [listed]:
        segment = coerce.mapping(item) or {"segmentId": item}
        segment_id = coerce.text(coerce.get(segment, "segmentId"))
        if segment_id is not None:
            namespace = coerce.text(coerce.get(segment, "segmentNs", "sgementNs")) or DEFAULT_NAMESPACE
            found.append(SegmentRef(id=segment_id, ns=namespace, statuses=coerce.texts(segment.get("status"))))
    return found


def _batches(value: object) -> list[JobBatch]:
    """Batches given as a list, as one object, or as an object of objects."""
    if isinstance(value, Mapping):
        single = any(coerce.get(value, name) is not None for name in ("segmentId", "batchId", "status"))
        value = [value] if single else list(value.values())
    found = []
    for item in coerce.objects(value):
        batch = JobBatch(
            segment_id=coerce.text(coerce.get(item, "segmentId")),
            segment_ns=coerce.text(coerce.get(item, "segmentNs", "sgementNs")),
            statuses=coerce.texts(item.get("status")),
            batch_id=coerce.text(coerce.get(item, "batchId")),
        )
        if batch.segment_id or batch.batch_id:
            found.append(batch)
    return found


def _errors(value: object) -> list[JobError]:
    """Errors as a list, as one object, as an object keyed by code, or as bare texts."""
    if isinstance(value, Mapping):
        if any(name in value for name in ("code", "msg", "message")):
            value = [value]
        else:
            inner: list[object] = []
            for item in value.values():
                inner.extend(item if isinstance(item, list) else [item])
            value = inner
    found = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            stack = coerce.get(item, "callStack")
            stack = "\n".join(coerce.texts(stack)) if isinstance(stack, list) else (coerce.text(stack) or "")
            message = coerce.text(coerce.get(item, "msg", "message")) or ""
            error = JobError(code=coerce.text(item.get("code")), message=message, call_stack=stack[:_MAX_CALL_STACK])
            if error.code or error.message or error.call_stack:
                found.append(error)
        elif (words := coerce.text(item)) is not None:
            found.append(JobError(message=words))
    return found


def _span(value: Mapping[str, Any]) -> Span | None:
    start, end = coerce.moment(value.get("startTimeInMs")), coerce.moment(value.get("endTimeInMs"))
    milliseconds = coerce.count(value.get("totalTimeInMs"))
    if milliseconds is None and start is not None and end is not None and end >= start:
        milliseconds = round((end - start).total_seconds() * 1000)
    if start is None and end is None and milliseconds is None:
        return None
    return Span(start_at=start, end_at=end, milliseconds=milliseconds)


def _compute_ids(value: object) -> dict[str, str]:
    """Ids of Adobe's compute jobs by their role; a bare string, as sibling services send it, is the export's."""
    if isinstance(value, Mapping):
        return {str(name): found for name, item in value.items() if (found := coerce.text(item)) is not None}
    bare = coerce.text(value)
    return {} if bare is None else {"exportJob": bare}


@dataclass(frozen=True)
class Page:
    """One page of the list, newest first. `next_offset` is None on the last one; `date` is Adobe's clock.

    `bad` holds the records that could not be used; they hide none of the others. `has_unreadable_next`: Adobe names a
    further page in a way that can't be followed, so this is not the last one although there is no `next_offset`.
    """

    jobs: list[ExportJob]
    bad: list[BadRecordInfo]
    next_offset: str | None
    request_id: str
    date: datetime | None
    adobe_request_id: str | None = None
    has_unreadable_next: bool = False


def fingerprint(body: Mapping[str, Any]) -> str:
    """A hash that is equal for equal exports: dataset, audiences and fields, in any order. `body`: create request."""
    return _fingerprint(
        _dataset_id(body), (segment.id for segment in _segments(body)), coerce.comma_list(body.get("fields"))
    )


def fingerprint_of_job(job: ExportJob) -> str:
    """The same hash for a job, equal to that of the request which made it."""
    return _fingerprint(job.dataset_id, (segment.id for segment in job.segments), coerce.comma_list(job.fields))


def _fingerprint(dataset_id: str | None, segment_ids: Iterable[str], fields: Iterable[str]) -> str:
    content = {"dataset": dataset_id or "", "segments": sorted(set(segment_ids)), "fields": sorted(set(fields))}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
