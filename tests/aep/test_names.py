"""Ids to names: every family of envelopes, with its paging, its traps and its end."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses
from responses import RequestsMock

from segadmin.aep import Forbidden, Names, Unavailable
from segadmin.aep.names import UNION_SCHEMA
from segadmin.aep.union_fields import leaf_fields
from tests.aep.support import API, mocked_transport

UPS = f"{API}/data/core/ups"
AUDIENCES, DEFINITIONS = f"{UPS}/audiences", f"{UPS}/segment/definitions"
DATASETS, BATCHES = f"{API}/data/foundation/catalog/dataSets", f"{API}/data/foundation/catalog/batches"
POLICIES, SANDBOXES = f"{UPS}/config/mergePolicies", f"{API}/data/foundation/sandbox-management/"
UNIONS = f"{API}/data/foundation/schemaregistry/tenant/unions"
PROFILE_UNION = f"{UNIONS}/_xdm.context.profile__union"


@pytest.fixture
def adobe() -> Any:
    with RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def names() -> Names:
    return Names(mocked_transport())


def queries(adobe: RequestsMock) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(str(call.request.url)).query)) for call in adobe.calls]


# Audiences -----------------------------------------------------------------------------------------------------------


def audiences(*ids: str, **rest: Any) -> dict[str, Any]:
    return {"children": [{"id": found, "name": f"Name of {found}"} for found in ids], **rest}


@pytest.mark.parametrize(
    "following",
    [
        {"_page": {"next": "60"}},
        {"_page": {"next": 60}},
        {"_links": {"next": {"href": "@/audiences?start=60&limit=1&totalCount=2"}}},
        {"_page": {"next": ""}, "_links": {"next": {"href": "https://evil.example/?start=60"}}},
    ],
)
def test_audiences_over_two_pages(adobe: RequestsMock, names: Names, following: dict[str, Any]) -> None:
    adobe.get(AUDIENCES, json=audiences("a", **following))
    adobe.get(AUDIENCES, json=audiences("b", _page={"next": None}, _links={"next": {}}))
    assert [(record.id, record.name, record.namespace) for record in names.audiences()] == [
        ("a", "Name of a", "ups"),
        ("b", "Name of b", "ups"),
    ]
    assert queries(adobe) == [{"limit": "60"}, {"limit": "60", "start": "60"}]
    assert all(str(call.request.url).startswith(AUDIENCES + "?") for call in adobe.calls)


@pytest.mark.parametrize("following", [{"next": "60"}, {"next": "0"}])
def test_audiences_end_when_the_cursor_repeats(adobe: RequestsMock, names: Names, following: dict[str, str]) -> None:
    adobe.get(AUDIENCES, json=audiences("a", _page=following))
    assert len(list(names.audiences())) == 2
    assert len(adobe.calls) == 2


def test_details_of_an_audience(adobe: RequestsMock, names: Names) -> None:
    known = {
        "id": "QU9f_77",
        "audienceId": "77",
        "name": "  Gold\n members ",
        "description": "d",
        "lifecycleState": "published",
        "originName": "CUSTOM_UPLOAD",
        "namespace": "CustomerAudienceUpload",
        "mergePolicyId": "mp",
        "updateEpoch": 1538615973,
    }
    adobe.get(AUDIENCES, json={"children": [known, {"id": "p", "namespace": "AEPSegments"}]})
    external, platform = names.audiences()
    assert (external.kind, external.id, external.name) == ("audience", "QU9f_77", "Gold members")
    assert external.namespace == "CustomerAudienceUpload"
    assert external.details == {
        "description": "d",
        "lifecycle": "published",
        "merge_policy_id": "mp",
        "origin": "CUSTOM_UPLOAD",
        "audience_id": "77",
        "updated_at": "2018-10-04T01:19:33Z",
    }
    assert (platform.id, platform.name, platform.namespace, platform.details) == ("p", "p", "ups", {})


def test_bad_records_are_left_out_and_counted(adobe: RequestsMock, names: Names) -> None:
    adobe.get(AUDIENCES, json={"children": [None, 7, {}, {"id": ".."}, {"id": True}, {"id": 5, "name": ["x"]}]})
    assert [(record.id, record.name) for record in names.audiences()] == [("5", "5")]
    assert names.skipped == {"audience": 5}


@pytest.mark.parametrize(
    "answered",
    [
        {"status": 403, "json": {"error_code": "UPAPI-113740", "message": "no licence"}},
        {"status": 404},
        {"status": 400},
        {"json": {"children": []}},
        {"json": {}},
        {"json": []},
        {"body": b""},
    ],
)
def test_without_audiences_definitions_are_read(adobe: RequestsMock, names: Names, answered: dict[str, Any]) -> None:
    adobe.get(AUDIENCES, **answered)
    adobe.get(DEFINITIONS, json={"segments": [{"id": "s", "name": "Segment", "creationTime": 0}], "link": {}})
    assert [(record.kind, record.id, record.name) for record in names.audiences()] == [("audience", "s", "Segment")]


def test_a_refusal_in_the_middle_is_not_covered_up(adobe: RequestsMock, names: Names) -> None:
    adobe.get(AUDIENCES, json=audiences("a", _page={"next": "60"}))
    adobe.get(AUDIENCES, status=403)
    with pytest.raises(Forbidden):
        list(names.audiences())


def test_an_outage_is_not_taken_for_no_licence(adobe: RequestsMock, names: Names) -> None:
    adobe.get(AUDIENCES, status=503)
    with pytest.raises(Unavailable):
        list(names.audiences())


@pytest.mark.parametrize("first_page", [0, 1])
def test_definitions_whichever_number_the_first_page_has(adobe: RequestsMock, names: Names, first_page: int) -> None:
    pages = [["a", "b"], ["c", "d"], ["e"]]

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        asked = dict(parse_qsl(urlsplit(request.url).query))
        number = int(asked.get("page", first_page)) - first_page
        if not 0 <= number < len(pages):
            return 400, {}, json.dumps({"message": "no such page"})
        segments = [{"id": found} for found in pages[number]]
        return 200, {}, json.dumps({"segments": segments, "page": {"totalPages": 3, "totalCount": 5}, "link": {}})

    adobe.add_callback(responses.GET, DEFINITIONS, answer, content_type="application/json")
    assert [record.id for record in names.segment_definitions()] == ["a", "b", "c", "d", "e"]
    assert len(adobe.calls) <= 4


def test_definitions_by_their_link(adobe: RequestsMock, names: Names) -> None:
    def page(found: str, following: str) -> dict[str, Any]:
        return {"segments": [{"id": found}], "page": {}, "link": {"next": following}}

    adobe.get(DEFINITIONS, json=page("a", "/segment/definitions?start=100&limit=7"))
    adobe.get(DEFINITIONS, json=page("b", "/segment/definitions?start=200"))
    adobe.get(DEFINITIONS, json=page("c", "/segment/definitions?start=200"))
    assert [record.id for record in names.segment_definitions()] == ["a", "b", "c"]
    assert queries(adobe)[1:] == [{"limit": "100", "start": "100"}, {"limit": "100", "start": "200"}]


def test_definitions_end_at_a_page_without_news(adobe: RequestsMock, names: Names) -> None:
    adobe.get(DEFINITIONS, json={"segments": [{"id": "a"}], "page": {"totalPages": 10**9}})
    assert [record.id for record in names.segment_definitions()] == ["a"]
    assert len(adobe.calls) == 3


# Datasets ------------------------------------------------------------------------------------------------------------


def test_datasets(adobe: RequestsMock, names: Names) -> None:
    first: dict[str, Any] = {
        f"d{number:03}": {"name": f"Dataset {number}", "schemaRef": {"id": "x"}} for number in range(99)
    }
    first["union"] = {"name": "Target", "schemaRef": {"id": UNION_SCHEMA}, "created": 1538615973895}
    second: dict[str, Any] = {"bare": {"name": "No schema"}, "odd": None, "nameless": {}}
    adobe.get(DATASETS, json=first)
    adobe.get(DATASETS, json=second)
    found = {record.id: record for record in names.datasets()}
    assert len(found) == 101
    assert found["union"].details == {
        "schema_id": UNION_SCHEMA,
        "union": True,
        "created_at": "2018-10-04T01:19:33.895000Z",
    }
    assert found["bare"].details == {"union": False}
    assert names.skipped == {"dataset": 2}
    assert queries(adobe)[1] == {
        "limit": "100",
        "start": "100",
        "properties": "name,schemaRef,tags,created,description",
    }


def test_datasets_end_when_the_server_ignores_the_start(adobe: RequestsMock, names: Names) -> None:
    adobe.get(DATASETS, json={f"d{number}": {"name": "n"} for number in range(100)})
    assert len(list(names.datasets())) == 100
    assert len(adobe.calls) == 2


@pytest.mark.parametrize("content", [[], "x", 7])
def test_datasets_that_are_no_object_are_an_error(adobe: RequestsMock, names: Names, content: Any) -> None:
    adobe.get(DATASETS, json=content)
    with pytest.raises(Unavailable):
        list(names.datasets())


def test_no_datasets(adobe: RequestsMock, names: Names) -> None:
    adobe.get(DATASETS, json={})
    assert list(names.datasets()) == []


# Merge policies and sandboxes ----------------------------------------------------------------------------------------


def test_merge_policies(adobe: RequestsMock, names: Names) -> None:
    policy = {"id": "m", "name": "Default", "schema": {"name": "_xdm.context.profile"}, "version": 2, "default": True}
    adobe.get(
        POLICIES, json={"children": [policy, {"id": "n"}], "_page": {"count": 2}, "_links": {"next": {"href": ""}}}
    )
    assert [(record.id, record.name, record.details) for record in names.merge_policies()] == [
        ("m", "Default", {"schema_name": "_xdm.context.profile", "version": 2, "default": True}),
        ("n", "n", {}),
    ]


def test_sandboxes(adobe: RequestsMock) -> None:
    box = {"name": "prod", "title": "Production", "type": "production", "state": "active", "region": "VA7"}
    adobe.get(
        SANDBOXES,
        json={
            "sandboxes": [{**box, "isDefault": True}],
            "_page": {"limit": 1, "count": 1},
            "_links": {"next": {"href": "https://x/sandboxes?limit=1&offset=1"}, "page": {"href": "x"}},
        },
    )
    adobe.get(SANDBOXES, json={"sandboxes": [{"name": "dev"}]})
    names = Names(mocked_transport(sandbox_name=None))
    assert [(record.id, record.name, record.details) for record in names.sandboxes()] == [
        (
            "prod",
            "Production",
            {"title": "Production", "type": "production", "state": "active", "region": "VA7", "is_default": True},
        ),
        ("dev", "dev", {"is_default": False}),
    ]
    assert queries(adobe) == [{}, {"offset": "1"}]
    assert "x-sandbox-name" not in adobe.calls[0].request.headers


# Fields --------------------------------------------------------------------------------------------------------------

TREE: dict[str, Any] = {
    "title": "XDM Individual Profile",
    "type": "object",
    "definitions": {
        "person": {"properties": {"name": {"$ref": "#/definitions/name", "title": "Name"}}},
        "name": {"type": "object", "properties": {"firstName": {"title": "First name", "type": "string"}}},
        "loop": {"properties": {"again": {"$ref": "#/definitions/loop"}, "end": {"type": ["null", "boolean"]}}},
    },
    "allOf": [{"properties": {"person": {"$ref": "#/definitions/person"}}}, {"$ref": "#/nowhere"}, "odd"],
    "properties": {
        "_acme": {"properties": {"level": {"title": "Level", "type": "integer", "meta:xdmType": "int"}}},
        "birthDate": {"type": "string", "format": "date"},
        "emails": {"type": "array", "title": "Emails", "items": {"properties": {"address": {"type": "string"}}}},
        "tags": {"type": "array", "title": "Tags", "items": {"type": "string"}},
        "identityMap": {"title": "Identity map", "type": "object", "meta:xdmType": "map", "additionalProperties": {}},
        "loop": {"$ref": "#/definitions/loop"},
        "elsewhere": {"$ref": "https://ns.adobe.com/x"},
        "odd": 7,
        "a.b": {"type": "string"},
    },
}


def test_leaves_of_a_schema() -> None:
    assert [(field.path, field.title, field.type) for field in leaf_fields(TREE)] == [
        ("_acme.level", "Level", "int"),
        ("birthDate", "", "date"),
        ("elsewhere", "", "object"),
        ("emails.address", "", "string"),
        ("identityMap", "Identity map", "map"),
        ("loop.again", "", "object"),
        ("loop.end", "", "boolean"),
        ("person.name.firstName", "First name", "string"),
        ("tags", "Tags", "string"),
    ]


def test_deep_and_wide_schemas_end() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(80):
        deep = {"properties": {"x": deep}}
    assert leaf_fields(deep) == []
    wide = {"properties": {f"p{number}": {"type": "string"} for number in range(30_000)}}
    assert len(leaf_fields(wide)) == 20_000
    looping: dict[str, Any] = {"definitions": {}, "properties": {}}
    for number in range(6):
        looping["definitions"][str(number)] = {
            "allOf": [{"$ref": f"#/definitions/{other}"} for other in range(6)],
            "properties": {f"q{number}": {"$ref": f"#/definitions/{(number + 1) % 6}"}},
        }
    looping["properties"] = {"start": {"$ref": "#/definitions/0"}}
    assert len(leaf_fields(looping)) <= 20_000


def test_profile_fields_ask_for_the_full_form(adobe: RequestsMock, names: Names) -> None:
    adobe.get(PROFILE_UNION, json=TREE, content_type="application/vnd.adobe.xed-full+json; version=1")
    assert "person.name.firstName" in [field.path for field in names.profile_fields()]
    assert adobe.calls[0].request.headers["Accept"] == "application/vnd.adobe.xed-full+json;version=1"


def test_profile_fields_in_the_short_form_where_the_full_one_is_refused(adobe: RequestsMock, names: Names) -> None:
    adobe.get(PROFILE_UNION, status=400)
    adobe.get(PROFILE_UNION, json=TREE)
    assert names.profile_fields()
    assert adobe.calls[1].request.headers["Accept"] == "application/vnd.adobe.xed+json;version=1"


def test_profile_fields_under_the_id_that_the_list_tells(adobe: RequestsMock, names: Names) -> None:
    adobe.get(PROFILE_UNION, status=404)
    adobe.get(UNIONS, json={"results": [{"$id": "other"}, {"$id": UNION_SCHEMA, "title": "t"}]})
    adobe.get(f"{UNIONS}/https%3A%2F%2Fns.adobe.com%2Fxdm%2Fcontext%2Fprofile__union", json=TREE)
    assert names.profile_fields()
    assert adobe.calls[1].request.headers["Accept"] == "application/vnd.adobe.xed-id+json"


# Batches and estimates -----------------------------------------------------------------------------------------------


def test_a_batch(adobe: RequestsMock, names: Names) -> None:
    batch = {
        "status": "Success",
        "created": 1538615973895,
        "completed": 1538616233239,
        "recordCount": 20,
        "failedRecordCount": 0,
        "size": "1024",
        "relatedObjects": [{"type": "dataSet", "id": "d"}, {"type": "batch", "id": "x"}],
        "errors": [{"code": "106", "description": "Dataset file is empty"}, 5],
    }
    adobe.get(f"{BATCHES}/b1", json={"b1": batch})
    found = names.batch("b1")
    assert found is not None
    assert (found.status, found.dataset_id, found.records, found.size_bytes) == ("success", "d", 20, 1024)
    assert found.failed_records == 0
    assert found.errors == ["Dataset file is empty"]
    assert found.created_at is not None


def test_a_batch_whose_id_is_only_reserved(adobe: RequestsMock, names: Names) -> None:
    adobe.get(f"{BATCHES}/b1", status=404)
    adobe.get(f"{BATCHES}/b2", json={})
    assert names.batch("b1") is None
    assert names.batch("b2") is None


def test_an_estimate(adobe: RequestsMock, names: Names) -> None:
    adobe.post(f"{UPS}/preview", json={"state": "NEW", "previewQueryId": "q", "previewId": "a/b"})
    estimate = {"estimatedSize": 4275, "state": "RESULT_READY", "confidenceInterval": "95%", "standardError": 0.5}
    adobe.get(f"{UPS}/estimate/a%2Fb", json={**estimate, "error": {"description": "", "traceback": ""}})
    found = names.estimate({"predicateExpression": 'workAddress.country = "US"'})
    assert found is not None
    assert (found.count, found.confidence, found.standard_error, found.ready) == (4275, "95%", 0.5, True)
    assert json.loads(adobe.calls[0].request.body or "") == {
        "predicateExpression": 'workAddress.country = "US"',
        "predicateType": "pql/text",
        "predicateModel": "_xdm.context.profile",
    }


@pytest.mark.parametrize(
    ("preview", "estimate"),
    [
        ({"status": 403}, {}),
        ({"json": {}}, {}),
        ({"json": {"previewId": "p"}}, {"status": 404}),
        ({"json": {"previewId": "p"}}, {"json": {"state": "RUNNING"}}),
        ({"json": {"previewId": "p"}}, {"json": []}),
    ],
)
def test_no_estimate(adobe: RequestsMock, names: Names, preview: dict[str, Any], estimate: dict[str, Any]) -> None:
    adobe.post(f"{UPS}/preview", **preview)
    adobe.get(f"{UPS}/estimate/p", **estimate)
    assert names.estimate({"predicateExpression": "x"}) is None
    assert names.estimate() is None
    assert sum(call.request.method == "POST" for call in adobe.calls) == 1
