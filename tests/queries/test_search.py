"""The query line: any text is read, nothing is left out in silence, and what is written is read back the same."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from segadmin.queries import search
from segadmin.queries.search import TEXT, Line, Malformed, Period, Term
from segadmin.queries.search_audit import QUALIFIERS

VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).map(search.clean).filter(bool)
NAMES = st.sampled_from(sorted(set(QUALIFIERS.values())))
TERMS = st.one_of(
    st.builds(Term, NAMES, st.lists(VALUES, min_size=1, max_size=4, unique=True).map(tuple), st.booleans()),
    st.builds(Term, st.just(TEXT), VALUES.map(lambda value: (value,)), st.booleans()),
)


def parse(text: str) -> Line:
    return search.parse(text, QUALIFIERS)


@given(st.lists(TERMS, max_size=8))
def test_what_is_written_is_read_back(terms: list[Term]) -> None:
    together = search.merged(terms)
    found = parse(search.write(together))
    assert found.problems == ()
    assert found.terms == together


@given(st.text(max_size=300))
def test_any_text_is_read_or_explained(text: str) -> None:
    found = parse(text)
    if not found.problems:
        assert bool(found.terms) == bool(search.clean(text))
        assert parse(search.write(found.terms)).terms == found.terms


@given(st.lists(TERMS, min_size=1, max_size=6), st.data())
def test_taking_one_value_away_takes_that_one_only(terms: list[Term], data: st.DataObject) -> None:
    line = Line(search.merged(terms))
    term = data.draw(st.sampled_from(line.terms))
    value = data.draw(st.sampled_from(term.values))
    rest = line.without(term.name, value, excluded=term.excluded)

    def pairs(of: Line) -> set[tuple[str, bool, str]]:
        return {(one.name, one.excluded, word) for one in of.terms for word in one.values}

    assert pairs(line) - pairs(rest) == {(term.name, term.excluded, value)}
    assert parse(rest.text).terms == rest.terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("actor:m.lead,crm.ops", (Term("actor", ("m.lead", "crm.ops")),)),
        ("person:m.lead by:crm.ops", (Term("actor", ("m.lead", "crm.ops")),)),
        ("-outcome:refused", (Term("outcome", ("refused",), True),)),
        ("ACTOR:m.lead", (Term("actor", ("m.lead",)),)),
        ('audience:"Lapsed buyers","a ""b"""', (Term("audience", ("Lapsed buyers", 'a "b"')),)),
        ("win-back july", (Term(TEXT, ("win-back",)), Term(TEXT, ("july",)))),
        ('-"summer sale"', (Term(TEXT, ("summer sale",), True),)),
        ("12:30", (Term(TEXT, ("12:30",)),)),
        ('"http://x"', (Term(TEXT, ("http://x",)),)),
        ("job:a:b", (Term("job", ("a:b",)),)),
        ("a\x00b", (Term(TEXT, ("a",)), Term(TEXT, ("b",)))),
        ("-", (Term(TEXT, ("-",)),)),
    ],
)
def test_examples(text: str, terms: tuple[Term, ...]) -> None:
    found = parse(text)
    assert (found.terms, found.problems) == (terms, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("actr:m.lead", "There is no “actr:” here"),
        ("http://example", 'write "http://example"'),
        ("actor:", "“actor:” needs a value"),
        ("actor: m.lead", "“actor:” needs a value"),
        ("actor:a,", "“actor:” needs a value"),
        ("actor:a,,b", "“actor:” needs a value"),
        ('actor:""', "“actor:” needs a value"),
        ('actor:"a', "not closed"),
        ('"a', "not closed"),
        ('""', "nothing between"),
        ('actor:"a"b', "no blank after"),
        ("x" * 3000, "3000 characters"),
        (" ".join(f"w{n}" for n in range(60)), "at most 40 parts"),
    ],
)
def test_what_can_not_be_understood_is_told(text: str, words: str) -> None:
    assert words in " ".join(parse(text).problems)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-01-31", date(2026, 1, 31), date(2026, 1, 31)),
        ("2026-01-01..2026-03-31", date(2026, 1, 1), date(2026, 3, 31)),
        ("2026-01-01..", date(2026, 1, 1), None),
        ("..2026-03-31", None, date(2026, 3, 31)),
        (">2026-01-31", date(2026, 2, 1), None),
        (">=2026-01-31", date(2026, 1, 31), None),
        ("<2026-01-01", None, date(2025, 12, 31)),
        ("<=2026-01-01", None, date(2026, 1, 1)),
        ("all", None, None),
    ],
)
def test_periods(text: str, first: date | None, last: date | None) -> None:
    assert search.period(text) == Period(first, last)


@pytest.mark.parametrize(
    "text", ["", "..", "yesterday", "2026-02-30", "0001-01-01", "9999-12-31", "2026-1-1", ">", "2026-07-02..2026-07-01"]
)
def test_what_is_no_period_is_told(text: str) -> None:
    with pytest.raises(Malformed, match=r"year, month and day|last day is before"):
        search.period(text)


@given(st.text(max_size=40))
def test_no_text_breaks_a_period(text: str) -> None:
    try:
        found = search.period(text)
    except Malformed:
        return
    assert found.from_at is None or found.to_at is None or found.from_at < found.to_at


def test_a_day_is_one_of_the_persons_zone() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        day = search.period("2026-07-01")
        assert day.from_at == datetime(2026, 6, 30, 22, tzinfo=UTC)
        assert day.to_at == datetime(2026, 7, 1, 22, tzinfo=UTC)


@pytest.mark.parametrize(("text", "found"), [("7", (7, 7)), ("7..9", (7, 9))])
def test_record_numbers(text: str, found: tuple[int, int]) -> None:
    assert search.numbers(text) == found


@pytest.mark.parametrize("text", ["", "x", "9..7", "1..", "-1", "1" * 30])
def test_what_is_no_number_is_told(text: str) -> None:
    with pytest.raises(Malformed):
        search.numbers(text)


@pytest.mark.parametrize("text", ["jane@example.org", 'actor:"Jane <jane@example.org>"', "x jane.d+x@mail.example y"])
def test_addresses_are_recognised(text: str) -> None:
    assert search.names_mail(text)


@pytest.mark.parametrize("text", ["actor:m.lead", "AC3E0000", "@", "a @ b", ""])
def test_other_texts_are_not_taken_for_addresses(text: str) -> None:
    assert not search.names_mail(text)
