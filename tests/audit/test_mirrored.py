"""Jobs and attempts, altered behind the record's back; and what Adobe itself may change, which is no damage."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from segadmin import aep
from segadmin.actions import mirror
from segadmin.audit import Actor, attempt
from segadmin.audit import close as close_attempt
from segadmin.audit.verify import verify
from segadmin.models import Action, Attempt, EventContent, ExportRequest, Job, Sandbox, State, User
from tests.audit.tampering import disarm, named, sql

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_folder(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def told(prod: Sandbox, status: str, job: str = "24102", **more: Any) -> Job:
    """Adobe tells a job."""
    raw = {
        "id": job,
        "status": status,
        "fields": "personalEmail.address",
        "filter": {"segments": [{"segmentId": "s-1"}]},
        "destination": {"datasetId": "d-1"},
        "metrics": {"totalExportedProfileCounter": 41200, "share": 0.25},
        **more,
    }
    mirror.take_in(prod, [aep.ExportJob.parse(raw)], read_at=timezone.now())
    return Job.objects.get(job_id=job)


@pytest.fixture
def story(prod: Sandbox, operator: User, actor: Actor) -> None:
    """A job that ended while it was watched, one that had ended before, one that is gone, one that runs; and attempts."""
    Sandbox.objects.filter(pk=prod.pk).update(connected_at=timezone.now() - timedelta(days=9))
    for status in ("NEW", "PROCESSING", "SUCCEEDED"):
        told(prod, status)
    told(prod, "FAILED", "24103")
    mirror.mark_missing(prod, told(prod, "NEW", "24104"), read_at=timezone.now())
    told(prod, "PROCESSING", "24105")
    wish = ExportRequest.objects.create(sandbox=prod, author=operator, author_name="operator", body={"fields": "x"})
    for kind, request, state in (
        (Attempt.Kind.CREATE, wish, Attempt.State.UNKNOWN),
        (Attempt.Kind.CANCEL, None, Attempt.State.FAILED),
        (Attempt.Kind.CANCEL, None, None),
    ):
        row = attempt(
            actor=actor,
            kind=kind,
            sandbox=prod,
            export_request=request,
            sentence="asked for it",
            details={"body": {"fields": "x"}} if request else {"reason": "wrong dataset"},
        )
        assert row is not None
        if state:
            close_attempt(row, state, sentence="got no answer")
    assert verify().damage == []
    disarm()


RAW = 'UPDATE segadmin_job SET raw = \'{"id": "1"}\''
ATTACKS: dict[str, tuple[str, str]] = {
    "what Adobe told of one that ended": (f"{RAW} WHERE job_id = '24102'", "job 24102 is not as record"),
    "what Adobe told of one that had ended": (f"{RAW} WHERE job_id = '24103'", "job 24103 is not as record"),
    "what Adobe told of one that is gone": (f"{RAW} WHERE job_id = '24104'", "job 24104 is not as record"),
    "its count": ("UPDATE segadmin_job SET profiles = 7 WHERE job_id = '24102'", "it: profiles"),
    "its dataset": ("UPDATE segadmin_job SET dataset_id = 'd-2' WHERE job_id = '24102'", "of the register"),
    "the register's outcome": ("UPDATE segadmin_registerentry SET outcome = 'failed'", "24102 of record"),
    "the register's count": ("UPDATE segadmin_registerentry SET profiles = 7", "24102 of record"),
    "the register's dataset": ("UPDATE segadmin_registerentry SET dataset_id = 'd-2'", "24102 of record"),
    "the register's end": ("UPDATE segadmin_registerentry SET ended_at = sort_at", "24102 of record"),
    "its row of the register": ("UPDATE segadmin_registerentry SET job_id = NULL", "it is gone"),
    "its state": ("UPDATE segadmin_job SET state = 'failed' WHERE job_id = '24102'", "it: state"),
    "its status": ("UPDATE segadmin_job SET status = 'FAILED' WHERE job_id = '24102'", "it: status"),
    "when it changed, too": (
        "UPDATE segadmin_job SET raw = '{}', changed_at = '2031-01-01 00:00:00+00:00' WHERE job_id = '24102'",
        "what Adobe told",
    ),
    "an attempt's state": (
        "UPDATE segadmin_attempt SET state = 'succeeded' WHERE state = 'unknown'",
        "attempt of record",
    ),
    "an attempt's kind": ("UPDATE segadmin_attempt SET kind = 'create' WHERE kind = 'cancel'", "attempt of record"),
    "an attempt not ended": ("UPDATE segadmin_attempt SET closed_seq = NULL", "attempt of record"),
    "an attempt opened again": ("UPDATE segadmin_attempt SET state = 'open'", "attempt of record"),
    "an attempt moved": ("UPDATE segadmin_attempt SET opened_seq = 1 WHERE state = 'open'", "attempt of record"),
    "attempts gone": ("DELETE FROM segadmin_attempt WHERE kind = 'cancel'", "The attempt that record"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_altered_row_is_named(story: None, name: str) -> None:
    named(*ATTACKS[name], "row differs")


@pytest.mark.parametrize("job", ["24102", "24103", "24104", "24105"])
def test_a_job_that_was_deleted(story: None, job: str) -> None:
    """With everything that leads to it."""
    if connection.vendor == "sqlite":
        sql("PRAGMA defer_foreign_keys = ON")
    for statement in (
        "DELETE FROM segadmin_jobchange WHERE job_id = %s",
        "DELETE FROM segadmin_registerterm WHERE entry_id IN (SELECT id FROM segadmin_registerentry WHERE job_id = %s)",
        "DELETE FROM segadmin_registerentry WHERE job_id = %s",
        "DELETE FROM segadmin_job WHERE id = %s",
    ):
        sql(statement, Job.objects.filter(job_id=job).values_list("pk", flat=True)[0])
    [damage] = verify().damage
    assert damage.kind == "row differs"
    assert f"The job {job} that record" in damage.says


def test_a_row_of_the_register_moved_to_another_org(story: None, foreign: Sandbox) -> None:
    sql("UPDATE segadmin_registerentry SET organization_id = %s", foreign.organization_id)
    damage = verify().damage
    assert {item.kind for item in damage} == {"row differs"}
    assert all(item.says.endswith("says: organization.") for item in damage)


def test_what_still_runs_may_be_told_anew(story: None, prod: Sandbox) -> None:
    told(prod, "PROCESSING", "24105", metrics={"totalExportedProfileCounter": 7})
    assert verify().ok


def test_each_change_of_one_that_ended_is_on_record(story: None, prod: Sandbox) -> None:
    """Adobe tells it otherwise afterwards, and then again."""
    for count in (41_201, 41_202, 41_202):
        told(prod, "SUCCEEDED", metrics={"totalExportedProfileCounter": count})
        assert verify().ok
    told(prod, "PROCESSING")  # and even that it goes on
    assert verify().ok
    later = EventContent.objects.filter(action=Action.JOB_CHANGED, sentence__contains="otherwise than before")
    assert [row.sentence.rpartition(": ")[2] for row in later.order_by("event_id")] == [
        "SUCCEEDED",
        "SUCCEEDED",
        "PROCESSING",
    ]


def test_one_that_is_listed_again_is_on_record_once(story: None, prod: Sandbox) -> None:
    before = EventContent.objects.count()
    told(prod, "SUCCEEDED", "24104")
    assert verify().ok
    kinds = EventContent.objects.order_by("event_id").values_list("action", flat=True)[before:]
    assert sorted(kinds) == [Action.JOB_CHANGED, Action.JOB_RETURNED]


def test_one_that_had_ended_is_gone_and_comes_back_otherwise(story: None, prod: Sandbox) -> None:
    mirror.mark_missing(prod, Job.objects.get(job_id="24102"), read_at=timezone.now())
    assert verify().ok
    assert Job.objects.get(job_id="24102").state == State.SUCCEEDED
    told(prod, "SUCCEEDED", metrics={"totalExportedProfileCounter": 1})
    assert verify().ok
    assert not EventContent.objects.filter(sentence__contains="otherwise than before").exists()


def test_records_of_earlier_versions_hold_as_far_as_they_go(story: None, prod: Sandbox) -> None:
    """They did not tell of changes after the end: a row that changed since can't be compared, one that did not can."""
    sql("DELETE FROM segadmin_eventcontent WHERE seq > 2")
    sql("UPDATE segadmin_eventcontent SET text = replace(text, '\"sealed\":true', '\"sealed\":false')")

    def differs() -> bool:
        return any("The job 24102" in damage.says for damage in verify().damage)

    assert not differs()
    sql(f"{RAW} WHERE job_id = '24102'")
    assert differs()
    Job.objects.filter(job_id="24102").update(changed_at=timezone.now() + timedelta(hours=1))
    assert not differs()
