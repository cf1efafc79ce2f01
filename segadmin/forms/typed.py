"""The create form as typed: lists of texts by field name, kept whole in a draft however wrong they are.

Field names are Adobe's with dots written as `__`; ours are `who`, `which`, `purpose` and the like. Audiences come as
numbered rows `filter__segments-0-segmentId`, `-segmentNs` and `-status`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.datastructures import MultiValueDict

from segadmin.aep.types import ExportRequest as RequestBody
from segadmin.forms.moments import written

type Typed = dict[str, list[str]]

SEGMENTS = "filter__segments"
MAX_ROWS = 500
# Names in this program -> names on the wire. The right side is a contract with clients that post the form.
HTML_NAMES = {
    "profile_fields": "fields",
    "dataset": "destination__datasetId",
    "segment_per_batch": "destination__segmentPerBatch",
    "schema_name": "schema__name",
    "qualified_from": "filter__segmentQualificationTime__startTime",
    "qualified_to": "filter__segmentQualificationTime__endTime",
    "changed_after": "filter__fromIngestTimestamp",
    "empty_profiles": "filter__emptyProfiles",
    "event_fields": "additionalFields__eventList__fields",
    "events_from": "additionalFields__eventList__filter__fromIngestTimestamp",
    "events_to": "additionalFields__eventList__filter__toIngestTimestamp",
    "merge_policy": "mergePolicy__id",
    "merge_policy_version": "mergePolicy__version",
    "segmentation": "evaluationInfo__segmentation",
    "segment_id": "segmentId",
    "segment_ns": "segmentNs",
}
OWN_NAMES = ("who", "which", "events", "purpose", "recipient", "ticket", "legal_basis", "form_key", "copied_from")
ROW_PARTS = ("segmentId", "segmentNs", "status")
KEPT = frozenset({*HTML_NAMES.values(), *OWN_NAMES}) - {"segmentId", "segmentNs"}
_ROW = re.compile(rf"{SEGMENTS}-(\d{{1,6}})-({'|'.join(ROW_PARTS)})")


def read(post: Mapping[str, Any]) -> Typed:
    """The known fields of a POST. Rows are numbered anew without gaps; management fields may be missing or wrong."""
    lists = dict(post.lists()) if isinstance(post, MultiValueDict) else post
    typed: Typed = {}
    rows: dict[int, Typed] = {}
    for name, values in lists.items():
        row = _ROW.fullmatch(name)
        if row:
            rows.setdefault(int(row[1]), {})[row[2]] = [_storable(value) for value in values]
        elif name in KEPT:
            typed[name] = [_storable(value) for value in values]
    number = 0
    for index in sorted(rows):
        for part in _split(rows[index]):
            typed |= {f"{SEGMENTS}-{number}-{name}": values for name, values in part.items()}
            number += 1
    return typed


def _storable(value: object) -> str:
    """Text that every database takes; a NUL becomes visible instead of being lost."""
    return str(value).encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _split(row: Typed) -> list[Typed]:
    """One row per audience: a repeated field names several. A row without any text was left blank."""
    ids = [text for text in row.get("segmentId", []) if text.strip()]
    rest = {name: values for name, values in row.items() if name != "segmentId"}
    if not ids:
        return [{"segmentId": [""], **rest}] if any(text.strip() for text in rest.get("segmentNs", [])) else []
    return [{"segmentId": [text], **rest} for text in ids]


def count_rows(typed: Typed) -> int:
    return sum(1 for name in typed if name.startswith(f"{SEGMENTS}-") and name.endswith("-segmentId"))


def as_data(typed: Typed, blank_rows: int) -> MultiValueDict[str, str]:
    """The typed values as form data, with management fields that are right and some blank rows to fill in."""
    total = count_rows(typed) + blank_rows
    management = {f"{SEGMENTS}-TOTAL_FORMS": [str(total)], f"{SEGMENTS}-INITIAL_FORMS": ["0"]}
    return MultiValueDict({**typed, **management})


def says_anything(typed: Typed) -> bool:
    """False for a form that nobody has filled in yet: presets and choices alone are nothing to keep."""
    presets = {"who", "which", "form_key", "copied_from", HTML_NAMES["schema_name"]}
    return any(text.strip() for name, values in typed.items() if name not in presets for text in values)


def from_body(body: Mapping[str, Any]) -> Typed:
    """A filled-in form for another export like this body, or like a job's raw object.

    What widens is not preselected: after an export of everyone, or of all fields, the copy asks again.
    """
    like = RequestBody.from_body(body)
    chosen = like.filter
    typed: dict[str, object] = {
        "who": "audiences" if chosen and chosen.segments else None,
        "which": "these" if like.profile_fields else None,
        "profile_fields": like.profile_fields,
        "dataset": like.destination.dataset_id,
        "segment_per_batch": like.destination.segment_per_batch,
        "schema_name": like.target_schema.name,
        "segmentation": like.evaluation and like.evaluation.segmentation,
        "merge_policy": like.merge_policy and like.merge_policy.id,
        "merge_policy_version": like.merge_policy and like.merge_policy.version,
    }
    rows: Typed = {}
    if chosen:
        window = chosen.qualification
        typed |= {
            "qualified_from": window and window.start_at,
            "qualified_to": window and window.end_at,
            "changed_after": chosen.from_ingest_at,
            "empty_profiles": chosen.empty_profiles,
        }
        for number, segment in enumerate(chosen.segments):
            prefix = f"{SEGMENTS}-{number}"
            rows[f"{prefix}-segmentId"] = [segment.segment_id]
            rows[f"{prefix}-segmentNs"] = [segment.segment_ns or ""]
            rows[f"{prefix}-status"] = list(segment.statuses or [])
    return {HTML_NAMES.get(name, name): [text] for name, text in _texts({**typed, **_events(like)}).items()} | rows


def _events(like: RequestBody) -> dict[str, object]:
    events = like.additional_fields and like.additional_fields.event_list
    if not events:
        return {}
    times = events.filter
    return {
        "events": True,
        "event_fields": events.columns,
        "events_from": times and times.from_ingest_at,
        "events_to": times and times.to_ingest_at,
    }


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Values as a person would type them; what is absent or off is left out."""
    return {
        name: "on" if value is True else written(value) if isinstance(value, datetime) else str(value)
        for name, value in values.items()
        if value is not None and value is not False and value != ""
    }
