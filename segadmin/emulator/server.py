"""The emulator as a server on loopback: one thread per connection, HTTP/1.1 with keep-alive."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from segadmin.emulator.audiences import Audiences
from segadmin.emulator.content import Content, content_of
from segadmin.emulator.datasets import Catalog
from segadmin.emulator.delivery import Wire, faulty_response
from segadmin.emulator.exports import ExportJobs, FinishedDelete
from segadmin.emulator.faults import FaultBox, RequestFacts
from segadmin.emulator.gateway import Gateway
from segadmin.emulator.jobs import JobBook, Place
from segadmin.emulator.listener import Listener
from segadmin.emulator.messages import JsonObject, Request, Response, as_json
from segadmin.emulator.planner import check
from segadmin.emulator.plans import JobPlan, render
from segadmin.emulator.registry import Registry
from segadmin.emulator.router import Router, Services
from segadmin.emulator.seeding import starting_plans
from segadmin.emulator.services import Estimates, MergePolicies, Sandboxes
from segadmin.emulator.storage import Store
from segadmin.emulator.tokens import TokenOffice
from segadmin.emulator.world import DEMO_TENANTS, Tenant

REMEMBERED_REQUESTS = 5_000


@dataclass(slots=True)
class RecordedRequest:
    """One request as it came in, for assertions. Header names are lower case; `at` is seconds since the epoch.

    `json` is the decoded body, None when it was none; `status` is what was answered, None when nothing was.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    json: Any
    body: str
    at: float
    endpoint: str
    ims_org_id: str
    sandbox: str
    status: int | None = None


