"""What a row of the register says, computed from request, job, attempt and amendments. Reads nothing, writes nothing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from segadmin.aep.types import ExportJob
from segadmin.models import (
    Amendment,
    Attempt,
    DataLeft,
    ExportOutcome,
    ExportRequest,
    Job,
    Name,
    Origin,
    ProfileSource,
    RegisterEntry,
    RequestState,
)
from segadmin.queries import personal_data, terms

# What of a row may be corrected later.
AMENDABLE = ("recipient", "ticket", "purpose", "legal_basis")
# The request is back on its author's desk, or given up: what was sent stands in the record, not in the request.
PRIVATE = frozenset({RequestState.DRAFT, RequestState.WITHDRAWN, RequestState.EXPIRED})
OUTCOMES = {
    RequestState.SENDING: ExportOutcome.ASKED,
    RequestState.REFUSED: ExportOutcome.REFUSED,
    RequestState.NOT_SENT: ExportOutcome.NOT_SENT,
    RequestState.RELEASED: ExportOutcome.RELEASED,
}
REFUSALS = (ExportOutcome.REFUSED, ExportOutcome.NOT_SENT)
LONGEST_SEARCH = 20_000


@dataclass(frozen=True)
class Asked:
    """What a person asked for, as it was sent."""

    person: str
    body: Mapping[str, Any]
    names: Mapping[str, Any]
    values: Mapping[str, str]
    asked_at: datetime | None


@dataclass(frozen=True)
class Source:
    """Everything that one row is made of. `attempt` and `told` (what its event says) only where there is no job."""

    export_request: ExportRequest | None
    job: Job | None
    attempt: Attempt | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    before: RegisterEntry | None = None
    amendments: Sequence[Amendment] = ()

    @property
    def sandbox_id(self) -> int:
        found = self.job or self.export_request
        assert found is not None
        return found.sandbox_id

    @property
    def sort_at(self) -> datetime:
        """Asked, else made at Adobe, else first seen."""
        if self.export_request is not None:
            return self.export_request.sent_at or self.export_request.created_at
        assert self.job is not None
        return self.job.sort_at

    @property
    def known_at(self) -> datetime:
        """The moment whose map of personal data holds."""
        if self.export_request is not None or self.job is None:
            return self.sort_at
        return self.job.first_seen_at

    @property
    def asked(self) -> Asked | None:
        row = self.export_request
        if row is None:
            return None
        if row.state in PRIVATE and self.job is None:
            told = self.told
            values = {name: str(told.get(name) or "") for name in AMENDABLE}
            return Asked(row.author_name, _map(told.get("body")), _map(told.get("names")), values, row.sent_at)
        values = {name: getattr(row, name) for name in AMENDABLE}
        return Asked(row.author_name, row.body, row.names, values, row.sent_at)

    @property
    def is_gone(self) -> bool:
        """What was sent can't be told any more: the request was changed since, and the record's content has expired."""
        row = self.export_request
        return row is not None and row.state in PRIVATE and self.job is None and not self.told.get("body")


@dataclass(frozen=True)
class What:
    """Of whom, which fields, where to."""

    audience_ids: list[str]
    fields: list[str]
    event_fields: list[str]
    with_events: bool
    dataset_id: str


@dataclass(frozen=True)
class Known:
    """Names behind ids as the mirror has them now: (sandbox, kind, id) -> (name, last evaluation or "")."""

    names: Mapping[tuple[int, str, str], tuple[str, str]]

    def of(self, sandbox: int, kind: Name.Kind, external_id: str) -> tuple[str, str]:
        return self.names.get((sandbox, kind.value, external_id), ("", ""))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def paths(listed: object) -> list[str]:
    """The paths of Adobe's comma-separated list."""
    words = listed.split(",") if isinstance(listed, str) else []
    return list(dict.fromkeys(word.strip() for word in words if word.strip()))


def what_of_body(body: Mapping[str, Any]) -> What:
    """Read a request's body with the same eyes as a job."""
    seen = ExportJob.parse({**body, "id": "request"})
    return _what(seen.raw, [item.id for item in seen.segments], seen.fields, seen.dataset_id or "")


def _what(raw: Mapping[str, Any], audiences: Iterable[str], fields: str | None, dataset_id: str) -> What:
    more = _map(raw.get("additionalFields"))
    events = _map(more.get("eventList"))
    ids = list(dict.fromkeys(map(str, audiences)))
    return What(ids, paths(fields), paths(events.get("fields")), bool(more), dataset_id[:200])


