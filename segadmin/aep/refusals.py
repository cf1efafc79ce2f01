"""Answers and broken exchanges in words: which typed error they are, and the plain sentence for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from segadmin.aep.errors import (
    DEFAULT_RATE_LIMIT_SECONDS,
    AEPError,
    AuthFailed,
    Conflict,
    ErrorDetails,
    Forbidden,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unavailable,
    parse_error,
    retry_at_from,
)
from segadmin.aep.wire import Fault, RawReply

_JSON_TYPE = re.compile(r"(application|text)/([\w.+-]+\+)?json|application/[\w.+-]+\+json|text/plain", re.IGNORECASE)

FAULT_SENTENCES = {
    "dns": "The name {host} could not be resolved.",
    "refused": "{host} refused the connection.",
    "unreachable": "No connection to {host} could be made.",
    "connect_timeout": "Connecting to {host} took too long.",
    "tls": "No secure connection to {host} could be made.",
    "tls_certificate": "The certificate of {host} was not accepted: {detail}.",
    "proxy": "The outgoing proxy did not connect to {host}.",
    "address": "{host} resolves to a private or reserved address, which is not called.",
    "address_not_allowed": "The address of {host} is not among the allowed ones.",
    "settings": "The address or a header for {host} contains characters that can't be sent.",
    "ca_file": "The file with the certificate authority could not be read.",
    "deadline": "{host} did not answer completely in the time allowed.",
    "timeout": "{host} did not answer in the time allowed.",
    "reset": "{host} closed the connection before its answer was complete.",
    "truncated": "The answer of {host} was cut short.",
    "too_large": "The answer of {host} is larger than allowed.",
    "decode": "The answer of {host} could not be decompressed.",
    "broken": "The connection to {host} broke.",
}

# What the gateway's own codes mean for the person who set the credential up.
_CODE_HINTS = {
    "403000": "The client id (x-api-key) is missing.",
    "403003": "The client id is not valid.",
    "403010": "No access token reached Adobe.",
    "403025": "The client is not entitled to this organization: check the organization's id and the product profile.",
    "403027": "The organization's id is wrong, or the credential has no product profile.",
}


class Answer:
    """A complete HTTP answer and what it says in case of error. Texts in `hide` are struck out of its words."""

    def __init__(self, raw: RawReply, *, hide: Iterable[str] = (), host: str = "Adobe") -> None:
        self.raw = raw
        self.status = raw.status
        self.host = host
        self._hide = tuple(text for text in hide if len(text) >= 4)

    @cached_property
    def details(self) -> ErrorDetails:
        """The error details, without any of the hidden texts."""
        body = b"" if self._is_html() else self.raw.body
        details = parse_error(self.status, self.raw.headers, body)
        return replace(
            details,
            message=self._struck(details.message),
            code=self._struck(details.code) if details.code else None,
            request_id=self._struck(details.request_id) if details.request_id else None,
            field_errors={self._struck(name): self._struck(text) for name, text in details.field_errors.items()},
        )

    @property
    def problem(self) -> str | None:
        """Why a body of this kind is not even looked at; None when it may be JSON."""
        if not self.raw.body.strip():
            return None
        if self._is_html():
            return f"{self.host} answered with a web page instead of data, as sign-in pages and proxies do."
        content_type = self.raw.headers.get("Content-Type", "").split(";")[0].strip()
        if content_type and not _JSON_TYPE.fullmatch(content_type):
            return f"{self.host} answered with something other than JSON."
        return None

    @property
    def problem_code(self) -> str:
        """`html` or `not_json`."""
        return "html" if self._is_html() else "not_json"

    def _is_html(self) -> bool:
        return "html" in self.raw.headers.get("Content-Type", "").lower() or self.raw.body.lstrip()[:1] == b"<"

    def _struck(self, text: str) -> str:
        for secret in self._hide:
            text = text.replace(secret, "********")
        return text


def fault_sentence(fault: Fault, host: str) -> str:
    """The broken exchange as a plain sentence."""
    sentence = FAULT_SENTENCES.get(fault.kind, FAULT_SENTENCES["broken"])
    return sentence.format(host=host, detail=fault.detail or "it could not be verified")


def error_from_answer(answer: Answer, *, writing: bool) -> AEPError:
    """The typed error for an answer that is none of success, or for an error object sent with a 2xx status.

    `writing`: the call was a POST or DELETE, so what is not a definite refusal is `OutcomeUnknown`.
    """
    details = answer.details
    claimed = details.status or 500
    status = claimed if answer.status < 300 else answer.status
    kind = _kind(status, writing)
    seconds = details.retry_after
    if seconds is None and kind is RateLimited:
        seconds = DEFAULT_RATE_LIMIT_SECONDS
    retry_at = None if seconds is None else retry_at_from(seconds)
    sentence = _sentence(kind, status, details, answer)
    if kind is RateLimited and retry_at is not None:
        sentence += f" The next call is possible at {retry_at:%H:%M:%S} UTC."
    return kind(
        sentence,
        status=status,
        code=details.code or ("redirect" if 300 <= status < 400 else None),
        adobe_message=details.message,
        adobe_request_id=details.request_id,
        field_errors=details.field_errors,
        retry_at=retry_at,
    )


def _kind(status: int, writing: bool) -> type[AEPError]:
    exact: dict[int, type[AEPError]] = {
        401: AuthFailed,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: NotFound,
        429: RateLimited,
    }
    if status in exact:
        return exact[status]
    # 408 says that the server gave up waiting, not that it did nothing.
    if 400 <= status < 500 and status != 408:
        return Rejected
    return OutcomeUnknown if writing else Unavailable


def _sentence(kind: type[AEPError], status: int, details: ErrorDetails, answer: Answer) -> str:
    if kind is AuthFailed:
        return "Adobe does not accept the access token, not even a new one. Check the credential."
    if kind is Forbidden:
        hint = _CODE_HINTS.get(details.code or "", "A permission is missing for this organization or sandbox.")
        return f"Adobe refused access (403). {hint}"
    if kind is NotFound:
        return f"Adobe knows no such thing in this sandbox ({status})."
    if kind is Conflict:
        return "Adobe refused this because of the state it is in (409)."
    if kind is RateLimited:
        return "Adobe asks for fewer calls (429) and did not carry this one out."
    if kind is Rejected:
        return f"Adobe refused the request ({status})."
    return _no_answer_sentence(kind, status, answer)


def _no_answer_sentence(kind: type[AEPError], status: int, answer: Answer) -> str:
    if 300 <= status < 400:
        sentence = f"{answer.host} redirected the call ({status}), and redirects are not followed."
    elif answer.status < 300:
        sentence = "Adobe answered with an error although the status said success."
    else:
        sentence = f"Adobe could not answer ({status})."
    if kind is OutcomeUnknown:
        sentence += " It is not known whether the request was carried out."
    return sentence
