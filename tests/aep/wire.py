"""A server on raw sockets that misbehaves as told, and remembers every byte that it was sent."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

DRIP_SECONDS = 0.05


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    raw: bytes
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Exchange:
    """What a behaviour works with. `closing` is set when the server ends, so that nothing waits for ever."""

    socket: socket.socket
    seen: Seen
    closing: threading.Event


# Returns whether the connection is kept open for another request.
type Behaviour = Callable[[Exchange], bool]


def head(status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} Something"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(content: Any = None, status: int = 200, keep: bool = True, **headers: str) -> Behaviour:
    """A well-formed answer; `content` is bytes, or JSON. Header names are written with underscores."""
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), **named}

    def behave(exchange: Exchange) -> bool:
        exchange.socket.sendall(head(status, sent) + body)
        return keep

    return behave


def raw(data: bytes) -> Behaviour:
    """Exactly these bytes, then the end of the connection."""

    def behave(exchange: Exchange) -> bool:
        exchange.socket.sendall(data)
        return False

    return behave


def hang(exchange: Exchange) -> bool:
    """No answer until the server ends."""
    exchange.closing.wait()
    return False


def lose(exchange: Exchange) -> bool:
    """The request arrived, and the connection ends without a word."""
    return False


def reset(exchange: Exchange) -> bool:
    """The connection is reset instead of answered."""
    exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def drip(data: bytes) -> Behaviour:
    """The bytes one by one."""

    def behave(exchange: Exchange) -> bool:
        for number in range(len(data)):
            exchange.socket.sendall(data[number : number + 1])
            if exchange.closing.wait(DRIP_SECONDS):
                break
        return False

    return behave


def endless(first: bytes, then: bytes) -> Behaviour:
    """A beginning, and then the same bytes for as long as anybody takes them."""

    def behave(exchange: Exchange) -> bool:
        exchange.socket.sendall(first)
        while not exchange.closing.is_set():
            exchange.socket.sendall(then)
        return False

    return behave


def gzip_bomb(decoded_bytes: int) -> Behaviour:
    """A small answer that decodes to that many bytes."""
    body = gzip.compress(b" " * decoded_bytes)
    return answer(body, Content_Encoding="gzip")


@dataclass
class WireServer:
    """Serves on loopback. Requests take the behaviours in order, and the last one again and again."""

    behaviours: list[Behaviour]
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.place = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.place}"
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.append(connection)
                self.connections += 1
                number = self.connections
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ssl.SSLError), connection:
            wrapped = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            with wrapped:
                reader = wrapped.makefile("rb")
                for seen in _requests(reader, number):
                    with self._lock:
                        behave = self.behaviours[min(len(self.seen), len(self.behaviours) - 1)]
                        self.seen.append(seen)
                    if not behave(Exchange(wrapped, seen, self.closing)):
                        reader.close()
                        return


def _requests(reader: Any, number: int) -> Iterator[Seen]:
    while first := reader.readline(1000):
        if first.count(b" HTTP/1.") != 1:
            yield Seen("", "", {}, b"", first, number)  # no HTTP, such as the beginning of a TLS handshake
            return
        received, headers = first, {}
        while (line := reader.readline()) not in (b"\r\n", b"\n", b""):
            received += line
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", "0")))
        method, target, _ = first.decode("latin-1").split(" ", 2)
        yield Seen(method, target, headers, body, received + b"\r\n" + body, number)


type Serve = Callable[..., WireServer]
