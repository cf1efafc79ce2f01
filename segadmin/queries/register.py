"""The export register as it is asked: which rows, newest first by keyset, and totals over all that match.

Rows are of the orgs that are handed in. Everything narrows by `condition`, so that pages, files and answers agree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.db import connection
from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Sum, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce
from django.db.models.lookups import In

from segadmin.models import DataLeft, ExportOutcome, Origin, ProfileSource, RegisterEntry, RegisterTerm, Sandbox
from segadmin.queries import terms
from segadmin.queries.people import meant
from segadmin.queries.terms import CERTAIN_ANY, POSSIBLE_ONLY, Found, Kind

PAGE_SIZE = 50
# Beyond so many orgs or sandboxes a page is read by one select instead of a union of one each.
MOST_BRANCHES = 100
ASKED, ENDED = "asked", "ended"
NOT_KNOWN = "-"
ANY = "any"
EXACTLY = "="


class Filters(TypedDict, total=False):
    """What is left out does not narrow; several values of one list are alternatives, different names narrow further.

    `sandboxes` holds keys; `persons` names, with "-" for not known; `certain` and `possible` kinds of personal data, where
    "any" stands for any certain one, and for possible ones only;
    `audience` and `dataset` an id or part of a name, `recipient` a part, and each with "=" in front exactly that;
    `field` a path, which also finds what contains it and what it contains. `basis` says which time the period is about:
    "asked" (asked, else made at Adobe, else first seen) or "ended"; times are aware, `to_at` is exclusive. `text` has to
    be in the row's words, each of it (`terms.text`). `also` is what a query line asks beyond all this. `found` stands in
    for all that rows are found by, once it was looked up (`resolved`).
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
    also: Found
    found: Found


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


def resolved(filters: Filters) -> Filters:
    """The same filters, with their words and values looked up; done once for all reads of a page."""
    if "found" in filters:
        return filters
    return {**filters, "found": terms.both([*_persons(filters), *_categories(filters), *_texts(filters)])}


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
    return found & resolved(filters)["found"].condition & _period(filters)


def _persons(filters: Filters) -> list[Found]:
    return [of_person(*persons)] if (persons := filters.get("persons")) else []


def _categories(filters: Filters) -> list[Found]:
    """Certain and possible ones are alternatives to each other: both ticked finds all that may hold it."""
    words = [("", word) for word in filters.get("certain", ())] + [("?", word) for word in filters.get("possible", ())]
    named = [f"{mark}{word}" for mark, word in words if word != ANY]
    wanted = [Found(POSSIBLE_ONLY if mark else CERTAIN_ANY) for mark, word in words if word == ANY]
    wanted += [terms.personal_data(*named)] if named else []
    return [terms.either(wanted)] if wanted else []


def _texts(filters: Filters) -> list[Found]:
    found = [filters["also"]] if "also" in filters else []
    if audience := filters.get("audience"):
        found.append(of_audience(audience))
    if dataset := filters.get("dataset"):
        found.append(of_dataset(dataset))
    if recipient := filters.get("recipient"):
        found.append(of_recipient(recipient))
    if ticket := filters.get("ticket"):
        found.append(of_ticket(ticket))
    if field := filters.get("field"):
        found.append(of_field(field))
    return [*found, *(terms.text(word) for word in filters.get("text", "").split())]


def of_person(*names: str) -> Found:
    """Exports that these asked for; "-" for a person not known."""
    wanted = ["" if name == NOT_KNOWN else name for name in meant(names)]
    found = terms.exactly(Kind.PERSON, *wanted)
    return Found(Q(person__in=wanted) if found.pks is None else found.condition, found.pks, found.drivers)


def of_audience(value: str) -> Found:
    """Exports of audiences whose id, or name then or at another time, contains this.

    "=x" is exactly the id or the name then, and "=" exports of no audience.
    """
    if value.startswith(EXACTLY):
        return terms.exactly(Kind.AUDIENCE, terms.fold(value.removeprefix(EXACTLY)))
    return terms.containing(Kind.AUDIENCE, value)


def of_dataset(value: str) -> Found:
    """Exports to this id, or to a dataset whose name contains it; "=x" is the id x, "=" a dataset not told."""
    if value.startswith(EXACTLY):
        return terms.exactly(Kind.DATASET, value.removeprefix(EXACTLY))
    return terms.containing(Kind.DATASET_NAME, value, terms.key_of(Kind.DATASET, value))


def of_recipient(value: str) -> Found:
    """Exports whose stated recipient contains this; "=x" is exactly x, "=" a recipient not said."""
    if value.startswith(EXACTLY):
        exact = value.removeprefix(EXACTLY)
        return terms.both([terms.exactly(Kind.RECIPIENT, terms.fold(exact)), Found(Q(recipient=exact))])
    return terms.containing(Kind.RECIPIENT, value)


def of_ticket(value: str) -> Found:
    """Exports for this ticket, alone or among others."""
    return terms.exactly(Kind.TICKET, terms.fold(value))


def of_field(path: str) -> Found:
    """Exports that held this field: named itself, or by something above it, or in part, or by exporting all fields."""
    parts = path.lower().strip(".").split(".")
    above = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    keys = [terms.key_of(Kind.FIELD, word) for word in (terms.ALL_FIELDS, *above)]
    return terms.beginning(Kind.FIELD, f"{above[-1]}.", *terms.known(keys))


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
    filters = resolved(filters)
    found = RegisterEntry.objects.filter(condition(filters)).order_by()
    if filters["found"].pks is None:
        return found.filter(organization__in=list(organizations))
    # Where the rows are listed by key, no index of orgs must seem better: SQLite can't tell which is.
    return found.filter(Q(In(Coalesce("organization", "organization"), list(organizations) or [0])))


