"""Files that leave: begun with an event and a receipt, counted and hashed while they stream, ended with an event.

A receipt says which filter, zone, newest record, host and version a file was made with, and when it ended how many rows
and which SHA-256 it had. A file that broke off keeps its receipt, without a hash.
"""

import hashlib
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from segadmin import __version__, crypto
from segadmin.actions.refusals import NotDone
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, checkpoints, record
from segadmin.audit.chain import locked_head
from segadmin.audit.receipts import ALPHABET
from segadmin.models import Action, FileReceipt, Organization, Outcome
from segadmin.plain import visible_json
from segadmin.queries import files_register, search
from segadmin.queries.cells import utc
from segadmin.queries.files import Part

log = logging.getLogger("segadmin.record")
FILES_AN_HOUR = 60
# A file that shows no sign of life for so long (a killed process) does not keep its person from taking another one.
SILENT_SECONDS = 60
BEAT_SECONDS = 10
# And after so long without one it is on record that nobody knows how it ended.
GIVEN_UP_SECONDS = 3600
MOST_AT_ONCE = 100
LONGEST = timedelta(days=1)
CHANGED = "changed_while_written"
VERSION = f"segadmin {__version__}"
_MAIL = re.compile(r"[^\s\"',;:<>()]+@[^\s\"',;<>()]+\.[^\s\"',;<>()]+")
NOT_KEPT = "(e-mail address, not kept)"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What file is asked for. `organizations` are those whose rows may be in it; `whole`: also rows of no org.

    `chosen` is the filter as in the address, `from_at` and `to_at` what it makes of the period, in `zone`.
    """

    what: str  # audit or register
    kind: FileReceipt.Kind
    organizations: Sequence[Organization]
    whole: bool
    chosen: dict[str, list[str]] = field(default_factory=dict)
    from_at: datetime | None = None
    to_at: datetime | None = None
    zone: str = "UTC"

    @property
    def subject(self) -> Subject:
        """The one org that it is about; else none."""
        alone = len(self.organizations) == 1 and not self.whole
        return Subject(organization=self.organizations[0] if alone else None)

    def as_json(self) -> dict[str, Any]:
        """Without anything that looks like an e-mail address: what somebody searched for is not kept."""
        chosen = {name: [_kept(value) for value in values] for name, values in self.chosen.items()}
        told: dict[str, Any] = storable(
            {
                "chosen": chosen,
                "from": utc(self.from_at),
                "before": utc(self.to_at),
                "organizations": [organization.slug for organization in self.organizations],
                "whole": self.whole,
            }
        )
        return told


def _kept(value: str) -> str:
    rest = _MAIL.sub(NOT_KEPT, value)
    return NOT_KEPT if search.names_mail(rest.replace(NOT_KEPT, "")) else rest


def begin(*, actor: Actor, order: Order, at_cut_off: Callable[[int], None] = lambda _seq: None) -> FileReceipt:
    """Put the wish on record, make a checkpoint, and give the receipt. Raises NotDone when a limit is reached.

    `at_cut_off` is called with the newest record while nobody can add another one: what it reads is as of then.
    """
    with transaction.atomic():
        head = locked_head()  # so that of two requests of one person one comes first
        _within_limits(actor)
        at_cut_off(head.seq)
        receipt = FileReceipt(
            code=_new_code(),
            kind=order.kind,
            what=order.what,
            at=timezone.now(),
            by=actor.name[:150],
            filter={**order.as_json(), "host": settings.PUBLIC_URL, "actor": actor.kind},
            zone=order.zone,
            cut_off=head.seq,
            version=VERSION[:40],
        )
        event = record(
            actor=actor,
            action=Action.RECORD_EXPORTED,
            outcome=Outcome.REQUESTED,
            sentence=f"asked for {_words(receipt)}",
            subject=order.subject,
            details=_details(receipt),
        )
        checkpoint = _checkpoint(actor)
        receipt.filter |= {"event": event.seq, "checkpoint": checkpoint}
        receipt.save()
    return receipt


def _new_code() -> str:
    letters = "".join(secrets.choice(ALPHABET) for _letter in range(12))
    return "-".join(letters[at : at + 4] for at in (0, 4, 8))


def _within_limits(actor: Actor) -> None:
    if actor.kind != "person":
        return
    now = timezone.now()
    mine = FileReceipt.objects.filter(by=actor.name[:150])
    if any(_is_alive(row, now) for row in mine.filter(finished_at=None, at__gt=now - LONGEST)):
        raise NotDone(
            "Another file of yours is still on its way. One at a time: wait until it is there, or a minute if it broke "
            "off without a word."
        )
    if mine.filter(at__gt=now - timedelta(hours=1)).count() >= FILES_AN_HOUR:
        raise NotDone(f"You have taken {FILES_AN_HOUR} files within an hour. Wait a little.")


def _pulse_key(receipt: FileReceipt) -> str:
    return f"file:{receipt.code}"


def _is_alive(receipt: FileReceipt, now: datetime) -> bool:
    """Whether an unfinished file was begun just now, or has given a sign of life."""
    return _last_sign(receipt) > now - timedelta(seconds=SILENT_SECONDS)


def _last_sign(receipt: FileReceipt) -> datetime:
    """When it was begun, or when it last gave a sign of life."""
    told = cache.get(_pulse_key(receipt))
    return datetime.fromtimestamp(told, UTC) if isinstance(told, float) else receipt.at


class Pulse:
    """Signs of life of one file while it is made or sent, seen by every process."""

    def __init__(self, receipt: FileReceipt) -> None:
        self._key, self._last = _pulse_key(receipt), time.monotonic()

    def beat(self) -> None:
        """Called for each piece; writes only now and then."""
        now = time.monotonic()
        if now - self._last >= BEAT_SECONDS:
            self._last = now
            cache.set(self._key, timezone.now().timestamp(), GIVEN_UP_SECONDS)


def _checkpoint(actor: Actor) -> int | None:
    """The number of the checkpoint that covers the wish; None where the key can't be used, which is logged."""
    try:
        made = checkpoints.make(actor=actor)
    except (OSError, crypto.SigningKeyBroken) as error:
        log.error("No checkpoint for a file: %s", type(error).__name__)
        return None
    return made.number if made else None


