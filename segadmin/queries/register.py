"""The export register as it is asked: which rows, newest first by keyset, and totals over all that match.

Rows are of the orgs that are handed in. Everything narrows by `condition`, so that pages, files and answers agree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Sum, Value, When
from django.db.models.fields.json import KeyTextTransform

from segadmin.models import DataLeft, ExportOutcome, Origin, ProfileSource, RegisterEntry

PAGE_SIZE = 50
# Beyond so many orgs or sandboxes a page is read by one select instead of a union of one each.
MOST_BRANCHES = 100
# So many rows are counted; beyond, a page says that a period has to be chosen.
MOST_COUNTED = 50_000
ASKED, ENDED = "asked", "ended"
NOT_KNOWN = "-"
ANY = "any"
EXACTLY = "="
# The certain ones come first in a row's words.
CERTAIN_ANY = Q(pii_words__gt="") & ~Q(pii_words__startswith="|?")
POSSIBLE_ONLY = Q(pii_words__startswith="|?")


class Filters(TypedDict, total=False):
    """What is left out does not narrow; several values of one list are alternatives, different names narrow further.

    `sandboxes` holds keys; `persons` names, with "-" for not known; `certain` and `possible` kinds of personal data, where
    "any" stands for any certain one, and for possible ones only;
    `audience` and `dataset` an id or part of a name, `recipient` a part, and each with "=" in front exactly that;
    `field` a path, which also finds what contains it and what it contains. `basis` says which time the period is about:
    "asked" (asked, else made at Adobe, else first seen) or "ended"; times are aware, `to_at` is exclusive. `text` has to
    be in the row's words, each of it. `also` is what a query line asks beyond all this.
    """

    sandboxes: Sequence[int]
    persons: Sequence[str]
    origins: Sequence[str]
    outcomes: Sequence[str]
    left: Sequence[str]
    certain: Sequence[str]
    possible: Sequence[str]
    audience: str
    dataset: str
    recipient: str
    field: str
    ticket: str
    basis: str
    from_at: datetime | None
    to_at: datetime | None
    text: str
    also: Q


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in the list."""

    at: datetime
    pk: int

    def __str__(self) -> str:
        stamp = self.at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"{stamp}Z_{self.pk}"

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """None for anything that no link of ours holds."""
        stamp, found, key = text.rpartition("_")
        if not found or not key.isascii() or not key.isdigit() or len(key) > 18:
            return None
        try:
            at = datetime.fromisoformat(stamp)
            return cls(at.astimezone(UTC), int(key)) if at.tzinfo else None
        except (ValueError, OverflowError):
            return None

    @classmethod
    def of(cls, entry: RegisterEntry) -> "Cursor":
        return cls(entry.sort_at, entry.pk)


def condition(filters: Filters) -> Q:
    """Everything but the org and the place in the list."""
    found = ~Q(outcome=ExportOutcome.MERGED)
    for column, values in (
        ("sandbox", filters.get("sandboxes")),
        ("origin", filters.get("origins")),
        ("outcome", filters.get("outcomes")),
        ("data_left", filters.get("left")),
    ):
        if values:
            found &= Q(**{f"{column}__in": list(values)})
    if persons := filters.get("persons"):
        found &= Q(person__in=["" if name == NOT_KNOWN else name for name in persons])
    return found & _categories(filters) & _texts(filters) & _period(filters) & filters.get("also", Q())


def _categories(filters: Filters) -> Q:
    """Certain and possible ones are alternatives to each other: both ticked finds all that may hold it."""
    wanted = Q()
    for category in filters.get("certain", ()):
        wanted |= CERTAIN_ANY if category == ANY else Q(pii_words__contains=f"|{category}|")
    for category in filters.get("possible", ()):
        wanted |= POSSIBLE_ONLY if category == ANY else Q(pii_words__contains=f"|?{category}|")
    return wanted


def _texts(filters: Filters) -> Q:
    found = Q()
    if audience := filters.get("audience"):
        found &= of_audience(audience)
    if dataset := filters.get("dataset"):
        found &= of_dataset(dataset)
    if recipient := filters.get("recipient"):
        found &= of_recipient(recipient)
    if ticket := filters.get("ticket"):
        found &= Q(ticket__iexact=ticket)
    if field := filters.get("field"):
        found &= of_field(field)
    for word in filters.get("text", "").lower().split():
        found &= Q(search__contains=word)
    return found


