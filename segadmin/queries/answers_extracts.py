"""Extracts for the record of processing (article 30 of the GDPR) and for telling of a breach (article 33)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.utils.translation import gettext as _

from segadmin.models import Category, Origin, RegisterEntry
from segadmin.queries import answers_sums as sums
from segadmin.queries import register
from segadmin.queries.answers import GONE, GONE_OR_GOING, Lead, Sums
from segadmin.queries.register import EXACTLY, Filters


def narrowed(filters: Filters, wanted: Sequence[str]) -> Filters:
    """The same filters, with of "data left" only what is wanted."""
    chosen = filters.get("left")
    left = [word for word in wanted if not chosen or word in chosen]
    return {**filters, "left": left or ["nothing"]}


def in_order(codes: set[str]) -> list[str]:
    """Kinds of personal data in the order in which pages name them."""
    known = [category.value for category in Category if category.value in codes]
    return [*known, *sorted(codes - set(known))]


# -- processing -------------------------------------------------------------------------------------------------------


@dataclass
class Purpose:
    """Exports of one org with one purpose and legal basis, as stated."""

    organization: str
    organization_name: str
    purpose: str
    legal_basis: str
    note: str
    certain: set[str] = field(default_factory=set)
    possible: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    recipients: set[str] = field(default_factory=set)
    datasets: set[str] = field(default_factory=set)
    sums: Sums = field(default_factory=Sums)
    unsaid: int = 0

    @property
    def kinds(self) -> tuple[list[str], list[str]]:
        """Certain ones, and those that are possible only."""
        return in_order(self.certain), in_order(self.possible - self.certain)


_BY = ("organization__slug", "organization__name", "purpose", "legal_basis", "is_here")


def purposes(organizations: Sequence[int], filters: Filters) -> list[Purpose]:
    """By org, then most exports first; exports of which no data left are not processing that has to be told."""
    here = Case(
        When(Q(purpose="") & ~Q(origin=Origin.HERE), then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    rows = register.matching(organizations, narrowed(filters, GONE_OR_GOING)).annotate(is_here=here)
    found: dict[tuple[Any, ...], Purpose] = {}
    for key, _pk, added in sums.grouped(rows, *_BY):
        note = "" if key[2] else _origin_note(bool(key[4]))
        found[key] = Purpose(key[0], key[1], key[2], key[3], note, sums=added)
    for (words, *rest), _pk, _added in sums.grouped(rows, "pii_words", *_BY):
        one, (certain, possible) = found[tuple(rest)], kinds_of(words)
        one.certain |= set(certain)
        one.possible |= set(possible)
    for named, key, _added in sums.by_audiences(rows, *_BY):
        found[key].people |= {label for _id, label in named} or {_("everyone in the profile store")}
    for (recipient, *rest), _pk, added in sums.grouped(rows, "recipient", *_BY):
        one = found[tuple(rest)]
        one.unsaid += 0 if recipient else added.exports
        one.recipients |= {recipient} - {""}
    for (name, dataset, *rest), _pk, _added in sums.grouped(rows, "dataset_name", "dataset_id", *_BY):
        found[tuple(rest)].datasets |= {name or dataset} - {""}
    return sorted(found.values(), key=lambda one: (one.organization, -one.sums.exports, one.purpose, one.legal_basis))


def _origin_note(here: bool) -> str:
    """Why there is no purpose."""
    return _("no purpose on record") if here else _("not asked for here: purpose not known")


def kinds_of(pii_words: str) -> tuple[list[str], list[str]]:
    """The certain and the possible kinds of a row's words; special ones are marked there once more, which is no kind."""
    words = [word for word in pii_words.strip("|").split("|") if word.strip("?!")]
    certain = [word for word in words if word[0] != "?"]
    return certain, [word[1:] for word in words if word[0] == "?" and word[1:] not in certain]


# -- breach -----------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """One kind of personal data, audience, recipient or dataset, with the exports it was in."""

    what: str
    key: str
    label: str
    sureness: str = ""
    url: str = ""
    sums: Sums = field(default_factory=Sums)

    @property
    def is_special(self) -> bool:
        return self.what == "category" and self.key in Category.special()


@dataclass
class Breach:
    """What a scope and a period held. `total` counts each export once; parts overlap."""

    total: Sums
    parts: dict[str, list[Part]]
    everyone: int = 0
    all_fields: int = 0


CERTAIN, POSSIBLE = "certain", "possible"


def breach(organizations: Sequence[int], filters: Filters, lead: Lead) -> Breach:
    """Exports that left, or may have."""
    limited = register.resolved(narrowed(filters, GONE))
    rows = register.matching(organizations, limited)
    parts: dict[tuple[str, str, str], Part] = {}
    for what, key, label, sureness, added in _parts(rows):
        part = parts.setdefault((what, key, sureness), Part(what, key, label, sureness))
        if label != key:
            part.label = label
        part.sums.merge(added)
    for part in parts.values():
        part.url = lead(left=list(limited["left"]), **_terms(part))
    order: Callable[[Part], Any] = lambda part: (part.sureness == POSSIBLE, -part.sums.exports, part.label)  # noqa: E731
    kinds = ("category", "audience", "recipient", "dataset")
    grouped = {kind: sorted((part for part in parts.values() if part.what == kind), key=order) for kind in kinds}
    more = rows.aggregate(
        everyone=Count("pk", filter=Q(audience_words="")), all_fields=Count("pk", filter=Q(all_fields=True))
    )
    return Breach(sums.total(rows), grouped, more["everyone"], more["all_fields"])


def _parts(rows: "QuerySet[RegisterEntry]") -> Iterator[tuple[str, str, str, str, Sums]]:
    """(what, key, label, how sure, sums); a kind that is certain is not possible too."""
    for (words,), _pk, added in sums.grouped(rows, "pii_words"):
        certain, possible = kinds_of(words)
        yield from (("category", code, _kind(code), CERTAIN, added) for code in certain)
        yield from (("category", code, _kind(code), POSSIBLE, added) for code in possible)
    for named, _more, added in sums.by_audiences(rows):
        yield from (("audience", key, label, "", added) for key, label in dict(named).items())
        if not named:
            yield "audience", "", _("Everyone, no audience"), "", added
    for (recipient,), _pk, added in sums.grouped(rows, "recipient"):
        yield "recipient", recipient, recipient or _("recipient not said"), "", added
    for (key, label), _more, added in sums.by_datasets(rows):
        yield "dataset", key, label or _("dataset not told"), "", added


def _kind(code: str) -> str:
    return str(Category(code).label) if code in Category.values else code


def _terms(part: Part) -> dict[str, str]:
    if part.what == "category":
        return {"pii": part.key if part.sureness == CERTAIN else f"?{part.key}"}
    return {part.what: f"{EXACTLY}{part.key}"}
