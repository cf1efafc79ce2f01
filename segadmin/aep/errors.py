"""What can go wrong between us and Adobe, as one small family of exceptions.

The split that matters to callers: `OutcomeUnknown` is the only error after which a POST or DELETE may have happened.
Every other error raised by a POST or DELETE is a definite "it did not happen".

`parse_error` reads the error bodies that Adobe's services send: gateway, problem, profile service, `errors` keyed by
HTTP code, flow service, policy service (also as JSON inside another message) and IMS; and none at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self

MAX_ADOBE_MESSAGE = 2_000
MAX_RETRY_SECONDS = 3_600.0
DEFAULT_RATE_LIMIT_SECONDS = 30.0

_MAX_NESTING = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HTML = re.compile(r"<\s*(!doctype|html|head|body|script|title)\b", re.IGNORECASE)
_HTTP_CODE = re.compile(r"[1-5]\d\d")
# The dotted names of the create request, longest first, so that `destination.datasetId` wins over `datasetId`.
_REQUEST_FIELDS = (
    "additionalFields.eventList.filter.fromIngestTimestamp",
    "additionalFields.eventList.filter.toIngestTimestamp",
    "filter.segmentQualificationTime.startTime",
    "filter.segmentQualificationTime.endTime",
    "additionalFields.eventList.fields",
    "evaluationInfo.segmentation",
    "destination.segmentPerBatch",
    "filter.fromIngestTimestamp",
    "filter.segments.segmentId",
    "destination.datasetId",
    "filter.emptyProfiles",
    "mergePolicy.version",
    "filter.segments",
    "mergePolicy.id",
    "schema.name",
    "fields",
)
_FIELD_BY_LAST_PART = {
    "datasetid": "destination.datasetId",
    "segmentperbatch": "destination.segmentPerBatch",
    "segmentid": "filter.segments",
    "segments": "filter.segments",
    "mergepolicyid": "mergePolicy.id",
    "mergepolicy": "mergePolicy.id",
    "schemaname": "schema.name",
    "schema": "schema.name",
    "fields": "fields",
}
_SUBJECTS = (
    (r"\bdata ?set(id)?\b", "destination.datasetId"),
    (r"\b(segment|audience)(id| definition)?s?\b", "filter.segments"),
    (r"\bmerge ?policy(id)?\b", "mergePolicy.id"),
    (r"\bsegmentperbatch\b", "destination.segmentPerBatch"),
)


class AEPError(Exception):
    """Something went wrong with a call to Adobe.

    `message` is a plain sentence for people, safe to show as text and free of secrets. `adobe_message` holds Adobe's
    own words (at most 2,000 characters, control characters removed, never HTML). `sent_request_ids` are the
    `x-request-id` values of everything that was sent for the call, in order. `not_sent` says that nothing of a POST
    or DELETE can have reached Adobe's service.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        adobe_message: str = "",
        adobe_request_id: str | None = None,
        sent_request_ids: Iterable[str] = (),
        field_errors: Mapping[str, str] | None = None,
        retry_at: datetime | None = None,
        not_sent: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.adobe_message = adobe_message[:MAX_ADOBE_MESSAGE]
        self.adobe_request_id = adobe_request_id
        self.sent_request_ids: list[str] = list(sent_request_ids)
        self.field_errors: dict[str, str] = dict(field_errors or {})
        self.retry_at = retry_at
        self.not_sent = not_sent

    def copy(self) -> Self:
        """A fresh instance with the same content, for raising one stored error from several places."""
        return type(self)(
            self.message,
            status=self.status,
            code=self.code,
            adobe_message=self.adobe_message,
            adobe_request_id=self.adobe_request_id,
            sent_request_ids=self.sent_request_ids,
            field_errors=self.field_errors,
            retry_at=self.retry_at,
            not_sent=self.not_sent,
        )


class AuthFailed(AEPError):
    """Adobe does not accept the credentials: the token could not be had, or was refused twice."""


class Forbidden(AEPError):
    """403: who we are is known, but the credential, org or permission does not allow it."""


class NotFound(AEPError):
    """404: there is no such thing in this sandbox."""


class Rejected(AEPError):
    """Adobe understood the call and definitely refused it (400, 422 and other 4xx)."""


class Conflict(Rejected):
    """409: the thing is in a state that does not allow it."""


class RateLimited(AEPError):
    """429: refused for its frequency and not processed; `retry_at` says when to try again."""


class Unavailable(AEPError):
    """Adobe could not be reached or gave no usable answer. On a POST or DELETE: surely not sent (`not_sent`)."""