def of_audience(value: str) -> Q:
    """Exports of audiences whose id or name contains this; "=x" is exactly x, and "=" is exports of no audience."""
    if value.startswith(EXACTLY):
        exact = value.removeprefix(EXACTLY).lower()
        return Q(audience_words__contains=f"|{exact}|") if exact else Q(audience_words="")
    return Q(audience_words__contains=value.lower())


def of_dataset(value: str) -> Q:
    """Exports to this id, or to a dataset whose name contains it; "=x" is the id x, "=" a dataset not told."""
    if value.startswith(EXACTLY):
        return Q(dataset_id=value.removeprefix(EXACTLY))
    return Q(dataset_id=value) | Q(dataset_name__icontains=value)


def of_recipient(value: str) -> Q:
    """Exports whose stated recipient contains this; "=x" is exactly x, "=" a recipient not said."""
    if value.startswith(EXACTLY):
        return Q(recipient=value.removeprefix(EXACTLY))
    return Q(recipient__icontains=value)


def of_field(path: str) -> Q:
    """Exports that held this field: named itself, or by something above it, or in part, or by exporting all fields."""
    parts = path.lower().strip(".").split(".")
    found = Q(all_fields=True) | Q(field_words__contains=f"|{'.'.join(parts)}.")
    for depth in range(1, len(parts) + 1):
        found |= Q(field_words__contains=f"|{'.'.join(parts[:depth])}|")
    return found


def _period(filters: Filters) -> Q:
    column = "ended_at" if filters.get("basis") == ENDED else "sort_at"
    found = Q()
    if from_at := filters.get("from_at"):
        found &= Q(**{f"{column}__gte": from_at})
    if to_at := filters.get("to_at"):
        found &= Q(**{f"{column}__lt": to_at})
    return found


def matching(organizations: Iterable[int], filters: Filters) -> QuerySet[RegisterEntry]:
    """All rows that match, in no order; organizations by key."""
    return RegisterEntry.objects.filter(condition(filters), organization__in=list(organizations)).order_by()


def rows(
    organizations: Sequence[int], filters: Filters, after: Cursor | None = None, limit: int = PAGE_SIZE
) -> list[RegisterEntry]:
    """One page, newest first, with all that a row needs: two queries, however many orgs and rows."""
    places = _branches(organizations, filters, after)
    pks = [pk for _at, pk in places.order_by("-sort_at", "-id")[:limit]] if places is not None else []
    return load(pks)


def load(pks: Iterable[int]) -> list[RegisterEntry]:
    """Rows by key, newest first, without the long texts that no row shows."""
    found = (
        RegisterEntry.objects.filter(pk__in=list(pks))
        .select_related("sandbox__organization", "export_request", "job")
        .annotate(
            wrote=KeyTextTransform("startTimeInMs", F("job__raw__metrics__aCPDatasetWriteTime")),
            exported=KeyTextTransform("startTimeInMs", F("job__raw__metrics__profileExportTime")),
        )
        .defer("search", "field_words", "audience_words", "job__raw", "job__search")
        .defer("export_request__typed", "export_request__body", "export_request__names", "export_request__answer")
        .order_by("-sort_at", "-pk")
    )
    return list(found)


def _branches(
    organizations: Sequence[int], filters: Filters, after: Cursor | None
) -> "QuerySet[RegisterEntry, tuple[datetime, int]] | None":
    """(sort_at, pk) as one UNION ALL of a branch per sandbox or org: each is walked by its index. None: nowhere."""
    if not organizations:
        return None
    base = RegisterEntry.objects.filter(condition(filters) & before(after)).order_by()
    sandboxes = filters.get("sandboxes") or ()
    if max(len(sandboxes), len(organizations)) > MOST_BRANCHES:
        parts = [base.filter(organization__in=list(organizations))]
    elif sandboxes:
        parts = [base.filter(sandbox=pk, organization__in=list(organizations)) for pk in sandboxes]
    else:
        parts = [base.filter(organization=pk) for pk in organizations]
    first, *rest = [part.values_list("sort_at", "id") for part in parts]
    return first.union(*rest, all=True) if rest else first


