"""Putting an answer on the wire, properly or with a fault."""

from __future__ import annotations

import gzip
import json
import select
import socket
import struct
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.client import responses as phrases
from typing import Final

from segadmin.emulator.errors import error_body
from segadmin.emulator.faults import Fault
from segadmin.emulator.messages import Response

_HTML: Final = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"
_CHUNK: Final = 1 << 16
_MEMBER: Final = 1 << 24


def faulty_response(fault: Fault, real: Response | None) -> Response:
    """The answer that a fault leaves: its own when it has one, else the real one with its changes."""
    response = real or Response(200)
    if fault.no_content:
        response = Response(204)
    elif fault.redirect is not None:
        response = Response(fault.status or 302, b"", {"Location": fault.redirect})
    elif fault.body is not None:
        text = fault.body if isinstance(fault.body, str) else json.dumps(fault.body)
        response = Response(fault.status or 200, text.encode(), {"Content-Type": "application/json"})
    elif fault.status is not None or fault.shape in ("html", "empty"):
        response = _shaped(fault)
    if fault.content_type is not None:
        response.headers["Content-Type"] = fault.content_type
    if fault.retry_after is not None:
        response.headers["Retry-After"] = fault.retry_after
    response.headers.update(fault.headers)
    return response


def _shaped(fault: Fault) -> Response:
    status = fault.status or 200
    if fault.shape == "empty":
        return Response(status)
    if fault.shape == "html":
        return Response(status, _HTML, {"Content-Type": "text/html; charset=utf-8"})
    body = json.dumps(error_body(fault.shape, status, fault.message)).encode()
    return Response(status, body, {"Content-Type": "application/json"})


def date_now() -> str:
    """The clock of this Adobe, in the form of a header."""
    return formatdate(usegmt=True)


def head_of(response: Response, length: int | None, *, close: bool) -> bytes:
    """Status line and headers. `length` None leaves the end of the body to the closing of the connection."""
    lines = [f"HTTP/1.1 {response.status} {phrases.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in ({"Date": date_now()} | response.headers).items()]
    if length is not None and response.status != 204:
        lines.append(f"Content-Length: {length}")
    if close or length is None:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class Wire:
    """One client's socket. Every wait ends when the server stops or the client goes away."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self._socket = connection
        self._stopping = stopping

    def send(self, response: Response, fault: Fault | None) -> bool:
        """Send the answer; true when the connection may be used again."""
        if fault is None:
            self._socket.sendall(head_of(response, len(response.body), close=False) + response.body)
            return True
        if fault.latency and not self._wait(fault.latency):
            return False
        if fault.hang:
            while self._wait(3600):
                pass
            return False
        if fault.reset:
            self._reset()
            return False
        if fault.cut or fault.lost_answer:
            return False
        return self._send_faulty(response, fault)

    def _send_faulty(self, response: Response, fault: Fault) -> bool:
        if fault.gzip_bomb is not None:
            response.headers |= {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            return self._stream(response, None, _bomb(fault.gzip_bomb))
        if fault.oversize is not None:
            response.headers["Content-Type"] = "application/json"
            return self._stream(response, fault.oversize, _padding(fault.oversize))
        head = head_of(response, len(response.body), close=fault.drip is not None or fault.truncate is not None)
        body = response.body if response.status != 204 else b""
        if fault.truncate is not None:
            self._socket.sendall(head + body[: fault.truncate])
            return False
        if fault.drip == "headers":
            self._drip(head + body, fault.drip_interval)
            return False
        if fault.drip == "body":
            self._socket.sendall(head)
            self._drip(body, fault.drip_interval)
            return False
        self._socket.sendall(head + body)
        return True

    def _stream(self, response: Response, length: int | None, pieces: Iterator[bytes]) -> bool:
        self._socket.sendall(head_of(response, length, close=True))
        for piece in pieces:
            if self._stopping.is_set():
                break
            self._socket.sendall(piece)
        return False

    def _drip(self, data: bytes, interval: float) -> None:
        for index in range(len(data)):
            self._socket.sendall(data[index : index + 1])
            if not self._wait(interval):
                return

    def _reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _wait(self, seconds: float) -> bool:
        """Wait; false when the server stops or the client has closed its end."""
        waited = 0.0
        while waited < seconds:
            step = min(0.1, seconds - waited)
            if self._stopping.wait(step):
                return False
            waited += step
            readable, _, _ = select.select([self._socket], [], [], 0)
            if readable and not self._socket.recv(1, socket.MSG_PEEK):
                return False
        return True


def _padding(size: int) -> Iterator[bytes]:
    """Valid JSON of `size` bytes, nearly all of it blanks."""
    start, end = b'{"records":[', b"]}"
    yield start
    left = max(0, size - len(start) - len(end))
    while left:
        step = min(left, _CHUNK)
        yield b" " * step
        left -= step
    yield end


def _bomb(size: int) -> Iterator[bytes]:
    """About `size` bytes of JSON once unpacked, as gzip members of 16 MiB each."""
    yield gzip.compress(b'{"records":[', mtime=0)
    member = gzip.compress(b" " * _MEMBER, mtime=0)
    for _ in range(max(1, size // _MEMBER)):
        yield member
    yield gzip.compress(b"]}", mtime=0)
