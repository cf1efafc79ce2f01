"""Rows of the proof itself, altered behind the record's back: checks, deliveries, receipts, reviews, settings, the head."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.core.cache import cache
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from segadmin.actions import deliveries, files, proof, retention, reviews
from segadmin.audit import Actor, Subject, checkpoints
from segadmin.audit.verify import verify
from segadmin.models import FileReceipt, Sandbox, Verification
from tests.audit.tampering import disarm, fill, named, sql

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()


@pytest.fixture(autouse=True)
def place(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    settings.MAIL_READY = True
    settings.MAIL_FROM = "segadmin@example.com"


def order(prod: Sandbox) -> files.Order:
    return files.Order(what="audit", kind=FileReceipt.Kind.CSV, organizations=[prod.organization], whole=False)


def take(actor: Actor, prod: Sandbox, *, whole: bool = True) -> FileReceipt:
    receipt = files.begin(actor=actor, order=order(prod))
    if whole:
        sent = files.Sent(rows=3, size=300, sha256=hashlib.sha256(b"x").hexdigest())
        files.finish(actor=actor, receipt=receipt, subject=Subject(), sent=sent)
    else:
        files.break_off(actor=actor, receipt=receipt, subject=Subject(), rows=1, size=100)
    return receipt


@pytest.fixture
def story(prod: Sandbox, actor: Actor, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> None:
    """One of everything; the whole of it agrees."""
    fill(4, prod)
    proof.set_witness(actor=actor, mail="audit@example.com", webhook="", minutes=30)
    retention.change(actor=actor, register_months=48, access_months=12, reason="The works council asked for it.")
    with django_capture_on_commit_callbacks(execute=True):
        made = checkpoints.make(actor=SYSTEM)
    assert made is not None
    deliveries.deliver(actor=SYSTEM, checkpoint=made, witness=deliveries.Witness("mail", "audit@example.com"))
    take(actor, prod)
    take(actor, prod, whole=False)
    yesterday = timezone.now().date() - timedelta(days=1)
    review = reviews.open_review(
        actor=actor, organization=prod.organization, first=yesterday - timedelta(days=30), last=yesterday
    )
    reviews.sign(actor=actor, review=review, verdict="reviewed", note="All of it was read.")
    proof.verify_record(actor=SYSTEM, workers=1)
    proof.verify_record(actor=SYSTEM, workers=1, full=False)
    with django_capture_on_commit_callbacks(execute=True):
        checkpoints.make(actor=SYSTEM)
    assert verify().damage == []
    disarm()


FAR = "'2031-01-01 00:00:00+00:00'"
MORE_CHECKS = f"""
INSERT INTO segadmin_verification (at, "by", ok, first, last, with_content, by_digest_only, missing, damage, remarks,
  checkpoints, outside, seconds, "full")
SELECT {FAR}, "by", ok, first, last, with_content, by_digest_only, missing, damage, remarks, checkpoints, outside, seconds,
  "full" FROM segadmin_verification WHERE "full"
"""  # noqa: S608 - a constant
MORE_DELIVERIES = f"""
INSERT INTO segadmin_delivery (checkpoint_id, kind, address, at, ok, note)
SELECT 2, kind, address, {FAR}, ok, note FROM segadmin_delivery
"""  # noqa: S608 - a constant
MORE_FILES = f"""
INSERT INTO segadmin_filereceipt (code, kind, what, at, "by", filter, zone, cut_off, rows, size, sha256, version,
  finished_at)
