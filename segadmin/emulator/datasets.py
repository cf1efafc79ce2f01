"""Read-only Catalog: datasets and the batches that exports write. Both are objects keyed by id."""

from __future__ import annotations

from collections.abc import Mapping

from segadmin.emulator.content import Content, Dataset
from segadmin.emulator.errors import refuse
from segadmin.emulator.gateway import Caller, whole_number
from segadmin.emulator.jobs import JobBook, Place
from segadmin.emulator.messages import JsonObject, Request, Response, as_json
from segadmin.emulator.plans import JobPlan

_BATCH_STATUS = {"PROCESSING": "processing", "CANCELLING": "processing", "SUCCEEDED": "success", "FAILED": "failed"}


class Catalog:
    """GET /data/foundation/catalog/dataSets and /batches."""

    def __init__(self, contents: Mapping[Place, Content], book: JobBook) -> None:
        self._contents = contents
        self._book = book

    def datasets(self, caller: Caller, request: Request) -> Response:
        """One page; the caller stops when it holds fewer than `limit`."""
        place = caller.tenant.ims_org_id, caller.sandbox
        found = [item for item in self._contents[place].datasets.values() if _matches(item, request)]
        order = request.param("orderBy")
        if order:
            by_name = order.partition(":")[2] == "name"
            found.sort(
                key=lambda item: (item.name if by_name else "", item.created_ms, item.dataset_id),
                reverse=order.startswith("desc:"),
            )
        start = whole_number(request, "start", 0, 0, 1_000_000)
        limit = whole_number(request, "limit", 20, 1, 100)
        wanted = _wanted(request)
        page = found[start : start + limit]
        return as_json(200, {item.dataset_id: _dataset_object(item, caller, wanted) for item in page})

    def dataset(self, caller: Caller, request: Request, dataset_id: str) -> Response:
        """One dataset, keyed by its id like a list."""
        found = self._contents[caller.tenant.ims_org_id, caller.sandbox].datasets.get(dataset_id)
        if found is None:
            raise refuse("problem", 404, f"Dataset {dataset_id} was not found")
        return as_json(200, {dataset_id: _dataset_object(found, caller, _wanted(request))})

    def batch(self, caller: Caller, _request: Request, batch_id: str) -> Response:
        """One batch; 404 while its job has only reserved the id."""
        plan = self._book.of_batch((caller.tenant.ims_org_id, caller.sandbox), batch_id)
        shown = None if plan is None else _batch_object(plan, batch_id, self._book.now_ms())
        if shown is None:
            raise refuse("problem", 404, f"Batch {batch_id} was not found")
        return as_json(200, {batch_id: shown})

    def batches(self, caller: Caller, request: Request) -> Response:
        """The batches of the newest jobs, optionally of one dataset or in one status."""
        limit = whole_number(request, "limit", 20, 1, 100)
        plans, _ = self._book.page((caller.tenant.ims_org_id, caller.sandbox), 1000, None, None)
        dataset_id, status = request.param("dataSet"), request.param("status")
        found: JsonObject = {}
        for plan in plans:
            if dataset_id is not None and plan.request["destination"]["datasetId"] != dataset_id:
                continue
            for batch_id in plan.batch_ids():
                shown = _batch_object(plan, batch_id, self._book.now_ms())
                if shown and status in (None, shown["status"]) and len(found) < limit:
                    found[batch_id] = shown
        return as_json(200, found)


def _matches(item: Dataset, request: Request) -> bool:
    for condition in request.query.get("property", []):
        name, found, value = condition.partition("==")
        if name == "schemaRef.id" and found and item.schema_id != value:
            return False
        if name == "name" and found and item.name != value:
            return False
    name_asked = request.param("name")
    return name_asked is None or item.name == name_asked


def _wanted(request: Request) -> set[str] | None:
    text = request.param("properties")
    return None if text is None else {name.strip() for name in text.split(",")}


def _dataset_object(item: Dataset, caller: Caller, wanted: set[str] | None) -> JsonObject:
    shown: JsonObject = {
        "name": item.name,
        "description": item.description,
        "imsOrg": caller.tenant.ims_org_id,
        "sandboxId": "",
        "created": item.created_ms,
        "updated": item.created_ms + 86_400_000,
        "createdClient": "acp_ui_platform",
        "version": "1.0.1",
        "state": "DRAFT",
        "classification": {"dataBehavior": "record", "managedBy": "CUSTOMER"},
        "namespace": "ACP",
        "viewId": item.dataset_id[::-1],
        "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
        "files": f"@/dataSetFiles?dataSetId={item.dataset_id}",
    }
    if item.tags is not None:
        shown["tags"] = dict(item.tags)
    if item.schema_id is not None:
        shown["schemaRef"] = {"id": item.schema_id, "contentType": "application/vnd.adobe.xed+json;version=1"}
    return {name: value for name, value in shown.items() if wanted is None or name in wanted}


def _batch_object(plan: JobPlan, batch_id: str, now_ms: int) -> JsonObject | None:
    if not plan.started_by(now_ms):
        return None
    status = plan.status_at(now_ms)
    over = plan.updated_ms(now_ms)
    word = _BATCH_STATUS.get(status, "aborted" if status == "CANCELLED" else "stalled")
    shown: JsonObject = {
        "imsOrg": plan.ims_org_id,
        "status": word,
        "created": plan.starts_ms,
        "started": plan.starts_ms,
        "relatedObjects": [{"type": "dataSet", "id": plan.request["destination"]["datasetId"]}],
        "metrics": {},
        "tags": {"exportJob": [f'{{"id":{plan.job_id}}}']},
        "errors": [],
    }
    if word == "success":
        count = _share(plan, batch_id)
        shown |= {"completed": over, "recordCount": count, "failedRecordCount": 0, "size": count * 412}
    elif word in ("failed", "aborted"):
        shown |= {"completed": over, "recordCount": 0}
        shown["errors"] = [{"code": item["code"], "description": item["msg"]} for item in plan.errors]
    return shown


def _share(plan: JobPlan, batch_id: str) -> int:
    """Profiles in one of the job's batches; together they hold all of them, the first ones one more where some remain."""
    batches = plan.batch_ids()
    count, remaining = divmod(plan.profiles, len(batches))
    return count + (batches.index(batch_id) < remaining)