def _words(receipt: FileReceipt) -> str:
    nouns = {"audit": "the record", "register": "the register", "answers": "an answer"}
    noun = (nouns | {"completeness": "the statement of completeness"}).get(receipt.what, receipt.what)
    if receipt.kind == FileReceipt.Kind.EVIDENCE:
        return f"an evidence pack (file {receipt.code})"
    return f"{noun} as {FileReceipt.Kind(receipt.kind).label} (file {receipt.code})"


def _details(receipt: FileReceipt) -> dict[str, Any]:
    told = {name: value for name, value in receipt.filter.items() if name not in ("event", "checkpoint", CHANGED)}
    return {
        "file": receipt.code,
        "what": receipt.what,
        "kind": receipt.kind,
        "filter": told,
        "zone": receipt.zone,
        "cut_off": receipt.cut_off,
        "version": receipt.version,
    }


@dataclass(frozen=True)
class Sent:
    """What a file came to; `more` goes into its last event too."""

    rows: int
    size: int
    sha256: str
    more: dict[str, Any] = field(default_factory=dict)


def finish(*, actor: Actor, receipt: FileReceipt, subject: Subject, sent: Sent) -> bool:
    """Close the receipt with what was sent, with its event. False: it was closed before."""
    values: dict[str, Any] = {"rows": sent.rows, "size": sent.size, "sha256": sent.sha256}
    if CHANGED in sent.more:
        values["filter"] = {**receipt.filter, CHANGED: sent.more[CHANGED]}
    with transaction.atomic():
        if not _close(receipt, values):
            return False
        record(
            actor=actor,
            action=Action.RECORD_EXPORTED,
            sentence=f"took {_words(receipt)}: {_rows(sent.rows)}",
            subject=subject,
            details={**_details(receipt), "rows": sent.rows, "size": sent.size, "sha256": sent.sha256, **sent.more},
        )
    return True


def break_off(*, actor: Actor, receipt: FileReceipt, subject: Subject, rows: int, size: int) -> bool:
    """Close the receipt of a file that did not get to its end, with its event. False: it was closed before."""
    with transaction.atomic():
        if not _close(receipt, {"rows": rows, "size": size}):
            return False
        record(
            actor=actor,
            action=Action.RECORD_EXPORTED,
            outcome=Outcome.FAILED,
            sentence=f"did not get {_words(receipt)} to its end: it broke off after {_rows(rows)}",
            subject=subject,
            details={**_details(receipt), "rows": rows, "size": size},
        )
    return True


