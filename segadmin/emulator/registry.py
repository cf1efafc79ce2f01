"""Read-only schema registry: the union schemas, whose leaves are the fields that an export can pick."""

from __future__ import annotations

from segadmin.emulator.errors import refuse
from segadmin.emulator.fields import EVENT_FIELDS, PROFILE_FIELDS, FieldTree, own_fields
from segadmin.emulator.gateway import Caller, whole_number
from segadmin.emulator.messages import JsonObject, Request, Response, as_json

_UNIONS: dict[str, tuple[str, FieldTree]] = {
    "profile": ("XDM Individual Profile", PROFILE_FIELDS),
    "experienceevent": ("XDM ExperienceEvent", EVENT_FIELDS),
}
_VERSIONED = ("application/vnd.adobe.xed+json", "application/vnd.adobe.xed-full+json")
_LISTS = ("application/vnd.adobe.xed-id+json", "application/vnd.adobe.xed+json")


class Registry:
    """GET /data/foundation/schemaregistry/tenant/unions. The Accept header decides, and a wrong one is a 400."""

    def unions(self, _caller: Caller, request: Request) -> Response:
        """The list: an Accept without version."""
        kind, version = _accept(request)
        if kind not in _LISTS or version:
            raise refuse("problem", 400, f"Accept must be one of {', '.join(_LISTS)}, without a version")
        start = whole_number(request, "start", 0, 0, 1000)
        limit = whole_number(request, "limit", 20, 1, 500)
        results = [_head(name) for name in _UNIONS][start : start + limit]
        return as_json(200, {"results": results, "_page": {"count": len(results)}, "_links": {}})

    def union(self, caller: Caller, request: Request, union_id: str) -> Response:
        """One union by `meta:altId` or `$id`: an Accept with version; only `xed-full` resolves references."""
        kind, version = _accept(request)
        if kind not in _VERSIONED or version not in ("1", "1.0"):
            raise refuse("problem", 400, f"Accept must be one of {', '.join(_VERSIONED)} with ;version=1")
        for name, (_title, tree) in _UNIONS.items():
            head = _head(name)
            if union_id in (head["meta:altId"], head["$id"]):
                whole = {**tree, caller.tenant.own_field: own_fields(name)}
                body = _resolved(whole) if "full" in kind else _referring(whole, caller.tenant.own_field)
                return as_json(200, {**head, "type": "object", **body}, Content_Type=f"{kind}; version={version}")
        raise refuse("problem", 404, f"Union {union_id} was not found")


def _accept(request: Request) -> tuple[str, str]:
    kind, _, rest = request.headers.get("accept", "").partition(";")
    name, _, value = rest.strip().partition("=")
    return kind.strip(), value.strip() if name == "version" else ""


def _head(name: str) -> JsonObject:
    return {
        "$id": f"https://ns.adobe.com/xdm/context/{name}__union",
        "meta:altId": f"_xdm.context.{name}__union",
        "meta:resourceType": "unions",
        "title": _UNIONS[name][0],
        "description": "Union view of all profile-enabled schemas of this class",
        "version": "1.0",
        "meta:class": f"https://ns.adobe.com/xdm/context/{name}",
    }


def _resolved(tree: FieldTree) -> JsonObject:
    return {"properties": _properties(tree, "xdm"), "meta:allFieldAccess": True}


def _referring(tree: FieldTree, own: str) -> JsonObject:
    """Without `full` the standard parts are references and only the organization's own are spelled out."""
    references = [{"$ref": f"https://ns.adobe.com/xdm/mixins/{name}", "type": "object"} for name in tree if name != own]
    return {"allOf": [*references, {"properties": _properties({own: tree[own]}, "xdm"), "type": "object"}]}


def _properties(tree: FieldTree, prefix: str) -> JsonObject:
    return {name: _schema(name, node, f"{prefix}:{name}") for name, node in tree.items()}


def _schema(name: str, node: FieldTree | str, path: str) -> JsonObject:
    title = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name.strip("_")).capitalize()
    shown: JsonObject = {"title": title, "meta:xdmField": path}
    if isinstance(node, dict):
        return {**shown, "type": "object", "meta:xdmType": "object", "properties": _properties(node, path)}
    kind, _, form = node.partition(":")
    shown |= {"type": kind, "meta:xdmType": form or kind}
    if form in ("date", "date-time", "email"):
        shown["format"] = form
    if kind == "array":
        item: JsonObject = {"type": form} if form else {"type": "object", "properties": {}}
        shown |= {"meta:xdmType": "array", "items": item}
    if form == "map":
        shown |= {"additionalProperties": {"type": "array", "items": _identity_item()}}
    return shown


def _identity_item() -> JsonObject:
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "meta:xdmType": "string"},
            "primary": {"type": "boolean", "meta:xdmType": "boolean"},
            "authenticatedState": {"type": "string", "meta:xdmType": "string"},
        },
    }
