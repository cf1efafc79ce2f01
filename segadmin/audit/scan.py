"""Reads a stretch of the record and says where something is odd; the fast half of verification.

What an oddity means is for damage.py to say. Everything is read in finished keyset chunks, so no writer ever waits for a
check, and a stretch needs nothing but the link before it, so several processes can read several stretches.
"""

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.db import connection

from segadmin.audit.chain import START
from segadmin.audit.columns import columns_of
from segadmin.audit.verifier import Link
from segadmin.models import ContentExpiry, Organization, Sandbox

CHUNK = 5000
MOST_ODD = 200
TEXT, LINK, COLUMN = "text", "link", "column"

_QUICK = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq WHERE e.seq > %s AND e.seq <= %s ORDER BY e.seq LIMIT %s"
)
_FULL_SQLITE = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text, c.organization_id, c.sandbox_id, "
    "replace(c.at, ' ', 'T') || CASE WHEN length(c.at) = 19 THEN '.000000' ELSE '' END || '+00:00', "
    "c.actor_kind, c.actor_id, c.actor_name, c.action, c.outcome, c.sentence, c.organization_name, c.sandbox_name, c.job_id, "
    "CASE WHEN c.request_uuid IS NULL THEN '' ELSE substr(c.request_uuid, 1, 8) || '-' || substr(c.request_uuid, 9, 4) || "
    "'-' || substr(c.request_uuid, 13, 4) || '-' || substr(c.request_uuid, 17, 4) || '-' || substr(c.request_uuid, 21) END, "
    "CASE WHEN c.attempt_uuid IS NULL THEN '' ELSE substr(c.attempt_uuid, 1, 8) || '-' || substr(c.attempt_uuid, 9, 4) || "
    "'-' || substr(c.attempt_uuid, 13, 4) || '-' || substr(c.attempt_uuid, 17, 4) || '-' || substr(c.attempt_uuid, 21) END, "
    "c.correlation_id, c.address FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq WHERE e.seq > %s AND e.seq <= %s ORDER BY e.seq LIMIT %s"
)
_FULL_POSTGRESQL = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text, c.organization_id, c.sandbox_id, "
    "to_char(c.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || '+00:00', "
    "c.actor_kind, c.actor_id, c.actor_name, c.action, c.outcome, c.sentence, c.organization_name, c.sandbox_name, c.job_id, "
    "coalesce(c.request_uuid::text, ''), coalesce(c.attempt_uuid::text, ''), "
    "c.correlation_id, c.address FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq WHERE e.seq > %s AND e.seq <= %s ORDER BY e.seq LIMIT %s"
)
_BEFORE = "SELECT epoch, seq, digest, chain FROM segadmin_event WHERE seq < %s AND seq > 0 ORDER BY seq DESC LIMIT 1"
# Where the columns begin in a row of the full statements, and where the organization's slug goes between them.
_COLUMNS, _SLUG = 7, 14


@dataclass
class Stretch:
    """What was read. `odd`: (record, why) in order, at most MOST_ODD; `odd_count` counts all of them.

    `missing` are records whose content is gone without an expiry, `expired` are those that have one.
    """

    last: int = 0
    events: int = 0
    with_content: int = 0
    expired: array[int] = field(default_factory=lambda: array("q"))
    missing_count: int = 0
    missing: list[int] = field(default_factory=list)
    odd_count: int = 0
    odd: list[tuple[int, str]] = field(default_factory=list)

    def note(self, seq: int, why: str) -> None:
        self.odd_count += 1
        if len(self.odd) < MOST_ODD:
            self.odd.append((seq, why))

    def add(self, other: "Stretch") -> None:
        """Join the stretch that follows this one."""
        self.last = other.last or self.last
        self.events += other.events
        self.with_content += other.with_content
        self.expired.extend(other.expired)
        self.missing_count += other.missing_count
        self.odd_count += other.odd_count
        self.missing = (self.missing + other.missing)[:MOST_ODD]
        self.odd = (self.odd + other.odd)[:MOST_ODD]