class OutcomeUnknown(AEPError):
    """A POST or DELETE left this machine and no clear answer came back: it may or may not have happened."""


@dataclass(frozen=True)
class ErrorDetails:
    """What an error answer says, whatever its shape."""

    status: int | None = None
    code: str | None = None
    message: str = ""
    request_id: str | None = None
    field_errors: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None


def clean_text(value: object, limit: int = MAX_ADOBE_MESSAGE) -> str:
    """One line of somebody else's text: no control characters, no HTML, no lone surrogates, at most `limit` long."""
    if not isinstance(value, str):
        return ""
    text = value[: limit * 4].encode("utf-8", "replace").decode("utf-8")
    if _HTML.search(text):
        return ""
    return _CONTROL.sub(" ", text).strip()[:limit]


def clean_id(value: object) -> str | None:
    """An id or code that came from outside, as a short printable string; None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30:
        return str(value)
    return clean_text(value, 200) or None


def parse_error(status: int, headers: Mapping[str, str], body: object) -> ErrorDetails:
    """What an error answer says. `body`: bytes, text, or JSON already decoded; never raises.

    `status` is the HTTP status (or 200 for an error object sent on success). `headers` may have any letter case.
    """
    lowered = {str(name).lower(): str(value) for name, value in headers.items()}
    content = _decoded(body)
    layers = list(_layers(content)) if isinstance(content, dict) else []
    message = _first(_messages(layers))
    if not layers and isinstance(content, str):
        message = clean_text(content)
    fields: dict[str, str] = {}
    for layer in layers:
        for name, text in _field_errors(layer):
            fields.setdefault(name, text)
    if not fields and status in (400, 422):
        fields = _fields_named_in(message)
    return ErrorDetails(
        status=_first(_http_status(layer) for layer in layers) or (status if status >= 400 else None),
        code=_first(_code(layer) for layer in layers),
        message=message or "",
        request_id=_request_id(lowered, layers),
        field_errors=fields,
        retry_after=retry_after_seconds(lowered, layers),
    )


def looks_like_error(content: object) -> bool:
    """Whether a JSON value sent with a 2xx status is really an error object.

    Things with an id or a known list key are never taken for one, since jobs carry `errors` even on success.
    """
    if not isinstance(content, dict):
        return False
    if any(name in content for name in ("id", "records", "children", "segments", "sandboxes", "results")):
        return False
    if isinstance(content.get("error_code"), str | int) or isinstance(content.get("errorMessage"), str):
        return True
    if isinstance(content.get("error"), str) and content["error"] and len(content) <= 4:
        return True
    if isinstance(content.get("error-chain"), list):
        return True
    errors = content.get("errors")
    if isinstance(errors, dict) and errors and all(_HTTP_CODE.fullmatch(str(name)) for name in errors):
        return True
    return (_http_status(content) or 0) >= 400


def retry_after_seconds(headers: Mapping[str, str], layers: Iterable[Mapping[str, Any]] = ()) -> float | None:
    """Seconds to wait as asked by `Retry-After` (seconds or HTTP date) or a body's `retryAfterMs`; None if not asked.

    Between 0 and 3,600; an HTTP date is read against the answer's own `Date`, so a wrong clock here does no harm.
    """
    value = headers.get("retry-after", headers.get("Retry-After", "")).strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return min(float(value[:12]), MAX_RETRY_SECONDS)
    when = http_date(value)
    if when is not None:
        now = http_date(headers.get("date", headers.get("Date", ""))) or datetime.now(UTC)
        return min(max((when - now).total_seconds(), 0.0), MAX_RETRY_SECONDS)
    for layer in layers:
        milliseconds = layer.get("retryAfterMs")
        if not isinstance(milliseconds, bool) and re.fullmatch(r"\d+(\.\d+)?", str(milliseconds)):
            return min(float(str(milliseconds)[:12]) / 1000, MAX_RETRY_SECONDS)
    return None


def http_date(value: str | None) -> datetime | None:
    """An HTTP date header as an aware UTC datetime; None for anything else."""
    if not value or len(value) > 60:
        return None
    try:
        parsed = parsedate_to_datetime(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def retry_at_from(seconds: float) -> datetime:
    """The moment that many seconds from now, at most an hour away."""
    return datetime.now(UTC) + timedelta(seconds=min(max(seconds, 0.0), MAX_RETRY_SECONDS))


def _decoded(body: object) -> object:
    if isinstance(body, bytes | bytearray):
        body = bytes(body[:1_000_000]).decode("utf-8-sig", "replace")
    if isinstance(body, str):
        text = body.strip()
        if text[:1] in ("{", "["):
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return ""
        return text
    return body


def _layers(content: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The error object and the ones within it: under `errors`, in `error`, in `report`, or as JSON in a message."""
    yield content
    if depth >= _MAX_NESTING:
        return
    inner: list[object] = [content.get("error"), content.get("report"), content.get("response")]
    errors = content.get("errors")
    if isinstance(errors, dict):
        inner.append(errors)  # in one of Adobe's samples type, title and status sit in here
        for value in errors.values():
            inner.extend(value if isinstance(value, list) else [value])
    elif isinstance(errors, list):
        inner.extend(errors)
    for name in ("message", "detail", "errorMessage", "error_description", "cause"):
        value = content.get(name)
        if isinstance(value, str) and value.lstrip()[:1] == "{":
            inner.append(_decoded(value))
    for item in inner[:50]:
        if isinstance(item, dict):
            yield from _layers(item, depth + 1)


