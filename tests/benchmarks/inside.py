"""The measuring process of one database: prepares it, runs the chosen subjects, writes one JSON line for each result."""

import argparse
import importlib
import os
import time
import traceback
from pathlib import Path
from typing import Any

from tests.benchmarks.installation import Emulator, Installation, Sizes, prepare, say, versions
from tests.benchmarks.measure import Row

# Name -> what it shows. One module each, with `run(site)` that yields rows. In this order, since files, pages of the
# comparison and growth leave events, caches and folders behind that the others should not meet.
SUBJECTS = {
    "verification": "events a second, quick and full",
    "upstream": "the jobs list while Adobe is slow or down",
    "viewers": "100 people who watch the list: calls to Adobe, idle answers, waiting",
    "weight": "bytes of a first visit",
    "deepest": "the last page of record and register against the first",
    "filters": "filtered pages against the whole list",
    "writing": "what the event before a call costs",
    "rendering": "pages a second",
    "files": "CSV and JSON Lines over HTTP",
    "growth": "the record's page at ten times as many events",
    "auditlog": "the record's page against the list of django-auditlog",
}


def main() -> int:
    """Environment (database, data folder) comes from the process that started this one. 1 when a subject failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--database", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--emulator-port", type=int, required=True)
    for name, value in vars(Sizes()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    chosen = parser.parse_args()
    import django

    django.setup()
    folder = Path(os.environ["SEGADMIN_DATA_DIR"])
    emulator = Emulator(folder / "emulator", chosen.emulator_port)
    sizes = Sizes(**{name: getattr(chosen, name) for name in vars(Sizes())})
    site = Installation(folder, chosen.database, sizes, emulator)
    with emulator, chosen.out.open("w", encoding="utf-8") as out:
        prepare(site)
        out.write(f"{versions()}\n")
        failed = [name for name in chosen.names if not _run(name, site, out)]
    return bool(failed)


def _run(name: str, site: Installation, out: Any) -> bool:
    """One subject; what it had measured before it failed stays."""
    begun = time.perf_counter()
    say(f"{site.database}: {name} …")
    try:
        for row in importlib.import_module(f"tests.benchmarks.{name}").run(site):
            out.write(f"{row.as_json()}\n")
            out.flush()
            say(f"  {row.what}: {row.measured} {f'{row.ratio:.2f} x' if row.ratio else ''} {_mark(row)}")
    except Exception as error:
        say(traceback.format_exc())
        told = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}".replace("|", "/")
        row = Row(subject=name, what="could not be measured", database=site.database, measured=told, met=False)
        out.write(f"{row.as_json()}\n")
        return False
    say(f"{site.database}: {name} took {time.perf_counter() - begun:.0f} s")
    return True


def _mark(row: Row) -> str:
    return {True: "met", False: f"MISSED ({row.target})", None: ""}[row.met]


if __name__ == "__main__":
    code = main()
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()
    raise SystemExit(code)
