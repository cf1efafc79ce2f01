"""The create request: what it refuses, what it sends, and how it is filled from an old one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from segadmin.aep import ExportRequest, fingerprint
from tests.aep.support import JOB
from tests.aep.test_types import anything

LEAST: dict[str, Any] = {"destination": {"datasetId": "d1"}, "schema": {"name": "_xdm.context.profile"}}

FULL: dict[str, Any] = {
    "fields": "identities.id,personalEmail.address",
    "mergePolicy": {"id": "mp-1", "version": 0},
    "filter": {
        "segments": [
            {"segmentId": "s1", "segmentNs": "ups", "status": ["realized", "exited"]},
            {"segmentId": "s2", "segmentNs": "AAM"},
        ],
        "segmentQualificationTime": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-02-01T00:00:00Z"},
        "fromIngestTimestamp": "2026-01-15T10:30:00Z",
        "emptyProfiles": True,
    },
    "additionalFields": {
        "eventList": {
            "fields": "environment.browserDetails.name",
            "filter": {"fromIngestTimestamp": "2026-01-01T00:00:00Z", "toIngestTimestamp": "2026-01-02T00:00:00.250Z"},
        }
    },
    "destination": {"datasetId": "d1", "segmentPerBatch": True},
    "schema": {"name": "_xdm.context.profile"},
    "evaluationInfo": {"segmentation": True},
}


def merged(**change: Any) -> dict[str, Any]:
    return {**LEAST, **change}


def test_a_full_request_is_sent_as_it_was_given() -> None:
    assert ExportRequest.model_validate(FULL).body() == FULL.copy() | {
        "additionalFields": {
            "eventList": {
                **FULL["additionalFields"]["eventList"],
                "filter": {
                    "fromIngestTimestamp": "2026-01-01T00:00:00Z",
                    "toIngestTimestamp": "2026-01-02T00:00:00.250Z",
                },
            }
        }
    }


def test_the_least_request() -> None:
    assert ExportRequest.model_validate(LEAST).body() == LEAST


def test_nothing_empty_and_no_default_is_sent() -> None:
    blank = {
        "fields": " ",
        "mergePolicy": None,
        "filter": {
            "segments": [],
            "segmentQualificationTime": {"startTime": "", "endTime": None},
            "fromIngestTimestamp": "",
            "emptyProfiles": False,
        },
        "additionalFields": {},
        "destination": {"datasetId": " d1 ", "segmentPerBatch": False},
        "evaluationInfo": {"segmentation": False},
        "unknown": {"x": 1},
    }
    assert ExportRequest.model_validate(merged(**blank)).body() == LEAST


def test_lists_are_cleaned_and_times_are_sent_in_utc() -> None:
    body = ExportRequest.model_validate(
        merged(fields=" a.b , c,a.b", filter={"fromIngestTimestamp": "2026-03-01T02:00:00+02:00"})
    ).body()
    assert body["fields"] == "a.b,c"
    assert body["filter"] == {"fromIngestTimestamp": "2026-03-01T00:00:00Z"}


def test_fields_may_be_a_list() -> None:
    assert ExportRequest.model_validate(merged(fields=["a", "b"])).body()["fields"] == "a,b"


def one_segment(**change: Any) -> dict[str, Any]:
    return {"filter": {"segments": [{"segmentId": "s", **change}]}}


def events(**change: Any) -> dict[str, Any]:
    return {"additionalFields": {"eventList": change}}


DAY_1, DAY_2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"destination": {}}, "destination.datasetId", "needed"),
        ({"destination": {"datasetId": "  "}}, "destination.datasetId", "needed"),
        ({"destination": None}, "destination", ""),
        ({"schema": {}}, "schema.name", "needed"),
        ({"schema": {"name": ""}}, "schema.name", "needed"),
        ({"fields": "a,,b"}, "fields", "empty name"),
        ({"fields": "a,b,"}, "fields", "empty name"),
        ({"fields": "a b,c"}, "fields", "no spaces"),
        ({"fields": 7}, "fields", "commas"),
        ({"fields": [1]}, "fields", "commas"),
        ({"mergePolicy": {"version": 1}}, "mergePolicy.id", "needed"),
        ({"mergePolicy": {"id": "x", "version": -1}}, "mergePolicy.version", ""),
        ({"mergePolicy": {"id": "x", "version": "1"}}, "mergePolicy.version", ""),
        (one_segment(segmentId=""), "filter.segments.0.segmentId", "needed"),
        (one_segment(status=[]), "filter.segments.0.status", "at least one"),
        (one_segment(status=["exiting"]), "filter.segments.0.status", "one of"),
        (one_segment(status=7), "filter.segments.0.status", ""),
        ({"filter": {"segments": [{"segmentId": "s"}, {"segmentId": "s", "segmentNs": "ups"}]}}, "filter", "twice"),
        ({"filter": {"fromIngestTimestamp": "2026-01-01T00:00:00"}}, "filter.fromIngestTimestamp", "zone"),
        ({"filter": {"fromIngestTimestamp": "yesterday"}}, "filter.fromIngestTimestamp", "Give a time"),
        ({"filter": {"fromIngestTimestamp": 1538615973895}}, "filter.fromIngestTimestamp", "Give a time"),
        ({"filter": {"fromIngestTimestamp": "0001-01-01T00:00:00+14:00"}}, "filter.fromIngestTimestamp", "range"),
        (
            {"filter": {"segmentQualificationTime": {"startTime": DAY_2, "endTime": DAY_1}}},
            "filter.segmentQualificationTime",
            "after the start",
        ),
        (
            {"filter": {"segmentQualificationTime": {"startTime": DAY_1, "endTime": DAY_1}}},
            "filter.segmentQualificationTime",
            "after the start",
        ),
        (
            events(filter={"fromIngestTimestamp": DAY_2, "toIngestTimestamp": DAY_1}),
            "additionalFields.eventList.filter",
            "after the start",
        ),
        (events(), "additionalFields.eventList", "which ingest time"),
        (events(fields="a,,"), "additionalFields.eventList.fields", "empty name"),
        ({"filter": {"emptyProfiles": "perhaps"}}, "filter.emptyProfiles", ""),
    ],
)
def test_problems_are_told_at_their_field(change: dict[str, Any], field: str, words: str) -> None:
    problems = ExportRequest.problems(merged(**change))
    assert list(problems) == [field]
    assert words in problems[field]
    with pytest.raises(ValidationError):
        ExportRequest.model_validate(merged(**change))


def test_a_good_request_has_no_problems() -> None:
    assert ExportRequest.problems(FULL) == {}


def test_copying_a_request_gives_the_same_body() -> None:
    assert ExportRequest.from_body(FULL).body() == ExportRequest.model_validate(FULL).body()


def test_copying_a_job() -> None:
    body = ExportRequest.from_body(JOB).body()
    assert body == {
        "fields": "identities.id,personalEmail.address",
        "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
        "filter": {"segments": [{"segmentId": "52c26d0d", "segmentNs": "ups", "status": ["realized"]}]},
        "destination": {"datasetId": "5b020a27e7040801dedbf46e"},
        "schema": {"name": "_xdm.context.profile"},
    }
    assert ExportRequest.problems(body) == {}
    assert fingerprint(body) == fingerprint(JOB)


def test_copying_leaves_out_what_can_not_be_read() -> None:
    strange = {
        "destination": {"dataSetId": 5},
        "filter": {
            "segments": [{"segmentId": "s", "status": "existing"}, {"segmentId": "s"}, {"segmentNs": "x"}, 7],
            "segmentQualificationTime": {"startTime": DAY_1, "endTime": "soon"},
            "fromIngestTimestamp": 5,
            "emptyProfiles": "true",
        },
        "additionalFields": {"eventList": {"fields": "a,,b", "filter": {"toIngestTimestamp": DAY_2}}},
        "mergePolicy": {"version": 3},
        "evaluationInfo": "x",
    }
    assert ExportRequest.from_body(strange).body() == {
        "destination": {"datasetId": "5"},
        "schema": {"name": "_xdm.context.profile"},
        "filter": {
            "segments": [{"segmentId": "s", "status": ["existing"]}],
            "segmentQualificationTime": {"startTime": DAY_1},
            "emptyProfiles": True,
        },
        "additionalFields": {"eventList": {"fields": "a,b", "filter": {"toIngestTimestamp": DAY_2}}},
    }


@given(anything)
def test_copying_never_raises_and_gives_sendable_json(raw: Any) -> None:
    body = ExportRequest.from_body(raw if isinstance(raw, dict) else {"filter": raw, "destination": raw}).body()
    assert body["schema"]["name"]
    again = ExportRequest.from_body(body).body()
    assert again == body
    assert _holds_nothing_empty(body)


def _holds_nothing_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(map(_holds_nothing_empty, value.values()))
    if isinstance(value, list):
        return bool(value) and all(map(_holds_nothing_empty, value))
    return value not in (None, "")
