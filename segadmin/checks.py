"""System checks of the settings; the one of the record's triggers stands with them in audit/triggers.py."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004


@register(Tags.security, deploy=True)
def public_address(**_kwargs: Any) -> list[CheckMessage]:
    """segadmin.W001: sign-in over plain http is for loopback only."""
    host = settings.PUBLIC_URL.partition("://")[2].partition(":")[0].strip("[]")
    if settings.IS_HTTPS or host in {"127.0.0.1", "localhost", "::1"}:
        return []
    return [
        Warning(
            f"SEGADMIN_PUBLIC_URL is {settings.PUBLIC_URL}: passwords would cross the network unencrypted.",
            hint="Put a proxy with TLS in front and set SEGADMIN_PUBLIC_URL to its https:// address.",
            id="segadmin.W001",
        )
    ]


@register(Tags.security)
def upstream_hosts(**_kwargs: Any) -> list[CheckMessage]:
    """segadmin.E002: allowed upstream hosts are host names, or 127.0.0.1:PORT."""
    wrong = [host for host in settings.UPSTREAM_HOSTS if "/" in host or "@" in host or " " in host or "*" in host]
    if not wrong:
        return []
    return [
        Error(
            f"SEGADMIN_UPSTREAM_HOSTS holds {', '.join(sorted(wrong))}, which is not a host name.",
            hint="Write names such as platform.adobe.io, comma-separated; a local stand-in as 127.0.0.1:8010.",
            id="segadmin.E002",
        )
    ]
