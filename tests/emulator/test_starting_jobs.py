"""The jobs at the start: varied, believable, the same for the same seed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from segadmin.emulator.server import Emulator
from segadmin.emulator.world import DEMO_TENANTS, Tenant, TenantSandbox
from tests.emulator.conftest import Client, Clock

PLACES = [("acme", "prod"), ("acme", "stage"), ("acme", "training"), ("nordwind", "prod")]


def _all(emulator: Emulator) -> list[dict[str, Any]]:
    return [job for slug, sandbox in PLACES for job in emulator.jobs_of(slug, sandbox)]


def test_forty_over_all_organizations_in_every_state(emulator: Emulator) -> None:
    jobs = _all(emulator)
    assert len(jobs) == 40
    states = Counter(job["status"] for job in jobs)
    known = {"NEW", "PROCESSING", "SUCCEEDED", "FAILED", "CANCELLING", "CANCELLED"}
    assert known < set(states)
    assert len(set(states) - known) == 1, "one that no document names"
    assert all(emulator.jobs_of(slug, sandbox) for slug, sandbox in PLACES if sandbox != "training")


def test_they_began_between_seconds_and_weeks_ago(emulator: Emulator) -> None:
    ages = [emulator.clock() - job["metrics"]["totalTime"]["startTimeInMs"] / 1000 for job in _all(emulator)]
    assert min(ages) < 60
    assert max(ages) > 30 * 86_400
    assert min(ages) >= 0


def test_the_cases_worth_seeing(emulator: Emulator) -> None:
    jobs = _all(emulator)
    failed = [job for job in jobs if job["status"] == "FAILED"]
    assert any(len(job["errors"]) > 1 for job in failed)
    assert all(error["callStack"] for job in failed for error in job["errors"])
    succeeded = [job for job in jobs if job["status"] == "SUCCEEDED"]
    assert any(job.get("errors") for job in succeeded)
    assert any(job["metrics"].get("totalExportedProfileCounter") == 0 for job in succeeded)
    assert any("filter" not in job for job in jobs)
    assert any("fields" not in job for job in jobs)
    assert any("additionalFields" in job for job in jobs)
    assert any(len(job.get("filter", {}).get("segments", [])) > 1 for job in jobs)
    stuck = [job for job in jobs if job["status"] == "PROCESSING" and "Spring" in _names(emulator, job)]
    assert emulator.clock() - stuck[0]["creationTime"] / 1000 > 8 * 3600


def _names(emulator: Emulator, job: dict[str, Any]) -> str:
    audiences = {key: item.name for content in emulator.contents.values() for key, item in content.audiences.items()}
    return ", ".join(audiences[item["segmentId"]] for item in job.get("filter", {}).get("segments", []))


def test_shapes_of_other_ages_are_among_them(emulator: Emulator) -> None:
    jobs = _all(emulator)
    destinations = [job["destination"] for job in jobs]
    assert any("dataSetId" in item and "datasetId" not in item for item in destinations)
    assert any(isinstance(item.get("batches"), dict) for item in destinations)
    assert any(isinstance(item.get("batches"), list) for item in destinations)
    lists = [batch for item in destinations if isinstance(item.get("batches"), list) for batch in item["batches"]]
    assert {type(batch["status"]) for batch in lists} == {str, list}
    assert any(item.get("batchId") == "" for item in destinations)
    assert any("segmentPerBatch" not in item for item in destinations)
    assert {len(str(job["creationTime"])) for job in jobs} == {10, 13}, "seconds and milliseconds"
    assert any("pushJob" in job["computeGatewayJobId"] for job in jobs)
    assert any(job["profileInstanceId"] != "ups" for job in jobs)


def test_the_seed_decides(clock: Clock) -> None:
    def made(seed: int) -> str:
        with Emulator(clock=clock, seed=seed) as emulator:
            return json.dumps(_all(emulator))

    assert made(7) == made(7)
    assert made(7) != made(8)


def test_they_go_on_by_themselves(acme: Client, clock: Clock) -> None:
    def states() -> Counter[str]:
        return Counter(job["status"] for job in acme.jobs().json()["records"])

    before = states()
    clock.move(60)
    assert states() != before
    clock.move(900)
    after = states()
    assert (after["NEW"], after["PROCESSING"], after["CANCELLING"]) == (0, 1, 0), "only the stuck one is left"


@pytest.mark.parametrize("count", [0, 5, 41])
def test_any_number(clock: Clock, count: int) -> None:
    with Emulator(clock=clock, jobs=count) as emulator:
        assert len(_all(emulator)) == count


def test_organizations_of_ones_own(clock: Clock) -> None:
    sandbox = TenantSandbox("prod", "Production", "production")
    tenant = Tenant("other-co", "Other", "1@AdobeOrg", "client", "secret", (sandbox,))
    with Emulator(clock=clock, jobs=30, tenants=[tenant]) as emulator:
        assert len(emulator.jobs_of("other-co", "prod")) == 30
    assert tenant.own_field == "_otherco"


def test_the_demo_organizations() -> None:
    assert [tenant.name for tenant in DEMO_TENANTS] == ["Acme Retail", "Nordwind"]
    watched = {(tenant.slug, item.name) for tenant in DEMO_TENANTS for item in tenant.sandboxes if item.watched}
    assert watched == {("acme", "prod"), ("acme", "stage"), ("nordwind", "prod")}
    assert all("demo" in tenant.client_secret for tenant in DEMO_TENANTS)
