"""What a pasted access token says of itself. It is read, not verified: only Adobe can do that."""

import base64
import json
from datetime import UTC, datetime
from typing import Any


def without_scheme(text: str) -> str:
    """The bare token of text such as "Authorization: Bearer eyJ…"."""
    words = text.split()
    return words[-1] if words else ""


def expiry(token: str) -> datetime | None:
    """When the token ends: Adobe's `created_at` plus `expires_in` (milliseconds), or the standard `exp` (seconds)."""
    content = _payload(token)
    created, lasts, ends = (_number(content.get(name)) for name in ("created_at", "expires_in", "exp"))
    milliseconds = created + lasts if created and lasts else (ends or 0) * 1000
    if not milliseconds:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).replace(microsecond=0)
    except (ValueError, OverflowError, OSError):
        return None


def _payload(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        content = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _number(value: object) -> int | None:
    """Adobe writes these numbers as texts."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None