class Emulator:
    """A whole emulated platform.

    `data_dir` None keeps everything in memory; with a folder a new start goes on with its jobs, tokens and (if free and
    `port` is 0) its port. `jobs` is how many there are at the first start, `speed` divides the duration of those made
    later, `clock` gives seconds since the epoch. `finished_delete` is what DELETE does to a finished job: `remove` it
    from the list, `keep` it, `refuse` with 409, or answer 404 (`missing`).
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int = 0,
        jobs: int = 40,
        tenants: Sequence[Tenant] | None = None,
        seed: int = 7,
        speed: float = 1.0,
        clock: Callable[[], float] = time.time,
        finished_delete: FinishedDelete = "remove",
    ) -> None:
        self.tenants = tuple(DEMO_TENANTS if tenants is None else tenants)
        self.clock = clock
        self._wanted_port = port
        self._store = Store(data_dir)
        self._seed = self._first_setting("seed", seed)
        self._recorded: deque[RecordedRequest] = deque(maxlen=REMEMBERED_REQUESTS)
        self._stopping = threading.Event()
        self._server: Listener | None = None
        self._thread: threading.Thread | None = None
        self._serving = False
        self.contents: dict[Place, Content] = {
            (tenant.ims_org_id, sandbox.name): content_of(tenant, sandbox, self._seed)
            for tenant in self.tenants
            for sandbox in tenant.sandboxes
        }
        self._book = JobBook(list(self.contents), self._store, clock)
        self.tokens = TokenOffice(self.tenants, self._store, clock)
        self.exports = ExportJobs(self._book, self.contents, self._seed, speed, finished_delete)
        self._router = Router(self._services(speed))
        self.faults = FaultBox(self._router.names())
        if self._store.setting("seeded") is None:
            self._book.add_many(starting_plans(self.tenants, self.contents, self._book, jobs, self._seed))
            self._store.set_setting("seeded", str(jobs))

    def _services(self, speed: float) -> Services:
        return Services(
            tokens=self.tokens,
            gateway=Gateway(self.tenants, self.tokens),
            exports=self.exports,
            catalog=Catalog(self.contents, self._book),
            audiences=Audiences(self.contents),
            policies=MergePolicies(self.contents),
            sandboxes=Sandboxes(),
            registry=Registry(),
            estimates=Estimates(self.contents, self.clock, speed),
        )

    def _first_setting(self, name: str, value: int) -> int:
        """The value of the first start: content ids depend on it, so a later one must not differ."""
        kept = self._store.setting(name)
        if kept is None:
            self._store.set_setting(name, str(value))
            return value
        return int(kept)

    # running

    @property
    def port(self) -> int:
        """The port in use; RuntimeError before the start."""
        if self._server is None:
            raise RuntimeError("the emulator is not started")
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Base address of both the API and the token endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def bind(self) -> None:
        """Take the port, so that `url` is known; `start` and `serve_forever` do it themselves."""
        if self._server is not None:
            return
        kept = self._store.setting("port")
        if self._wanted_port == 0 and kept is not None:
            try:
                self._server = Listener(int(kept), self._handle, self._stopping)
            except OSError:
                self._server = None  # somebody else has it by now: any free one will do
        if self._server is None:
            self._server = Listener(self._wanted_port, self._handle, self._stopping)
        self._store.set_setting("port", str(self.port))

    def start(self) -> Self:
        """Serve in a thread of its own."""
        self.bind()
        assert self._server is not None
        self._serving = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve in this thread until `stop` is called from another one, or until KeyboardInterrupt."""
        self.bind()
        assert self._server is not None
        self._serving = True
        self._server.serve_forever(0.02)

    def stop(self) -> None:
        """Stop serving, cut open connections, close the store. May be called twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._server is not None:
            if self._serving:
                self._server.shutdown()
            if self._thread is not None:
                self._thread.join()
            self._server.server_close()
            self._server.cut_connections()
        self._store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # for tests

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, oldest first, without those to the emulator's own controls."""
        return list(self._recorded)

    def forget_requests(self) -> None:
        """Empty the record."""
        self._recorded.clear()

    def tenant(self, slug: str) -> Tenant:
        """The tenant of that slug; KeyError when there is none."""
        for tenant in self.tenants:
            if tenant.slug == slug:
                return tenant
        raise KeyError(slug)

    def content(self, slug: str, sandbox: str) -> Content:
        """Audiences, datasets and merge policies of a sandbox."""
        return self.contents[self.tenant(slug).ims_org_id, sandbox]

    def issue_token(self, slug: str) -> str:
        """A valid token without asking over HTTP."""
        return self.tokens.issue(self.tenant(slug))

    def forget_tokens(self) -> None:
        """Make every issued token invalid, as if they had all ended."""
        self._store.forget_tokens()

    def add_job(self, slug: str, sandbox: str, body: JsonObject, *, created_at: float | None = None) -> JsonObject:
        """Make a job as if somebody else had posted it, optionally at an earlier moment (seconds since the epoch)."""
        place = self.tenant(slug).ims_org_id, sandbox
        check(body, self.contents[place])
        created_ms = None if created_at is None else int(created_at * 1000)
        plan = self.exports.add(place, body, str(uuid.uuid4()), created_ms=created_ms)
        return render(plan, self._book.now_ms())

    def remove_job(self, slug: str, sandbox: str, job_id: str) -> None:
        """Take a job off the list, as a reset of the sandbox or an unknown hand would."""
        plan = self._plan(slug, sandbox, job_id)
        plan.removed = True
        self._book.save(plan)

    def change_job(self, slug: str, sandbox: str, job_id: str, **parts: object) -> None:
        """Change parts of what was asked for ("fields", "filter" …), or with `profiles` the count it will report.

        `quirks` names response shapes of other ages, as in a plan.
        """
        plan = self._plan(slug, sandbox, job_id)
        profiles, quirks = parts.pop("profiles", None), parts.pop("quirks", None)
        plan.quirks = [str(item) for item in quirks] if isinstance(quirks, list) else plan.quirks
        plan.request = {**plan.request, **parts}
        plan.profiles = profiles if isinstance(profiles, int) else plan.profiles
        self._book.save(plan)

    def _plan(self, slug: str, sandbox: str, job_id: str) -> JobPlan:
        plan = self._book.find((self.tenant(slug).ims_org_id, sandbox), job_id)
        if plan is None:
            raise LookupError(job_id)
        return plan

    def jobs_of(self, slug: str, sandbox: str) -> list[JsonObject]:
        """All jobs of a sandbox as the API would show them, newest first."""
        plans, _ = self._book.page((self.tenant(slug).ims_org_id, sandbox), None, None, None)
        return [render(plan, self._book.now_ms()) for plan in plans]

    # answering

    def _handle(self, request: Request, wire: Wire) -> bool:
        """Answer one request; true when the connection may be used again."""
        if request.path.startswith("/_emulator/"):
            return wire.send(self._control(request), None)
        record = self._record(request)
        request_id = request.headers.get("x-request-id") or str(uuid.uuid4())
        fault = self.faults.take(self._facts(record))
        response: Response | None = None
        if fault is None or fault.does_the_work:
            response = self._router.answer(request, request_id)
        if fault is not None:
            response = faulty_response(fault, response)
        assert response is not None
        response.headers.setdefault("x-request-id", request_id)
        if fault is None or not (fault.hang or fault.reset or fault.cut or fault.lost_answer):
            record.status = response.status
        return wire.send(response, fault)

    def _record(self, request: Request) -> RecordedRequest:
        try:
            decoded = request.json()
        except ValueError:
            decoded = None
        record = RecordedRequest(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=dict(request.headers),
            json=decoded,
            body=request.body.decode("utf-8", "replace"),
            at=self.clock(),
            endpoint=self._router.name_of(request),
            ims_org_id=request.headers.get("x-gw-ims-org-id", ""),
            sandbox=request.headers.get("x-sandbox-name", ""),
        )
        if record.endpoint == "token":
            record.ims_org_id = self._org_of_client({**parse_qs(record.body), **record.query})
        self._recorded.append(record)
        return record

    def _org_of_client(self, form: dict[str, list[str]]) -> str:
        client_id = form.get("client_id", [""])[0]
        return next((tenant.ims_org_id for tenant in self.tenants if tenant.client_id == client_id), "")

    def _facts(self, record: RecordedRequest) -> RequestFacts:
        slug = next((tenant.slug for tenant in self.tenants if tenant.ims_org_id == record.ims_org_id), "")
        return RequestFacts(record.endpoint, record.method, record.path, record.ims_org_id, slug, record.sandbox)

    def _control(self, request: Request) -> Response:
        """The emulator's own switches: /_emulator/faults and /_emulator/requests."""
        what = (request.method, request.path.removeprefix("/_emulator/").rstrip("/"))
        if what == ("GET", "requests"):
            return as_json(200, [asdict(record) for record in self.requests])
        if what == ("DELETE", "requests"):
            self.forget_requests()
            return Response(204)
        if what == ("GET", "faults"):
            return as_json(200, self.faults.active())
        if what == ("DELETE", "faults"):
            self.faults.clear()
            return Response(204)
        if what == ("POST", "faults"):
            try:
                self.faults.set(**request.json())
            except (ValueError, TypeError) as error:
                return as_json(400, {"errorMessage": str(error)})
            return as_json(201, self.faults.active())
        return as_json(404, {"errorMessage": "no such control"})
