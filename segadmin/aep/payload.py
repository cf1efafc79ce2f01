"""Bytes from outside into JSON values that the rest of the house can store and print."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_JSON_DEPTH = 100
_MAX_DIGITS = 4_000
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def decode_json(body: bytes) -> Any:
    """The JSON value in `body`; raises ValueError when there is none.

    Made safe on the way: NaN, infinities and numbers of more than 4,000 digits become strings, NUL characters and lone
    surrogates (which databases refuse) become U+FFFD, nesting deeper than 100 is an error.
    """
    try:
        text = body.decode(json.detect_encoding(body))
        value = json.loads(text, parse_constant=str, parse_float=_number, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return _storable(value, 0)


def _number(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text[:200]


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= _MAX_DIGITS else text[:200]


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _NOT_STORABLE.sub("\ufffd", value) if _NOT_STORABLE.search(value) else value
    if depth > MAX_JSON_DEPTH and isinstance(value, dict | list):
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {_storable(name, depth): _storable(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    return value