def what_of(source: Source) -> What:
    """The job says what left; where Adobe's answer held no more than an id, what was asked for stands in."""
    job, asked = source.job, source.asked
    if job is not None:
        told = any(name in job.raw for name in ("fields", "filter", "destination"))
        if told or asked is None:
            return _what(job.raw, job.audience_ids, job.fields, job.dataset_id)
    return what_of_body(asked.body if asked is not None else {})


def outcome_of(source: Source) -> ExportOutcome:
    job, row = source.job, source.export_request
    if job is not None:
        gone = job.missing_since_at is not None and not job.is_final
        return ExportOutcome.MISSING if gone else ExportOutcome(job.state)
    assert row is not None
    if row.state in PRIVATE:
        return _outcome_of_attempt(source.attempt)
    return OUTCOMES.get(RequestState(row.state), ExportOutcome.UNKNOWN)


def _outcome_of_attempt(attempt: Attempt | None) -> ExportOutcome:
    """A request that may be changed again was refused, or never reached Adobe; its attempt keeps which."""
    note = attempt.note if attempt is not None else {}
    if note.get("became") in (RequestState.REFUSED, RequestState.NOT_SENT):
        return ExportOutcome(note["became"])
    return ExportOutcome.REFUSED if note.get("sent_request_ids") else ExportOutcome.NOT_SENT


def data_left(outcome: ExportOutcome, job: Job | None) -> DataLeft:
    """Whether data left the profile store. "No" only where Adobe's own words carry it."""
    match outcome:
        case ExportOutcome.SUCCEEDED:
            return DataLeft.NO if job is not None and job.counted == 0 else DataLeft.YES
        case ExportOutcome.FAILED | ExportOutcome.CANCELLED:
            began = job is not None and (job.batch_ids or _has_export_metrics(job))
            return DataLeft.POSSIBLY if began else DataLeft.NO
        case ExportOutcome.REFUSED | ExportOutcome.NOT_SENT | ExportOutcome.RELEASED:
            return DataLeft.NO
        case ExportOutcome.ASKED | ExportOutcome.WAITING | ExportOutcome.RUNNING | ExportOutcome.CANCELLING:
            return DataLeft.NOT_YET
        case _:  # an answer lost, a job gone, a state that segadmin doesn't know
            return DataLeft.POSSIBLY


def _has_export_metrics(job: Job) -> bool:
    metrics = _map(job.raw.get("metrics"))
    began = any(_map(metrics.get(name)) for name in ("profileExportTime", "aCPDatasetWriteTime"))
    return began or bool(job.profiles)


def profiles_of(source: Source, left: DataLeft) -> tuple[int | None, ProfileSource]:
    """Adobe's count, else the records of its batches, else the sizes that the audiences had (at most so many).

    Else not reported; never 0 for unknown.
    """
    if source.job is not None and source.job.profiles is not None:
        return source.job.profiles, ProfileSource.ADOBE
    if source.job is not None and source.job.batch_records is not None:
        return source.job.batch_records, ProfileSource.BATCH
    asked = source.asked
    listed = [_map(item) for item in asked.names.get("audiences", [])] if asked is not None else []
    sizes = [item.get("profiles") for item in listed]
    known = [size for size in sizes if isinstance(size, int) and not isinstance(size, bool)]
    if left == DataLeft.NO or not known or len(known) < len(sizes):
        return None, ProfileSource.NONE
    return sum(known), ProfileSource.ESTIMATE


def audiences_of(source: Source, ids: Iterable[str], known: Known) -> list[dict[str, str]]:
    """Names as they were when it was asked for, else as segadmin first knew them, else as it knows them now."""
    asked = source.asked
    then = {str(item.get("id")): _map(item) for item in (asked.names.get("audiences", []) if asked else [])}
    kept = {str(item.get("id")): _map(item) for item in (source.before.audiences if source.before else [])}
    found = []
    for external_id in ids:
        earlier = then.get(external_id) or {}
        if not earlier.get("name") and _map(kept.get(external_id)).get("name"):
            earlier = kept[external_id]
        name, evaluated_at = str(earlier.get("name") or ""), str(earlier.get("evaluated_at") or "")
        if not name:
            name, evaluated_at = known.of(source.sandbox_id, Name.Kind.AUDIENCE, external_id)
            evaluated_at = _if_before(evaluated_at, source)
        found.append({"id": external_id, "name": name, "evaluated_at": evaluated_at})
    return found


def _if_before(evaluated_at: str, source: Source) -> str:
    """An evaluation later than the export says nothing about it."""
    try:
        return evaluated_at if datetime.fromisoformat(evaluated_at) <= source.sort_at else ""
    except (ValueError, TypeError):
        return ""


