"""A client that counts what comes over the wire: one kept connection to loopback, no redirects, nothing decoded."""

import re
import socket
import time
import zlib
from dataclasses import dataclass, field
from typing import Self

import brotli

COOKIE = "segadmin-session"
# How a page's rows begin.
EVENT_ROW, REGISTER_ROW, JOB_ROW = '<details class="ev', '<tr id="entry-', "data-job-id="


@dataclass(frozen=True)
class Answer:
    """`wire` counts every byte of the answer, its head included; `seconds` runs until the last one is there."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    wire: int
    seconds: float

    @property
    def text(self) -> str:
        packed = self.headers.get("content-encoding")
        body: bytes = brotli.decompress(self.body) if packed == "br" else self.body
        return (zlib.decompress(body, 31) if packed == "gzip" else body).decode("utf-8")


class Wire:
    """GETs with one session on one connection, which is opened anew when the server closed it."""

    def __init__(self, port: int, session: str = "", *, timeout: float = 120.0) -> None:
        self._port, self._session, self._timeout = port, session, timeout
        self._socket: socket.socket | None = None
        self._rest = b""

    def get(self, path: str, **headers: str) -> Answer:
        """Header names are written with underscores. A connection that was closed while unused is tried once more."""
        try:
            return self._get(path, headers)
        except ConnectionError:
            self.close()
            return self._get(path, headers)

    def page(self, path: str) -> Answer:
        """A page that has to be there, as a browser asks for it."""
        answer = self.get(path, Accept_Encoding="gzip, deflate, br, zstd", Accept="text/html")
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        return answer

    def holds(self, path: str, pattern: str, rows: int) -> None:
        """A page is only measured when it really shows so many rows: an empty one is quick."""
        shown = len(re.findall(pattern, self.page(path).text))
        if shown < rows:
            raise RuntimeError(f"{path} shows {shown} rows instead of {rows}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _get(self, path: str, headers: dict[str, str]) -> Answer:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        if self._session:
            lines.append(f"Cookie: {COOKIE}={self._session}")
        asked = "\r\n".join([*lines, "", ""]).encode()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        self._socket.sendall(asked)
        head = self._until(b"\r\n\r\n")
        status, told = _head(head)
        body, size = self._body(status, told)
        seconds = time.perf_counter() - begun
        if told.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, told, body, len(head) + size, seconds)

    def _body(self, status: int, headers: dict[str, str]) -> tuple[bytes, int]:
        """The body, and how many bytes it took."""
        if status in (204, 304):
            return b"", 0
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        body = self._exactly(int(headers["content-length"]))
        return body, len(body)

    def _chunks(self) -> tuple[bytes, int]:
        parts: list[bytes] = []
        size = 0
        while True:
            line = self._until(b"\r\n")
            length = int(line.split(b";")[0], 16)
            part = self._exactly(length + 2)[:length]
            size += len(line) + length + 2
            if not length:
                return b"".join(parts), size
            parts.append(part)

    def _more(self) -> bytes:
        assert self._socket is not None
        block = self._socket.recv(1 << 18)
        if not block:
            raise ConnectionResetError("the server closed the connection")
        return block

    def _until(self, mark: bytes) -> bytes:
        kept = self._rest
        while (at := kept.find(mark)) < 0:
            kept += self._more()
        at += len(mark)
        self._rest = kept[at:]
        return kept[:at]

    def _exactly(self, size: int) -> bytes:
        blocks, have = [self._rest], len(self._rest)
        while have < size:
            block = self._more()
            blocks.append(block)
            have += len(block)
        kept = b"".join(blocks)
        self._rest = kept[size:]
        return kept[:size]


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split()[1]), {name.lower(): text.strip() for name, _colon, text in pairs}
