"""What each sandbox holds besides jobs: audiences, datasets, merge policies. All of it is read-only and stable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from segadmin.emulator.catalogue import AUDIENCES, DATASETS, AudienceLine, DatasetLine
from segadmin.emulator.messages import JsonObject
from segadmin.emulator.stable import stable_digest, stable_hex, stable_number, stable_uuid
from segadmin.emulator.world import Tenant, TenantSandbox

PROFILE_UNION = "https://ns.adobe.com/xdm/context/profile__union"
_FIRST_CREATED_MS = 1_690_000_000_000
LEGACY_MERGE_POLICY = "timestampOrdered-none-mp"


@dataclass(frozen=True, slots=True)
class Audience:
    """One audience. `external` ones have a compound id and no segment definition.

    Exports of one with `remarks` succeed and report errors all the same.
    """

    audience_id: str
    name: str
    description: str
    pql: str
    profiles: int
    origin: Literal["REAL_TIME_CUSTOMER_PROFILE", "CUSTOM_UPLOAD"]
    evaluation: Literal["batch", "continuous", "synchronous"]
    merge_policy_id: str
    created_ms: int
    updated_ms: int
    remarks: bool = False

    @property
    def external(self) -> bool:
        """Uploaded from outside instead of defined by an expression."""
        return self.origin == "CUSTOM_UPLOAD"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset. `schema_id` is None for the odd one that has lost its schema reference."""

    dataset_id: str
    name: str
    description: str
    schema_id: str | None
    tags: Mapping[str, list[str]] | None
    created_ms: int

    @property
    def takes_exports(self) -> bool:
        """Built on the union schema, which an export needs."""
        return self.schema_id == PROFILE_UNION


@dataclass(frozen=True, slots=True)
class MergePolicy:
    """One merge policy; `name` can be missing."""

    policy_id: str
    name: str | None
    version: int
    default: bool
    identity_graph: Literal["none", "pdg"]
    attribute_merge: Literal["timestampOrdered", "dataSetPrecedence"]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything of one sandbox that jobs refer to, by id, in the order the services list it."""

    audiences: Mapping[str, Audience]
    datasets: Mapping[str, Dataset]
    merge_policies: Mapping[str, MergePolicy]
    total_profiles: int

    @property
    def default_policy(self) -> MergePolicy:
        """The policy that applies when nothing else is said."""
        return next(policy for policy in self.merge_policies.values() if policy.default)

    def audience_named(self, name: str) -> Audience:
        """The audience of that name; KeyError when there is none."""
        for audience in self.audiences.values():
            if audience.name == name:
                return audience
        raise KeyError(name)

    def dataset_named(self, name: str) -> Dataset:
        """The dataset of that name; KeyError when there is none."""
        for dataset in self.datasets.values():
            if dataset.name == name:
                return dataset
        raise KeyError(name)


def content_of(tenant: Tenant, sandbox: TenantSandbox, seed: int) -> Content:
    """Make a sandbox's content; the same arguments always give the same ids."""
    key = (seed, tenant.ims_org_id, sandbox.name)
    policies = _merge_policies(key, production=sandbox.type == "production")
    policy_ids = list(policies)
    shelf = shelf_of(tenant, sandbox)
    lines, datasets = AUDIENCES[shelf], DATASETS[shelf]
    audiences = [_audience(key, line, policy_ids) for line in lines]
    made = [_dataset(key, line, tenant) for line in datasets]
    return Content(
        audiences={audience.audience_id: audience for audience in audiences},
        datasets={dataset.dataset_id: dataset for dataset in made},
        merge_policies=policies,
        total_profiles=2_480_000 if sandbox.type == "production" else 18_500,
    )


def shelf_of(tenant: Tenant, sandbox: TenantSandbox) -> tuple[str, str]:
    """Which of the prepared contents a sandbox gets; an unknown organization gets the first's."""
    slug = tenant.slug if (tenant.slug, sandbox.type) in AUDIENCES else "acme"
    return slug, sandbox.type


def _created_ms(*parts: object) -> int:
    return _FIRST_CREATED_MS + stable_number(60_000_000, *parts, "created") * 1000


def _audience(key: tuple[object, ...], line: AudienceLine, policy_ids: list[str]) -> Audience:
    plain = stable_uuid(*key, "audience", line.name)
    created = _created_ms(*key, line.name)
    external = line.pql == ""
    source = stable_digest(*key, "upload", line.name).hex()[:12].upper()
    return Audience(
        audience_id=f"{source}_{plain}" if external else plain,
        name=line.name,
        description=line.description,
        pql=line.pql,
        profiles=line.profiles,
        origin="CUSTOM_UPLOAD" if external else "REAL_TIME_CUSTOMER_PROFILE",
        evaluation=line.evaluation,
        merge_policy_id=policy_ids[1] if line.other_policy else policy_ids[0],
        created_ms=created,
        updated_ms=created + stable_number(20_000_000, *key, line.name, "updated") * 1000,
        remarks=line.remarks,
    )


def _dataset(key: tuple[object, ...], line: DatasetLine, tenant: Tenant) -> Dataset:
    schema: str | None = None
    tags: dict[str, list[str]] | None = {}
    if line.kind == "union":
        schema = PROFILE_UNION
        tags = {"unifiedProfile": ["enabled: false"], "unifiedIdentity": ["enabled: false"]}
    elif line.kind == "ordinary":
        schema = f"https://ns.adobe.com/{tenant.own_field.lstrip('_')}/schemas/{stable_hex(32, *key, line.name)}"
        tags = {"unifiedProfile": ["enabled: true"], "adobe/pqs/table": [line.name.lower().replace(" ", "_")]}
    elif line.kind == "untagged_union":
        schema, tags = PROFILE_UNION, None
    return Dataset(
        dataset_id=stable_hex(24, *key, "dataset", line.name),
        name=line.name,
        description=line.description,
        schema_id=schema,
        tags=tags,
        created_ms=_created_ms(*key, "dataset", line.name),
    )


def _merge_policies(key: tuple[object, ...], *, production: bool) -> dict[str, MergePolicy]:
    def policy_id(name: str) -> str:
        return stable_uuid(*key, "merge policy", name)

    policies = [
        MergePolicy(policy_id("default"), "Default timebased", 1, True, "none", "timestampOrdered"),
        MergePolicy(policy_id("graph"), "Private graph, CRM first", 3, False, "pdg", "dataSetPrecedence"),
    ]
    if production:
        policies.append(MergePolicy(policy_id("nameless"), None, 2, False, "none", "timestampOrdered"))
    return {policy.policy_id: policy for policy in policies}


def namespaces_of(total: int) -> JsonObject:
    """How many of `total` profiles carry each identity namespace; the sum is larger, as people have several."""
    if total == 0:
        return {}
    return {"email": round(total * 0.94), "crmid": round(total * 0.81), "ecid": round(total * 0.57)}
