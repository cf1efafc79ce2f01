"""From a request to the endpoint that answers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from segadmin.emulator.audiences import Audiences
from segadmin.emulator.datasets import Catalog
from segadmin.emulator.errors import gateway, refuse
from segadmin.emulator.exports import ExportJobs
from segadmin.emulator.gateway import Caller, Gateway
from segadmin.emulator.messages import RefusedError, Request, Response
from segadmin.emulator.registry import Registry
from segadmin.emulator.services import Estimates, MergePolicies, Sandboxes
from segadmin.emulator.tokens import TokenOffice

Answer = Callable[..., Response]
Door = Literal["open", "organization", "sandbox"]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: its name is what faults and recorded requests call it."""

    name: str
    method: str
    pattern: re.Pattern[str]
    door: Door
    answer: Answer


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that can answer."""

    tokens: TokenOffice
    gateway: Gateway
    exports: ExportJobs
    catalog: Catalog
    audiences: Audiences
    policies: MergePolicies
    sandboxes: Sandboxes
    registry: Registry
    estimates: Estimates


_UPS = "/data/core/ups"
_CATALOG = "/data/foundation/catalog"
_SANDBOXES = "/data/foundation/sandbox-management"
_UNIONS = "/data/foundation/schemaregistry/tenant/unions"


def _routes(services: Services) -> list[Route]:
    made: list[Route] = []

    def add(name: str, line: str, answer: Answer, door: Door = "sandbox") -> None:
        method, path = line.split(" ")
        pattern = re.compile(re.escape(path).replace(r"\{id\}", "([^/]+)") + "/?")
        made.append(Route(name, method, pattern, door, answer))

    add("token", "POST /ims/token/v3", services.tokens.answer, "open")
    add("token", "POST /ims/token/v2", services.tokens.answer, "open")
    exports = services.exports
    add("jobs.list", f"GET {_UPS}/export/jobs", exports.list)
    add("jobs.create", f"POST {_UPS}/export/jobs", exports.create)
    add("jobs.get", f"GET {_UPS}/export/jobs/{{id}}", exports.get)
    add("jobs.delete", f"DELETE {_UPS}/export/jobs/{{id}}", exports.delete)
    audiences = services.audiences
    add("definitions.list", f"GET {_UPS}/segment/definitions", audiences.definitions)
    add("definitions.bulk", f"POST {_UPS}/segment/definitions/bulk-get", audiences.definitions_bulk)
    add("definitions.get", f"GET {_UPS}/segment/definitions/{{id}}", audiences.definition)
    add("audiences.list", f"GET {_UPS}/audiences", audiences.audiences)
    add("audiences.bulk", f"POST {_UPS}/audiences/bulk-get", audiences.audiences_bulk)
    add("audiences.get", f"GET {_UPS}/audiences/{{id}}", audiences.audience)
    add("policies.list", f"GET {_UPS}/config/mergePolicies", services.policies.list)
    add("policies.get", f"GET {_UPS}/config/mergePolicies/{{id}}", services.policies.get)
    add("preview.create", f"POST {_UPS}/preview", services.estimates.start)
    add("preview.get", f"GET {_UPS}/preview/{{id}}", services.estimates.preview)
    add("estimate.get", f"GET {_UPS}/estimate/{{id}}", services.estimates.estimate)
    add("datasets.list", f"GET {_CATALOG}/dataSets", services.catalog.datasets)
    add("datasets.get", f"GET {_CATALOG}/dataSets/{{id}}", services.catalog.dataset)
    add("batches.list", f"GET {_CATALOG}/batches", services.catalog.batches)
    add("batches.get", f"GET {_CATALOG}/batches/{{id}}", services.catalog.batch)
    add("sandboxes.list", f"GET {_SANDBOXES}", services.sandboxes.of_caller, "organization")
    add("sandboxes.all", f"GET {_SANDBOXES}/sandboxes", services.sandboxes.every, "organization")
    add("sandboxes.get", f"GET {_SANDBOXES}/sandboxes/{{id}}", services.sandboxes.one, "organization")
    add("unions.list", f"GET {_UNIONS}", services.registry.unions)
    add("unions.get", f"GET {_UNIONS}/{{id}}", services.registry.union)
    return made


class Router:
    """Finds the endpoint, lets the gateway check the caller, and turns refusals into answers."""

    def __init__(self, services: Services) -> None:
        self._routes = _routes(services)
        self._gateway = services.gateway

    def names(self) -> list[str]:
        """The names of all endpoints."""
        return [route.name for route in self._routes]

    def name_of(self, request: Request) -> str:
        """The endpoint's name, or `unknown`."""
        found = self._find(request)
        return found[0].name if found else "unknown"

    def _find(self, request: Request) -> tuple[Route, list[str]] | None:
        for route in self._routes:
            match = route.pattern.fullmatch(request.path)
            if match and route.method == request.method:
                return route, [unquote(part) for part in match.groups()]
        return None

    def answer(self, request: Request, request_id: str) -> Response:
        """The endpoint's answer, or a refusal's."""
        try:
            return self._answer(request, request_id)
        except RefusedError as refusal:
            return refusal.response

    def _answer(self, request: Request, request_id: str) -> Response:
        found = self._find(request)
        if found is None:
            if any(route.pattern.fullmatch(request.path) for route in self._routes):
                raise refuse("problem", 405, f"{request.method} is not allowed here")
            raise gateway(404, "404000", "Resource not found")
        route, parts = found
        if route.door == "open":
            return route.answer(request)
        caller: Caller = self._gateway.admit(request, request_id, needs_sandbox=route.door == "sandbox")
        return route.answer(caller, request, *parts)
