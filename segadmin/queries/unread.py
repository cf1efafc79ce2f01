"""When a list was not read, worked out from what the mirror remembers. Reads only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from segadmin.models import Sandbox, Unread

# After failures the mirror waits at most this long, unless Adobe asks for a longer pause.
LONGEST_PAUSE = timedelta(minutes=5)


# After a clock was set back, so much of the time before is in doubt.
DOUBTFUL = timedelta(days=1)


@dataclass(frozen=True)
class Missed:
    """A time in which a list was not read."""

    why: Unread.Why
    from_at: datetime
    to_at: datetime
    note: str = ""


def patience() -> timedelta:
    """How far apart two readings may be: three of the slow intervals and a minute."""
    return timedelta(seconds=3 * 6 * settings.SYNC_SECONDS + 60)


def watched_again(sandboxes: Iterable[Sandbox]) -> dict[int, datetime]:
    """Sandbox pk -> when watching last began again; only those that were not watched for a while."""
    rows = Unread.objects.filter(sandbox__in=[row.pk for row in sandboxes], why=Unread.Why.UNWATCHED)
    return dict(rows.exclude(to_at=None).order_by().values_list("sandbox").annotate(Max("to_at")))


def watched_since(sandbox: Sandbox, again: Mapping[int, datetime] | None = None) -> datetime | None:
    """The last good reading, or the moment since when it is watched, whichever is later; None if it never was.

    `again` as of `watched_again`, where the caller has it for many sandboxes.
    """
    ended = (watched_again([sandbox]) if again is None else again).get(sandbox.pk)
    known = [moment for moment in (sandbox.last_read_at, sandbox.connected_at, ended) if moment is not None]
    return max(known, default=None)


def doubtful(sandbox: Sandbox, now: datetime) -> Missed | None:
    """Where the last reading seems to come yet, the clock was set back, at a moment that nobody knows.

    What was read in the day before can't be told then: the wrong clock may have called other times so. What comes is
    told when it was there.
    """
    last = sandbox.last_read_at
    if last is None or last - now <= patience():
        return None
    begin = max(now - DOUBTFUL, sandbox.connected_at or now - DOUBTFUL)
    return Missed(Unread.Why.CLOCK, min(begin, now), now)


def missed(sandbox: Sandbox, until: datetime, again: Mapping[int, datetime] | None = None) -> list[Missed]:
    """What of the time from the last good reading to `until` was not read, and why. Short pauses are none."""
    base, failing = watched_since(sandbox, again), sandbox.failing_since_at
    if base is None or until <= base:
        return []
    if failing is None or failing >= until:
        return [Missed(Unread.Why.STOPPED, base, until)] if until - base > patience() else []
    failing = max(failing, base)
    found = [Missed(Unread.Why.STOPPED, base, failing)] if failing - base > patience() else []
    silent = _silent_since(sandbox, failing, until)
    found.append(Missed(Unread.Why.ADOBE, failing, silent or until, sandbox.last_error))
    if silent is not None:
        found.append(Missed(Unread.Why.STOPPED, silent, until))
    return [gap for gap in found if gap.to_at > gap.from_at]


def _silent_since(sandbox: Sandbox, failing: datetime, until: datetime) -> datetime | None:
    """While Adobe failed, segadmin may have stopped too: the last failure that it noted, if too long ago."""
    last = sandbox.last_error_at
    if last is None:
        return None
    next_try = max(last + LONGEST_PAUSE, sandbox.organization.not_before_at or last)
    return max(last, failing) if until - next_try > patience() else None


def lasting(sandbox: Sandbox, again: Mapping[int, datetime]) -> list[Missed]:
    """What is not read right now."""
    now = timezone.now()
    if not sandbox.watched:
        return []
    doubt = doubtful(sandbox, now)
    return [doubt] if doubt else missed(sandbox, now, again)
