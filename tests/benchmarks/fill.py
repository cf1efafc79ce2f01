"""Fills a record with many events at once, with a chain that verifies. For benchmarks: `fill(count)` after django.setup().

Written with plain inserts past record(), which writes one event in one transaction; the trigger that lets the head move
by one only is taken away for it and put back. What the events say is made up, of the size that real ones have.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

CHUNK = 5000
FIRST_AT = datetime(2024, 1, 1, tzinfo=UTC)
PEOPLE = ("m.lindqvist", "a.okafor", "j.tanaka", "s.moreau", "segadmin sync")
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


def told(number: int, epoch: int, seq: int, place: Place | None) -> dict[str, Any]:
    """What the event says; the same number always says the same."""
    action, outcome, sentence = KINDS[number % len(KINDS)]
    job = str(20_000 + number // len(KINDS)) if place else ""
    return {
        "action": action,
        "actor": {
            "address": f"10.20.{number % 7}.{number % 250}",
            "correlation_id": str(UUID(int=number * 7919 + 1)),
            "id": str(number % len(PEOPLE) + 1),
            "kind": "person",
            "name": PEOPLE[number % len(PEOPLE)],
            "roles": ["operator"],
            "signed_in": "password",
        },
        "at": (FIRST_AT + timedelta(seconds=60 * number)).isoformat(timespec="microseconds"),
        "attempt": str(UUID(int=number + 10**9)) if place else "",
        "details": {"dataset": "CRM out", "purpose": "Win-back letter in July", "recipient": "CRM team"},
        "epoch": epoch,
        "job": job,
        "organization": {"name": place.name, "slug": place.slug} if place else {},
        "outcome": outcome,
        "request": str(UUID(int=number // len(KINDS) + 10**12)) if place else "",
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

    known = places()
    for start in range(0, count, CHUNK):
        links, contents = [], []
        for number in range(start, min(start + CHUNK, count)):
            seq = after + number + 1
            # One of five is of no org, such as a sign-in.
            place = known[number % len(known)] if number % len(KINDS) != len(KINDS) - 1 else None
            content = told(number, epoch, seq, place)
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
