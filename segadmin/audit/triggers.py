"""Database triggers that refuse changes to the record, for SQLite and PostgreSQL.

Row triggers don't stop PostgreSQL's TRUNCATE, so a statement trigger does; SQLite's INSERT OR REPLACE deletes without firing
DELETE triggers, so a BEFORE INSERT trigger refuses an existing key.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

EVENT, CONTENT, EXPIRY, HEAD = (
    "segadmin_event",
    "segadmin_eventcontent",
    "segadmin_contentexpiry",
    "segadmin_chainhead",
)
CHECKPOINT, AMENDMENT, HOLD = "segadmin_checkpoint", "segadmin_amendment", "segadmin_hold"
SIGNING_KEY = "segadmin_signingkey"
REVIEW, SIGN_OFF = "segadmin_review", "segadmin_signoff"
_to_be_installed: ContextVar[bool] = ContextVar("to_be_installed", default=False)
TABLES = (EVENT, CONTENT, EXPIRY, HEAD, CHECKPOINT, AMENDMENT, HOLD, SIGNING_KEY, REVIEW, SIGN_OFF)
KEYS = {
    HEAD: "id",
    AMENDMENT: "id",
    HOLD: "id",
    REVIEW: "id",
    SIGN_OFF: "id",
    CHECKPOINT: "number",
    SIGNING_KEY: "key_id",
}
REFUSAL = "The record of segadmin can not be changed or deleted."
_EXPIRED = f"EXISTS (SELECT 1 FROM {EXPIRY} WHERE seq = OLD.seq)"  # noqa: S608 - constants only
_HELD = (
    f"EXISTS (SELECT 1 FROM {HOLD} h WHERE h.move = 'place' "  # noqa: S608 - constants only
    f"AND NOT EXISTS (SELECT 1 FROM {HOLD} r WHERE r.places_id = h.id) AND ("
    "(h.kind = 'person' AND h.person = OLD.actor_name) "
    "OR (h.kind = 'period' AND OLD.at >= h.from_at AND OLD.at < h.until_at) "
    "OR (h.kind = 'job' AND (h.request_uuid = OLD.request_uuid OR (h.organization_id = OLD.organization_id "
    "AND h.sandbox_name = OLD.sandbox_name AND h.job_id = OLD.job_id)))))"
)
_MAY_GO = f"({_EXPIRED} AND NOT {_HELD})"
_STEP = "NEW.id = OLD.id AND ((NEW.epoch = OLD.epoch AND NEW.seq = OLD.seq + 1) OR NEW.epoch > OLD.epoch)"


def _sqlite() -> dict[str, str]:
    refuse = f"SELECT RAISE(ABORT, '{REFUSAL}'); END"
    made: dict[str, str] = {}
    for table in TABLES:
        key = KEYS.get(table, "seq")
        update = f" WHEN NOT ({_STEP})" if table == HEAD else ""
        delete = f" WHEN NOT {_MAY_GO}" if table == CONTENT else ""
        exists = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"  # noqa: S608 - constants only
        made[f"{table}_no_update"] = f"BEFORE UPDATE ON {table} FOR EACH ROW{update} BEGIN {refuse}"
        made[f"{table}_no_delete"] = f"BEFORE DELETE ON {table} FOR EACH ROW{delete} BEGIN {refuse}"
        made[f"{table}_no_replace"] = f"BEFORE INSERT ON {table} FOR EACH ROW {exists} BEGIN {refuse}"
    return made


def _postgresql() -> dict[str, str]:
    refuse = "EXECUTE FUNCTION segadmin_refuse()"
    made: dict[str, str] = {}
    for table in TABLES:
        update = f" WHEN (NOT ({_STEP}))" if table == HEAD else ""
        delete = "EXECUTE FUNCTION segadmin_refuse_unexpired()" if table == CONTENT else refuse
        made[f"{table}_no_update"] = f"BEFORE UPDATE ON {table} FOR EACH ROW{update} {refuse}"
        made[f"{table}_no_delete"] = f"BEFORE DELETE ON {table} FOR EACH ROW {delete}"
        made[f"{table}_no_truncate"] = f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}"
    return made


_FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION segadmin_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'insufficient_privilege'; END $body$;
CREATE OR REPLACE FUNCTION segadmin_refuse_unexpired() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  IF {_MAY_GO} THEN RETURN OLD; END IF;
  RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'insufficient_privilege';
END $body$;
"""


def expected(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Trigger name -> definition after CREATE TRIGGER name."""
    return _postgresql() if connection.vendor == "postgresql" else _sqlite()


def install(connection: BaseDatabaseWrapper) -> None:
    """Create or renew every trigger; needs the tables."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_FUNCTIONS)
        for name, definition in expected(connection).items():
            if connection.vendor == "postgresql":
                cursor.execute(f"CREATE OR REPLACE TRIGGER {name} {definition}")
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
                cursor.execute(f"CREATE TRIGGER {name} {definition}")


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of triggers that should be there and are not, or are switched off or altered."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
                "WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND pg_table_is_visible(c.oid)"
            )
            found = {row[0] for row in cursor.fetchall()}
            return sorted(set(expected(connection)) - found)
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        bodies = dict(cursor.fetchall())
    return sorted(
        name
        for name, definition in expected(connection).items()
        if bodies.get(name) != f"CREATE TRIGGER {name} {definition}"
    )


def install_after_migrate(*, using: str, **_kwargs: Any) -> None:
    """Receiver of post_migrate. Does nothing while the tables are not all there (a migration to an earlier state)."""
    connection = connections[using]
    if set(TABLES) <= set(connection.introspection.table_names()):
        install(connection)


@contextmanager
def to_be_installed() -> Iterator[None]:
    """The check is silent meanwhile: `migrate` is about to renew every trigger, also those of an earlier version."""
    token = _to_be_installed.set(True)
    try:
        yield
    finally:
        _to_be_installed.reset(token)


@register(Tags.database)
def record_triggers(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """segadmin.E001: the triggers that protect the record are all in place (`migrate`, `check --database default`)."""
    found: list[CheckMessage] = []
    for alias in () if _to_be_installed.get() else databases or ():
        connection = connections[alias]
        tables = set(connection.introspection.table_names())
        if set(TABLES) <= tables and (gone := missing(connection)):
            found.append(
                Error(
                    f"The database lacks triggers that protect the record: {', '.join(gone)}.",
                    hint="Run `manage.py migrate`; it puts them back. Then find out who removed them.",
                    id="segadmin.E001",
                )
            )
    return found
