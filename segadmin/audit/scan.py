"""Reads a stretch of the record and says where something is odd; the fast half of verification.

What an oddity means is for damage.py to say. Everything is read in finished keyset chunks, so no writer ever waits for a
check, and a stretch needs nothing but the link before it, so several processes can read several stretches.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import OperationalError, connection

from segadmin.audit import columns
from segadmin.audit.chain import START
from segadmin.audit.verifier import Link
from segadmin.models import ContentExpiry, Organization, Sandbox

CHUNK = 5000
# Beyond this PostgreSQL's planner sorts each chunk in several processes, which takes twice as long as its index.
CHUNK_OF = {"postgresql": 1000, "sqlite": CHUNK}
MOST_ODD = 200
# So much later than it took its time may a record be written, behind others.
OVERTAKES = timedelta(minutes=10)
TEXT, LINK, COLUMN = "text", "link", "column"

# The range is said of both tables: PostgreSQL then walks both at once, and doesn't look up each row's content.
_QUICK = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq AND c.seq > %s AND c.seq <= %s "
    "WHERE e.seq > %s AND e.seq <= %s ORDER BY e.seq"
)
# The plus keeps Python's module from making a datetime of it: the very text is compared.
_FULL_SQLITE = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text, c.organization_id, c.sandbox_id, +c.at, "
    "c.actor_kind, c.actor_id, c.actor_name, c.action, c.outcome, c.sentence, c.organization_name, c.sandbox_name, c.job_id, "
    "c.request_uuid, c.attempt_uuid, c.correlation_id, c.address FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq AND c.seq > %s AND c.seq <= %s "
    "WHERE e.seq > %s AND e.seq <= %s ORDER BY e.seq"
)
_FULL_POSTGRESQL = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text, c.organization_id, c.sandbox_id, c.at::text, "
    "c.actor_kind, c.actor_id, c.actor_name, c.action, c.outcome, c.sentence, c.organization_name, c.sandbox_name, c.job_id, "
    "c.request_uuid::text, c.attempt_uuid::text, c.correlation_id, c.address FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq AND c.seq > %s AND c.seq <= %s "
    "WHERE e.seq > %s AND e.seq <= %s ORDER BY e.seq"
)
_NEXT = "SELECT min(seq) FROM segadmin_event WHERE seq > %s AND seq <= %s"
_BEFORE = "SELECT epoch, seq, digest, chain FROM segadmin_event WHERE seq < %s AND seq > 0 ORDER BY seq DESC LIMIT 1"
_COLUMNS = 7  # where the columns begin in a row of the full statements


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
    # The times that the first and the last record say, and where a record says a much earlier one than that before it.
    first_at: tuple[int, str] = (0, "")
    last_at: str = ""
    back: list[int] = field(default_factory=list)

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
        if _went_back(self.last_at, other.first_at[1]):
            self.back.append(other.first_at[0])
        self.back += other.back
        self.first_at = self.first_at if self.last_at else other.first_at
        self.last_at = other.last_at or self.last_at


def _went_back(before: str, at: str) -> bool:
    """Whether a record's time is earlier than that of the one before it, by more than writers overtake each other."""
    if not before or not at or at >= before:
        return False
    try:
        return datetime.fromisoformat(before) - datetime.fromisoformat(at) > OVERTAKES
    except (ValueError, TypeError):
        return False


def link_before(seq: int) -> Link:
    """The newest link below a number; what the first record follows where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE, [seq])
        row = cursor.fetchone()
    return link_of(*row) if row else Link(1, 0, "", START)


def link_of(epoch: object, seq: int, digest: object, chain: object) -> Link:
    """A link as it is compared. SQLite keeps anything in any column; what can't be right becomes what fits nothing."""
    return Link(epoch if isinstance(epoch, int) else -1, seq, str(digest), str(chain))


def read(first: int, last: int, *, full: bool) -> Stretch:
    """Check records `first` to `last` against the link before them."""
    stretch = Stretch()
    before = link_before(first)
    known = Known() if full else None
    at = first - 1
    while at < last:
        rows = _rows(at, last, full)
        if not rows:  # numbers leap here
            following = _next(at, last)
            if following is None:
                break
            at = following - 1
            continue
        without = _links(rows, before, stretch)
        if known is not None:
            known.compare(rows, stretch)
        if without:
            _missing(without, stretch)
        newest = rows[-1]
        before, at = link_of(newest[1], newest[0], newest[2], newest[3]), newest[0]
    stretch.last = at if stretch.events else 0
    stretch.odd.sort()
    return stretch


