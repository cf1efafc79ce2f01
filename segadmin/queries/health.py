"""Is the installation fit for work?"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Max
from django.utils import timezone

from segadmin.models import ChainHead, Sandbox


def mirror_limit() -> timedelta:
    """A mirror older than this is stale: a few idle rounds, never under two minutes."""
    return timedelta(seconds=max(120.0, 60 + 4 * settings.SYNC_SECONDS))


def mirror_age() -> tuple[datetime | None, bool]:
    """When Adobe was last asked about any watched sandbox, and whether that is too long ago. (None, False): none watched."""
    told = Sandbox.objects.filter(watched=True, organization__retired_at=None).aggregate(
        count=Count("pk"), read=Max("last_read_at"), failed=Max("last_error_at")
    )
    last = max((at for at in (told["read"], told["failed"]) if at is not None), default=None)
    silent = bool(told["count"]) and (last is None or timezone.now() - last > mirror_limit())
    return last, silent


def readiness() -> str:
    """ "ready", "database" or "sync"; the last when no watched sandbox was tried lately."""
    try:
        ChainHead.objects.filter(pk=1).exists()
        _last, silent = mirror_age()
    except DatabaseError:
        return "database"
    # A sandbox that Adobe refuses is tried, so sync lives; only silence is a fault of ours.
    return "sync" if silent else "ready"
