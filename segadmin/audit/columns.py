"""The search columns of an event, taken from its canonical text: written by record(), compared by the verifier.

Everything that pages search by stands in the text too, so a column altered behind the text's back shows.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

# As `columns_of` gives them; all are texts. Instants and ids have the form of the canonical text.
COLUMNS = (
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "action",
    "outcome",
    "sentence",
    "organization_slug",
    "organization_name",
    "sandbox_name",
    "job_id",
    "request_uuid",
    "attempt_uuid",
    "correlation_id",
    "address",
)
type Row = tuple[str, ...]


def columns_of(told: Mapping[str, Any]) -> Row:
    """The values in the order of COLUMNS, cut to the length of their columns. KeyError where the text lacks one."""
    actor, organization = told["actor"], told["organization"]
    return (
        told["at"],
        actor["kind"],
        actor["id"][:60],
        actor["name"][:150],
        told["action"],
        told["outcome"],
        told["sentence"],
        organization.get("slug", ""),
        organization.get("name", ""),
        told["sandbox"],
        told["job"][:200],
        told["request"],
        told["attempt"],
        actor["correlation_id"][:64],
        actor["address"][:45],
    )


# The canonical form, as long as no text in it has an escape: reading it so takes a third of the time of reading JSON.
_TEXT = r'"([^"\\\x00-\x1f]*)"'
_SKIPPED = r'"[^"\\\x00-\x1f]*"'
_BEGIN = re.compile(
    rf'\{{"action":{_TEXT},"actor":\{{"address":{_TEXT},"correlation_id":{_TEXT},"id":{_TEXT},"kind":{_TEXT},'
    rf'"name":{_TEXT},"roles":\[[^\]\\\x00-\x1f]*\],"signed_in":{_SKIPPED}\}},"at":{_TEXT},"attempt":{_TEXT},"details":'
)
_END = re.compile(
    rf',"epoch":([0-9]+),"job":{_TEXT},"organization":\{{(?:"name":{_TEXT},"slug":{_TEXT})?\}},"outcome":{_TEXT},'
    rf'"request":{_TEXT},"salt":{_SKIPPED},"sandbox":{_TEXT},"sentence":{_TEXT},"seq":([0-9]+)\}}'
)


def read(text: str) -> tuple[Row, int, int]:
    """(columns, epoch, number) of a canonical text. Raises ValueError, KeyError, TypeError or AttributeError for no event."""
    # Quotation marks inside of texts are escaped, so the last of these is the one after the details.
    end = text.rfind(',"epoch":')
    begun = _BEGIN.match(text)
    ended = _END.fullmatch(text, end) if begun and end >= begun.end() else None
    if begun is None or ended is None:
        told = json.loads(text)
        return columns_of(told), told["epoch"], told["seq"]
    action, address, correlation, key, kind, name, at, attempt = begun.groups()
    epoch, job, place, slug, outcome, request, sandbox, sentence, seq = ended.groups("")
    row = (at, kind, key[:60], name[:150], action, outcome, sentence, slug, place, sandbox, job[:200], request, attempt)
    return (*row, correlation[:64], address[:45]), int(epoch), int(seq)


type Stored = tuple[str | None, ...]


def as_sqlite(row: Row) -> Stored:
    """The columns as SQLite holds them, without the organization's slug: the very texts, so that a search finds them."""
    at = row[0]
    moment = f"{at[:10]} {at[11:26]}" if at[19:26] != ".000000" else f"{at[:10]} {at[11:19]}"
    known = moment if at[26:] == "+00:00" else None
    return (known, *row[1:7], *row[8:11], row[11].replace("-", "") or None, row[12].replace("-", "") or None, *row[13:])


def as_postgresql(row: Row) -> Stored:
    """The columns as PostgreSQL writes them as text in a session in UTC, without the organization's slug."""
    at = row[0]
    known = f"{at[:10]} {at[11:19]}{at[19:26].rstrip('0').rstrip('.')}+00" if at[26:] == "+00:00" else None
    return (known, *row[1:7], *row[8:11], row[11] or None, row[12] or None, *row[13:])


def stored_form(vendor: str) -> Callable[[Row], Stored]:
    return as_postgresql if vendor == "postgresql" else as_sqlite
