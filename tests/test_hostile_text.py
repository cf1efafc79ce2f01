"""Hostile text in every field that a person or Adobe can fill, looked for everywhere it may come out again.

One world for each kind of text: it is typed into the real forms, and told by an Adobe that answers over HTTP; then every
page, file and log line of it is read. What comes out has to be text, all of it, and nothing that lies about its order.
"""

import io
import json
import logging
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from django.core.management import call_command
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from segadmin import sync
from segadmin.emulator.server import Emulator
from segadmin.logs import OneLineFormatter, RequestIdFilter
from segadmin.models import (
    EventContent,
    Explanation,
    ExportRequest,
    FileReceipt,
    Finding,
    Hold,
    Job,
    Organization,
    RegisterEntry,
    Role,
    Sandbox,
)
from tests.conftest import make_person, signed_in
from tests.hostile import TEXTS, Page, Texts, wrong_in_csv, wrong_in_lines
from tests.upstream import body_for
from tests.views.pages import text_of

pytestmark = pytest.mark.django_db

ROOT, SECOND = "root", "second"
ACME = "/organizations/acme/"
PROD = "/orgs/acme/prod/"


# -- what Adobe says --------------------------------------------------------------------------------------------------


def adobe_tells(emulator: Emulator, texts: Texts) -> None:
    """Jobs and names of prod full of it; in stage Adobe refuses everything with it."""
    names = {"audience": texts.of("audience name", 300), "dataset": texts.of("dataset name", 300)}
    made = int((timezone.now() + timedelta(seconds=1)).timestamp())
    job = {
        "id": texts.of("job id", 200) if texts.kind in ("markup", "long") else "hostile-1",
        "status": texts.of("status", 60) if texts.kind != "long" else "QUEUED_RETRY",
        "jobType": texts.of("job type", 100),
        "fields": f"identityMap,{texts.of('field path', 200)}",
        "destination": {"datasetId": texts.of("dataset id", 200), "batchId": texts.of("batch id", 200)},
        "filter": {"segments": [{"segmentId": "seg-1", "segmentNs": texts.of("namespace", 60)}]},
        "mergePolicy": {"id": texts.of("merge policy id", 200), "version": 1},
        "schema": {"name": texts.of("schema", 100)},
        "creationTime": made,
        "requestId": texts.of("request id", 200),
        "computeGatewayJobId": {"exportJob": texts.of("compute id", 200)},
        "profileInstanceId": texts.of("instance", 100),
        "createdBy": texts.of("created by", 300),
        "errors": [
            {"code": texts.of("error code", 100), "msg": texts.of("error text"), "callStack": texts.of("stack")}
        ],
        "metrics": {"exportedProfileByNamespaceCounter": {texts.of("counter", 100): 3}},
        texts.of("unknown key", 100): texts.of("unknown value"),
    }
    done = {**job, "id": "hostile-2", "status": "SUCCEEDED"}
    running = {**job, "id": "hostile-3", "status": "PROCESSING", "destination": {"datasetId": "set-1"}}
    page = {
        "records": [job, done, running, {"id": None, "note": texts.of("record without id")}],
        "page": {"pageSize": 4},
    }
    told: dict[str, Any] = {
        "jobs.list": page,
        "audiences.list": {"children": [{"id": "seg-1", "name": names["audience"], "namespace": "ups"}], "_page": {}},
        "datasets.list": {"set-1": {"name": names["dataset"], "description": texts.of("dataset text")}},
        "policies.list": {"children": [{"id": "policy-1", "name": texts.of("policy name", 300)}], "_page": {}},
    }
    for endpoint, content in told.items():
        emulator.faults.set(endpoint=endpoint, org="acme", sandbox="prod", body=content)
    emulator.faults.set(endpoint="jobs.get", path="*/hostile-3", body=running)
    cancelled = {"message": texts.of("cancel answer", 1500), "requestId": texts.of("cancel id", 200)}
    emulator.faults.set(endpoint="jobs.delete", path="*/hostile-3", status=409, body=cancelled)
    refusal = {
        "errors": {"400": [{"code": texts.of("fault code", 150), "message": texts.of("fault text", 1500)}]},
        "title": texts.of("fault title"),
        texts.of("fault key", 100): texts.of("fault value"),
    }
    emulator.faults.set(endpoint="jobs.list", org="acme", sandbox="stage", status=400, body=refusal)
    sandboxes = [
        {"name": name, "title": texts.of(f"title of {name}", 200), "type": kind, "state": "active", "region": "VA7"}
        for name, kind in (("prod", "production"), ("stage", "development"))
    ]
    odd = {
        "name": "odd",
        "title": "Odd",
        "type": texts.of("sandbox type", 40),
        "state": "active",
        "region": texts.of("sandbox region", 40),
    }
    odder = {"name": "odder", "title": "Odder", "type": "development", "state": texts.of("sandbox state", 40)}
    emulator.faults.set(
        endpoint="sandboxes.list", org="acme", body={"sandboxes": [*sandboxes, odd, odder], "_page": {}}
    )


