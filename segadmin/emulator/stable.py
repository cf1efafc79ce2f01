"""Identifiers that are the same at every start: they are hashes of what they name."""

from __future__ import annotations

import base64
import hashlib
import uuid


def stable_digest(*parts: object) -> bytes:
    """32 bytes that depend on the parts alone."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()


def stable_uuid(*parts: object) -> str:
    """A UUID of version 4 in form, made of the parts."""
    return str(uuid.UUID(bytes=stable_digest(*parts)[:16], version=4))


def stable_hex(length: int, *parts: object) -> str:
    """`length` hexadecimal digits (64 at most), made of the parts."""
    return stable_digest(*parts).hex()[:length]


def stable_ulid(*parts: object) -> str:
    """26 characters that look like the identifiers Adobe gives to batches."""
    return "01" + base64.b32encode(stable_digest(*parts)).decode()[:24]


def stable_number(limit: int, *parts: object) -> int:
    """A number from 0 up to, not including, `limit`."""
    return int.from_bytes(stable_digest(*parts)[:8]) % limit
