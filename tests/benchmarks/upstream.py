"""The jobs list while Adobe answers at once, takes 2 s for each answer, or is down: pages read the mirror only."""

from collections.abc import Callable, Iterator

from django.utils import timezone

from tests.benchmarks.installation import LIVE, Installation
from tests.benchmarks.measure import Row, at_most, in_turns, median, ratio_row
from tests.benchmarks.wire import Wire
from tests.processes import eventually

TARGET = at_most(1.1)
SLOW = 2.0


def run(site: Installation) -> Iterator[Row]:
    with site.web("--with-sync") as server, site.wire(server, "reader") as wire:
        wire.page("/jobs/")
        sides: dict[str, Callable[[], float]] = {
            "at once": lambda: _list_while(site, wire, _answering(site, 0)),
            "slow": lambda: _list_while(site, wire, _answering(site, SLOW)),
            "down": lambda: _list_while(site, wire, _gone(site)),
        }
        try:
            found = in_turns(sides, site.sizes.rounds)
        finally:
            _back(site)
            site.emulator.slow(0)
    for side, words in (("slow", f"Adobe takes {SLOW:g} s"), ("down", "Adobe is down")):
        what = f"jobs list, p50, while {words}, against at once"
        yield ratio_row("upstream", what, site.database, ours=found[side], base=found["at once"], target=TARGET)


def _list_while(site: Installation, wire: Wire, holds: Callable[[], object]) -> float:
    """The median over some requests once the mirror has met that Adobe."""
    eventually(holds, "the mirror's next call")
    return median(wire.page("/jobs/").seconds for _request in range(site.sizes.requests))


def _answering(site: Installation, seconds: float) -> Callable[[], object]:
    _back(site)
    site.emulator.slow(seconds)
    site.emulator.forget()
    return site.emulator.calls


def _gone(site: Installation) -> Callable[[], object]:
    from segadmin.models import Sandbox

    site.emulator.stop()
    failing = Sandbox.objects.filter(organization__slug=LIVE, failures__gt=0)
    return failing.exists


def _back(site: Installation) -> None:
    """Adobe runs, and the mirror does not wait out the pause after its failures."""
    from segadmin.models import Sandbox

    if not site.emulator.is_running:
        site.emulator.start()
    Sandbox.objects.filter(organization__slug=LIVE).update(due_at=timezone.now(), failures=0, failing_since_at=None)
