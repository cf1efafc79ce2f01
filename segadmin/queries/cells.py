"""Cells of CSV files: safe in a spreadsheet, one line a row, and nothing that turns the reading direction.

What is done to a text, and nothing else:
- control characters, line and paragraph separators, and characters that turn the reading direction are written as
  escapes that can be read: `\\n`, `\\t`, `\\u202e`;
- a text that a spreadsheet would take for a formula (it begins with = + - @ or their wide forms, also after blanks,
  quotes or apostrophes) gets an apostrophe in front. Without that apostrophe it is the text as it was.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from segadmin.plain import HIDDEN, visible

_FORMULA = re.compile(r"""[\s"'‘’“”`]*[=+\-@＝＋－＠﹢﹣﹦﹫−]""")


def safe_cell(text: str) -> str:
    """The text as a cell of a file that people may open in a spreadsheet."""
    if text[:1].isalnum() and text.isprintable():  # almost all are, and this is the quickest way to know
        return text
    if HIDDEN.search(text):
        # Looked at before too: what spreadsheets skip in front of a formula is not there any more afterwards.
        risky = _FORMULA.match(HIDDEN.sub("", text)) is not None
        text = visible(text)
    else:
        risky = _FORMULA.match(text) is not None
    return f"'{text}" if risky else text


def quoted(text: str) -> str:
    """A safe cell as it stands in a line of CSV."""
    return f'"{text.replace('"', '""')}"' if '"' in text or "," in text else text


def written(text: str) -> str:
    """Any text as it stands in a line of CSV."""
    return quoted(safe_cell(text))


# For what stands in many rows, such as names of people and places.
often = lru_cache(maxsize=4096)(written)


def cell(value: Any) -> Any:
    """A value as a cell: instants as UTC in ISO 8601, lists by semicolon, nothing for what is not known."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return value
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, list | tuple):
        return safe_cell("; ".join(str(item) for item in value))
    return safe_cell(str(value))


def utc(moment: datetime | None) -> str:
    """ISO 8601 in UTC with microseconds, `2026-07-01T08:30:00.000000Z`; empty for none."""
    if moment is None:
        return ""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Lines:
    """Rows of cells, which have to be safe already, as bytes of a CSV file (RFC 4180, UTF-8)."""

    def __init__(self) -> None:
        self._buffer = io.StringIO(newline="")
        self._write = csv.writer(self._buffer).writerows

    def bytes_of(self, rows: Iterable[Sequence[Any]]) -> bytes:
        self._write(rows)
        data = self._buffer.getvalue().encode("utf-8", "replace")
        self._buffer.seek(0)
        self._buffer.truncate()
        return data
