"""The read-only services around the jobs: each has its own envelope and its own way of paging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.emulator.conftest import Client, Clock

CATALOG = "/data/foundation/catalog"
UPS = "/data/core/ups"
UNIONS = "/data/foundation/schemaregistry/tenant/unions"
UNION_ID = "https://ns.adobe.com/xdm/context/profile__union"
FULL = {"Accept": "application/vnd.adobe.xed-full+json;version=1"}


# datasets


def test_datasets_are_an_object_keyed_by_id(acme: Client) -> None:
    reply = acme.send("GET", f"{CATALOG}/dataSets", params={"limit": 100}).json()
    assert set(reply) == set(acme.content.datasets)
    schemas = [item.get("schemaRef", {}).get("id") for item in reply.values()]
    assert schemas.count(UNION_ID) == 10
    assert None in schemas, "one has lost its schema"
    assert any("tags" not in item for item in reply.values())


def test_datasets_page_from_zero(acme: Client) -> None:
    seen: list[str] = []
    for start in (0, 7, 14):
        page = acme.send("GET", f"{CATALOG}/dataSets", params={"limit": 7, "start": start}).json()
        seen += page
    assert seen == list(acme.content.datasets)
    assert len(page) == 2


def test_datasets_filter_and_pick_properties(acme: Client) -> None:
    params = {"property": f"schemaRef.id=={UNION_ID}", "properties": "name,schemaRef", "orderBy": "desc:created"}
    reply = acme.send("GET", f"{CATALOG}/dataSets", params=params).json()
    assert len(reply) == 10
    assert all(set(item) == {"name", "schemaRef"} for item in reply.values())
    by_name = acme.send("GET", f"{CATALOG}/dataSets", params={"name": "CRM out"}).json()
    assert [item["name"] for item in by_name.values()] == ["CRM out"]
    ordered = acme.send("GET", f"{CATALOG}/dataSets", params={"orderBy": "asc:name"}).json()
    names = [item["name"] for item in ordered.values()]
    assert names == sorted(names)


def test_one_dataset_is_keyed_too(acme: Client) -> None:
    dataset = acme.content.dataset_named("CRM out")
    reply = acme.send("GET", f"{CATALOG}/dataSets/{dataset.dataset_id}").json()
    assert reply[dataset.dataset_id]["name"] == "CRM out"
    assert acme.send("GET", f"{CATALOG}/dataSets/{'0' * 24}").status_code == 404


@pytest.mark.parametrize("limit", ["0", "101", "many"])
def test_page_sizes_are_capped(acme: Client, limit: str) -> None:
    for path in (f"{CATALOG}/dataSets", f"{UPS}/audiences", f"{UPS}/segment/definitions"):
        assert acme.send("GET", path, params={"limit": limit}).status_code == 400


# batches


def _batch(client: Client, batch_id: str) -> dict[str, Any] | None:
    answer = client.send("GET", f"{CATALOG}/batches/{batch_id}")
    if answer.status_code == 404:
        return None
    shown: dict[str, Any] = answer.json()[batch_id]
    return shown


def test_a_batch_follows_its_job(acme: Client, clock: Clock) -> None:
    job = acme.create()
    batch_id = job["destination"]["batchId"]
    assert _batch(acme, batch_id) is None, "only reserved"
    clock.move(10)
    working = _batch(acme, batch_id)
    assert working is not None
    assert working["status"] == "processing"
    clock.move(60)
    done = _batch(acme, batch_id)
    assert done is not None
    assert done["status"] == "success"
    assert done["recordCount"] == acme.content.audience_named("Lapsed buyers").profiles
    assert done["relatedObjects"] == [{"type": "dataSet", "id": job["destination"]["datasetId"]}]


def test_batches_of_failed_and_cancelled_jobs(acme: Client, clock: Clock) -> None:
    failing, cancelled, early = acme.create(dataset="Web orders"), acme.create(), acme.create()
    acme.jobs("DELETE", f"/{early['id']}")
    clock.move(6)
    acme.jobs("DELETE", f"/{cancelled['id']}")
    clock.move(60)
    failed_batch = _batch(acme, failing["destination"]["batchId"])
    assert failed_batch is not None
    assert failed_batch["status"] == "failed"
    assert failed_batch["errors"]
    cancelled_batch = _batch(acme, cancelled["destination"]["batchId"])
    assert cancelled_batch is not None
    assert cancelled_batch["status"] == "aborted"
    assert _batch(acme, early["destination"]["batchId"]) is None


@pytest.mark.parametrize("also", [["Garden lovers"], ["Garden lovers", "Moved house"]])
def test_the_batches_of_a_job_hold_all_its_profiles(acme: Client, clock: Clock, also: list[str]) -> None:
    """To the last one, also where they can't be shared out evenly."""
    body = acme.body()
    body["destination"]["segmentPerBatch"] = True
    for name in also:
        segment = acme.content.audience_named(name).audience_id
        body["filter"]["segments"].append({"segmentId": segment, "segmentNs": "ups"})
    job = acme.jobs("POST", json=body).json()
    clock.move(600)
    total = acme.job(job["id"])["metrics"]["totalExportedProfileCounter"]
    batches = [_batch(acme, item["batchId"]) for item in job["destination"]["batches"]]
    counts = [item["recordCount"] for item in batches if item]
    assert len(counts) == len(also) + 1
    assert total % len(counts)
    assert sum(counts) == total
    assert max(counts) - min(counts) == 1


