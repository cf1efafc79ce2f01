"""Calls to Adobe with everything that they need: headers, deadline, retries for reading only, typed errors.

`get` is repeated with jittered backoff while its deadline lasts. `post` and `delete` go over a fresh connection (a
kept-alive one that has gone stale would look like an unknown outcome) and are never repeated, with one exception: a
401 is refused before anything is processed, so the token is renewed once and the call sent once more.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests

from segadmin.aep.addresses import ADOBE_HOSTS, host_and_port, listed_explicitly, quote_id, validate_url
from segadmin.aep.errors import (
    AEPError,
    OutcomeUnknown,
    Unavailable,
    clean_id,
    http_date,
    looks_like_error,
)
from segadmin.aep.payload import decode_json
from segadmin.aep.refusals import Answer, error_from_answer, fault_sentence
from segadmin.aep.tokens import TokenSource
from segadmin.aep.wire import Deadline, Fault, exchange, make_session, within

__all__ = ["ADOBE_HOSTS", "Connection", "Reply", "Transport", "quote_id", "validate_url"]

MAX_SENDS = 4
_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 8.0
_RETRIED = frozenset({429, 500, 502, 503, 504})
_RETRIED_FAULTS = frozenset(
    {"dns", "refused", "unreachable", "connect_timeout", "timeout", "reset", "broken", "truncated", "proxy"}
)
# A POST that starts with less time than this share of the deadline would only produce an unknown outcome.
_LEAST_SHARE_TO_SEND = 1 / 3
_API_PREFIX = "/data/core/ups"
_SANDBOX_HEADER = "x-sandbox-name"


@dataclass(frozen=True)
class Connection:
    """Where and as whom to call. `deadline_seconds` bounds a whole call: token, sends, waits, headers and body.

    `allowed_hosts`: host names, and `host:port` entries (which also permit private addresses). `allow_private` switches
    the peer address check off. `proxy` is the only proxy ever used; the address check is then the proxy's.
    """

    api_url: str
    client_id: str
    ims_org_id: str
    sandbox_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    deadline_seconds: float = 15.0
    max_bytes: int = 16 * 2**20
    allowed_hosts: frozenset[str] = field(default=ADOBE_HOSTS, repr=False)
    allow_private: bool = False

    @property
    def base_url(self) -> str:
        """The address that paths are appended to: no slash at the end, and not the API's own first path parts."""
        return self.api_url.rstrip("/").removesuffix(_API_PREFIX)


@dataclass(frozen=True)
class Reply:
    """A usable answer. `json` is None for an empty body; `date` is Adobe's clock.

    `request_id` is the `x-request-id` we sent last, `sent_request_ids` are all of them. `unreadable` is set only where
    the caller asked for it: the call succeeded by its status, but the body can't be read, and says why.
    """

    status: int
    json: Any
    headers: Mapping[str, str]
    request_id: str
    adobe_request_id: str | None
    date: datetime | None
    sent_request_ids: list[str]
    unreadable: str | None = None


