"""Who exported what: sums over rows of the register, by audience, dataset, recipient, field, org, month or person.

Everything is added up from rows that `register.matching` finds, so that answers, the register's page and its file agree.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Case, Count, IntegerField, Max, Min, QuerySet, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.models import RegisterEntry
from segadmin.queries import answers_sums as sums
from segadmin.queries import register
from segadmin.queries.answers_sums import GONE, GONE_OR_GOING, Sums
from segadmin.queries.register import ENDED, EXACTLY, NOT_KNOWN, Filters
from segadmin.queries.search import start_of
from segadmin.queries.terms import CERTAIN_ANY

__all__ = ["GONE", "GONE_OR_GOING", "Facts", "Group", "Lead", "Month", "Sums", "exported", "facts"]

# Rows in memory at once.
CHUNK = 2000
# So many groups stand on a page; the file has all of them.
MOST_SHOWN = 100
AUDIENCE, DATASET, RECIPIENT, FIELD = "audience", "dataset", "recipient", "field"
ORG, PERIOD, PERSON = "org", "period", "person"
# A path that no profile has: the register then finds exports of all fields only.
ALL_FIELDS = "*"

# Gives the address of register rows for filters of the page with these changed; empty where no address says exactly that.
type Lead = Callable[..., str]


class Facts(NamedTuple):
    """What answers read of one row."""

    pk: int
    organization: str
    organization_name: str
    sandbox: str
    job: str | None
    origin: str
    outcome: str
    sort_at: datetime
    ended_at: datetime | None
    person: str
    audiences: list[dict[str, str]]
    audience_words: str
    fields: list[str]
    field_words: str
    all_fields: bool
    with_events: bool
    certain: list[str]
    possible: list[str]
    dataset_id: str
    dataset_name: str
    recipient: str
    purpose: str
    legal_basis: str
    ticket: str
    amended: int
    profiles: int | None
    source: str
    left: str

    @property
    def dataset(self) -> str:
        return self.dataset_name or self.dataset_id


_COLUMNS = {
    "organization": "organization__slug",
    "organization_name": "organization__name",
    "sandbox": "sandbox__name",
    "job": "job__job_id",
    "certain": "pii_certain",
    "possible": "pii_possible",
    "source": "profile_source",
    "left": "data_left",
}
COLUMNS = [_COLUMNS.get(name, name) for name in Facts._fields]


def chunks(rows: "QuerySet[RegisterEntry]") -> Iterator[list[Facts]]:
    """Rows by key, a finished select at a time."""
    last = 0
    while found := list(rows.filter(pk__gt=last).order_by("pk").values_list(*COLUMNS)[:CHUNK]):
        chunk = [Facts(*row) for row in found]
        last = chunk[-1].pk
        yield chunk


def facts(organizations: Iterable[int], filters: Filters) -> Iterator[Facts]:
    for chunk in chunks(register.matching(organizations, filters)):
        yield from chunk


@dataclass
class Group:
    """One line of an answer. `url` leads to exactly its rows, empty where no filter says exactly that."""

    key: str
    label: str
    note: str = ""
    url: str = ""
    sums: Sums = field(default_factory=Sums)


@dataclass
class Month:
    """Exports of one month of the reader's zone."""

    certain: int = 0
    others: int = 0


@dataclass
class Exported:
    """The whole answer; `groups` are ordered by number of exports, months by time. `no_end`: without the basis's time."""

    by: str
    total: Sums
    groups: list[Group]
    months: dict[tuple[int, int], Month]
    no_end: int = 0

    @property
    def shown(self) -> list[Group]:
        return self.groups[:MOST_SHOWN]


def exported(organizations: Sequence[int], filters: Filters, by: str) -> Exported:
    """Add up all rows that match, and their groups; a handful of queries."""
    filters = register.resolved(filters)
    rows = register.matching(organizations, filters)
    total = sums.total(rows)
    months, no_end = _months(rows, filters)
    groups = _by_month(rows, filters) if by == PERIOD else _by_field(rows) if by == FIELD else _groups(rows, by)
    order = (lambda group: group.key) if by == PERIOD else _most_first
    return Exported(by, total, sorted(groups.values(), key=order), months, no_end)


def _groups(rows: "QuerySet[RegisterEntry]", by: str) -> dict[str, Group]:
    """Groups by their key; a later row names them, unless it does not know the name."""
    found: dict[str, Group] = {}
    for key, label, note, added in _parts(rows, by):
        group = found.setdefault(key, Group(key, label, note))
        if label != key:
            group.label = label
        group.sums.merge(added)
    return found


type _Part = tuple[str, str, str, Sums]


def _parts(rows: "QuerySet[RegisterEntry]", by: str) -> Iterator[_Part]:
    """(key, label, note, sums) of each part that a group has."""
    match by:
        case "audience":
            yield from _audiences(rows)
        case "dataset":
            for (key, label), _more, added in sums.by_datasets(rows):
                yield key, label or _("dataset not told"), key, added
        case "recipient":
            for (key,), _pk, added in sums.grouped(rows, "recipient"):
                yield key, key or _("recipient not said"), "", added
        case "org":
            for (slug, name), _pk, added in sums.grouped(rows, "organization__slug", "organization__name"):
                yield slug, name, "", added
        case _:
            yield from _persons(rows)


def _audiences(rows: "QuerySet[RegisterEntry]") -> Iterator[_Part]:
    for named, _more, added in sums.by_audiences(rows):
        yield from ((key, label, key, added) for key, label in dict(named).items())
        if not named:
            yield "", _("Everyone, no audience"), "", added


