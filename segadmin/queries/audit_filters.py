"""Which events are meant, and how their numbers are found without reading the whole record.

Every page is read by keyset. What an index can find is found by it; what none can find (text in a sentence, "not by this
person of that audience") is looked for in a bounded number of candidates, and the page says how far it looked.
"""

import functools
import operator
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual, LessThan
from django.utils import timezone

from segadmin.models import EventContent, Organization

# Up to so many matches are listed by their numbers, which any combination of filters then narrows at once.
MOST_LISTED = 1000
# Candidates that are read at once, and for one page, where no index can help; after so long no more are begun.
BATCH, MOST_SEARCHED, SEARCH_SECONDS = 4000, 20_000, 0.2
# Beyond so many places one select reads a page instead of a union of one each.
MOST_BRANCHES = 100
# Numbers and clocks go together but for waiting writers and clocks that were set back, by at most this.
CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True)
class Scope:
    """What a person may read: the orgs, and with `whole` also events that belong to no org (sign-ins, people)."""

    organizations: Sequence[Organization]
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Empty means "any"; several values of one filter are alternatives. Times are aware, `to_at` is exclusive.

    `also` is what an index finds or a row tells quickly; `sought` what has to be looked for in text or other tables.
    """

    organizations: Sequence[Organization] = ()
    no_organization: bool = False
    sandboxes: Sequence[int] = ()
    persons: Sequence[str] = ()
    actions: Sequence[str] = ()
    outcomes: Sequence[str] = ()
    from_at: datetime | None = None
    to_at: datetime | None = None
    correlation_id: str = ""
    also: Q = field(default_factory=Q)
    sought: Q | None = None


@dataclass(frozen=True)
class Numbers:
    """Event numbers, newest first; `searched_to` is the last one looked at where the search stopped before the end."""

    found: list[int]
    searched_to: int | None = None


def _equal(filters: Filters) -> list[Q]:
    found = []
    for name, values in (("actor_name", filters.persons), ("action", filters.actions), ("outcome", filters.outcomes)):
        if len(values) == 1:
            found.append(Q(**{name: values[0]}))
        elif values:
            found.append(Q(**{f"{name}__in": list(values)}))
    if filters.correlation_id:
        found.append(Q(correlation_id=filters.correlation_id))
    return found


def between(from_at: datetime | None, to_at: datetime | None) -> Q:
    """By a form that no index of times serves: pages walk along the numbers, which `_bounds` narrows."""
    found = Q()
    if from_at is not None:
        found &= Q(GreaterThanOrEqual(Coalesce("at", "at"), from_at))
    if to_at is not None:
        found &= Q(LessThan(Coalesce("at", "at"), to_at))
    return found


def _bounds(filters: Filters) -> Q:
    """The numbers between which the period lies, with a margin for clocks; two short reads of the index of times."""
    found = Q()
    times = EventContent.objects.values_list("event_id", flat=True)
    if filters.from_at is not None:
        first = times.filter(at__gte=filters.from_at - CLOCKS_DIFFER).order_by("at").first()
        found &= Q(pk=None) if first is None else Q(event__gte=first)
    if filters.to_at is not None and filters.to_at + CLOCKS_DIFFER < timezone.now():
        last = times.filter(at__lt=filters.to_at + CLOCKS_DIFFER).order_by("-at").first()
        found &= Q(pk=None) if last is None else Q(event__lte=last)
    return found


def _branches(scope: Scope, filters: Filters) -> list[Q]:
    """One condition per index range: a UNION of them is a merge of sorted ranges, which an IN is not."""
    readable = {organization.pk for organization in scope.organizations}
    if filters.organizations or filters.no_organization:
        chosen = [organization.pk for organization in filters.organizations if organization.pk in readable]
        branches = [Q(organization=pk) for pk in chosen]
        branches = [*branches, Q(organization=None)] if filters.no_organization and scope.whole else branches
    elif scope.whole:
        branches = [Q()]
    else:
        branches = [Q(organization=pk) for pk in sorted(readable)]
    if filters.sandboxes and branches:
        within = functools.reduce(operator.or_, branches)
        branches = [within & Q(sandbox=pk) for pk in filters.sandboxes]
    return [functools.reduce(operator.or_, branches)] if len(branches) > MOST_BRANCHES else branches


def condition(scope: Scope, filters: Filters) -> Q | None:
    """What a file of the list holds, as one condition; None where nothing can match."""
    branches = _branches(scope, filters)
    if not branches:
        return None
    found = functools.reduce(operator.or_, branches) & filters.also & between(filters.from_at, filters.to_at)
    for part in (*_equal(filters), *([filters.sought] if filters.sought is not None else [])):
        found &= part
    return found


def listed(part: Q) -> Q:
    """The same condition; as numbers where few events meet it, so that nothing else has to be walked for them."""
    numbers = list(EventContent.objects.filter(part).order_by().values_list("event_id", flat=True)[: MOST_LISTED + 1])
    return part if len(numbers) > MOST_LISTED else Q(event__in=numbers)


def _narrowed(scope: Scope, filters: Filters) -> Q:
    """Everything but branches and `sought`. Of several conditions the rare ones are listed first."""
    equal = _equal(filters)
    if len(equal) + (not scope.whole) + bool(filters.organizations or filters.sandboxes) > 1:
        equal = [listed(part) for part in equal]
    found = filters.also & between(filters.from_at, filters.to_at) & _bounds(filters)
    for part in equal:
        found &= part
    return found


def _below(branches: Iterable[Q], narrowed: Q, after: int | None, size: int) -> list[int]:
    if after is not None:
        narrowed &= Q(event__lt=after)
    parts: list[QuerySet[EventContent, int]] = [
        EventContent.objects.filter(branch & narrowed).order_by().values_list("event_id", flat=True)
        for branch in branches
    ]
    if not parts:
        return []
    found = parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]
    return list(found.order_by("-event_id")[:size])


def numbers(scope: Scope, filters: Filters, after: int | None, size: int) -> Numbers:
    """The newest `size` event numbers below `after` that match, as far as they are found within the bound."""
    branches, narrowed = _branches(scope, filters), _narrowed(scope, filters)
    if filters.sought is None:
        return Numbers(_below(branches, narrowed, after, size))
    found: list[int] = []
    until = time.monotonic() + SEARCH_SECONDS
    for _batch in range(MOST_SEARCHED // BATCH):
        candidates = _below(branches, narrowed, after, BATCH)
        if candidates:
            after = candidates[-1]
            within = Q(event__lte=candidates[0], event__gte=after)
            every = functools.reduce(operator.or_, branches)
            found += _below([every], narrowed & within & filters.sought, None, size - len(found))
        if len(found) == size or len(candidates) < BATCH:
            return Numbers(found)
        if time.monotonic() > until:
            break
    return Numbers(found, after)
