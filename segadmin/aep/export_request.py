"""The body of a create request as a model: validated, and sent without anything that nobody chose.

Field names are ours; their aliases are Adobe's. Unknown fields are dropped. For Adobe "blank" means "all", so empty
texts and objects are never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from segadmin.aep import coerce

PROFILE_SCHEMA = "_xdm.context.profile"
STATUSES = ("realized", "existing", "exited")

type Status = Literal["realized", "existing", "exited"]


def _problem(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("segadmin", "{sentence}", {"sentence": sentence})


def _none_if_blank(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        return None
    return value.strip() if isinstance(value, str) else value


def _names(value: object) -> object:
    """A comma-separated list, given as text or as a list, as one text without spaces and repetitions."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise _problem("Give names separated by commas.")
    names = [part.strip() for part in parts]
    if not names:
        return None
    if not all(names):
        raise _problem("There is an empty name between two commas.")
    if any(character.isspace() for name in names for character in name):
        raise _problem("Names are separated by commas and contain no spaces.")
    return ",".join(dict.fromkeys(names))


def _moment(value: object) -> object:
    """An RFC 3339 time with its zone. Numbers are refused: nobody can tell seconds from milliseconds."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise _problem("Give a time such as 2026-01-31T00:00:00Z.") from None
    if not isinstance(value, datetime):
        raise _problem("Give a time such as 2026-01-31T00:00:00Z.")
    if value.utcoffset() is None:
        raise _problem("Give the time with its zone, as in 2026-01-31T00:00:00Z or 2026-01-31T00:00:00+01:00.")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise _problem("This time is out of range.") from None


def _statuses(value: object) -> object:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        if not value:
            raise _problem("Choose at least one membership status.")
        if not all(isinstance(item, str) and item in STATUSES for item in value):
            raise _problem("A membership status is one of realized, existing and exited.")
        return [status for status in STATUSES if status in value]
    return value


def _required_text(value: str) -> str:
    if not value.strip():
        raise _problem("This is needed.")
    return value.strip()


Names = Annotated[str | None, BeforeValidator(_names)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
OptionalText = Annotated[str | None, BeforeValidator(_none_if_blank)]
RequiredText = Annotated[str, AfterValidator(_required_text)]
Statuses = Annotated[list[Status] | None, BeforeValidator(_statuses)]


class _Part(BaseModel):
    model_config = ConfigDict(populate_by_name=True, extra="ignore", hide_input_in_errors=True)


class SegmentChoice(_Part):
    """One audience. Without `ns` Adobe takes `ups`; without `statuses` it takes realized and existing."""

    segment_id: RequiredText = Field(alias="segmentId")
    segment_ns: OptionalText = Field(default=None, alias="segmentNs")
    statuses: Statuses = Field(default=None, alias="status")


class TimeWindow(_Part):
    """When members qualified for the audience; either end may be open."""

    start_at: Moment = Field(default=None, alias="startTime")
    end_at: Moment = Field(default=None, alias="endTime")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start_at and self.end_at and self.start_at >= self.end_at:
            raise _problem("The end must be after the start.")
        return self


class Filter(_Part):
    """Which profiles. No segments means every profile."""

    segments: list[SegmentChoice] = Field(default_factory=list)
    qualification: TimeWindow | None = Field(default=None, alias="segmentQualificationTime")
    from_ingest_at: Moment = Field(default=None, alias="fromIngestTimestamp")
    empty_profiles: bool | None = Field(default=None, alias="emptyProfiles")

    @model_validator(mode="after")
    def _no_repetition(self) -> Self:
        keys = [(segment.segment_id, segment.segment_ns or "ups") for segment in self.segments]
        if len(set(keys)) != len(keys):
            raise _problem("The same audience is named twice.")
        return self


class EventFilter(_Part):
    """Which events, by the time they were ingested (not the time they happened)."""

    from_ingest_at: Moment = Field(default=None, alias="fromIngestTimestamp")
    to_ingest_at: Moment = Field(default=None, alias="toIngestTimestamp")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ingest_at and self.to_ingest_at and self.from_ingest_at >= self.to_ingest_at:
            raise _problem("The end must be after the start.")
        return self


class EventList(_Part):
    """Events to export with the profiles; without `columns` every event column."""

    columns: Names = Field(default=None, alias="fields")
    filter: EventFilter | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.columns and not (self.filter and (self.filter.from_ingest_at or self.filter.to_ingest_at)):
            raise _problem("Say from which ingest time on events are wanted, or which event fields.")
        return self


class AdditionalFields(_Part):
    """What is exported besides profile fields."""

    event_list: EventList | None = Field(default=None, alias="eventList")


class Destination(_Part):
    """The dataset, which must be built on the union schema; optionally a batch per audience."""

    dataset_id: RequiredText = Field(alias="datasetId")
    segment_per_batch: bool | None = Field(default=None, alias="segmentPerBatch")


class MergePolicy(_Part):
    """The merge policy; without a version the latest."""

    id: RequiredText
    version: Annotated[int, Field(ge=0, strict=True)] | None = None


class TargetSchema(_Part):
    """The schema's name, `_xdm.context.profile` for profiles."""

    name: RequiredText


class EvaluationInfo(_Part):
    """Whether segmentation runs as part of the export."""

    segmentation: bool | None = None


