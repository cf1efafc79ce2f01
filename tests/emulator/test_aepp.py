"""A client that we did not write works on the emulator."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from segadmin.emulator.server import Emulator

DRIVER = Path(__file__).with_name("aepp_client.py")


@pytest.fixture
def python_with_aepp() -> str:
    """An interpreter beside this one, as aepp brings dozens of packages of its own."""
    path = os.environ.get("AEPP_PYTHON")
    if path:
        return path
    reason = "AEPP_PYTHON does not name an interpreter that has aepp"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _use(python: str, emulator: Emulator, slug: str, body: dict[str, Any]) -> dict[str, Any]:
    tenant = emulator.tenant(slug)
    task = {
        "url": emulator.url,
        "org_id": tenant.ims_org_id,
        "client_id": tenant.client_id,
        "secret": tenant.client_secret,
        "scopes": tenant.scopes,
        "sandbox": "prod",
        "limit": 3,
        "body": body,
    }
    done = subprocess.run([python, str(DRIVER)], input=json.dumps(task), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.aepp
def test_it_lists_creates_gets_and_deletes(python_with_aepp: str) -> None:
    with Emulator() as emulator:
        before = emulator.jobs_of("nordwind", "prod")
        content = emulator.content("nordwind", "prod")
        dataset = content.dataset_named("Service mails")
        audience = content.audience_named("Families")
        body = {
            "fields": "personalEmail.address",
            "filter": {"segments": [{"segmentId": audience.audience_id}]},
            "destination": {"datasetId": dataset.dataset_id},
            "schema": {"name": "_xdm.context.profile"},
        }
        made = _use(python_with_aepp, emulator, "nordwind", body)
        pages = [record for record in emulator.requests if record.query.get("limit") == ["3"]]

    assert made["listed"] == [job["id"] for job in before]
    assert len(pages) > 2, "three to a page, so that the cursor was followed"
    assert made["failed"]
    assert set(made["failed"]) == {"FAILED"}
    assert [job["id"] for job in made["first_page_with_slash"]["records"]] == made["listed"]
    assert made["created"]["status"] == "NEW"
    assert made["created"]["destination"]["datasetId"] == dataset.dataset_id
    assert made["got"]["id"] == made["created"]["id"]
    assert made["deleted"] == 200
    assert made["after"]["status"] in ("CANCELLING", "CANCELLED")
    assert made["unknown"]["status"] == 404
    assert {"Families", "Frequent flyers"} <= set(made["segments"])
    assert sorted(made["audiences"]) == sorted(item.name for item in content.audiences.values())
    assert made["policies"] == list(content.merge_policies)
    assert made["datasets"] == sorted(content.datasets)
    assert made["sandboxes"] == ["prod"]
