"""Which personal data an export holds: certain where the map names a field, possible where it cannot be excluded.

A map is a list of patterns, each with a kind of personal data. The pattern that names a field most closely decides: one
without `*` before one with, then the longer one. A path covers everything below it, in the map (`homeAddress` covers
`homeAddress.city`) as in an export (exporting `person` exports `person.name`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from segadmin.models import Category, Organization, PersonalDataMap

FIELD, AUDIENCE = "field", "audience"
NONE = "none"
ALL_FIELDS = "*"
BUILT_IN_VERSION = 0
MOST_KEPT = 500

_CERTAIN_FIELDS: dict[Category, str] = {
    Category.EMAIL: "personalEmail, workEmail, schoolEmail",
    Category.PHONE: "mobilePhone, homePhone, workPhone, faxPhone",
    Category.NAME: "person.name",
    Category.IDENTIFIER: "_id, identityMap, identities, personID, person.taxId, loyalty.loyaltyID, pushNotificationDetails, "
    "environment.ipV4, environment.ipV6, consents.adID",
    Category.LOCATION: "homeAddress, billingAddress, mailingAddress, shippingAddress, workAddress, placeContext, "
    "userActivityRegions",
    Category.BIRTH: "person.birthDate, person.birthDayAndMonth, person.birthYear, person.birthMonth",
    Category.DETAILS: "person.gender, person.maritalStatus, person.nationality",
    Category.OTHER: "loyalty, consents, customerAI, organizations",
}
_POSSIBLE_FIELDS: dict[Category, str] = {
    Category.EMAIL: "identityMap, identities, *email*",
    Category.PHONE: "identityMap, identities, *phone*, *msisdn*, *mobileNumber*",
    Category.NAME: "*firstName*, *lastName*, *fullName*, *surname*",
    Category.IDENTIFIER: "device, *crmId*, *customerId*, *customerNumber*, *memberId*, *deviceId*, *cookie*, "
    "*ipAddress*, *vatId*",
    Category.LOCATION: "timeZone, *address*, *postalCode*, *latitude*, *longitude*, *geo.*, *homeStore*",
    Category.BIRTH: "*birth*",
    Category.DETAILS: "*gender*, *household*, *children*",
    Category.FINANCIAL: "*iban*, *creditCard*, *bankAccount*, *payment*, *salary*",
    Category.HEALTH: "*health*, *medical*, *diagnos*, *disabilit*",
    Category.RELIGION: "*religio*",
    Category.POLITICS: "*politic*",
    Category.ETHNICITY: "*ethnic*, person.nationality",
    Category.ORIENTATION: "*sexual*",
    Category.UNION: "*tradeUnion*",
    Category.GENETIC: "*genetic*",
    Category.BIOMETRIC: "*biometric*",
    # The names of somebody's audiences can say anything about them.
    Category.SPECIAL: "segmentMembership",
}
_NOTHING = "preferredLanguage, testProfile, extSourceSystemAudit, repositoryCreatedBy, repositoryLastModifiedBy"
_CERTAIN_AUDIENCES: dict[Category, str] = {
    Category.HEALTH: "*diabet*, *cancer*, *hiv-*, *pregnan*, *asthma*, *epilep*, *dementia*, *wheelchair*",
}
_POSSIBLE_AUDIENCES: dict[Category, str] = {
    Category.HEALTH: "*health*, *medic*, *patient*, *clinic*, *allerg*, *hospital*, *disabilit*",
    Category.RELIGION: "*church*, *muslim*, *islam*, *catholic*, *protestant*, *jewish*, *religio*",
    Category.POLITICS: "*politic*, *voter*",
    Category.ORIENTATION: "*lgbt*, *gay*, *lesbian*",
    Category.UNION: "*trade union*",
}


@dataclass(frozen=True)
class Entry:
    """One line of a map. `category` is one of Category, or "none"."""

    pattern: str
    category: str
    kind: str = FIELD
    possible: bool = False

    @property
    def closeness(self) -> tuple[bool, int]:
        """How closely the pattern names what it matches."""
        return "*" not in self.pattern, len(self.pattern.replace("*", ""))

    def as_json(self) -> dict[str, Any]:
        return {"pattern": self.pattern, "category": self.category, "kind": self.kind, "possible": self.possible}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(str(data["pattern"]), str(data["category"]), str(data["kind"]), bool(data["possible"]))


def _spelled(table: Mapping[Category, str], kind: str, *, possible: bool) -> list[Entry]:
    return [
        Entry(pattern, category.value, kind, possible)
        for category, patterns in table.items()
        for pattern in patterns.split(", ")
    ]


BUILT_IN: tuple[Entry, ...] = (
    *_spelled(_CERTAIN_FIELDS, FIELD, possible=False),
    *_spelled(_POSSIBLE_FIELDS, FIELD, possible=True),
    *(Entry(path, NONE) for path in _NOTHING.split(", ")),
    *_spelled(_CERTAIN_AUDIENCES, AUDIENCE, possible=False),
    *_spelled(_POSSIBLE_AUDIENCES, AUDIENCE, possible=True),
)


class Because(NamedTuple):
    """One reason: a kind of personal data, whether it is certain, and the field or audience that brings it in."""

    category: Category
    certain: bool
    source: str
    kind: str


@dataclass(frozen=True)
class Classified:
    """What an export holds by one version of a map; no category is in both lists."""

    version: int
    certain: list[str]
    possible: list[str]
    reasons: tuple[Because, ...] = ()

    @property
    def words(self) -> str:
        """For filters: "|email|?phone|"; "!" and "?!" follow where a special category is certain or possible."""
        special = {category.value for category in Category.special()}
        certain = [*self.certain, *(["!"] if special & set(self.certain) else [])]
        possible = [*self.possible, *(["!"] if special & set(self.possible) else [])]
        found = [*certain, *(f"?{word}" for word in possible)]
        return f"|{'|'.join(found)}|" if found else ""


def matches(pattern: str, text: str) -> bool:
    """Whether the text fits; `*` stands for anything, letter case does not matter. Linear in the text."""
    first, *rest = pattern.lower().split("*")
    text = text.lower()
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _names(entry: Entry, path: str) -> bool:
    """Whether the pattern names the path or something above it."""
    if "*" not in entry.pattern:
        low, pattern = path.lower(), entry.pattern.lower()
        return low == pattern or low.startswith(f"{pattern}.")
    parts = path.split(".")
    return any(matches(entry.pattern, ".".join(parts[:depth])) for depth in range(1, len(parts) + 1))


def _is_below(entry: Entry, path: str) -> bool:
    """Whether the pattern names something that an export of the path contains."""
    return entry.pattern.partition("*")[0].lower().startswith(f"{path.lower()}.")


class Map:
    """One version of an org's map, ready to use."""

    def __init__(self, version: int, entries: Iterable[Entry]) -> None:
        self.version = version
        self.entries = tuple(entries)
        self._fields = [entry for entry in self.entries if entry.kind == FIELD]
        self._audiences = [entry for entry in self.entries if entry.kind == AUDIENCE]
        # The same export comes again every day; a version never changes.
        self._done: dict[tuple[tuple[str, ...], bool, tuple[str, ...]], Classified] = {}

    def classify(self, *, fields: Sequence[str], all_fields: bool, audiences: Iterable[str]) -> Classified:
        """What these fields (or all) of people in these audiences hold. `audiences`: names and ids."""
        key = (tuple(fields), all_fields, tuple(audiences))
        if key not in self._done:
            if len(self._done) >= MOST_KEPT:
                self._done.clear()
            self._done[key] = self._classify(*key)
        return self._done[key]

    def _classify(self, fields: Sequence[str], all_fields: bool, audiences: Sequence[str]) -> Classified:
        reasons = list(self._of_everything(ALL_FIELDS)) if all_fields else []
        for path in fields:
            reasons += self._of_field(path)
        for name in audiences:
            reasons += self._of_audience(name)
        certain = {reason.category for reason in reasons if reason.certain}
        possible = {reason.category for reason in reasons} - certain
        return Classified(self.version, _in_order(certain), _in_order(possible), tuple(dict.fromkeys(reasons)))

    def _of_everything(self, source: str) -> Iterator[Because]:
        """Nothing that a profile may hold can be excluded."""
        mapped = {entry.category for entry in self._fields} | {Category.SPECIAL.value, Category.OTHER.value}
        for category in Category:
            if category.value in mapped:
                yield Because(category, False, source, FIELD)

    def _of_field(self, path: str) -> Iterator[Because]:
        naming = [entry for entry in self._fields if _names(entry, path)]
        closest = max((entry.closeness for entry in naming), default=None)
        deciding = [entry for entry in naming if entry.closeness == closest]
        below = [entry for entry in self._fields if _is_below(entry, path)]
        for entry in [*deciding, *below]:
            if entry.category != NONE:
                unsure = entry.possible or (entry in below and "*" in entry.pattern)
                yield Because(Category(entry.category), not unsure, path, FIELD)
        if not deciding and path.startswith("_") and "." not in path:  # all that the org added to the schema
            yield from self._of_everything(path)
        elif not deciding:
            yield Because(Category.OTHER, False, path, FIELD)

    def _of_audience(self, name: str) -> Iterator[Because]:
        for entry in self._audiences:
            if entry.category != NONE and matches(entry.pattern, name):
                yield Because(Category(entry.category), not entry.possible, name, AUDIENCE)


