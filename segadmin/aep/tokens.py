"""Access tokens: obtained with client credentials, or pasted by a person.

Adobe may throttle a client that mints too many tokens, so one token serves every thread and process: it lives in a
`TokenStore`, and a lease taken by compare-and-set decides who may renew it. The others wait for the result.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import requests

from segadmin.aep.addresses import ADOBE_HOSTS, host_and_port, listed_explicitly, validate_url
from segadmin.aep.errors import AEPError, AuthFailed, RateLimited, Unavailable, retry_at_from
from segadmin.aep.payload import decode_json
from segadmin.aep.refusals import Answer, fault_sentence
from segadmin.aep.wire import Deadline, Fault, ambient_remaining, exchange, make_session

logger = logging.getLogger(__name__)

EARLY = timedelta(minutes=5)
GRACE = timedelta(minutes=1)
LONGEST_USE = timedelta(hours=23)
SHORT_LIFE = timedelta(minutes=25)  # below this, five minutes early would be more than a fifth of the token's life
ASSUMED_LIFE_SECONDS = 3_600.0
BACKOFF_SECONDS = 30.0
REFUSED_BACKOFF_SECONDS = 60.0
_LEASE_MARGIN_SECONDS = 5.0
_POLL_SECONDS = 0.05
_MAX_TOKEN_BYTES = 256 * 1024
_LONGEST_LIFE_SECONDS = 30 * 86_400.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,20000}")


@dataclass
class AccessToken:
    """A bearer token and until when to use it, which for fetched tokens is a while before Adobe's own end."""

    value: str = field(repr=False)
    expires_at: datetime

    def fresh(self) -> bool:
        """Whether it may be used without renewing it."""
        return datetime.now(UTC) < self.expires_at

    def usable(self) -> bool:
        """Whether it may be used while a new one can't be had: for another minute. A 401 would tell if it is over."""
        return datetime.now(UTC) < self.expires_at + GRACE


class TokenSource(Protocol):
    """Where a transport gets its token from. Both methods raise AEPError."""

    def get(self) -> str:
        """A token to use now."""
        ...

    def refresh(self, rejected: str) -> str:
        """Another token, since Adobe refused this one."""
        ...


class TokenStore(Protocol):
    """Shared memory of one credential's token. Every method is atomic across threads and processes."""

    def load(self) -> AccessToken | None:
        """The token saved last, even if it has expired."""
        ...

    def claim(self, seconds: float) -> bool:
        """Take the lease to renew the token for that long; False while somebody else holds it."""
        ...

    def save(self, token: AccessToken) -> None:
        """Keep a new token, end the lease and any backoff."""
        ...

    def fail(self, retry_at: datetime, error: AEPError) -> None:
        """End the lease; until `retry_at` nobody tries again."""
        ...

    def blocked(self) -> AEPError | None:
        """The error to raise instead of trying, while the backoff lasts."""
        ...


class MemoryTokenStore:
    """A TokenStore for one process: for testing a credential that is not saved yet, and for tests."""

    def __init__(self, token: AccessToken | None = None) -> None:
        self._lock = threading.Lock()
        self._token = token
        self._leased_until = -math.inf
        self._blocked_until: datetime | None = None
        self._error: AEPError | None = None

    def load(self) -> AccessToken | None:
        """See TokenStore."""
        with self._lock:
            return self._token

    def claim(self, seconds: float) -> bool:
        """See TokenStore."""
        with self._lock:
            now = time.monotonic()
            if now < self._leased_until:
                return False
            self._leased_until = now + seconds
            return True

    def save(self, token: AccessToken) -> None:
        """See TokenStore."""
        with self._lock:
            self._token = token
            self._leased_until = -math.inf
            self._blocked_until = self._error = None

    def fail(self, retry_at: datetime, error: AEPError) -> None:
        """See TokenStore."""
        with self._lock:
            self._leased_until = -math.inf
            self._blocked_until, self._error = retry_at, error.copy()

    def blocked(self) -> AEPError | None:
        """See TokenStore."""
        with self._lock:
            if self._error is None or self._blocked_until is None or datetime.now(UTC) >= self._blocked_until:
                return None
            return self._error.copy()