# -- what people type -------------------------------------------------------------------------------------------------


class People:
    """Two people who may do everything, at the real forms. Forms that were not taken are kept as `refused`."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.clients = {name: signed_in(make_person(name, Role.ADMIN)) for name in (ROOT, SECOND)}
        self.refused: list[str] = []
        self.pages: dict[str, str] = {}

    def post(self, address: str, who: str = ROOT, /, *, faulty: bool = False, **values: Any) -> None:
        response = self.clients[who].post(address, values)
        if response.status_code != 302:
            self.pages[f"POST {address}"] = response.content.decode()
            if not faulty:
                self.refused.append(f"{address}: {text_of(response)[:600]}")

    def confirm(self) -> None:
        for client in self.clients.values():
            client.post(f"/accounts/reauthenticate/?next={ACME}", {"password": "correct horse battery"})

    def fill(self, emulator: Emulator) -> None:
        self.settings_of_the_org()
        self.requests(emulator)
        self.jobs()
        self.findings()
        self.record_and_register()
        self.installation()

    def settings_of_the_org(self) -> None:
        of, org = self.texts.of, Organization.objects.get(slug="acme")
        self.confirm()
        self.post(
            f"{ACME}edit/",
            name=of("org name", 100),
            ims_org_id=org.ims_org_id,
            api_url=org.api_url,
            token_url=org.token_url,
            reason=of("org reason", 300),
        )
        self.post(f"{ACME}sandboxes/prod/", watched="on", exports_allowed="on", reason="none")
        self.post(f"{ACME}sandboxes/stage/", watched="on", reason=of("sandbox reason", 300))
        pattern = re.sub(r"[\s*→]|->", "", of("pattern", 150))
        self.texts.fields["pattern"] = pattern
        self.post(
            f"{ACME}personal-data/",
            version="0",
            field_lines=f"{pattern} → email",
            audience_lines=f"*{pattern[:100]}* → health",
        )

    def requests(self, emulator: Emulator) -> None:
        of = self.texts.of
        for purpose, reply in (("purpose", None), ("refused purpose", 400)):
            if reply:
                body = {"errors": {"400": [{"message": of("refusal", 1500)}]}, "requestId": of("refusal id", 200)}
                emulator.faults.set(endpoint="jobs.create", status=reply, body=body, times=1)
            self.post(
                f"{PROD}jobs/new/",
                who="audiences",
                which="these",
                fields="identityMap",
                destination__datasetId=body_for(emulator)["destination"]["datasetId"],  # type: ignore[index]
                schema__name="_xdm.context.profile",
                purpose=of(purpose, 2000),
                recipient=of(f"recipient, {purpose}", 300),
                ticket=of(f"ticket, {purpose}", 100),
                legal_basis=of(f"basis, {purpose}", 40),
                **{"filter__segments-0-segmentId": "seg-1", "filter__segments-TOTAL_FORMS": "1"},
                **{"filter__segments-INITIAL_FORMS": "0"},
            )
            row = ExportRequest.objects.latest("pk")
            self.post(f"{PROD}requests/{row.uuid}/", version=str(row.version))
            assert ExportRequest.objects.get(pk=row.pk).state == ("refused" if reply else "sent")
        # One more stays a draft that is full of faults.
        self.post(
            f"{PROD}jobs/new/",
            faulty=True,
            who="everyone",
            fields=of("typed path", 200),
            destination__datasetId=of("typed dataset", 200),
            mergePolicy__id=of("typed policy", 200),
            schema__name=of("typed schema", 200),
            additionalFields__eventList__filter__fromIngestTimestamp=of("typed time", 60),
            purpose=of("typed purpose", 2000),
        )

    def jobs(self) -> None:
        job = reverse("job", args=["acme", "prod", "hostile-3"])
        self.post(f"{job}cancel/", reason=self.texts.of("cancel reason", 500))
        done = Job.objects.get(job_id="hostile-2")
        address = reverse("job_batch_checked", args=["acme", "prod", "hostile-2"])
        self.post(address, batch=done.batch_ids[0], note=self.texts.of("batch note", 500))

    def findings(self) -> None:
        of, rows = self.texts.of, list(Finding.objects.filter(kind="outside").order_by("pk"))
        assert len(rows) == 3
        self.post(f"/findings/{rows[0].pk}/", note=of("finding note", 1000))
        self.post(f"/findings/{rows[0].pk}/check/", SECOND, verdict="back", note=of("sent back", 1000))
        self.post(
            f"/findings/{rows[1].pk}/explanation/",
            owner=of("owner", 150),
            reason=of("explanation", 1000),
            valid_until=(timezone.now() + timedelta(days=90)).date().isoformat(),
        )
        rule = Explanation.objects.get()
        self.post(f"/explanations/{rule.pk}/check/", SECOND)
        self.post(f"/explanations/{rule.pk}/end/", SECOND, reason=of("end reason", 1000))

    def record_and_register(self) -> None:
        of = self.texts.of
        entry = RegisterEntry.objects.get(export_request__state="sent")
        self.post(
            f"/register/{entry.pk}/amend/",
            recipient=of("amended recipient", 300),
            purpose=of("amended purpose", 2000),
            legal_basis=of("amended basis", 40),
            ticket=of("amended ticket", 100),
            why=of("amend why", 1000),
            version=str(entry.amended),
        )
        for page in ("audit", "register"):
            # What looks like an address of a person is not kept, by intent.
            name, line = (of(f"{what} of {page}", 100).replace("@", "=") for what in ("view", "query"))
            self.post("/views/new/", page=page, name=name, query=json.dumps(line), seen_by="acme")

    def installation(self) -> None:
        of = self.texts.of
        self.post("/retention/", register_months="36", access_months="12", reason=of("retention reason", 500))
        self.post("/retention/holds/new/", kind="person", person=of("held person", 150), reason=of("hold reason", 500))
        self.post("/retention/holds/new/", kind="job", job="acme/prod/hostile-2", reason=of("other hold", 500))
        hold = Hold.objects.filter(kind="job").latest("pk")
        self.post(f"/retention/holds/{hold.pk}/release/", reason=of("release reason", 500))
        self.post("/audit/proof/witness/", minutes="30", reason=of("witness reason", 500))
        self.post("/audit/proof/key/", reason=of("key reason", 500))


# -- reading everything -----------------------------------------------------------------------------------------------


def addresses() -> Iterator[str]:
    """Every page that may show any of it, also those that repeat what was asked for."""
    yield from ("/jobs/", "/drafts/", "/register/", "/audit/", "/audit/?details=1", "/answers/", "/completeness/")
    yield "/completeness/rows/"
    yield from ("/findings/", "/findings/?state=closed", "/explanations/", "/retention/", "/organizations/", "/people/")
    yield from ("/audit/proof/", "/files/check/", "/views/", "/audit/evidence/", "/retention/holds/new/", ACME)
    yield from (
        f"{ACME}{page}/" for page in ("edit", "credential", "sandboxes/prod", "sandboxes/stage", "personal-data")
    )
    yield from (f"{ACME}remove/", f"{PROD}jobs/new/", "/answers/where/", "/answers/processing/", "/answers/breach/")
    for what in ("sandboxes/odd", "sandboxes/prod"):
        yield f"{ACME}{what}/"
    for by in ("audience", "dataset", "recipient", "field", "org", "person"):
        yield f"/answers/?by={by}"
    one_of_each = {(row.action, row.outcome): row.pk for row in EventContent.objects.order_by("pk")}
    yield from (reverse("event", args=[seq]) for seq in one_of_each.values())
    for job in Job.objects.all():
        yield reverse("job", args=["acme", "prod", job.job_id])
        yield reverse("job_cancel", args=["acme", "prod", job.job_id])
        yield f"{PROD}jobs/new/?from={job.pk}"
    for row in ExportRequest.objects.all():
        yield f"{PROD}requests/{row.uuid}/"
        yield f"{PROD}requests/{row.uuid}/edit/"
    for entry in RegisterEntry.objects.all():
        yield from (f"/register/{entry.pk}/", f"/register/{entry.pk}/amend/")
    for finding in Finding.objects.all():
        yield from (f"/findings/{finding.pk}/", f"/findings/{finding.pk}/explanation/")
    yield from (f"/explanations/{row.pk}/" for row in Explanation.objects.all())
    yield from (f"/retention/holds/{row.pk}/release/" for row in Hold.objects.filter(move="placed"))
    yield from (f"/files/{row.code}/" for row in FileReceipt.objects.all())


FILES = (
    "/audit/export.csv",
    "/audit/export.jsonl",
    "/register/export.csv",
    "/register/export.jsonl",
    "/answers/exported.csv",
    "/answers/where.csv?field=identityMap",
    "/answers/erasure.csv?audiences=seg-1",
    "/answers/processing.csv",
    "/answers/breach.csv",
)


def taken(client: Client, address: str, posted: dict[str, str] | None = None) -> bytes:
    response = client.get(address) if posted is None else client.post(address, posted)
    assert response.status_code == 200, (address, response.content[:2000])
    return b"".join(cast("Iterable[bytes]", cast("StreamingHttpResponse", response).streaming_content))


def asked_with(kind: str) -> Iterator[str]:
    """Pages that repeat what somebody put into the address, or into a form that changes nothing."""
    for page, names in {
        "/jobs/": ("q", "org", "sandbox", "state", "after"),
        "/register/": ("q", "actor", "audience", "field", "recipient", "ticket", "org", "from", "pii", "after"),
        "/audit/": ("q", "person", "action", "org", "request", "from", "after"),
        "/answers/": ("by", "from", "recipient"),
        "/answers/where/": ("field", "audience", "from"),
        "/answers/erasure/": ("audiences",),
        "/completeness/": ("org", "from", "to"),
        "/findings/": ("org", "kind"),
        "/audit/proof/compare/": ("kept",),
        "/audit/evidence/": ("job", "q"),
        "/files/check/": ("sha256",),
        f"{PROD}jobs/new/": ("from", "audience"),
        "/views/new/": ("q",),
        "/accounts/login/": ("next",),
    }.items():
        begins, rest = TEXTS[kind]
        yield page + "?" + urlencode(dict.fromkeys(names, (begins + rest)[:300]))


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """What the program's own log would hold."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(OneLineFormatter("{asctime} {levelname} {name} [{request_id}] {message}", style="{"))
    handler.addFilter(RequestIdFilter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def look_at(found: dict[str, list[str]], shown: list[str], address: str, html: str) -> None:
    page = Page(html)
    shown.append(" ".join(page.text))
    if page.wrong:
        found[address] = page.wrong[:3]


@pytest.mark.parametrize("kind", TEXTS)
def test_text_stays_text(
    kind: str, emulator: Emulator, live_prod: Sandbox, log_lines: io.StringIO, tmp_path: Path
) -> None:
    told, typed = Texts(kind, unstorable=True), Texts(kind)
    adobe_tells(emulator, told)
    sync.once()
    people = People(typed)
    people.fill(emulator)
    sync.once()
    client, wrong, shown = people.clients[ROOT], dict[str, list[str]](), list[str]()
    for address, html in people.pages.items():
        look_at(wrong, shown, address, html)
    for address in addresses():
        response = client.get(address, follow=True)
        if response.status_code != 200:
            wrong[address] = [str(response.status_code)]
        look_at(wrong, shown, address, response.content.decode())
    for address in asked_with(kind):
        response = client.get(address)
        if response.status_code >= 500:
            wrong[address] = [str(response.status_code)]
        look_at(wrong, [], address, response.content.decode())
    words = "".join(shown)
    assert (wrong, people.refused) == ({}, [])
    assert (typed.missing_in(words), told.missing_in(words)) == ([], [])
    assert {**in_files(client), **in_pack(client, tmp_path)} == {}
    assert wrong_in_log(log_lines.getvalue()) == []


def in_files(client: Client) -> dict[str, list[str]]:
    """What is wrong with each file that can be taken out, and with its receipt."""
    wrong = {}
    for address in FILES:
        data = taken(client, address)
        wrong[address] = wrong_in_csv(data) if ".csv" in address else wrong_in_lines(data)
    for receipt in FileReceipt.objects.all():
        address = reverse("file_receipt", args=[receipt.code])
        wrong[address] = wrong_in_lines(client.get(address).content)
    return {address: found[:3] for address, found in wrong.items() if found}


def in_pack(client: Client, folder: Path) -> dict[str, list[str]]:
    """The same of an evidence pack, of what its verifier prints, and of what `verify_audit` prints."""
    pack = zipfile.ZipFile(io.BytesIO(taken(client, "/audit/evidence/", {})))
    wrong = {}
    for name in set(pack.namelist()) - {"events.jsonl"}:  # those are the bytes of the digests, to be hashed as they are
        wrong[name] = wrong_in_csv(pack.read(name)) if name.endswith(".csv") else wrong_in_lines(pack.read(name))
    pack.extractall(folder)
    run = subprocess.run(
        [sys.executable, "-I", "verifier.py", "."], cwd=folder, capture_output=True, timeout=60, check=False, env={}
    )
    assert run.returncode == 0, run.stdout
    said = io.StringIO()
    call_command("verify_audit", by="\u202eroot\x1b[2J", stdout=said, stderr=said)
    wrong |= {"verifier.py": wrong_in_lines(run.stdout), "verify_audit": wrong_in_lines(said.getvalue().encode())}
    return {name: found[:3] for name, found in wrong.items() if found}


def wrong_in_log(text: str) -> list[str]:
    """Lines that are no event of the log, and what hides or turns something."""
    assert "could not be read" in text  # the refusal of stage at least is in it
    lines = text.splitlines()
    odd = [line[:200] for line in lines if not re.match(r"\d{4}-\d\d-\d\d .* (INFO|WARNING|ERROR) \S+ \[|    ", line)]
    forged = [line[:200] for line in lines if re.match(r"\S+ \S+ INFO forged", line)]
    return odd + forged + wrong_in_lines(text.encode())
