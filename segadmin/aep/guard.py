"""What watches over one HTTP exchange: its deadline, its sockets, and what broke when it broke.

`requests` timeouts bound neither headers nor a body that arrive byte by byte, so a timer shuts the socket at the
deadline. After that `http.client` may report a clean answer with cut headers: `Guard.expired` is looked at first.
"""

from __future__ import annotations

import contextlib
import contextvars
import http.client
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import requests
from urllib3 import exceptions as u3

_TIMER_SLACK_SECONDS = 0.1


class Fault(Exception):
    """The exchange broke. `kind` is one word; `maybe_sent` whether any of the request may have left this machine."""

    def __init__(self, kind: str, *, maybe_sent: bool, detail: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.maybe_sent = maybe_sent
        self.detail = detail


class Deadline:
    """A moment on the monotonic clock by which something must be over."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def remaining(self) -> float:
        """Seconds left; 0 or less when it is over."""
        return self._end - self._clock()


class Guard:
    """Watches the socket of one exchange: shuts it at the deadline and remembers how far things got."""

    def __init__(self, deadline: Deadline, private_ok: bool) -> None:
        self.deadline = deadline
        self.private_ok = private_ok
        self.opening = False
        self.connected = False
        self.refused_address = False
        self.expired = False
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer: threading.Timer | None = None
        self._mark: contextvars.Token[Guard | None] | None = None

    def __enter__(self) -> Self:
        self._mark = GUARD.set(self)
        self._timer = threading.Timer(max(self.deadline.remaining(), 0.0), self._expire)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._mark is not None:
            GUARD.reset(self._mark)
        with self._lock:
            for watched in self._watched:
                watched.close()
            self._watched.clear()

    def watch(self, sock: socket.socket) -> None:
        """Keep a second handle on the connection: TLS detaches the first one from its descriptor."""
        handle = socket.socket(fileno=os.dup(sock.fileno()))
        with self._lock:
            self._watched.append(handle)
            if self.expired:
                _shut(handle)

    def fault(self, broken: Exception) -> Fault:
        """The broken exchange in one word."""
        kind, detail = _kind_of(broken)
        if self.refused_address:
            kind = "address"
        # The socket's own timeout is the time that was left, so it may come a moment before the timer.
        if self.expired or (kind == "timeout" and self.deadline.remaining() < _TIMER_SLACK_SECONDS):
            kind = "deadline"
        # A session that never came to our own connection classes (a patched one) leaves only the exception to judge by.
        maybe_sent = self.connected if self.opening or self.connected else kind not in _SURELY_UNSENT
        return Fault(kind, maybe_sent=maybe_sent, detail=detail)

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            for watched in self._watched:
                _shut(watched)


GUARD: contextvars.ContextVar[Guard | None] = contextvars.ContextVar("aep_guard", default=None)
_SURELY_UNSENT = frozenset({"dns", "refused", "connect_timeout", "tls_certificate", "tls", "unreachable", "proxy"})


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _chain(broken: BaseException) -> Iterator[BaseException]:
    """The exception and everything it wraps, however it wraps it."""
    waiting: list[object] = [broken]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            waiting += [getattr(item, "reason", None), item.__cause__, item.__context__, *item.args]


def _kind_of(broken: Exception) -> tuple[str, str]:
    chain = list(_chain(broken))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(item, kinds) for item in chain)

    for item in chain:
        if isinstance(item, ssl.SSLCertVerificationError):
            return "tls_certificate", re.sub(r"[^\x20-\x7e]", "", str(item.verify_message or ""))[:200]
    for kind, types in _KINDS:
        if has(*types):
            return kind, ""
    return "broken", ""


_KINDS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("dns", (u3.NameResolutionError, socket.gaierror)),
    ("proxy", (requests.exceptions.ProxyError, u3.ProxyError)),
    ("refused", (ConnectionRefusedError,)),
    ("unreachable", (u3.NewConnectionError,)),
    # After the two above: urllib3 derives its NewConnectionError from ConnectTimeoutError.
    ("connect_timeout", (requests.exceptions.ConnectTimeout, u3.ConnectTimeoutError)),
    ("timeout", (requests.exceptions.ReadTimeout, u3.ReadTimeoutError, TimeoutError)),
    ("truncated", (u3.IncompleteRead, http.client.IncompleteRead)),
    ("reset", (ConnectionError, http.client.RemoteDisconnected)),
    ("tls", (requests.exceptions.SSLError, ssl.SSLError, u3.SSLError)),
    ("decode", (u3.DecodeError, requests.exceptions.ContentDecodingError)),
)
