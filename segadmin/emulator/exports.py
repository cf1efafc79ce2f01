"""The export-jobs endpoints: /data/core/ups/export/jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from segadmin.emulator.content import Content
from segadmin.emulator.errors import refuse
from segadmin.emulator.gateway import Caller, json_object, whole_number
from segadmin.emulator.jobs import Cursor, JobBook, Place
from segadmin.emulator.messages import JsonObject, RefusedError, Request, Response, as_json
from segadmin.emulator.planner import Ticket, check, make_plan
from segadmin.emulator.plans import FINAL, JobPlan, render

FILTERABLE = ("NEW", "SUCCEEDED", "FAILED")
LONGEST_PAGE = 1000
FinishedDelete = Literal["remove", "keep", "refuse", "missing"]
_CURSOR = re.compile(r"(\d{1,15})_(\d{1,15})", re.ASCII)


class ExportJobs:
    """Answers list, create, get and delete. `finished_delete` says what DELETE does to a job that is over."""

    def __init__(
        self,
        book: JobBook,
        contents: Mapping[Place, Content],
        seed: int,
        speed: float,
        finished_delete: FinishedDelete,
    ) -> None:
        self._book = book
        self._contents = contents
        self._seed = seed
        self.speed = speed
        self.finished_delete = finished_delete

    def list(self, caller: Caller, request: Request) -> Response:
        """GET: newest first. Without `limit` it is every job, which the documentation warns about."""
        status = request.param("status")
        if status is not None and status not in FILTERABLE:
            raise refuse("problem", 400, f"Parameter status must be one of {', '.join(FILTERABLE)}")
        limit = None
        if request.param("limit") is not None:
            limit = min(whole_number(request, "limit", 10, 1, 1_000_000), LONGEST_PAGE)
        plans, following = self._book.page(_place(caller), limit, _cursor(request), status)
        now_ms = self._book.now_ms()
        records = [render(plan, now_ms) for plan in plans]
        page = {
            "sortField": "createdTime",
            "sort": "desc",
            "pageOffset": f"{plans[-1].created_ms}_{plans[-1].job_id}" if plans else "",
            "pageSize": len(records),
        }
        # The real link is relative to /data/core/ups and forgets the status filter; so does this one.
        link = f"/export/jobs/?limit={limit}&offset={following[0]}_{following[1]}" if following else ""
        return as_json(200, {"records": records, "page": page, "link": {"next": link}})

    def create(self, caller: Caller, request: Request) -> Response:
        """POST: answers 200 with the whole job, which is NEW."""
        body = json_object(request)
        place = _place(caller)
        check(body, self._contents[place])
        instance = request.headers.get("x-profile-instance-id") or "ups"
        plan = self.add(place, body, caller.request_id, profile_instance_id=instance)
        href = f"http://{request.headers.get('host', '')}/data/core/ups/export/jobs/{plan.job_id}"
        return as_json(200, render(plan, self._book.now_ms()), X_Location=href)

    def add(
        self,
        place: Place,
        body: JsonObject,
        request_id: str,
        *,
        profile_instance_id: str = "ups",
        created_ms: int | None = None,
    ) -> JobPlan:
        """Make a job of a checked body; for tests also one that somebody else made, earlier if wished."""
        moment = self._book.now_ms() if created_ms is None else created_ms
        ticket = Ticket(*place, self._book.take_id(place), moment, request_id, profile_instance_id)
        plan = make_plan(body, ticket, self._contents[place], self.speed, self._seed)
        self._book.add_many([plan])
        return plan

    def get(self, caller: Caller, _request: Request, job_id: str) -> Response:
        """GET by id."""
        return as_json(200, render(self._known(caller, job_id), self._book.now_ms()))

    def delete(self, caller: Caller, _request: Request, job_id: str) -> Response:
        """DELETE: a live job is marked for cancelling; the reply's `status` is a boolean."""
        plan = self._known(caller, job_id)
        now_ms = self._book.now_ms()
        status = plan.status_at(now_ms)
        if status in FINAL:
            return self._delete_finished(plan, job_id)
        if status != "CANCELLING":
            self._cancel(plan, now_ms, waiting=status == "NEW")
        return as_json(200, {"status": True, "message": "Export job has been marked for cancelling"})

    def _cancel(self, plan: JobPlan, now_ms: int, *, waiting: bool) -> None:
        if plan.ends_ms is not None and plan.ends_ms <= now_ms:
            plan.ends_ms = None  # a job in a status word of its own is not over, so it can be cancelled
        plan.cancel_asked_ms = now_ms
        plan.cancelled_ms = now_ms + max(1, round(4000 / self.speed))
        if waiting:
            plan.starts_ms = plan.cancelled_ms  # so that it never begins
        self._book.save(plan)

    def _delete_finished(self, plan: JobPlan, job_id: str) -> Response:
        if self.finished_delete == "refuse":
            raise refuse("problem", 409, f"Export job {job_id} has already ended")
        if self.finished_delete == "missing":
            raise _unknown(job_id)
        if self.finished_delete == "remove":
            plan.removed = True
            self._book.save(plan)
        return as_json(200, {"status": True, "message": "Export job has been deleted"})

    def _known(self, caller: Caller, job_id: str) -> JobPlan:
        plan = self._book.find(_place(caller), job_id)
        if plan is None:
            raise _unknown(job_id)
        return plan


def _unknown(job_id: str) -> RefusedError:
    return refuse("ups", 404, f"Export job {quote(job_id, safe='')} was not found")


def _place(caller: Caller) -> Place:
    return caller.tenant.ims_org_id, caller.sandbox


def _cursor(request: Request) -> Cursor | None:
    text = request.param("offset")
    if not text:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise refuse("problem", 400, "Parameter offset must be <creationTime>_<jobId>")
    return int(match[1]), int(match[2])
