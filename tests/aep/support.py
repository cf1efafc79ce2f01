"""What the tests of the service module share: a token source that counts, and transports that never really wait."""

from __future__ import annotations

from typing import Any

from segadmin.aep import AuthFailed, Connection, Transport

API = "https://platform.adobe.io"
JOBS = f"{API}/data/core/ups/export/jobs"
ORG = "AC3E0000@AdobeOrg"
CANARY = "canary-secret-3f9a71"

JOB: dict[str, Any] = {
    "id": 100,
    "jobType": "BATCH",
    "status": "NEW",
    "destination": {"datasetId": "5b020a27e7040801dedbf46e", "segmentPerBatch": False, "batchId": "da5cfb4d"},
    "fields": "identities.id,personalEmail.address",
    "schema": {"name": "_xdm.context.profile"},
    "imsOrgId": ORG,
    "filter": {"segments": [{"segmentId": "52c26d0d", "segmentNs": "ups", "status": ["realized"]}]},
    "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
    "profileInstanceId": "ups",
    "errors": [{"code": "0100000003", "msg": "Error in Export Job", "callStack": "com.adobe.X\n at Y"}],
    "metrics": {
        "totalTime": {"startTimeInMs": 1538615973895, "endTimeInMs": 1538616233239, "totalTimeInMs": 259344},
        "profileExportTime": {"startTimeInMs": 1538616006810, "endTimeInMs": 1538616168870},
        "aCPDatasetWriteTime": {"startTimeInMs": 1538616169000, "endTimeInMs": 1538616233232, "totalTimeInMs": 64232},
        "totalExportedProfileCounter": 20,
        "exportedProfileByNamespaceCounter": {"ECID": 20, "Email": 7},
    },
    "computeGatewayJobId": {"exportJob": "f3058161", "pushJob": "feaeca05"},
    "creationTime": 1538615973895,
    "updateTime": 1538616233239,
    "requestId": "d995479c-8a08-4240-903b-af469c67be1f",
}


class Tokens:
    """Hands out token-1, then token-2 after a refresh; may refuse to refresh."""

    def __init__(self, refusing: bool = False) -> None:
        self.refreshed: list[str] = []
        self.refusing = refusing

    def get(self) -> str:
        return "token-1"

    def refresh(self, rejected: str) -> str:
        self.refreshed.append(rejected)
        if self.refusing:
            raise AuthFailed("Getting an access token: refused.")
        return "token-2"


class Waits:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def mocked_transport(tokens: Any = None, waits: Waits | None = None, **settings: Any) -> Transport:
    """A transport to Adobe's address, for use with `responses`."""
    waits = waits or Waits()
    chosen = {"api_url": API, "client_id": "client-1", "ims_org_id": ORG, "sandbox_name": "prod", **settings}
    return Transport(Connection(**chosen), tokens or Tokens(), clock=waits.clock, sleep=waits.sleep, rng=lambda: 1.0)


def real_transport(place: str, tokens: Any = None, scheme: str = "http", **settings: Any) -> Transport:
    """A transport to a server on loopback at `place` (127.0.0.1:PORT), with a real clock and no waits between sends."""
    chosen = {
        "api_url": f"{scheme}://{place}",
        "client_id": "client-1",
        "ims_org_id": ORG,
        "sandbox_name": "prod",
        "deadline_seconds": 5.0,
        "allowed_hosts": frozenset({place}),
        **settings,
    }
    return Transport(Connection(**chosen), tokens or Tokens(), sleep=lambda _: None)