# The more telling first: a title such as "Bad Request" is told only where nobody said more.
_WORDS = (("detail", "message", "errorMessage", "error_description", "msg"), ("title", "additionalContext"), ("error",))


def _messages(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for names in _WORDS:
        for layer in layers:
            for name in names:
                value = layer.get(name)
                if isinstance(value, str) and value.strip()[:1] != "{":
                    yield clean_text(value)


def _code(layer: Mapping[str, Any]) -> str | None:
    for name in ("error_code", "errorCode", "code"):
        value = clean_id(layer.get(name))
        if value:
            return value
    if isinstance(layer.get("error"), str):
        return clean_id(layer["error"])
    chain = layer.get("error-chain")
    if isinstance(chain, list):
        for item in chain:
            if isinstance(item, dict) and clean_id(item.get("errorCode")):
                return clean_id(item["errorCode"])
    kind = layer.get("type")
    if isinstance(kind, str) and "/errors/" in kind:
        return clean_id(kind.rsplit("/", 1)[-1])
    return None


def _http_status(layer: Mapping[str, Any]) -> int | None:
    for name in ("status", "statusCode"):
        value = layer.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool) and re.fullmatch(r"[45]\d\d", str(value)[:9]):
            return int(value)
    errors = layer.get("errors")
    if isinstance(errors, dict):
        for name in errors:
            if re.fullmatch(r"[45]\d\d", str(name)):
                return int(name)
    code = layer.get("error_code")
    if isinstance(code, str | int) and re.fullmatch(r"[45]\d{5}", str(code)[:9]):
        return int(str(code)[:3])  # gateway codes begin with the HTTP status: 401013, 403025, 429050
    return None


def _request_id(headers: Mapping[str, str], layers: Iterable[Mapping[str, Any]]) -> str | None:
    for name in ("x-request-id", "x-adobe-request-id", "x-correlation-id"):
        value = clean_id(headers.get(name))
        if value:
            return value
    for layer in layers:
        for name in ("requestId", "request_id", "x-request-id"):
            value = clean_id(layer.get(name))
            if value:
                return value
    return None


def _field_errors(layer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    named = [layer]
    for name in ("invalid-params", "violations", "validationErrors", "fieldErrors", "field_errors"):
        value = layer.get(name)
        if isinstance(value, dict):
            for path, text in value.items():
                yield from _field_error(path, text)
        elif isinstance(value, list):
            named.extend(item for item in value if isinstance(item, dict))
    for item in named[:100]:
        path = _first(item.get(name) for name in ("field", "path", "property", "param"))
        if path is None and item is not layer:
            path = item.get("name")
        text = _first(item.get(name) for name in ("message", "reason", "detail", "msg", "title"))
        yield from _field_error(path, text)


def _field_error(path: object, text: object) -> Iterator[tuple[str, str]]:
    text = text[0] if isinstance(text, list) and text else text
    name = clean_text(path, 200).lstrip("$./#").replace("/", ".")
    if name and clean_text(text):
        last = name.rsplit(".", 1)[-1].lower()
        known = next((full for full in _REQUEST_FIELDS if full.lower() == name.lower()), None)
        yield known or _FIELD_BY_LAST_PART.get(last, name), clean_text(text)


def _fields_named_in(message: str | None) -> dict[str, str]:
    """The request's field that a sentence of Adobe's is about: named outright, or the only thing that it mentions."""
    if not message:
        return {}
    lowered = message.lower()
    for name in _REQUEST_FIELDS:
        if "." in name and name.lower() in lowered:
            return {name: message}
    named = {field for pattern, field in _SUBJECTS if re.search(pattern, lowered)}
    return {named.pop(): message} if len(named) == 1 else {}


def _first[T](values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value), None)
