"""DATA_DIR/record_seen: the newest record that was committed from here, with its chain value.

A chain can't show that its end was cut off. Who can write to the database and not to this folder can't hide it from this
file, up to the very last record; nor can an older copy of the database that was put back without `restore`. Who can write
to both can alter both: against them only what is kept elsewhere counts.

The first line has a fixed width and is written over after each commit, without waiting for the disk: the database waits
for its own, so what a power cut leaves here is never ahead of it. Lines below it are kept for good: what was seen once
in a record that turned out to end before it.
"""

import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

log = logging.getLogger("segadmin.record")
FILE = "record_seen"
MOST_KEPT = 100
_FORM = re.compile(r"segadmin-seen-1 +([0-9]{1,10}) +([0-9]{1,19}) ([0-9a-f]{64})")
_WIDTH = len(f"segadmin-seen-1 {0:>10} {0:>19} {'':64}\n")


class Seen(NamedTuple):
    """A record that was committed from here."""

    epoch: int
    seq: int
    chain: str

    @property
    def line(self) -> str:
        return f"segadmin-seen-1 {self.epoch:>10} {self.seq:>19} {self.chain}"


def path() -> Path:
    return Path(settings.DATA_DIR) / FILE


def seen() -> list[Seen]:
    """Everything that the file holds, each once, the newest first; what is no such line counts nowhere."""
    return list(dict.fromkeys(found for line in _lines() if (found := _read(line))))


def odd_lines() -> int:
    """Lines that are none: a power cut leaves such a first line, or somebody altered it, or the file can't be read."""
    return sum(1 for line in _lines() if _read(line) is None)


def _lines() -> list[str]:
    try:
        return path().read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"can't be read: {error.strerror}"]


def _read(line: str) -> Seen | None:
    match = _FORM.fullmatch(line)
    return Seen(int(match[1]), int(match[2]), match[3]) if match else None


def before(epoch: int, seq: int, chain: str) -> None:
    """Called with the head while it is locked: what is told in the first line was committed, so the head is not before it.

    Where it is, that line is kept, since what is committed next would be written over it.
    """
    told = _first()
    if told is None or told.seq <= seq:
        return
    log.error(
        "Record %d was committed from here, and the record ends at %d: it was cut off, or an older copy of the database "
        "was put back without manage.py restore.",
        told.seq,
        seq,
    )
    try:
        if len(seen()) <= MOST_KEPT:
            _keep(told)
        _write(Seen(epoch, seq, chain))
    except OSError as error:
        log.error("%s can't be written: %s", path(), error.strerror)


def after(epoch: int, seq: int, chain: str) -> None:
    """Called after the commit of a record. Of two at once the lower one may stay: it then says a little less than it could."""
    try:
        told = _first()
        if told is None or told.seq < seq:
            _write(Seen(epoch, seq, chain))
    except OSError as error:
        log.error("%s can't be written: %s", path(), error.strerror)


def _first() -> Seen | None:
    try:
        descriptor = os.open(path(), os.O_RDONLY)
        try:
            return _read(os.pread(descriptor, _WIDTH, 0).decode("ascii", "replace").rstrip("\n"))
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _write(told: Seen) -> None:
    descriptor = os.open(path(), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, f"{told.line}\n".encode("ascii"), 0)
    finally:
        os.close(descriptor)


def _keep(told: Seen) -> None:
    descriptor = os.open(path(), os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{told.line}\n".encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
