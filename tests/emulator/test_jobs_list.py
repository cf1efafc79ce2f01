"""Listing: order, cursor, filter, sandboxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from segadmin.emulator.server import Emulator
from tests.emulator.conftest import Client, Clock


def _walk(client: Client, limit: int, **params: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    offset: str | None = None
    while True:
        query: dict[str, Any] = {"limit": limit, **params, **({"offset": offset} if offset else {})}
        reply = client.jobs(params=query).json()
        assert len(reply["records"]) == reply["page"]["pageSize"] <= limit
        records += reply["records"]
        link = reply["link"]["next"]
        if not link:
            return records
        assert link.startswith("/export/jobs/?")
        assert "status" not in link
        offset = parse_qs(urlsplit(link).query)["offset"][0]
        assert offset == reply["page"]["pageOffset"]


@pytest.mark.parametrize("limit", [1, 3, 7, 26, 1000])
def test_the_cursor_reaches_every_job_once(acme: Client, limit: int) -> None:
    everything = acme.jobs().json()["records"]
    walked = _walk(acme, limit)
    assert [job["id"] for job in walked] == [job["id"] for job in everything]
    assert len({job["id"] for job in walked}) == len(walked) == 26


def test_newest_first(acme: Client) -> None:
    times = [job["metrics"]["totalTime"]["startTimeInMs"] for job in acme.jobs().json()["records"]]
    assert times == sorted(times, reverse=True)


def test_a_new_job_does_not_disturb_a_walk(acme: Client) -> None:
    first = acme.jobs(params={"limit": 5}).json()
    acme.create()
    offset = first["page"]["pageOffset"]
    second = acme.jobs(params={"limit": 5, "offset": offset}).json()
    assert not {job["id"] for job in first["records"]} & {job["id"] for job in second["records"]}


@pytest.mark.parametrize("status", ["NEW", "SUCCEEDED", "FAILED"])
def test_three_statuses_filter(acme: Client, status: str) -> None:
    wanted = [job["id"] for job in acme.jobs().json()["records"] if job["status"] == status]
    assert wanted
    assert [job["id"] for job in _walk(acme, 2, status=status)] == wanted


@pytest.mark.parametrize(
    "params",
    [
        {"status": "PROCESSING"},
        {"status": "succeeded"},
        {"limit": "0"},
        {"limit": "ten"},
        {"limit": "-1"},
        {"offset": "12"},
        {"offset": "12_x"},
    ],
)
def test_other_values_are_refused(acme: Client, params: dict[str, str]) -> None:
    answer = acme.jobs(params=params)
    assert answer.status_code == 400
    assert answer.json()["title"] == "BadRequestError"


def test_both_forms_of_the_address(acme: Client) -> None:
    assert acme.jobs(tail="/").json() == acme.jobs().json()


def test_sandboxes_and_organizations_are_apart(client_of: Callable[[str, str], Client]) -> None:
    clients = [client_of("acme", "prod"), client_of("acme", "stage"), client_of("nordwind", "prod")]
    made = clients[0].create()
    for other in clients[1:]:
        assert made["id"] not in [job["id"] for job in other.jobs().json()["records"]]
        assert other.jobs(tail=f"/{made['id']}").status_code == 404
        assert other.jobs("DELETE", f"/{made['id']}").status_code == 404


def test_an_empty_sandbox(client_of: Callable[[str, str], Client]) -> None:
    reply = client_of("acme", "training").jobs(params={"limit": 10}).json()
    assert reply["records"] == []
    assert reply["link"] == {"next": ""}


def test_a_long_list_is_cut_at_a_thousand(clock: Clock) -> None:
    with Emulator(clock=clock, jobs=5000) as emulator:
        client = Client(emulator, emulator.tenant("acme"), "prod")
        first = client.jobs(params={"limit": 5000}).json()
        assert len(first["records"]) == 1000
        walked = _walk(client, 1000)
        client.session.close()
        total = sum(len(emulator.jobs_of(slug, name)) for slug, name in _places())
    assert total == 5000
    assert len({job["id"] for job in walked}) == len(walked) > 2000


def _places() -> list[tuple[str, str]]:
    return [("acme", "prod"), ("acme", "stage"), ("acme", "training"), ("nordwind", "prod")]
