"""Rows of the register as files: as they stand while the file is written, with their corrections beside what was sent."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import Max, Q

from segadmin.models import Amendment, Category, RegisterEntry
from segadmin.queries import cells, register
from segadmin.queries.files import Part

RANGE = 500
AMENDABLE = ("recipient", "purpose", "legal_basis", "ticket")

REGISTER_COLUMNS: dict[str, str] = {
    "row": "key of the row; its page is /register/<key>/",
    "organization": "short name of the organization",
    "organization_name": "its name now",
    "sandbox": "sandbox",
    "sandbox_type": "Adobe's type of the sandbox",
    "origin": "here, outside (not sent from here), older (than the connection) or matching",
    "outcome": "what became of it",
    "asked_at": "when it was sent or tried to be, UTC; empty where it was not asked for here",
    "approved_at": "when it was approved; empty where no approval was required",
    "sent_at": "when it was sent to Adobe, UTC",
    "ended_at": "when it ended, UTC",
    "sort_at": "what a period by “asked” goes by: asked, else made at Adobe, else first seen; UTC",
    "person": "who asked; empty where not known",
    "approver": "who approved",
    "job": "Adobe's id of the export job",
    "request": "id of the request",
    "audiences": "names as they were then, with ids, by semicolon",
    "audience_ids": "ids, by semicolon",
    "fields": "exported fields, by semicolon",
    "all_fields": "whether all fields were exported",
    "with_events": "whether experience events were exported too",
    "personal_data_certain": "kinds of personal data that the fields surely hold",
    "personal_data_possible": "kinds that they may hold",
    "map_version": "version of the personal-data map; 0 is the built-in one",
    "dataset": "id of the dataset",
    "dataset_name": "its name as it was then",
    "batches": "ids of batches, by semicolon",
    "recipient": "goes on to, as stated; corrections included",
    "purpose": "purpose; corrections included",
    "legal_basis": "legal basis; corrections included",
    "ticket": "ticket; corrections included",
    "profiles": "number of profiles; empty where not reported",
    "profiles_source": "adobe (Adobe's count), batch, estimate, or none (not reported)",
    "data_left": "whether data left the profile store: yes, possibly, no, not_yet (not known yet)",
    "amendments": "number of corrections",
    "recipient_originally": "recipient before its first correction; empty where it was not corrected",
    "purpose_originally": "likewise",
    "legal_basis_originally": "likewise",
    "ticket_originally": "likewise",
    "corrections": "each correction: when, by whom, what, from, to, why; by semicolon",
}
_READ = {
    "row": "pk",
    "organization": "organization__slug",
    "organization_name": "organization__name",
    "sandbox": "sandbox__name",
    "sandbox_type": "sandbox__type",
    "job": "job__job_id",
    "request": "export_request__uuid",
    "personal_data_certain": "pii_certain",
    "personal_data_possible": "pii_possible",
    "map_version": "pii_map_version",
    "dataset": "dataset_id",
    "batches": "batch_ids",
    "profiles_source": "profile_source",
    "amendments": "amended",
}
_MADE = {*(f"{name}_originally" for name in AMENDABLE), "corrections"}
_STORED = [name for name in REGISTER_COLUMNS if name not in _MADE]


def chunks(organizations: Iterable[int], filters: register.Filters) -> Iterator[list[dict[str, Any]]]:
    """Rows that match, in the order of their keys, as dictionaries by column (and `changes`: the corrections)."""
    yield from _in_ranges(register.matching(organizations, filters))


def of_exports(organizations: Iterable[int], jobs: set[int], requests: set[int]) -> list[dict[str, Any]]:
    """The rows of these jobs and requests, by key, in the orgs."""
    wanted = Q(job__in=jobs) | Q(export_request__in=requests)
    return _rows(register.matching(organizations, {}).filter(wanted))


def _in_ranges(matching: Any) -> Iterator[list[dict[str, Any]]]:
    """By ranges of keys, so that no plan sorts everything again for each chunk."""
    last: int = RegisterEntry.objects.aggregate(last=Max("pk"))["last"] or 0
    for start in range(1, last + 1, RANGE):
        if found := _rows(matching.filter(pk__gte=start, pk__lt=start + RANGE)):
            yield found


def _rows(matching: Any) -> list[dict[str, Any]]:
    names = [_READ.get(name, name) for name in _STORED]
    rows = [dict(zip(_STORED, row, strict=True)) for row in matching.order_by("pk").values_list(*names)]
    changes = _changes([row["row"] for row in rows if row["amendments"]])
    for row in rows:
        mine = changes.get(row["row"], [])
        first = {item["field"]: item["old"] for item in reversed(mine)}
        row |= {f"{name}_originally": first.get(name, "") for name in AMENDABLE}
        row["changes"] = mine
    return rows


def _changes(pks: Sequence[int]) -> dict[int, list[dict[str, str]]]:
    found: dict[int, list[dict[str, str]]] = {}
    for item in Amendment.objects.filter(entry__in=pks).order_by("pk") if pks else ():
        told = {"at": cells.utc(item.at), "by": item.by, "field": item.field, "old": item.old, "new": item.new}
        found.setdefault(item.entry_id, []).append({**told, "why": item.why, "record": str(item.seq)})
    return found


def csv_row(row: dict[str, Any]) -> list[Any]:
    """The cells of a row, in the order of REGISTER_COLUMNS."""
    shown = {**row, "audiences": [_audience(item) for item in row["audiences"]], "corrections": _corrections(row)}
    shown["personal_data_certain"] = [_category(word) for word in row["personal_data_certain"]]
    shown["personal_data_possible"] = [_category(word) for word in row["personal_data_possible"]]
    return [cells.cell(shown[name]) for name in REGISTER_COLUMNS]


def _category(word: str) -> str:
    return str(Category(word).label) if word in Category.values else word


def _audience(item: Any) -> str:
    name, key = (str(item.get(part) or "") for part in ("name", "id")) if isinstance(item, dict) else ("", str(item))
    return f"{name} ({key})" if name else key


def _corrections(row: dict[str, Any]) -> list[str]:
    return [
        f"{item['at']} {item['by']}: {item['field']} from “{item['old']}” to “{item['new']}” because: {item['why']}"
        for item in row["changes"]
    ]


def json_line(row: dict[str, Any]) -> str:
    told = {**row, "corrections": row["changes"]}
    del told["changes"]
    for name, value in told.items():
        if name.endswith("_at"):
            told[name] = cells.utc(value) or None
    text = json.dumps(told, ensure_ascii=False, sort_keys=True, default=str)
    return f"{cells.visible_json(text)}\n"


def register_csv(organizations: Iterable[int], filters: register.Filters) -> Iterator[Part]:
    """The rows that match as CSV with a line of column names."""
    lines = cells.Lines()
    yield 0, lines.bytes_of([list(REGISTER_COLUMNS)])
    for chunk in chunks(organizations, filters):
        yield len(chunk), lines.bytes_of(map(csv_row, chunk))


def register_jsonl(organizations: Iterable[int], filters: register.Filters) -> Iterator[Part]:
    """The rows that match as JSON Lines; corrections as lists of objects."""
    for chunk in chunks(organizations, filters):
        yield len(chunk), "".join(map(json_line, chunk)).encode("utf-8", "replace")
