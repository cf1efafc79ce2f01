"""Creating: what is accepted, what is refused, what the answer holds."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.emulator.conftest import START, Client


def test_the_answer_is_the_whole_new_job(acme: Client) -> None:
    body = acme.body(fields="personalEmail.address")
    headers = {"x-request-id": "request-1", "x-profile-instance-id": "other"}
    answer = acme.jobs("POST", json=body, headers=headers)
    assert answer.status_code == 200
    job = answer.json()
    assert isinstance(job["id"], int)
    assert answer.headers["X-Location"].endswith(f"/data/core/ups/export/jobs/{job['id']}")
    assert job["status"] == "NEW"
    assert job["filter"] == body["filter"]
    assert job["fields"] == "personalEmail.address"
    assert job["destination"]["datasetId"] == body["destination"]["datasetId"]
    assert job["destination"]["batchId"], "reserved already"
    assert job["creationTime"] == job["updateTime"] == START * 1000
    assert job["metrics"] == {"totalTime": {"startTimeInMs": START * 1000}}
    assert (job["requestId"], job["profileInstanceId"]) == ("request-1", "other")
    assert "errors" not in job
    assert acme.job(job["id"]) == job
    assert acme.jobs(params={"limit": 1}).json()["records"] == [job]


def test_ids_count_up(acme: Client) -> None:
    first, second = acme.create(), acme.create()
    assert second["id"] == first["id"] + 1


def test_without_a_filter_everybody_is_exported(acme: Client, clock: Any) -> None:
    body = acme.body()
    del body["filter"]
    job = acme.jobs("POST", json=body).json()
    assert "filter" not in job
    clock.move(60)
    assert acme.job(job["id"])["metrics"]["totalExportedProfileCounter"] == acme.content.total_profiles


def test_one_batch_per_segment(acme: Client) -> None:
    body = acme.body()
    body["destination"]["segmentPerBatch"] = True
    other = acme.content.audience_named("Staff").audience_id
    body["filter"]["segments"].append({"segmentId": other, "segmentNs": "ups", "status": ["exited"]})
    destination = acme.jobs("POST", json=body).json()["destination"]
    assert "batchId" not in destination
    assert [item["segmentId"] for item in destination["batches"]] == [
        segment["segmentId"] for segment in body["filter"]["segments"]
    ]
    assert [item["status"] for item in destination["batches"]] == [["realized"], ["exited"]]
    assert len({item["batchId"] for item in destination["batches"]}) == 2


def test_every_field_of_the_contract_is_accepted(acme: Client) -> None:
    policy = acme.content.default_policy
    body = acme.body(
        fields="identityMap",
        mergePolicy={"id": policy.policy_id, "version": policy.version},
        additionalFields={
            "eventList": {
                "fields": "timestamp",
                "filter": {"fromIngestTimestamp": "2026-01-01T00:00:00Z", "toIngestTimestamp": "2026-02-01T00:00:00Z"},
            }
        },
        evaluationInfo={"segmentation": True},
    )
    body["filter"] |= {
        "segmentQualificationTime": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-02-01T00:00:00+01:00"},
        "fromIngestTimestamp": "2026-01-01T00:00:00Z",
        "emptyProfiles": True,
    }
    job = acme.jobs("POST", json=body).json()
    for name in ("fields", "mergePolicy", "additionalFields", "filter"):
        assert job[name] == body[name]
    assert "evaluationInfo" not in job


_REFUSED: list[tuple[str, Any]] = [
    ("destination", None),
    ("destination", "text"),
    ("destination.datasetId", None),
    ("destination.datasetId", ""),
    ("destination.datasetId", 7),
    ("destination.datasetId", "0" * 24),
    ("destination.segmentPerBatch", "true"),
    ("schema", None),
    ("schema.name", None),
    ("schema.name", "_xdm.context.experienceevent"),
    ("fields", ["a", "b"]),
    ("filter", []),
    ("filter.segments", {}),
    ("filter.segments", ["id"]),
    ("filter.segments", [{}]),
    ("filter.segments", [{"segmentId": "x", "status": []}]),
    ("filter.segments", [{"segmentId": "x", "status": "realized"}]),
    ("filter.segments", [{"segmentId": "x", "status": ["left"]}]),
    ("filter.fromIngestTimestamp", "2026-01-01T00:00:00"),
    ("filter.fromIngestTimestamp", "yesterday"),
    ("filter.segmentQualificationTime", {"startTime": "2026-02-01T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}),
    ("filter.emptyProfiles", "false"),
    ("mergePolicy", "default"),
    ("mergePolicy", {"id": 5}),
    ("evaluationInfo", {"segmentation": 1}),
    ("additionalFields", {"eventList": {"fields": ["a"]}}),
    ("additionalFields", {"eventList": {"filter": {"fromIngestTimestamp": 5}}}),
]


@pytest.mark.parametrize(("where", "value"), _REFUSED)
def test_a_bad_body_makes_no_job(acme: Client, where: str, value: Any) -> None:
    before = len(acme.jobs().json()["records"])
    body = copy.deepcopy(acme.body())
    owner, names = body, where.split(".")
    for name in names[:-1]:
        owner = owner[name]
    if value is None:
        del owner[names[-1]]
    else:
        owner[names[-1]] = value
    answer = acme.jobs("POST", json=body)
    assert answer.status_code == 400
    assert answer.json()["status"] == 400
    assert len(acme.jobs().json()["records"]) == before


def test_an_unknown_dataset_is_told_in_the_profile_services_words(acme: Client) -> None:
    body = acme.body()
    body["destination"]["datasetId"] = "f" * 24
    reply = acme.jobs("POST", json=body).json()
    assert "does not exist" in reply["errors"]["400"][0]["message"]


def test_null_is_as_good_as_absent(acme: Client) -> None:
    body = acme.body(mergePolicy=None, fields=None)
    body["filter"]["segments"] = None
    assert acme.jobs("POST", json=body).status_code == 200
