"""The register's page, its file and the answers say the same numbers, and those of the rows; for random registers."""

import csv
import io
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from segadmin.actions import register_terms
from segadmin.models import DataLeft, ExportOutcome, Origin, ProfileSource, RegisterEntry, Sandbox, User
from segadmin.queries import terms
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

BEGUN_AT = datetime(2026, 1, 1, tzinfo=UTC)
RECIPIENTS = ("", "CRM team", "Print house", "crm partner", "Größe & Söhne")
TICKETS = ("", "MK-1", "MK-2", "RARE-9")
AUDIENCES = (("a1", "Lapsed buyers"), ("a2", "Blood donors"), ("a3", ""))
PATHS = ("personalEmail.address", "personalEmail", "person.name", "loyalty.tier")
WORDS = ("|email|", "|?email|", "|email|?phone|", "|health|!|", "")
PURPOSES = ("Win-back letter", "Birthday letter in July", "")
PEOPLE = ("", "operator", "m.lead")

type Row = dict[str, Any]


def make(chance: random.Random, sandboxes: Sequence[Sandbox]) -> Row:
    """The columns of one row."""
    named = chance.sample(AUDIENCES, chance.randrange(3))
    labels = [word for key, name in named for word in (name, key) if word]
    fields = chance.sample(PATHS, chance.randrange(3))
    asked_at = BEGUN_AT + timedelta(minutes=chance.randrange(120 * 24 * 60))
    recipient, ticket, purpose = chance.choice(RECIPIENTS), chance.choice(TICKETS), chance.choice(PURPOSES)
    person, dataset = chance.choice(PEOPLE), chance.choice(("d1", "d2", ""))
    texts = [person, dataset, recipient, ticket, purpose, *labels]
    profiles = chance.choice((None, 0, 7, 4000))
    sandbox, pii_words = chance.choice(sandboxes), chance.choice(WORDS)
    return {
        "sandbox": sandbox,
        "organization": sandbox.organization,
        "outcome": chance.choice([value for value in ExportOutcome.values if value != ExportOutcome.MERGED]),
        "origin": chance.choice((Origin.HERE, Origin.OUTSIDE)).value,
        "sort_at": asked_at,
        "ended_at": chance.choice((None, asked_at + timedelta(days=3))),
        "person": person,
        "audience_ids": [key for key, _name in named],
        "audiences": [{"id": key, "name": name, "evaluated_at": ""} for key, name in named],
        "audience_words": f"|{'|'.join(labels).lower()}|" if labels else "",
        "fields": fields,
        "all_fields": not fields,
        "field_words": f"|{'|'.join(fields).lower()}|" if fields else "",
        "pii_words": pii_words,
        "pii_mask": terms.mask_of(pii_words),
        "dataset_id": dataset,
        "dataset_name": {"d1": "CRM out"}.get(dataset, ""),
        "recipient": recipient,
        "ticket": ticket,
        "purpose": purpose,
        "profiles": profiles,
        "profile_source": ProfileSource.NONE if profiles is None else chance.choice(ProfileSource.values[:3]),
        "data_left": chance.choice(DataLeft.values),
        "search": "\n".join(word.lower() for word in texts if word),
    }


def day(number: int) -> datetime:
    return BEGUN_AT + timedelta(days=number)


