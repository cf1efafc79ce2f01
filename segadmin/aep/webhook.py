"""A POST to a webhook of the company's own, fenced in as calls to Adobe are: https, public addresses, no redirects.

It isn't Adobe's API, but this is the one room that speaks HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from segadmin.aep.addresses import host_and_port, listed_explicitly, validate_url
from segadmin.aep.errors import Unavailable
from segadmin.aep.refusals import fault_sentence
from segadmin.aep.wire import Deadline, Fault, exchange, make_session

_MAX_BYTES = 65_536


def webhook_problem(url: str, listed: Collection[str]) -> str | None:
    """None when the address may be called, otherwise a sentence that says what to write instead.

    Any public host on port 443; others, plain http to 127.0.0.1 among them, only where `listed` names them as host:port.
    """
    address, _, query = url.partition("?")
    if query and not query.isascii():
        return "Write the address without spaces and special characters."
    host, _port = host_and_port(url)
    return validate_url(address, {*listed, host} if host else listed)


def post_webhook(
    url: str,
    payload: Mapping[str, Any],
    *,
    listed: Collection[str] = (),
    proxy: str | None = None,
    ca_file: str | None = None,
    deadline_seconds: float = 15.0,
) -> int:
    """Send `payload` as JSON, once; gives the status, 200 to 299. Raises Unavailable with a sentence otherwise."""
    host = urlsplit(url).hostname or "the webhook"
    if problem := webhook_problem(url, listed):
        raise Unavailable(problem, code="address_not_allowed")
    try:
        with make_session(proxy=proxy, ca_file=ca_file) as session:
            reply = exchange(
                session,
                requests.Request("POST", url, json=dict(payload), headers={"User-Agent": "segadmin"}),
                deadline=Deadline(deadline_seconds),
                max_bytes=_MAX_BYTES,
                private_ok=proxy is not None or listed_explicitly(*host_and_port(url), listed),
            )
    except Fault as fault:
        raise Unavailable(fault_sentence(fault, host), code=fault.kind) from None
    if not 200 <= reply.status < 300:
        raise Unavailable(f"{host} answered with status {reply.status}.", status=reply.status)
    return reply.status
