"""Hands lines to a log collector of the company's own: a file for a forwarder, syslog over TCP or TLS, or https.

It isn't Adobe's API, but this is the one room that speaks to other machines. Who runs segadmin names the collector in the
environment, so any address will do, also one inside of the network; nothing a person types on a page gets here.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import requests

from segadmin.aep.errors import Unavailable
from segadmin.aep.refusals import fault_sentence
from segadmin.aep.wire import Deadline, Fault, exchange, make_session

FILE, SYSLOG, SYSLOG_TLS, WEB = "file", "syslog+tcp", "syslog+tls", ("https", "http")
PORTS = {SYSLOG: 601, SYSLOG_TLS: 6514}
_MAX_BYTES = 65_536
# RFC 5424: facility 13 is "log audit"; 6 is informational, 4 a warning.
_FACILITY, _INFORMATIONAL, _WARNING = 13, 6, 4


class Collector(Protocol):
    """Where lines go, as segadmin.environment reads it. Neither `url`, whose path and query may let people in, nor
    `authorization` (the value of that header) is ever shown."""

    @property
    def kind(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def authorization(self) -> str: ...


class Line(Protocol):
    """One record: its number, when, what (for syslog's MSGID), whether it went wrong, and the text, ASCII without breaks."""

    @property
    def number(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def what(self) -> str: ...
    @property
    def is_bad(self) -> bool: ...
    @property
    def text(self) -> str: ...


def hand_over(
    collector: Collector,
    lines: Sequence[Line],
    *,
    host: str,
    proxy: str | None = None,
    ca_file: str | None = None,
    deadline_seconds: float = 15.0,
) -> None:
    """Give all lines, in order. `host` names this installation. Raises Unavailable with a sentence; some may have arrived."""
    if collector.kind == FILE:
        _append(Path(unquote(urlsplit(collector.url).path)), lines)
    elif collector.kind in WEB:
        _post(collector, lines, proxy, ca_file, deadline_seconds)
    else:
        _syslog(collector, lines, host, ca_file, deadline_seconds)


def _append(path: Path, lines: Sequence[Line]) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            data = memoryview("".join(f"{line.text}\n" for line in lines).encode("ascii"))
            if _ends_within_a_line(descriptor):  # a process was killed, or the disk was full
                file.write(b"\n")
            while data:
                data = data[file.write(data) :]
            os.fsync(descriptor)
    except OSError as error:
        raise Unavailable(f"The file could not be written: {error.strerror or 'error'}.", code="file") from None


def _ends_within_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _post(
    collector: Collector, lines: Sequence[Line], proxy: str | None, ca_file: str | None, deadline_seconds: float
) -> None:
    headers = {"User-Agent": "segadmin", "Content-Type": "application/x-ndjson"}
    if collector.authorization:
        headers["Authorization"] = collector.authorization
    body = "".join(f"{line.text}\n" for line in lines).encode("ascii")
    name = urlsplit(collector.url).hostname or "the collector"
    try:
        with make_session(proxy=proxy, ca_file=ca_file) as session:
            reply = exchange(
                session,
                requests.Request("POST", collector.url, data=body, headers=headers),
                deadline=Deadline(deadline_seconds),
                max_bytes=_MAX_BYTES,
                private_ok=True,
            )
    except Fault as fault:
        raise Unavailable(fault_sentence(fault, name), code=fault.kind) from None
    if not 200 <= reply.status < 300:
        raise Unavailable(f"{name} answered with status {reply.status}.", status=reply.status)


def _syslog(
    collector: Collector, lines: Sequence[Line], host: str, ca_file: str | None, deadline_seconds: float
) -> None:
    """RFC 5424 with the length before each message (RFC 5425, 6587). Syslog confirms nothing: a broken connection tells
    that lines may be lost, and an unbroken one that they left here."""
    parts = urlsplit(collector.url)
    name, deadline = parts.hostname or "", Deadline(deadline_seconds)
    data = b"".join(_framed(line, host) for line in lines)
    try:
        with socket.create_connection((name, parts.port or PORTS[collector.kind]), deadline.remaining()) as plain:
            if collector.kind == SYSLOG:
                _pour(plain, data, deadline)
                return
            context = ssl.create_default_context(cafile=ca_file)
            with context.wrap_socket(plain, server_hostname=name) as sealed:
                _pour(sealed, data, deadline)
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"The certificate of {name} can't be trusted: {error.verify_message}.", code="certificate"
        ) from None
    except TimeoutError:
        raise Unavailable(f"{name} did not take the lines in time.", code="deadline") from None
    except OSError as error:
        raise Unavailable(
            f"{name} could not be reached: {error.strerror or 'connection broken'}.", code="broken"
        ) from None


def _pour(connection: socket.socket, data: bytes, deadline: Deadline) -> None:
    """All of it, then wait for the other side to close, which shows a connection that broke meanwhile."""
    view = memoryview(data)
    while view:
        connection.settimeout(max(deadline.remaining(), 0.001))
        view = view[connection.send(view[:_MAX_BYTES]) :]
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(max(min(deadline.remaining(), 1.0), 0.001))
        _farewell(connection)
        return
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(max(min(deadline.remaining(), 1.0), 0.001))
    try:
        while connection.recv(_MAX_BYTES):
            pass
    except TimeoutError:
        pass  # it keeps the connection open, and has it all as far as can be told


def _farewell(connection: ssl.SSLSocket) -> None:
    try:
        connection.unwrap()
    except (ssl.SSLError, TimeoutError):
        pass  # many collectors close without TLS's own farewell
    except OSError as error:
        if error.errno is not None:
            raise


def _framed(line: Line, host: str) -> bytes:
    severity = _WARNING if line.is_bad else _INFORMATIONAL
    at = line.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    head = f"<{_FACILITY * 8 + severity}>1 {at} {_word(host, 255)} segadmin {line.number} {_word(line.what, 32)} - "
    message = f"{head}{line.text}".encode("ascii")
    return b"%d %s" % (len(message), message)


def _word(text: str, most: int) -> str:
    """A header field of syslog: printable ASCII without blanks, or a dash."""
    return "".join(char for char in text if "!" <= char <= "~")[:most] or "-"
