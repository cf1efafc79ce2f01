"""How often one person may send. Counted in the shared cache, so across all processes."""

from django.core.cache import cache
from django.utils import timezone

SENDS_A_MINUTE = 20


def spend(what: str, name: str, a_minute: int = SENDS_A_MINUTE) -> bool:
    """Count one use; False when this person has used up the minute."""
    key = f"limit:{what}:{name.encode().hex()[:120]}:{timezone.now():%d%H%M}"
    if cache.add(key, 1, 120):
        return True
    try:
        return int(cache.incr(key)) <= a_minute
    except ValueError:  # it ran out between the two
        return True
