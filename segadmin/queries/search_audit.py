"""A query line as filters of the record, and as the values of the form beside it.

An event of an export says which request or job it is about; audience, dataset, field, recipient, ticket and personal data
are asked of that export's row in the register, with its later corrections. There is no second index to keep true, and
expiry of contents has nothing more to remove.
"""

import unicodedata
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.db.models.lookups import In
from django.http import QueryDict
from django.utils.translation import gettext as _

from segadmin.models import Action, EventContent, Outcome, RegisterEntry, Sandbox
from segadmin.queries import search, search_register, terms
from segadmin.queries.audit_filters import MOST_LISTED, Scope, between, listed
from segadmin.queries.people import meant
from segadmin.queries.search import TEXT, Line, Malformed, Period, Term
from segadmin.queries.search_register import OF_EXPORTS, one_of
from segadmin.queries.terms import Found

QUALIFIERS = {
    "actor": "actor",
    "person": "actor",
    "by": "actor",
    "org": "org",
    "sandbox": "sandbox",
    "action": "action",
    "outcome": "outcome",
    "job": "job",
    "request": "request",
    "record": "record",
    "audience": "audience",
    "dataset": "dataset",
    "field": "field",
    "recipient": "recipient",
    "ticket": "ticket",
    "pii": "pii",
    "created": "created",
}
PARAMETERS = {"org": "org", "person": "actor", "action": "action", "outcome": "outcome", "request": "request"}
# What the form's menus stand for; the rest of the line stays beside them.
IN_MENUS = ("org", "actor", "action", "outcome")
NO_ORGANIZATION = "-"
# These find their events wherever they are, so no period is needed to keep the page quick.
DIRECT = ("record", "request", "job")
# Exports whose events are listed one by one; beyond, events are asked for their export.
MOST_EXPORTS = 1000


@dataclass(frozen=True)
class Narrowed:
    """What of a line the form doesn't check: conditions, the sandboxes, and what could not be understood."""

    also: Q = field(default_factory=Q)
    sought: Q | None = None
    sandboxes: tuple[int, ...] = ()
    from_at: datetime | None = None
    to_at: datetime | None = None
    problems: tuple[str, ...] = ()


def read(query: QueryDict) -> Line:
    """The line of an address: `q`, and the form's choices that are not written into it yet."""
    chosen = [*search_register.values_of(query, PARAMETERS), *search_register.period_of(query, "created")]
    return search_register.line_of(query, QUALIFIERS, chosen)


def as_choices(line: Line, query: QueryDict) -> QueryDict:
    """The address as the form reads it: menus from the line, everything else as it was."""
    found = query.copy()
    for name, qualifier in PARAMETERS.items():
        found.setlist(name, _spelled_out(line.values(qualifier)) if qualifier in IN_MENUS else [])
    period = _only_period(line)
    found.setlist("from", [period.first.isoformat()] if period.first else [])
    found.setlist("to", [period.last.isoformat()] if period.last else [])
    found["q"] = line.text
    return found


def _spelled_out(values: Sequence[str]) -> list[str]:
    """`export.*` stands for every action of exports."""
    found: list[str] = []
    for value in values:
        group = [action for action in Action.values if value.endswith(".*") and action.startswith(value[:-1])]
        found += group or [value]
    return found


def _only_period(line: Line) -> Period:
    values = line.values("created")
    try:
        return search.period(values[0]) if len(values) == 1 else Period()
    except Malformed:
        return Period()


def _sandboxes(line: Line, scope: Scope) -> list[Sandbox]:
    """Of all the orgs that may be read; none are read where the line needs none."""
    if not line.has("sandbox", "job"):
        return []
    organizations = [row.pk for row in scope.organizations]
    return list(Sandbox.objects.filter(organization__in=organizations).select_related("organization").order_by("pk"))


def narrowed(line: Line, scope: Scope) -> Narrowed:
    """Reads little: the exports and events that single qualifiers name, so that they can be listed where they are few."""
    sandboxes = _sandboxes(line, scope)
    parts = {name: _as_found(part) for name, part in _parts(scope, sandboxes).items()}
    problems = list(line.problems)

    def taken(given: Sequence[Term]) -> Q:
        found, more = search_register.together(given, parts)
        problems.extend(more)
        return found.condition

    excluded = taken([term for term in line.terms if term.excluded and term.name not in OF_EXPORTS])
    texts = taken([term for term in line.terms if not term.excluded and term.name == TEXT])
    periods = [term for term in line.terms if term.name == "created" and not term.excluded]
    direct = taken([term for term in line.terms if not term.excluded and term.name in DIRECT])
    within = taken(periods)
    taken([term for term in line.terms if not term.excluded and term.name == "sandbox"])
    pinned, asked = _of_exports(line, scope, problems)
    from_at, to_at = (None, None) if problems else _ends(line)
    several = len(line.values("created")) > 1
    return Narrowed(
        also=direct & pinned & (within if several else Q()),
        sought=(excluded & texts & asked) or None,
        sandboxes=tuple(_chosen_sandboxes(line, sandboxes)),
        from_at=from_at,
        to_at=to_at,
        problems=tuple(dict.fromkeys(problems)),
    )


def _as_found(part: Callable[[str], Q]) -> Callable[[str], Found]:
    return lambda value: Found(part(value))


def _ends(line: Line) -> tuple[datetime | None, datetime | None]:
    """From the earliest beginning to the latest end of all periods."""
    periods = [search.period(value) for value in line.values("created")]
    starts, ends = [period.from_at for period in periods], [period.to_at for period in periods]
    from_at = None if None in starts else min((at for at in starts if at), default=None)
    return from_at, None if None in ends else max((at for at in ends if at), default=None)


