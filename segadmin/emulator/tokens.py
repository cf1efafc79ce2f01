"""The token endpoint: OAuth server-to-server credentials in, bearer tokens out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

from segadmin.emulator.errors import ims_body
from segadmin.emulator.messages import RefusedError, Request, Response, as_json
from segadmin.emulator.storage import Store
from segadmin.emulator.world import Tenant


def _refused(error: str, description: str) -> RefusedError:
    return RefusedError(as_json(400, ims_body(400, description, error)))


class TokenOffice:
    """Issues and checks access tokens. `lifetime` is in seconds; the reply can tell it in milliseconds instead."""

    def __init__(self, tenants: Sequence[Tenant], store: Store, clock: Callable[[], float]) -> None:
        self._tenants = {tenant.client_id: tenant for tenant in tenants}
        self._store = store
        self._clock = clock
        self.lifetime = 86_399
        self.in_milliseconds = False

    def answer(self, request: Request) -> Response:
        """POST /ims/token/v3 (or v2, whose parameters may come in the query)."""
        form = {name: values[0] for name, values in request.query.items()}
        if request.headers.get("content-type", "").split(";")[0].strip() == "application/x-www-form-urlencoded":
            form |= {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        tenant = self._authenticate(form)
        lifetime = self.lifetime * 1000 + 992 if self.in_milliseconds else self.lifetime
        reply = {"access_token": self.issue(tenant), "token_type": "bearer", "expires_in": lifetime}
        return as_json(200, reply, Cache_Control="no-store")

    def _authenticate(self, form: dict[str, str]) -> Tenant:
        if form.get("grant_type") != "client_credentials":
            raise _refused("unsupported_grant_type", "unsupported grant_type parameter")
        tenant = self._tenants.get(form.get("client_id", ""))
        if tenant is None:
            raise _refused("invalid_client", "invalid client_id parameter")
        if not secrets.compare_digest(form.get("client_secret", "").encode(), tenant.client_secret.encode()):
            raise _refused("invalid_client", "invalid client_secret parameter")
        asked = {scope for scope in form.get("scope", "").replace(" ", ",").split(",") if scope}
        if not asked <= set(tenant.scopes.split(",")):
            raise _refused("invalid_scope", "one or more requested scopes are not allowed for this client")
        return tenant

    def issue(self, tenant: Tenant) -> str:
        """A new token of the tenant's client, valid from now on."""
        token = "eyJhbGciOiJub25lIn0." + secrets.token_urlsafe(48)
        self._store.save_token(_digest(token), tenant.client_id, self._clock() + self.lifetime)
        return token

    def holder(self, token: str) -> Tenant | None:
        """Whose token it is, or None when it is unknown or over."""
        found = self._store.token(_digest(token))
        if found is None or found[1] <= self._clock():
            return None
        return self._tenants.get(found[0])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