def before(after: Cursor | None) -> Q:
    """Rows further down the list than the cursor."""
    if after is None:
        return Q()
    # The first part alone lets the index find the place.
    return Q(sort_at__lte=after.at) & (Q(sort_at__lt=after.at) | Q(pk__lt=after.pk))


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over all that match. `profiles` is the sum of Adobe's counts: a person exported twice counts twice.

    `more` says that there are too many rows to count: then nothing else is said.
    """

    more: bool = False
    exports: int = 0
    certain: int = 0
    possible: int = 0
    special: int = 0
    special_possible: int = 0
    outside: int = 0
    bad: int = 0
    left_yes: int = 0
    left_possibly: int = 0
    left_no: int = 0
    left_not_yet: int = 0
    profiles: int = 0
    reported: int = 0
    not_reported: int = 0


def totals(organizations: Sequence[int], filters: Filters) -> Totals:
    """Two queries; nothing is counted where more than MOST_COUNTED rows match."""
    found = matching(organizations, filters)
    if found.values("pk")[MOST_COUNTED : MOST_COUNTED + 1].exists():
        return Totals(more=True)
    told: dict[str, Any] = found.aggregate(
        exports=Count("pk"),
        certain=Count("pk", filter=CERTAIN_ANY),
        possible=Count("pk", filter=POSSIBLE_ONLY),
        special=Count("pk", filter=Q(pii_words__contains="|!|")),
        special_possible=Count("pk", filter=Q(pii_words__contains="|?!|") & ~Q(pii_words__contains="|!|")),
        outside=Count("pk", filter=Q(origin__in=[Origin.OUTSIDE, Origin.OLDER])),
        bad=Count("pk", filter=Q(outcome__in=BAD)),
        left_yes=Count("pk", filter=Q(data_left=DataLeft.YES)),
        left_possibly=Count("pk", filter=Q(data_left=DataLeft.POSSIBLY)),
        left_no=Count("pk", filter=Q(data_left=DataLeft.NO)),
        left_not_yet=Count("pk", filter=Q(data_left=DataLeft.NOT_YET)),
        profiles=Sum("profiles", filter=Q(profile_source=ProfileSource.ADOBE)),
        reported=Count("pk", filter=Q(profile_source=ProfileSource.ADOBE)),
        not_reported=Count("pk", filter=Q(data_left=DataLeft.YES) & ~Q(profile_source=ProfileSource.ADOBE)),
    )
    return Totals(**{**told, "profiles": told["profiles"] or 0})


BAD = (ExportOutcome.FAILED, ExportOutcome.CANCELLED, ExportOutcome.REFUSED, ExportOutcome.NOT_SENT)


@dataclass(frozen=True)
class Bar:
    """One stretch of time in the drawing: exports with personal data for certain, and all others."""

    from_at: datetime
    certain: int
    others: int

    @property
    def exports(self) -> int:
        return self.certain + self.others


def bars(organizations: Sequence[int], filters: Filters, edges: Sequence[datetime]) -> list[Bar]:
    """Exports between each two edges, by when they were asked for. One query."""
    inside = matching(organizations, filters).filter(sort_at__gte=edges[0], sort_at__lt=edges[-1])
    spans = [When(sort_at__lt=edge, then=Value(number)) for number, edge in enumerate(edges[1:])]
    sure = Case(When(CERTAIN_ANY, then=Value(1)), default=Value(0), output_field=IntegerField())
    counted = inside.annotate(span=Case(*spans, output_field=IntegerField()), sure=sure).values("span", "sure")
    found = {(row["span"], row["sure"]): row["exports"] for row in counted.annotate(exports=Count("pk"))}
    return [Bar(edge, found.get((number, 1), 0), found.get((number, 0), 0)) for number, edge in enumerate(edges[:-1])]


def people(organizations: Iterable[int], most: int = 60) -> list[str]:
    """Names that stand in rows of these orgs, for the menu; other names can be typed."""
    names = RegisterEntry.objects.filter(organization__in=list(organizations)).exclude(person="")
    return list(names.order_by("person").values_list("person", flat=True).distinct()[:most])
