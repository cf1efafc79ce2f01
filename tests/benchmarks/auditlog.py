"""The whole page of the record against django-auditlog's list in the admin: as many rows, in the same database.

Both are served by the same process through the same middleware to the same client, so that only the pages differ.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator

from tests.benchmarks.installation import Installation, say
from tests.benchmarks.measure import Row, at_most, in_turns, median, ratio_row
from tests.benchmarks.wire import EVENT_ROW, Wire
from tests.processes import Program

TARGET = at_most(0.1)
THEIR_ROW = '<th class="field-created'
# Rows on a page -> (ours, theirs).
PAGES = {50: ("/audit/", "/shorter/auditlog/logentry/"), 100: ("/longer/", "/admin/auditlog/logentry/")}
# Theirs takes seconds where there are many rows: one request a round.
THEIR_REQUESTS = 1


def run(site: Installation) -> Iterator[Row]:
    if importlib.util.find_spec("auditlog") is None:
        raise RuntimeError("django-auditlog is not installed: .venv/bin/pip install -r .requirements/bench.txt")
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.benchmarks.auditlog_settings"}
    if Program.manage("migrate", "--verbosity=0", env=env).ended(600):
        raise RuntimeError("the tables of django-auditlog could not be made")
    count = _fill()
    say(f"  {count:,} entries in django-auditlog's table")
    with site.web(env=env) as server, site.wire(server, "reader") as wire:
        for rows, (ours, theirs) in PAGES.items():
            wire.holds(ours, EVENT_ROW, rows)
            wire.holds(theirs, THEIR_ROW, rows)
            yield _compared(site, wire, f"first page of {rows} rows", ours, theirs)
        pages = count // 50
        deep = f"/shorter/auditlog/logentry/?p={pages}"
        last = "/audit/?q=created%3Aall&after=51"
        wire.holds(last, EVENT_ROW, 50)
        yield _compared(site, wire, "last page of 50 rows", last, deep)


def _compared(site: Installation, wire: Wire, words: str, ours: str, theirs: str) -> Row:
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: median(wire.page(ours).seconds for _request in range(site.sizes.requests)),
        "theirs": lambda: median(wire.page(theirs).seconds for _request in range(THEIR_REQUESTS)),
    }
    found = in_turns(sides, site.sizes.rounds)
    what = f"{words}, against django-auditlog's of as many rows"
    return ratio_row("auditlog", what, site.database, ours=found["ours"], base=found["theirs"], target=TARGET)


def _fill() -> int:
    """One entry for each event with what the event says, in one statement; returns how many there are."""
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection

    from segadmin.models import Job, User

    kind = ContentType.objects.get_for_model(Job).pk
    actor = User.objects.order_by("pk").values_list("pk", flat=True)[0]
    changes = '{"state": ["running", "succeeded"], "profiles": ["None", "41200"]}'
    json, address = ("%s::jsonb", "::inet") if connection.vendor == "postgresql" else ("%s", "")
    statement = (
        "INSERT INTO auditlog_logentry (content_type_id, object_pk, object_id, object_repr, action, changes_text, "  # noqa: S608
        "changes, actor_id, cid, remote_addr, timestamp) SELECT %s, CAST(seq AS varchar(20)), seq, sentence, seq %% 3, "
        f"'', {json}, %s, correlation_id, NULLIF(address, ''){address}, at FROM segadmin_eventcontent c ORDER BY c.seq"
    )
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM auditlog_logentry")  # of an earlier run on a kept database
        cursor.execute(statement, [kind, changes, actor])
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE auditlog_logentry")
        cursor.execute("SELECT count(*) FROM auditlog_logentry")
        return int(cursor.fetchone()[0])
