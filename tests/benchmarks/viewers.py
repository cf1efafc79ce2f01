"""People who leave the jobs list open: what that costs Adobe, how much of it is idle, and how long an answer takes.

Every viewer has a session and a connection of its own and asks every 5 seconds, spread evenly, as browsers do. Windows
with one viewer and with all of them take turns.
"""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urlencode, urljoin

from tests.benchmarks.installation import LIVE, Installation, Server, sign_in
from tests.benchmarks.measure import Row, at_least, at_most, in_turns, median, ms, number_row, percentile
from tests.benchmarks.wire import Answer, Wire

EVERY_SECONDS = 5.0
PERSONS = 10  # each with several sessions


class Viewer:
    """The open list in one browser."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self.answers = wire, list[Answer]()
        self._address = ""
        self.load()

    def load(self) -> None:
        """The page, and what its refresh sends back."""
        page = self._wire.page("/jobs/").text
        found = re.search(r'id="job-table"[^>]*hx-get="([^"]*)"', page)
        inputs = re.findall(r"<input [^>]*data-known[^>]*>", page)
        assert found, "the list has no refresh"
        known = [(_attribute(item, "name"), _attribute(item, "value")) for item in inputs]
        self._address = f"{urljoin('/jobs/', unescape(found[1]))}&{urlencode(known)}"

    def poll(self) -> None:
        answer = self._wire.get(self._address, HX_Request="true", Accept_Encoding="gzip, deflate, br, zstd")
        self.answers.append(answer)
        if answer.status == 200:  # something changed: the page shows it from now on
            self.load()

    def watch(self, begin: float, end: float) -> None:
        """Poll at `begin` and every 5 seconds after, however long an answer took."""
        due, pause = begin, threading.Event()
        while due < end:
            pause.wait(max(0.0, due - time.monotonic()))
            self.poll()
            due += EVERY_SECONDS


def _attribute(element: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', element)
    assert found, f"{element} has no {name}"
    return unescape(found[1])


@dataclass
class Window:
    """What was seen while some viewers watched."""

    calls: int
    changed: bool
    answers: list[Answer] = field(repr=False)


def run(site: Installation) -> Iterator[Row]:
    with ExitStack() as stack:
        server = stack.enter_context(site.web("--with-sync"))
        viewers = _viewers(site, server, stack)
        windows: dict[str, list[Window]] = {"one": [], "all": []}

        def window(name: str, some: list[Viewer]) -> float:
            windows[name].append(_window(site, some))
            return float(windows[name][-1].calls)

        in_turns({"one": lambda: window("one", viewers[:1]), "all": lambda: window("all", viewers)}, site.sizes.rounds)
    yield _calls(site, windows)
    yield from _idle(site, windows["all"])
    yield _waiting(site, windows["all"])
    yield _web_alone(site)


def _viewers(site: Installation, server: Server, stack: ExitStack) -> list[Viewer]:
    made = []
    for number in range(site.sizes.viewers):
        wire = stack.enter_context(Wire(server.port, sign_in(f"viewer-{number % PERSONS}")))
        made.append(Viewer(wire))
    return made


def _window(site: Installation, some: list[Viewer]) -> Window:
    for viewer in some:
        viewer.answers.clear()
        viewer.load()
    before = _told()
    site.emulator.forget()
    begin = time.monotonic() + 0.1
    end = begin + site.sizes.seconds
    starts = [begin + EVERY_SECONDS * number / len(some) for number in range(len(some))]
    with ThreadPoolExecutor(len(some)) as pool:
        list(pool.map(lambda viewer, start: viewer.watch(start, end), some, starts))
    threading.Event().wait(max(0.0, end - time.monotonic()))
    calls = sum(str(call["endpoint"]).startswith("jobs.") for call in site.emulator.calls())
    return Window(calls, _told() != before, [answer for viewer in some for answer in viewer.answers])


def _told() -> list[tuple[int, int]]:
    """What the mirror has seen of the jobs that Adobe keeps."""
    from segadmin.models import Job

    rows = Job.objects.filter(sandbox__organization__slug=LIVE).order_by("pk")
    return list(rows.values_list("pk", "version"))


def _calls(site: Installation, windows: dict[str, list[Window]]) -> Row:
    one, everybody = (sum(window.calls for window in windows[name]) for name in ("one", "all"))
    ratio = everybody / max(one, 1)
    # A window's edges cut readings: one of each of the two sandboxes, or a tenth, says nothing.
    limit = at_most(one + max(2, one // 10))
    return Row(
        subject="viewers",
        what=f"calls to Adobe for jobs with {site.sizes.viewers} viewers against 1",
        database=site.database,
        measured=f"{everybody} calls",
        against=f"{one} calls",
        ratio=round(ratio, 3),
        target=f"1.0 ({limit} calls, since windows cut readings)",
        met=limit.met_by(everybody),
        runs=len(windows["all"]),
    )


def _idle(site: Installation, windows: list[Window]) -> Iterator[Row]:
    """Only of windows in which no job changed: then every poll is idle."""
    still = [window for window in windows if not window.changed]
    answers = [answer for window in still for answer in window.answers]
    if not answers:
        yield Row(
            subject="viewers",
            what="idle polls answered without a body",
            database=site.database,
            measured="no window was idle",
            met=False,
        )
        return
    without = [answer for answer in answers if answer.status in (204, 304)]
    share = 100 * len(without) / len(answers)
    words = f"{share:.1f} % of {len(answers):,}"
    what = "idle polls answered without a body"
    yield number_row("viewers", what, site.database, share, words, target=at_least(90, " %"), runs=len(still))
    size = max((answer.wire for answer in without), default=0)
    middle = median(answer.wire for answer in without) if without else 0
    words = f"{middle:,.0f} bytes, the largest {size:,}"
    what = "bytes of such an answer, head included"
    yield number_row("viewers", what, site.database, size, words, target=at_most(500, " bytes"), runs=len(still))


def _waiting(site: Installation, windows: list[Window]) -> Row:
    """The p99 of each window; its median over the windows."""
    each = [percentile((answer.seconds for answer in window.answers), 99) for window in windows]
    middle = median(answer.seconds for window in windows for answer in window.answers)
    wrong = sum(answer.status not in (200, 204, 304) for window in windows for answer in window.answers)
    p99 = median(each)
    words = f"p99 {ms(p99)}, p50 {ms(middle)}" + (f", {wrong} refused" if wrong else "")
    what = f"{site.sizes.viewers} pollers every {EVERY_SECONDS:g} s"
    number = float("inf") if wrong else p99 * 1000
    return number_row("viewers", what, site.database, number, words, target=at_most(100, " ms"), runs=len(each))


def _web_alone(site: Installation) -> Row:
    """Without a mirror nobody calls Adobe, however many look."""
    with ExitStack() as stack:
        server = stack.enter_context(site.web())
        viewers = _viewers(site, server, stack)
        _window(site, viewers)
        calls = len(site.emulator.calls())
    what = f"calls to Adobe by the web server itself, {site.sizes.viewers} viewers"
    return number_row("viewers", what, site.database, calls, str(calls), target=at_most(0), runs=1)
