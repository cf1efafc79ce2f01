"""One HTTP exchange, fenced in: total deadline, size cap, peer address, no redirects, nothing from the environment.

This module says what happened on the wire (`Fault`); what it means is for `transport` and `tokens` to say.
"""

from __future__ import annotations

import contextlib
import contextvars
import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import requests
from urllib3 import exceptions as u3

from segadmin.aep.connections import CONNECT_SECONDS, make_session, refused_address
from segadmin.aep.guard import Deadline, Fault, Guard

__all__ = [
    "Deadline",
    "Fault",
    "RawReply",
    "ambient_remaining",
    "exchange",
    "make_session",
    "refused_address",
    "within",
]

_CHUNK = 65_536

_AMBIENT: contextvars.ContextVar[Deadline | None] = contextvars.ContextVar("aep_deadline", default=None)


@contextlib.contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Everything that is done inside (getting a token, say) shares this deadline."""
    mark = _AMBIENT.set(deadline)
    try:
        yield
    finally:
        _AMBIENT.reset(mark)


def ambient_remaining() -> float | None:
    """Seconds left of the operation this is part of; None when it is part of none."""
    deadline = _AMBIENT.get()
    return None if deadline is None else deadline.remaining()


@dataclass(frozen=True)
class RawReply:
    """A complete answer: its body was read to the end and decoded from any content encoding."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def exchange(
    session: requests.Session,
    request: requests.Request,
    *,
    deadline: Deadline,
    max_bytes: int,
    private_ok: bool,
) -> RawReply:
    """Send one request and read its whole answer, or raise `Fault`. `private_ok`: skip the peer address check."""
    guard = Guard(deadline, private_ok)
    if deadline.remaining() <= 0:
        raise Fault("deadline", maybe_sent=False)
    with guard:
        try:
            prepared = session.prepare_request(request)
            _check_headers(prepared)
        except (requests.RequestException, ValueError, u3.HTTPError):
            # The exception would quote the header or address that is wrong, and headers hold the token.
            raise Fault("settings", maybe_sent=False) from None
        try:
            reply = _send(session, prepared, deadline, max_bytes)
        except Fault as fault:
            raise (Fault("deadline", maybe_sent=fault.maybe_sent) if guard.expired else fault) from None
        except (requests.RequestException, u3.HTTPError, OSError, http.client.HTTPException, ValueError) as broken:
            raise guard.fault(broken) from None
        if guard.expired:
            raise Fault("deadline", maybe_sent=True)
    return reply


def _check_headers(prepared: requests.PreparedRequest) -> None:
    """Refuse what only fails once the connection is open, when it can't be told any more that nothing was sent."""
    for value in prepared.headers.values():
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise ValueError("a header can't be sent")


def _send(
    session: requests.Session, prepared: requests.PreparedRequest, deadline: Deadline, max_bytes: int
) -> RawReply:
    left = max(deadline.remaining(), 0.001)
    with session.send(
        prepared, stream=True, allow_redirects=False, timeout=(min(CONNECT_SECONDS, left), left)
    ) as response:
        declared = response.headers.get("Content-Length", "")
        if declared.isdigit() and int(declared[:18]) > max_bytes:
            raise Fault("too_large", maybe_sent=True)
        chunks, size = [], 0
        while chunk := response.raw.read(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > max_bytes:
                raise Fault("too_large", maybe_sent=True)
            chunks.append(chunk)
        return RawReply(response.status_code, response.headers, b"".join(chunks))
