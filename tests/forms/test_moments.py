"""Times as typed: what is understood, in which zone, and what is asked for instead."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from segadmin.forms.moments import parse, written

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.fixture
def in_berlin() -> Iterator[None]:
    with timezone.override(BERLIN):
        yield


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01 00:00", "2026-06-30T22:00:00+00:00"),
        ("2026-07-01T00:00", "2026-06-30T22:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-01-01 00:00", "2025-12-31T23:00:00+00:00"),
        ("2026-07-01T00:00:00Z", "2026-07-01T00:00:00+00:00"),
        ("2026-07-01 00:00 UTC", "2026-07-01T00:00:00+00:00"),
        ("2026-07-01 00:00 +02:00", "2026-06-30T22:00:00+00:00"),
        ("2026-07-01T00:00:00.250-0330", "2026-07-01T03:30:00.250000+00:00"),
        ("2026-07-01 00:00 America/New_York", "2026-07-01T04:00:00+00:00"),
        ("  2026-07-01   09:30:15 ", "2026-07-01T07:30:15+00:00"),
    ],
)
def test_a_time_without_a_zone_is_read_in_the_persons_zone(in_berlin: None, text: str, expected: str) -> None:
    assert parse(text) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("text", ["", "   "])
def test_blank_is_no_time(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "Write a date and a time"),
        ("01.07.2026", "Write a date and a time"),
        ("1782864000000", "Write a date and a time"),
        ("2026-13-01 00:00", "not a time that exists"),
        ("2026-02-30", "not a time that exists"),
        ("2026-07-01 25:00", "not a time that exists"),
        ("0001-01-01 00:00 +14:00", "not a time that exists"),
        ("2026-07-01 00:00 +25:00", "not a time that exists"),
        ("2026-07-01 00:00 Mars/Olympus", "zone “Mars/Olympus” is not known"),
        ("2026-07-01 00:00 Europe", "zone “Europe” is not known"),
        ("2026-03-29 02:30", "does not exist in Europe/Berlin"),
        ("2026-10-25 02:30", "comes twice in Europe/Berlin"),
    ],
)
def test_what_is_not_clear_is_asked_for(in_berlin: None, text: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        parse(text)


def test_a_kept_time_stays_the_same_moment_in_another_zone(in_berlin: None) -> None:
    moment = parse("2026-07-01 00:00")
    assert moment is not None
    kept = written(moment)
    assert kept == "2026-07-01 00:00+02:00"
    with timezone.override(UTC):
        assert parse(kept) == moment


@given(st.text(max_size=60))
def test_any_text_is_a_time_nothing_or_a_sentence(text: str) -> None:
    try:
        found = parse(text)
    except ValidationError:
        return
    assert found is None or found.utcoffset() is not None


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_what_is_written_is_read_again(moment: datetime) -> None:
    for zone in (UTC, BERLIN):
        with timezone.override(zone):
            assert parse(written(moment)) == moment