# A query line, and which rows it means.
LINES: list[tuple[str, Callable[[Row], bool]]] = [
    ("ticket:mk-1", lambda row: row["ticket"] == "MK-1"),
    ("ticket:mk-2,rare-9", lambda row: row["ticket"] in ("MK-2", "RARE-9")),
    ("-ticket:MK-1", lambda row: row["ticket"] != "MK-1"),
    ("recipient:crm", lambda row: "crm" in row["recipient"].lower()),
    ('recipient:"=CRM team"', lambda row: row["recipient"] == "CRM team"),
    ("-recipient:house", lambda row: "house" not in row["recipient"].lower()),
    ("recipient:größe", lambda row: "größe" in row["recipient"].lower()),
    ("audience:donors", lambda row: "blood donors" in row["audience_words"]),
    ("audience:=a1", lambda row: "a1" in row["audience_ids"]),
    ("audience:=", lambda row: not row["audience_ids"]),
    ("-audience:a1,a2", lambda row: not {"a1", "a2"} & set(row["audience_ids"])),
    ("dataset:crm", lambda row: row["dataset_id"] == "d1"),
    ("dataset:d2", lambda row: row["dataset_id"] == "d2"),
    ("-dataset:d1", lambda row: row["dataset_id"] != "d1"),
    ("pii:email", lambda row: "email" in row["pii_words"]),
    ("pii:certain-email", lambda row: "|email|" in row["pii_words"]),
    ("pii:possible-any", lambda row: row["pii_words"].startswith("|?")),
    ("pii:certain-any", lambda row: row["pii_words"][:2] not in ("", "|?")),
    ("-pii:email", lambda row: "email" not in row["pii_words"]),
    ("field:personalEmail", lambda row: row["all_fields"] or "personalemail" in row["field_words"]),
    ("-field:person.name.lastName", lambda row: bool(row["fields"]) and "person.name" not in row["fields"]),
    ("left:yes,possibly", lambda row: row["data_left"] in ("yes", "possibly")),
    ("-outcome:failed", lambda row: row["outcome"] != "failed"),
    ("origin:outside", lambda row: row["origin"] == "outside"),
    ("actor:m.lead,-", lambda row: row["person"] in ("m.lead", "")),
    ("-actor:operator", lambda row: row["person"] != "operator"),
    ("sandbox:stage", lambda row: row["sandbox"].name == "stage"),
    ("letter", lambda row: "letter" in row["search"]),
    ("win-back", lambda row: "win-back" in row["search"]),
    ("etter", lambda _row: False),
    ("-july", lambda row: "july" not in row["search"]),
    ('"in july"', lambda row: "in july" in row["search"]),
    ("created:2026-01-11..2026-02-19", lambda row: day(10) <= row["sort_at"] < day(50)),
    ("ended:>=2026-02-10", lambda row: row["ended_at"] is not None and row["ended_at"] >= day(40)),
]


def table(client: Client, address: str) -> list[dict[str, str]]:
    response = client.get(address)
    assert response.status_code == 200, address
    return list(csv.DictReader(io.StringIO(b"".join(response).decode())))


def number(text: str, label: str) -> int:
    found = re.search(rf'<dt>{label}</dt><dd class="num">(?:<b>|<a [^>]*>)?([\d,]+)', text)
    return int(found[1].replace(",", "")) if found else 0


def profiles(rows: Sequence[dict[str, str]], source: str) -> int:
    return sum(int(row["profiles"] or 0) for row in rows if row["profiles_source"] == source)


@pytest.fixture(params=range(2))
def world(request: pytest.FixtureRequest, prod: Sandbox, stage: Sandbox, foreign: Sandbox) -> dict[int, Row]:
    """Key -> columns of the rows that the auditor of Acme may see; another org has rows too."""
    chance, found = random.Random(request.param), {}
    for count in range(70):
        row = make(chance, [prod, stage] if count % 5 else [foreign])
        entry = RegisterEntry.objects.create(**row)
        register_terms.write([entry])
        if row["organization"] == prod.organization:
            found[entry.pk] = row
    return found


