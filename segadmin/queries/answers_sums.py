"""Sums over rows of the register, added up by the database however many rows there are, whole or in groups."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Func, IntegerField, Max, Min, Q, QuerySet, Sum
from django.db.models.expressions import Combinable
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.models import DataLeft, ProfileSource, RegisterEntry

# What of a row may have left, or may still leave.
GONE = (DataLeft.YES.value, DataLeft.POSSIBLY.value)
GONE_OR_GOING = (*GONE, DataLeft.NOT_YET.value)
CHUNK = 1000


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
            self.first_at = min(self.first_at or other.first_at, other.first_at)
            self.last_at = max(self.last_at or other.last_at, other.last_at)

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


class _Length(Func):
    """How many items a list in JSON has."""

    function = "json_array_length"
    output_field = IntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="jsonb_array_length", **context)


_SOURCE_NAMES = tuple(source.value for source in (ProfileSource.ADOBE, ProfileSource.BATCH, ProfileSource.ESTIMATE))


def _expressions() -> dict[str, Combinable]:
    """What is added up of each group; the names are none of a column."""
    found: dict[str, Combinable] = {
        "sum_exports": Count("pk"),
        "sum_overlapping": Count(
            "pk", filter=Q(profile_source=ProfileSource.ESTIMATE, profiles__isnull=False, audience_count__gt=1)
        ),
        "sum_not_reported": Count("pk", filter=Q(profiles=None, data_left__in=GONE)),
        "sum_largest": Max("profiles"),
        "sum_first": Min("sort_at"),
        "sum_last": Max("sort_at"),
        "sum_latest": Max("pk"),
    }
    for left in DataLeft.values:
        found[f"left_{left}"] = Count("pk", filter=Q(data_left=left))
    for source in _SOURCE_NAMES:
        found[f"profiles_{source}"] = Sum("profiles", filter=Q(profile_source=source))
        found[f"counted_{source}"] = Count("pk", filter=Q(profile_source=source, profiles__isnull=False))
    return found


def _sums(row: dict[str, Any]) -> Sums:
    counted = {name: row[f"counted_{name}"] for name in _SOURCE_NAMES if row[f"counted_{name}"]}
    return Sums(
        exports=row["sum_exports"],
        left={name: row[f"left_{name}"] for name in DataLeft.values if row[f"left_{name}"]},
        profiles={name: row[f"profiles_{name}"] for name in counted},
        counted=counted,
        overlapping=bool(row["sum_overlapping"]),
        not_reported=row["sum_not_reported"],
        largest=row["sum_largest"],
        first_at=row["sum_first"],
        last_at=row["sum_last"],
    )


def total(rows: "QuerySet[RegisterEntry]") -> Sums:
    """All rows as one. One query."""
    return _sums(rows.annotate(audience_count=_Length("audience_ids")).aggregate(**_expressions()))


def grouped(rows: "QuerySet[RegisterEntry]", *by: str) -> Iterator[tuple[tuple[Any, ...], int, Sums]]:
    """(values, key of the group's latest row, sums) of each group, in the order of these latest rows. One query."""
    found = rows.order_by().annotate(audience_count=_Length("audience_ids"))
    for row in found.values(*by).annotate(**_expressions()).order_by("sum_latest"):
        yield tuple(row[name] for name in by), row["sum_latest"], _sums(row)


def of_rows(keys: Iterable[int], column: str) -> dict[int, Any]:
    """Key -> value of one column."""
    wanted, found = list(keys), dict[int, Any]()
    for start in range(0, len(wanted), CHUNK):
        part = RegisterEntry.objects.filter(pk__in=wanted[start : start + CHUNK]).order_by()
        found |= dict(part.values_list("pk", column))
    return found


type Named = tuple[str, str]


def by_audiences(rows: "QuerySet[RegisterEntry]", *more: str) -> list[tuple[list[Named], tuple[Any, ...], Sums]]:
    """([(id, name as it was then)], further values, sums) of exports of exactly these audiences; none: of everyone."""
    groups = list(grouped(rows, "audience_words", *more))
    latest = of_rows((pk for _values, pk, _sums in groups), "audiences")
    return [
        ([(item["id"], item.get("name") or item["id"]) for item in latest[pk]], values[1:], sums)
        for values, pk, sums in groups
    ]


def by_datasets(rows: "QuerySet[RegisterEntry]", *more: str) -> list[tuple[Named, tuple[Any, ...], Sums]]:
    """((id, its latest name or the id), further values, sums)."""
    groups = list(grouped(rows, "dataset_id", "dataset_name", *more))
    names = {values[0]: values[1] for values, _pk, _sums in groups if values[1]}
    found: dict[tuple[Any, ...], Sums] = {}
    for (dataset, _name, *rest), _pk, sums in groups:
        found.setdefault((dataset, *rest), Sums()).merge(sums)
    return [((key[0], names.get(key[0]) or key[0]), key[1:], sums) for key, sums in found.items()]
