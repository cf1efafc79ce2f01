"""Retention and legal holds: contents go, events stay, and a hold is stronger than both our code and SQL."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from segadmin.actions import holds, retention
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, Subject, record
from segadmin.audit.verify import verify
from segadmin.models import Action, ContentExpiry, Event, EventContent, Hold, Sandbox
from segadmin.queries import retention as queries
from tests.factories import make_job

pytestmark = pytest.mark.django_db

ADMIN = Actor(kind="person", name="admin")


def write(action: Action, days_ago: float, *, by: str = "operator", subject: Subject | None = None) -> Event:
    """An event as if written then."""
    then = timezone.now() - timedelta(days=days_ago)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: then)
        actor = Actor(kind="person", name=by)
        return record(actor=actor, action=action, sentence="did something", subject=subject or Subject())


def left() -> set[int]:
    return set(EventContent.objects.exclude(action=Action.CONTENT_EXPIRED).values_list("event_id", flat=True))


def test_each_class_goes_in_its_own_time_and_leaves_its_link() -> None:
    old_sign_in = write(Action.SIGN_IN, 400)
    young_sign_in = write(Action.SIGN_IN, 300)
    export = write(Action.EXPORT_CREATE, 400)
    old_export = write(Action.EXPORT_CREATE, 1200)
    proof = write(Action.CHECKPOINT, 4000)
    assert retention.expire(actor=ADMIN) == 2
    assert left() == {young_sign_in.seq, export.seq, proof.seq}
    assert set(ContentExpiry.objects.values_list("seq", flat=True)) == {old_sign_in.seq, old_export.seq}
    assert Event.objects.filter(seq__in=[old_sign_in.seq, old_export.seq]).count() == 2
    result = verify(workers=1)
    assert result.ok
    assert (result.by_digest_only, result.missing) == (2, 0)
    assert retention.expire(actor=ADMIN) == 0


def test_what_went_is_on_record_with_its_numbers() -> None:
    gone = write(Action.SIGN_IN, 500)
    retention.expire(actor=ADMIN)
    told = EventContent.objects.get(action=Action.CONTENT_EXPIRED)
    assert f'"records":[{gone.seq}]' in told.text
    assert told.actor_name == "admin"


def test_the_overview_tells_what_would_go_and_touches_nothing() -> None:
    write(Action.SIGN_IN, 500)
    write(Action.SIGN_IN, 500, by="auditor")
    holds.place_on_person(actor=ADMIN, person="auditor", reason="dispute")
    [access, _rest] = queries.overview()
    assert (access.due, access.held) == (1, 1)
    assert EventContent.objects.filter(action=Action.SIGN_IN).count() == 2


def test_a_hold_on_a_person_keeps_what_they_did_until_it_is_released() -> None:
    kept = write(Action.SIGN_IN, 500, by="auditor")
    gone = write(Action.SIGN_IN, 500)
    hold = holds.place_on_person(actor=ADMIN, person="auditor", reason="dispute")
    retention.expire(actor=ADMIN)
    assert kept.seq in left()
    assert gone.seq not in left()
    assert holds.release(actor=ADMIN, hold=hold, reason="settled")
    assert not holds.release(actor=ADMIN, hold=hold, reason="again")
    assert EventContent.objects.filter(action=Action.HOLD_RELEASED).count() == 1
    retention.expire(actor=ADMIN)
    assert kept.seq not in left()


def test_a_hold_on_a_period_is_half_open() -> None:
    inside = write(Action.SIGN_IN, 500)
    outside = write(Action.SIGN_IN, 502)
    middle = timezone.now() - timedelta(days=501)
    holds.place_on_period(actor=ADMIN, from_at=middle, until_at=timezone.now(), reason="audit of the year")
    retention.expire(actor=ADMIN)
    assert inside.seq in left()
    assert outside.seq not in left()


def test_a_hold_on_a_job_covers_its_request_too(prod: Sandbox) -> None:
    job = make_job(prod, job_id="24127")
    other = make_job(prod, job_id="24128")
    kept = write(Action.EXPORT_CANCEL, 1200, subject=Subject(sandbox=prod, job_id=job.job_id))
    gone = write(Action.EXPORT_CANCEL, 1200, subject=Subject(sandbox=prod, job_id=other.job_id))
    holds.place_on_job(actor=ADMIN, job=job, reason="dispute")
    retention.expire(actor=ADMIN)
    assert kept.seq in left()
    assert gone.seq not in left()


@pytest.mark.parametrize("kind", ["person", "period", "job"])
def test_the_database_itself_keeps_what_is_held(prod: Sandbox, kind: str) -> None:
    job = make_job(prod, job_id="24127")
    event = write(Action.EXPORT_CANCEL, 1200, by="auditor", subject=Subject(sandbox=prod, job_id=job.job_id))
    if kind == "person":
        holds.place_on_person(actor=ADMIN, person="auditor", reason="dispute")
    elif kind == "job":
        holds.place_on_job(actor=ADMIN, job=job, reason="dispute")
    else:
        start = datetime(2000, 1, 1, tzinfo=UTC)
        holds.place_on_period(actor=ADMIN, from_at=start, until_at=timezone.now(), reason="dispute")
    ContentExpiry(seq=event.seq, at=timezone.now(), reason="by hand").save()
    with pytest.raises(DatabaseError, match="can not be changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM segadmin_eventcontent WHERE seq = %s", [event.seq])


def test_holds_can_not_be_changed_or_deleted() -> None:
    hold = holds.place_on_person(actor=ADMIN, person="auditor", reason="dispute")
    with pytest.raises(PermissionError):
        hold.delete()
    for statement in ("DELETE FROM segadmin_hold", "UPDATE segadmin_hold SET reason = 'x'"):
        with (
            pytest.raises(DatabaseError, match="can not be changed"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    assert Hold.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"register_months": 0}, "register_months"),
        ({"access_months": 999}, "access_months"),
        ({"reason": "  "}, "reason"),
    ],
)
def test_times_need_a_reason_and_a_sensible_length(values: dict[str, object], field: str) -> None:
    chosen = {"register_months": 36, "access_months": 12, "reason": "internal control", **values}
    with pytest.raises(NotDone) as refused:
        retention.change(actor=ADMIN, **chosen)
    assert list(refused.value.problems) == [field]
    assert not EventContent.objects.exists()


def test_a_change_is_on_record_once_with_before_and_after() -> None:
    for _ in range(2):
        retention.change(actor=ADMIN, register_months=24, access_months=6, reason="agreed with the works council")
    told = EventContent.objects.get(action=Action.RETENTION_SET)
    assert '"before":{"access_months":12,"reason":"","register_months":36}' in told.text
    assert "2 years" in told.sentence
    assert "6 months" in queries.sentence()


def test_many_batches_go_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    for _ in range(7):
        write(Action.SIGN_IN, 500)
    assert retention.expire(actor=ADMIN, batches=2) == 6
    assert retention.expire_daily(actor=ADMIN) == 1
    write(Action.SIGN_IN, 500)
    assert retention.expire_daily(actor=ADMIN) == 0  # looked today
