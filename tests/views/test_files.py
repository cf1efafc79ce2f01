"""Files of the record and of the register: exactly the filtered rows, safe cells, a receipt, an event at both ends."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone

from segadmin.actions import files as actions
from segadmin.actions.register import amend, refresh
from segadmin.audit import Actor, Subject, record
from segadmin.models import (
    Action,
    Amendment,
    Checkpoint,
    Event,
    EventContent,
    FileReceipt,
    Job,
    Organization,
    Outcome,
    RegisterEntry,
    Role,
    Sandbox,
    State,
    User,
)
from segadmin.queries import cells
from segadmin.queries.files import AUDIT_COLUMNS, audit_line, fields, fields_of_json
from segadmin.queries.files_register import REGISTER_COLUMNS
from tests.conftest import make_person, signed_in
from tests.factories import make_job, make_request
from tests.views.pages import text_of

pytestmark = pytest.mark.django_db

CSV, JSONL = "/audit/export.csv", "/audit/export.jsonl"
REGISTER_CSV, REGISTER_JSONL = "/register/export.csv", "/register/export.jsonl"
CHECK = "/files/check/"
FORMULA = '=HYPERLINK("http://evil.example","click")'
SCRIPT = "<script>alert(1)</script>"
BREAKS = "one\r\ntwo\nthree\rfour\u2028five"
TURNED = "invoice\u202excod.exe\u2066 \u200f"
LONG = "long text " * 1000
NASTY = (
    FORMULA,
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    ' "=1',
    "'=1",
    "\ufeff=1",
    "＝1",
    SCRIPT,
    BREAKS,
    TURNED,
    LONG,
)


def write(sentence: str = "did something", *, subject: Subject | None = None, **details: Any) -> Event:
    actor = Actor(kind="person", name="operator", id="7", roles=("operator",), signed_in="password", address="10.0.0.1")
    return record(
        actor=actor, action=Action.EXPORT_CANCEL, sentence=sentence, subject=subject or Subject(), details=details
    )


def taken(client: Client, address: str) -> tuple[bytes, StreamingHttpResponse]:
    response = client.get(address)
    assert response.status_code == 200, address
    streamed = cast("StreamingHttpResponse", response)
    return b"".join(cast("Iterable[bytes]", streamed.streaming_content)), streamed


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.decode().splitlines()]


def numbers(data: bytes) -> list[int]:
    return [int(row["record"]) for row in table(data)]


def exports(outcome: Outcome | None = None) -> list[EventContent]:
    found = EventContent.objects.filter(action=Action.RECORD_EXPORTED).order_by("event_id")
    return list(found.filter(outcome=outcome) if outcome else found)


def details_of(event: EventContent) -> dict[str, Any]:
    return dict(json.loads(event.text)["details"])


@pytest.fixture
def event(prod: Sandbox) -> Event:
    return write("cancelled 24102", subject=Subject(sandbox=prod, job_id="24102"), reason="wrong dataset")


# -- which rows -------------------------------------------------------------------------------------------------------


def test_csv_says_what_the_record_says(auditor: User, event: Event) -> None:
    data, response = taken(signed_in(auditor), CSV)
    rows = table(data)
    assert list(rows[0]) == list(AUDIT_COLUMNS)
    content = EventContent.objects.get(event=event)
    row = next(row for row in rows if row["record"] == str(event.seq))
    assert row["at"] == content.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert (row["actor"], row["roles"], row["signed_in"], row["address"]) == (
        "operator",
        "operator",
        "password",
        "10.0.0.1",
    )
    assert (row["organization"], row["organization_name"], row["sandbox"]) == ("acme", "Acme Retail", "prod")
    assert (row["job"], row["action"], row["outcome"]) == ("24102", "export.cancel", "succeeded")
    assert json.loads(row["details"]) == {"reason": "wrong dataset"}
    assert (row["digest"], row["chain"]) == (event.digest, event.chain)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="segadmin-audit-')


def test_jsonl_holds_the_canonical_texts_and_the_receipt_last(auditor: User, event: Event) -> None:
    data, _response = taken(signed_in(auditor), JSONL)
    *texts, last = data.decode().splitlines(keepends=True)
    content = EventContent.objects.get(event=event)
    assert texts == [content.text + "\n"]
    assert hashlib.sha256(texts[0].rstrip("\n").encode()).hexdigest() == event.digest
    told = json.loads(last)["receipt"]
    assert told["rows"] == 1
    assert told["cut_off"] == Event.objects.filter(seq__lt=exports()[0].event_id).latest("seq").seq
    assert told["filter"]["host"] == "http://127.0.0.1:8000"
    assert told["sha256_of_the_lines_before"] == hashlib.sha256("".join(texts).encode()).hexdigest()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "b", "c"]),
        ("?action=organization.add", ["b"]),
        ("?outcome=failed", ["c"]),
        ("?person=somebody", ["b"]),
        ("?person=nobody", []),
        ("?org=acme&action=export.cancel", ["a", "c"]),
        ("?after=1", ["a", "b", "c"]),
        ("?from=2999-01-01", []),
        ("?request=r-9", ["c"]),
    ],
)
def test_exactly_the_filtered_rows(auditor: User, prod: Sandbox, query: str, expected: list[str]) -> None:
    here = Subject(sandbox=prod)
    made = {"a": write(subject=here).seq}
    other = Actor(kind="person", name="somebody")
    made["b"] = record(actor=other, action=Action.ORGANIZATION_ADD, sentence="added it", subject=here).seq
    third = Actor(kind="person", name="operator", correlation_id="r-9")
    made["c"] = record(
        actor=third, action=Action.EXPORT_CANCEL, outcome=Outcome.FAILED, sentence="failed", subject=here
    ).seq
    assert numbers(taken(signed_in(auditor), CSV + query)[0]) == [made[name] for name in expected]


def test_only_rows_that_the_person_may_read(auditor: User, root: User, prod: Sandbox, foreign: Sandbox) -> None:
    mine, theirs = write(subject=Subject(sandbox=prod)).seq, write(subject=Subject(sandbox=foreign)).seq
    of_none = write("signed in").seq
    assert numbers(taken(signed_in(auditor), CSV)[0]) == [mine]
    everything = numbers(taken(signed_in(root), CSV)[0])
    assert {mine, theirs, of_none} <= set(everything)
    assert everything == sorted(everything)
    assert numbers(taken(signed_in(root), f"{CSV}?org=-&person=operator")[0]) == [of_none]


def test_an_auditor_of_two_orgs_gets_both_in_order(prod: Sandbox, foreign: Sandbox) -> None:
    person = make_person("dpo", Role.AUDITOR, organization=prod.organization)
    person.memberships.create(role=Role.AUDITOR, organization=foreign.organization)
    mixed = [write(subject=Subject(sandbox=sandbox)).seq for sandbox in (prod, foreign, prod, foreign)]
    write("signed in")
    assert numbers(taken(signed_in(person), CSV)[0]) == mixed


def test_thousands_of_rows_none_lost_none_twice(auditor: User, prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [write(f"number {number}", subject=Subject(sandbox=prod)).seq for number in range(3000)]
    data, _response = taken(signed_in(auditor), CSV)
    assert numbers(data) == made
    monkeypatch.setattr("segadmin.queries.files.RANGE", 7)
    assert [
        row["seq"] for row in lines(taken(signed_in(auditor), f"{JSONL}?org=acme&action=export.cancel")[0])[:-1]
    ] == made


def test_what_is_written_after_the_begin_is_not_in_it(auditor: User, event: Event, prod: Sandbox) -> None:
    response = cast("StreamingHttpResponse", signed_in(auditor).get(CSV))
    write("later", subject=Subject(sandbox=prod))
    assert numbers(b"".join(cast("Iterable[bytes]", response.streaming_content))) == [event.seq]


def test_a_filter_that_cannot_be_applied_gives_no_file(auditor: User, event: Event) -> None:
    response = signed_in(auditor).get(f"{CSV}?org=nobody")
    assert response.status_code == 400
    assert "There is no organization “nobody”" in text_of(response)
    assert exports() == []


@pytest.mark.parametrize("address", [CSV, JSONL, "/audit/evidence/"])
@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "stranger"])
def test_others_are_refused(request: pytest.FixtureRequest, name: str, address: str) -> None:
    assert signed_in(request.getfixturevalue(name)).get(address).status_code == 403
    assert exports() == []


# -- safe cells -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_no_cell_is_a_formula_breaks_a_line_or_turns_the_reading(auditor: User, prod: Sandbox, text: str) -> None:
    Organization.objects.filter(slug="acme").update(name=text[:100])
    prod.refresh_from_db()
    sandbox = Sandbox.objects.select_related("organization").get(pk=prod.pk)
    actor = Actor(kind="person", name=text[:150], roles=(text,), signed_in=text, address=text, correlation_id=text)
    subject = Subject(sandbox=sandbox, job_id=text)
    record(actor=actor, action=Action.EXPORT_CANCEL, sentence=text, subject=subject, details={"reason": text})
    data, _response = taken(signed_in(auditor), CSV)
    row = table(data)[0]
    for name, cell in row.items():
        assert cell.lstrip(" \"'\t")[:1] not in tuple("=+-@＝") or cell.startswith("'"), name
        assert not set(cell) & set("\r\n\t\x00\u2028\u202e\u2066\u200f\ufeff"), name
    assert json.loads(row["details"])["reason"] == text
    assert len(data.decode().splitlines()) == 2
    text_lines, _response = taken(signed_in(auditor), JSONL)
    assert not set(text_lines.decode()) & set("\r\u2028\u202e\u2066\u200f")
    assert lines(text_lines)[0]["details"]["reason"] == text


def test_what_is_no_formula_stays_as_it_is() -> None:
    for text in ("plain", "e-mail", "a=b", "24102", "“quoted”", "Ünïcode", "‌zwnj", ""):
        assert cells.safe_cell(text) == text
    assert cells.safe_cell("=1") == "'=1"
    assert cells.safe_cell("a\tb") == "a\\tb"


@pytest.mark.parametrize(
    "text", [*NASTY, "plain", "", 'a","b', "],", ',"epoch":9', '"details":{}'], ids=lambda text: None
)
def test_the_quick_way_to_read_a_text_says_the_same(prod: Sandbox, text: str) -> None:
    actor = Actor(kind="person", name=text[:150], roles=(text, "admin"), signed_in=text, correlation_id=text)
    made = [
        record(actor=actor, action=Action.SIGN_IN, sentence=text, details={"said": text, "epoch": 3, "details": {}}),
        record(actor=Actor.system(), action=Action.SIGN_IN, sentence=text),
        record(actor=actor, action=Action.SIGN_IN, sentence="x", subject=Subject(sandbox=prod, job_id=text)),
    ]
    for content in EventContent.objects.filter(event__in=[event.seq for event in made]):
        assert fields(content.text) == fields_of_json(content.text)
        told = json.loads(content.text)
        assert (fields(content.text)[5], fields(content.text)[17]) == (told["actor"]["name"], told["sentence"])
        assert json.loads(fields(content.text)[-1]) == told["details"]


def test_a_text_altered_behind_the_triggers_back_is_shown_as_it_is(auditor: User, event: Event) -> None:
    line = audit_line((5, '=no "record"', event.digest, event.chain))
    assert next(csv.reader([line])) == [
        "5",
        *[""] * (len(AUDIT_COLUMNS) - 4),
        '\'=no "record"',
        event.digest,
        event.chain,
    ]


# -- receipts and events ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [CSV, JSONL, REGISTER_CSV, REGISTER_JSONL])
def test_the_receipt_has_rows_and_hash_of_the_bytes(auditor: User, event: Event, prod: Sandbox, address: str) -> None:
    entry_of(prod)
    data, response = taken(signed_in(auditor), f"{address}?org=acme")
    receipt = FileReceipt.objects.get(code=response.headers["X-Segadmin-Receipt"])
    assert receipt.sha256 == hashlib.sha256(data).hexdigest()
    assert (receipt.rows, receipt.size) == (1, len(data))
    assert receipt.finished_at is not None
    assert receipt.by == "auditor"
    assert receipt.filter["chosen"] == {"org": ["acme"]}
    asked, done = exports()
    assert (asked.outcome, done.outcome) == (Outcome.REQUESTED, Outcome.SUCCEEDED)
    assert details_of(asked)["cut_off"] == receipt.cut_off == asked.event_id - 1
    assert details_of(done)["sha256"] == receipt.sha256
    assert details_of(done)["rows"] == 1
    assert asked.organization_name == done.organization_name == "Acme Retail"
    assert Checkpoint.objects.get(number=receipt.filter["checkpoint"]).seq > asked.event_id


def test_responses_are_not_compressed_or_cached(auditor: User, event: Event) -> None:
    client = signed_in(auditor)
    response = client.get(CSV, headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "identity"
    assert response.headers["Cache-Control"] == "no-store, private"
    assert b"".join(cast("Iterable[bytes]", cast("StreamingHttpResponse", response).streaming_content))[:6] == b"record"


def test_a_download_that_breaks_off_is_told(auditor: User, prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segadmin.queries.files.RANGE", 2)
    for _number in range(6):
        write(subject=Subject(sandbox=prod))
    response = cast("StreamingHttpResponse", signed_in(auditor).get(CSV))
    parts = iter(cast("Iterable[bytes]", response.streaming_content))
    first = next(parts) + next(parts)
    cast("Any", response)._iterator.close()  # what the test client wraps around: closes as a server does
    receipt = FileReceipt.objects.get()
    assert (receipt.rows, receipt.size, receipt.sha256) == (2, len(first), "")
    assert receipt.finished_at is not None
    told = exports(Outcome.FAILED)
    assert len(told) == 1
    assert "broke off after 2 rows" in told[0].sentence
    page = signed_in(auditor).get(f"/files/{receipt.code}/")
    assert "The file broke off." in text_of(page)


def test_one_at_a_time_and_so_many_an_hour(auditor: User, event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(auditor)
    first = cast("StreamingHttpResponse", client.get(CSV))
    refused = client.get(JSONL)
    assert refused.status_code == 429
    assert "One at a time" in text_of(refused)
    b"".join(cast("Iterable[bytes]", first.streaming_content))
    taken(client, JSONL)
    monkeypatch.setattr(actions, "FILES_AN_HOUR", 2)
    assert client.get(CSV).status_code == 429
    assert FileReceipt.objects.count() == 2


def test_looking_at_the_headers_takes_nothing(auditor: User, event: Event) -> None:
    response = signed_in(auditor).head(CSV)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/csv")
    assert FileReceipt.objects.count() == 0


def test_addresses_that_were_searched_for_are_not_kept(auditor: User, event: Event) -> None:
    taken(signed_in(auditor), f"{CSV}?person=jo.bloggs%40example.com")
    receipt = FileReceipt.objects.get()
    assert "example.com" not in json.dumps(receipt.filter)
    assert not EventContent.objects.filter(text__contains="example.com").exists()


def test_without_a_usable_key_the_file_still_comes(
    auditor: User, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError

    monkeypatch.setattr("segadmin.audit.keys.signer", broken)
    taken(signed_in(auditor), CSV)
    assert FileReceipt.objects.get().filter["checkpoint"] is None


# -- the page that checks a file --------------------------------------------------------------------------------------


def test_a_copy_is_recognised_and_an_altered_one_is_not(auditor: User, event: Event) -> None:
    client = signed_in(auditor)
    data, response = taken(client, CSV)
    code = response.headers["X-Segadmin-Receipt"]
    page = text_of(client.post(CHECK, {"file": SimpleUploadedFile("copy.csv", data)}))
    assert f"It is the file of receipt {code}, byte for byte." in page
    page = text_of(client.post(CHECK, {"file": SimpleUploadedFile("copy.csv", data.replace(b"wrong", b"right"))}))
    assert "It matches no receipt." in page
    page = text_of(client.post(CHECK, {"sha256": f"{hashlib.sha256(data).hexdigest().upper()}  copy.csv"}))
    assert f"It is the file of receipt {code}" in page


def test_large_and_empty_uploads_and_nonsense(auditor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(auditor)
    large = SimpleUploadedFile("large.csv", b"x" * 3_000_000)
    assert hashlib.sha256(b"x" * 3_000_000).hexdigest() in text_of(client.post(CHECK, {"file": large}))
    assert "It matches no receipt." in text_of(client.post(CHECK, {"file": SimpleUploadedFile("empty", b"")}))
    assert "A SHA-256 has 64 characters" in text_of(client.post(CHECK, {"sha256": "abc"}))
    assert "Choose a file, or paste its SHA-256." in text_of(client.post(CHECK, {}))
    monkeypatch.setattr("segadmin.forms.files.MOST_BYTES", 1000)
    assert "larger than 4 GB" in text_of(client.post(CHECK, {"file": SimpleUploadedFile("x", b"x" * 2000)}))


def test_checking_needs_the_token(auditor: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(auditor, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(CHECK, {"sha256": "a" * 64}).status_code == 403


def test_receipts_of_other_orgs_are_not_shown(auditor: User, root: User, event: Event, foreign: Sandbox) -> None:
    other = make_person("their.auditor", Role.AUDITOR, organization=foreign.organization)
    data, response = taken(signed_in(auditor), CSV)
    address = f"/files/{response.headers['X-Segadmin-Receipt']}/"
    assert signed_in(auditor).get(address).status_code == 200
    assert signed_in(root).get(address).status_code == 200
    assert signed_in(other).get(address).status_code == 404
    assert "matches no receipt" in text_of(signed_in(other).post(CHECK, {"sha256": hashlib.sha256(data).hexdigest()}))


def test_a_receipt_can_be_kept_as_text(auditor: User, event: Event) -> None:
    data, response = taken(signed_in(auditor), CSV)
    code = response.headers["X-Segadmin-Receipt"]
    text = signed_in(auditor).get(f"/files/{code}/receipt.txt").content.decode()
    assert f"receipt: {code}\n" in text
    assert f"SHA-256: {hashlib.sha256(data).hexdigest()}\n" in text
    assert "records: 1\n" in text
    page = text_of(signed_in(auditor).get(f"/files/{code}/"))
    for name in AUDIT_COLUMNS:
        assert name in page


# -- the register -----------------------------------------------------------------------------------------------------


def entry_of(sandbox: Sandbox, **values: Any) -> RegisterEntry:
    defaults: dict[str, Any] = {
        "outcome": "succeeded",
        "origin": "here",
        "sort_at": timezone.now(),
        "person": "operator",
        "audiences": [{"id": "seg-lapsed", "name": "Lapsed buyers", "evaluated_at": ""}],
        "fields": ["personalEmail.address", "identityMap"],
        "pii_certain": ["email"],
        "pii_possible": ["phone"],
        "recipient": "CRM team",
        "data_left": "yes",
        "profiles": 41200,
        "profile_source": "adobe",
    }
    return RegisterEntry.objects.create(sandbox=sandbox, organization=sandbox.organization, **{**defaults, **values})


def test_the_register_as_csv(auditor: User, prod: Sandbox, foreign: Sandbox, operator: User) -> None:
    request = make_request(prod, operator)
    entry = entry_of(prod, job=make_job(prod, export_request=request), export_request=request)
    entry_of(foreign)
    rows = table(taken(signed_in(auditor), REGISTER_CSV)[0])
    assert list(rows[0]) == list(REGISTER_COLUMNS)
    assert [row["row"] for row in rows] == [str(entry.pk)]
    row = rows[0]
    assert (row["organization"], row["sandbox"], row["job"], row["request"]) == (
        "acme",
        "prod",
        "24127",
        str(request.uuid),
    )
    assert row["audiences"] == "Lapsed buyers (seg-lapsed)"
    assert (row["fields"], row["all_fields"]) == ("personalEmail.address; identityMap", "no")
    assert (row["personal_data_certain"], row["personal_data_possible"]) == ("e-mail", "phone")
    assert (row["profiles"], row["profiles_source"], row["data_left"]) == ("41200", "adobe", "yes")
    assert row["recipient_originally"] == ""


def test_corrections_stand_beside_what_was_stated(auditor: User, prod: Sandbox) -> None:
    entry = entry_of(prod, recipient="Agency two", amended=2)
    for old, new in (("CRM team", "Agency one"), ("Agency one", "Agency two")):
        why = f"{FORMULA} {TURNED}"
        Amendment(
            entry=entry, field="recipient", old=old, new=new, why=why, by="admin", at=timezone.now(), seq=1
        ).save()
    row = table(taken(signed_in(auditor), REGISTER_CSV)[0])[0]
    assert (row["recipient"], row["recipient_originally"], row["amendments"]) == ("Agency two", "CRM team", "2")
    assert "recipient from “CRM team” to “Agency one”" in row["corrections"]
    told = lines(taken(signed_in(auditor), REGISTER_JSONL)[0])[0]
    assert [item["new"] for item in told["corrections"]] == ["Agency one", "Agency two"]


@pytest.mark.parametrize("address", [REGISTER_CSV, REGISTER_JSONL])
def test_the_register_as_of_its_newest_record(
    auditor: User, operator: User, actor: Actor, prod: Sandbox, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """While it is written a row is corrected, one ends, one no longer matches, and one is added."""
    monkeypatch.setattr("segadmin.queries.files_register.RANGE", 1)
    made = []
    for number in range(4):
        request = make_request(prod, operator)
        job = make_job(prod, str(number), State.RUNNING, export_request=request)
        made.append(entry_of(prod, job=job, export_request=request, outcome="running"))
    response = cast("StreamingHttpResponse", signed_in(auditor).get(f"{address}?outcome=running"))
    cut_off = FileReceipt.objects.get().cut_off
    amend(actor=actor, entry=made[0], values={"recipient": "Agency two"}, why="typed wrongly", version=0)
    Job.objects.filter(pk=made[1].job_id).update(state=State.FAILED)
    refresh(jobs=Job.objects.filter(pk=made[1].job_id))
    entry_of(prod, outcome="running")
    data = b"".join(cast("Iterable[bytes]", response.streaming_content))
    rows: list[dict[str, Any]] = table(data) if address == REGISTER_CSV else lines(data)[:-1]
    assert [str(row["row"]) for row in rows] == [str(entry.pk) for entry in made]
    assert (rows[0]["recipient"], str(rows[0]["amendments"]), rows[0]["recipient_originally"]) == ("CRM team", "0", "")
    assert not rows[0]["corrections"]
    assert "version" not in rows[0]
    receipt = FileReceipt.objects.get()
    assert (receipt.rows, receipt.cut_off) == (4, cut_off)
    # The corrected row is as it was, but another row has been written since: both it and the one that ended count.
    assert receipt.filter["changed_while_written"] == 2
    assert "changed since the newest record, while it was written" in text_of(
        signed_in(auditor).get(f"/files/{receipt.code}/")
    )
    again = taken(signed_in(auditor), address)[0]
    later = table(again) if address == REGISTER_CSV else lines(again)
    assert (later[0]["recipient"], str(later[0]["amendments"])) == ("Agency two", "1")


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_register_cells_are_safe(auditor: User, prod: Sandbox, text: str) -> None:
    entry_of(
        prod,
        person=text[:150],
        recipient=text[:300],
        purpose=text,
        ticket=text[:100],
        legal_basis=text[:40],
        dataset_name=text[:300],
        audiences=[{"id": text, "name": text}],
        fields=[text],
        batch_ids=[text],
    )
    data, _response = taken(signed_in(auditor), REGISTER_CSV)
    for name, cell in table(data)[0].items():
        assert cell.lstrip(" \"'\t")[:1] not in tuple("=+-@＝") or cell.startswith("'"), name
        assert not set(cell) & set("\r\n\t\u2028\u202e\u2066\u200f\ufeff"), name
    assert lines(taken(signed_in(auditor), REGISTER_JSONL)[0])[0]["purpose"] == text


def test_the_register_exactly_as_filtered(auditor: User, prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segadmin.queries.files_register.RANGE", 3)
    made = [entry_of(prod, outcome="failed" if number % 3 else "succeeded") for number in range(20)]
    entry_of(prod, outcome="merged")
    failed = [str(entry.pk) for entry in made if entry.outcome == "failed"]
    assert [row["row"] for row in table(taken(signed_in(auditor), f"{REGISTER_CSV}?outcome=failed")[0])] == failed
    assert len(lines(taken(signed_in(auditor), REGISTER_JSONL)[0])) == 20 + 1


def test_an_approver_takes_the_register_and_sees_only_own_receipts(
    approver: User, auditor: User, prod: Sandbox, event: Event
) -> None:
    entry_of(prod)
    _data, response = taken(signed_in(approver), REGISTER_CSV)
    mine = response.headers["X-Segadmin-Receipt"]
    theirs = taken(signed_in(auditor), CSV)[1].headers["X-Segadmin-Receipt"]
    client = signed_in(approver)
    assert client.get(f"/files/{mine}/").status_code == 200
    assert client.get(f"/files/{theirs}/").status_code == 404
    page = text_of(client.get(CHECK))
    assert mine in page
    assert theirs not in page


def test_a_file_that_was_given_up_says_so(auditor: User, event: Event) -> None:
    """The process that sent it was killed: nobody will ever tell its end."""
    client = signed_in(auditor)
    client.get(CSV)
    FileReceipt.objects.update(finished_at=None)
    with time_machine.travel(timezone.now() + timedelta(seconds=actions.GIVEN_UP_SECONDS + 1)):
        assert actions.give_up(actor=Actor.system()) == 1
    receipt = FileReceipt.objects.get()
    page = client.get(f"/files/{receipt.code}/")
    assert "How the file ended is not known." in page.text
    assert "state: end not known" in client.get(f"/files/{receipt.code}/receipt.txt").text
    assert 'data-state="unknown"' in client.get(CHECK).text
    told = EventContent.objects.filter(action=Action.RECORD_EXPORTED).order_by("-event_id")[0]
    assert (told.outcome, told.organization) == (Outcome.UNKNOWN, event.content.organization)
    assert f"does not know how the record as CSV (file {receipt.code}) came to its end" in told.sentence


def test_a_file_without_a_sign_of_life_blocks_nobody(auditor: User, event: Event, actor: Actor) -> None:
    """A killed process tells nothing: a minute later the next file may be taken, unless a sign of life says otherwise."""
    client = signed_in(auditor)
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        client.get(CSV)
        receipt = FileReceipt.objects.get()
        FileReceipt.objects.filter(pk=receipt.pk).update(finished_at=None)
        assert client.get(JSONL).status_code == 429
        clock.shift(actions.SILENT_SECONDS - 10)
        pulse = actions.Pulse(receipt)
        pulse._last -= actions.BEAT_SECONDS
        pulse.beat()
        clock.shift(20)
        assert client.get(JSONL).status_code == 429, "it lives"
        clock.shift(actions.SILENT_SECONDS)
        taken(client, JSONL)
