"""How long the record's contents are kept. Expiry removes contents and leaves every event: its digest and chain value."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, record
from segadmin.models import Action, ContentExpiry, EventContent, Installation
from segadmin.queries import retention

BATCH = 100
ROUND = 10
EVERY = timedelta(days=1)
REASON = "its time was over"
LEAST_MONTHS, MOST_MONTHS = 1, 240


def change(*, actor: Actor, register_months: int, access_months: int, reason: str) -> Installation:
    """Set how long what is kept. Raises NotDone for a missing reason or months out of range."""
    problems = {
        name: f"Choose from {LEAST_MONTHS} to {MOST_MONTHS} months."
        for name, months in (("register_months", register_months), ("access_months", access_months))
        if not LEAST_MONTHS <= months <= MOST_MONTHS
    }
    if not reason.strip():
        problems["reason"] = "Say why records are kept this long; auditors read it."
    if problems:
        raise NotDone(problems)
    with transaction.atomic():
        Installation.objects.get_or_create(pk=1)
        row = Installation.objects.select_for_update().get(pk=1)
        before = {
            "register_months": row.register_months,
            "access_months": row.access_months,
            "reason": row.retention_reason,
        }
        why = reason.strip()
        after = {"register_months": register_months, "access_months": access_months, "reason": why}
        if before != after:
            row.register_months, row.access_months, row.retention_reason = (
                register_months,
                access_months,
                why,
            )
            row.version += 1
            row.save(update_fields=["register_months", "access_months", "retention_reason", "version"])
            record(
                actor=actor,
                action=Action.RETENTION_SET,
                sentence=f"set how long records are kept: exports {retention.duration(register_months)}, "
                f"sign-ins and views {retention.duration(access_months)}: {why}",
                details={"before": before, "after": after},
            )
    return row


def expire_daily(*, actor: Actor) -> int:
    """Once a day, and at once again while there is more than a round takes. Claimed, so that one process does it."""
    now = timezone.now()
    Installation.objects.get_or_create(pk=1)
    due = Q(last_expiry_at=None) | Q(last_expiry_at__lt=now - EVERY)
    if not Installation.objects.filter(due, pk=1).update(last_expiry_at=now):
        return 0
    gone = expire(actor=actor)
    if gone >= ROUND * BATCH:
        Installation.objects.filter(pk=1).update(last_expiry_at=now - EVERY)
    return gone


def expire(*, actor: Actor, batches: int = ROUND) -> int:
    """Remove contents whose time is over, at most `batches` of 100. Returns how many went."""
    gone = 0
    for _number in range(batches):
        done = _one_batch(actor)
        gone += done
        if done < BATCH:
            break
    return gone


def _one_batch(actor: Actor) -> int:
    rows = retention.due(BATCH)
    if not rows:
        return 0
    now = timezone.now()
    numbers = [row.pk for row in rows]
    with transaction.atomic():
        for row in rows:
            ContentExpiry(seq=row.pk, at=now, reason=REASON).save()
        _raw_delete(EventContent, numbers)
        record(
            actor=actor,
            action=Action.CONTENT_EXPIRED,
            sentence=f"removed the contents of {len(rows)} records between {numbers[0]:,} and {numbers[-1]:,}, "
            "whose time was over; their digests stay",
            details={"records": numbers, "reason": REASON, "newest": max(row.at for row in rows).isoformat()},
        )
    return len(rows)


def _raw_delete(model: type[Model], numbers: list[int]) -> None:
    """Past the manager, which refuses every deletion; the database's trigger lets only expired, unheld contents go."""
    rows: QuerySet[Any] = QuerySet(model).filter(pk__in=numbers)
    rows._raw_delete(rows.db)
