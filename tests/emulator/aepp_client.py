"""Drives the emulator with the package `aepp`, which is not installed beside these tests.

Run by an interpreter that has it; reads one JSON object from standard input (url, org_id, client_id, secret, scopes,
sandbox, body) and writes one to standard output with what aepp gave back for each step.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import aepp  # type: ignore[import-not-found, unused-ignore]
from aepp import catalog, config, customerprofile, sandboxes, segmentation


def point_at(url: str) -> None:
    """aepp has no setting for its host names: they are filled in by `configure` and read when a class is made."""
    config.endpoints["global"] = url
    config.config_object["imsEndpoint"] = url
    config.config_object["oauthTokenEndpointV2"] = f"{url}/ims/token/v3"


def use(task: dict[str, Any]) -> dict[str, Any]:
    """One pass over what a user of aepp would do."""
    names = ("org_id", "client_id", "secret", "scopes", "sandbox")
    aepp.configure(**{name: task[name] for name in names}, retry=0)
    point_at(task["url"])
    segments = segmentation.Segmentation()
    profiles = customerprofile.Profile()
    made: dict[str, Any] = {}
    made["listed"] = [job["id"] for job in segments.getExportJobs(limit=task["limit"])]
    made["failed"] = [job["status"] for job in segments.getExportJobs(status="FAILED")]
    made["first_page_with_slash"] = profiles.getExportJobs()
    created = segments.createExport(task["body"])
    made["created"] = created
    made["got"] = segments.getExport(str(created["id"]))
    made["deleted"] = segments.deleteExport(str(created["id"]))
    made["after"] = segments.getExport(str(created["id"]))
    made["unknown"] = segments.getExport("1")
    made["segments"] = [item["name"] for item in segments.getSegments()]
    made["audiences"] = [item["name"] for item in segments.getAudiences(limit=5)]
    made["policies"] = [item["id"] for item in profiles.getMergePolicies()]
    made["datasets"] = sorted(catalog.Catalog().getDataSets(output="raw"))
    made["sandboxes"] = [item["name"] for item in sandboxes.Sandboxes().getSandboxes()]
    return made


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # aepp prints remarks
        result = use(json.load(sys.stdin))
    json.dump(result, sys.stdout)