def _persons(rows: "QuerySet[RegisterEntry]") -> Iterator[_Part]:
    for (name,), _pk, added in sums.grouped(rows, "person"):
        note = "" if name else _("from outside or older: Adobe names nobody")
        yield name or NOT_KNOWN, name or _("person not known"), note, added


# -- months -----------------------------------------------------------------------------------------------------------

# Adobe tells the times of jobs from outside, so they may lie anywhere; beyond so many months the first ones are one.
MOST_MONTHS = 480


def _column(filters: Filters) -> str:
    return "ended_at" if filters.get("basis") == ENDED else "sort_at"


def _spans(
    rows: "QuerySet[RegisterEntry]", filters: Filters
) -> tuple["QuerySet[RegisterEntry]", list[tuple[int, int]]]:
    """The rows with the number of their month (None: has not ended), and the months in the person's zone."""
    column = _column(filters)
    ends = rows.aggregate(first=Min(column), last=Max(column))
    if ends["first"] is None:
        return rows.annotate(month=Value(None, output_field=IntegerField())), []
    first, last = timezone.localtime(ends["first"]), timezone.localtime(ends["last"])
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)[-MOST_MONTHS:]
    months = [(number // 12, number % 12 + 1) for number in numbers]
    edges = [start_of(date(*month, 1)) for month in months[1:]]
    spans = [When(**{f"{column}__lt": edge}, then=Value(number)) for number, edge in enumerate(edges)]
    spans.append(When(**{f"{column}__isnull": False}, then=Value(len(edges))))
    return rows.annotate(month=Case(*spans, output_field=IntegerField())), months


def _months(rows: "QuerySet[RegisterEntry]", filters: Filters) -> tuple[dict[tuple[int, int], Month], int]:
    """Exports of each month that has some, and how many have no time of this kind."""
    spanned, months = _spans(rows, filters)
    sure = Case(When(CERTAIN_ANY, then=Value(1)), default=Value(0), output_field=IntegerField())
    counted = spanned.annotate(sure=sure).order_by().values("month", "sure").annotate(exports=Count("pk"))
    found, no_end = dict[tuple[int, int], Month](), 0
    for row in counted.order_by("month"):
        if row["month"] is None:
            no_end += row["exports"]
            continue
        month = found.setdefault(months[row["month"]], Month())
        if row["sure"]:
            month.certain += row["exports"]
        else:
            month.others += row["exports"]
    return dict(sorted(found.items())), no_end


def _by_month(rows: "QuerySet[RegisterEntry]", filters: Filters) -> dict[str, Group]:
    spanned, months = _spans(rows, filters)
    found = {}
    for (number,), _pk, added in sums.grouped(spanned, "month"):
        key = "" if number is None else "{:04}-{:02}".format(*months[number])
        found[key] = Group(key, "" if key else _("not ended"), sums=added)
    return found


def _most_first(group: Group) -> Any:
    return (-group.sums.exports, group.label.lower(), group.key)


def _by_field(rows: "QuerySet[RegisterEntry]") -> dict[str, Group]:
    """Each field with all exports that held it: named itself, from above or below, or by exporting all fields."""
    combinations = list(sums.grouped(rows, "field_words", "all_fields"))
    latest = sums.of_rows((pk for _values, pk, _sums in combinations), "fields").values()
    spelled = {path.lower(): path for fields in latest for path in fields}
    every = {word for (words, _all), _pk, _sums in combinations for word in words.strip("|").split("|") if word}
    paths = every - {ALL_FIELDS}
    groups = {path: Group(path, spelled.get(path, path)) for path in paths}
    everything = Group(
        ALL_FIELDS, _("All fields, without a list"), _("also counted for each field; or all fields of events")
    )
    for (words, all_fields), _pk, added in combinations:
        named = words.strip("|").split("|") if words else []
        all_fields = all_fields or ALL_FIELDS in named
        for path in paths if all_fields else [path for path in paths if any(_meet(path, word) for word in named)]:
            groups[path].sums.merge(added)
        if all_fields:
            everything.sums.merge(added)
    return groups | ({ALL_FIELDS: everything} if everything.sums.exports else {})


def _meet(path: str, other: str) -> bool:
    """Whether one path contains the other."""
    return path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")


def lead_to(group: Group, by: str, lead: Lead, filters: Filters) -> str:
    """The address of the group's rows in the register."""
    match by:
        case "audience" | "dataset" | "recipient":
            return lead(**{by: f"{EXACTLY}{group.key}"})
        case "field":
            return lead(field=group.key)
        case "org" | "person":
            return lead(**{by: group.key})
        case _:
            if not group.key:
                return ""
            year, month = map(int, group.key.split("-"))
            return lead_to_months(lead, filters, (year, month), (year, month))


def lead_to_months(lead: Lead, filters: Filters, first: tuple[int, int], last: tuple[int, int]) -> str:
    """The address of rows from the first to the last month, within the page's own period."""
    start, end = date(*first, 1), last_day(*last)
    from_at, to_at = filters.get("from_at"), filters.get("to_at")
    if from_at:
        start = max(start, timezone.localtime(from_at).date())
    if to_at:
        end = min(end, timezone.localtime(to_at - timedelta(microseconds=1)).date())
    return lead(**{"from": start.isoformat(), "to": end.isoformat()})


def last_day(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return date.fromordinal(following.toordinal() - 1)
