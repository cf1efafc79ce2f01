"""Typed names and ids: what is meant, what is let through, and what is offered instead."""

import pytest
from django.core.exceptions import ValidationError

from segadmin.forms.names import Directory
from segadmin.models import Name


def name(external_id: str, label: str) -> Name:
    return Name(external_id=external_id, name=label, details={})


KNOWN = Directory(
    [
        name("52c26d0d-45f2", "Lapsed buyers"),
        name("8d1f3a60-0f5e", "High value, no app"),
        name("aaaa-1", "Newsletter"),
        name("aaaa-2", "newsletter"),
        name("9f00", ""),
    ]
)


@pytest.mark.parametrize("text", ["52c26d0d-45f2", " 52c26d0d-45f2 ", "Lapsed buyers", "LAPSED BUYERS"])
def test_an_id_or_a_name_is_found(text: str) -> None:
    assert KNOWN.id_of(text) == "52c26d0d-45f2"


@pytest.mark.parametrize("text", ["00000000-1111", "QU9f12_x", "timestampOrdered-none-mp", "5b7c86968f7b6501e21ba9df"])
def test_an_unknown_id_is_let_through(text: str) -> None:
    assert KNOWN.id_of(text) == text


def test_an_unknown_name_offers_near_ones() -> None:
    with pytest.raises(ValidationError, match="Did you mean “Lapsed buyers”"):
        KNOWN.id_of("Lapsd buyers")
    with pytest.raises(ValidationError, match="High value, no app"):
        KNOWN.id_of("value")
    with pytest.raises(ValidationError, match="Choose one from the list, or give the id"):
        KNOWN.id_of("Zzz qqq")


def test_an_ambiguous_name_asks_for_the_id() -> None:
    with pytest.raises(ValidationError, match=r"2 are called .* aaaa-1, aaaa-2"):
        KNOWN.id_of("Newsletter")


def test_without_known_names_only_an_id_can_be_given() -> None:
    assert Directory().id_of("anything") == "anything"
    with pytest.raises(ValidationError, match="No names have been read"):
        Directory().id_of("Lapsed buyers")


@pytest.mark.parametrize("text", ["a-" * 150, "abc\x01-1"])
def test_what_no_id_looks_like_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="too long, or holds characters"):
        KNOWN.id_of(text)


def test_offers_are_names_where_they_are_unique() -> None:
    offers = dict(KNOWN.offers)
    assert offers["Lapsed buyers"] == "52c26d0d-45f2"
    assert offers["aaaa-1"] == "Newsletter"
    assert offers["9f00"] == ""
