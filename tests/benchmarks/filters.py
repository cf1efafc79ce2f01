"""Filtered pages of record and register against the same page without a filter: rare and frequent values, with and
without exclusion, and combined. What is found has to be right as well: each page is also asked for its rows.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlencode

from tests.benchmarks.exports import FREQUENT_TICKET, RARE_AUDIENCE, RARE_DATASET, RARE_RECIPIENT
from tests.benchmarks.fill import RARE_ACTION, RARE_PERSON, first_at
from tests.benchmarks.installation import Installation
from tests.benchmarks.measure import Row, at_most, in_turns, median, ratio_row
from tests.benchmarks.wire import Wire

TARGET = at_most(3)
# Line -> what it is an example of. Without a period the record's page looks at the last three months. {week} is the
# second week that is on record.
RECORD = {
    "action:export.create": "frequent action",
    f"action:{RARE_ACTION[0]}": "rare action",
    "actor:operator": "frequent person",
    f"actor:{RARE_PERSON[0]}": "rare person",
    "outcome:failed": "frequent outcome",
    "org:acme": "org",
    "job:20009 created:all": "one job, all time",
    "ticket:CRM-1003 created:all": "rare ticket, all time",
    f"ticket:{FREQUENT_TICKET}": "frequent ticket",
    "pii:health created:all": "rare personal data, all time",
    "pii:email": "frequent personal data",
    f'recipient:"{RARE_RECIPIENT}" created:all': "rare recipient, all time",
    "created:{week}": "period",
    "-action:export.create": "frequent action left out",
    "-actor:operator": "frequent person left out",
    f"-ticket:{FREQUENT_TICKET}": "frequent ticket left out",
    "actor:operator action:export.cancel org:acme": "three frequent ones",
    f"actor:{RARE_PERSON[0]} outcome:failed": "rare and frequent",
    "ticket:CRM-1003 outcome:succeeded created:all": "rare ticket and frequent outcome",
    "action:export.create created:all": "frequent action, all time",
    f"actor:{RARE_PERSON[0]} created:all": "rare person, all time",
    "outcome:failed org:acme created:all": "two frequent ones, all time",
    f'audience:"{RARE_AUDIENCE}" created:all': "rare audience, all time",
    "-actor:operator created:all": "frequent person left out, all time",
    "actor:operator-2 created:{week}": "person and period",
    "org:acme -outcome:failed created:{week}": "org, left out, period",
}
REGISTER = {
    "outcome:failed": "outcome",
    "org:acme": "org",
    "actor:operator": "frequent person",
    "ticket:CRM-1003": "rare ticket",
    f"ticket:{FREQUENT_TICKET}": "frequent ticket",
    "pii:health": "rare personal data",
    "pii:email": "frequent personal data",
    f'audience:"{RARE_AUDIENCE}"': "rare audience",
    'audience:"Lapsed buyers"': "frequent audience",
    f'dataset:"{RARE_DATASET}"': "rare dataset",
    'dataset:"CRM out"': "frequent dataset",
    f'recipient:"{RARE_RECIPIENT}"': "rare recipient",
    "field:_health.bloodGroup": "rare field",
    "created:{week}": "period",
    f"-ticket:{FREQUENT_TICKET}": "frequent ticket left out",
    "-pii:email": "frequent personal data left out",
    "pii:health org:acme": "rare and frequent",
    f"ticket:{FREQUENT_TICKET} org:acme outcome:failed": "three frequent ones",
    "pii:email created:{week}": "frequent and period",
}
LISTS = {
    "record": ("/audit/", RECORD, r'<details class="ev" id="([^"]+)'),
    "register": ("/register/", REGISTER, r'href="/register/(\d+)/"'),
}


def run(site: Installation) -> Iterator[Row]:
    with site.web() as server, site.wire(server, "reader") as wire:
        for name, (path, lines, rows) in LISTS.items():
            yield from _list(site, wire, name, path, lines, rows)


def _list(site: Installation, wire: Wire, name: str, path: str, lines: dict[str, str], rows: str) -> Iterator[Row]:
    begun_at = first_at(site.sizes.events)
    week = f"{begun_at + timedelta(days=7):%Y-%m-%d}..{begun_at + timedelta(days=13):%Y-%m-%d}"
    lines = {line.replace("{week}", week): words for line, words in lines.items()}
    sides: dict[str, Callable[[], float]] = {"": lambda: _page(site, wire, path)}
    counted = {}
    for line in lines:
        address = f"{path}?{urlencode({'q': line})}"
        counted[line] = len(set(re.findall(rows, wire.page(address).text)))
        sides[line] = lambda address=address: _page(site, wire, address)  # type: ignore[misc]
    found = in_turns(sides, site.sizes.rounds)
    ratios = [median(found[line]) / median(found[""]) for line in lines]
    for line, words in lines.items():
        empty = "" if counted[line] else ", nothing found"
        what = f"{name}: {words} (`{line}`{empty})"
        yield ratio_row("filters", what, site.database, ours=found[line], base=found[""], target=TARGET)
    yield Row(
        subject="filters",
        what=f"{name}: all {len(ratios)} filters",
        database=site.database,
        measured=f"median {median(ratios):.2f} times, slowest {max(ratios):.2f} times",
        ratio=round(max(ratios), 3),
        target=str(TARGET),
        met=TARGET.met_by(max(ratios)),
        runs=site.sizes.rounds,
    )


def _page(site: Installation, wire: Wire, address: str) -> float:
    return median(wire.page(address).seconds for _request in range(site.sizes.requests))
