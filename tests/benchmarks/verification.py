"""`verify_audit` as the command itself tells its time: quick (digests and chain), full (search columns against the text),
and the whole, which also compares each job, request, role and so on that stands in a row beside the record with it.
"""

import json
from collections.abc import Iterator

from tests.benchmarks.installation import Installation, command
from tests.benchmarks.measure import Row, at_least, in_turns, median, number_row

QUICK, FULL = at_least(200_000, "/s"), at_least(75_000, "/s")


def run(site: Installation) -> Iterator[Row]:
    # Rows beside the record are compared where it is checked from its first record on.
    sides = {"quick": lambda: _rate("--quick"), "full": lambda: _rate("--from", "2"), "whole": _rate}
    found = in_turns(sides, site.sizes.rounds)
    for name, words, target in (
        ("quick", "quick check (digests and chain), events a second", QUICK),
        ("full", "full check (search columns against the text), events a second", FULL),
        ("whole", "the same with all rows beside the record, events a second", None),
    ):
        rate = median(found[name])
        words_of_rate = f"{rate:,.0f}/s"
        yield number_row(
            "verification", words, site.database, rate, words_of_rate, target=target, runs=len(found[name])
        )


def _rate(*options: str) -> float:
    done = command("verify_audit", "--json", *options)
    if done.returncode:
        raise RuntimeError(f"the record does not hold: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    told = json.loads(done.stdout)
    return float(told["events"]) / float(told["seconds"])
