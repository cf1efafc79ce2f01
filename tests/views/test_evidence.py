"""The evidence pack: what is in it, who may make it, and that the verifier accepts it outside of the project."""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from django.conf import settings
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone

from segadmin.actions import evidence
from segadmin.audit import Actor, Subject, record
from segadmin.models import (
    Action,
    Amendment,
    Event,
    EventContent,
    FileReceipt,
    Outcome,
    RegisterEntry,
    RequestState,
    Sandbox,
    User,
)
from tests.conftest import signed_in
from tests.factories import make_job, make_request
from tests.views.pages import text_of

pytestmark = pytest.mark.django_db

URL = "/audit/evidence/"
FILES = {
    "README.txt",
    "checkpoints.txt",
    "digests.csv",
    "events.csv",
    "events.jsonl",
    "jobs.jsonl",
    "manifest.json",
    "public_keys.txt",
    "register.csv",
    "register.jsonl",
    "requests.jsonl",
    "signature.txt",
    "verifier.py",
}


def write(sentence: str, subject: Subject | None = None, **details: Any) -> Event:
    actor = Actor(kind="person", name="operator", id="7", roles=("operator",))
    return record(
        actor=actor, action=Action.EXPORT_CANCEL, sentence=sentence, subject=subject or Subject(), details=details
    )


def packed(client: Client, **posted: str) -> zipfile.ZipFile:
    response = client.post(URL, posted)
    assert response.status_code == 200, text_of(response)
    data = b"".join(cast("Iterable[bytes]", cast("StreamingHttpResponse", response).streaming_content))
    assert response.headers["Content-Length"] == str(len(data))
    return zipfile.ZipFile(io.BytesIO(data))


def told(pack: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pack.read(name).decode().splitlines()]


def sequence(pack: zipfile.ZipFile) -> list[int]:
    return [row["seq"] for row in told(pack, "events.jsonl")]


