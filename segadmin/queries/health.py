"""Is the installation fit for work?"""

from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from segadmin.models import ChainHead, Sandbox


def mirror_limit() -> timedelta:
    """A mirror older than this is stale: a few idle rounds, never under two minutes."""
    return timedelta(seconds=max(120.0, 60 + 4 * settings.SYNC_SECONDS))


def readiness() -> str:
    """ "ready", "database" or "sync"; the last when no watched sandbox was tried lately."""
    try:
        ChainHead.objects.filter(pk=1).exists()
        watched = list(
            Sandbox.objects.filter(watched=True, organization__retired_at=None).values_list(
                "last_read_at", "last_error_at", "connected_at"
            )
        )
    except DatabaseError:
        return "database"
    if not watched:
        return "ready"
    # A sandbox that Adobe refuses is tried, so sync lives; only silence is a fault of ours.
    tried = max((at for row in watched for at in row if at is not None), default=None)
    if tried is None or timezone.now() - tried > mirror_limit():
        return "sync"
    return "ready"
