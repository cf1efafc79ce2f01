"""Ids to names: audiences, datasets, merge policies, sandboxes, profile fields; batches and estimates besides.

All of it only reads. Records that can't be used are left out and counted in `Names.skipped`, by kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from segadmin.aep import coerce
from segadmin.aep.addresses import quote_id
from segadmin.aep.errors import AEPError, Forbidden, NotFound, Rejected, Unavailable
from segadmin.aep.export_request import PROFILE_SCHEMA
from segadmin.aep.paging import children_pages, keyed_pages, numbered_pages
from segadmin.aep.transport import Transport
from segadmin.aep.types import DEFAULT_NAMESPACE
from segadmin.aep.union_fields import ProfileField, leaf_fields

__all__ = ["BatchInfo", "Estimate", "NameRecord", "Names", "ProfileField"]

UNION_SCHEMA = "https://ns.adobe.com/xdm/context/profile__union"
_UPS = "/data/core/ups"
_CATALOG = "/data/foundation/catalog"
_UNIONS = "/data/foundation/schemaregistry/tenant/unions"
_AUDIENCES_LIMIT = 60
_DEFINITIONS_LIMIT = 100
_CATALOG_LIMIT = 100
_POLICIES_LIMIT = 100
_MAX_NAME = 500
# What the audiences list calls the namespace that export jobs call `ups`.
_PLATFORM_NAMESPACE = "AEPSegments"


@dataclass(frozen=True)
class NameRecord:
    """What an id is called. `kind`: audience, dataset, merge_policy or sandbox; `namespace` is for audiences.

    `details` by kind. audience: description, lifecycle, merge_policy_id, origin, audience_id (a second id, if it
    has one), updated_at, profiles and evaluated_at (of the last evaluation, where told). dataset: description, schema_id,
    union (built on the profile union schema), created_at.
    merge_policy: schema_name, version, default. sandbox: title, type, state, region, is_default.
    Times are ISO 8601 texts in UTC, so that details are plain JSON.
    """

    kind: str
    id: str
    namespace: str
    name: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchInfo:
    """A Catalog batch. `status` is Catalog's lower-case word, such as processing, success or failed."""

    id: str
    status: str
    dataset_id: str | None = None
    records: int | None = None
    failed_records: int | None = None
    size_bytes: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    errors: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Estimate:
    """About how many profiles an audience has. `confidence` as Adobe writes it, such as `95%`; `ready` when final."""

    count: int
    confidence: str | None = None
    standard_error: float | None = None
    ready: bool = True


