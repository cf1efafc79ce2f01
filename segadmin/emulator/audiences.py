"""Read-only segment definitions and audiences, each with its own envelope and its own way of paging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

from segadmin.emulator.content import Audience, Content
from segadmin.emulator.errors import refuse, ups_body
from segadmin.emulator.gateway import Caller, json_object, whole_number
from segadmin.emulator.jobs import Place
from segadmin.emulator.messages import JsonObject, Request, Response, as_json

LONGEST_BULK = 100

Show = Callable[[Audience, Caller], JsonObject]


class Audiences:
    """GET /segment/definitions, GET /audiences, their single forms and their bulk-get."""

    def __init__(self, contents: Mapping[Place, Content]) -> None:
        self._contents = contents

    def _all(self, caller: Caller) -> Mapping[str, Audience]:
        return self._contents[caller.tenant.ims_org_id, caller.sandbox].audiences

    def definitions(self, caller: Caller, request: Request) -> Response:
        """`segments`, `page` with totals, `link` that is empty on the last page. Pages count from 1; 0 is the first."""
        found = [audience for audience in self._all(caller).values() if not audience.external]
        if request.param("evaluationInfo.continuous.enabled") == "true":
            found = [audience for audience in found if audience.evaluation == "continuous"]
        _sort(found, request)
        limit = whole_number(request, "limit", 20, 1, 100)
        number = whole_number(request, "page", 0, 0, 1_000_000)
        start = whole_number(request, "start", max(number - 1, 0) * limit, 0, 1_000_000)
        end = start + limit
        page = {
            "totalCount": len(found),
            "totalPages": ceil(len(found) / limit),
            "sortField": "creationTime",
            "sort": "desc",
            "pageSize": len(found[start:end]),
            "limit": limit,
        }
        link = {"next": f"/segment/definitions?start={end}&limit={limit}"} if end < len(found) else {}
        segments = [_definition(audience, caller) for audience in found[start:end]]
        return as_json(200, {"segments": segments, "page": page, "link": link})

    def definition(self, caller: Caller, _request: Request, audience_id: str) -> Response:
        """One segment definition; an uploaded audience has none."""
        found = self._all(caller).get(audience_id)
        if found is None or found.external:
            raise refuse("ups", 404, f"Segment definition {audience_id} was not found")
        return as_json(200, _definition(found, caller))

    def definitions_bulk(self, caller: Caller, request: Request) -> Response:
        """207 with one result or one error per asked id."""
        known = {key: item for key, item in self._all(caller).items() if not item.external}
        asked = _asked_ids(json_object(request))
        return as_json(207, {"results": {key: _result(key, known, caller, _definition) for key in asked}})

    def audiences(self, caller: Caller, request: Request) -> Response:
        """`children`, `_page.next` as the next start, and a link that begins with `@/`."""
        found = [audience for audience in self._all(caller).values() if _matches(audience, request)]
        _sort(found, request)
        limit = whole_number(request, "limit", 20, 1, 100)
        start = whole_number(request, "start", 0, 0, 1_000_000)
        end = start + limit
        page: JsonObject = {
            "totalCount": len(found),
            "totalPages": ceil(len(found) / limit),
            "pageSize": len(found[start:end]),
            "start": str(start),
            "limit": limit,
        }
        links: JsonObject = {}
        if end < len(found):
            page["next"] = str(end)
            links["next"] = {"href": f"@/audiences?start={end}&limit={limit}&totalCount={len(found)}"}
        children = [_audience(audience, caller) for audience in found[start:end]]
        return as_json(200, {"children": children, "_page": page, "_links": links})

    def audience(self, caller: Caller, _request: Request, audience_id: str) -> Response:
        """One audience."""
        found = self._all(caller).get(audience_id)
        if found is None:
            raise refuse("ups_nested", 404, f"Audience {audience_id} was not found")
        return as_json(200, _audience(found, caller))

    def audiences_bulk(self, caller: Caller, request: Request) -> Response:
        """207 with results and errors side by side; 404 when every id is missing."""
        known = self._all(caller)
        asked = _asked_ids(json_object(request))
        if not any(key in known for key in asked):
            raise refuse("ups", 404, "No audience was found for the given ids")
        return as_json(207, {"results": {key: _result(key, known, caller, _audience) for key in asked}})


def _result(key: str, known: Mapping[str, Audience], caller: Caller, show: Show) -> JsonObject:
    if key not in known:
        missing = ups_body(404, f"{key} was not found", caller.request_id)
        return {"requestId": missing["requestId"], "errors": {"404": missing["errors"]["404"]}}
    return show(known[key], caller)


def _asked_ids(body: JsonObject) -> list[str]:
    items = body.get("ids")
    if not isinstance(items, list) or not items or len(items) > LONGEST_BULK:
        raise refuse("problem", 400, f"ids must hold from 1 to {LONGEST_BULK} items")
    ids = [item.get("id") if isinstance(item, dict) else item for item in items]
    if not all(isinstance(key, str) and key for key in ids):
        raise refuse("problem", 400, "every item of ids must have an id")
    return [str(key) for key in ids]


def _matches(audience: Audience, request: Request) -> bool:
    name, description = request.param("name"), request.param("description")
    if name and name.lower() not in audience.name.lower():
        return False
    if description and description.lower() not in audience.description.lower():
        return False
    for condition in request.query.get("property", []):
        field, found, value = condition.partition("==")
        known = {"audienceId": audience.audience_id, "id": audience.audience_id, "originName": audience.origin}
        if found and known.get(field, value) != value:
            return False
    return request.param("entityType") in (None, "_xdm.context.profile")


def _sort(found: list[Audience], request: Request) -> Sequence[Audience]:
    field, _, direction = (request.param("sort") or "creationTime:desc").partition(":")
    found.sort(key=lambda item: (item.updated_ms if "update" in field else item.created_ms, item.audience_id))
    if direction == "desc":
        found.reverse()
    return found


def _common(audience: Audience, caller: Caller) -> JsonObject:
    sandbox = caller.tenant.sandbox(caller.sandbox)
    assert sandbox is not None
    return {
        "name": audience.name,
        "description": audience.description,
        "profileInstanceId": "ups",
        "imsOrgId": caller.tenant.ims_org_id,
        "sandbox": {"sandboxName": sandbox.name, "type": sandbox.type, "default": sandbox.is_default},
        "schema": {"name": "_xdm.context.profile"},
        "ttlInDays": 30,
        "creationTime": audience.created_ms,
        "updateTime": audience.updated_ms // 1000,
        "updateEpoch": audience.updated_ms // 1000,
        "createEpoch": audience.created_ms // 1000,
    }


def _evaluation(audience: Audience) -> JsonObject:
    return {kind: {"enabled": audience.evaluation == kind} for kind in ("batch", "continuous", "synchronous")}


def _definition(audience: Audience, caller: Caller) -> JsonObject:
    return {
        "id": audience.audience_id,
        **_common(audience, caller),
        "expression": {"type": "PQL", "format": "pql/text", "value": audience.pql},
        "evaluationInfo": _evaluation(audience),
        "mergePolicyId": audience.merge_policy_id,
        "dataGovernancePolicy": {"excludeOptOut": True},
        "lifecycle": "published",
        "definedOn": [{"$ref": "https://ns.adobe.com/xdm/context/profile__union"}],
    }


def _audience(audience: Audience, caller: Caller) -> JsonObject:
    shown: JsonObject = {
        "id": audience.audience_id,
        "audienceId": audience.audience_id.rpartition("_")[2],
        **_common(audience, caller),
        "lifecycleState": "published",
        "originName": audience.origin,
        "namespace": "CustomerAudienceUpload" if audience.external else "AEPSegments",
        "labels": ["core/C1"],
    }
    if not audience.external:
        shown["expression"] = {"type": "PQL", "format": "pql/text", "value": audience.pql}
        shown["evaluationInfo"] = _evaluation(audience)
        shown["mergePolicyId"] = audience.merge_policy_id
        shown["metrics"] = {"data": {"totalProfiles": audience.profiles}}
    return shown
