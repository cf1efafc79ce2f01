"""Alter, delete, swap, insert, cut the tail by raw SQL with the triggers dropped: each is found, named, and placed."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from segadmin.audit import Actor, record
from segadmin.audit.verifier import Damage
from segadmin.audit.verify import verify
from segadmin.models import Action, ContentExpiry, Organization, Sandbox
from tests.audit.tampering import Row, chained, disarm, fill, forged, renumbered, rewrite, sql

pytestmark = pytest.mark.django_db
RECORDS = 12


@pytest.fixture
def filled(prod: Sandbox) -> None:
    fill(RECORDS, prod)
    assert verify().ok
    disarm()


def first_damage(*, full: bool = True) -> Damage:
    result = verify(full=full)
    assert not result.ok
    assert result.damaged >= len(result.damage) > 0
    return result.damage[0]


def update(table: str, seq: int, **values: object) -> None:
    sets = ", ".join(f"{name} = %s" for name in values)
    sql(f"UPDATE segadmin_{table} SET {sets} WHERE seq = %s", *values.values(), seq)  # noqa: S608


def test_an_altered_text(filled: None) -> None:
    sql("UPDATE segadmin_eventcontent SET text = replace(text, 'cancelled', 'looked at') WHERE seq = 5")
    for full in (True, False):
        assert first_damage(full=full)[:2] == ("changed", 5)


@pytest.mark.parametrize("column", ["digest", "chain"])
def test_an_altered_link(filled: None, column: str) -> None:
    update("event", 5, **{column: "f" * 64})
    assert first_damage(full=False)[:2] == ("changed", 5)


def test_an_altered_epoch(filled: None) -> None:
    update("event", 5, epoch=2)
    assert first_damage()[:2] == ("changed", 5)


def test_a_text_with_a_fresh_digest_breaks_the_chain(filled: None) -> None:
    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        from segadmin.audit.chain import digest_of

        contents[4]["text"] = forged(contents[4]["text"])
        events[4]["digest"] = digest_of(contents[4]["text"])
        return events, contents

    rewrite(change)
    assert first_damage(full=False)[:2] == ("changed", 5)


def test_a_link_made_anew_breaks_the_next_one(filled: None) -> None:
    """Digest and chain value of one record fit; then the record after it does not. Both are named."""

    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        contents[4]["text"] = forged(contents[4]["text"])
        kept = [row["chain"] for row in events]
        digests = [row["digest"] for row in events]
        events, contents = chained(events, contents)
        for at in range(5, RECORDS):
            events[at]["chain"], events[at]["digest"] = kept[at], digests[at]
        return events, contents

    rewrite(change)
    damage = first_damage(full=False)
    assert damage[:2] == ("changed", 6)
    assert "record 5" in damage.says


def test_a_deleted_record(filled: None) -> None:
    sql("DELETE FROM segadmin_eventcontent WHERE seq = 5")
    sql("DELETE FROM segadmin_event WHERE seq = 5")
    assert first_damage() == Damage("removed", 5, "Record 5 is gone.")


def test_deleted_records_at_the_beginning(filled: None) -> None:
    sql("DELETE FROM segadmin_eventcontent WHERE seq <= 3")
    sql("DELETE FROM segadmin_event WHERE seq <= 3")
    assert first_damage() == Damage("removed", 1, "Records 1 to 3 are gone.")


def test_deleted_content_without_expiry(filled: None) -> None:
    sql("DELETE FROM segadmin_eventcontent WHERE seq IN (5, 7)")
    result = verify()
    assert [damage[:2] for damage in result.damage] == [("removed", 5), ("removed", 7)]
    assert (result.with_content, result.by_digest_only, result.missing) == (RECORDS - 2, 0, 2)


@pytest.mark.parametrize("told", [True, False])
def test_expired_content_is_no_damage_where_a_record_tells_of_it(filled: None, told: bool) -> None:
    with time_machine.travel(timezone.now() + timedelta(days=1200), tick=False):
        ContentExpiry(seq=5, at=timezone.now(), reason="its time was over").save()
        sql("DELETE FROM segadmin_eventcontent WHERE seq = 5")
        if told:
            record(
                actor=Actor.system(),
                action=Action.CONTENT_EXPIRED,
                sentence="removed the contents of 1 record",
                details={"records": [5]},
            )
    result = verify()
    assert (result.by_digest_only, result.missing) == (1, 0)
    assert result.ok is told
    assert told or result.damage[0] == Damage(
        "removed", 5, "The content of record 5 was deleted under an expiry that no record tells of."
    )


@pytest.mark.parametrize("gone", [1, 3])
def test_removed_and_renumbered(filled: None, gone: int) -> None:
    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        del events[4 : 4 + gone], contents[4 : 4 + gone]
        for at in range(4, len(events)):
            events[at]["seq"] -= gone
            contents[at] = renumbered(contents[at], -gone)
        return events, contents

    rewrite(change)
    for full in (True, False):
        assert first_damage(full=full)[:2] == ("removed", 5)


@pytest.mark.parametrize("fits", [True, False], ids=["chained to the one before", "copied"])
@pytest.mark.parametrize("place", [4, 10])
def test_inserted_and_renumbered(filled: None, place: int, fits: bool) -> None:
    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        from segadmin.audit.chain import chain_value, digest_of

        new, its_text = dict(events[place]), dict(contents[place])
        for at in range(place, len(events)):
            events[at]["seq"] += 1
            contents[at] = renumbered(contents[at], 1)
        its_text["text"] = forged(its_text["text"])
        new["digest"] = digest_of(its_text["text"])
        if fits:
            new["chain"] = chain_value(1, place + 1, events[place - 1]["chain"], new["digest"])
        return [*events[:place], new, *events[place:]], [*contents[:place], its_text, *contents[place:]]

    rewrite(change)
    assert first_damage()[:2] == ("inserted", place + 1)


@pytest.mark.parametrize(("one", "other"), [(5, 8), (5, 6), (11, 12)])
def test_swapped_records(filled: None, one: int, other: int) -> None:
    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        for rows in (events, contents):
            a, b = rows[one - 1], rows[other - 1]
            a["seq"], b["seq"] = b["seq"], a["seq"]
            rows.sort(key=lambda row: int(row["seq"]))
        return events, contents

    rewrite(change)
    for full in (True, False):
        assert first_damage(full=full)[:2] == ("reordered", one)


def test_swapped_texts(filled: None) -> None:
    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        contents[4]["text"], contents[7]["text"] = contents[7]["text"], contents[4]["text"]
        return events, contents

    rewrite(change)
    assert first_damage(full=False) == Damage("reordered", 5, "Record 5 holds the text of record 8.")


def cut(last: int) -> None:
    sql("DELETE FROM segadmin_eventcontent WHERE seq > %s", last)
    sql("DELETE FROM segadmin_event WHERE seq > %s", last)


def test_a_cut_tail(filled: None) -> None:
    cut(9)
    assert first_damage()[:2] == ("tail cut", 10)


def test_a_record_after_the_head(filled: None) -> None:
    sql("INSERT INTO segadmin_event (seq, epoch, digest, chain) VALUES (13, 1, 'a', 'b')")
    assert first_damage()[:2] == ("inserted", 13)


def test_a_record_before_the_first(filled: None) -> None:
    sql("INSERT INTO segadmin_event (seq, epoch, digest, chain) VALUES (0, 1, 'a', 'b')")
    assert first_damage()[:2] == ("inserted", 0)


def test_a_head_that_does_not_fit(filled: None) -> None:
    sql("UPDATE segadmin_chainhead SET chain = %s", "e" * 64)
    assert first_damage()[:2] == ("changed", RECORDS)


COLUMNS: dict[str, object] = {
    "actor_name": "somebody",
    "actor_kind": "system",
    "actor_id": "9",
    "action": "signin.done",
    "outcome": "failed",
    "sentence": "did nothing",
    "organization_name": "Other",
    "sandbox_name": "stage",
    "job_id": "999",
    "correlation_id": "r-9",
    "address": "10.9.9.9",
    "at": "2020-01-01 00:00:00+00:00",
    "request_uuid": "5f0c9d3e111142228333944445555666",
    "attempt_uuid": "5f0c9d3e111142228333944445555666",
    "organization_id": None,
    "sandbox_id": None,
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_differs_from_the_text(filled: None, column: str) -> None:
    """Only the full check sees it: the text is untouched."""
    update("eventcontent", 5, **{column: COLUMNS[column]})
    assert verify(full=False).ok
    damage = first_damage()
    assert damage[:2] == ("column differs", 5)
    assert column.replace("_id", "") in damage.says.replace("_id", "")


def test_a_record_moved_to_another_org(filled: None, nordwind: Organization) -> None:
    update("eventcontent", 5, organization_id=nordwind.pk)
    damage = first_damage()
    assert damage[:2] == ("column differs", 5)
    assert "organization_slug" in damage.says


def test_a_text_that_is_no_event(filled: None) -> None:
    from segadmin.audit.chain import digest_of

    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        contents[RECORDS - 1]["text"] = "{}"
        events[RECORDS - 1]["digest"] = digest_of("{}")
        return chained(events, contents)

    rewrite(change)
    assert verify(full=False).ok
    assert first_damage()[:2] == ("column differs", RECORDS)


def test_swapped_salts(filled: None) -> None:
    """Two records that say the same but for their numbers are still two."""
    import json

    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        from segadmin.audit.chain import canonical

        five, six = json.loads(contents[4]["text"]), json.loads(contents[5]["text"])
        five["salt"], six["salt"] = six["salt"], five["salt"]
        contents[4]["text"], contents[5]["text"] = canonical(five), canonical(six)
        return events, contents

    rewrite(change)
    assert [damage[:2] for damage in verify(full=False).damage] == [("changed", 5), ("changed", 6)]


def test_a_clock_that_was_set_back_is_worth_a_remark(prod: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a little late is none; also where several processes read the record in stretches."""
    monkeypatch.setattr("segadmin.audit.verify.STRETCH", 2)
    now = timezone.now()
    for minutes in (0, 60, 55, 61, 20, 21, 90, 30):
        with time_machine.travel(now + timedelta(minutes=minutes), tick=False):
            fill(1, prod)
    result = verify(workers=1)
    assert result.ok
    assert result.remarks == [
        "Record 5 says a time earlier than the record before it, and so do 1 more: the server's clock was set back there."
    ]
    assert verify(full=False).remarks == []


def test_several_damages_are_listed_and_counted(filled: None) -> None:
    sql("UPDATE segadmin_eventcontent SET text = replace(text, 'cancelled', 'looked at') WHERE seq IN (3, 6, 9)")
    result = verify()
    assert [damage[:2] for damage in result.damage] == [("changed", 3), ("changed", 6), ("changed", 9)]
    assert result.damaged == 3


def test_many_damages_stay_readable(prod: Sandbox) -> None:
    fill(120, prod)
    disarm()
    sql("UPDATE segadmin_eventcontent SET text = '{}'")
    result = verify(full=False)
    assert result.damaged == 120
    assert len(result.damage) == 50


@pytest.mark.parametrize("change", [forged, str.upper])
def test_a_rewritten_record_agrees_with_itself(filled: None, change: Callable[[str], str]) -> None:
    """What a chain without an outside checkpoint can not show; see test_checkpoints.py for what can."""

    def rewritten(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        contents[4]["text"] = change(contents[4]["text"])
        return chained(events, contents)

    rewrite(rewritten)
    assert verify(full=False).ok