def _rows(after: int, last: int, full: bool) -> list[tuple[Any, ...]]:
    """The records of a chunk of numbers. Its end is named: told only how many, PostgreSQL plans for all that follow."""
    values = [after, min(after + CHUNK_OF[connection.vendor], last)] * 2
    try:
        return _select(values, full)
    except OperationalError as error:
        if not is_of_text(error):
            raise
        with lenient():
            return _select(values, full)


def _select(values: list[int], full: bool) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        if not full:
            cursor.execute(_QUICK, values)
        elif connection.vendor == "postgresql":
            cursor.execute(_FULL_POSTGRESQL, values)
        else:
            cursor.execute(_FULL_SQLITE, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _next(after: int, last: int) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [after, last])
        found: int | None = cursor.fetchone()[0]
    return found


def is_of_text(error: OperationalError) -> bool:
    """Whether SQLite holds a text that is no UTF-8."""
    return connection.vendor == "sqlite" and "decode" in str(error).lower()


@contextmanager
def lenient() -> Iterator[None]:
    """SQLite keeps texts that are no UTF-8, which only an alteration leaves there; meanwhile they can be read all the same."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    handle: Any = connection.connection
    before = handle.text_factory
    handle.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    try:
        yield
    finally:
        handle.text_factory = before


def _links(rows: Sequence[tuple[Any, ...]], before: Link, stretch: Stretch) -> list[int]:
    """Digest and chain value of each row; returns the records without content. The loop is kept as tight as it goes."""
    epoch, expected, previous = before.epoch, before.seq + 1, before.chain
    head = f"segadmin-chain-1 {epoch} "
    without: list[int] = []
    for row in rows:
        seq, its_epoch, digest, chain, text = row[:5]
        if text is None:
            without.append(seq)
        elif type(text) is not str or sha256(text.encode("utf-8", "surrogatepass")).hexdigest() != digest:
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
        self.sandboxes: dict[int, tuple[int, str]] = {
            pk: (organization, name)
            for pk, organization, name in Sandbox.objects.order_by("pk").values_list("pk", "organization_id", "name")
        }
        self.stored = columns.stored_form(connection.vendor)

    def compare(self, rows: Sequence[tuple[Any, ...]], stretch: Stretch) -> None:
        read, stored, slugs, sandboxes = columns.read, self.stored, self.slugs, self.sandboxes
        latest = stretch.last_at
        for row in rows:
            text = row[4]
            if text is None:
                continue
            try:
                told, epoch, seq = read(text)
                expected = stored(told)
            except (ValueError, KeyError, TypeError, AttributeError):
                stretch.note(row[0], COLUMN)
                continue
            at, name = told[0], told[_SANDBOX]
            if at < latest and not _went_back(latest, at):
                at = latest
            elif at < latest:
                stretch.back.append(row[0])
            elif not latest:
                stretch.first_at = (row[0], at)
            latest = at
            if (
                row[_COLUMNS:] != expected
                or seq != row[0]
                or epoch != row[1]
                or slugs.get(row[5]) != told[_SLUG]
                or (sandboxes.get(row[6]) != (row[5], name) if name else row[6] is not None)
            ):
                stretch.note(row[0], COLUMN)
        stretch.last_at = latest

    def differing(self, seq: int) -> list[str]:
        """Which columns of a record differ from its text; "text" where it has not the form of an event."""
        rows = _rows(seq - 1, seq, True)
        try:
            told, epoch, number = columns.read(rows[0][4])
            expected = self.stored(told)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return ["text"]
        row = rows[0]
        names = [name for name in columns.COLUMNS if name != "organization_slug"]
        found = [name for name, one, other in zip(names, row[_COLUMNS:], expected, strict=True) if one != other]
        found += ["organization_slug"] if self.slugs.get(row[5]) != told[_SLUG] else []
        found += ["record"] if number != seq else []
        found += ["epoch"] if epoch != row[1] else []
        return found or ["sandbox"]


_SLUG, _SANDBOX = columns.COLUMNS.index("organization_slug"), columns.COLUMNS.index("sandbox_name")
