"""Bytes into JSON that can be stored and printed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segadmin.aep.payload import decode_json


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": NaN, "b": [Infinity, -Infinity]}', {"a": "NaN", "b": ["Infinity", "-Infinity"]}),
        (b'{"a": 1e999}', {"a": "1e999"}),
        (b'{"a": 1.5, "b": 12345678901234567890}', {"a": 1.5, "b": 12345678901234567890}),
        (b'"a\\u0000b"', "a\ufffdb"),
        (b'"\\ud800x"', "\ufffdx"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'{"\\u0000": 1}', {"\ufffd": 1}),
        ("\ufeff[]".encode(), []),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
    ],
)
def test_values(body: bytes, expected: Any) -> None:
    assert decode_json(body) == expected


def test_a_number_of_many_digits_is_kept_as_text() -> None:
    assert decode_json(b"9" * 5000) == "9" * 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xff", b"[" * 200_000, b"[" * 150 + b"]" * 150, b"'a'", b"{'a': 1}"])
def test_no_json(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - that it is one is all that is promised
        decode_json(body)


@given(st.binary())
def test_any_bytes_are_json_or_a_value_error(body: bytes) -> None:
    try:
        value = decode_json(body)
    except ValueError:
        return
    assert "\\u0000" not in json.dumps(value, allow_nan=False)
