"""An emulator whose time the test moves, and a client that has signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from segadmin.emulator.content import Content
from segadmin.emulator.server import Emulator
from segadmin.emulator.world import Tenant

START = 1_790_000_000.0
TIMEOUT = 10


class Clock:
    """Seconds since the epoch that stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Client:
    """Speaks to one sandbox with valid headers."""

    emulator: Emulator
    tenant: Tenant
    sandbox: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.headers.update(
            {
                "Authorization": f"Bearer {self.emulator.issue_token(self.tenant.slug)}",
                "x-api-key": self.tenant.client_id,
                "x-gw-ims-org-id": self.tenant.ims_org_id,
                "x-sandbox-name": self.sandbox,
            }
        )

    @property
    def content(self) -> Content:
        return self.emulator.content(self.tenant.slug, self.sandbox)

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        more.setdefault("timeout", TIMEOUT)
        return self.session.request(method, self.emulator.url + path, allow_redirects=False, **more)

    def jobs(self, method: str = "GET", tail: str = "", **more: Any) -> requests.Response:
        return self.send(method, f"/data/core/ups/export/jobs{tail}", **more)

    def body(self, audience: str = "Lapsed buyers", dataset: str = "CRM out", **more: Any) -> dict[str, Any]:
        segment = {"segmentId": self.content.audience_named(audience).audience_id}
        return {
            "destination": {"datasetId": self.content.dataset_named(dataset).dataset_id},
            "schema": {"name": "_xdm.context.profile"},
            "filter": {"segments": [segment]},
            **more,
        }

    def create(self, **more: Any) -> dict[str, Any]:
        answer = self.jobs("POST", json=self.body(**more))
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def job(self, job_id: int) -> dict[str, Any]:
        job: dict[str, Any] = self.jobs(tail=f"/{job_id}").json()
        return job


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emulator(clock: Clock) -> Iterator[Emulator]:
    with Emulator(clock=clock) as running:
        yield running


@pytest.fixture
def client_of(emulator: Emulator) -> Iterator[Callable[[str, str], Client]]:
    made: list[Client] = []

    def make(slug: str, sandbox: str) -> Client:
        made.append(Client(emulator, emulator.tenant(slug), sandbox))
        return made[-1]

    yield make
    for client in made:
        client.session.close()


@pytest.fixture
def acme(client_of: Callable[[str, str], Client]) -> Client:
    return client_of("acme", "prod")