SELECT 'more-' || code, kind, what, {FAR}, "by", filter, zone, cut_off, rows, size, sha256, version, finished_at
FROM segadmin_filereceipt
"""  # noqa: S608 - a constant
SIGNED = """
INSERT INTO segadmin_signoff (review_id, verdict, note, "by", at, seq)
SELECT id, 'reviewed', 'Read.', 'operator', opened_at, seq FROM segadmin_review
"""
ATTACKS: dict[str, tuple[str, str]] = {
    "a second head": (
        "INSERT INTO segadmin_chainhead (id, epoch, seq, chain) SELECT 2, epoch, 2, chain FROM segadmin_chainhead",
        "second head",
    ),
    "the head in another epoch": ("UPDATE segadmin_chainhead SET epoch = 2", "does not fit record"),
    "a check that found damage": ("UPDATE segadmin_verification SET ok = NOT ok", "row of the check"),
    "a check of less": ("UPDATE segadmin_verification SET last = last - 1", "row of the check"),
    "a check by digests alone": ('UPDATE segadmin_verification SET "full" = NOT "full"', "row of the check"),
    "a check by somebody else": ("UPDATE segadmin_verification SET \"by\" = 'auditor'", "row of the check"),
    "a check with more checkpoints": ("UPDATE segadmin_verification SET outside = 7", "row of the check"),
    "a check with other words": ("UPDATE segadmin_verification SET remarks = '[\"x\"]'", "row of the check"),
    "a check of another day": (f"UPDATE segadmin_verification SET at = {FAR}", "row of the check"),  # noqa: S608
    "a check gone": ('DELETE FROM segadmin_verification WHERE NOT "full"', "is gone"),
    "a check that never ran": (MORE_CHECKS, "not as any record tells"),
    "a delivery that never was": (MORE_DELIVERIES, "no record tells of it"),
    "a delivery to somebody else": ("UPDATE segadmin_delivery SET address = 'eve@example.com'", "delivery"),
    "a delivery of another checkpoint": ("UPDATE segadmin_delivery SET checkpoint_id = 2", "delivery"),
    "a delivery that failed": ("UPDATE segadmin_delivery SET ok = NOT ok", "delivery"),
    "a delivery gone": ("DELETE FROM segadmin_delivery", "delivery"),
    "a file by somebody else": ("UPDATE segadmin_filereceipt SET \"by\" = 'auditor'", "receipt of file"),
    "a file of less": ("UPDATE segadmin_filereceipt SET cut_off = cut_off - 1", "receipt of file"),
    "a file of another kind": ("UPDATE segadmin_filereceipt SET kind = 'jsonl'", "receipt of file"),
    "a file with another filter": (
        'UPDATE segadmin_filereceipt SET filter = \'{"chosen": {"q": ["x"]}}\'',
        "receipt of file",
    ),
    "a file with fewer rows": ("UPDATE segadmin_filereceipt SET rows = 2 WHERE rows = 3", "rows, size or SHA-256"),
    "a file with another hash": (
        "UPDATE segadmin_filereceipt SET sha256 = 'b' WHERE sha256 <> ''",
        "rows, size or SHA-256",
    ),
    "a file that broke off and has a hash": (
        "UPDATE segadmin_filereceipt SET sha256 = 'b' WHERE sha256 = ''",
        "rows, size or SHA-256",
    ),
    "a file that has not ended": ("UPDATE segadmin_filereceipt SET finished_at = NULL", "rows, size or SHA-256"),
    "a file gone": ("DELETE FROM segadmin_filereceipt", "is gone"),
    "a file that nobody took": (MORE_FILES, "no record tells of it"),
    "a review of other days": ("UPDATE segadmin_review SET first = '2020-01-01'", "review of record"),
    "a review with another digest": ("UPDATE segadmin_review SET digest = 'x'", "review of record"),
    "a review that shows something else": ("UPDATE segadmin_review SET told = '{}'", "does not show what it showed"),
    "a review by somebody else": ("UPDATE segadmin_review SET opened_by = 'auditor'", "review of record"),
    "a review moved to another record": ("UPDATE segadmin_review SET seq = 1", "names record 1, which tells of none"),
    "a signature with another note": ("UPDATE segadmin_signoff SET note = 'x'", "signature of record"),
    "a signature by somebody else": ("UPDATE segadmin_signoff SET \"by\" = 'auditor'", "signature of record"),
    "a signature with another verdict": ("UPDATE segadmin_signoff SET verdict = 'open'", "signature of record"),
    "a signature gone": ("DELETE FROM segadmin_signoff", "signature under a review that record"),
    "a shorter time": ("UPDATE segadmin_installation SET register_months = 1", "register months"),
    "another reason": ("UPDATE segadmin_installation SET retention_reason = 'x'", "reason"),
    "another witness": ("UPDATE segadmin_installation SET witness_mail = 'eve@example.com'", "witness mail"),
    "fewer checkpoints": ("UPDATE segadmin_installation SET checkpoint_minutes = 1440", "checkpoint minutes"),
    "settings gone": ("DELETE FROM segadmin_installation", "setting"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_altered_row_is_named(story: None, name: str) -> None:
    named(*ATTACKS[name])


def test_a_signature_that_nobody_gave(story: None) -> None:
    sql("DELETE FROM segadmin_signoff")
    sql(SIGNED)
    assert any("names record" in damage.says and "signature" in damage.says for damage in verify().damage)


def test_the_quick_check_is_of_the_chain_alone(story: None) -> None:
    sql("UPDATE segadmin_verification SET ok = NOT ok")
    assert verify(full=False).ok


def test_what_was_damaged_once_stays_told(prod: Sandbox) -> None:
    """A check that found damage has a row like every other one, and its words are compared."""
    fill(3, prod)
    disarm()
    sql("UPDATE segadmin_eventcontent SET text = replace(text, 'cancelled', 'looked at') WHERE seq = 2")
    proof.verify_record(actor=SYSTEM, workers=1)
    assert {damage.kind for damage in verify().damage} == {"changed"}
    row = Verification.objects.get()
    sql("UPDATE segadmin_verification SET damage = %s", str([{**row.damage[0], "seq": 1}]).replace("'", '"'))
    assert {damage.kind for damage in verify().damage} == {"changed", "row differs"}


def test_rows_whose_records_have_expired_are_let_be(prod: Sandbox, actor: Actor) -> None:
    """Their records are tombstones; the rows stay, and nothing tells of them any more."""
    fill(2, prod)
    take(actor, prod)
    proof.verify_record(actor=SYSTEM, workers=1)
    with time_machine.travel(timezone.now() + timedelta(days=4 * 366), tick=False):
        assert retention.expire(actor=SYSTEM) > 0
        result = verify()
        assert result.ok, result.damage
        assert result.by_digest_only > 0
        take(actor, prod)
        disarm()
        sql("UPDATE segadmin_filereceipt SET cut_off = 1")
        assert len(verify().damage) == 1


# -- a file whose end nobody tells -------------------------------------------------------------------------------------


def test_a_file_that_was_given_up_is_told_as_not_known(prod: Sandbox, actor: Actor) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        receipt = files.begin(actor=actor, order=order(prod))
        clock.shift(files.GIVEN_UP_SECONDS - 1)
        assert files.give_up(actor=SYSTEM) == 0
        clock.shift(2)
        assert files.give_up(actor=SYSTEM) == 1
        assert files.give_up(actor=SYSTEM) == 0
        receipt.refresh_from_db()
        assert (receipt.rows, receipt.sha256) == (None, "")
        assert receipt.finished_at is not None
        assert verify().ok
        # Its process was only very slow: what it tells counts.
        sent = files.Sent(rows=3, size=300, sha256="a" * 64)
        assert files.finish(actor=actor, receipt=receipt, subject=Subject(), sent=sent)
        assert not files.finish(actor=actor, receipt=receipt, subject=Subject(), sent=sent)
        assert FileReceipt.objects.get().rows == 3
        assert verify().ok


def test_a_file_that_gives_signs_of_life_is_not_given_up(prod: Sandbox, actor: Actor) -> None:
    cache.clear()
    with time_machine.travel(timezone.now(), tick=False) as clock:
        receipt = files.begin(actor=actor, order=order(prod))
        for _hour in range(3):
            clock.shift(files.GIVEN_UP_SECONDS - 60)
            pulse = files.Pulse(receipt)
            pulse._last -= files.BEAT_SECONDS
            pulse.beat()
            assert files.give_up(actor=SYSTEM) == 0
