"""Extracts for the record of processing (article 30 of the GDPR) and for telling of a breach (article 33)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from segadmin.models import Category, Origin
from segadmin.queries.answers import GONE, GONE_OR_GOING, Facts, Lead, Sums, facts
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


def purposes(organizations: Sequence[int], filters: Filters) -> list[Purpose]:
    """By org, then most exports first; exports of which no data left are not processing that has to be told."""
    found: dict[tuple[str, str, str, str], Purpose] = {}
    for row in facts(organizations, narrowed(filters, GONE_OR_GOING)):
        note = _origin_note(row)
        key = (row.organization, row.purpose, row.legal_basis, note)
        one = found.setdefault(
            key, Purpose(row.organization, row.organization_name, row.purpose, row.legal_basis, note)
        )
        one.sums.add(row)
        one.certain |= set(row.certain)
        one.possible |= set(row.possible)
        one.unsaid += not row.recipient
        people = [item.get("name") or item["id"] for item in row.audiences] or [_("everyone in the profile store")]
        for names, more in ((one.people, people), (one.recipients, [row.recipient]), (one.datasets, [row.dataset])):
            names |= {name for name in more if name}
    return sorted(found.values(), key=lambda one: (one.organization, -one.sums.exports, one.purpose, one.legal_basis))


def _origin_note(row: Facts) -> str:
    """Why there is no purpose, where there is none."""
    if row.purpose:
        return ""
    return _("no purpose on record") if row.origin == Origin.HERE else _("not asked for here: purpose not known")


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
    limited = narrowed(filters, GONE)
    total, parts = Sums(), dict[tuple[str, str, str], Part]()
    everyone = all_fields = 0
    for row in facts(organizations, limited):
        total.add(row)
        everyone += not row.audiences
        all_fields += row.all_fields
        for what, key, label, sureness in _parts(row):
            part = parts.setdefault((what, key, sureness), Part(what, key, label, sureness))
            part.sums.add(row)
    for part in parts.values():
        part.url = lead(left=list(limited["left"]), **_terms(part))
    order: Callable[[Part], Any] = lambda part: (part.sureness == POSSIBLE, -part.sums.exports, part.label)  # noqa: E731
    kinds = ("category", "audience", "recipient", "dataset")
    grouped = {kind: sorted((part for part in parts.values() if part.what == kind), key=order) for kind in kinds}
    return Breach(total, grouped, everyone, all_fields)


def _parts(row: Facts) -> list[tuple[str, str, str, str]]:
    """(what, key, label, how sure); a kind that is certain is not possible too."""
    return [
        *(("category", code, _kind(code), CERTAIN) for code in row.certain),
        *(("category", code, _kind(code), POSSIBLE) for code in row.possible if code not in row.certain),
        *(("audience", item["id"], item.get("name") or item["id"], "") for item in row.audiences),
        *([] if row.audiences else [("audience", "", _("Everyone, no audience"), "")]),
        ("recipient", row.recipient, row.recipient or _("recipient not said"), ""),
        ("dataset", row.dataset_id, row.dataset or _("dataset not told"), ""),
    ]


def _kind(code: str) -> str:
    return str(Category(code).label) if code in Category.values else code


def _terms(part: Part) -> dict[str, str]:
    if part.what == "category":
        return {"pii": part.key if part.sureness == CERTAIN else f"?{part.key}"}
    return {part.what: f"{EXACTLY}{part.key}"}
