"""Findings and standing explanations altered behind the record's back."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from segadmin import aep
from segadmin.actions import explanations, findings, mirror
from segadmin.audit import Actor
from segadmin.audit.verify import verify
from segadmin.models import Finding, Job, Sandbox
from tests.audit.tampering import disarm, named, sql

pytestmark = pytest.mark.django_db
SECOND = Actor(kind="person", name="second", id="2", roles=("approver",))


def from_outside(prod: Sandbox, job: str, dataset: str) -> Finding:
    raw = {
        "id": job,
        "status": "PROCESSING",
        "fields": "personalEmail.address",
        "filter": {"segments": [{"segmentId": "s-1"}]},
        "destination": {"datasetId": dataset},
    }
    mirror.take_in(prod, [aep.ExportJob.parse(raw)], read_at=timezone.now())
    findings.look(prod)
    return Finding.objects.get(job__job_id=job)


@pytest.fixture
def story(prod: Sandbox, actor: Actor, settings: Settings, tmp_path: Path) -> None:
    """Findings in every state, and an explanation in each of its own."""
    settings.DATA_DIR = tmp_path
    Sandbox.objects.filter(pk=prod.pk).update(connected_at=timezone.now() - timedelta(days=9))
    _left_open, explained, closed, again = (from_outside(prod, f"2410{number}", f"d-{number}") for number in range(4))
    for finding in (explained, closed, again):
        findings.explain(actor=actor, finding=finding, note="a test")
        finding.refresh_from_db()
    findings.close(actor=SECOND, finding=closed, note="So it was.")
    findings.send_back(actor=SECOND, finding=again, note="Which test?")
    for number in (4, 5, 6):
        rule = explanations.set_explanation(
            actor=actor,
            finding=from_outside(prod, f"2410{number}", f"d-{number}"),
            owner="Mail vendor",
            reason="Their daily schedule",
            valid_until_at=timezone.now() + timedelta(days=90),
        )
        if number == 5:
            explanations.check(actor=SECOND, explanation=rule)
        if number == 6:
            explanations.end(actor=SECOND, explanation=rule, reason="The contract is over.")
    mirror.mark_missing(prod, Job.objects.get(job_id="24100"), read_at=timezone.now())
    findings.look(prod)
    states = Finding.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["open", "explained", "closed", "open", "explained", "closed", "explained", "open"]
    assert verify().damage == []
    disarm()


CLOSED = "state = 'closed', closed_by = 'second', closed_at = found_at"
RULE = "UPDATE segadmin_explanation SET"
FINDING = "UPDATE segadmin_finding SET"
ATTACKS: dict[str, tuple[str, str]] = {
    "an open one closed": (f"{FINDING} {CLOSED} WHERE state = 'open'", "is closed by second"),
    "an explained one closed": (
        f"{FINDING} {CLOSED} WHERE state = 'explained'",
        "is closed by second",
    ),
    "explained by somebody else": ("UPDATE segadmin_finding SET explained_by = 'x' WHERE state = 'explained'", "by x"),
    "closed by somebody else": ("UPDATE segadmin_finding SET closed_by = 'x' WHERE state = 'closed'", "by x"),
    "a closed one open": ("UPDATE segadmin_finding SET state = 'open' WHERE state = 'closed'", "is open"),
    "a rule for more fields": (f"{RULE} fields = '[]'", "fields"),
    "a rule for another dataset": (f"{RULE} dataset_id = 'x'", "dataset"),
    "a rule for other audiences": (f"{RULE} shape = 'x'", "shape"),
    "a rule for longer": (f"{RULE} valid_until_at = '2099-01-01 00:00:00+00:00'", "valid until"),
    "a rule of another owner": (f"{RULE} owner = 'x'", "owner"),
    "a rule with another reason": (f"{RULE} reason = 'x'", "reason"),
    "a rule set by somebody else": (f"{RULE} set_by = 'x'", "set by"),
    "a rule that nobody checked": (f"{RULE} checked_by = 'second', checked_at = set_at", "who checked it"),
    "a rule checked by somebody else": (f"{RULE} checked_by = 'x' WHERE checked_by <> ''", "who checked it"),
    "a rule not checked": (f"{RULE} checked_by = '', checked_at = NULL", "who checked it"),
    "a rule that goes on": (f"{RULE} ended_at = NULL", "when it ended"),
    "a rule that ended": (f"{RULE} ended_at = set_at", "when it ended"),
}
MORE = """
INSERT INTO segadmin_explanation (organization_id, sandbox_id, dataset_id, fields, shape, owner, reason, valid_from_at,
  valid_until_at, set_by, set_at, checked_by)
SELECT organization_id, sandbox_id, 'd-9', fields, shape, owner, reason, valid_from_at, valid_until_at, set_by, set_at, ''
FROM segadmin_explanation WHERE dataset_id = 'd-4'
"""


@pytest.mark.parametrize("name", ATTACKS)
def test_an_altered_row_is_named(story: None, name: str) -> None:
    named(*ATTACKS[name], "row differs")


def test_an_explanation_that_nobody_set(story: None) -> None:
    sql(MORE)
    [damage] = verify().damage
    assert "No record tells of the standing explanation" in damage.says


def test_findings_that_were_deleted(story: None) -> None:
    sql("UPDATE segadmin_job SET gone_finding_id = NULL")
    gone = Finding.objects.filter(state="open").count()
    sql("DELETE FROM segadmin_finding WHERE state = 'open'")
    damage = verify().damage
    assert len(damage) == gone
    assert all("is gone" in item.says for item in damage)


def test_an_explanation_that_was_deleted(story: None) -> None:
    sql("UPDATE segadmin_job SET explanation_id = NULL")
    sql("UPDATE segadmin_finding SET explanation_id = NULL")
    sql("DELETE FROM segadmin_explanation WHERE dataset_id = 'd-4'")
    [damage] = verify().damage
    assert "The standing explanation that record" in damage.says
