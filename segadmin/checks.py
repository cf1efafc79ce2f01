"""System checks that need no database, and those of the database (run by `migrate` and `check --database default`)."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections


@register(Tags.database)
def record_triggers(
    *, databases: Sequence[str] | None = None, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """segadmin.E001: the triggers that protect the record are all in place."""
    from segadmin.audit import triggers

    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        tables = set(connection.introspection.table_names())
        if set(triggers.TABLES) <= tables and (gone := triggers.missing(connection)):
            found.append(
                Error(
                    f"The database lacks triggers that protect the record: {', '.join(gone)}.",
                    hint="Run `manage.py migrate`; it puts them back. Then find out who removed them.",
                    id="segadmin.E001",
                )
            )
    return found


@register(Tags.security, deploy=True)
def public_address(app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any) -> list[CheckMessage]:
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
def upstream_hosts(app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any) -> list[CheckMessage]:
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