class PastedToken:
    """An access token that a person pasted, with the end that it has."""

    def __init__(self, value: str, expires_at: datetime) -> None:
        self._token = AccessToken("".join(value.split()), expires_at)

    def get(self) -> str:
        """The token; AuthFailed when it has expired or can't be one."""
        if not _TOKEN.fullmatch(self._token.value):
            raise AuthFailed("The pasted access token contains characters that no token has. Paste it again.")
        if not self._token.fresh():
            raise AuthFailed("The pasted access token has expired. Paste a new one.", code="expired")
        return self._token.value

    def refresh(self, rejected: str) -> str:  # noqa: ARG002 - there is only the one
        """Always AuthFailed: a pasted token can't be renewed."""
        raise AuthFailed("Adobe does not accept the pasted access token. Paste a new one.", status=401)


class ClientCredentials:
    """OAuth server-to-server: the token for a client id and secret, minted once however many ask.

    `client_secret` may be a function that is called only when a token is really fetched. The secret travels in the
    form body, never in an address. Times out after `deadline_seconds`, or earlier within a call's own deadline.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | Callable[[], str],
        scopes: str | Sequence[str],
        store: TokenStore,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
        allowed_hosts: Collection[str] = ADOBE_HOSTS,
        deadline_seconds: float = 15.0,
        allow_private: bool = False,
    ) -> None:
        self.token_url = token_url
        self.client_id = client_id
        self.scopes = ",".join(_scope_list(scopes))
        self._secret: Callable[[], str] = (lambda: client_secret) if isinstance(client_secret, str) else client_secret
        self._store = store
        self._proxy = proxy
        self._ca_file = ca_file
        self._allowed_hosts = frozenset(allowed_hosts)
        self._deadline_seconds = deadline_seconds
        self._allow_private = allow_private

    def __repr__(self) -> str:
        return f"ClientCredentials({self.token_url!r}, {self.client_id!r})"

    def get(self) -> str:
        """A token that is not due for renewal, or still usable while somebody else renews it."""
        token = self._store.load()
        if token is not None and token.fresh():
            return token.value
        return self._obtain(rejected=None)

    def refresh(self, rejected: str) -> str:
        """A token other than the rejected one; fetched only if nobody has done so already."""
        return self._obtain(rejected=rejected)

    def _obtain(self, rejected: str | None) -> str:
        deadline = self._deadline()
        pause = threading.Event()
        while True:
            token = self._store.load()
            if token is not None and token.value != rejected and token.fresh():
                return token.value
            usable = token is not None and token.value != rejected and token.usable()
            blocked = self._store.blocked()
            if blocked is not None and not usable:
                raise blocked
            if blocked is None and self._store.claim(deadline.remaining() + _LEASE_MARGIN_SECONDS):
                return self._renew(rejected, deadline)
            if usable and token is not None:
                return token.value
            if deadline.remaining() <= _POLL_SECONDS:
                raise Unavailable(
                    "Getting an access token: another process is at it and has not finished in the time allowed.",
                    code="deadline",
                )
            pause.wait(_POLL_SECONDS)

    def _renew(self, rejected: str | None, deadline: Deadline) -> str:
        """Fetch and save a token. The caller holds the lease, which ends here."""
        token = self._store.load()
        if token is None or token.value == rejected or not token.fresh():
            try:
                token = self._fetch(deadline)
            except AEPError as error:
                self._store.fail(error.retry_at or retry_at_from(BACKOFF_SECONDS), error)
                if isinstance(error, AuthFailed) or token is None or token.value == rejected or not token.usable():
                    raise
                return token.value
        self._store.save(token)
        return token.value

    def _deadline(self) -> Deadline:
        ambient = ambient_remaining()
        return Deadline(self._deadline_seconds if ambient is None else min(ambient, self._deadline_seconds))

    def _fetch(self, deadline: Deadline) -> AccessToken:
        secret = self._secret()
        host, port = host_and_port(self.token_url)
        if validate_url(self.token_url, self._allowed_hosts) is not None:
            raise Unavailable(
                f"Getting an access token: the address of {host or 'the token service'} is not among the allowed ones.",
                code="address_not_allowed",
            )
        request = requests.Request(
            "POST",
            self.token_url,
            headers={"Accept": "application/json", "User-Agent": "segadmin"},
            data={
                "grant_type": "client_credentials",
                "client_id": self.client_id,
                "client_secret": secret,
                "scope": self.scopes,
            },
        )
        private_ok = (
            self._allow_private or self._proxy is not None or listed_explicitly(host, port, self._allowed_hosts)
        )
        try:
            with make_session(proxy=self._proxy, ca_file=self._ca_file) as session:
                raw = exchange(session, request, deadline=deadline, max_bytes=_MAX_TOKEN_BYTES, private_ok=private_ok)
        except Fault as fault:
            raise Unavailable(f"Getting an access token: {fault_sentence(fault, host)}", code=fault.kind) from None
        return _token_from(Answer(raw, hide=(secret,), host=host))


def _scope_list(scopes: str | Sequence[str]) -> list[str]:
    parts = re.split(r"[,\s]+", scopes) if isinstance(scopes, str) else scopes
    return [part.strip() for part in parts if part.strip()]


def _token_from(answer: Answer) -> AccessToken:
    if not 200 <= answer.status < 300:
        raise _refusal(answer)
    content: Any = None
    if answer.problem is None:
        try:
            content = decode_json(answer.raw.body)
        except ValueError:
            content = None
    if not isinstance(content, dict):
        raise Unavailable(
            f"Getting an access token: {answer.problem or 'the answer could not be read as JSON.'}",
            status=answer.status,
            code=answer.problem_code,
        )
    value = content.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        if answer.details.code or content.get("error"):
            raise _refusal(answer)
        raise Unavailable("Getting an access token: the answer holds no token.", status=answer.status, code="no_token")
    return _lifetime(value, content.get("expires_in"))


def _lifetime(value: str, expires_in: object) -> AccessToken:
    """To be used until five minutes before its end, 23 hours at most; a short-lived token for 80 % of its life."""
    now = datetime.now(UTC)
    life = timedelta(seconds=_life_seconds(expires_in))
    early = life * 0.8 if life <= SHORT_LIFE else min(life - EARLY, LONGEST_USE)
    return AccessToken(value, expires_at=now + early)


def _life_seconds(expires_in: object) -> float:
    """Seconds that a token lives. Adobe says seconds in one flow and milliseconds in another: above 1e6 it is those."""
    seconds = math.nan
    if isinstance(expires_in, int | float | str) and not isinstance(expires_in, bool):
        try:
            seconds = float(expires_in)
        except (ValueError, OverflowError):
            seconds = math.nan
    if not seconds > 0:
        logger.warning("The token answer does not say how long the token lives; one hour is assumed.")
        return ASSUMED_LIFE_SECONDS
    return min(seconds / 1000 if seconds > 1e6 else seconds, _LONGEST_LIFE_SECONDS)


def _refusal(answer: Answer) -> AEPError:
    """The token service's no, as a typed error that names the step and says when to try again."""
    details = answer.details
    status = answer.status if answer.status >= 300 else (details.status or 400)
    kind: type[AEPError] = Unavailable
    seconds = details.retry_after
    if status in (400, 401, 403):
        kind, text = AuthFailed, f"Adobe refused the client id, client secret or scopes ({details.code or status})."
        seconds = seconds or REFUSED_BACKOFF_SECONDS
    elif status == 429:
        kind, text = RateLimited, "Adobe asks for fewer token requests (429)."
    elif status in (404, 410):
        # Not `NotFound`: that is about the thing asked for, and would make a job look deleted.
        text = f"there is no token service at this address of {answer.host} ({status})."
    elif 300 <= status < 400:
        text = f"{answer.host} redirected the call ({status}), and redirects are not followed."
    else:
        text = f"Adobe's token service could not answer ({status})."
    return kind(
        f"Getting an access token: {text}",
        status=status,
        code=details.code or ("redirect" if 300 <= status < 400 else None),
        adobe_message=details.message,
        adobe_request_id=details.request_id,
        retry_at=retry_at_from(seconds if seconds is not None else BACKOFF_SECONDS),
    )