class Transport:
    """Calls over one connection. Safe to use from several threads.

    `clock` is monotonic seconds, `sleep` waits that many seconds, `rng` gives numbers from 0 to 1 for the jitter.
    """

    def __init__(
        self,
        connection: Connection,
        tokens: TokenSource,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.connection = connection
        self._tokens = tokens
        self._clock = clock
        self._sleep = sleep
        self._rng = rng
        self._lock = threading.Lock()
        self._session: requests.Session | None = None

    def __repr__(self) -> str:
        return f"Transport({self.connection!r})"

    def close(self) -> None:
        """Close kept-alive connections; the transport stays usable."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def get(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Read. Raises any `AEPError` but `OutcomeUnknown`."""
        return _Call(self, "GET", path, params, None, headers).read()

    def post(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        unreadable_ok: bool = False,
    ) -> Reply:
        """Send once. `OutcomeUnknown` if it may have happened, any other `AEPError` if it surely did not.

        `unreadable_ok`: a 2xx whose body can't be read comes back as a Reply with `unreadable` set.
        """
        return _Call(self, "POST", path, params, {} if json is None else json, headers).write(unreadable_ok)

    def delete(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """As `post`, without a body."""
        return _Call(self, "DELETE", path, params, None, headers).write(unreadable_ok=False)

    def kept_session(self) -> requests.Session:
        """The session for reading, with its kept-alive connections."""
        with self._lock:
            if self._session is None:
                self._session = self.fresh_session()
            return self._session

    def fresh_session(self) -> requests.Session:
        """A session with no connection open yet."""
        return make_session(proxy=self.connection.proxy, ca_file=self.connection.ca_file)


class _Call:
    """One call with its deadline, its sends and their request ids."""

    def __init__(
        self,
        transport: Transport,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: Any,
        headers: Mapping[str, str] | None,
    ) -> None:
        if not path.startswith("/"):
            raise ValueError("A path begins with a slash.")
        self.transport = transport
        self.connection = transport.connection
        self.method = method
        self.path = path
        self.params = dict(params or {})
        self.body = body
        self.extra_headers = dict(headers or {})
        self.deadline = Deadline(self.connection.deadline_seconds, transport._clock)
        self.sent: list[str] = []
        self.token = ""

    # Reading -----------------------------------------------------------------------------------------------------

    def read(self) -> Reply:
        self._take_token()
        renewed = False
        while True:
            outcome: Answer | Fault
            try:
                outcome = self._send(self.transport.kept_session)
            except Fault as fault:
                outcome = fault
            if isinstance(outcome, Answer) and outcome.status == 401 and not renewed:
                renewed = True
                self._renew_token()
                continue
            wait = self._retry_wait(outcome)
            if wait is None:
                return self._read_result(outcome)
            self.transport._sleep(wait)

    def _retry_wait(self, outcome: Answer | Fault) -> float | None:
        """Seconds to wait before sending again; None when this outcome is final."""
        asked: float | None = None
        if isinstance(outcome, Fault):
            if outcome.kind not in _RETRIED_FAULTS:
                return None
        elif outcome.status in _RETRIED:
            asked = outcome.details.retry_after
        else:
            return None
        if len(self.sent) >= MAX_SENDS:
            return None
        backoff = min(_BACKOFF_SECONDS * 2.0 ** (len(self.sent) - 1), _MAX_BACKOFF_SECONDS)
        wait = asked if asked is not None else backoff * (0.5 + self.transport._rng() / 2)
        return wait if wait < self.deadline.remaining() else None

    def _read_result(self, outcome: Answer | Fault) -> Reply:
        if isinstance(outcome, Fault):
            raise self._broken(outcome, Unavailable)
        if not 200 <= outcome.status < 300:
            raise self._annotated(error_from_answer(outcome, writing=False))
        reply = self._reply(outcome)
        if reply.unreadable:
            raise self._annotated(
                Unavailable(reply.unreadable, status=outcome.status, code=outcome.problem_code), outcome
            )
        if looks_like_error(reply.json):
            raise self._annotated(error_from_answer(outcome, writing=False))
        return reply

    # Writing -----------------------------------------------------------------------------------------------------

    def write(self, unreadable_ok: bool) -> Reply:
        try:
            self._take_token()
        except AEPError as error:
            error.not_sent = True
            raise
        least = self.connection.deadline_seconds * _LEAST_SHARE_TO_SEND
        if self.deadline.remaining() < least:
            raise Unavailable(
                "Getting an access token took so long that nothing was sent.", code="deadline", not_sent=True
            )
        answer = self._send_once()
        if answer.status == 401:
            try:
                self._renew_token()
            except AEPError as error:
                error.not_sent = True
                raise
            answer = self._send_once()
        return self._write_result(answer, unreadable_ok)

    def _send_once(self) -> Answer:
        try:
            return self._send(self.transport.fresh_session, closing=True)
        except Fault as fault:
            raise self._broken(fault, OutcomeUnknown if fault.maybe_sent else Unavailable) from None

    def _write_result(self, answer: Answer, unreadable_ok: bool) -> Reply:
        if not 200 <= answer.status < 300:
            raise self._annotated(error_from_answer(answer, writing=True))
        reply = self._reply(answer)
        if reply.unreadable and not unreadable_ok:
            message = f"{reply.unreadable} It is not known whether the request was carried out."
            raise self._annotated(OutcomeUnknown(message, status=answer.status, code=answer.problem_code), answer)
        if looks_like_error(reply.json):
            raise self._annotated(error_from_answer(answer, writing=True))
        return reply

    # Both --------------------------------------------------------------------------------------------------------

    def _take_token(self) -> None:
        with within(self.deadline):
            self.token = self.transport._tokens.get()

    def _renew_token(self) -> None:
        try:
            with within(self.deadline):
                self.token = self.transport._tokens.refresh(self.token)
        except AEPError as error:
            error.sent_request_ids = [*self.sent, *error.sent_request_ids]
            raise

    def _send(self, session_for: Callable[[], requests.Session], *, closing: bool = False) -> Answer:
        connection = self.connection
        if validate_url(connection.api_url, connection.allowed_hosts) is not None:
            raise Fault("address_not_allowed", maybe_sent=False)
        request = requests.Request(
            self.method,
            connection.base_url + self.path,
            params=self.params,
            headers=self._headers(),
            json=self.body,
        )
        session = session_for()
        try:
            raw = exchange(
                session,
                request,
                deadline=self.deadline,
                max_bytes=connection.max_bytes,
                private_ok=connection.allow_private
                or connection.proxy is not None
                or listed_explicitly(*host_and_port(connection.base_url), connection.allowed_hosts),
            )
        finally:
            if closing:
                session.close()
        return Answer(raw, hide=(self.token,), host=self._host())

    def _headers(self) -> dict[str, str]:
        """Adobe's headers, with an `x-request-id` of its own for every send."""
        self.sent.append(str(uuid.uuid4()))
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "segadmin",
            **self.extra_headers,
            "Authorization": f"Bearer {self.token}",
            "x-api-key": self.connection.client_id,
            "x-gw-ims-org-id": self.connection.ims_org_id,
            "x-request-id": self.sent[-1],
        }
        if self.connection.sandbox_name:
            headers[_SANDBOX_HEADER] = self.connection.sandbox_name
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _reply(self, answer: Answer) -> Reply:
        value, unreadable = None, answer.problem
        if unreadable is None and answer.raw.body.strip():
            try:
                value = decode_json(answer.raw.body)
            except ValueError:
                unreadable = "Adobe's answer could not be read as JSON."
        headers = {name.lower(): text for name, text in answer.raw.headers.items()}
        return Reply(
            status=answer.status,
            json=value,
            headers=headers,
            request_id=self.sent[-1],
            adobe_request_id=clean_id(headers.get("x-request-id")),
            date=http_date(headers.get("date")),
            sent_request_ids=list(self.sent),
            unreadable=unreadable,
        )

    def _broken(self, fault: Fault, kind: type[AEPError]) -> AEPError:
        message = fault_sentence(fault, self._host())
        if kind is OutcomeUnknown:
            message += " It is not known whether the request was carried out."
        elif self.method != "GET":
            message += " Nothing was sent."
        code = fault.kind
        return self._annotated(kind(message, code=code, not_sent=not fault.maybe_sent and self.method != "GET"))

    def _annotated(self, error: AEPError, answer: Answer | None = None) -> AEPError:
        error.sent_request_ids = list(self.sent)
        if answer is not None:
            error.adobe_request_id = answer.details.request_id
        return error

    def _host(self) -> str:
        return host_and_port(self.connection.base_url)[0] or "the API host"
