"""Hands the record to a log collector, in order and at least once; that it began, stopped and went on is on record."""

import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from segadmin.aep import collector
from segadmin.aep.errors import AEPError
from segadmin.audit import Actor, record
from segadmin.models import Action, Outcome, Stream
from segadmin.queries import stream as queries

BATCH = 500
# Of one round, so that a long record at the first start holds up no other task for long.
ROUND_SECONDS = 10.0
_CLAIM = timedelta(minutes=2)


def tend(*, actor: Actor, is_over: Callable[[], bool] = lambda: False) -> None:
    """Hand over what is new. Nothing happens where no collector is named, or another process is at it."""
    if settings.STREAM is None:
        return
    row = _stream(actor, settings.STREAM.shown)
    if not _claim(row):
        return
    try:
        _hand_over(actor, row, settings.STREAM, is_over)
    finally:
        Stream.objects.filter(pk=row.pk).update(claimed_until=None)


def _hand_over(actor: Actor, row: Stream, target: collector.Collector, is_over: Callable[[], bool]) -> None:
    until = time.monotonic() + ROUND_SECONDS
    while not is_over() and time.monotonic() < until and (lines := queries.lines(row.seq, BATCH)):
        try:
            collector.hand_over(
                target,
                lines,
                host=urlsplit(settings.PUBLIC_URL).hostname or "",
                proxy=settings.UPSTREAM_PROXY,
                ca_file=settings.UPSTREAM_CA_FILE,
                deadline_seconds=settings.UPSTREAM_DEADLINE_SECONDS,
            )
        except AEPError as error:
            _failed(actor, row, error.message)
            return
        if not _took(actor, row, lines[-1].number):
            return


def _stream(actor: Actor, target: str) -> Stream:
    """The row of this collector; a new one begins with the first record."""
    with transaction.atomic():
        row, is_new = Stream.objects.get_or_create(target=target)
        if is_new:
            _record(actor, row, Outcome.SUCCEEDED, f"began to hand the record to {target}, from its first record on")
    return row


def _claim(row: Stream) -> bool:
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lt=now) | Q(claimed_until__gt=now + 2 * _CLAIM)
    if Stream.objects.filter(free, pk=row.pk).update(claimed_until=now + _CLAIM) != 1:
        return False
    row.refresh_from_db()
    return True


def _took(actor: Actor, row: Stream, seq: int) -> bool:
    """False where another process was quicker; what it handed over arrived twice."""
    now, since = timezone.now(), row.failing_since
    moves = {"seq": seq, "at": now, "claimed_until": now + _CLAIM, "failing_since": None, "problem": ""}
    with transaction.atomic():
        if Stream.objects.filter(pk=row.pk, seq=row.seq).update(**moves) != 1:
            return False
        if since is not None:
            sentence = f"could hand the record to {row.target} again, from record {row.seq + 1:,} on"
            _record(actor, row, Outcome.SUCCEEDED, sentence, failing_since=since.isoformat())
    row.refresh_from_db()
    return True


def _failed(actor: Actor, row: Stream, problem: str) -> None:
    """A collector that stays out of reach is one event, not one for each try."""
    is_first = row.failing_since is None
    since = row.failing_since or timezone.now()
    with transaction.atomic():
        Stream.objects.filter(pk=row.pk).update(failing_since=since, problem=problem[:300])
        if is_first:
            sentence = f"could not hand the record to {row.target}; record {row.seq + 1:,} and later ones wait"
            _record(actor, row, Outcome.FAILED, sentence, problem=problem)


def _record(actor: Actor, row: Stream, outcome: Outcome, sentence: str, **more: str) -> None:
    details = {"to": row.target, "handed_over": row.seq, **more}
    record(actor=actor, action=Action.RECORD_STREAMED, outcome=outcome, sentence=sentence, details=details)
