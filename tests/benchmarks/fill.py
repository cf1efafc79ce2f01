"""Fills a record with many events at once, with a chain that verifies. For benchmarks: `fill(count)` after django.setup().

Written with plain inserts past record(), which writes one event in one transaction; the trigger that lets the head move
by one only is taken away for it and put back. What the events say is made up, of the size that real ones have.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.benchmarks.exports import asked

CHUNK = 5000
STEP = timedelta(minutes=1)
PEOPLE = ("operator", "operator-2", "operator-3", "approver", "admin")
KINDS = (
    (
        "export.create",
        "requested",
        "asked to export e-mail and identity ids of everyone in “Lapsed buyers” to “CRM out”",
    ),
    ("export.create", "succeeded", "asked Adobe for an export; Adobe made job {job}"),
    ("job.changed", "succeeded", "saw that job {job} has finished"),
    ("export.cancel", "failed", "asked to cancel job {job}; Adobe refused"),
    ("signin.done", "succeeded", "signed in with a password"),
)
# What few events say, for searches that find little in much: one event of so many.
RARE_PERSON, RARE_ACTION = ("guest.auditor", 4001), ("batch.checked", 3001)


def first_at(count: int) -> datetime:
    """When the first of so many events was: the last one is of today, so that pages which begin with recent ones do."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - count * STEP


@dataclass(frozen=True)
class Place:
    """A sandbox with what events say of it."""

    organization: int
    slug: str
    name: str
    sandbox: int
    sandbox_name: str


def places() -> list[Place]:
    """The sandboxes of the database; makes two orgs with one each where there are none."""
    from segadmin.models import Organization, Sandbox

    if not Sandbox.objects.exists():
        for slug, name in (("acme", "Acme Retail"), ("nordwind", "Nordwind")):
            made = Organization.objects.create(slug=slug, name=name, ims_org_id=f"{slug}@AdobeOrg")
            Sandbox.objects.create(organization=made, name="prod", title="Production", type="production")
    rows = Sandbox.objects.select_related("organization").order_by("pk")
    return [Place(row.organization_id, row.organization.slug, row.organization.name, row.pk, row.name) for row in rows]


def person_of(number: int) -> str:
    """Everybody does everything, so that filters of person and action cut across each other."""
    return RARE_PERSON[0] if number % RARE_PERSON[1] == 7 else PEOPLE[number // len(KINDS) % len(PEOPLE)]


def _details(export: int) -> dict[str, Any]:
    facts = asked(export)
    names = ("dataset", "purpose", "recipient", "ticket", "legal_basis")
    return {name: getattr(facts, name) for name in names}


def told(number: int, epoch: int, seq: int, place: Place | None, begun_at: datetime) -> dict[str, Any]:
    """What the event says; but for the time the same number always says the same."""
    action, outcome, sentence = KINDS[number % len(KINDS)]
    export = number // len(KINDS)
    if place and number % RARE_ACTION[1] == 11:
        action, outcome, sentence = RARE_ACTION[0], "succeeded", "looked into the batch of job {job}"
    job = str(20_000 + export) if place else ""
    return {
        "action": action,
        "actor": {
            "address": f"10.20.{number % 7}.{number % 250}",
            "correlation_id": str(UUID(int=number * 7919 + 1)),
            "id": str(export % len(PEOPLE) + 1),
            "kind": "person",
            "name": person_of(number),
            "roles": ["operator"],
            "signed_in": "password",
        },
        "at": (begun_at + number * STEP).isoformat(timespec="microseconds"),
        "attempt": str(UUID(int=number + 10**9)) if place else "",
        "details": _details(export) if place else {},
        "epoch": epoch,
        "job": job,
        "organization": {"name": place.name, "slug": place.slug} if place else {},
        "outcome": outcome,
        "request": str(UUID(int=export + 10**12)) if place else "",
        "salt": f"{number * 2654435761:032x}"[-32:],
        "sandbox": place.sandbox_name if place else "",
        "sentence": sentence.format(job=job),
        "seq": seq,
    }


def fill(count: int) -> None:
    """Append `count` events to the record of the configured database."""
    from django.db import connection, transaction

    from segadmin.audit import mark, triggers
    from segadmin.models import ChainHead

    head = ChainHead.objects.get(pk=1)
    last = head.seq + count
    with connection.cursor() as cursor:
        on_table = " ON segadmin_chainhead" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER segadmin_chainhead_no_update{on_table}")
        for links, contents, chain in _chunks(head.seq, head.epoch, head.chain, count):  # noqa: B007 (the last is kept)
            with transaction.atomic():
                cursor.executemany(_LINK, links)
                cursor.executemany(_CONTENT, contents)
        with transaction.atomic():
            cursor.execute("UPDATE segadmin_chainhead SET seq = %s, chain = %s WHERE id = 1", [last, chain])
    triggers.install(connection)
    mark.reserve(last)


_LINK = "INSERT INTO segadmin_event (seq, epoch, digest, chain) VALUES (%s, %s, %s, %s)"
_CONTENT = (
    "INSERT INTO segadmin_eventcontent (seq, text, organization_id, sandbox_id, at, request_uuid, attempt_uuid, "
    "actor_kind, actor_id, actor_name, action, outcome, sentence, organization_name, sandbox_name, job_id, "
    "correlation_id, address) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


def _chunks(after: int, epoch: int, chain: str, count: int) -> Iterator[tuple[list[Any], list[Any], str]]:
    from django.db import connection

    from segadmin.audit.chain import canonical, chain_value, digest_of

    known, begun_at = places(), first_at(count)
    for start in range(0, count, CHUNK):
        links, contents = [], []
        for number in range(start, min(start + CHUNK, count)):
            seq = after + number + 1
            # One of five is of no org, such as a sign-in; the other four are about one export.
            place = known[number // len(KINDS) % len(known)] if number % len(KINDS) != len(KINDS) - 1 else None
            content = told(number, epoch, seq, place, begun_at)
            text = canonical(content)
            digest = digest_of(text)
            chain = chain_value(epoch, seq, chain, digest)
            links.append((seq, epoch, digest, chain))
            contents.append(_row(connection, seq, text, content, place))
        yield links, contents, chain


def _row(connection: Any, seq: int, text: str, content: dict[str, Any], place: Place | None) -> tuple[Any, ...]:
    from segadmin.audit.columns import COLUMNS, columns_of

    columns = dict(zip(COLUMNS, columns_of(content), strict=True))
    native = connection.features.has_native_uuid_field
    uuids = [columns[name] if native else columns[name].replace("-", "") for name in ("request_uuid", "attempt_uuid")]
    names = ("actor_kind", "actor_id", "actor_name", "action", "outcome", "sentence", "organization_name")
    return (
        seq,
        text,
        place.organization if place else None,
        place.sandbox if place else None,
        connection.ops.adapt_datetimefield_value(datetime.fromisoformat(columns["at"])),
        *(value or None for value in uuids),
        *(columns[name] for name in (*names, "sandbox_name", "job_id", "correlation_id", "address")),
    )
