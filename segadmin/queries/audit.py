"""Reading the record: pages of events by keyset, one event with everything it says, and its siblings.

Nothing here counts rows, and the number of queries depends neither on the rows nor on the orgs.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils import timezone

from segadmin.models import ContentExpiry, Event, EventContent, User
from segadmin.queries import audit_filters, event_sections
from segadmin.queries.audit_filters import Filters, Scope, condition
from segadmin.queries.event_rows import EventLine, EventRow, as_object, rows
from segadmin.queries.event_sections import Section

__all__ = [
    "EventLine",
    "EventPage",
    "EventRow",
    "EventStory",
    "Filters",
    "Scope",
    "condition",
    "page",
    "people",
    "row",
    "story",
]

PAGE_SIZE = 50
PEOPLE_OFFERED = 60


@dataclass(frozen=True)
class EventPage:
    """One page of the list; `next_after` is the cursor of the next one, or None at the end.

    `rows`: lines, or events with all that they say where the page was asked for in detail.
    `searched_to`: the search stopped there, at its bound; older events may match, and `next_after` goes on.
    `open_first`, `open_last`: the first day goes on upon the page before, the last one upon the next.
    """

    rows: tuple[EventLine, ...]
    next_after: int | None
    searched_to: int | None = None
    open_first: bool = False
    open_last: bool = False

    def sections(self, by: str = event_sections.DAY) -> list[Section]:
        """Under headings: by day, or the records of this page by job or by person."""
        if by == event_sections.JOB:
            return event_sections.by_job(self.rows)
        if by == event_sections.PERSON:
            return event_sections.by_person(self.rows)
        return event_sections.days(self.rows, open_first=self.open_first, open_last=self.open_last)


@dataclass(frozen=True)
class EventStory:
    """One event with everything around it. `row` is None where the content has expired (a tombstone)."""

    event: Event
    row: EventRow | None = None
    text: str = ""
    fits_digest: bool = False
    siblings: tuple[EventRow, ...] = ()
    expiry: ContentExpiry | None = None


def _contents(numbers: Sequence[int]) -> QuerySet[EventContent]:
    found = EventContent.objects.filter(event__in=numbers)
    return found.select_related("organization", "sandbox").order_by("-event_id")


def page(
    scope: Scope, filters: Filters, *, after: int | None = None, size: int = PAGE_SIZE, detailed: bool = False
) -> EventPage:
    """The events that match, newest first, below the cursor `after`; the number of queries has a bound."""
    numbers = audit_filters.numbers(scope, filters, after, size + 1)
    shown, beyond = numbers.found[:size], numbers.found[size:]
    contents = _contents([*shown, *beyond, *([after] if after else [])])
    read = {content.event_id: content for content in (contents if detailed else contents.defer("text"))}
    ordered = [read[seq] for seq in shown if seq in read]
    found: tuple[EventLine, ...] = tuple(rows(ordered)) if detailed else tuple(map(EventLine, ordered))
    more = shown[-1] if beyond else numbers.searched_to
    days = {seq: timezone.localtime(content.at).date() for seq, content in read.items()}
    first, last = (found[0].day, found[-1].day) if found else (None, None)
    return EventPage(
        found,
        more,
        numbers.searched_to,
        open_first=after is not None and days.get(after, first) == first,
        open_last=numbers.searched_to is not None or any(days.get(seq) == last for seq in beyond),
    )


def people(scope: Scope) -> list[str]:
    """Account names to offer as a filter; the record may hold others, which can be typed."""
    users = User.objects.order_by("username")
    if not scope.whole:
        users = users.filter(memberships__organization__in=[row.pk for row in scope.organizations]).distinct()
    return list(users.values_list("username", flat=True)[:PEOPLE_OFFERED])


def row(event: Event) -> EventRow | None:
    """One event with all that it says; None where the content has expired. The caller has authorised the reading."""
    return next(iter(rows(list(_contents([event.seq])))), None)


def story(event: Event) -> EventStory:
    """Everything about one event. The caller has authorised the reading; siblings share its sandbox."""
    content = _contents([event.seq]).first()
    if content is None:
        expiry = ContentExpiry.objects.filter(seq=event.seq).first()
        return EventStory(event, expiry=expiry)
    digest = hashlib.sha256(content.text.encode("utf-8", "surrogatepass")).hexdigest()
    return EventStory(
        event,
        row=rows([content])[0],
        text=_pretty(content.text),
        fits_digest=digest == event.digest,
        siblings=_siblings(content),
    )


def _siblings(content: EventContent) -> tuple[EventRow, ...]:
    """Every event of the same remote change, in order; none where the event belongs to no such change.

    Creates carry their request and cancels their job in each event: both are indexed, the change's own id is not.
    """
    if content.attempt_uuid is None:
        return ()
    near = Q(request_uuid=content.request_uuid) if content.request_uuid else Q(job_id=content.job_id)
    near_by = (
        EventContent.objects.select_related("organization", "sandbox")
        .filter(near, sandbox=content.sandbox_id, attempt_uuid=content.attempt_uuid)
        .order_by("event_id")
    )
    return tuple(rows(list(near_by[:PAGE_SIZE])))


def _pretty(text: str) -> str:
    told = as_object(text)
    return json.dumps(told, indent=2, ensure_ascii=False, sort_keys=True) if told else text
