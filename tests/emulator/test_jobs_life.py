"""A job over time: waiting, working, ending, being cancelled, being deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from segadmin.emulator.exports import FinishedDelete
from segadmin.emulator.server import Emulator
from tests.emulator.conftest import Client, Clock


def test_new_then_processing_then_succeeded(acme: Client, clock: Clock) -> None:
    job_id = acme.create()["id"]
    clock.move(3)
    assert acme.job(job_id)["status"] == "NEW"
    clock.move(2)
    working = acme.job(job_id)
    assert working["status"] == "PROCESSING"
    assert set(working["metrics"]) == {"totalTime", "profileExportTime"}
    assert working["computeGatewayJobId"]["exportJob"]
    clock.move(41)
    done = acme.job(job_id)
    assert done["status"] == "SUCCEEDED"
    assert done["metrics"]["totalTime"]["totalTimeInMs"] == done["updateTime"] - done["creationTime"]
    assert done["metrics"]["totalExportedProfileCounter"] == acme.content.audience_named("Lapsed buyers").profiles
    assert set(done["metrics"]["exportedProfileByNamespaceCounter"]) == {"email", "crmid", "ecid"}
    clock.move(86_400)
    acme.session.headers["Authorization"] = f"Bearer {acme.emulator.issue_token('acme')}"
    assert acme.job(job_id) == done, "nothing changes after the end"


def test_speed_shortens_it(clock: Clock) -> None:
    with Emulator(clock=clock, speed=10) as emulator:
        client = Client(emulator, emulator.tenant("acme"), "prod")
        job_id = client.create()["id"]
        clock.move(5)
        assert client.job(job_id)["status"] == "SUCCEEDED"
        client.session.close()


def test_an_empty_audience_succeeds_with_nothing(acme: Client, clock: Clock) -> None:
    job_id = acme.create(audience="Black week early access")["id"]
    clock.move(60)
    done = acme.job(job_id)
    assert done["status"] == "SUCCEEDED"
    assert done["metrics"]["totalExportedProfileCounter"] == 0


def test_errors_can_come_with_success(acme: Client, clock: Clock) -> None:
    job_id = acme.create(audience="B2B accounts")["id"]
    clock.move(60)
    done = acme.job(job_id)
    assert done["status"] == "SUCCEEDED"
    assert "50 identities" in done["errors"][0]["msg"]


def _unknown_segment(body: dict[str, Any]) -> None:
    body["filter"]["segments"][0]["segmentId"] = "nobody-knows"


def _unknown_policy(body: dict[str, Any]) -> None:
    body["mergePolicy"] = {"id": "nobody-knows"}


@pytest.mark.parametrize(
    ("dataset", "change", "words"),
    [
        ("Web orders", lambda body: None, "union schema"),
        ("CRM out", _unknown_segment, "could not be found"),
        ("CRM out", _unknown_policy, "does not exist"),
    ],
)
def test_what_is_found_out_later_fails_the_job(
    acme: Client, clock: Clock, dataset: str, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    body = acme.body(dataset=dataset)
    change(body)
    job = acme.jobs("POST", json=body).json()
    assert job["status"] == "NEW"
    clock.move(60)
    done = acme.job(job["id"])
    assert done["status"] == "FAILED"
    assert words in done["errors"][0]["msg"]
    assert done["errors"][0]["code"].startswith("0")
    assert "\n" in done["errors"][0]["callStack"]
    assert "aCPDatasetWriteTime" not in done["metrics"]


@pytest.mark.parametrize("age", [0, 10])
def test_cancelling(acme: Client, clock: Clock, age: float) -> None:
    job_id = acme.create()["id"]
    clock.move(age)
    answer = acme.jobs("DELETE", f"/{job_id}")
    assert answer.status_code == 200
    assert answer.json() == {"status": True, "message": "Export job has been marked for cancelling"}
    assert acme.job(job_id)["status"] == "CANCELLING"
    assert acme.jobs("DELETE", f"/{job_id}").status_code == 200, "a second time is calm"
    clock.move(5)
    done = acme.job(job_id)
    assert done["status"] == "CANCELLED"
    assert ("profileExportTime" in done["metrics"]) == (age > 0)
    clock.move(60)
    assert acme.job(job_id) == done


def test_a_job_that_ends_first_ends_as_planned(acme: Client, clock: Clock) -> None:
    twin_clock = Clock()
    with Emulator(clock=twin_clock) as twin:  # the same seed, so the same life
        client = Client(twin, twin.tenant("acme"), "prod")
        job_id = client.create()["id"]
        twin_clock.move(60)
        length = client.job(job_id)["metrics"]["totalTime"]["totalTimeInMs"] / 1000
        client.session.close()

    assert acme.create()["id"] == job_id
    clock.move(length - 2)
    acme.jobs("DELETE", f"/{job_id}")
    assert acme.job(job_id)["status"] == "CANCELLING"
    clock.move(3)
    assert acme.job(job_id)["status"] == "SUCCEEDED"


def test_a_stuck_job_can_be_cancelled(acme: Client, clock: Clock) -> None:
    stuck = min(
        (job for job in acme.jobs().json()["records"] if job["status"] == "PROCESSING"),
        key=lambda job: job["creationTime"],
    )
    clock.move(7 * 86_400)
    acme.session.headers["Authorization"] = f"Bearer {acme.emulator.issue_token('acme')}"
    assert acme.job(stuck["id"])["status"] == "PROCESSING"
    acme.jobs("DELETE", f"/{stuck['id']}")
    clock.move(5)
    assert acme.job(stuck["id"])["status"] == "CANCELLED"


def test_a_job_in_an_unknown_status_can_be_cancelled(acme: Client, clock: Clock) -> None:
    odd = next(job for job in acme.jobs().json()["records"] if job["status"] == "SUSPENDED")
    acme.jobs("DELETE", f"/{odd['id']}")
    assert acme.job(odd["id"])["status"] == "CANCELLING"
    clock.move(5)
    assert acme.job(odd["id"])["status"] == "CANCELLED"


@pytest.mark.parametrize("choice", get_args(FinishedDelete))
def test_deleting_a_finished_job(acme: Client, choice: FinishedDelete) -> None:
    acme.emulator.exports.finished_delete = choice
    job = next(job for job in acme.jobs().json()["records"] if job["status"] == "SUCCEEDED")
    answer = acme.jobs("DELETE", f"/{job['id']}")
    assert answer.status_code == {"remove": 200, "keep": 200, "refuse": 409, "missing": 404}[choice]
    gone = choice == "remove"
    assert (acme.jobs(tail=f"/{job['id']}").status_code == 404) == gone
    assert (job["id"] not in [other["id"] for other in acme.jobs().json()["records"]]) == gone


@pytest.mark.parametrize("job_id", ["1", "abc", "%2e%2e", "24115%2F..", "٢٤"])
def test_an_unknown_id_is_not_found(acme: Client, job_id: str) -> None:
    assert acme.jobs(tail=f"/{job_id}").status_code == 404
    assert acme.jobs("DELETE", f"/{job_id}").status_code == 404


def test_an_outsiders_job(acme: Client, emulator: Emulator, clock: Clock) -> None:
    made = emulator.add_job("acme", "prod", acme.body(), created_at=clock.now - 3600)
    assert acme.job(made["id"])["status"] == "SUCCEEDED"
    assert made["creationTime"] == (clock.now - 3600) * 1000
    assert emulator.requests[-1].method == "GET", "it came over no wire"
