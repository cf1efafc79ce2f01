"""The record's page at many times as many events: the database is copied and grown, and both are served side by side.

The copy grows by whole blocks of its own rows within the database, with numbers and times that go on. Its texts and links
are those of the first block, so its chain does not hold; no page reads that.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.fill import RARE_PERSON
from tests.benchmarks.installation import Installation, say
from tests.benchmarks.measure import Row, at_most, in_turns, median, ratio_row
from tests.benchmarks.wire import EVENT_ROW, Wire

TARGET = at_most(2)
PROMISED = ("first page", "deepest page")  # a filter finds more in more, so its pages are not the same
PATHS = {
    "first page": "/audit/",
    "deepest page": "/audit/?q=created%3Aall&after=51",
    "frequent filter": "/audit/?q=action%3Aexport.create",
    "rare filter": f"/audit/?q=actor%3A{RARE_PERSON[0]}",
}
CONTENT, LINK, HEAD = "segadmin_eventcontent", "segadmin_event", "segadmin_chainhead"
NAME = "bench_grown"


def run(site: Installation) -> Iterator[Row]:
    site.session("grown")
    env = _sqlite(site) if site.database == "sqlite" else _postgresql(site)
    try:
        with (
            site.web() as small,
            site.web(env=env) as large,
            site.wire(small, "grown") as here,
            site.wire(large, "grown") as there,
        ):
            for wire in (here, there):
                wire.holds(PATHS["deepest page"], EVENT_ROW, 50)
            for name, path in PATHS.items():
                yield _compared(site, name, path, here, there)
    finally:
        _remove(site, env)


def _compared(site: Installation, name: str, path: str, here: Wire, there: Wire) -> Row:
    def side(wire: Wire) -> Callable[[], float]:
        return lambda: median(wire.page(path).seconds for _request in range(site.sizes.requests))

    sides = {"large": side(there), "small": side(here)}
    for one in sides.values():
        one()
    found = in_turns(sides, site.sizes.rounds)
    target = TARGET if name in PROMISED else None
    what = f"record, {name}, {site.sizes.grow * site.sizes.events:,} events against {site.sizes.events:,}"
    return ratio_row("growth", what, site.database, ours=found["large"], base=found["small"], target=target)


def _folder(site: Installation) -> Path:
    """A copy of the data folder but for the database; keys and marks have to fit the copied record."""
    copy = site.folder.parent / NAME
    ignored = shutil.ignore_patterns("*.sqlite3*", "emulator", "static", "*.lock")
    return Path(shutil.copytree(site.folder, copy, ignore=ignored))


def _close() -> None:
    from django.db import connection

    connection.close()
    if hasattr(connection, "close_pool"):
        connection.close_pool()


def _sqlite(site: Installation) -> dict[str, str]:
    _close()
    folder = _folder(site)
    file = folder / "segadmin.sqlite3"
    shutil.copy(site.folder / "segadmin.sqlite3", file)
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000", "temp_store = FILE"):
        connection.execute(f"PRAGMA {pragma}")
    listed = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND (type = 'trigger' OR "
    listed += "(type = 'index' AND tbl_name = ?))"
    made = connection.execute(listed, [CONTENT]).fetchall()
    for kind, name, _statement in made:
        connection.execute(f'DROP {kind} "{name}"')
    at = "strftime('%Y-%m-%d %H:%M:%S', CAST(strftime('%s', {base}) AS INTEGER) + {step}, 'unixepoch')"
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({CONTENT})")]
    _grow(connection.execute, site.sizes.grow, columns, at)
    for _kind, _name, statement in made:
        connection.execute(statement)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    say(f"  grown to {file.stat().st_size / 1e9:.1f} GB")
    return {**os.environ, "SEGADMIN_DATA_DIR": str(folder)}


def _postgresql(site: Installation) -> dict[str, str]:
    import psycopg

    folder = _folder(site)
    _close()
    with psycopg.connect(_dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f'CREATE DATABASE {NAME} TEMPLATE "{_database()}"')
    with psycopg.connect(_dsn(NAME), autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        for table in (LINK, CONTENT, HEAD):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        listed = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname NOT LIKE '%%_pkey'"
        made = connection.execute(listed, [CONTENT]).fetchall()
        for name, _statement in made:
            connection.execute(f'DROP INDEX "{name}"')
        named = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
        columns = [row[0] for row in connection.execute(named, [CONTENT])]
        _grow(connection.execute, site.sizes.grow, columns, "{base}::timestamptz + {step} * interval '1 second'")
        for _name, statement in made:
            connection.execute(statement)
        for table in (LINK, CONTENT, HEAD):
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        connection.execute("VACUUM ANALYZE")
    address = os.environ["DATABASE_URL"].rpartition("/")[0]
    return {**os.environ, "SEGADMIN_DATA_DIR": str(folder), "DATABASE_URL": f"{address}/{NAME}"}


def _grow(execute: Callable[[str], Any], times: int, columns: list[str], at: str) -> None:
    """Blocks of the rows that are there, a second apart after the newest one; then the head, so that events go on."""
    first, last, newest = execute(f"SELECT min(seq), max(seq), max(at) FROM {CONTENT}").fetchone()  # noqa: S608
    if first != 1:
        raise RuntimeError("the record does not begin at 1")
    for number in range(1, times):
        by = number * last
        execute(
            f"INSERT INTO {LINK} (seq, epoch, digest, chain) "  # noqa: S608
            f"SELECT seq + {by}, epoch, digest, chain FROM {LINK} WHERE seq <= {last} ORDER BY seq"
        )
        new = {"seq": f"seq + {by}", "at": at.format(base=f"'{newest}'", step=f"(seq + {by - last})")}
        execute(
            f"INSERT INTO {CONTENT} ({', '.join(columns)}) "  # noqa: S608
            f"SELECT {', '.join(new.get(name, name) for name in columns)} FROM {CONTENT} WHERE seq <= {last} ORDER BY seq"
        )
        say(f"  {by + last:,} events")
    execute(f"UPDATE {HEAD} SET seq = {times * last} WHERE id = 1")  # noqa: S608


def _database() -> str:
    from django.db import connection

    return str(connection.settings_dict["NAME"])


def _dsn(database: str) -> str:
    from django.db import connection

    told = connection.settings_dict
    return f"host={told['HOST']} user={told['USER']} dbname={database}"


def _remove(site: Installation, env: dict[str, str]) -> None:
    """Gigabytes that nobody needs any more."""
    shutil.rmtree(env["SEGADMIN_DATA_DIR"], ignore_errors=True)
    if site.database == "postgresql":
        import psycopg

        with psycopg.connect(_dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
