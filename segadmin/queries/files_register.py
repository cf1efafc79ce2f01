"""Rows of the register as files, with their corrections beside what was sent.

Which rows are in a file is fixed when its newest record is: those that matched then. Later corrections are left out. What
else changed in a row while the file was written (a job that ended, say) can't be undone: such rows are counted, and the
receipt says how many.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import Max, Q

from segadmin.models import Amendment, Category, RegisterEntry
from segadmin.plain import visible_json
from segadmin.queries import cells, register
from segadmin.queries.files import Part

RANGE = 500
FIXED = 20_000
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


class AsOf:
    """The rows that match now, as a file that is written later. `changed` counts those that were not as now by then.

    Rows come in the order of their keys, as dictionaries by column (and `changes`: the corrections up to `cut_off`).
    """

    def __init__(self, kind: str, organizations: Iterable[int], filters: register.Filters, cut_off: int) -> None:
        self._kind, self._cut_off = kind, cut_off
        self._keys, self._versions = array("q"), array("q")
        last: int = RegisterEntry.objects.aggregate(last=Max("pk"))["last"] or 0
        matching = register.matching(organizations, filters).order_by("pk")
        # By ranges of keys, so that no plan sorts everything again for each chunk.
        for start in range(1, last + 1, FIXED):
            for key, version in matching.filter(pk__gte=start, pk__lt=start + FIXED).values_list("pk", "version"):
                self._keys.append(key)
                self._versions.append(version)
        self.changed = 0

    def __iter__(self) -> Iterator[Part]:
        if self._kind == "csv":
            lines = cells.Lines()
            yield 0, lines.bytes_of([list(REGISTER_COLUMNS)])
            for chunk in self.chunks():
                yield len(chunk), lines.bytes_of(map(csv_row, chunk))
        else:
            for chunk in self.chunks():
                yield len(chunk), "".join(map(json_line, chunk)).encode("utf-8", "replace")

    def chunks(self) -> Iterator[list[dict[str, Any]]]:
        for at in range(0, len(self._keys), RANGE):
            keys, versions = self._keys[at : at + RANGE], self._versions[at : at + RANGE]
            found = _rows(RegisterEntry.objects.filter(pk__in=keys.tolist()), self._cut_off)
            then = dict(zip(keys, versions, strict=True))
            self.changed += len(then) - sum(row.pop("version") == then[row["row"]] for row in found)
            yield found


def of_exports(organizations: Iterable[int], jobs: set[int], requests: set[int]) -> list[dict[str, Any]]:
    """The rows of these jobs and requests, by key, in the orgs."""
    wanted = Q(job__in=jobs) | Q(export_request__in=requests)
    return _rows(register.matching(organizations, {}).filter(wanted))


def _rows(matching: Any, cut_off: int | None = None) -> list[dict[str, Any]]:
    """With `cut_off` the corrections of later records are left out, and `version` is there too."""
    names = [_READ.get(name, name) for name in _STORED]
    rows = [
        {**dict(zip(_STORED, row, strict=True)), "version": version}
        for *row, version in matching.order_by("pk").values_list(*names, "version")
    ]
    changes = _changes([row["row"] for row in rows if row["amendments"]])
    for row in rows:
        mine = changes.get(row["row"], [])
        kept = [item for item in mine if cut_off is None or int(item["record"]) <= cut_off]
        row |= {item["field"]: item["old"] for item in reversed(mine[len(kept) :])}
        first = {item["field"]: item["old"] for item in reversed(kept)}
        row |= {f"{name}_originally": first.get(name, "") for name in AMENDABLE}
        row |= {"changes": kept, "amendments": len(kept) if len(kept) < len(mine) else row["amendments"]}
        if cut_off is None:
            del row["version"]
    return rows


def _changes(pks: Sequence[int]) -> dict[int, list[dict[str, str]]]:
    """By row, in the order of their records."""
    found: dict[int, list[dict[str, str]]] = {}
    for item in Amendment.objects.filter(entry__in=pks).order_by("seq", "pk") if pks else ():
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
    return f"{visible_json(text)}\n"
