"""Export jobs: `ExportJobsReader` lists and retrieves, `ExportJobsWriter` can also create and cancel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from segadmin.aep import coerce
from segadmin.aep.addresses import quote_id
from segadmin.aep.errors import OutcomeUnknown, Unavailable, clean_text
from segadmin.aep.transport import Reply, Transport
from segadmin.aep.types import BadRecord, BadRecordInfo, ExportJob, Page

JOBS_PATH = "/data/core/ups/export/jobs"
MAX_PAGES = 10_000
_MAX_OFFSET_LENGTH = 500
# Ours is the first; the others stand in older pages of Adobe's documentation.
_CURSORS = ("offset", "start", "page", "cursor")


class ExportJobsReader:
    """Reading export jobs of the sandbox that the transport is for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, limit: int = 100, offset: str | None = None, status: str | None = None) -> Page:
        """One page, newest first. `offset` is a cursor from `next_offset`; Adobe filters by NEW, SUCCEEDED, FAILED."""
        params = {"limit": limit, "offset": offset, "status": status}
        reply = self._transport.get(JOBS_PATH, params={name: value for name, value in params.items() if value})
        if not isinstance(reply.json, dict) or "records" not in reply.json:
            raise _unusable(reply, "Adobe's answer holds no list of jobs.")
        records = [] if reply.json["records"] is None else reply.json["records"]
        if not isinstance(records, list):
            raise _unusable(reply, "Adobe's answer holds no list of jobs.")
        jobs: list[ExportJob] = []
        bad: list[BadRecordInfo] = []
        for raw in records:
            try:
                jobs.append(ExportJob.parse(raw))
            except BadRecord as error:
                bad.append(BadRecordInfo(raw=raw, reason=error.reason))
        return Page(
            jobs=jobs,
            bad=bad,
            next_offset=next_offset(reply.json) if records else None,
            has_unreadable_next=bool(records) and _has_unreadable_next(reply.json),
            request_id=reply.request_id,
            date=reply.date,
            adobe_request_id=reply.adobe_request_id,
        )

    def pages(self, limit: int = 100, status: str | None = None) -> Iterator[Page]:
        """Every page, with the same limit and status; ends where the cursor does, or begins to repeat itself.

        The whole list was read only where the last page has neither a `next_offset` nor an unreadable one.
        """
        offset: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = self.list(limit=limit, offset=offset, status=status)
            yield page
            offset = page.next_offset
            if offset is None or offset in seen:
                return
            seen.add(offset)

    def retrieve(self, job_id: str) -> ExportJob:
        """One job by its id. NotFound when this sandbox has none; ValueError for an id that no path can carry."""
        reply = self._transport.get(f"{JOBS_PATH}/{quote_id(job_id)}")
        try:
            job = ExportJob.parse(reply.json)
        except BadRecord as error:
            raise _unusable(reply, f"Adobe's answer is not a job. {error.reason}") from None
        if job.id != job_id:
            raise _unusable(reply, "Adobe's answer is about another job than the one asked for.")
        return job


@dataclass(frozen=True)
class CreateReply:
    """A job was created. `job` is None where Adobe only named its id (in `X-Location`), `raw` is the body as read."""

    job_id: str
    job: ExportJob | None
    status: int
    request_id: str
    adobe_request_id: str | None
    sent_request_ids: list[str] = field(default_factory=list)
    date: datetime | None = None
    raw: Any = None


@dataclass(frozen=True)
class CancelReply:
    """Adobe's answer to a cancel request, which is an acknowledgement and not yet the end.

    `acknowledged` is True or False where the answer says so, None where it doesn't. `job` is there if a job came back.
    """

    acknowledged: bool | None
    message: str
    status: int
    sent_request_ids: list[str]
    adobe_request_id: str | None
    request_id: str = ""
    job: ExportJob | None = None


