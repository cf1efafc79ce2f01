"""What stands before every service: who calls, for which organization and in which sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segadmin.emulator.errors import gateway, refuse
from segadmin.emulator.messages import JsonObject, Request
from segadmin.emulator.tokens import TokenOffice
from segadmin.emulator.world import Tenant, TenantSandbox


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that passed the gateway. `sandbox` is empty for the services that need none."""

    tenant: Tenant
    sandbox: str
    request_id: str


class Gateway:
    """Checks headers in the order and with the codes that Adobe's troubleshooting guide names."""

    def __init__(self, tenants: Sequence[Tenant], tokens: TokenOffice) -> None:
        self._tenants = tenants
        self._tokens = tokens

    def admit(self, request: Request, request_id: str, *, needs_sandbox: bool) -> Caller:
        """The caller, or a refusal."""
        tenant = self._entitled(request)
        name = ""
        if needs_sandbox:
            name = self._active_sandbox(tenant, request).name
        return Caller(tenant, name, request_id)

    def _entitled(self, request: Request) -> Tenant:
        api_key = request.headers.get("x-api-key", "")
        if not api_key:
            raise gateway(403, "403000", "Api Key is required")
        if api_key not in {tenant.client_id for tenant in self._tenants}:
            raise gateway(403, "403003", "Api Key is invalid")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise gateway(403, "403010", "Oauth token is missing")
        holder = self._tokens.holder(token.strip()) if scheme.lower() == "bearer" else None
        if holder is None or holder.client_id != api_key:
            raise gateway(401, "401013", "Oauth token is not valid")
        org = request.headers.get("x-gw-ims-org-id", "")
        if not org:
            raise gateway(400, "400003", "Missing header x-gw-ims-org-id")
        if org not in {tenant.ims_org_id for tenant in self._tenants}:
            raise gateway(403, "403027", "User region is missing")
        if org != holder.ims_org_id:
            raise gateway(403, "403025", "Profile is not valid")
        return holder

    @staticmethod
    def _active_sandbox(tenant: Tenant, request: Request) -> TenantSandbox:
        name = request.headers.get("x-sandbox-name", "")
        if not name:
            raise gateway(400, "400003", "Missing header x-sandbox-name")
        sandbox = tenant.sandbox(name)
        if sandbox is None:
            raise refuse("problem", 404, f"Sandbox {name} was not found")
        if sandbox.state != "active":
            raise refuse("policy", 403, f"Sandbox {name} is {sandbox.state} and cannot be used")
        return sandbox


def json_object(request: Request) -> JsonObject:
    """The body of a POST as an object; wrong content type and malformed JSON are BadRequestErrors."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise refuse("problem", 400, "Content-Type must be application/json")
    try:
        value: Any = request.json()
    except ValueError:
        raise refuse("problem", 400, "The request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise refuse("problem", 400, "The request body must be a JSON object")
    return value


def whole_number(request: Request, name: str, default: int, lowest: int, highest: int) -> int:
    """A numeric query parameter; a value that is no number or out of range is a BadRequestError."""
    text = request.param(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
        raise refuse("problem", 400, f"Parameter {name} must be a number from {lowest} to {highest}")
    return int(text)
