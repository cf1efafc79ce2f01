"""The smaller read-only neighbours: merge policies, sandboxes, audience estimates."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping

from segadmin.emulator.content import Content, MergePolicy
from segadmin.emulator.errors import refuse
from segadmin.emulator.gateway import Caller, json_object, whole_number
from segadmin.emulator.jobs import Place
from segadmin.emulator.messages import JsonObject, Request, Response, as_json
from segadmin.emulator.stable import stable_number, stable_uuid
from segadmin.emulator.world import TenantSandbox


class MergePolicies:
    """GET /data/core/ups/config/mergePolicies. The legacy `timestampOrdered-none-mp` is never listed."""

    def __init__(self, contents: Mapping[Place, Content]) -> None:
        self._contents = contents

    def list(self, caller: Caller, request: Request) -> Response:
        """`children`, `_page`, and a next link that is empty at the end."""
        policies = list(self._contents[caller.tenant.ims_org_id, caller.sandbox].merge_policies.values())
        if request.param("default") == "true":
            policies = [policy for policy in policies if policy.default]
        start = whole_number(request, "start", 0, 0, 1_000_000)
        limit = whole_number(request, "limit", 20, 1, 100)
        end = start + limit
        more = end < len(policies)
        page: JsonObject = {"count": len(policies[start:end]), "totalCount": len(policies)}
        if more:
            page["next"] = str(end)
        href = f"@/config/mergePolicies?start={end}&limit={limit}" if more else ""
        children = [_policy(policy, caller) for policy in policies[start:end]]
        return as_json(200, {"_page": page, "children": children, "_links": {"next": {"href": href}}})

    def get(self, caller: Caller, _request: Request, policy_id: str) -> Response:
        """One merge policy."""
        policies = self._contents[caller.tenant.ims_org_id, caller.sandbox].merge_policies
        if policy_id not in policies:
            raise refuse("ups", 404, f"Merge policy {policy_id} was not found")
        return as_json(200, _policy(policies[policy_id], caller))


def _policy(policy: MergePolicy, caller: Caller) -> JsonObject:
    shown: JsonObject = {
        "id": policy.policy_id,
        "imsOrgId": caller.tenant.ims_org_id,
        "sandbox": {"sandboxName": caller.sandbox},
        "schema": {"name": "_xdm.context.profile"},
        "version": policy.version,
        "identityGraph": {"type": policy.identity_graph},
        "attributeMerge": {"type": policy.attribute_merge},
        "isActiveOnEdge": policy.default,
        "default": policy.default,
        "updateEpoch": 1_700_000_000,
    }
    if policy.name is not None:
        shown["name"] = policy.name
    return shown


class Sandboxes:
    """GET /data/foundation/sandbox-management/ and /sandboxes; neither asks for x-sandbox-name."""

    def of_caller(self, caller: Caller, _request: Request) -> Response:
        """Those the caller may use, in any state."""
        return self._answer(caller, "")

    def every(self, caller: Caller, _request: Request) -> Response:
        """All of the organization, for its administrators."""
        return self._answer(caller, "sandboxes")

    def _answer(self, caller: Caller, path: str) -> Response:
        shown = [_sandbox(caller, sandbox) for sandbox in caller.tenant.sandboxes]
        href = f"https://platform.adobe.io/data/foundation/sandbox-management/{path}?limit=50&offset=0"
        links = {"page": {"href": href, "templated": True}}
        return as_json(200, {"sandboxes": shown, "_page": {"limit": 50, "count": len(shown)}, "_links": links})

    def one(self, caller: Caller, _request: Request, name: str) -> Response:
        """One sandbox by name."""
        sandbox = caller.tenant.sandbox(name)
        if sandbox is None:
            raise refuse("problem", 404, f"Sandbox {name} was not found")
        return as_json(200, _sandbox(caller, sandbox))


def _sandbox(caller: Caller, sandbox: TenantSandbox) -> JsonObject:
    return {
        "id": stable_uuid(caller.tenant.ims_org_id, sandbox.name, "sandbox"),
        "name": sandbox.name,
        "title": sandbox.title,
        "state": sandbox.state,
        "type": sandbox.type,
        "region": sandbox.region,
        "isDefault": sandbox.is_default,
        "eTag": 1,
        "createdDate": "2023-07-22 09:14:05",
        "lastModifiedDate": "2025-02-11 16:40:51",
        "createdBy": caller.tenant.ims_org_id,
    }


class Estimates:
    """POST /preview, then GET /estimate/{id}: how many profiles an expression matches, after a moment.

    The preview id carries everything, so nothing is stored.
    """

    def __init__(self, contents: Mapping[Place, Content], clock: Callable[[], float], speed: float) -> None:
        self._contents = contents
        self._clock = clock
        self._speed = speed

    def start(self, caller: Caller, request: Request) -> Response:
        """Begin a preview of `predicateExpression`."""
        body = json_object(request)
        expression = body.get("predicateExpression")
        if not isinstance(expression, str) or not expression:
            raise refuse("problem", 400, "predicateExpression must be a non-empty string")
        content = self._contents[caller.tenant.ims_org_id, caller.sandbox]
        matched = next((item.profiles for item in content.audiences.values() if item.pql == expression), None)
        if matched is None:
            matched = stable_number(content.total_profiles // 3, expression)
        ready_at = self._clock() + 1.5 / self._speed
        memo = json.dumps([caller.tenant.ims_org_id, caller.sandbox, ready_at, matched, content.total_profiles])
        preview_id = base64.urlsafe_b64encode(memo.encode()).decode().rstrip("=")
        reply = {"state": "NEW", "previewQueryId": stable_uuid(memo), "previewId": preview_id, "previewExecutionId": 0}
        return as_json(200, reply)

    def preview(self, caller: Caller, _request: Request, preview_id: str) -> Response:
        """The preview itself, without sample profiles."""
        ready, _matched, _total = self._recall(caller, preview_id)
        state = "RESULT_READY" if ready else "RUNNING"
        return as_json(200, {"results": [], "state": state, "page": {"offset": 0, "size": 0}})

    def estimate(self, caller: Caller, _request: Request, preview_id: str) -> Response:
        """The estimate; all numbers in it are strings or numbers as the documentation's sample has them."""
        ready, matched, total = self._recall(caller, preview_id)
        reply: JsonObject = {
            "state": "RESULT_READY" if ready else "RUNNING",
            "totalRows": total,
            "profilesReadSoFar": total if ready else total // 5,
            "profilesMatchedSoFar": matched if ready else matched // 5,
            "estimatedSize": matched,
            "numRowsToRead": total,
            "standardError": 0,
            "confidenceInterval": "95%",
            "error": {"description": "", "traceback": ""},
            "_links": {"preview": f"https://platform.adobe.io/data/core/ups/preview/{preview_id}"},
        }
        return as_json(200, reply)

    def _recall(self, caller: Caller, preview_id: str) -> tuple[bool, int, int]:
        """(ready, profiles matched, profiles in all); another sandbox's preview is unknown."""
        try:
            padded = preview_id + "=" * (-len(preview_id) % 4)
            org, sandbox, ready_at, matched, total = json.loads(base64.urlsafe_b64decode(padded))
        except (ValueError, TypeError, binascii.Error):
            org = sandbox = None
        if (org, sandbox) != (caller.tenant.ims_org_id, caller.sandbox):
            raise refuse("ups", 404, "The preview was not found")
        return self._clock() >= float(ready_at), int(matched), int(total)
