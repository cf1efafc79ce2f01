"""What survives a restart: jobs, issued tokens and a few settings, in one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    ims_org_id TEXT NOT NULL, sandbox TEXT NOT NULL, job_id INTEGER NOT NULL, plan TEXT NOT NULL,
    PRIMARY KEY (ims_org_id, sandbox, job_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token (digest TEXT PRIMARY KEY, client_id TEXT NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

JobRow = tuple[str, str, int, str]


class Store:
    """One connection, one lock; every method is one transaction. Without a folder it lives in memory."""

    def __init__(self, data_dir: Path | None) -> None:
        if data_dir is None:
            target = ":memory:"
        else:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            target = str(data_dir / "emulator.sqlite3")
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(target, check_same_thread=False, timeout=1)
        try:
            # The jobs are also kept sorted in memory, so two processes on one file would drift apart.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise RuntimeError(f"{target} cannot be used, perhaps another emulator does: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._connection:
            yield self._connection

    def close(self) -> None:
        """Close the file; the store is of no use afterwards."""
        with self._lock:
            self._connection.close()

    def setting(self, name: str) -> str | None:
        """A stored setting, or None."""
        with self._transaction() as connection:
            row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    def jobs(self) -> list[JobRow]:
        """All jobs as (organization, sandbox, id, plan as JSON)."""
        with self._transaction() as connection:
            return list(connection.execute("SELECT ims_org_id, sandbox, job_id, plan FROM job"))

    def save_jobs(self, rows: Iterable[JobRow]) -> None:
        """Insert or replace jobs, all or none."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?)", rows)

    def save_token(self, digest: str, client_id: str, expires_at: float) -> None:
        """Remember a token by its digest, and forget those that ended long ago."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM token WHERE expires_at < ?", (expires_at - 7 * 86_400,))
            connection.execute("INSERT OR REPLACE INTO token VALUES (?, ?, ?)", (digest, client_id, expires_at))

    def token(self, digest: str) -> tuple[str, float] | None:
        """(client id, end as seconds since the epoch) of a token, or None."""
        with self._transaction() as connection:
            row = connection.execute("SELECT client_id, expires_at FROM token WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else (str(row[0]), float(row[1]))

    def forget_tokens(self) -> None:
        """Make every issued token invalid."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM token")
