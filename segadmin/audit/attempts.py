"""attempt(): a remote change, write-ahead. No event, no call; one of the late answer and the mirror wins, never both."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from segadmin.audit.actor import Actor
from segadmin.audit.chain import OutcomeNotRecorded
from segadmin.audit.record import Subject, record
from segadmin.models import Action, Attempt, ExportRequest, Job, Outcome, Sandbox, Settlement

ACTIONS = {Attempt.Kind.CREATE: Action.EXPORT_CREATE, Attempt.Kind.CANCEL: Action.EXPORT_CANCEL}
OUTCOMES = {
    Attempt.State.SUCCEEDED: Outcome.SUCCEEDED,
    Attempt.State.FAILED: Outcome.FAILED,
    Attempt.State.UNKNOWN: Outcome.UNKNOWN,
}
# A call may take the deadline twice (a 401 is answered by a new token and one repeat) plus the token itself.
MARGIN = timedelta(seconds=10)


def subject_of(attempt: Attempt, job_id: str = "") -> Subject:
    return Subject(
        sandbox=attempt.sandbox,
        job_id=job_id or (attempt.job.job_id if attempt.job else ""),
        request_uuid=attempt.export_request.uuid if attempt.export_request else None,
        attempt_uuid=attempt.uuid,
    )


def attempt(
    *,
    actor: Actor,
    kind: Attempt.Kind,
    sandbox: Sandbox,
    sentence: str,
    export_request: ExportRequest | None = None,
    job: Job | None = None,
    fingerprint: str = "",
    details: dict[str, Any] | None = None,
    claim: Callable[[], bool] = lambda: True,
) -> Attempt | None:
    """Commit the intent and its REQUESTED event. `claim` moves the state that allows the change, in the same transaction.

    Returns None (and writes nothing) if `claim` says that somebody else was first. Durable: when this returns, the
    event is on disk, and only then may connect.writer() be asked for.
    """
    now = timezone.now()
    row = Attempt(
        kind=kind,
        sandbox=sandbox,
        export_request=export_request,
        job=job,
        actor=actor.as_json(),
        fingerprint=fingerprint,
        opened_at=now,
        deadline_at=now + 3 * timedelta(seconds=settings.UPSTREAM_DEADLINE_SECONDS) + MARGIN,
    )
    with transaction.atomic(durable=True):
        if not claim():
            return None
        event = record(
            actor=actor,
            action=ACTIONS[kind],
            outcome=Outcome.REQUESTED,
            sentence=sentence,
            subject=subject_of(row),
            details=details,
        )
        row.opened_seq = event.seq
        _insert(row)
    return row


# Every column but the key, in the order of the model's fields. As a statement of its own: `save()` would take a third
# of all the time that a call waits for.
_INSERT = (
    "INSERT INTO segadmin_attempt (uuid, kind, state, sandbox_id, export_request_id, job_id, actor, fingerprint, "
    "opened_at, deadline_at, closed_at, opened_seq, closed_seq, note, settlement, look_until_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id"
)


def _insert(row: Attempt) -> None:
    """What `row.save(force_insert=True)` does."""
    connection = transaction.get_connection()
    fields = [field for field in Attempt._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, connection.alias


def close(
    row: Attempt,
    state: Attempt.State,
    *,
    sentence: str,
    details: dict[str, Any] | None = None,
    actor: Actor | None = None,
    job_id: str = "",
    also: Callable[[], None] = lambda: None,
) -> bool:
    """Close an open attempt with its outcome event; `also` runs in the same transaction. False: somebody else closed it.

    Raises OutcomeNotRecorded where the record does not take it; the attempt stays open then, and sync finds it.
    """
    now = timezone.now()
    moves: dict[str, Any] = {"state": state, "closed_at": now, "note": details or {}}
    if state == Attempt.State.UNKNOWN and row.kind == Attempt.Kind.CREATE:
        moves["settlement"] = Settlement.LOOKING
        moves["look_until_at"] = now + timedelta(seconds=settings.UNKNOWN_WINDOW_SECONDS)
    try:
        with transaction.atomic():
            if Attempt.objects.filter(pk=row.pk, state=Attempt.State.OPEN).update(**moves) != 1:
                return False
            row.refresh_from_db()
            also()
            event = record(
                actor=actor or Actor.from_json(row.actor),
                action=ACTIONS[Attempt.Kind(row.kind)],
                outcome=OUTCOMES[state],
                sentence=sentence,
                subject=subject_of(row, job_id),
                details=details,
            )
            Attempt.objects.filter(pk=row.pk).update(closed_seq=event.seq)
    except (DatabaseError, OSError) as error:
        raise OutcomeNotRecorded(f"How it ended is not on record: {error}") from error
    row.refresh_from_db()
    return True


def settle(
    row: Attempt,
    settlement: Settlement,
    *,
    actor: Actor,
    sentence: str,
    details: dict[str, Any] | None = None,
    job_id: str = "",
    outcome: Outcome = Outcome.SUCCEEDED,
    also: Callable[[], None] = lambda: None,
    sure: bool = False,
) -> bool:
    """Move the settlement of a lost answer, with its event. False: it was settled meanwhile.

    `sure`: the answer itself has come, late. It also overrules "not found".
    """
    with transaction.atomic():
        waiting = [Settlement.LOOKING, Settlement.PERSON, *([Settlement.RELEASED] if sure else [])]
        moved = (
            Attempt.objects.filter(pk=row.pk, settlement__in=waiting)
            .exclude(settlement=settlement)
            .update(settlement=settlement)
        )
        if moved != 1:
            return False
        row.refresh_from_db()
        also()
        record(
            actor=actor,
            action=Action.EXPORT_SETTLE,
            outcome=outcome,
            sentence=sentence,
            subject=subject_of(row, job_id),
            details=details,
        )
    return True