def test_batches_list(acme: Client) -> None:
    dataset = acme.content.dataset_named("CRM out").dataset_id
    reply = acme.send("GET", f"{CATALOG}/batches", params={"dataSet": dataset, "status": "success"}).json()
    assert reply
    assert {item["status"] for item in reply.values()} == {"success"}
    assert len(acme.send("GET", f"{CATALOG}/batches", params={"limit": 3}).json()) == 3


# definitions and audiences


def _definition_pages(client: Client, **params: Any) -> Iterator[dict[str, Any]]:
    start = 0
    while True:
        reply = client.send("GET", f"{UPS}/segment/definitions", params={"start": start, "limit": 4, **params}).json()
        yield reply
        if not reply["link"]:
            return
        start += 4


def test_definitions_page_and_leave_out_uploads(acme: Client) -> None:
    pages = list(_definition_pages(acme))
    names = [item["name"] for page in pages for item in page["segments"]]
    inside = [item.name for item in acme.content.audiences.values() if not item.external]
    assert sorted(names) == sorted(inside)
    assert pages[0]["page"]["totalCount"] == len(inside)
    assert pages[0]["page"]["totalPages"] == len(pages)


def test_definitions_pages_count_from_one(acme: Client) -> None:
    path = f"{UPS}/segment/definitions"
    zero, one, two = (acme.send("GET", path, params={"limit": 4, "page": page}).json() for page in (0, 1, 2))
    assert zero["segments"] == one["segments"]
    assert two["segments"] != one["segments"]


def test_definitions_sort_and_filter(acme: Client) -> None:
    path = f"{UPS}/segment/definitions"
    rising = acme.send("GET", path, params={"sort": "updateTime:asc", "limit": 100}).json()["segments"]
    assert [item["updateEpoch"] for item in rising] == sorted(item["updateEpoch"] for item in rising)
    params = {"evaluationInfo.continuous.enabled": "true"}
    streaming = acme.send("GET", path, params=params).json()["segments"]
    assert streaming
    assert all(item["evaluationInfo"]["continuous"]["enabled"] for item in streaming)


def test_one_definition(acme: Client) -> None:
    audience = acme.content.audience_named("Lapsed buyers")
    reply = acme.send("GET", f"{UPS}/segment/definitions/{audience.audience_id}").json()
    assert (reply["name"], reply["mergePolicyId"]) == ("Lapsed buyers", audience.merge_policy_id)
    upload = acme.content.audience_named("Trade fair leads 2026")
    assert acme.send("GET", f"{UPS}/segment/definitions/{upload.audience_id}").status_code == 404


@pytest.mark.parametrize("service", ["segment/definitions", "audiences"])
def test_bulk_get_answers_207_with_errors_inside(acme: Client, service: str) -> None:
    known = acme.content.audience_named("Staff").audience_id
    body = {"ids": [{"id": known}, {"id": "missing"}]}
    answer = acme.send("POST", f"{UPS}/{service}/bulk-get", json=body)
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert results[known]["name"] == "Staff"
    assert results["missing"]["errors"]["404"]