def _in_order(found: set[Category]) -> list[str]:
    return [category.value for category in Category if category in found]


_BUILT_IN = Map(BUILT_IN_VERSION, BUILT_IN)


def built_in() -> Map:
    """What holds for an org until an admin sets a map."""
    return _BUILT_IN


def of_row(row: PersonalDataMap | None) -> Map:
    """The map of a stored version, or the built-in one."""
    return Map(row.version, map(Entry.from_json, row.entries)) if row is not None else built_in()


def current(organization: Organization) -> Map:
    """The newest version of an org's map."""
    return of_row(PersonalDataMap.objects.filter(organization=organization).order_by("-version").first())


def version(organization: Organization, number: int) -> Map | None:
    """One version; None where there is no such one."""
    if number == BUILT_IN_VERSION:
        return built_in()
    row = PersonalDataMap.objects.filter(organization=organization, version=number).first()
    return of_row(row) if row is not None else None


def history(organization: Organization) -> list[PersonalDataMap]:
    """Every version that was set, newest first."""
    return list(PersonalDataMap.objects.filter(organization=organization).order_by("-version"))


class InForce:
    """The maps of some orgs by time: which one holds for an export of a given moment. Two queries in all."""

    def __init__(self, organizations: Iterable[int]) -> None:
        rows = PersonalDataMap.objects.filter(organization_id__in=set(organizations)).order_by("-version")
        self._known: dict[int, list[PersonalDataMap]] = {}
        for row in rows.defer("entries"):
            self._known.setdefault(row.organization_id, []).append(row)
        self._maps: dict[int, Map] = {}

    def at(self, organization: int, moment: datetime) -> Map:
        """The newest version that was set by then, or that holds for the time before it too; else the built-in one."""
        for row in self._known.get(organization, ()):
            if row.retroactive or row.set_at <= moment:
                if row.pk not in self._maps:
                    self._maps[row.pk] = of_row(row)
                return self._maps[row.pk]
        return self._maps.setdefault(0, built_in())
