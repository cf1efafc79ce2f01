"""The filters of the jobs list as they stand in the address: read, explained, and written back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.models import Origin, Sandbox, State
from segadmin.queries.terms import fold

LONGEST_VALUE = 300
MOST_VALUES = 50
DAYS_BACK = {"today": 0, "yesterday": 1, "7d": 7}
FLAGS = ("1", "0")
# Names of the filters in the order in which chips show them and addresses carry them.
MANY = ("org", "sandbox", "state", "origin", "by")
ONE = ("since", "empty", "missing", "q")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in the list: time, then requests before jobs, then newest key first."""

    at: datetime
    rank: int  # 1 for a request that has no job yet, 0 for a job
    pk: int

    def __str__(self) -> str:
        stamp = self.at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"{stamp}Z_{'r' if self.rank else ''}{self.pk}"

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """None for anything that no link of ours holds."""
        stamp, found, key = text.rpartition("_")
        match = re.fullmatch(r"(r?)(\d{1,18})", key, re.ASCII)
        if not found or match is None:
            return None
        try:
            at = datetime.fromisoformat(stamp)
            return cls(at.astimezone(UTC), int(bool(match[1])), int(match[2])) if at.tzinfo else None
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Chip:
    """One filter in use; `url` is the list without it."""

    text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What the address asks for. `values` keeps everything as given; what could not be understood is in `problems`."""

    values: tuple[tuple[str, str], ...] = ()
    after: Cursor | None = None
    since_at: datetime | None = None
    problems: tuple[str, ...] = ()
    # A filter of which no value is known matches nothing, rather than everything.
    nothing: bool = False

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.values if key == name]

    def one(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    @property
    def states(self) -> list[str]:
        return [value for value in self.all("state") if value in State.values]

    @property
    def origins(self) -> list[str]:
        return [value for value in self.all("origin") if value in Origin.values]

    @property
    def persons(self) -> list[str]:
        return self.all("by")

    @property
    def q(self) -> str:
        return self.one("q")

    @property
    def since(self) -> str:
        return self.one("since")

    @property
    def empty(self) -> str:
        return self.one("empty")

    @property
    def missing(self) -> str:
        return self.one("missing")

    @property
    def words(self) -> list[str]:
        """The search in folded words, all of which have to be found."""
        return fold(self.q).split()

    def url(self, *more: tuple[str, str]) -> str:
        """The address of the list with these filters, from its first page on unless `more` says otherwise."""
        pairs = [*self.values, *more]
        return reverse("jobs") + (f"?{query(*pairs)}" if pairs else "")

    def without(self, *names: str) -> "Filters":
        return replace(self, values=tuple(pair for pair in self.values if pair[0] not in names))

    def only(self, *names: str) -> "Filters":
        return replace(self, values=tuple(pair for pair in self.values if pair[0] in names))

    def chips(self, sandboxes: Sequence[Sandbox]) -> list[Chip]:
        found = []
        for pair in self.values:
            rest = replace(self, values=tuple(other for other in self.values if other != pair))
            found.append(Chip(_chip_text(*pair, sandboxes), rest.url()))
        return found


def query(*pairs: tuple[str, str]) -> str:
    """Names and values as the query part of an address."""
    return urlencode(pairs)


def read(params: QueryDict, sandboxes: Sequence[Sandbox]) -> Filters:
    """Read an address. Nothing in it can fail: what is not understood is explained in `problems`."""
    values: list[tuple[str, str]] = []
    for name in (*MANY, *ONE):
        given = [_CONTROL.sub(" ", value).strip()[:LONGEST_VALUE] for value in params.getlist(name)[:MOST_VALUES]]
        given = list(dict.fromkeys(value for value in given if value))
        values += [(name, value) for value in (given if name in MANY else given[-1:])]
    filters = Filters(values=tuple(values))
    problems = [*_unknown(filters), *_unknown_places(filters, sandboxes)]
    since_at = _since(filters.since)
    if filters.since and since_at is None:
        problems.append(_("“%s” is no date. Write one like 2026-07-01, or choose from the menu.") % filters.since)
    after = Cursor.parse(params.get("after", ""))
    if params.get("after") and after is None:
        problems.append(_("The link to this page was damaged, so this is the first page."))
    nothing = (
        bool(filters.since and since_at is None)
        or any(filters.all(name) and not known for name, known in _known(filters))
        or any(filters.one(name) not in (*FLAGS, "") for name in ("empty", "missing"))
    )
    return replace(filters, after=after, since_at=since_at, problems=tuple(problems), nothing=nothing)


def in_place(filters: Filters, sandboxes: Sequence[Sandbox]) -> list[Sandbox]:
    """The sandboxes that `org` (slugs) and `sandbox` (names, or "slug/name") leave of these."""
    slugs, names = set(filters.all("org")), set(filters.all("sandbox"))
    return [
        sandbox
        for sandbox in sandboxes
        if (not slugs or sandbox.organization.slug in slugs)
        and (not names or sandbox.name in names or place_key(sandbox) in names)
    ]


def place_key(sandbox: Sandbox) -> str:
    """ "acme/prod", as filters and forms name a sandbox."""
    return f"{sandbox.organization.slug}/{sandbox.name}"


def _known(filters: Filters) -> list[tuple[str, list[str]]]:
    return [("state", filters.states), ("origin", filters.origins)]


def _unknown(filters: Filters) -> list[str]:
    problems = []
    for name, known, allowed in (
        ("state", filters.states, State.values),
        ("origin", filters.origins, Origin.values),
        ("empty", [value for value in filters.all("empty") if value in FLAGS], FLAGS),
        ("missing", [value for value in filters.all("missing") if value in FLAGS], FLAGS),
    ):
        problems += [
            _("There is no %(name)s “%(value)s”. Known are: %(allowed)s.")
            % {"name": name, "value": value, "allowed": ", ".join(allowed)}
            for value in filters.all(name)
            if value not in known
        ]
    return problems


def _unknown_places(filters: Filters, sandboxes: Sequence[Sandbox]) -> list[str]:
    slugs = {sandbox.organization.slug for sandbox in sandboxes}
    names = {sandbox.name for sandbox in sandboxes} | {place_key(sandbox) for sandbox in sandboxes}
    problems = [
        _("There is no organization “%s” whose exports you may see.") % slug
        for slug in filters.all("org")
        if slug not in slugs
    ]
    problems += [
        _("There is no sandbox “%s” whose exports you may see.") % name
        for name in filters.all("sandbox")
        if name not in names
    ]
    return problems


def _since(text: str) -> datetime | None:
    """A beginning: a word of the menu, a day in the person's zone, or a time."""
    today = timezone.localdate()
    try:
        if text in DAYS_BACK:
            return _midnight(today - timedelta(days=DAYS_BACK[text]))
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            return _midnight(date.fromisoformat(text))
        if text:
            at = datetime.fromisoformat(text.replace(" ", "+") if "+" not in text and text.count(" ") else text)
            return (at if at.tzinfo else timezone.make_aware(at)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None


def _midnight(day: date) -> datetime:
    """The beginning of a day in the person's zone, as UTC."""
    return timezone.make_aware(datetime.combine(day, time())).astimezone(UTC)


def since_choices() -> list[tuple[str, str]]:
    return [("today", _("today")), ("yesterday", _("since yesterday")), ("7d", _("in the last 7 days"))]


def _chip_text(name: str, value: str, sandboxes: Sequence[Sandbox]) -> str:
    if name == "org":
        names = {sandbox.organization.slug: sandbox.organization.name for sandbox in sandboxes}
        return _("Organization: %s") % names.get(value, value)
    if name == "sandbox":
        names = {place_key(sandbox): str(sandbox) for sandbox in sandboxes}
        return _("Sandbox: %s") % names.get(value, value)
    if name == "state":
        return _("State: %s") % (State(value).label if value in State.values else value)
    if name == "since":
        return _("Started: %s") % dict(since_choices()).get(value, _("since %s") % value)
    if name in ("empty", "missing"):
        words = {
            "empty": {"1": _("Finished, but empty"), "0": _("Not empty")},
            "missing": {"1": _("No longer listed by Adobe"), "0": _("Still listed by Adobe")},
        }
        return words[name].get(value, f"{name}: {value}")
    if name == "origin":
        return _("Origin: %s") % (Origin(value).label if value in Origin.values else value)
    return (_("Asked by: %s") if name == "by" else _("Found by: “%s”")) % value