def test_bulk_get_limits(acme: Client) -> None:
    path = f"{UPS}/audiences/bulk-get"
    assert acme.send("POST", path, json={"ids": [{"id": "missing"}]}).status_code == 404
    assert acme.send("POST", path, json={"ids": [{"id": str(number)} for number in range(101)]}).status_code == 400
    wrongs: list[dict[str, Any]] = [{}, {"ids": []}, {"ids": [{}]}, {"ids": "a"}]
    for wrong in wrongs:
        assert acme.send("POST", path, json=wrong).status_code == 400


def test_audiences_page_by_start(acme: Client) -> None:
    seen: list[dict[str, Any]] = []
    start = "0"
    while True:
        reply = acme.send("GET", f"{UPS}/audiences", params={"limit": 6, "start": start}).json()
        seen += reply["children"]
        if "next" not in reply["_page"]:
            break
        start = reply["_page"]["next"]
        assert reply["_links"]["next"]["href"].startswith("@/audiences?start=")
    assert sorted(item["id"] for item in seen) == sorted(acme.content.audiences)
    uploads = [item for item in seen if item["originName"] == "CUSTOM_UPLOAD"]
    assert len(uploads) == 2
    assert all("_" in item["id"] and "expression" not in item for item in uploads)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"name": "LOYALTY"}, {"Loyalty gold", "Loyalty platinum"}),
        ({"description": "suppression"}, {"No contact wanted"}),
        ({"property": "originName==CUSTOM_UPLOAD"}, {"Trade fair leads 2026", "Competition entries, summer"}),
        ({"entityType": "_xdm.context.account"}, set()),
    ],
)
def test_audiences_filter(acme: Client, params: dict[str, str], expected: set[str]) -> None:
    reply = acme.send("GET", f"{UPS}/audiences", params=params).json()
    assert {item["name"] for item in reply["children"]} == expected


def test_one_audience(acme: Client) -> None:
    upload = acme.content.audience_named("Trade fair leads 2026")
    reply = acme.send("GET", f"{UPS}/audiences/{upload.audience_id}").json()
    assert reply["name"] == "Trade fair leads 2026"
    missing = acme.send("GET", f"{UPS}/audiences/missing")
    assert missing.status_code == 404
    assert missing.json()["errors"]["status"] == 404, "the shape with everything inside errors"


def test_content_differs_between_sandboxes(client_of: Callable[[str, str], Client]) -> None:
    ids = [set(client_of(*place).content.audiences) for place in (("acme", "prod"), ("acme", "stage"))]
    assert not ids[0] & ids[1]


# merge policies and sandboxes


def test_merge_policies(acme: Client) -> None:
    path = f"{UPS}/config/mergePolicies"
    first = acme.send("GET", path, params={"limit": 2}).json()
    assert first["_page"]["count"] == 2
    second = acme.send("GET", path, params={"limit": 2, "start": first["_page"]["next"]}).json()
    assert second["_links"]["next"]["href"] == ""
    children = first["children"] + second["children"]
    assert [item["id"] for item in children] == list(acme.content.merge_policies)
    assert any("name" not in item for item in children)
    default = acme.send("GET", path, params={"default": "true"}).json()["children"]
    assert [item["default"] for item in default] == [True]
    assert acme.send("GET", f"{path}/{children[0]['id']}").json()["name"] == "Default timebased"
    assert acme.send("GET", f"{path}/timestampOrdered-none-mp").status_code == 404


@pytest.mark.parametrize("tail", ["/", "", "/sandboxes"])
def test_sandboxes_need_no_sandbox_header(acme: Client, tail: str) -> None:
    path = f"/data/foundation/sandbox-management{tail}"
    reply = acme.send("GET", path, headers={"x-sandbox-name": None}).json()
    states = {item["name"]: (item["state"], item["type"]) for item in reply["sandboxes"]}
    assert states["prod"] == ("active", "production")
    assert states["archive"] == ("resetting", "development")
    assert reply["_page"]["count"] == 4


