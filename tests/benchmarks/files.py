"""CSV and JSON Lines of the whole record over HTTP: rows a second, and how far the server's memory grows."""

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.benchmarks.installation import Installation, Server
from tests.benchmarks.measure import Row, at_least, at_most, in_turns, median, number_row
from tests.benchmarks.wire import COOKIE

RATE, GROWTH = at_least(50_000, " rows/s"), at_most(20, " MB")
FILES = {
    "CSV": "export.csv",
    "JSON Lines": "export.jsonl",
    "CSV of one org": "export.csv?org=acme",
    "CSV of one action": "export.csv?action=export.cancel",
}
# Nothing, and a stretch: what the first request brings into memory is none of the file's.
WARMING = ("export.csv?from=2999-01-01", "export.csv?from=today&to=today")


def run(site: Installation) -> Iterator[Row]:
    growth: dict[str, list[float]] = {name: [] for name in FILES}
    rows: dict[str, int] = {}
    with site.web() as server:
        session = site.session("files")
        for path in WARMING:
            download(server, session, path.replace("today", f"{datetime.now(UTC):%Y-%m-%d}"))

        def rate(name: str) -> float:
            watch = Watch(server.pids)
            lines, seconds = download(server, session, FILES[name])
            growth[name].append(watch.stop())
            rows[name] = lines - 1  # a line of names, or the receipt
            return rows[name] / seconds

        found = in_turns({name: partial(rate, name) for name in FILES}, site.sizes.rounds)
    if min(rows["CSV"], rows["JSON Lines"]) < site.sizes.events:
        raise RuntimeError(f"rows are missing: {rows}")
    for name, rates in found.items():
        middle, most = median(rates), max(growth[name])
        promised = name == "CSV"
        words = f"{middle:,.0f} rows/s"
        what = f"{name}, {rows[name]:,} rows, rows a second"
        target = RATE if promised else None
        yield number_row("files", what, site.database, middle, words, target=target, runs=len(rates))
        words = f"+{most:.1f} MB at most"
        what = f"{name}, growth of the server's memory"
        yield number_row("files", what, site.database, most, words, target=GROWTH, runs=len(rates))


def download(server: Server, session: str, name: str) -> tuple[int, float]:
    """(lines, seconds) of a file of the record."""
    import time

    import requests

    lines, begun = 0, time.perf_counter()
    with requests.Session() as client:
        client.trust_env = False
        with client.get(f"{server.url}/audit/{name}", cookies={COOKIE: session}, stream=True, timeout=600) as response:
            response.raise_for_status()
            for block in response.iter_content(1 << 20):
                lines += block.count(b"\n")
    return lines, time.perf_counter() - begun


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

    def __init__(self, pids: set[int]) -> None:
        self._pids = pids
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
