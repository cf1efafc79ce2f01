"""Many processes write the record at once, with rollbacks: no number is missing or doubled, and the chain never forks."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest

from segadmin.audit.chain import START, chain_value
from tests import postgres

CHECKOUT = Path(__file__).resolve().parents[2]
WRITERS = 8
EVENTS = 25
LINKS = (
    "SELECT e.seq, e.epoch, e.digest, e.chain, c.text FROM segadmin_event e "
    "LEFT JOIN segadmin_eventcontent c ON c.seq = e.seq ORDER BY e.seq"
)
HEAD = "SELECT epoch, seq, chain FROM segadmin_chainhead"
type Link = tuple[int, int, str, str, str]


def environment(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEGADMIN_")}
    return {**kept, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}


def write_at_once(url: str) -> Counter[str]:
    """Run the writers together; returns how many events each says it left."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit.chain_writer", str(WRITERS), str(EVENTS)],
        cwd=CHECKOUT,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Counter(json.loads(done.stdout))


def check(links: Iterable[Link], head: tuple[int, int, str], stayed: Counter[str]) -> None:
    previous, found, last = START, Counter[str](), 0
    for seq, epoch, digest, chain, text in links:
        assert seq == last + 1
        assert epoch == 1
        assert hashlib.sha256(text.encode()).hexdigest() == digest
        assert chain == chain_value(epoch, seq, previous, digest)
        told = json.loads(text)
        assert told["seq"] == seq
        found[told["actor"]["name"]] += 1
        previous, last = chain, seq
    assert head == (1, last, previous)
    assert found == stayed
    assert last > WRITERS * EVENTS / 3


def test_many_writers_on_sqlite(data_folder: Path) -> None:
    file = data_folder / "segadmin.sqlite3"
    stayed = write_at_once(f"sqlite:///{file}")
    connection = sqlite3.connect(file)
    try:
        check(connection.execute(LINKS).fetchall(), connection.execute(HEAD).fetchone(), stayed)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


@pytest.mark.postgres
def test_many_writers_on_postgresql() -> None:
    cluster = postgres.cluster()
    stayed = write_at_once(cluster.create("writers", template=cluster.migrated()))
    with psycopg.connect(cluster.dsn("writers")) as connection:
        links: list[Link] = connection.execute(LINKS).fetchall()
        head = connection.execute(HEAD).fetchone()
    assert head is not None
    check(links, (head[0], head[1], head[2]), stayed)
