"""Speed, measured side by side: `python -m tests.benchmarks [NAME …]`. Prints a markdown table.

Everything runs on loopback with temporary folders: a database filled with made-up events, an emulated Adobe, and web
servers as real processes. PostgreSQL is a server of its own with the settings that it comes with, fsync on.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from segadmin.processes import free_port
from tests import postgres
from tests.benchmarks.inside import SUBJECTS
from tests.benchmarks.installation import PREPARED, Sizes, environment, say
from tests.benchmarks.measure import Row, table
from tests.processes import CHECKOUT


def _arguments() -> argparse.Namespace:
    told = "\n".join(f"  {name:14}{does}" for name, does in SUBJECTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog=f"names:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; all of them when none is named")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    parser.add_argument(
        "--folder", type=Path, help="where the temporary folders are made; needs room for the databases"
    )
    parser.add_argument("--keep", type=Path, help="keep the filled databases there, and use them when they are there")
    for name, value in vars(Sizes()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"(default: {value:,})")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(SUBJECTS):
        parser.error(f"no subject is called {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    return chosen


@contextmanager
def _database(kind: str, folder: Path, keep: bool) -> Iterator[str]:
    """The DATABASE_URL; empty for SQLite in the data folder."""
    if kind == "sqlite":
        yield ""
        return
    programs = postgres.binaries()
    if programs is None:
        raise SystemExit("There is no PostgreSQL here: its programs (initdb) are not found. Try --database sqlite.")
    data = folder / "postgresql"
    is_there = data.exists()
    data.mkdir(exist_ok=True)
    cluster = postgres.Cluster(data, programs, durable=True)
    try:
        yield cluster.url("bench") if is_there else cluster.create("bench")
    finally:
        cluster.stop(keep=keep)


@contextmanager
def _folder(kind: str, chosen: argparse.Namespace) -> Iterator[Path]:
    """A temporary one; or a kept one, which is emptied when it was filled for another size or by other migrations."""
    if chosen.keep is None:
        with tempfile.TemporaryDirectory(prefix="segadmin-bench-", dir=chosen.folder) as made:
            yield Path(made)
        return
    migrations = sorted((CHECKOUT / "segadmin" / "migrations").glob("*.py"))
    told = f"{chosen.events} {hashlib.sha256(b''.join(path.read_bytes() for path in migrations)).hexdigest()}\n"
    folder = chosen.keep.absolute() / kind
    mark = folder / "filled"
    if not mark.exists() or mark.read_text(encoding="ascii") != told:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    yield folder
    if (folder / "data" / PREPARED).exists():
        mark.write_text(told, encoding="ascii")


def _measured(kind: str, chosen: argparse.Namespace) -> tuple[str, list[Row], bool]:
    """(versions, results, whether all subjects came to their end) of one database."""
    with _folder(kind, chosen) as folder:
        folder.chmod(0o755)  # PostgreSQL runs as another user where this one is root
        data, out = folder / "data", folder / "results"
        data.mkdir(mode=0o700, exist_ok=True)
        out.unlink(missing_ok=True)
        with _database(kind, folder, keep=chosen.keep is not None) as url:
            port = _port(data)
            # In the order of SUBJECTS, whatever the order they were asked for in.
            names = [name for name in SUBJECTS if name in chosen.names or not chosen.names]
            words = [*names, f"--database={kind}", f"--out={out}", f"--emulator-port={port}"]
            words += [f"--{name}={getattr(chosen, name)}" for name in vars(Sizes())]
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.inside", *words],
                env=environment(data, port, url),
                cwd=CHECKOUT,
                check=False,
            )
        lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    if not lines:
        raise SystemExit(f"{kind}: the database could not be prepared")
    return lines[0], [Row.from_json(line) for line in lines[1:]], done.returncode == 0


def _port(data: Path) -> int:
    """The emulator's; a kept database has its address, so it stays the same when nobody took it."""
    kept = data / "emulator_port"
    port = free_port(int(kept.read_text(encoding="ascii")) if kept.exists() else 0)
    kept.write_text(str(port), encoding="ascii")
    return port


def main() -> int:
    chosen = _arguments()
    kinds = ["sqlite", "postgresql"] if chosen.database == "both" else [chosen.database]
    on, rows, whole = [], [], True
    for kind in kinds:
        told, found, came_to_end = _measured(kind, chosen)
        on.append(told)
        rows += found
        whole &= came_to_end
    sizes = {name: getattr(chosen, name) for name in vars(Sizes())}
    if chosen.json:
        everything = {"on": on, "sizes": sizes, "rows": [asdict(row) for row in rows]}
        chosen.json.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{chosen.events:,} events. {'; '.join(on)}.\n\n{table(rows)}\n")
    missed = sum(row.met is False for row in rows)
    say(f"{missed} of {sum(row.met is not None for row in rows)} targets missed")
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