def test_one_sandbox(acme: Client) -> None:
    path = "/data/foundation/sandbox-management/sandboxes"
    assert acme.send("GET", f"{path}/stage").json()["title"] == "Staging"
    assert acme.send("GET", f"{path}/nowhere").status_code == 404


# union schemas


def _leaves(properties: dict[str, Any], prefix: str = "") -> list[str]:
    paths: list[str] = []
    for name, node in properties.items():
        inner = node.get("properties")
        paths += _leaves(inner, f"{prefix}{name}.") if inner else [prefix + name]
    return paths


def test_unions_list_wants_an_accept_without_version(acme: Client) -> None:
    reply = acme.send("GET", UNIONS, headers={"Accept": "application/vnd.adobe.xed-id+json"}).json()
    alternatives = [item["meta:altId"] for item in reply["results"]]
    assert alternatives == ["_xdm.context.profile__union", "_xdm.context.experienceevent__union"]
    for accept in ("application/json", "application/vnd.adobe.xed+json;version=1", "*/*"):
        assert acme.send("GET", UNIONS, headers={"Accept": accept}).status_code == 400


def test_a_union_wants_one_with_version(acme: Client) -> None:
    path = f"{UNIONS}/_xdm.context.profile__union"
    for accept in ("application/json", "application/vnd.adobe.xed-full+json", "application/vnd.adobe.xed-id+json"):
        assert acme.send("GET", path, headers={"Accept": accept}).status_code == 400
    reply = acme.send("GET", path, headers=FULL).json()
    leaves = _leaves(reply["properties"])
    assert len(leaves) > 190
    assert {
        "identityMap",
        "personalEmail.address",
        "mobilePhone.number",
        "person.name.firstName",
        "homeAddress.postalCode",
        "loyalty.tier",
        "_acme.orders.count",
    } <= set(leaves)


def test_a_union_by_its_quoted_id(acme: Client) -> None:
    path = f"{UNIONS}/https%3A%2F%2Fns.adobe.com%2Fxdm%2Fcontext%2Fexperienceevent__union"
    reply = acme.send("GET", path, headers=FULL).json()
    assert "commerce.order.priceTotal" in _leaves(reply["properties"])
    assert acme.send("GET", f"{UNIONS}/other", headers=FULL).status_code == 404


def test_without_full_the_standard_parts_are_references(acme: Client) -> None:
    headers = {"Accept": "application/vnd.adobe.xed+json;version=1"}
    reply = acme.send("GET", f"{UNIONS}/_xdm.context.profile__union", headers=headers).json()
    assert "properties" not in reply
    assert any("$ref" in part for part in reply["allOf"])
    assert "_acme" in reply["allOf"][-1]["properties"]


# estimates


def test_an_estimate_takes_a_moment(acme: Client, clock: Clock) -> None:
    audience = acme.content.audience_named("Lapsed buyers")
    body = {"predicateExpression": audience.pql, "predicateType": "pql/text", "predicateModel": "_xdm.context.profile"}
    started = acme.send("POST", f"{UPS}/preview", json=body).json()
    path = f"{UPS}/estimate/{started['previewId']}"
    assert acme.send("GET", path).json()["state"] == "RUNNING"
    clock.move(2)
    ready = acme.send("GET", path).json()
    assert ready["state"] == "RESULT_READY"
    assert ready["estimatedSize"] == audience.profiles
    assert acme.send("GET", f"{UPS}/preview/{started['previewId']}").json()["state"] == "RESULT_READY"


def test_an_estimate_belongs_to_its_sandbox(client_of: Callable[[str, str], Client]) -> None:
    prod, stage = client_of("acme", "prod"), client_of("acme", "stage")
    started = prod.send("POST", f"{UPS}/preview", json={"predicateExpression": "anything"}).json()
    assert stage.send("GET", f"{UPS}/estimate/{started['previewId']}").status_code == 404
    for odd in ("nonsense", "e30", "%20", "W10"):
        assert prod.send("GET", f"{UPS}/estimate/{odd}").status_code == 404
    assert prod.send("POST", f"{UPS}/preview", json={}).status_code == 400
