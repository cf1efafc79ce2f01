"""Changes the record behind segadmin's back, by raw SQL with the triggers dropped; the test's transaction undoes it."""

from collections.abc import Callable
from typing import Any

from django.db import connection

from segadmin.audit import Actor, Subject, record, triggers
from segadmin.audit.chain import START, canonical, chain_value, digest_of
from segadmin.audit.verify import verify
from segadmin.models import Action, Event, Sandbox

type Row = dict[str, Any]
EVENT, CONTENT = "segadmin_event", "segadmin_eventcontent"


def fill(count: int, sandbox: Sandbox | None = None, name: str = "operator") -> list[Event]:
    """Ordinary events."""
    actor = Actor(kind="person", name=name, id="1", roles=("operator",), address="10.0.0.1", correlation_id="r-1")
    return [
        record(
            actor=actor,
            action=Action.EXPORT_CANCEL,
            sentence=f"cancelled {number}",
            subject=Subject(sandbox=sandbox, job_id=str(number)),
            details={"reason": "wrong dataset"},
        )
        for number in range(count)
    ]


def disarm() -> None:
    """Drop every trigger of the record, as the owner of the database can."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name, definition in triggers.expected(connection).items():
            table = definition.split(" ON ")[1].split(" ")[0]
            cursor.execute(f"DROP TRIGGER {name}" + (f" ON {table}" if connection.vendor == "postgresql" else ""))


def sql(statement: str, *values: Any) -> None:
    """Run a statement of a test."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def rows_of(table: str) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY seq")  # noqa: S608 - one of two names
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def rewrite(change: Callable[[list[Row], list[Row]], tuple[list[Row], list[Row]]]) -> None:
    """Put other rows in the place of all events and contents, and move the head to the last of them."""
    events, contents = change(rows_of(EVENT), rows_of(CONTENT))
    sql("DELETE FROM segadmin_eventcontent")
    sql("DELETE FROM segadmin_event")
    for table, rows in ((EVENT, events), (CONTENT, contents)):
        for row in rows:
            names = ", ".join(row)
            marks = ", ".join(["%s"] * len(row))
            sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", *row.values())  # noqa: S608 - names of columns
    last = events[-1]
    sql("UPDATE segadmin_chainhead SET epoch = %s, seq = %s, chain = %s", last["epoch"], last["seq"], last["chain"])


def chained(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
    """Digests and chain values as they would have been, had these texts been written from the start."""
    previous = START
    texts = {row["seq"]: row["text"] for row in contents}
    for row in events:
        row["digest"] = digest_of(texts[row["seq"]])
        row["chain"] = previous = chain_value(row["epoch"], row["seq"], previous, row["digest"])
    return events, contents


def forged(text: str) -> str:
    """Another sentence in the place of the true one."""
    assert "cancelled" in text
    return text.replace("cancelled", "looked at")


def renumbered(content: Row, by: int) -> Row:
    """The same content under another number; its text keeps the old one, which its digest covers."""
    return {**content, "seq": content["seq"] + by}


__all__ = ["canonical", "chained", "disarm", "fill", "forged", "renumbered", "rewrite", "rows_of", "sql"]


def named(statement: str, words: str, kind: str | None = None) -> None:
    """Carry out a statement; the full check then has damage that says the words (and is all of one kind, where given)."""
    sql(statement)
    result = verify()
    assert not result.ok
    assert any(words in damage.says for damage in result.damage), result.damage
    assert all(damage.seq > 0 and kind in (None, damage.kind) for damage in result.damage), result.damage
