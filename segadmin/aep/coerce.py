"""Values from outside into the types we work with. Nothing here raises: what can't be read is None or empty."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Adobe's text says seconds and its samples are milliseconds; 1e11 ms is 1973, and 1e11 s is the year 5138.
_MILLISECONDS_FROM = 1e11
_LARGEST_STORED = 2**63 - 1


def text(value: object) -> str | None:
    """A non-blank string, or a number written as one; None for anything else."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < 10**100 else None
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
    return None


def texts(value: object) -> list[str]:
    """A list of strings from a list, or from one bare value; without blanks and repetitions."""
    items = value if isinstance(value, list | tuple) else [value]
    return list(dict.fromkeys(found for found in map(text, items) if found is not None))


def flag(value: object) -> bool | None:
    """True or False, also written as a word; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def count(value: object) -> int | None:
    """A whole number from 0 to 2**63 - 1, also written as a string; None for anything else, booleans included."""
    number = _number(value)
    if number is None or number < 0 or number > _LARGEST_STORED or number != int(number):
        return None
    return int(number)


def moment(value: object) -> datetime | None:
    """An aware UTC datetime from epoch seconds, epoch milliseconds or an ISO 8601 text; None for anything else."""
    number = _number(value)
    if number is not None:
        if number <= 0:
            return None
        try:
            seconds = number / 1000 if number >= _MILLISECONDS_FROM else number
            return _EPOCH + timedelta(seconds=float(seconds))
        except (OverflowError, ValueError):
            return None
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value) or len(value) > 40:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def mapping(value: object) -> dict[str, Any]:
    """The object itself if it is one, else an empty one. Keys are strings, as in JSON."""
    return {str(name): item for name, item in value.items()} if isinstance(value, Mapping) else {}


def objects(value: object) -> Iterator[dict[str, Any]]:
    """The objects in a list; anything else in it is left out."""
    if isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Mapping):
                yield mapping(item)


def get(value: Mapping[str, Any], *names: str) -> Any:
    """The first of these keys that holds something; letter case does not matter (`datasetId`, `dataSetId`)."""
    for name in names:
        if value.get(name) not in (None, ""):
            return value[name]
    lowered = {name.lower(): item for name, item in value.items()}
    for name in names:
        if lowered.get(name.lower()) not in (None, ""):
            return lowered[name.lower()]
    return None


def comma_list(value: object) -> list[str]:
    """The items of a comma-separated text, or of a list; stripped, without blanks and repetitions."""
    parts = value.split(",") if isinstance(value, str) else texts(value)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _number(value: object) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,30}(\.\d{1,30})?\s*", value):
        return float(value) if "." in value else int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    return None
