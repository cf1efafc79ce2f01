"""Answers as CSV: the documented columns of each, and its lines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from segadmin.models import ProfileSource
from segadmin.queries import answers, answers_extracts, answers_trace, cells, retention
from segadmin.queries.answers import Facts, Sums
from segadmin.queries.answers_trace import Found
from segadmin.queries.files import Part
from segadmin.queries.register import Filters

EXPORTED, WHERE, ERASURE, PROCESSING, BREACH = "exported", "where", "erasure", "processing", "breach"
LINES = 500

_SUMS = {
    "exports": "number of exports, each a row of the register",
    "left_yes": "exports whose data left",
    "left_possibly": "exports whose data may have left",
    "left_no": "exports whose data did not leave",
    "left_not_yet": "exports of which it is not known yet",
    "profiles_adobe": "sum of Adobe's counts; a person in several exports counts several times",
    "exports_counted_by_adobe": "exports in that sum",
    "profiles_batch": "sum of batches' counts",
    "exports_counted_by_batch": "exports in that sum",
    "profiles_estimated": "sum of estimates made beforehand; at most, where audiences overlap",
    "exports_estimated": "exports in that sum",
    "exports_not_reported": "exports whose data left, or may have, for which there is no number",
    "first_at": "the earliest: asked, else made at Adobe, else first seen; UTC",
    "last_at": "the latest, likewise",
}
_EXPORT = {
    "row": "key of the register's row; its page is /register/<key>/",
    "organization": "short name of the organization",
    "sandbox": "sandbox",
    "job": "Adobe's id of the export job",
    "sort_at": "asked, else made at Adobe, else first seen; UTC",
    "ended_at": "when it ended, UTC",
    "outcome": "what became of it",
    "audiences": "names as they were then, with ids, by semicolon; empty: everyone",
    "fields": "exported fields, by semicolon",
    "all_fields": "whether all fields were exported",
    "dataset": "id of the dataset",
    "dataset_name": "its name as it was then",
    "recipient": "goes on to, as stated; corrections included",
    "recipient_originally": "recipient before its first correction; empty where it was not corrected",
    "purpose": "purpose; corrections included",
    "profiles": "number of profiles; empty where not reported",
    "profiles_source": "adobe (Adobe's count), batch, estimate, or none (not reported)",
    "data_left": "yes, possibly, no, not_yet (not known yet)",
}
COLUMNS: dict[str, dict[str, str]] = {
    EXPORTED: {
        "by": "what the line is about: audience, dataset, recipient, field, org, period or person; or total",
        "key": "id, path, short name or month; empty for not said, everyone, or not ended; - for a person not known",
        "name": "its name as it was then",
        **_SUMS,
    },
    WHERE: {"how": "named, or everyone (an export without an audience held every audience)", **_EXPORT},
    ERASURE: {
        "verdict": "may_contain, cannot_be_excluded or does_not",
        "reason": "why",
        **_EXPORT,
    },
    PROCESSING: {
        "organization": "short name of the organization",
        "organization_name": "its name now",
        "purpose": "purpose as stated; corrections included",
        "purpose_note": "why there is none",
        "legal_basis": "legal basis as stated",
        "data_certain": "kinds of personal data that the fields surely hold",
        "data_possible": "kinds that they may hold",
        "people": "categories of people: audiences as named then",
        "recipients": "recipients as stated",
        "exports_recipient_not_said": "exports without a stated recipient",
        "datasets": "datasets that it was written to",
        "retention_of_this_record": "how long segadmin keeps its record; not how long recipients keep the data",
        **_SUMS,
    },
    BREACH: {
        "what": "total, category, audience, recipient or dataset",
        "key": "code, id or name; empty for everyone, or not said",
        "name": "in words",
        "sureness": "of a category: certain, or possible",
        "special_category": "whether article 9 of the GDPR names it",
        "largest_export": "most profiles in one export",
        **_SUMS,
    },
}


def columns_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Columns of the answer that a receipt's filter names."""
    chosen = told.get("chosen")
    named = chosen.get("answer") if isinstance(chosen, Mapping) else None
    return COLUMNS.get(str(named[0]) if named else EXPORTED, COLUMNS[EXPORTED])


def _sums(sums: Sums) -> list[Any]:
    found: list[Any] = [sums.exports, sums.yes, sums.possibly, sums.no, sums.not_yet]
    for source in (ProfileSource.ADOBE, ProfileSource.BATCH, ProfileSource.ESTIMATE):
        counted = sums.counted.get(source, 0)
        found += [sums.profiles[source] if counted else "", counted]
    return [*found, sums.not_reported, cells.utc(sums.first_at), cells.utc(sums.last_at)]


def _lines(answer: str, rows: Iterable[Sequence[Any]]) -> Iterator[Part]:
    """Rows of values as bytes, with a line of column names."""
    lines = cells.Lines()
    yield 0, lines.bytes_of([list(COLUMNS[answer])])
    rest = iter(rows)
    while several := list(islice(rest, LINES)):
        yield len(several), lines.bytes_of([[cells.cell(value) for value in row] for row in several])


def _export(found: Found) -> list[Any]:
    row: Facts = found.facts
    named = [f"{item['name']} ({item['id']})" if item.get("name") else item["id"] for item in row.audiences]
    return [
        row.pk, row.organization, row.sandbox, row.job, row.sort_at, row.ended_at, row.outcome, named, row.fields,
        row.all_fields, row.dataset_id, row.dataset_name, row.recipient, found.first, row.purpose, row.profiles,
        row.source, row.left,
    ]  # fmt: skip


def exported(organizations: Sequence[int], filters: Filters, by: str) -> Iterator[Part]:
    """The groups, then the total, which is of each export once."""
    found = answers.exported(organizations, filters, by)
    rows = [[by, group.key, group.label, *_sums(group.sums)] for group in found.groups]
    yield from _lines(EXPORTED, [*rows, ["total", "", "", *_sums(found.total)]])


def where(organizations: Sequence[int], filters: Filters) -> Iterator[Part]:
    found = answers_trace.where(organizations, filters)
    yield from _lines(WHERE, ([item.how, *_export(item)] for item in found))


def erasure(organizations: Sequence[int], filters: Filters, audiences: Sequence[str]) -> Iterator[Part]:
    rows = (
        [rule.verdict, rule.reason, *_export(item)]
        for rule in answers_trace.rules(audiences)
        for item in answers_trace.traced(organizations, filters, rule)
    )
    yield from _lines(ERASURE, rows)


def processing(organizations: Sequence[int], filters: Filters) -> Iterator[Part]:
    kept = retention.sentence()
    yield from _lines(PROCESSING, [_purpose(one, kept) for one in answers_extracts.purposes(organizations, filters)])


def _purpose(one: answers_extracts.Purpose, kept: str) -> list[Any]:
    certain, possible = one.kinds
    named = [one.organization, one.organization_name, one.purpose, one.note, one.legal_basis, certain, possible]
    lists = [sorted(one.people), sorted(one.recipients), one.unsaid, sorted(one.datasets)]
    return [*named, *lists, kept, *_sums(one.sums)]


def breach(organizations: Sequence[int], filters: Filters) -> Iterator[Part]:
    found = answers_extracts.breach(organizations, filters, lambda **_values: "")
    rows = [["total", "", "", "", None, found.total.largest, *_sums(found.total)]]
    for parts in found.parts.values():
        rows += [
            [part.what, part.key, part.label, part.sureness, part.is_special, part.sums.largest, *_sums(part.sums)]
            for part in parts
        ]
    yield from _lines(BREACH, rows)