def _chosen_sandboxes(line: Line, sandboxes: Sequence[Sandbox]) -> list[int]:
    named = line.values("sandbox")
    return [row.pk for row in sandboxes if {row.name, search_register.sandbox_key(row)} & set(named)]


def _parts(scope: Scope, sandboxes: Sequence[Sandbox]) -> dict[str, Callable[[str], Q]]:
    """Each qualifier that is about the event itself, as a condition on events."""
    keys = [row.pk for row in sandboxes]
    return {
        "actor": lambda value: Q(actor_name__in=meant([value])),
        "org": lambda value: _organization(value, scope),
        "sandbox": lambda value: Q(sandbox__in=search_register.sandboxes_named(value, sandboxes)),
        "action": _action,
        "outcome": lambda value: Q(outcome=one_of(value, Outcome.values, _("outcome"))),
        "job": lambda value: listed(Q(sandbox__in=keys, job_id=value)),
        "request": _request,
        "record": _record,
        "created": _created,
        TEXT: lambda value: _text(value, scope),
    }


def _organization(value: str, scope: Scope) -> Q:
    if value == NO_ORGANIZATION and scope.whole:
        return Q(organization=None)
    return Q(organization=search_register.organization_named(value, scope.organizations))


def _action(value: str) -> Q:
    if value.endswith(".*") and any(action.startswith(value[:-1]) for action in Action.values):
        return Q(action__in=_spelled_out([value]))
    if value not in Action.values:
        raise Malformed(_("segadmin knows no action “%s”.") % value)
    return Q(action=value)


def _request(value: str) -> Q:
    """A request of the web (its id is on error pages and in each event), or a request for an export."""
    try:
        return listed(Q(correlation_id=value)) | listed(Q(request_uuid=uuid.UUID(value)))
    except ValueError:
        return listed(Q(correlation_id=value[:64]))


def _record(value: str) -> Q:
    first, last = search.numbers(value)
    return Q(event__gte=first, event__lte=last)


def _created(value: str) -> Q:
    period = search.period(value)
    from_at, to_at = period.from_at, period.to_at
    return between(from_at, to_at) or ~Q(pk=None)


# Columns of an event in which free text is looked for, besides those of the export that it is about.
TEXTS = ("sentence", "actor_name", "organization_name", "sandbox_name", "job_id")


def _text(value: str, scope: Scope) -> Q:
    """In the sentence and the names of the event, and in purpose and names of the export that it is about.

    SQLite knows capitals of plain letters only, and no database that ö may be two characters, hence the variants.
    """
    variants = {value}
    if not value.isascii():
        formed = [unicodedata.normalize(form, value) for form in ("NFC", "NFD")]
        variants |= {word for one in (value, *formed) for word in (one, one.lower(), one.upper(), one.capitalize())}
    found = Q()
    for variant in sorted(variants):
        for column in TEXTS:
            found |= Q(**{f"{column}__icontains": variant})
    exports = terms.text(value)
    if exports.pks is not None and len(exports.pks) <= MOST_EXPORTS:
        numbers = _listed_events(_entries(scope).filter(exports.condition))
        if numbers is not None:
            return found | Q(event__in=numbers) if numbers else found
    return found | _about(_entries(scope).filter(exports.condition))


def _of_exports(line: Line, scope: Scope, problems: list[str]) -> tuple[Q, Q]:
    """What is asked of the export that an event is about: listed where it names few exports, else as a question."""
    wanted = [term for term in line.terms if term.name in OF_EXPORTS]
    with_, more = search_register.together([term for term in wanted if not term.excluded], OF_EXPORTS)
    problems.extend(more)
    pinned = asked = Q()
    if with_ != Found() and not more:
        entries = _entries(scope).filter(with_.condition)
        numbers = _listed_events(entries) if with_.pks is not None else None
        if numbers is None:
            asked &= _about(entries)
        else:
            pinned = Q(event__in=numbers)
    for term in wanted:
        if term.excluded:
            without, more = search_register.together([Term(term.name, term.values)], OF_EXPORTS)
            problems.extend(more)
            asked &= ~_about(_entries(scope).filter(without.condition)) if not more else Q()
    return pinned, asked


def _entries(scope: Scope) -> QuerySet[RegisterEntry]:
    readable = (
        Q()
        if scope.whole
        else Q(In(Coalesce("organization", "organization"), [row.pk for row in scope.organizations] or [0]))
    )
    return RegisterEntry.objects.filter(readable).order_by()


def _about(entries: QuerySet[RegisterEntry]) -> Q:
    """Events whose request or job is one of these exports."""
    by_request = entries.filter(export_request__uuid=OuterRef("request_uuid"))
    by_job = entries.filter(job__sandbox=OuterRef("sandbox"), job__job_id=OuterRef("job_id"))
    return Q(Exists(by_request)) | Q(Exists(by_job))


def _listed_events(entries: QuerySet[RegisterEntry]) -> list[int] | None:
    """The numbers of all events about these exports; None where there are too many to list."""
    exports = list(entries.values_list("export_request__uuid", "sandbox", "job__job_id")[: MOST_EXPORTS + 1])
    if len(exports) > MOST_EXPORTS:
        return None
    by_request = Q(request_uuid__in=[request for request, _sandbox, _job in exports if request])
    jobs = sorted((sandbox, job) for _request, sandbox, job in exports if job)
    found: set[int] = set()
    for part in (
        by_request,
        *(Q(sandbox=key, job_id__in=[job for _key, job in group]) for key, group in groupby(jobs, lambda row: row[0])),
    ):
        numbers = EventContent.objects.filter(part).order_by().values_list("event_id", flat=True)
        found |= set(numbers[: MOST_LISTED * 5 + 1])
        if len(found) > MOST_LISTED * 5:
            return None
    return sorted(found)