class Names:
    """Names of the things in the transport's sandbox (sandboxes themselves: of its org)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.skipped: dict[str, int] = {}

    def audiences(self) -> Iterator[NameRecord]:
        """Every audience. Falls back to segment definitions where audiences are not licensed, or none are told."""
        found = False
        try:
            for records in children_pages(self._fetch(f"{_UPS}/audiences"), {"limit": _AUDIENCES_LIMIT}):
                for record in self._usable("audience", records, _audience):
                    found = True
                    yield record
        except (Forbidden, NotFound, Rejected):
            if found:
                raise
        if not found:
            yield from self.segment_definitions()

    def segment_definitions(self) -> Iterator[NameRecord]:
        """Every segment definition, as audiences of the namespace `ups`."""
        fetch = self._fetch(f"{_UPS}/segment/definitions")
        for records in numbered_pages(fetch, {"limit": _DEFINITIONS_LIMIT}, "segments"):
            yield from self._usable("audience", records, _audience)

    def datasets(self) -> Iterator[NameRecord]:
        """Every dataset; `details["union"]` says whether it can take an export."""
        params = {"properties": "name,schemaRef,tags,created,description"}
        fetch = self._fetch(f"{_CATALOG}/dataSets")
        for page in keyed_pages(fetch, params, _CATALOG_LIMIT):
            records = [{**item, "id": key} if isinstance(item, dict) else item for key, item in page.items()]
            yield from self._usable("dataset", records, _dataset)

    def merge_policies(self) -> Iterator[NameRecord]:
        """Every merge policy, which are few."""
        fetch = self._fetch(f"{_UPS}/config/mergePolicies")
        for records in children_pages(fetch, {"limit": _POLICIES_LIMIT}):
            yield from self._usable("merge_policy", records, _merge_policy)

    def sandboxes(self) -> Iterator[NameRecord]:
        """The org's sandboxes that this credential may see; ids are their names, as sent in `x-sandbox-name`."""
        fetch = self._fetch("/data/foundation/sandbox-management/")
        for records in children_pages(fetch, {}, "sandboxes"):
            yield from self._usable("sandbox", records, _sandbox)

    def profile_fields(self) -> list[ProfileField]:
        """The fields that an export may name: leaves of the profile union schema, in dotted notation, sorted."""
        return leaf_fields(self._union_tree())

    def estimate(self, body: Mapping[str, Any] | None = None) -> Estimate | None:
        """About how many profiles match. None where Adobe gives no number (yet) or does not offer this.

        `body` as for `/preview`: `predicateExpression` (PQL) with its `predicateType` and `predicateModel`.
        """
        asked = {"predicateType": "pql/text", "predicateModel": PROFILE_SCHEMA, **(body or {})}
        if not coerce.text(asked.get("predicateExpression")):
            return None
        try:
            preview = coerce.mapping(self._transport.post(f"{_UPS}/preview", json=asked).json)
            preview_id = coerce.text(coerce.get(preview, "previewId", "id"))
            if preview_id is None:
                return None
            content = self._transport.get(f"{_UPS}/estimate/{quote_id(preview_id)}").json
        except (AEPError, ValueError):
            return None
        return _estimate(coerce.mapping(content))

    def batch(self, batch_id: str) -> BatchInfo | None:
        """A batch by its id; None while the id is only reserved (Catalog says 404 then)."""
        try:
            content = self._transport.get(f"{_CATALOG}/batches/{quote_id(batch_id)}").json
        except NotFound:
            return None
        if not isinstance(content, dict):
            raise Unavailable("Adobe's answer is not a batch.", code="unusable")
        record = content.get(batch_id, content if "status" in content else None)
        return _batch(batch_id, record) if isinstance(record, dict) else None

    def _fetch(self, path: str) -> Any:
        return lambda params: self._transport.get(path, params=params).json

    def _usable(self, kind: str, records: list[Any], read: Any) -> Iterator[NameRecord]:
        for raw in records:
            record: NameRecord | None = read(coerce.mapping(raw))
            if record is None:
                self.skipped[kind] = self.skipped.get(kind, 0) + 1
            else:
                yield record

    def _union_tree(self) -> dict[str, Any]:
        """The union schema with its references resolved, or without where the full form is refused."""
        name = f"{PROFILE_SCHEMA}__union"
        for form in ("xed-full", "xed"):
            try:
                return self._schema(name, form)
            except NotFound:
                name = self._union_id() or name
            except Rejected:
                continue
        return self._schema(name, "xed")

    def _schema(self, name: str, form: str) -> dict[str, Any]:
        accept = f"application/vnd.adobe.{form}+json;version=1"
        content = self._transport.get(f"{_UNIONS}/{quote_id(name)}", headers={"Accept": accept}).json
        if not isinstance(content, dict):
            raise Unavailable("Adobe's answer is not a schema.", code="unusable")
        return content

    def _union_id(self) -> str | None:
        """The address of the profile union among this org's unions. The list wants an Accept without a version."""
        accept = "application/vnd.adobe.xed-id+json"
        content = coerce.mapping(self._transport.get(_UNIONS, headers={"Accept": accept}).json)
        for item in coerce.objects(content.get("results")):
            if coerce.text(item.get("$id")) == UNION_SCHEMA or item.get("meta:altId") == f"{PROFILE_SCHEMA}__union":
                return coerce.text(coerce.get(item, "$id", "meta:altId"))
        return None


def _usable_id(value: object) -> str | None:
    found = coerce.text(value)
    try:
        return found if found is not None and quote_id(found) else None
    except ValueError:
        return None


def _named(record: Mapping[str, Any], fallback: str, *names: str) -> str:
    found = coerce.text(coerce.get(record, *names))
    return " ".join(found.split())[:_MAX_NAME] if found else fallback


def _said(**details: Any) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value is not None}


def _time(value: object) -> str | None:
    found = coerce.moment(value)
    return found.isoformat().replace("+00:00", "Z") if found else None


