"""Who exported what: sums over rows of the register, by audience, dataset, recipient, field, org, month or person.

Everything is added up from rows that `register.matching` finds, so that answers, the register's page and its file agree.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.models import DataLeft, ProfileSource, RegisterEntry
from segadmin.queries import register
from segadmin.queries.register import ENDED, EXACTLY, NOT_KNOWN, Filters

# Rows in memory at once.
CHUNK = 2000
# So many groups stand on a page; the file has all of them.
MOST_SHOWN = 100
# What of a row may have left, or may still leave.
GONE = (DataLeft.YES.value, DataLeft.POSSIBLY.value)
GONE_OR_GOING = (*GONE, DataLeft.NOT_YET.value)
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


def too_many(organizations: Iterable[int], filters: Filters) -> bool:
    """Whether so many rows match that no page adds them up; files do."""
    found = register.matching(organizations, filters).values("pk")
    return bool(found[register.MOST_COUNTED : register.MOST_COUNTED + 1].exists())


@dataclass
class Sums:
    """Counts of exports, and of profiles by whose number it is. Sums of profiles overlap: one person may be in several."""

    exports: int = 0
    left: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, int] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    overlapping: bool = False
    not_reported: int = 0
    largest: int | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None

    def add(self, row: Facts) -> None:
        self.exports += 1
        self.left[row.left] = self.left.get(row.left, 0) + 1
        if row.profiles is not None:
            self.profiles[row.source] = self.profiles.get(row.source, 0) + row.profiles
            self.counted[row.source] = self.counted.get(row.source, 0) + 1
            self.overlapping |= row.source == ProfileSource.ESTIMATE and len(row.audiences) > 1
            self.largest = max(self.largest or 0, row.profiles)
        elif row.left in GONE:
            self.not_reported += 1
        self._widen(row.sort_at, row.sort_at)

    def merge(self, other: "Sums") -> None:
        self.exports += other.exports
        for mine, theirs in ((self.left, other.left), (self.profiles, other.profiles), (self.counted, other.counted)):
            for name, number in theirs.items():
                mine[name] = mine.get(name, 0) + number
        self.overlapping |= other.overlapping
        self.not_reported += other.not_reported
        if other.largest is not None:
            self.largest = max(self.largest or 0, other.largest)
        if other.first_at and other.last_at:
            self._widen(other.first_at, other.last_at)

    def _widen(self, first: datetime, last: datetime) -> None:
        self.first_at = min(self.first_at or first, first)
        self.last_at = max(self.last_at or last, last)

    @property
    def yes(self) -> int:
        return self.left.get(DataLeft.YES, 0)

    @property
    def possibly(self) -> int:
        return self.left.get(DataLeft.POSSIBLY, 0)

    @property
    def no(self) -> int:
        return self.left.get(DataLeft.NO, 0)

    @property
    def not_yet(self) -> int:
        return self.left.get(DataLeft.NOT_YET, 0)

    @property
    def told(self) -> list[str]:
        """Profiles in words, a line for each source: a sum over several exports is "at most", never "0" for unknown."""
        lines = [self._line(source, words) for source, words in _SOURCES().items() if self.counted.get(source)]
        if self.not_reported:
            lines.append(
                ngettext("not reported for %(n)s export", "not reported for %(n)s exports", self.not_reported)
                % {"n": f"{self.not_reported:,}"}
            )
        return lines or [_("none")]

    def _line(self, source: str, words: str) -> str:
        number, exports = self.profiles[source], self.counted[source]
        estimate = source == ProfileSource.ESTIMATE
        if exports > 1 or (estimate and self.overlapping):
            most = _("at most %s") if not estimate else _("at most about %s")
        else:
            most = "%s" if not estimate else _("about %s")
        of = ngettext("%(n)s export", "%(n)s exports", exports) % {"n": f"{exports:,}"}
        return _("%(number)s, %(source)s of %(exports)s") % {
            "number": most % f"{number:,}",
            "source": words,
            "exports": of,
        }


def _SOURCES() -> dict[str, str]:  # noqa: N802 - words of the reader's language
    return {
        ProfileSource.ADOBE.value: _("Adobe’s count"),
        ProfileSource.BATCH.value: _("count of the batch"),
        ProfileSource.ESTIMATE.value: _("estimate"),
    }


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
    """Read all rows that match once, add them up, and group them."""
    total, months, no_end = Sums(), dict[tuple[int, int], Month](), 0
    groups: dict[str, Group] = {}
    combinations: dict[tuple[str, bool], Sums] = {}
    spelled: dict[str, str] = {}
    for row in facts(organizations, filters):
        total.add(row)
        at = month_of(row, filters)
        if at is None:
            no_end += 1
        else:
            month = months.setdefault(at, Month())
            month.certain += bool(row.certain)
            month.others += not row.certain
        if by == FIELD:
            combinations.setdefault((row.field_words, row.all_fields), Sums()).add(row)
            spelled |= {path.lower(): path for path in row.fields}
            continue
        for key, label, note in _places(row, by, at):
            group = groups.setdefault(key, Group(key, label))
            group.note = note
            if label != key:  # a later row may not know the name
                group.label = label
            group.sums.add(row)
    if by == FIELD:
        groups = _by_field(combinations, spelled)
    order = (lambda group: group.key) if by == PERIOD else _most_first
    return Exported(by, total, sorted(groups.values(), key=order), dict(sorted(months.items())), no_end)


def _most_first(group: Group) -> Any:
    return (-group.sums.exports, group.label.lower(), group.key)


def month_of(row: Facts, filters: Filters) -> tuple[int, int] | None:
    """The month in which the period's time of this row lies; None for one that has not ended."""
    moment = row.ended_at if filters.get("basis") == ENDED else row.sort_at
    return (
        None
        if moment is None
        else _month(
            moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0),
            timezone.get_current_timezone_name(),
        )
    )