def give_up(*, actor: Actor) -> int:
    """Close the receipts of files whose end nobody tells any more, such as of a killed process. Returns how many.

    How much of them left is not known. Where the end is told after all, that counts.
    """
    now = timezone.now()
    silent = now - timedelta(seconds=GIVEN_UP_SECONDS)
    done = 0
    for receipt in FileReceipt.objects.filter(finished_at=None, at__lt=silent).order_by("pk")[:MOST_AT_ONCE]:
        if _last_sign(receipt) > silent:
            continue
        with transaction.atomic():
            if FileReceipt.objects.filter(pk=receipt.pk, finished_at=None).update(finished_at=now) != 1:
                continue
            record(
                actor=actor,
                action=Action.RECORD_EXPORTED,
                outcome=Outcome.UNKNOWN,
                sentence=f"does not know how {_words(receipt)} came to its end, which {receipt.by} had asked for: "
                "whoever sent it gave no sign of life for an hour",
                subject=_subject_of(receipt),
                details=_details(receipt),
            )
        done += 1
    return done


def _subject_of(receipt: FileReceipt) -> Subject:
    """As that of its order."""
    slugs = receipt.filter.get("organizations") or []
    alone = len(slugs) == 1 and not receipt.filter.get("whole")
    return Subject(organization=Organization.objects.filter(slug=slugs[0]).first() if alone else None)


def _rows(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _close(receipt: FileReceipt, values: dict[str, Any]) -> bool:
    values = {**values, "finished_at": timezone.now()}
    # One that was given up has no rows: what is told late is better than that.
    there = FileReceipt.objects.filter(Q(finished_at=None) | Q(rows=None), pk=receipt.pk)
    if there.update(**values) != 1:
        return False
    for name, value in values.items():
        setattr(receipt, name, value)
    return True


class Download:
    """The bytes of a file, for a streaming response: counts and hashes them, and tells the end or the breaking off.

    Reads nothing before the first byte is asked for. `close()` is called by the server however the response ends.
    """

    def __init__(self, *, actor: Actor, order: Order, source: Callable[[int], Iterable[Part]]) -> None:
        """`source` gives the parts for a newest record. Raises NotDone when a limit is reached."""
        self.actor, self.order = actor, order
        fixed: list[Iterable[Part]] = []
        self.receipt = begin(actor=actor, order=order, at_cut_off=lambda seq: fixed.append(source(seq)))
        self._parts = fixed[0]
        self._hash = hashlib.sha256()
        self._rows = self._size = 0
        self._over = False
        self._pulse = Pulse(self.receipt)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for rows, data in self._parts:
                self._rows += rows
                yield self._counted(data)
            if self.receipt.kind == FileReceipt.Kind.JSONL:
                yield self._counted(self._last_line())
            sent = Sent(self._rows, self._size, self._hash.hexdigest(), self._changed())
            self._over = True
            finish(actor=self.actor, receipt=self.receipt, subject=self.order.subject, sent=sent)
        finally:  # also where a server drops what it does not read on, without a word
            self.close()

    def _changed(self) -> dict[str, int]:
        """How many rows of the register were no longer as of the newest record when they were written."""
        return {CHANGED: self._parts.changed} if isinstance(self._parts, files_register.AsOf) else {}

    def _counted(self, data: bytes) -> bytes:
        self._pulse.beat()
        self._hash.update(data)
        self._size += len(data)
        return data

    def _last_line(self) -> bytes:
        """The receipt; the hash in it is of all lines before it, since it can't be in what it covers."""
        told = {
            **_details(self.receipt),
            "at": utc(self.receipt.at),
            "by": self.receipt.by,
            "rows": self._rows,
            **self._changed(),
            "sha256_of_the_lines_before": self._hash.hexdigest(),
        }
        text = json.dumps({"receipt": told}, ensure_ascii=False, sort_keys=True)
        return f"{visible_json(text)}\n".encode("utf-8", "replace")

    def close(self) -> None:
        if self._over:
            return
        self._over = True
        break_off(actor=self.actor, receipt=self.receipt, subject=self.order.subject, rows=self._rows, size=self._size)