def _audience(record: Mapping[str, Any]) -> NameRecord | None:
    other_id = _usable_id(record.get("audienceId"))
    audience_id = _usable_id(record.get("id")) or other_id
    if audience_id is None:
        return None
    namespace = coerce.text(record.get("namespace")) or DEFAULT_NAMESPACE
    metrics = coerce.mapping(record.get("metrics"))
    counted = coerce.mapping(metrics.get("data"))
    details = _said(
        description=coerce.text(record.get("description")),
        lifecycle=coerce.text(coerce.get(record, "lifecycleState", "lifecycle")),
        merge_policy_id=coerce.text(record.get("mergePolicyId")),
        origin=coerce.text(record.get("originName")),
        audience_id=other_id if other_id != audience_id else None,
        updated_at=_time(coerce.get(record, "updateEpoch", "updateTime")),
        profiles=coerce.count(coerce.get(counted, "totalProfiles")),
        evaluated_at=_time(coerce.get(metrics, "updateEpoch", "createEpoch")),
    )
    if namespace == _PLATFORM_NAMESPACE:
        namespace = DEFAULT_NAMESPACE
    return NameRecord("audience", audience_id, namespace, _named(record, audience_id, "name"), details)


def _dataset(record: Mapping[str, Any]) -> NameRecord | None:
    dataset_id = _usable_id(record.get("id"))
    if dataset_id is None or "name" not in record:
        return None
    schema = coerce.mapping(record.get("schemaRef"))
    schema_id = coerce.text(schema.get("id"))
    details = _said(
        description=coerce.text(record.get("description")),
        schema_id=schema_id,
        union=schema_id == UNION_SCHEMA,
        created_at=_time(record.get("created")),
    )
    return NameRecord("dataset", dataset_id, "", _named(record, dataset_id, "name"), details)


def _merge_policy(record: Mapping[str, Any]) -> NameRecord | None:
    policy_id = _usable_id(record.get("id"))
    if policy_id is None:
        return None
    details = _said(
        schema_name=coerce.text(coerce.mapping(record.get("schema")).get("name")),
        version=coerce.count(record.get("version")),
        default=coerce.flag(record.get("default")),
    )
    return NameRecord("merge_policy", policy_id, "", _named(record, policy_id, "name"), details)


def _sandbox(record: Mapping[str, Any]) -> NameRecord | None:
    name = _usable_id(record.get("name"))
    if name is None:
        return None
    details = _said(
        title=coerce.text(record.get("title")),
        type=coerce.text(record.get("type")),
        state=coerce.text(record.get("state")),
        region=coerce.text(record.get("region")),
        is_default=coerce.flag(record.get("isDefault")) or False,
    )
    return NameRecord("sandbox", name, "", _named(record, name, "title", "name"), details)


def _estimate(content: Mapping[str, Any]) -> Estimate | None:
    size = coerce.count(coerce.get(content, "estimatedSize"))
    if size is None:
        return None
    error = content.get("standardError")
    state = coerce.text(content.get("state"))
    return Estimate(
        count=size,
        confidence=coerce.text(content.get("confidenceInterval")),
        standard_error=float(error) if isinstance(error, int | float) and not isinstance(error, bool) else None,
        ready=state is None or state.upper() == "RESULT_READY",
    )


def _batch(batch_id: str, record: Mapping[str, Any]) -> BatchInfo:
    metrics = coerce.mapping(record.get("metrics"))
    related = {
        coerce.text(item.get("type")): coerce.text(item.get("id"))
        for item in coerce.objects(record.get("relatedObjects"))
    }
    errors = [
        coerce.text(coerce.get(item, "description", "message", "msg")) for item in coerce.objects(record.get("errors"))
    ]
    return BatchInfo(
        id=batch_id,
        status=(coerce.text(record.get("status")) or "").lower(),
        dataset_id=related.get("dataSet") or coerce.text(record.get("dataSetId")),
        records=coerce.count(coerce.get({**metrics, **record}, "recordCount", "outputRecordCount")),
        failed_records=coerce.count(coerce.get({**metrics, **record}, "failedRecordCount")),
        size_bytes=coerce.count(coerce.get({**metrics, **record}, "size", "outputByteSize")),
        created_at=coerce.moment(record.get("created")),
        started_at=coerce.moment(record.get("started") or metrics.get("startTime")),
        completed_at=coerce.moment(record.get("completed") or metrics.get("endTime")),
        errors=[error for error in errors if error],
        raw=dict(record),
    )
