"""Export jobs as they come: every documented form, and anything at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segadmin.aep import BadRecord, ExportJob, fingerprint, fingerprint_of_job, quote_id
from tests.aep.support import JOB

NAMES = [
    "id status destination datasetId dataSetId batches batchId segmentId segmentNs fields filter segments metrics",
    "totalTime startTimeInMs endTimeInMs totalTimeInMs errors code msg callStack mergePolicy version schema name",
    "creationTime updateTime computeGatewayJobId additionalFields exportedProfileByNamespaceCounter requestId",
]
keys = st.sampled_from(" ".join(NAMES).split()) | st.text(max_size=5)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["NEW", "2026-01-01T00:00:00Z", "1538615973895", "9" * 400, "", " ", "-1", "NaN"])
)
BAD_IDS: list[Any] = [None, "", "  ", True, [], {}, "..", "a\n", "x" * 201]
NO_TIMES: list[Any] = [0, -1, True, None, "", "soon", [], {}, 10**400, float("nan"), float("inf"), 1e300]
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6))


def test_a_whole_job() -> None:
    job = ExportJob.parse(JOB)
    assert job.id == "100"
    assert (job.status, job.job_type) == ("NEW", "BATCH")
    assert (job.dataset_id, job.segment_per_batch) == ("5b020a27e7040801dedbf46e", False)
    assert job.batch_ids == ["da5cfb4d"]
    assert job.fields == "identities.id,personalEmail.address"
    assert [(item.id, item.ns, item.statuses) for item in job.segments] == [("52c26d0d", "ups", ["realized"])]
    assert (job.merge_policy_id, job.merge_policy_version) == ("timestampOrdered-none-mp", 1)
    assert job.schema_name == "_xdm.context.profile"
    assert [(item.code, item.message) for item in job.errors] == [("0100000003", "Error in Export Job")]
    assert job.errors[0].call_stack.startswith("com.adobe.X")
    assert job.profiles == 20
    assert job.profiles_by_namespace == {"ECID": 20, "Email": 7}
    assert {name: span.milliseconds for name, span in job.times.items()} == {
        "total": 259344,
        "profile_export": 162060,
        "dataset_write": 64232,
    }
    assert job.created_at == datetime(2018, 10, 4, 1, 19, 33, 895000, tzinfo=UTC)
    assert job.request_id == "d995479c-8a08-4240-903b-af469c67be1f"
    assert job.compute_ids == {"exportJob": "f3058161", "pushJob": "feaeca05"}
    assert job.filter == JOB["filter"]
    assert job.raw == JOB


def test_unknown_fields_are_kept_raw() -> None:
    assert ExportJob.parse({"id": 1, "new": {"x": [1]}}).raw == {"id": 1, "new": {"x": [1]}}


def test_an_id_is_all_it_takes() -> None:
    job = ExportJob.parse({"id": "only"})
    assert (job.id, job.status, job.segments, job.profiles, job.created_at) == ("only", "", [], None, None)


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        (100, "100"),
        ("100", "100"),
        (100.0, "100"),
        (10**30, "1" + "0" * 30),
        ("a/b?c", "a/b?c"),
        (" x ", " x "),
        (0, "0"),
    ],
)
def test_ids_of_all_kinds(given_id: object, expected: str) -> None:
    assert ExportJob.parse({"id": given_id}).id == expected


@pytest.mark.parametrize("raw", [None, 1, "x", [], {}, *({"id": bad} for bad in BAD_IDS)])
def test_what_has_no_usable_id_is_a_bad_record(raw: object) -> None:
    with pytest.raises(BadRecord) as caught:
        ExportJob.parse(raw)
    assert caught.value.raw == raw
    assert caught.value.reason.endswith(".")


@pytest.mark.parametrize("name", ["datasetId", "dataSetId", "datasetid"])
def test_the_dataset_under_all_its_spellings(name: str) -> None:
    assert ExportJob.parse({"id": 1, "destination": {name: "d1"}}).dataset_id == "d1"


ITEM = {"segmentId": "s1", "segmentNs": "ups", "status": ["realized"], "batchId": "b1"}


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([ITEM, {**ITEM, "batchId": "b2"}], ["b1", "b2"]),
        (ITEM, ["b1"]),
        ({"b1": ITEM, "other": {**ITEM, "batchId": "b2"}}, ["b1", "b2"]),
        ([ITEM, None, 7, {}, ITEM], ["b1"]),
        (None, []),
        ("b1", []),
    ],
)
def test_batches_in_all_their_forms(batches: object, expected: list[str]) -> None:
    job = ExportJob.parse({"id": 1, "destination": {"batches": batches, "segmentPerBatch": True}})
    assert job.batch_ids == expected
    assert all((batch.segment_id, batch.segment_ns) == ("s1", "ups") for batch in job.batches)


def test_a_batch_status_may_be_a_bare_word() -> None:
    job = ExportJob.parse({"id": 1, "destination": {"batchId": "", "batches": [{**ITEM, "status": "exited"}]}})
    assert job.batches[0].statuses == ["exited"]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([{"code": "0090000009", "msg": "m"}], [("0090000009", "m")]),
        ([{"code": 7, "message": "m"}, None, "words"], [("7", "m"), (None, "words")]),
        ({"400": [{"code": 400, "message": "m"}]}, [("400", "m")]),
        ({"code": "unknown", "msg": "m"}, [("unknown", "m")]),
        ([{}], []),
        (None, []),
        (True, []),
    ],
)
def test_errors_in_all_their_forms(errors: object, expected: list[tuple[str | None, str]]) -> None:
    job = ExportJob.parse({"id": 1, "status": "SUCCEEDED", "errors": errors})
    assert [(item.code, item.message) for item in job.errors] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1538615973895, datetime(2018, 10, 4, 1, 19, 33, 895000, tzinfo=UTC)),
        (1538615973, datetime(2018, 10, 4, 1, 19, 33, tzinfo=UTC)),
        ("1538615973895", datetime(2018, 10, 4, 1, 19, 33, 895000, tzinfo=UTC)),
        ("2018-10-04T01:19:33Z", datetime(2018, 10, 4, 1, 19, 33, tzinfo=UTC)),
        *((bad, None) for bad in NO_TIMES),
    ],
)
def test_times_in_seconds_milliseconds_and_nonsense(value: object, expected: datetime | None) -> None:
    assert ExportJob.parse({"id": 1, "creationTime": value}).created_at == expected


@pytest.mark.parametrize("value", [True, -1, 1.5, "many", None, [], 10**19, float("nan")])
def test_counters_that_are_none(value: object) -> None:
    metrics = {"totalExportedProfileCounter": value, "exportedProfileByNamespaceCounter": {"ECID": value, "Email": 3}}
    job = ExportJob.parse({"id": 1, "metrics": metrics})
    assert job.profiles is None
    assert job.profiles_by_namespace == {"Email": 3}


@pytest.mark.parametrize(("value", "expected"), [({}, {}), ({"exportJob": ""}, {}), ("uuid", {"exportJob": "uuid"})])
def test_compute_ids(value: object, expected: dict[str, str]) -> None:
    assert ExportJob.parse({"id": 1, "computeGatewayJobId": value}).compute_ids == expected


def test_a_started_span_is_told_without_its_end() -> None:
    job = ExportJob.parse({"id": 1, "metrics": {"totalTime": {"startTimeInMs": 1538615973895}}})
    assert (job.times["total"].end_at, job.times["total"].milliseconds) == (None, None)


@pytest.mark.parametrize("status", ["RETRYING", "newly invented", "COMPLETED"])
def test_unknown_statuses_stay_as_they_are(status: str) -> None:
    assert ExportJob.parse({"id": 1, "status": status}).status == status


def test_the_misspelt_namespace_of_an_old_table() -> None:
    job = ExportJob.parse(
        {"id": 1, "filter": {"segments": [{"segmentId": "s", "sgementNs": "AAM"}, {"segmentId": "t"}]}}
    )
    assert [(item.id, item.ns) for item in job.segments] == [("s", "AAM"), ("t", "ups")]


@given(anything)
def test_nothing_but_bad_record_is_ever_raised(raw: Any) -> None:
    try:
        job = ExportJob.parse(raw)
    except BadRecord:
        return
    assert quote_id(job.id)
    assert job.raw.keys() == raw.keys()
    assert fingerprint_of_job(job) == fingerprint(raw)


@given(st.fixed_dictionaries({"id": st.integers(1, 9)}, optional=dict.fromkeys(" ".join(NAMES).split()[1:], anything)))
def test_wrong_types_in_optional_parts_never_fail_a_record(raw: dict[str, Any]) -> None:
    job = ExportJob.parse(raw)
    assert job.id == str(raw["id"])
    assert fingerprint_of_job(job) == fingerprint(raw)
    for moment in (job.created_at, job.updated_at):
        assert moment is None or moment.utcoffset() is not None
    json.dumps(job.model_dump(mode="json", exclude={"raw", "filter", "additional_fields"}))


def test_fingerprints_are_those_of_the_export_and_not_of_its_spelling() -> None:
    body: dict[str, Any] = {
        "fields": "b, a,a",
        "destination": {"datasetId": "d"},
        "filter": {"segments": [{"segmentId": "2"}, {"segmentId": "1", "segmentNs": "ups"}]},
        "schema": {"name": "_xdm.context.profile"},
    }
    same = {
        "id": 5,
        "fields": "a,b",
        "destination": {"dataSetId": "d", "batchId": "x"},
        "filter": {"segments": [{"segmentId": 1, "status": ["realized"]}, {"segmentId": "2"}]},
    }
    assert fingerprint(body) == fingerprint_of_job(ExportJob.parse(same))
    changes: list[dict[str, Any]] = [
        {"fields": "a"},
        {"fields": None},
        {"destination": {"datasetId": "e"}},
        {"filter": {}},
    ]
    for change in changes:
        assert fingerprint({**body, **change}) != fingerprint(body)
    assert fingerprint({**body, "filter": None}) == fingerprint({**body, "filter": {"segments": []}})
