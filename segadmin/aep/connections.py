"""Sessions whose connections report to the guard of the exchange they serve, and go to public addresses only."""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import exceptions as u3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import create_connection
from urllib3.util.ssl_ import create_urllib3_context

from segadmin.aep.guard import GUARD, Deadline, Fault, Guard

CONNECT_SECONDS = 10.0
# Azure's host agent answers on a public-looking address and hands out credentials.
_METADATA = frozenset({"168.63.129.16"})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def make_session(*, proxy: str | None, ca_file: str | None) -> requests.Session:
    """A session that takes nothing from the environment, keeps no cookies and always verifies certificates.

    `ca_file` is trusted besides the usual authorities. Raises `Fault("ca_file")` when it can't be read.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if proxy:
        session.proxies = {"http": proxy, "https": proxy}
    adapter = _Adapter(_tls_context(ca_file))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _tls_context(ca_file: str | None) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    context = create_urllib3_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ValueError):
        raise Fault("ca_file", maybe_sent=False) from None
    return context


class _Adapter(HTTPAdapter):
    """The ordinary adapter, with connections that report to the guard of the exchange they serve."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        if self._context is not None:
            pool_kwargs["ssl_context"] = self._context
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        if self._context is not None:
            proxy_kwargs["ssl_context"] = self._context
            proxy_kwargs["proxy_ssl_context"] = self._context
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _GuardedHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _open_socket(self, self._dns_host)

    def connect(self) -> None:
        super().connect()
        _note_connected(None)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        _note_connected(self.sock)
        super().putrequest(*args, **kwargs)


class _GuardedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _open_socket(self, self._dns_host)

    def connect(self) -> None:
        super().connect()
        _note_connected(None)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        _note_connected(self.sock)
        super().putrequest(*args, **kwargs)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPS


_POOLS: dict[str, type[urllib3.HTTPConnectionPool]] = {"http": _HTTPPool, "https": _HTTPSPool}


def _note_connected(sock: socket.socket | None) -> None:
    """From here on something may be sent. A socket is given when it is a kept-alive one, not yet watched."""
    guard = GUARD.get()
    if guard is None:
        return
    if sock is None:
        guard.connected = guard.opening
    elif not guard.connected:
        guard.watch(sock)
        guard.connected = True


def _open_socket(connection: HTTPConnection, host: str) -> socket.socket:
    guard = GUARD.get()
    if guard is None:
        raise u3.NewConnectionError(connection, "connections are only opened within an exchange")
    guard.opening = True
    failure: Exception | None = None
    for address in _resolve(connection, host, guard.deadline):
        if not guard.private_ok and refused_address(address):
            guard.refused_address = True
            failure = u3.NewConnectionError(connection, "the address is not a public one")
            continue
        try:
            sock = create_connection(
                (address, connection.port or 443),
                timeout=max(min(CONNECT_SECONDS, guard.deadline.remaining()), 0.001),
                socket_options=connection.socket_options,
            )
        except TimeoutError as broken:
            failure = u3.ConnectTimeoutError(connection, "connecting took too long")
            failure.__cause__ = broken
            continue
        except OSError as broken:
            failure = u3.NewConnectionError(connection, "no connection")
            failure.__cause__ = broken
            continue
        return _checked_peer(connection, guard, sock)
    raise failure or u3.NewConnectionError(connection, "the name has no address")


def _checked_peer(connection: HTTPConnection, guard: Guard, sock: socket.socket) -> socket.socket:
    """The last word on the address: what the socket is really connected to, not what a name said a moment ago."""
    try:
        peer = str(sock.getpeername()[0])
    except OSError as broken:
        sock.close()
        raise u3.NewConnectionError(connection, "no connection") from broken
    if not guard.private_ok and refused_address(peer):
        guard.refused_address = True
        sock.close()
        raise u3.NewConnectionError(connection, "the address is not a public one")
    guard.refused_address = False
    guard.watch(sock)
    return sock


def _resolve(connection: HTTPConnection, host: str, deadline: Deadline) -> list[str]:
    """The host's addresses. In a thread of its own, because a name lookup can't be interrupted."""
    answer: queue.SimpleQueue[list[str] | OSError | UnicodeError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host.strip("[]"), connection.port or 443, type=socket.SOCK_STREAM)
            answer.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, UnicodeError) as broken:
            answer.put(broken)

    threading.Thread(target=look_up, daemon=True, name="aep-name-lookup").start()
    try:
        result = answer.get(timeout=max(deadline.remaining(), 0.001))
    except queue.Empty:
        result = socket.gaierror(socket.EAI_AGAIN, "the name lookup took too long")
    if isinstance(result, list):
        return result
    error = result if isinstance(result, socket.gaierror) else socket.gaierror(socket.EAI_NONAME, "not a host name")
    raise u3.NameResolutionError(host, connection, error) from result


def refused_address(address: str) -> bool:
    """Whether an address is none that a public service can have: private, loopback, link-local, metadata, reserved.

    IPv4 addresses hidden in IPv6 ones (mapped, 6to4, Teredo, NAT64) are judged by the address they hide.
    """
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return True
    if isinstance(ip, ipaddress.IPv6Address):
        hidden = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if hidden is None and ip in _NAT64:
            hidden = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if hidden is not None:
            return refused_address(str(hidden))
    return not ip.is_global or ip.is_multicast or str(ip) in _METADATA
