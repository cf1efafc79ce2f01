"""Rows that stand beside the record, altered behind its back: holds, corrections, keys, expiries, requests, the register."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from segadmin.actions import holds, register, retention
from segadmin.audit import Actor, attempt, checkpoints, record
from segadmin.audit.verify import verify
from segadmin.models import (
    Action,
    Amendment,
    Attempt,
    ContentExpiry,
    Event,
    ExportRequest,
    Hold,
    RegisterEntry,
    RequestState,
    Sandbox,
    User,
)
from tests.audit.tampering import disarm, fill, named, sql
from tests.factories import make_job

pytestmark = pytest.mark.django_db
BODY = {"fields": "personalEmail.address", "filter": {"segments": [{"segmentId": "s-1"}]}, "limit": 0.5}


@pytest.fixture
def data_folder(tmp_path: Path, settings: Settings) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def sent(prod: Sandbox, operator: User, actor: Actor) -> ExportRequest:
    """A request that was sent and refused, with its row of the register and a correction of it."""
    row = ExportRequest.objects.create(
        sandbox=prod,
        author=operator,
        author_name=operator.username,
        body=BODY,
        purpose="Win-back letter",
        recipient="CRM team",
        ticket="MKT-1",
        legal_basis="consent",
        sentence="asks to export e-mail",
    )
    row.refresh_from_db()

    def claim() -> bool:
        ExportRequest.objects.filter(pk=row.pk).update(state=RequestState.REFUSED, sent_at=timezone.now())
        register.refresh(requests=[row])
        return True

    told = {name: getattr(row, name) for name in ("body", "names", "purpose", "recipient", "ticket", "legal_basis")}
    attempt(
        actor=actor,
        kind=Attempt.Kind.CREATE,
        sandbox=prod,
        export_request=row,
        sentence="asked to export e-mail",
        details=told,
        claim=claim,
    )
    register.amend(
        actor=actor,
        entry=RegisterEntry.objects.get(),
        values={"recipient": "CRM agency"},
        why="typed wrongly",
        version=0,
    )
    return row


@pytest.fixture
def story(
    prod: Sandbox,
    data_folder: Path,
    sent: ExportRequest,
    actor: Actor,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    """One of everything that stands beside the record; the whole of it agrees."""
    for number in range(3):
        record(actor=actor, action=Action.SIGN_IN, sentence=f"signed in {number}")
    with django_capture_on_commit_callbacks(execute=True):
        checkpoints.make(actor=actor)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=400), tick=False):
        assert retention.expire(actor=actor) == 3
    hold = holds.place_on_person(actor=actor, person="operator", reason="case 7")
    holds.place_on_job(actor=actor, job=make_job(prod), reason="case 8")
    period = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    holds.place_on_period(actor=actor, from_at=period[0], until_at=period[1], reason="case 9")
    holds.release(actor=actor, hold=hold, reason="closed")
    fill(4, prod)
    with django_capture_on_commit_callbacks(execute=True):
        checkpoints.make(actor=actor)
    assert verify().damage == []
    disarm()


FORGED = """
INSERT INTO segadmin_hold (move, places_id, kind, sandbox_name, job_id, person, reason, "by", at, seq)
SELECT 'release', id, kind, '', '', '', 'closed', "by", at, 2 FROM segadmin_hold WHERE move = 'place' AND kind = 'job'
"""
MORE = """
INSERT INTO segadmin_amendment (entry_id, field, old, new, why, "by", at, seq)
SELECT entry_id, 'purpose', '', 'Nothing', why, "by", at, seq FROM segadmin_amendment
"""
ATTACKS: dict[str, tuple[str, str]] = {
    "hold, reason": ("UPDATE segadmin_hold SET reason = 'x' WHERE kind = 'job'", "legal hold"),
    "hold, job": ("UPDATE segadmin_hold SET job_id = '9' WHERE kind = 'job'", "legal hold"),
    "hold, period": ("UPDATE segadmin_hold SET until_at = from_at WHERE kind = 'period'", "legal hold"),
    "hold, by": ("UPDATE segadmin_hold SET \"by\" = 'x' WHERE kind = 'job'", "legal hold"),
    "hold, org": ("UPDATE segadmin_hold SET organization_id = NULL WHERE kind = 'job'", "legal hold"),
    "hold, gone": ("DELETE FROM segadmin_hold WHERE kind = 'job'", "legal hold"),
    "hold, released": (FORGED, "names record 2"),
    "release, gone": ("DELETE FROM segadmin_hold WHERE move = 'release'", "legal hold"),
    "correction, new": ("UPDATE segadmin_amendment SET new = 'x'", "correct"),
    "correction, old": ("UPDATE segadmin_amendment SET old = 'x'", "correction"),
    "correction, why": ("UPDATE segadmin_amendment SET why = 'x'", "correction"),
    "correction, by": ("UPDATE segadmin_amendment SET \"by\" = 'x'", "correction"),
    "correction, gone": ("DELETE FROM segadmin_amendment", "correct"),
    "correction, more": (MORE, "correct"),
    "key, gone": ("DELETE FROM segadmin_signingkey", "signing key"),
    "key, when": ("UPDATE segadmin_signingkey SET first_used_at = '2020-01-01 00:00:00+00:00'", "signing key"),
    "expiry, reason": ("UPDATE segadmin_contentexpiry SET reason = 'x'", "expiry"),
    "expiry, when": ("UPDATE segadmin_contentexpiry SET at = '2020-01-01 00:00:00+00:00'", "expiry"),
    "expiry, gone": ("DELETE FROM segadmin_contentexpiry", "expiry"),
    "expiry, more": (
        "INSERT INTO segadmin_contentexpiry (seq, at, reason) VALUES (1, '2026-01-01 00:00:00+00:00', 'x')",
        "expiry of record 1",
    ),
    "request, purpose": ("UPDATE segadmin_exportrequest SET purpose = 'Nothing'", "purpose"),
    "request, body": ("UPDATE segadmin_exportrequest SET body = '{}'", "body"),
    "request, author": ("UPDATE segadmin_exportrequest SET author_name = 'x'", "author"),
    "register, recipient": ("UPDATE segadmin_registerentry SET recipient = 'x' WHERE amended > 0", "recipient"),
    "register, ticket": ("UPDATE segadmin_registerentry SET ticket = 'x' WHERE amended > 0", "ticket"),
    "register, person": ("UPDATE segadmin_registerentry SET person = 'x' WHERE amended > 0", "person"),
    "register, detached": (
        "UPDATE segadmin_registerentry SET export_request_id = NULL WHERE amended > 0",
        "its row of the register is gone",
    ),
    "checkpoint, row": ("UPDATE segadmin_checkpoint SET count = count + 1 WHERE number = 1", "signed line"),
    "checkpoint, line": ("UPDATE segadmin_checkpoint SET line = 'x' WHERE number = 1", "signed line"),
    "checkpoint, gone": ("DELETE FROM segadmin_checkpoint WHERE number = 1", "gone from the table"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_altered_row_is_named(story: None, name: str) -> None:
    named(*ATTACKS[name])


def test_the_quick_check_is_of_the_chain_alone(story: None) -> None:
    sql("UPDATE segadmin_amendment SET why = 'x'")
    assert verify(full=False).ok
    assert not verify().ok


@pytest.mark.parametrize("column", ["organization_id", "sandbox_id"])
def test_a_row_of_the_register_moved_elsewhere(story: None, foreign: Sandbox, column: str) -> None:
    where = foreign.pk if column == "sandbox_id" else foreign.organization_id
    sql(f"UPDATE segadmin_registerentry SET {column} = %s WHERE amended > 0", where)  # noqa: S608 - one of two names
    assert any(column.removesuffix("_id") in damage.says for damage in verify().damage)


def test_contents_that_were_removed_before_their_time(prod: Sandbox, data_folder: Path) -> None:
    """Somebody hides what was recorded, with an expiry and a record that look like every other one."""
    fill(5, prod)
    ContentExpiry(seq=4, at=timezone.now(), reason=retention.REASON).save()
    disarm()
    sql("DELETE FROM segadmin_eventcontent WHERE seq = 4")
    record(
        actor=Actor.system(),
        action=Action.CONTENT_EXPIRED,
        sentence="removed the contents of 1 record",
        details={"records": [4], "reason": retention.REASON},
    )
    [damage] = verify().damage
    assert damage[:2] == ("removed", 4)
    assert "at most 0 days after it was written, and records were kept for 365 days then" in damage.says


def test_a_shorter_time_on_record_is_the_one_that_counts(prod: Sandbox, data_folder: Path, actor: Actor) -> None:
    fill(3, prod)
    retention.change(actor=actor, register_months=1, access_months=1, reason="Only for this test.")
    with time_machine.travel(datetime.now(UTC) + timedelta(days=40), tick=False):
        assert retention.expire(actor=Actor.system()) > 0
        assert verify().damage == []


def test_a_request_that_was_deleted(story: None, sent: ExportRequest) -> None:
    """With everything that leads to it."""
    if connection.vendor == "sqlite":
        sql("PRAGMA defer_foreign_keys = ON")
    for statement in (
        "DELETE FROM segadmin_amendment",
        "UPDATE segadmin_registerentry SET export_request_id = NULL, amended = 0",
        "UPDATE segadmin_attempt SET export_request_id = NULL",
        "DELETE FROM segadmin_exportrequest",
    ):
        sql(statement)
    assert any("is gone, and with it its row of the register" in damage.says for damage in verify().damage)


def test_a_request_on_its_authors_desk_again_may_differ(story: None, sent: ExportRequest) -> None:
    ExportRequest.objects.filter(pk=sent.pk).update(state=RequestState.DRAFT, purpose="Something else", body={})
    assert verify().ok


@pytest.mark.parametrize("name", ["hold", "correction"])
def test_a_row_that_names_a_record_beyond_the_end(story: None, name: str) -> None:
    """The tail was cut with the head moved back and every checkpoint removed; something still names what is gone."""
    model = {"hold": Hold, "correction": Amendment}[name]
    keep = model._default_manager.order_by("-seq").values_list("seq", flat=True)[0] - 1
    checkpoints.path().unlink()
    for table in ("checkpoint", "eventcontent", "event"):
        sql(f"DELETE FROM segadmin_{table} WHERE seq > %s", keep)  # noqa: S608 - one of three names
    end = Event.objects.get(pk=keep)
    sql("UPDATE segadmin_chainhead SET seq = %s, chain = %s", end.seq, end.chain)
    assert ("tail cut", keep + 1) in [damage[:2] for damage in verify().damage]


@pytest.mark.parametrize("line", ["garbage\n", ""])
def test_a_line_of_the_file_that_was_altered_or_taken_out(story: None, line: str) -> None:
    lines = checkpoints.path().read_text().splitlines(keepends=True)
    assert len(lines) == 2
    checkpoints.path().write_text(line + lines[1])
    assert [damage.kind for damage in verify().damage] == ["checkpoint mismatch"]


def test_a_line_of_the_file_that_stands_twice_is_worth_a_remark(story: None) -> None:
    lines = checkpoints.path().read_text().splitlines(keepends=True)
    checkpoints.path().write_text(lines[0] + lines[0] + lines[1])
    result = verify()
    assert result.ok
    assert f"The file {checkpoints.FILE} holds checkpoints more than once: 1." in result.remarks


def test_a_checkpoint_gone_from_both(story: None) -> None:
    lines = checkpoints.path().read_text().splitlines(keepends=True)
    checkpoints.path().write_text(lines[1])
    sql("DELETE FROM segadmin_checkpoint WHERE number = 1")
    assert "is gone from the table and from the file" in verify().damage[0].says


def test_a_file_that_lacks_the_newest_is_worth_a_remark(story: None) -> None:
    """A full disk leaves it so; the next checkpoint brings it up."""
    lines = checkpoints.path().read_text().splitlines(keepends=True)
    checkpoints.path().write_text(lines[0] + lines[1][:50])
    result = verify()
    assert result.ok
    assert sum(checkpoints.FILE in remark for remark in result.remarks) == 2
    assert checkpoints.write_files()
    assert [line.number for line in checkpoints.in_file()] == [1, 2]
    assert verify().ok


# -- what only SQLite can hold ----------------------------------------------------------------------------------------

ODD: dict[str, tuple[str, str]] = {
    "text as bytes": ("text = CAST(text AS BLOB)", "changed"),
    "text that is no UTF-8": ("text = CAST(x'7bff7d' AS TEXT)", "changed"),
    "column that is no UTF-8": ("sentence = CAST(x'ff' AS TEXT)", "column differs"),
    "time in another form": ("at = replace(at, ' ', 'T')", "column differs"),
    "time as bytes": ("at = CAST(at AS BLOB)", "column differs"),
    "time that is none": ("at = 'soon'", "column differs"),
    "id that is none": ("request_uuid = ''", "column differs"),
    "id as bytes": ("attempt_uuid = x'00'", "column differs"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_a_search_would_miss(story: None, name: str) -> None:
    """Forms that read the same, or can't be read at all, and that no filter of a page finds."""
    if connection.vendor != "sqlite":
        return
    change, kind = ODD[name]
    sql(f"UPDATE segadmin_eventcontent SET {change} WHERE seq = 1")  # noqa: S608 - texts of this file
    damage = verify().damage
    assert (kind, 1) in [item[:2] for item in damage]
    assert {item.seq for item in damage} == {1}


@pytest.mark.parametrize("column", ["digest", "chain"])
def test_a_link_that_is_no_text(story: None, column: str) -> None:
    if connection.vendor != "sqlite":
        return
    sql(f"UPDATE segadmin_event SET {column} = CAST(x'ff' AS TEXT) WHERE seq = 2")  # noqa: S608 - one of two names
    assert verify(full=False).damage[0][:2] == ("changed", 2)


def test_a_record_hidden_from_its_sandbox(story: None) -> None:
    sql("UPDATE segadmin_eventcontent SET sandbox_id = NULL WHERE seq = 1")
    assert verify().damage[0][:2] == ("column differs", 1)