def verified(pack: zipfile.ZipFile, folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The verifier of the pack, run by a bare Python outside of the checkout."""
    pack.extractall(folder)
    run = subprocess.run(
        [sys.executable, "-I", "verifier.py", ".", "--json", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={},
    )
    return run.returncode, json.loads(run.stdout)


@pytest.fixture
def story(prod: Sandbox, stage: Sandbox, foreign: Sandbox, operator: User) -> dict[str, int]:
    """Records of one job, of another, of another org, and of no org, in turn."""
    write("before all", Subject(sandbox=foreign))
    request = make_request(prod, operator)
    job = make_job(prod, "24102", export_request=request)
    RegisterEntry.objects.create(
        sandbox=prod,
        organization=prod.organization,
        job=job,
        export_request=request,
        outcome="succeeded",
        origin="here",
        sort_at=timezone.now(),
        recipient="CRM team",
    )
    asked = write("asked for an export", Subject(sandbox=prod, request_uuid=request.uuid), body={"fields": "=1+1"})
    write("elsewhere", Subject(sandbox=foreign, job_id="24102"))
    seen = write("saw 24102", Subject(sandbox=prod, job_id="24102", request_uuid=request.uuid))
    make_job(stage, "31")
    other = write("saw 31", Subject(sandbox=stage, job_id="31"))
    write("signed in")
    return {"asked": asked.seq, "seen": seen.seq, "other": other.seq}


def test_the_page_says_what_it_gives(auditor: User, story: dict[str, int]) -> None:
    page = text_of(signed_in(auditor).get(f"{URL}?action=export.cancel&from=2026-01-01"))
    assert "Evidence pack" in page
    assert "export.cancel" in page
    assert EventContent.objects.filter(action=Action.RECORD_EXPORTED).count() == 0


def test_a_pack_of_everything_that_the_person_may_read(auditor: User, story: dict[str, int]) -> None:
    pack = packed(signed_in(auditor))
    assert set(pack.namelist()) == FILES
    assert sequence(pack) == list(story.values())
    for line in pack.read("events.jsonl").decode().splitlines():
        row = Event.objects.get(pk=json.loads(line)["seq"])
        assert hashlib.sha256(line.encode()).hexdigest() == row.digest
    assert [int(row["record"]) for row in csv.DictReader(io.StringIO(pack.read("events.csv").decode()))] == sequence(
        pack
    )
    digests = list(csv.DictReader(io.StringIO(pack.read("digests.csv").decode())))
    last = Event.objects.latest("seq").seq
    assert [int(row["seq"]) for row in digests] == list(range(story["asked"], last))  # all but the event of its end
    assert {row["job"] for row in told(pack, "jobs.jsonl")} == {"24102", "31"}
    assert told(pack, "jobs.jsonl")[0]["as_adobe_last_told_it"]["somethingNew"] == {"of": "Adobe"}
    assert [row["body"]["fields"] for row in told(pack, "requests.jsonl")] == ["personalEmail.address"]
    assert [row["job"] for row in told(pack, "register.jsonl")] == ["24102"]
    assert "python3 -I verifier.py ." in pack.read("README.txt").decode()


def test_the_manifest_lists_each_file_and_stands_in_the_record(auditor: User, story: dict[str, int]) -> None:
    pack = packed(signed_in(auditor), org="acme")
    manifest = json.loads(pack.read("manifest.json"))
    assert set(manifest["files"]) == FILES - {"manifest.json", "signature.txt"}
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": hashlib.sha256(pack.read(name)).hexdigest(), "size": len(pack.read(name))}
    asked, done = EventContent.objects.filter(action=Action.RECORD_EXPORTED).order_by("event_id")
    assert (asked.outcome, done.outcome) == (Outcome.REQUESTED, Outcome.SUCCEEDED)
    details = json.loads(done.text)["details"]
    assert details["manifest_sha256"] == hashlib.sha256(pack.read("manifest.json")).hexdigest()
    receipt = FileReceipt.objects.get()
    assert (receipt.kind, receipt.rows, receipt.code) == ("evidence", 3, manifest["receipt"])
    assert details["sha256"] == receipt.sha256
    page = text_of(signed_in(auditor).post("/files/check/", {"sha256": receipt.sha256}))
    assert f"It is the file of receipt {receipt.code}" in page


def test_the_verifier_accepts_it_and_sees_what_is_altered(auditor: User, story: dict[str, int], tmp_path: Path) -> None:
    pack = packed(signed_in(auditor))
    code, report = verified(pack, tmp_path / "whole")
    assert (code, report["damage"]) == (0, [])
    assert report["with_content"] == 3
    assert report["checkpoints"] == 1
    pack.extractall(tmp_path / "altered")
    events = tmp_path / "altered" / "events.jsonl"
    events.write_text(events.read_text().replace("saw 31", "saw 32"))
    run = subprocess.run(
        [sys.executable, "-I", "verifier.py", "."],
        cwd=tmp_path / "altered",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert f"The text of record {story['other']} does not fit its digest." in run.stdout


def test_a_pack_of_one_job(auditor: User, story: dict[str, int]) -> None:
    pack = packed(signed_in(auditor), job="24102")
    assert sequence(pack) == [story["asked"], story["seen"]]
    assert [row["job"] for row in told(pack, "jobs.jsonl")] == ["24102"]
    assert len(told(pack, "requests.jsonl")) == len(told(pack, "register.jsonl")) == 1


def test_corrections_are_in_it(auditor: User, story: dict[str, int]) -> None:
    entry = RegisterEntry.objects.get()
    RegisterEntry.objects.update(amended=1, recipient="Agency")
    Amendment(
        entry=entry, field="recipient", old="CRM team", new="Agency", why="typo", by="admin", at=timezone.now(), seq=1
    ).save()
    pack = packed(signed_in(auditor), job="24102")
    row = told(pack, "register.jsonl")[0]
    assert (row["recipient"], row["recipient_originally"]) == ("Agency", "CRM team")
    assert row["corrections"][0]["why"] == "typo"


def test_a_request_that_its_author_is_changing_again_is_private(auditor: User, prod: Sandbox, operator: User) -> None:
    draft = make_request(prod, operator, RequestState.DRAFT, purpose="not yet decided")
    write("asked for an export", Subject(sandbox=prod, request_uuid=draft.uuid))
    assert told(packed(signed_in(auditor)), "requests.jsonl") == []


def test_nothing_too_much_and_no_such_job(
    auditor: User, story: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(auditor)
    for posted, sentence in (
        ({"from": "2999-01-01"}, "nothing matches"),
        ({"job": "99999"}, "There is no export job 99999"),
        ({"org": "nobody"}, "There is no organization “nobody”"),
        ({"from": "soon"}, "Write the day as year, month and day"),
    ):
        response = client.post(URL, posted)
        assert response.status_code == 422
        assert sentence in text_of(response)
    monkeypatch.setattr(evidence, "MOST_RECORDS", 2)
    assert "More than 2 records match." in text_of(client.post(URL))
    assert FileReceipt.objects.count() == 0


def test_a_pack_that_cannot_be_made_is_told_and_leaves_no_file(
    auditor: User, story: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object) -> str:
        raise OSError("no space")

    monkeypatch.setattr(evidence, "readme", fails)
    client = signed_in(auditor)
    client.raise_request_exception = False
    assert client.post(URL).status_code == 500
    assert EventContent.objects.filter(action=Action.RECORD_EXPORTED, outcome=Outcome.FAILED).count() == 1
    assert FileReceipt.objects.get().sha256 == ""
    assert list((Path(settings.DATA_DIR) / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "stranger"])
def test_others_may_not_make_one(request: pytest.FixtureRequest, name: str, story: dict[str, int]) -> None:
    assert signed_in(request.getfixturevalue(name)).post(URL).status_code == 403
    assert FileReceipt.objects.count() == 0


def test_nothing_typed_is_lost_where_no_pack_is_made(auditor: User, prod: Sandbox) -> None:
    write("cancelled", Subject(sandbox=prod))
    client = signed_in(auditor)
    for typed, sentence in (
        ({"from": "2026-12-31", "to": "2026-01-01", "job": ""}, "To: The last day is before the first one."),
        ({"from": "2026-01-01", "to": "2026-12-31", "job": "nowhere"}, "There is no export job nowhere"),
        ({"from": "soon", "to": "2026-12-31", "job": "24127"}, "Write the day as year, month and day"),
    ):
        page = client.post(URL, typed)
        assert page.status_code == 422
        assert sentence in text_of(page)
        for name, value in typed.items():
            if value:
                assert re.search(rf'name="{name}" value="{value}"', page.content.decode()), (name, value)
    assert "Query" not in text_of(client.post(URL, {"from": "2026-12-31", "to": "2026-01-01"}))


def test_the_days_of_the_records_query_are_filled_in(auditor: User) -> None:
    page = signed_in(auditor).get(f"{URL}?q=created:2026-01-01..2026-02-03").content.decode()
    assert 'name="from" value="2026-01-01"' in page
    assert 'name="to" value="2026-02-03"' in page