def rows(
    organizations: Sequence[int], filters: Filters, after: Cursor | None = None, limit: int = PAGE_SIZE
) -> list[RegisterEntry]:
    """One page, newest first, with all that a row needs: few queries, however many orgs and rows."""
    return load(_places(organizations, resolved(filters), after, limit))


def _places(organizations: Sequence[int], filters: Filters, after: Cursor | None, limit: int) -> list[int]:
    """Keys of the rows of one page."""
    if not organizations or filters["found"].pks == frozenset():
        return []
    if filters["found"].pks is not None:
        listed = matching(organizations, filters).filter(before(after)).values_list("sort_at", "pk")
        return [pk for _at, pk in sorted(listed, reverse=True)[:limit]]
    if by_terms := _by_terms(organizations, filters, after):
        return _newest(by_terms, ("-sort", "-entry_id"), limit)
    parts = [part.values_list("sort_at", "id") for part in _branches(organizations, filters, after)]
    return _newest(parts, ("-sort_at", "-id"), limit)


def _newest(parts: "Sequence[QuerySet[Any, Any]]", order: tuple[str, str], limit: int) -> list[int]:
    """Keys of the newest rows of all branches, each once.

    SQLite merges the branches row by row and stops early; PostgreSQL has to be told for each how many it may give.
    """
    if len(parts) > 1 and connection.features.supports_slicing_ordering_in_compound:
        parts = [part.order_by(*order)[:limit] for part in parts]
    first, *rest = parts
    return [pk for _at, pk in (first.union(*rest) if rest else first).order_by(*order)[:limit]]


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


def _branches(organizations: Sequence[int], filters: Filters, after: Cursor | None) -> list[QuerySet[RegisterEntry]]:
    """A branch per sandbox or org: each is walked by its index."""
    base = RegisterEntry.objects.filter(condition(filters) & before(after)).order_by()
    sandboxes = filters.get("sandboxes") or ()
    if max(len(sandboxes), len(organizations)) > MOST_BRANCHES:
        return [base.filter(organization__in=list(organizations))]
    if sandboxes:
        return [base.filter(sandbox=pk, organization__in=list(organizations)) for pk in sandboxes]
    return [base.filter(organization=pk) for pk in organizations]


def before(after: Cursor | None) -> Q:
    """Rows further down the list than the cursor."""
    if after is None:
        return Q()
    # The first part alone lets the index find the place.
    return Q(sort_at__lte=after.at) & (Q(sort_at__lt=after.at) | Q(pk__lt=after.pk))


def _by_terms(
    organizations: Sequence[int], filters: Filters, after: Cursor | None
) -> "list[QuerySet[RegisterTerm, tuple[int, int]]]":
    """A branch per sandbox and term of the rarest filter, each in the order of its index; none where no terms lead."""
    drivers = filters["found"].drivers
    places = _places_of(organizations, filters) if drivers else []
    drivers = tuple(keys for keys in drivers if len(keys) * len(places) <= MOST_BRANCHES)
    if not drivers:
        return []
    keys = min(drivers, key=terms.how_many) if len(drivers) > 1 else drivers[0]
    within = Q(Exists(RegisterEntry.objects.filter(condition(filters), pk=OuterRef("entry"))))
    from_at, to_at = filters.get("from_at"), filters.get("to_at")
    if filters.get("basis") != ENDED:
        within &= Q(sort__gte=terms.micros(from_at)) if from_at else Q()
        within &= Q(sort__lt=terms.micros(to_at)) if to_at else Q()
    if after is not None:
        at = terms.micros(after.at)
        within &= Q(sort__lte=at) & (Q(sort__lt=at) | Q(entry__lt=after.pk))
    return [
        RegisterTerm.objects.filter(within, key=key, sandbox=place).order_by().values_list("sort", "entry_id")
        for key in keys
        for place in places
    ]


def _places_of(organizations: Sequence[int], filters: Filters) -> list[int]:
    """The sandboxes that are asked for, by key."""
    places = Sandbox.objects.filter(organization__in=list(organizations)).order_by("pk")
    if sandboxes := filters.get("sandboxes"):
        places = places.filter(pk__in=list(sandboxes))
    return list(places.values_list("pk", flat=True))


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over all that match. `profiles` is the sum of Adobe's counts: a person exported twice counts twice."""

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


SPECIAL = terms.any_bit(terms.SPECIAL_BIT)
SPECIAL_POSSIBLE = terms.any_bit(terms.SPECIAL_POSSIBLE_BIT) & ~SPECIAL


def totals(organizations: Sequence[int], filters: Filters) -> Totals:
    """One query, of an index alone where nothing else is asked for."""
    found = matching(organizations, filters)
    told: dict[str, Any] = found.aggregate(
        exports=Count("pk"),
        certain=Count("pk", filter=CERTAIN_ANY),
        possible=Count("pk", filter=POSSIBLE_ONLY),
        special=Count("pk", filter=SPECIAL),
        special_possible=Count("pk", filter=SPECIAL_POSSIBLE),
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
    return terms.texts_in(Kind.PERSON, _places_of(list(organizations), {}), most)