class ExportRequest(_Part):
    """A whole create request. `profile_fields` None exports every field, `filter` without segments every profile."""

    destination: Destination
    target_schema: TargetSchema = Field(alias="schema")
    profile_fields: Names = Field(default=None, alias="fields")
    merge_policy: MergePolicy | None = Field(default=None, alias="mergePolicy")
    filter: Filter | None = None
    additional_fields: AdditionalFields | None = Field(default=None, alias="additionalFields")
    evaluation: EvaluationInfo | None = Field(default=None, alias="evaluationInfo")

    def body(self) -> dict[str, Any]:
        """The JSON object to send: Adobe's names, times in UTC; no empty texts, empty objects or false switches."""
        written = _written(self)
        return written if isinstance(written, dict) else {}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> ExportRequest:
        """Another request like this body, or like a job's raw object: what can't be read is left out.

        Meant for filling a form. The result may lack what a request needs; `problems(request.body())` says what.
        """
        record = coerce.mapping(body)
        destination = coerce.mapping(record.get("destination"))
        return cls.model_construct(
            destination=Destination.model_construct(
                dataset_id=coerce.text(coerce.get(destination, "datasetId")) or "",
                segment_per_batch=coerce.flag(coerce.get(destination, "segmentPerBatch")),
            ),
            target_schema=TargetSchema.model_construct(
                name=coerce.text(coerce.mapping(record.get("schema")).get("name")) or PROFILE_SCHEMA
            ),
            profile_fields=",".join(coerce.comma_list(record.get("fields"))) or None,
            merge_policy=_policy_like(record.get("mergePolicy")),
            filter=_filter_like(record.get("filter")),
            additional_fields=_events_like(record.get("additionalFields")),
            evaluation=_tolerant(EvaluationInfo, record.get("evaluationInfo")),
        )

    @classmethod
    def problems(cls, body: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with a body: a sentence per field, keyed by Adobe's dotted names; empty when it is fine.

        Members of lists are named by position, as in `filter.segments.0.segmentId`.
        """
        try:
            cls.model_validate(body)
        except ValidationError as error:
            found: dict[str, str] = {}
            for item in error.errors(include_url=False, include_input=False, include_context=True):
                name = ".".join(str(part) for part in item["loc"])
                sentence = "This is needed." if item["type"] == "missing" else str(item["msg"])
                found.setdefault(name, sentence)
            return found
        return {}


def _written(value: object) -> object:
    """A model as JSON for sending; None where nothing of it says anything."""
    if isinstance(value, BaseModel):
        parts = {
            (info.alias or name): _written(getattr(value, name, None))
            for name, info in type(value).model_fields.items()
        }
        return {name: part for name, part in parts.items() if not _says_nothing(part)} or None
    if isinstance(value, datetime):
        precision = "milliseconds" if value.microsecond else "seconds"
        return value.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
    if isinstance(value, list):
        return [part for part in map(_written, value) if part is not None]
    return value


def _says_nothing(part: object) -> bool:
    """Blank, or a switch left at Adobe's default. The number 0 says something."""
    return part is None or part is False or part == "" or part == []


def _tolerant[M: _Part](model: type[M], value: object) -> M | None:
    """The model with every member that is valid on its own; None when that leaves nothing, or the whole is invalid."""
    kept = {}
    for name, item in coerce.mapping(value).items():
        try:
            if (
                item is not None
                and getattr(model.model_validate({name: item}), _attribute(model, name), None) is not None
            ):
                kept[name] = item
        except ValidationError:
            continue
    try:
        return model.model_validate(kept) if kept else None
    except ValidationError:
        return None


def _attribute(model: type[_Part], alias: str) -> str:
    return next((name for name, info in model.model_fields.items() if alias in (info.alias, name)), alias)


def _policy_like(value: object) -> MergePolicy | None:
    policy = coerce.mapping(value)
    policy_id = coerce.text(policy.get("id"))
    if policy_id is None:
        return None
    return MergePolicy.model_construct(id=policy_id, version=coerce.count(policy.get("version")))


def _filter_like(value: object) -> Filter | None:
    record = coerce.mapping(value)
    listed = record.get("segments")
    segments: dict[tuple[str, str], SegmentChoice] = {}
    for item in coerce.objects(listed if isinstance(listed, list) else [listed]):
        segment_id = coerce.text(coerce.get(item, "segmentId"))
        if segment_id is not None:
            namespace = coerce.text(coerce.get(item, "segmentNs", "sgementNs"))
            statuses = _known_statuses(coerce.texts(item.get("status")))
            choice = SegmentChoice.model_construct(segment_id=segment_id, segment_ns=namespace, statuses=statuses)
            segments.setdefault((segment_id, namespace or "ups"), choice)
    rest = {
        "segmentQualificationTime": _tolerant(TimeWindow, record.get("segmentQualificationTime")),
        "fromIngestTimestamp": record.get("fromIngestTimestamp"),
        "emptyProfiles": coerce.flag(record.get("emptyProfiles")),
    }
    found = _tolerant(Filter, rest) or Filter()
    found.segments = list(segments.values())
    return found if _written(found) is not None else None


def _known_statuses(values: Iterable[str]) -> list[Status] | None:
    given = set(values)
    return [status for status in STATUSES if status in given] or None  # type: ignore[misc]


def _events_like(value: object) -> AdditionalFields | None:
    events = coerce.mapping(coerce.mapping(value).get("eventList"))
    columns = ",".join(coerce.comma_list(events.get("fields"))) or None
    event_filter = _tolerant(EventFilter, events.get("filter"))
    if columns is None and event_filter is None:
        return None
    return AdditionalFields.model_construct(event_list=EventList.model_construct(columns=columns, filter=event_filter))
