"""A number is never issued twice, not even after a restore: DATA_DIR/record_mark says up to where numbers may be in use.

It is written in blocks ahead of the numbers, so that it costs nothing as a rule, and it is no part of a backup: what was
issued after the backup stays known on this machine.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

BLOCK = 1000
RESTORING = "record_restoring"
_known: dict[Path, int] = {}
_restoring_here = False
_lock = threading.Lock()


def path() -> Path:
    return Path(settings.DATA_DIR) / "record_mark"


def read() -> int:
    """The highest number that may have been issued here; 0 where nothing is known. ValueError for a damaged file."""
    try:
        return int(path().read_text(encoding="ascii").strip() or 0)
    except FileNotFoundError:
        return 0


def reserve(seq: int) -> None:
    """Make sure that the mark covers `seq` before it is issued. Raises OSError, so that nothing is issued without it."""
    where = path()
    if not _restoring_here and where.with_name(RESTORING).exists():
        raise OSError("A restore did not come to its end, so numbers could be issued twice. Run it again.")
    if seq <= _known.get(where, 0):
        return
    with _lock:
        mark = read()
        if seq > mark:
            mark = seq + BLOCK - 1
            _write(where, mark)
        _known[where] = mark


@contextmanager
def restoring() -> Iterator[None]:
    """From before a database is replaced until its new epoch has begun: a kill in between must not lead to old numbers.

    The file stays where this does not come to its end, and then nothing is issued until a restore does.
    """
    global _restoring_here
    file = path().with_name(RESTORING)
    file.touch(mode=0o600)
    _restoring_here = True
    try:
        yield
        file.unlink()
    finally:
        _restoring_here = False


def _write(where: Path, mark: int) -> None:
    """Replace the file in one step; on disk when this returns."""
    temporary = where.with_name(f".{where.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(f"{mark}\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(where)
    folder = os.open(where.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