@pytest.mark.parametrize(("world", "listed"), [(0, True), (1, False)], indirect=["world"])
def test_page_file_and_answers_say_the_same(
    world: dict[int, Row], auditor: User, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """Also where nothing is rare enough to be listed."""
    monkeypatch.setattr("segadmin.actions.files._within_limits", lambda _actor: None)
    if not listed:
        monkeypatch.setattr(terms, "MOST_LISTED", 0)
        monkeypatch.setattr(terms, "MOST_VALUES", 1)
    client, chance = signed_in(auditor), random.Random(len(world))
    for line, means in LINES:
        others = chance.sample(LINES, chance.randrange(3))
        # Two periods, or the same qualifier twice, would be alternatives of each other.
        kinds = {line.lstrip("-").partition(":")[0]}
        chosen = [(line, means)]
        for other in others:
            kind = other[0].lstrip("-").partition(":")[0]
            if kind not in kinds and not {kind, *kinds} >= {"created", "ended"}:
                kinds.add(kind)
                chosen.append(other)
        query = quote(" ".join(part for part, _means in chosen))
        expected = {pk for pk, row in world.items() if all(test(row) for _part, test in chosen)}
        _check(client, query, expected, chance.sample(("dataset", "recipient", "field", "org", "period", "person"), 1))


def _check(client: Client, query: str, expected: set[int], counted_by: Sequence[str]) -> None:
    rows = table(client, f"/register/export.csv?q={query}")
    assert {int(row["row"]) for row in rows} == expected, query
    page = client.get(f"/register/?q={query}").content.decode()
    shown = [int(pk) for pk in re.findall(r'id="entry-(\d+)"', page)]
    assert set(shown) <= expected, query
    assert len(shown) == min(len(expected), 50), query
    assert number(page, "Exports") == len(expected), query
    assert number(page, "Data left: yes") == sum(row["data_left"] == "yes" for row in rows), query
    assert number(page, "Profiles, Adobe’s count") == profiles(rows, "adobe"), query
    assert not expected or ", UTC" in page
    for by in counted_by:
        lines = table(client, f"/answers/exported.csv?by={by}&q={query}")
        total = lines[-1]
        assert (total["by"], int(total["exports"])) == ("total", len(expected)), (query, by)
        for name, source in (
            ("profiles_adobe", "adobe"),
            ("profiles_batch", "batch"),
            ("profiles_estimated", "estimate"),
        ):
            assert int(total[name] or 0) == profiles(rows, source), (query, by, name)
        if by in ("dataset", "recipient", "org", "period", "person"):  # each export is in one group
            assert sum(int(group["exports"]) for group in lines[:-1]) == len(expected), (query, by)
    groups = {
        group["key"]: int(group["exports"]) for group in table(client, f"/answers/exported.csv?by=audience&q={query}")
    }
    for key, _name in AUDIENCES:
        assert groups.get(key, 0) == sum(key in re.split(r"[ ();]+", row["audience_ids"]) for row in rows), (query, key)
    answer = client.get(f"/answers/?q={query}").content.decode()
    assert ", UTC" in answer


def test_every_export_is_under_one_verdict_of_the_erasure_trace(world: dict[int, Row], auditor: User) -> None:
    client = signed_in(auditor)
    lines = table(client, "/answers/erasure.csv?audiences=donors")
    assert sorted(int(line["row"]) for line in lines) == sorted(world)
    page = client.get("/answers/erasure/?audiences=donors").content.decode()
    for verdict, words in (("may_contain", "May contain them"), ("does_not", "Does not")):
        assert words in page
        wanted = {int(line["row"]) for line in lines if line["verdict"] == verdict}
        named = {
            pk
            for pk, row in world.items()
            if verdict == "may_contain" and "a2" in row["audience_ids"] and row["data_left"] in ("yes", "possibly")
        }
        assert wanted == named or verdict == "does_not"


@pytest.mark.parametrize("zone", ["America/Santiago", "Asia/Beirut"])
def test_days_are_those_of_the_readers_zone_also_where_clocks_change(
    prod: Sandbox, auditor: User, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Midnights that come twice or not at all, and both ends of a period included: page, file and answers agree."""
    monkeypatch.setattr("segadmin.actions.files._within_limits", lambda _actor: None)
    local, chance = ZoneInfo(zone), random.Random(zone)
    User.objects.filter(pk=auditor.pk).update(zone=zone)
    changes = [
        hour
        for number in range(365 * 24)
        if (hour := BEGUN_AT + timedelta(hours=number)).astimezone(local).utcoffset()
        != (hour - timedelta(hours=1)).astimezone(local).utcoffset()
    ]
    moments = [
        at + timedelta(minutes=30 * step, seconds=offset)
        for at in changes
        for step in range(-54, 54, 6)
        for offset in (-1, 0)
    ]
    columns = make(chance, [prod])
    days: dict[int, date] = {}
    for at in moments:
        entry = RegisterEntry.objects.create(**{**columns, "sort_at": at, "ended_at": at})
        register_terms.write([entry])
        days[entry.pk] = at.astimezone(local).date()
    client = signed_in(auditor)
    for at in changes:
        day = at.astimezone(local).date()
        for first, last in ((day, day), (day - timedelta(days=1), day), (day, day + timedelta(days=1))):
            expected = {pk for pk, its in days.items() if first <= its <= last}
            assert expected
            for basis in ("created", "ended"):
                query = quote(f"{basis}:{first}..{last}")
                found = {int(row["row"]) for row in table(client, f"/register/export.csv?q={query}")}
                assert found == expected, (basis, first, last)
                page = client.get(f"/register/?q={query}").content.decode()
                assert number(page, "Exports") == len(expected)
                lines = table(client, f"/answers/exported.csv?by=period&q={query}")
                assert int(lines[-1]["exports"]) == len(expected)
                months = {line["key"]: int(line["exports"]) for line in lines[:-1]}
                assert months == Counter(f"{days[pk]:%Y-%m}" for pk in expected)