def link_before(seq: int) -> Link:
    """The newest link below a number; what the first record follows where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, [seq])
        row = cursor.fetchone()
    return Link(*row) if row else Link(1, 0, "", START)


def read(first: int, last: int, *, full: bool) -> Stretch:
    """Check records `first` to `last` against the link before them."""
    stretch = Stretch()
    before = link_before(first)
    known = Known() if full else None
    at = first - 1
    while at < last:
        rows = _rows(at, last, full)
        if not rows:
            break
        without = _links(rows, before, stretch)
        if known is not None:
            known.compare(rows, stretch)
        if without:
            _missing(without, stretch)
        newest = rows[-1]
        before, at = Link(newest[1], newest[0], newest[2], newest[3]), newest[0]
    stretch.last = at if stretch.events else 0
    stretch.odd.sort()
    return stretch


def _rows(after: int, last: int, full: bool) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        if not full:
            cursor.execute(_QUICK, [after, last, CHUNK])
        elif connection.vendor == "postgresql":
            cursor.execute(_FULL_POSTGRESQL, [after, last, CHUNK])
        else:
            cursor.execute(_FULL_SQLITE, [after, last, CHUNK])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _links(rows: Sequence[tuple[Any, ...]], before: Link, stretch: Stretch) -> list[int]:
    """Digest and chain value of each row; returns the records without content. The loop is kept as tight as it goes."""
    epoch, expected, previous = before.epoch, before.seq + 1, before.chain
    head = f"segadmin-chain-1 {epoch} "
    without: list[int] = []
    for row in rows:
        seq, its_epoch, digest, chain, text = row[:5]
        if text is None:
            without.append(seq)
        elif sha256(text.encode("utf-8", "surrogatepass")).hexdigest() != digest:
            stretch.note(seq, TEXT)
        if (
            seq != expected
            or its_epoch != epoch
            or sha256(f"{head}{seq} {previous} {digest}\n".encode()).hexdigest() != chain
        ):
            stretch.note(seq, LINK)
            epoch, head = its_epoch, f"segadmin-chain-1 {its_epoch} "
        expected, previous = seq + 1, chain
    stretch.events += len(rows)
    stretch.with_content += len(rows) - len(without)
    return without


def _missing(without: list[int], stretch: Stretch) -> None:
    expired = set(ContentExpiry.objects.filter(seq__gte=without[0], seq__lte=without[-1]).values_list("seq", flat=True))
    gone = [seq for seq in without if seq not in expired]
    stretch.expired.extend(seq for seq in without if seq in expired)
    stretch.missing_count += len(gone)
    stretch.missing = (stretch.missing + gone)[:MOST_ODD]


class Known:
    """Compares search columns with the text, and foreign keys with what they lead to."""

    def __init__(self) -> None:
        self.slugs: dict[int | None, str] = dict(Organization.objects.order_by("pk").values_list("pk", "slug"))
        self.slugs[None] = ""
        self.sandboxes: dict[int | None, tuple[int | None, str]] = {
            pk: (organization, name)
            for pk, organization, name in Sandbox.objects.order_by("pk").values_list("pk", "organization_id", "name")
        }

    def compare(self, rows: Sequence[tuple[Any, ...]], stretch: Stretch) -> None:
        loads, slugs, sandboxes = json.loads, self.slugs, self.sandboxes
        for row in rows:
            if row[4] is None:
                continue
            organization, sandbox = row[5], row[6]
            try:
                told = loads(row[4])
                expected = columns_of(told)
            except (ValueError, KeyError, TypeError, AttributeError):
                stretch.note(row[0], COLUMN)
                continue
            found = (*row[_COLUMNS:_SLUG], slugs.get(organization, "?"), *row[_SLUG:])
            if (
                found != expected
                or told.get("seq") != row[0]
                or told.get("epoch") != row[1]
                or (sandbox is not None and sandboxes.get(sandbox) != (organization, found[_SLUG - _COLUMNS + 2]))
            ):
                stretch.note(row[0], COLUMN)
