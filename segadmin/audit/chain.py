"""Canonical form, digest and chain value of events; the one place that appends a link.

Canonical form: JSON, UTF-8, keys sorted by code point, separators "," and ":" without blanks, no escaping beyond what JSON
demands, no floats. Digest: SHA-256 of the canonical text, lower-case hex. Chain value: SHA-256 of the line
`segadmin-chain-1 <epoch> <seq> <previous chain value> <digest>\n`, lower-case hex; the first link follows 64 zeros.
"""

import hashlib
import json
import secrets
from typing import Any

from django.db import transaction

from segadmin.models import ChainHead, Event

START = "0" * 64


def canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def chain_value(epoch: int, seq: int, previous: str, digest: str) -> str:
    line = f"segadmin-chain-1 {epoch} {seq} {previous} {digest}\n"
    return hashlib.sha256(line.encode()).hexdigest()


def append(content: dict[str, Any]) -> tuple[Event, str]:
    """Add one link; must run inside a transaction. Returns the event and its canonical text.

    The head row is locked until the transaction ends, so numbers have no gaps and no forks: callers write their event last.
    """
    connection = transaction.get_connection()
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An event is written in the transaction of what it tells.")
    head = ChainHead.objects.select_for_update().get(pk=1)
    seq = head.seq + 1
    text = canonical({**content, "epoch": head.epoch, "salt": secrets.token_hex(16), "seq": seq})
    digest = digest_of(text)
    chain = chain_value(head.epoch, seq, head.chain, digest)
    event = Event(seq=seq, epoch=head.epoch, digest=digest, chain=chain)
    event.save()
    moved = ChainHead.objects.filter(pk=1, seq=head.seq, epoch=head.epoch).update(seq=seq, chain=chain)
    if moved != 1:
        raise RuntimeError("The head of the record moved while it was locked.")
    return event, text
