"""The record: chained, append-only, in the transaction of what it tells."""

import hashlib
import json

import pytest
from django.db import DatabaseError, connection, transaction

from segadmin.audit import Actor, Subject, record
from segadmin.audit.chain import START, chain_value
from segadmin.models import Action, ChainHead, ContentExpiry, Event, EventContent, Sandbox

pytestmark = pytest.mark.django_db


def write(actor: Actor, sentence: str = "did something", **details: object) -> Event:
    return record(actor=actor, action=Action.SIGN_IN, sentence=sentence, details=details)


def execute(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_events_are_numbered_without_gaps_and_chained(actor: Actor) -> None:
    first, second = write(actor), write(actor)
    assert (first.seq, second.seq) == (1, 2)
    assert first.chain == chain_value(1, 1, START, first.digest)
    assert second.chain == chain_value(1, 2, first.chain, second.digest)
    head = ChainHead.objects.get()
    assert (head.seq, head.chain) == (2, second.chain)


def test_digest_covers_the_canonical_text(actor: Actor, prod: Sandbox) -> None:
    event = record(
        actor=actor,
        action=Action.EXPORT_CANCEL,
        sentence="cancelled 24102",
        subject=Subject(sandbox=prod, job_id="24102"),
        details={"reason": "wrong dataset", "ratio": 0.5, "nested": [True, None, {"é": "ß"}]},
    )
    content = EventContent.objects.get(event=event)
    assert hashlib.sha256(content.text.encode()).hexdigest() == event.digest
    told = json.loads(content.text)
    assert told["sandbox"] == "prod"
    assert told["organization"] == {"name": "Acme Retail", "slug": "acme"}
    assert told["details"]["nested"] == [True, None, {"é": "ß"}]
    assert told["details"]["ratio"] == "0.5"
    assert told["actor"]["roles"] == ["operator"]
    assert len(told["salt"]) == 32


def test_a_rolled_back_change_leaves_no_event_and_no_gap(actor: Actor) -> None:
    write(actor)

    def change_your_mind() -> None:
        with transaction.atomic():
            write(actor)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_your_mind()
    assert write(actor).seq == 2
    assert Event.objects.count() == 2


@pytest.mark.parametrize(
    "text", ["two\nlines", "a\r\nb", "right \u202eto left", "null \x00 byte", "x" * 10_000, "<script>alert(1)</script>"]
)
def test_a_sentence_is_one_line(actor: Actor, text: str) -> None:
    sentence = EventContent.objects.get(event=write(actor, text)).sentence
    assert len(sentence) <= 2000
    assert not set(sentence) & set("\n\r\x00\u202e")


@pytest.mark.parametrize("table", ["segadmin_event", "segadmin_eventcontent", "segadmin_contentexpiry"])
@pytest.mark.parametrize("statement", ["UPDATE {t} SET {c} = {c}", "DELETE FROM {t}"])
def test_sql_can_not_change_the_record(actor: Actor, table: str, statement: str) -> None:
    write(actor)
    ContentExpiry(seq=99, at="2026-01-01T00:00:00Z", reason="test").save()
    column = "digest" if table == "segadmin_event" else "reason" if "expiry" in table else "text"
    with pytest.raises(DatabaseError, match="can not be changed"):
        execute(statement.format(t=table, c=column))


def test_the_head_can_only_move_on(actor: Actor) -> None:
    write(actor)
    for change in ("seq = 0", "seq = seq + 2", "chain = 'x'"):
        with pytest.raises(DatabaseError, match="can not be changed"):
            execute(f"UPDATE segadmin_chainhead SET {change}")  # noqa: S608
    with pytest.raises(DatabaseError, match="can not be changed"):
        execute("DELETE FROM segadmin_chainhead")


def test_replacing_or_truncating_is_refused(actor: Actor) -> None:
    write(actor)
    statement = (
        # Its own rule comes first: no TRUNCATE while a check of this transaction waits.
        "SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE segadmin_event CASCADE"
        if connection.vendor == "postgresql"
        else "INSERT OR REPLACE INTO segadmin_event (seq, epoch, digest, chain) VALUES (1, 1, 'x', 'y')"
    )
    with pytest.raises(DatabaseError, match="can not be changed"):
        execute(statement)


def test_the_orm_refuses_too(actor: Actor) -> None:
    event = write(actor)
    event.digest = "x"
    for act in (
        event.save,
        event.delete,
        Event.objects.all().delete,
        lambda: Event.objects.update(digest="x"),
        EventContent.objects.all().delete,
    ):
        with pytest.raises(PermissionError):
            act()


def test_expired_content_may_go_and_leaves_its_link(actor: Actor) -> None:
    event = write(actor)
    ContentExpiry(seq=event.seq, at="2026-01-01T00:00:00Z", reason="after 12 months").save()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM segadmin_eventcontent WHERE seq = %s", [event.seq])
    assert not EventContent.objects.exists()
    assert Event.objects.get().digest == event.digest
