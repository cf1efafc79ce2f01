"""Checkpoints: signed heads of the record, in the database, in an append-only file, and with an outside witness.

The form of a line and how it is checked stand in verifier.py. A checkpoint proves nothing while it lies only here: what
counts is the copy that somebody outside has.
"""

import fcntl
import logging
import os
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from segadmin.audit import keys
from segadmin.audit.actor import Actor
from segadmin.audit.chain import START, locked_head
from segadmin.audit.verifier import CHECKPOINT, find_checkpoints
from segadmin.audit.verifier import Checkpoint as Line
from segadmin.models import Action, ChainHead, Checkpoint, Event, EventContent

log = logging.getLogger("segadmin.record")
FILE = "checkpoints.txt"
# Events that follow from checkpoints and checks themselves: alone they are no reason for another checkpoint.
QUIET = (Action.CHECKPOINT, Action.WITNESS, Action.RECORD_VERIFIED)


def path() -> Path:
    return Path(settings.DATA_DIR) / FILE


def newest() -> Checkpoint | None:
    found: Checkpoint | None = Checkpoint.objects.order_by("-number").first()
    return found


def in_file() -> list[Line]:
    """The checkpoints of the append-only file, as they stand there; it outlives a restore of the database."""
    try:
        return find_checkpoints(path().read_text(encoding="ascii", errors="replace"))
    except FileNotFoundError:
        return []


def odd_lines() -> int:
    """Lines of the file that are no checkpoint: one that a crash cut short, or one that was altered."""
    try:
        text = path().read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return 0
    return sum(1 for line in text.splitlines() if line.strip() and not CHECKPOINT.fullmatch(line.strip()))


def altered_rows() -> list[tuple[int, int]]:
    """(number, record) of rows whose columns are not what their signed line says, or whose line is none."""
    found = []
    for row in Checkpoint.objects.order_by("number"):
        lines = find_checkpoints(row.text)
        told = lines[0] if len(lines) == 1 and lines[0].line == row.text else None
        at = row.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        columns = (row.number, row.epoch, row.seq, row.count, row.chain, at, row.previous, row.key_id, row.signature)
        if told is None or columns != astuple(told):
            found.append((row.number, row.seq))
    return found


def in_table() -> list[Line]:
    lines = Checkpoint.objects.order_by("number").values_list("line", "signature")
    return find_checkpoints("\n".join(f"{line} {signature}" for line, signature in lines))


def is_due(now: datetime, every: timedelta) -> bool:
    """Whether something happened since the last checkpoint, and that is long enough ago."""
    last = newest()
    if last is not None and last.at > now - every:
        return False
    after = last.seq if last else 0
    return EventContent.objects.filter(event__gt=after).exclude(action__in=QUIET).exists()


def make(*, actor: Actor) -> Checkpoint | None:
    """Sign the head as it stands, once; the same checkpoint again where nothing was added, None for an empty record.

    Within a transaction it covers what that wrote, and the files follow when it commits. It must come last: the head of
    the record stays locked. Raises OSError or crypto.SigningKeyBroken when the key can't be used.
    """
    with transaction.atomic():
        key = keys.signer()
        last = newest()
        head = ChainHead.objects.get(pk=1)
        if head.seq == 0 or (last is not None and (last.epoch, last.seq) == (head.epoch, head.seq)):
            return last
        keys.introduce(key, actor=actor)
        made = _signed(key)
        made.save()
        transaction.on_commit(write_files)
    return made


def _signed(key: keys.Signer) -> Checkpoint:
    head = locked_head()
    before = max([*_newest_line(), *_tail_of_file()], key=lambda line: line.number, default=None)
    base = Checkpoint.objects.filter(seq__lte=head.seq).order_by("-number").first()
    added = Event.objects.filter(seq__gt=base.seq if base else 0).count()
    line = Line(
        number=before.number + 1 if before else 1,
        epoch=head.epoch,
        seq=head.seq,
        count=(base.count if base else 0) + added,
        chain=head.chain,
        at=timezone.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        previous=before.sha256 if before else START,
        key_id=key.key_id,
        signature="",
    )
    return Checkpoint(
        number=line.number,
        epoch=line.epoch,
        seq=line.seq,
        count=line.count,
        chain=line.chain,
        at=datetime.fromisoformat(line.at),
        previous=line.previous,
        key_id=key.key_id,
        signature=key.sign(line.signed),
        line=line.signed,
    )


def _newest_line() -> list[Line]:
    last = newest()
    return find_checkpoints(last.text) if last else []


def _tail_of_file(size: int = 65_536) -> list[Line]:
    """The last checkpoints of the file, without reading all of it."""
    try:
        with path().open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - size))
            return find_checkpoints(handle.read().decode("ascii", "replace"))
    except FileNotFoundError:
        return []


def _ends_whole() -> bool:
    with path().open("rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read(1) == b"\n"


def write_files() -> bool:
    """Bring the append-only file and the list of public keys up to the table. False where a file can't be written."""
    try:
        keys.write_public()
        descriptor = os.open(path(), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="ascii") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # another process may be appending the same ones
            last = max((line.number for line in _tail_of_file()), default=0)
            if handle.tell() and not _ends_whole():
                handle.write("\n")  # a crash cut the last line short
            rows = Checkpoint.objects.filter(number__gt=last).order_by("number").values_list("line", "signature")
            handle.write("".join(f"{line} {signature}\n" for line, signature in rows))
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        log.error("The checkpoints can't be written to %s: %s", path(), error.strerror)
        return False
    return True
