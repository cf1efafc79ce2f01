"""How many pages and idle answers a second one worker of 8 threads gives, asked by eight clients at once."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from tests.benchmarks.installation import Installation, Server
from tests.benchmarks.measure import Row, in_turns, median, number_row
from tests.benchmarks.viewers import Viewer
from tests.benchmarks.wire import Wire

CLIENTS = 8
ROWS = 50
PAGES = {"jobs list": "/jobs/", "record": "/audit/", "register": "/register/"}


def run(site: Installation) -> Iterator[Row]:
    seconds = min(site.sizes.seconds / 5, 5.0)
    with site.web() as server, ExitStack() as stack:
        wires = [stack.enter_context(site.wire(server, "reader")) for _client in range(CLIENTS)]
        for path in PAGES.values():
            wires[0].page(path)
        sides: dict[str, Callable[[], float]] = {
            name: partial(_rate, wires, path, seconds) for name, path in PAGES.items()
        }
        sides["polls"] = partial(_polls, site, server, seconds)
        found = in_turns(sides, site.sizes.rounds)
    for name in PAGES:
        rate = median(found[name])
        words = f"{rate:,.0f} pages/s, {rate * ROWS:,.0f} rows/s"
        yield number_row(
            "rendering", f"{name}, pages of {ROWS} rows", site.database, rate, words, runs=site.sizes.rounds
        )
    rate = median(found["polls"])
    yield number_row(
        "rendering", "idle polls of the jobs list", site.database, rate, f"{rate:,.0f}/s", runs=site.sizes.rounds
    )


def _rate(wires: list[Wire], path: str, seconds: float) -> float:
    return _together([partial(wire.page, path) for wire in wires], seconds)


def _polls(site: Installation, server: Server, seconds: float) -> float:
    with ExitStack() as stack:
        viewers = [Viewer(stack.enter_context(site.wire(server, "reader"))) for _client in range(CLIENTS)]
        return _together([viewer.poll for viewer in viewers], seconds)


def _together(clients: Sequence[Callable[[], object]], seconds: float) -> float:
    """Answers a second while every client asks again as soon as it has its answer."""
    begun = time.perf_counter()

    def ask(client: Callable[[], object]) -> int:
        done = 0
        while time.perf_counter() < begun + seconds:
            client()
            done += 1
        return done

    with ThreadPoolExecutor(len(clients)) as pool:
        done = sum(pool.map(ask, clients))
    return done / (time.perf_counter() - begun)
