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
from datetime import datetime
from typing import Any

from django.db import transaction

from segadmin.audit import mark
from segadmin.audit.columns import columns_of
from segadmin.audit.verifier import START, chain_value, digest_of
from segadmin.models import ChainHead, Event

__all__ = ["START", "append", "begin", "canonical", "chain_value", "digest_of", "locked_head"]

_MOVE = "UPDATE segadmin_chainhead SET seq = %s, chain = %s WHERE id = 1 AND seq = %s AND epoch = %s"
_LINK = "INSERT INTO segadmin_event (seq, epoch, digest, chain) VALUES (%s, %s, %s, %s)"
_CONTENT = (
    "INSERT INTO segadmin_eventcontent (seq, text, organization_id, sandbox_id, at, request_uuid, attempt_uuid, "
    "actor_kind, actor_id, actor_name, action, outcome, sentence, organization_name, sandbox_name, job_id, "
    "correlation_id, address) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


def canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def locked_head() -> ChainHead:
    """The newest link, locked until the transaction ends: numbers have no gaps and no forks."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("An event is written in the transaction of what it tells.")
    return ChainHead.objects.select_for_update().get(pk=1)


def append(content: dict[str, Any], *, organization_id: int | None = None, sandbox_id: int | None = None) -> Event:
    """Add one link with its content; must run inside a transaction, as its last step (the head stays locked).

    `content` is the canonical text but for epoch, number and salt. Raises OSError when the mark can't be moved on.
    """
    head = locked_head()
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
    # The plain statements: the ORM's take twice as long, and every remote change waits for them.
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, [seq, chain, head.seq, head.epoch])
        if cursor.rowcount != 1:
            raise RuntimeError("The head of the record moved while it was locked.")
        cursor.execute(_LINK, [seq, head.epoch, digest, chain])
        values = [organization_id, sandbox_id, instant, _uuid(connection, request), _uuid(connection, attempt)]
        texts = [kind, id_, name, action, outcome, sentence, org, sandbox, job, correlation, address]
        cursor.execute(_CONTENT, [seq, text, *values, *texts])
    event = Event(seq=seq, epoch=head.epoch, digest=digest, chain=chain)
    event._state.adding, event._state.db = False, connection.alias
    return event


def _uuid(connection: Any, text: str) -> str | None:
    """As the database keeps it: PostgreSQL reads the canonical form, SQLite has 32 hex digits."""
    if not text:
        return None
    return text if connection.features.has_native_uuid_field else text.replace("-", "")


def begin(head: ChainHead, highest: int) -> None:
    """Move the locked head into a new epoch, whose first number is the one after `highest`; the chain goes on."""
    moved = ChainHead.objects.filter(pk=1, seq=head.seq, epoch=head.epoch).update(
        epoch=head.epoch + 1, seq=max(head.seq, highest)
    )
    if moved != 1:
        raise RuntimeError("The head of the record moved while it was locked.")
