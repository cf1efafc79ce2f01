"""What the event before a call costs: a chained event against a plain insert of the same content, each in a transaction
of its own that waits for the disk; and a whole attempt, which is what a call to Adobe waits for.
"""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from tests.benchmarks.installation import Installation
from tests.benchmarks.measure import Row, at_most, in_turns, median, ms, number_row, ratio_row

PLAIN = "bench_plain"
TARGETS = {"sqlite": at_most(2), "postgresql": at_most(3)}
WAIT = at_most(2, " ms")
BATCH = 60


def run(site: Installation) -> Iterator[Row]:
    _twin()
    chained, plain, attempt = _chained(), _plain(), _attempt()
    every = (("plain", plain), ("chained", chained), ("attempt", attempt), ("disk", _disk(site)))
    sides = {name: _batch(one) for name, one in every}
    for side in sides.values():
        side()
    found = in_turns(sides, site.sizes.rounds)
    target = TARGETS[site.database]
    what = "chained event against a plain insert, p50"
    yield ratio_row("writing", what, site.database, ours=found["chained"], base=found["plain"], target=target)
    disk = median(found["disk"])
    what = "the disk alone: 4 kB at the end of a file, fsync, p50"
    yield number_row("writing", what, site.database, disk, ms(disk), runs=site.sizes.rounds)
    for name, words in (("chained", "one chained event, p50"), ("attempt", "attempt before a call, p50")):
        wait = median(found[name])
        yield number_row("writing", words, site.database, wait * 1000, ms(wait), target=WAIT, runs=site.sizes.rounds)
    _drop()


def _batch(one: Callable[[], Callable[[], object] | None]) -> Callable[[], float]:
    """The median of some in a row; what one hands back is done outside of the measured time."""

    def timed() -> float:
        begun = time.perf_counter()
        after = one()
        taken = time.perf_counter() - begun
        if after is not None:
            after()
        return taken

    return lambda: median(timed() for _time in range(BATCH))


def _twin() -> None:
    """A table with the columns and indexes of the contents of events, and none of the chain."""
    from django.db import connection

    source = "segadmin_eventcontent"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {PLAIN}")
        if connection.vendor == "postgresql":
            cursor.execute(f"CREATE TABLE {PLAIN} (LIKE {source} INCLUDING ALL)")
            return
        cursor.execute("SELECT type, sql FROM sqlite_master WHERE tbl_name = %s AND sql IS NOT NULL", [source])
        for kind, made in cursor.fetchall():
            if kind in ("table", "index"):
                cursor.execute(made.replace(source, PLAIN).replace('INDEX "', 'INDEX "bench_'))


def _drop() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {PLAIN}")


def _disk(site: Installation) -> Callable[[], None]:
    """What the machine needs for the least that can be made durable."""
    file = (site.folder / "bench_disk").open("ab", buffering=0)

    def one() -> None:
        file.write(b"x" * 4096)
        os.fsync(file.fileno())

    return one


DETAILS = {"dataset": "CRM out", "purpose": "Win-back letter in July", "recipient": "CRM team"}
SENTENCE = "asked to export e-mail and identity ids of everyone in “Lapsed buyers” to “CRM out”"


def _actor() -> Any:
    from segadmin.audit import Actor

    return Actor(kind="person", name="operator", id="1", roles=("operator",), address="10.20.1.7", correlation_id="b-1")


def _chained() -> Callable[[], None]:
    from django.db import transaction

    from segadmin.audit import Subject, record
    from segadmin.models import Action, Outcome, Sandbox

    actor, subject = _actor(), Subject(sandbox=Sandbox.objects.select_related("organization").order_by("pk")[0])

    def one() -> None:
        with transaction.atomic(durable=True):
            record(
                actor=actor,
                action=Action.EXPORT_CREATE,
                outcome=Outcome.REQUESTED,
                sentence=SENTENCE,
                subject=subject,
                details=DETAILS,
            )

    return one


def _plain() -> Callable[[], None]:
    """The same text and columns by one plain statement; only the number is made here instead of by the chain."""
    from django.db import connection, transaction
    from django.utils import timezone

    from segadmin.models import Sandbox

    sandbox = Sandbox.objects.select_related("organization").order_by("pk")[0]
    names = "seq text organization_id sandbox_id at actor_kind actor_id actor_name action outcome sentence "
    names += "organization_name sandbox_name job_id correlation_id address"
    columns = names.split()
    statement = f"INSERT INTO {PLAIN} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # noqa: S608
    numbers = iter(range(1, 10**9))

    def row(at: datetime) -> list[Any]:
        content = {"at": at.isoformat(), "details": DETAILS, "actor": _actor().as_json(), "sentence": SENTENCE}
        content |= {"salt": secrets.token_hex(16), "sandbox": sandbox.name, "outcome": "requested", "x": "x" * 280}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        instant = connection.ops.adapt_datetimefield_value(at)
        said = ["person", "1", "operator", "export.create", "requested", SENTENCE]
        return [text, sandbox.organization_id, sandbox.pk, instant, *said, sandbox.organization.name, sandbox.name]

    def one() -> None:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(statement, [next(numbers), *row(timezone.now()), "", "b-1", "10.20.1.7"])

    return one


def _attempt() -> Callable[[], Callable[[], object]]:
    """Opened as before a call; closed afterwards, so that none stays open for the mirror to settle."""
    from segadmin.audit import attempts
    from segadmin.models import Attempt, Sandbox

    actor, sandbox = _actor(), Sandbox.objects.select_related("organization").order_by("pk")[0]
    kind, failed = Attempt.Kind.CREATE, Attempt.State.FAILED

    def one() -> Callable[[], object]:
        row = attempts.attempt(
            actor=actor, kind=kind, sandbox=sandbox, sentence=SENTENCE, details=DETAILS, fingerprint="b"
        )
        assert row is not None
        return lambda: attempts.close(row, failed, sentence="was only measured")

    return one
