"""The organizations of the emulated platform, with their credentials and sandboxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEMO_SCOPES = "openid,session,AdobeID,read_organizations,additional_info.projectedProductContext"


@dataclass(frozen=True, slots=True)
class TenantSandbox:
    """One sandbox of an organization. `watched` is a hint for a demo: which sandboxes to connect."""

    name: str
    title: str
    type: Literal["production", "development"]
    state: str = "active"
    region: str = "NLD2"
    is_default: bool = False
    watched: bool = True


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization and the client that may act for it. `slug` and `name` are for those who connect to it."""

    slug: str
    name: str
    ims_org_id: str
    client_id: str
    client_secret: str
    sandboxes: tuple[TenantSandbox, ...]
    scopes: str = DEMO_SCOPES
    tenant_field: str = ""
    """The name of the organization's own field group in its schemas, e.g. `_acme`; default: `_` and the slug."""

    @property
    def own_field(self) -> str:
        """Root of the organization's own fields in the union schema."""
        return self.tenant_field or "_" + self.slug.replace("-", "")

    def sandbox(self, name: str) -> TenantSandbox | None:
        """The sandbox of that name, or None."""
        return next((sandbox for sandbox in self.sandboxes if sandbox.name == name), None)


DEMO_TENANTS: tuple[Tenant, ...] = (
    Tenant(
        slug="acme",
        name="Acme Retail",
        ims_org_id="5C1D9A7E63F2B0480A49402E@AdobeOrg",
        client_id="acme-demo-client",
        client_secret="demo-only-secret-of-acme-retail",  # noqa: S106  opens nothing but this emulator
        sandboxes=(
            TenantSandbox("prod", "Production", "production", is_default=True),
            TenantSandbox("stage", "Staging", "development"),
            TenantSandbox("training", "Training room", "development", watched=False),
            TenantSandbox("archive", "Archive 2024", "development", state="resetting", watched=False),
        ),
        tenant_field="_acme",
    ),
    Tenant(
        slug="nordwind",
        name="Nordwind",
        ims_org_id="7E40B2C864A1D5930A495F1B@AdobeOrg",
        client_id="nordwind-demo-client",
        client_secret="demo-only-secret-of-nordwind",  # noqa: S106  opens nothing but this emulator
        sandboxes=(TenantSandbox("prod", "Production", "production", region="DEU1", is_default=True),),
    ),
)
