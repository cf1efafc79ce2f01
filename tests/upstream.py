"""A stand-in of Adobe for tests, and orgs connected to it."""

import time
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from segadmin.actions import organizations
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import Organization, Sandbox

# A port where nothing listens: the discard service of old, never bound on loopback by anything here.
NOBODY = "127.0.0.1:9"


class Clock:
    """Adobe's clock, moved by hand: jobs go on when a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


@pytest.fixture
def adobe_clock() -> Clock:
    return Clock()


@pytest.fixture
def emulator(settings: Settings, adobe_clock: Clock) -> Iterator[Emulator]:
    """An emulated platform without jobs, allowed as upstream."""
    with Emulator(jobs=0, clock=adobe_clock) as running:
        settings.UPSTREAM_HOSTS = frozenset({running.url.removeprefix("http://"), NOBODY})
        settings.UPSTREAM_DEADLINE_SECONDS = 2
        yield running


def connect(emulator: Emulator, slug: str) -> Organization:
    """The tenant of that slug as an org of segadmin, its watched sandboxes mirrored and open for exports."""
    tenant = emulator.tenant(slug)
    return organizations.set_up(
        actor=Actor.command("setup"),
        slug=slug,
        name=tenant.name,
        ims_org_id=tenant.ims_org_id,
        sandboxes={item.name: item.type for item in tenant.sandboxes if item.watched},
        client_id=tenant.client_id,
        secret=tenant.client_secret,
        scopes=tenant.scopes,
        api_url=emulator.url,
        token_url=f"{emulator.url}/ims/token/v3",
    )


@pytest.fixture
def live_acme(db: None, emulator: Emulator) -> Organization:
    return connect(emulator, "acme")


@pytest.fixture
def live_prod(live_acme: Organization) -> Sandbox:
    return live_acme.sandboxes.select_related("organization").get(name="prod")


def body_for(emulator: Emulator, slug: str = "acme", sandbox: str = "prod", audiences: int = 1) -> dict[str, object]:
    """A valid request body from what the emulated sandbox holds."""
    content = emulator.content(slug, sandbox)
    dataset = next(item for item in content.datasets.values() if item.takes_exports)
    chosen = [item.audience_id for item in content.audiences.values() if not item.external][:audiences]
    return {
        "fields": "identityMap,personalEmail.address",
        "filter": {"segments": [{"segmentId": item} for item in chosen]},
        "destination": {"datasetId": dataset.dataset_id},
        "schema": {"name": "_xdm.context.profile"},
    }
