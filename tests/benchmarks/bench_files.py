"""CSV and JSON Lines of many events over HTTP: rows a second, and how far the server's memory grows.

    python -m tests.benchmarks.bench_files [--events 1000000] [--database-url URL] [--keep FOLDER]

Real processes: a data folder of its own, granian as `serve` starts it, one reader on loopback. The aim is 50,000 rows a
second as CSV with less than 20 MB of growth.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import requests

from segadmin.processes import free_port
from tests.processes import Program, clean_environment, descendants

COOKIE = "segadmin-session"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def prepare(count: int) -> str:
    """Fill the record in this process's database; gives the session key of an admin of the whole installation."""
    import django

    django.setup()
    from django.test import Client

    from segadmin.models import Event, Membership, Role, User
    from tests.benchmarks.fill import fill

    missing = count - Event.objects.count()
    begun = time.perf_counter()
    if missing > 0:
        fill(missing)
    say(f"filled {max(missing, 0):,} events in {time.perf_counter() - begun:.0f} s")
    user, made = User.objects.get_or_create(username="bench")
    if made:
        Membership.objects.create(user=user, organization=None, role=Role.ADMIN)
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return str(client.cookies[COOKIE].value)


def resident(pids: set[int]) -> int:
    """Memory of the processes in bytes."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
        except OSError:
            continue
        total += int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


class Watch:
    """The highest memory of a server while something runs."""

    def __init__(self, pid: int) -> None:
        self._pids = descendants(pid) | {pid}
        self.before = self.highest = resident(self._pids)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.highest = max(self.highest, resident(self._pids))

    def stop(self) -> float:
        """Growth in MB."""
        self._over.set()
        self._thread.join()
        return (self.highest - self.before) / 1e6


def download(address: str, session: str) -> tuple[int, int, float, str]:
    """(lines, bytes, seconds, SHA-256) of a file."""
    digest, size, lines, begun = hashlib.sha256(), 0, 0, time.perf_counter()
    with requests.get(address, cookies={COOKIE: session}, stream=True, timeout=600) as response:
        response.raise_for_status()
        for block in response.iter_content(1 << 20):
            digest.update(block)
            size += len(block)
            lines += block.count(b"\n")
    return lines, size, time.perf_counter() - begun, digest.hexdigest()


def measure(env: Mapping[str, str], session: str, count: int) -> None:
    port = free_port()
    with_port = {**env, "SEGADMIN_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    server = Program.manage("serve", f"--port={port}", env=with_port)
    try:
        server.line(r"http://127\.0\.0\.1|ready|Listening|listening")
        address = f"http://127.0.0.1:{port}"
        _wait(address)
        # What the first request brings into memory is none of the file's: it has the same code and one row range.
        download(f"{address}/audit/export.csv?from=2999-01-01", session)
        download(f"{address}/audit/export.csv?from=2024-01-01&to=2024-01-03", session)
        for name in ("export.csv", "export.jsonl", "export.csv?org=acme", "export.csv?action=export.cancel"):
            watch = Watch(server.process.pid)
            lines, size, seconds, _digest = download(f"{address}/audit/{name}", session)
            growth = watch.stop()
            say(
                f"{name:34} {lines:>9,} lines {size / 1e6:>7,.0f} MB {seconds:>6.1f} s "
                f"{lines / seconds:>9,.0f} rows/s  memory +{growth:.1f} MB"
            )
            if name == "export.csv" and lines < count:
                raise SystemExit("rows are missing")
    finally:
        server.stop()


def _wait(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{address}/healthz", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database-url", default="", help="else SQLite in a folder of its own")
    parser.add_argument("--keep", type=Path, help="a data folder to use and to keep")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segadmin-bench-") as folder:
        where = chosen.keep or Path(folder)
        env = clean_environment(
            SEGADMIN_DATA_DIR=str(where.absolute()),
            SEGADMIN_PUBLIC_URL="http://127.0.0.1:8000",
            DJANGO_SETTINGS_MODULE="segadmin.settings",
            **({"DATABASE_URL": chosen.database_url} if chosen.database_url else {}),
        )
        if Program.manage("migrate", "--verbosity=0", env=env).ended(600):
            raise SystemExit("the database could not be prepared")
        for name in [name for name in os.environ if name.startswith(("SEGADMIN_", "DATABASE_URL"))]:
            del os.environ[name]
        os.environ.update({name: text for name, text in env.items() if name.startswith(("SEGADMIN", "DATA", "DJANGO"))})
        session = prepare(chosen.events)
        measure(env, session, chosen.events)


if __name__ == "__main__":
    main()