@lru_cache(maxsize=4096)
def _month(quarter: datetime, _zone: str) -> tuple[int, int]:
    """By quarters of an hour, so that few are computed; months of all zones begin with one."""
    local = timezone.localtime(quarter)
    return local.year, local.month


def _places(row: Facts, by: str, at: tuple[int, int] | None) -> list[tuple[str, str, str]]:
    """(key, label, note) of each group that the row belongs to."""
    match by:
        case "audience":
            found = [(item["id"], item.get("name") or item["id"], item["id"]) for item in row.audiences]
            return found or [("", _("Everyone, no audience"), "")]
        case "dataset":
            return [(row.dataset_id, row.dataset or _("dataset not told"), row.dataset_id)]
        case "recipient":
            return [(row.recipient, row.recipient or _("recipient not said"), "")]
        case "org":
            return [(row.organization, row.organization_name, "")]
        case "person":
            return [(row.person or NOT_KNOWN, row.person or _("person not known"), _who(row))]
        case _:
            return [(f"{at[0]:04}-{at[1]:02}", "", "")] if at else [("", _("not ended"), "")]


def _who(row: Facts) -> str:
    return "" if row.person else _("from outside or older: Adobe names nobody")


def _by_field(combinations: dict[tuple[str, bool], Sums], spelled: dict[str, str]) -> dict[str, Group]:
    """Each field with all exports that held it: named itself, from above or below, or by exporting all fields."""
    paths = {word for words, _all in combinations for word in words.strip("|").split("|") if word}
    groups = {path: Group(path, spelled.get(path, path)) for path in paths}
    everything = Group(ALL_FIELDS, _("All fields, without a list"), _("also counted for each field"))
    for (words, all_fields), sums in combinations.items():
        named = words.strip("|").split("|") if words else []
        for path in paths if all_fields else [path for path in paths if any(_meet(path, word) for word in named)]:
            groups[path].sums.merge(sums)
        if all_fields:
            everything.sums.merge(sums)
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
