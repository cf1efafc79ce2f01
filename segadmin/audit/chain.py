"""Canonical form, digest and chain value of events; the one place that appends a link.

Canonical form: JSON (RFC 8259) in UTF-8 without a byte order mark and without a line end. Keys sorted by code point,
separators "," and ":" without blanks. Within strings only the quotation mark, the backslash and the characters below
U+0020 are escaped, as \\" \\\\ \\b \\f \\n \\r \\t, else as \\u00xx with lower-case digits. No floats, no NaN, no lone
surrogates. Top-level keys: action, actor (address, correlation_id, id, kind, name, roles, signed_in), at (UTC,
microseconds, +00:00), attempt, details, epoch, job, organization ({} or name and slug), outcome, request, salt (32 random
hex digits, so that a digest tells nothing about a short text), sandbox, sentence, seq.

Digest: SHA-256 of the canonical text, lower-case hex. Chain value: SHA-256 of the line
`segadmin-chain-1 <epoch> <seq> <previous chain value> <digest>\n`, lower-case hex; the first link follows 64 zeros.
The chain goes on over a restore: the first event of the new epoch follows the last one that was kept.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from segadmin.audit import mark, seen
from segadmin.audit.columns import columns_of
from segadmin.audit.verifier import START, chain_value, digest_of
from segadmin.models import ChainHead, Event

__all__ = [
    "START",
    "NotRecorded",
    "OutcomeNotRecorded",
    "append",
    "begin",
    "canonical",
    "chain_value",
    "digest_of",
    "locked_head",
]

_HEAD = "SELECT epoch, seq, chain FROM segadmin_chainhead WHERE id = 1"
_HEAD_LOCKED = "SELECT epoch, seq, chain FROM segadmin_chainhead WHERE id = 1 FOR UPDATE"
_MOVE = "UPDATE segadmin_chainhead SET seq = %s, chain = %s WHERE id = 1 AND seq = %s AND epoch = %s"
_LINK = "INSERT INTO segadmin_event (seq, epoch, digest, chain) VALUES (%s, %s, %s, %s)"
_CONTENT = (
    "INSERT INTO segadmin_eventcontent (seq, text, organization_id, sandbox_id, at, request_uuid, attempt_uuid, "
    "actor_kind, actor_id, actor_name, action, outcome, sentence, organization_name, sandbox_name, job_id, "
    "correlation_id, address) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
# The same three as one statement: on PostgreSQL each one is a way to the server and back.
_AT_ONCE = (
    "WITH moved AS (UPDATE segadmin_chainhead SET seq = %s, chain = %s WHERE id = 1 AND seq = %s AND epoch = %s "
    "RETURNING id), linked AS (INSERT INTO segadmin_event (seq, epoch, digest, chain) "
    "SELECT %s, %s, %s, %s FROM moved RETURNING seq) "
    "INSERT INTO segadmin_eventcontent (seq, text, organization_id, sandbox_id, at, request_uuid, attempt_uuid, "
    "actor_kind, actor_id, actor_name, action, outcome, sentence, organization_name, sandbox_name, job_id, "
    "correlation_id, address) SELECT %s, %s, %s::bigint, %s::bigint, %s::timestamptz, %s::uuid, %s::uuid, "
    "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s FROM linked"
)


class NotRecorded(DatabaseError):
    """An event was refused or could not be written, so what it tells must not happen: the transaction is undone."""


class OutcomeNotRecorded(NotRecorded):
    """The same of how a remote change ended: it was asked for, that it was is on record, and Adobe may have done it."""


@dataclass(frozen=True)
class Head:
    """The newest link, as the one row of the head has it."""

    epoch: int
    seq: int
    chain: str


def canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def locked_head() -> Head:
    """The newest link, locked until the transaction ends: numbers have no gaps and no forks."""
    connection = transaction.get_connection()
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An event is written in the transaction of what it tells.")
    with connection.cursor() as cursor:
        # On SQLite the transaction itself is the lock.
        cursor.execute(_HEAD_LOCKED if connection.features.has_select_for_update else _HEAD)
        row = cursor.fetchone()
    if row is None:
        raise NotRecorded("The head of the record is gone.")
    return Head(*row)


def append(content: dict[str, Any], *, organization_id: int | None = None, sandbox_id: int | None = None) -> Event:
    """Add one link with its content; must run inside a transaction, as its last step (the head stays locked).

    `content` is the canonical text but for epoch, number and salt. Raises NotRecorded where the database refuses it, or
    the mark can't be moved on; a database that is busy, full or gone raises its own errors.
    """
    try:
        return _append(content, organization_id, sandbox_id)
    except (NotRecorded, OperationalError, InterfaceError):
        raise
    except (DatabaseError, OSError, ValueError) as error:
        raise NotRecorded(f"The record did not take it: {error}") from error


def _append(content: dict[str, Any], organization_id: int | None, sandbox_id: int | None) -> Event:
    head = locked_head()
    seen.before(head.epoch, head.seq, head.chain)
    seq = head.seq + 1
    mark.reserve(seq)
    text = canonical({**content, "epoch": head.epoch, "salt": secrets.token_hex(16), "seq": seq})
    digest = digest_of(text)
    chain = chain_value(head.epoch, seq, head.chain, digest)
    connection = transaction.get_connection()
    at, kind, id_, name, action, outcome, sentence, _slug, org, sandbox, job, request, attempt, correlation, address = (
        columns_of(content)
    )
    instant = connection.ops.adapt_datetimefield_value(datetime.fromisoformat(at))
    ids = [organization_id, sandbox_id, instant, _uuid(connection, request), _uuid(connection, attempt)]
    texts = [kind, id_, name, action, outcome, sentence, org, sandbox, job, correlation, address]
    move, link = [seq, chain, head.seq, head.epoch], [seq, head.epoch, digest, chain]
    # Plain statements: the ORM's take twice as long, and every remote change waits for them.
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_AT_ONCE, [*move, *link, seq, text, *ids, *texts])
        else:
            cursor.execute(_MOVE, move)
        if cursor.rowcount != 1:
            raise NotRecorded("The head of the record moved while it was locked.")
        if connection.vendor != "postgresql":
            cursor.execute(_LINK, link)
            cursor.execute(_CONTENT, [seq, text, *ids, *texts])
    event = Event(seq=seq, epoch=head.epoch, digest=digest, chain=chain)
    event._state.adding, event._state.db = False, connection.alias
    transaction.on_commit(partial(seen.after, head.epoch, seq, chain), robust=True)
    return event


def _uuid(connection: Any, text: str) -> str | None:
    """As the database keeps it: PostgreSQL reads the canonical form, SQLite has 32 hex digits."""
    if not text:
        return None
    return text if connection.features.has_native_uuid_field else text.replace("-", "")


def begin(head: Head, highest: int) -> None:
    """Move the locked head into a new epoch, whose first number is the one after `highest`; the chain goes on."""
    moved = ChainHead.objects.filter(pk=1, seq=head.seq, epoch=head.epoch).update(
        epoch=head.epoch + 1, seq=max(head.seq, highest)
    )
    if moved != 1:
        raise RuntimeError("The head of the record moved while it was locked.")