class ExportJobsWriter(ExportJobsReader):
    """Reading, and the two calls that change something. Errors as in `Transport.post`."""

    def create(self, body: Mapping[str, Any]) -> CreateReply:
        """Create a job from this body, sent exactly as it is. Never repeated.

        OutcomeUnknown also where Adobe says success but names no job, since there may be one.
        """
        reply = self._transport.post(JOBS_PATH, json=dict(body), unreadable_ok=True)
        location_id = _location_id(reply.headers)
        raw = reply.json
        if isinstance(raw, dict) and coerce.text(raw.get("id")) is None and location_id is not None:
            raw = {**raw, "id": location_id}
        job: ExportJob | None
        try:
            job = ExportJob.parse(raw)
        except BadRecord as error:
            job = None
            if location_id is None:
                raise _unclear(reply, reply.unreadable or f"Adobe's answer is not a job. {error.reason}") from None
        return CreateReply(
            job_id=job.id if job is not None else str(location_id),
            job=job,
            status=reply.status,
            request_id=reply.request_id,
            adobe_request_id=reply.adobe_request_id,
            sent_request_ids=reply.sent_request_ids,
            date=reply.date,
            raw=reply.json,
        )

    def cancel(self, job_id: str) -> CancelReply:
        """Ask Adobe to cancel a job. NotFound, Conflict or Rejected when it refuses."""
        reply = self._transport.delete(f"{JOBS_PATH}/{quote_id(job_id)}")
        content = coerce.mapping(reply.json)
        acknowledged, job = _acknowledgement(content)
        return CancelReply(
            acknowledged=True if reply.json is None else acknowledged,
            message=clean_text(content.get("message")),
            status=reply.status,
            sent_request_ids=reply.sent_request_ids,
            adobe_request_id=reply.adobe_request_id,
            request_id=reply.request_id,
            job=job,
        )


def next_offset(envelope: Mapping[str, Any]) -> str | None:
    """The cursor in a list's `link.next`; None when there is none to be read.

    Only the cursor is taken: the address itself comes from outside, and would carry our token wherever it points.
    """
    try:
        offset = _cursors(envelope).get("offset", "")
    except ValueError:
        return None
    if not offset or len(offset) > _MAX_OFFSET_LENGTH or not offset.isprintable():
        return None
    return offset


def _cursors(envelope: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of a list's `link.next` that say where the next page begins. ValueError for no address at all."""
    following = coerce.mapping(envelope.get("link")).get("next")
    if isinstance(following, dict):
        following = following.get("href")
    if not isinstance(following, str) or "?" not in following:
        return {}
    told = parse_qs(urlsplit(following).query, strict_parsing=False, max_num_fields=50)
    return {name: value for name in _CURSORS if (value := told.get(name, [""])[0].strip())}


def _has_unreadable_next(envelope: Mapping[str, Any]) -> bool:
    """Whether there is a further page that `next_offset` can't follow: a cursor of another name, or none to be used."""
    try:
        return bool(_cursors(envelope)) and next_offset(envelope) is None
    except ValueError:
        return True


def _acknowledgement(content: Mapping[str, Any]) -> tuple[bool | None, ExportJob | None]:
    """What a cancel reply says: its `status` is a boolean, unless it is a job's."""
    said = coerce.flag(content.get("status"))
    if said is not None:
        return said, None
    try:
        job = ExportJob.parse(content)
    except BadRecord:
        return None, None
    return (True if job.status.upper().startswith("CANCEL") else None), job


def _location_id(headers: Mapping[str, str]) -> str | None:
    """The job's id at the end of `X-Location` or `Location`; None when there is no usable one."""
    for name in ("x-location", "location"):
        try:
            path = urlsplit(headers.get(name, "").strip()).path.rstrip("/")
        except ValueError:
            continue
        last = unquote(path.rsplit("/", 1)[-1])
        if name == "location" and "/export/jobs/" not in path:
            continue
        try:
            quote_id(last)
        except ValueError:
            continue
        if last != "jobs":
            return last
    return None


def _unusable(reply: Reply, message: str) -> Unavailable:
    return Unavailable(
        message,
        status=reply.status,
        code="unusable",
        adobe_request_id=reply.adobe_request_id,
        sent_request_ids=reply.sent_request_ids,
    )


def _unclear(reply: Reply, message: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{message} It is not known whether a job was created.",
        status=reply.status,
        code="unusable",
        adobe_request_id=reply.adobe_request_id,
        sent_request_ids=reply.sent_request_ids,
    )
