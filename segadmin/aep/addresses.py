"""Which addresses may be called, and how ids go into them."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote, urlsplit

ADOBE_HOSTS = frozenset(
    {
        "platform.adobe.io",
        "platform-stage.adobe.io",
        "ims-na1.adobelogin.com",
        "ims-na1-stg1.adobelogin.com",
    }
)

MAX_ID_LENGTH = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


def quote_id(value: str) -> str:
    """An id as exactly one path segment. Any string will do, except those that no path can carry safely.

    Raises ValueError for an empty id, `.`, `..`, control characters, or more than 200 characters.
    """
    if not value or value in (".", ".."):
        raise ValueError("The id is empty or no name at all.")
    if len(value) > MAX_ID_LENGTH:
        raise ValueError(f"The id is longer than {MAX_ID_LENGTH} characters.")
    if _CONTROL.search(value):
        raise ValueError("The id contains control characters.")
    return quote(value, safe="")


def validate_url(url: str, allowed_hosts: Collection[str]) -> str | None:
    """None when `url` may be called, otherwise a sentence that says what to write instead.

    `allowed_hosts` holds host names (https, port 443) and `host:port` entries. Plain http is for `127.0.0.1:PORT` only.
    """
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        return "Write the address without spaces, as in https://platform.adobe.io."
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").lower()
    except ValueError:
        return "This is not an address. Write one such as https://platform.adobe.io."
    if parts.scheme not in ("https", "http") or not host or not _HOST.fullmatch(_bracketed(host)):
        return "Write the whole address, beginning with https://, as in https://platform.adobe.io."
    if "@" in parts.netloc:
        return "Leave user name and password out of the address."
    if "?" in url or "#" in url:
        return "Leave out everything from the first ? or # on."
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        return "Write the address without . or .. in its path."
    return _validate_place(parts.scheme, host, port, {entry.strip().lower() for entry in allowed_hosts})


def _validate_place(scheme: str, host: str, port: int | None, allowed: set[str]) -> str | None:
    if scheme == "http":
        if host != "127.0.0.1":
            return "Write https:// instead of http://: only https is called."
        if port is None or f"127.0.0.1:{port}" not in allowed:
            return f"The list of allowed hosts must name 127.0.0.1:{port or 'PORT'} before it may be called."
        return None
    if f"{_bracketed(host)}:{port or 443}" in allowed:
        return None
    if host not in allowed:
        return f"The host {host} is not among the allowed ones: {_listed(allowed)}."
    if port not in (None, 443):
        return f"Leave out the port: {host} is only called on port 443."
    return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listed(allowed: set[str]) -> str:
    return ", ".join(sorted(allowed)) if allowed else "none is listed"


def listed_explicitly(host: str, port: int, allowed_hosts: Collection[str]) -> bool:
    """Whether `host:port` itself is listed, which also permits a private or loopback address behind it."""
    entry = f"{_bracketed(host.lower())}:{port}"
    return any(entry == allowed.strip().lower() for allowed in allowed_hosts)


def host_and_port(url: str) -> tuple[str, int]:
    """Host in lower case and port (443 or 80 when not written) of an address; empty host when it is none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", 443