def dataset_name_of(source: Source, dataset_id: str, known: Known) -> str:
    asked, before = source.asked, source.before
    then = str(_map(asked.names.get("dataset")).get("name") or "") if asked is not None else ""
    kept = before.dataset_name if before is not None and before.dataset_id == dataset_id else ""
    return (then or kept or known.of(source.sandbox_id, Name.Kind.DATASET, dataset_id)[0])[:300]


def ended_at_of(source: Source, outcome: ExportOutcome) -> datetime | None:
    """When Adobe says that it ended; for what became no job, when the refusal came."""
    if source.job is not None:
        return source.job.ended_at
    return source.attempt.closed_at if source.attempt is not None and outcome in REFUSALS else None


def sent_at_of(source: Source, outcome: ExportOutcome) -> datetime | None:
    """When it went to Adobe; for a job from outside, when Adobe says that it was made."""
    if source.export_request is not None:
        return None if outcome == ExportOutcome.NOT_SENT else source.export_request.sent_at
    return source.job.created_at if source.job is not None else None


def values_of(source: Source, organization: int, maps: personal_data.InForce, known: Known) -> dict[str, Any]:
    """Every column of the row but its key and version."""
    asked, what, outcome = source.asked, what_of(source), outcome_of(source)
    left = data_left(outcome, source.job)
    profiles, profile_source = profiles_of(source, left)
    values: dict[str, Any] = {
        "sandbox_id": source.sandbox_id,
        "organization_id": organization,
        "export_request_id": source.export_request.pk if source.export_request else None,
        "job_id": source.job.pk if source.job else None,
        "outcome": outcome.value,
        "origin": Origin.HERE.value if source.export_request else source.job.origin if source.job else "",
        "asked_at": asked.asked_at if asked else None,
        "approved_at": None,
        "sent_at": sent_at_of(source, outcome),
        "ended_at": ended_at_of(source, outcome),
        "sort_at": source.sort_at,
        "person": asked.person if asked else source.job.person if source.job else "",
        "approver": "",
        "dataset_id": what.dataset_id,
        "dataset_name": dataset_name_of(source, what.dataset_id, known),
        "batch_ids": list(source.job.batch_ids) if source.job else [],
        "profiles": profiles,
        "profile_source": profile_source,
        "data_left": left,
        **_contents(source, what, maps.at(organization, source.known_at), known),
        **{name: asked.values.get(name, "") if asked else "" for name in AMENDABLE},
    }
    for row in source.amendments:
        values[row.field] = row.new
    return {**values, "amended": len(source.amendments), "search": search_words(source, values)}


def _contents(source: Source, what: What, used: personal_data.Map, known: Known) -> dict[str, Any]:
    """Of whom, which fields, and the kinds of personal data in them."""
    audiences = audiences_of(source, what.audience_ids, known)
    labels = [word for item in audiences for word in (item["name"], item["id"]) if word]
    every_event_field = what.with_events and not what.event_fields
    paths_named = [*what.fields, *what.event_fields]
    found = used.classify(fields=paths_named, all_fields=not what.fields or every_event_field, audiences=labels)
    return {
        "audience_ids": what.audience_ids,
        "audiences": audiences,
        "fields": what.fields,
        "all_fields": not what.fields,
        "with_events": what.with_events,
        "pii_certain": list(found.certain),
        "pii_possible": list(found.possible),
        "pii_map_version": found.version,
        "pii_words": found.words,
        "pii_mask": terms.mask_of(found.words),
        # Events without a list of their fields hold them all, so that no field of theirs can be excluded.
        "field_words": _between_bars([*paths_named, *([terms.ALL_FIELDS] if every_event_field else [])]),
        "audience_words": _between_bars(labels),
    }


def _between_bars(words: Sequence[str]) -> str:
    return f"|{'|'.join(word.lower() for word in words)}|" if words else ""


def search_words(source: Source, values: Mapping[str, Any]) -> str:
    """Folded words by which free text finds the row: ids, names, person, purpose; amended values, old and new."""
    job, row = source.job, source.export_request
    words: list[object] = [values["person"], values["dataset_name"], values["dataset_id"]]
    words += [values[name] for name in AMENDABLE]
    words += [item[key] for item in values["audiences"] for key in ("name", "id")]
    words += [text for item in source.amendments for text in (item.old, item.new)]
    words += [job.job_id, job.adobe_request_id, *job.batch_ids] if job is not None else []
    words += [row.uuid] if row is not None else []
    return "\n".join(dict.fromkeys(terms.fold(str(word)) for word in words if word))[:LONGEST_SEARCH]


def details_of(text: str) -> Mapping[str, Any]:
    """The details in an event's canonical text."""
    try:
        return _map(_map(json.loads(text)).get("details"))
    except ValueError:
        return {}
