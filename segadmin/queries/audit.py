"""Reading the record: pages of events by keyset, one event with everything it says, and its siblings.

Nothing here counts rows, and the number of queries depends neither on the rows nor on the orgs.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from django.db.models import Q
from django.utils import timezone

from segadmin.models import (
    ContentExpiry,
    Event,
    EventContent,
    Job,
    Outcome,
    Sandbox,
    User,
)
from segadmin.queries import audit_filters
from segadmin.queries.audit_filters import Filters, Scope, condition

__all__ = ["EventPage", "EventRow", "EventStory", "Filters", "Scope", "condition", "page", "people", "story"]

PAGE_SIZE = 50
PEOPLE_OFFERED = 60
# What `outcome_mark` draws for each outcome.
OUTCOME_KINDS: dict[str, str] = {
    Outcome.REQUESTED: "waiting",
    Outcome.SUCCEEDED: "ok",
    Outcome.FAILED: "bad",
    Outcome.UNKNOWN: "lost",
    Outcome.REFUSED: "refused",
}


@dataclass(frozen=True)
class Change:
    """One line of a difference; None where the value was not there before, or is not there any more."""

    label: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Fact:
    """Something else that is on record; `is_json` texts are long and have lines of their own."""

    label: str
    text: str
    is_json: bool = False


@dataclass(frozen=True)
class EventRow:
    """One event as pages show it. Names are those of the time of the event; links use what they lead to today."""

    content: EventContent
    roles: tuple[str, ...]
    signed_in: str
    sandbox_type: str
    job_known: bool
    changes: tuple[Change, ...]
    facts: tuple[Fact, ...]
    outcome_kind: str
    outcome_word: str
    action_word: str

    @property
    def seq(self) -> int:
        return self.content.event_id

    @property
    def follows(self) -> int:
        """The record before this one; 0 for the first."""
        return self.content.event_id - 1

    @property
    def day(self) -> date:
        """The day in the person's zone."""
        return timezone.localtime(self.content.at).date()


@dataclass(frozen=True)
class Day:
    """The events of one day, newest first."""

    day: date
    is_today: bool
    rows: tuple[EventRow, ...]


@dataclass(frozen=True)
class EventPage:
    """One page of the list; `next_after` is the cursor of the next one, or None at the end.

    `searched_to`: the search stopped there, at its bound; older events may match, and `next_after` goes on.
    """

    rows: tuple[EventRow, ...]
    next_after: int | None
    searched_to: int | None = None

    @property
    def days(self) -> list[Day]:
        today = timezone.localdate()
        return [Day(day, day == today, tuple(rows)) for day, rows in groupby(self.rows, lambda row: row.day)]


@dataclass(frozen=True)
class EventStory:
    """One event with everything around it. `row` is None where the content has expired (a tombstone)."""

    event: Event
    row: EventRow | None = None
    text: str = ""
    fits_digest: bool = False
    siblings: tuple[EventRow, ...] = ()
    expiry: ContentExpiry | None = None


def _contents(numbers: Sequence[int]) -> list[EventContent]:
    return list(
        EventContent.objects.filter(event__in=numbers)
        .select_related("event", "organization", "sandbox")
        .order_by("-event_id")
    )


def page(scope: Scope, filters: Filters, *, after: int | None = None, size: int = PAGE_SIZE) -> EventPage:
    """The events that match, newest first, below the cursor `after`; the number of queries has a bound."""
    numbers = audit_filters.numbers(scope, filters, after, size + 1)
    rows = tuple(_rows(_contents(numbers.found[:size])))
    more = numbers.found[size - 1] if len(numbers.found) > size else numbers.searched_to
    return EventPage(rows, more, numbers.searched_to)


def people(scope: Scope) -> list[str]:
    """Account names to offer as a filter; the record may hold others, which can be typed."""
    users = User.objects.order_by("username")
    if not scope.whole:
        users = users.filter(memberships__organization__in=[row.pk for row in scope.organizations]).distinct()
    return list(users.values_list("username", flat=True)[:PEOPLE_OFFERED])


def story(event: Event) -> EventStory:
    """Everything about one event. The caller has authorised the reading; siblings share its sandbox."""
    content = EventContent.objects.select_related("event", "organization", "sandbox").filter(event=event).first()
    if content is None:
        expiry = ContentExpiry.objects.filter(seq=event.seq).first()
        return EventStory(event, expiry=expiry)
    digest = hashlib.sha256(content.text.encode("utf-8", "surrogatepass")).hexdigest()
    return EventStory(
        event,
        row=next(_rows([content])),
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
    rows = (
        EventContent.objects.select_related("event", "organization", "sandbox")
        .filter(near, sandbox=content.sandbox_id, attempt_uuid=content.attempt_uuid)
        .order_by("event_id")
    )
    return tuple(_rows(list(rows[:PAGE_SIZE])))


def _rows(contents: list[EventContent]) -> Iterator[EventRow]:
    wanted = Q(pk=None)
    for content in contents:
        if content.job_id and content.sandbox_id:
            wanted |= Q(sandbox=content.sandbox_id, job_id=content.job_id)
    known = set(Job.objects.filter(wanted).values_list("sandbox_id", "job_id"))
    for content in contents:
        yield _row(content, (content.sandbox_id, content.job_id) in known)


def _row(content: EventContent, job_known: bool) -> EventRow:
    told = _told(content.text)
    actor = told.get("actor")
    actor = actor if isinstance(actor, dict) else {}
    details = told.get("details")
    details = details if isinstance(details, dict) else {}
    sandbox: Sandbox | None = content.sandbox
    return EventRow(
        content=content,
        roles=tuple(str(role) for role in actor.get("roles") or ()),
        signed_in=str(actor.get("signed_in") or ""),
        sandbox_type=sandbox.type if sandbox else "",
        job_known=job_known,
        changes=tuple(_changes(details)),
        facts=tuple(_facts(details)),
        outcome_kind=OUTCOME_KINDS.get(content.outcome, "unknown"),
        outcome_word=str(content.get_outcome_display()),
        action_word=str(content.get_action_display()),
    )


def _told(text: str) -> dict[str, Any]:
    """The canonical text as an object; empty for a text that is none (altered behind the triggers' back)."""
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _pretty(text: str) -> str:
    told = _told(text)
    return json.dumps(told, indent=2, ensure_ascii=False, sort_keys=True) if told else text


def _facts(details: dict[str, Any]) -> Iterator[Fact]:
    """What else is on record: everything but the difference, and nothing that is empty."""
    shown_above = ("before", "after") if _is_difference(details) else ()
    for key, value in details.items():
        if key not in shown_above and value not in ("", None, [], {}):
            if _is_nested(value):
                text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
                yield Fact(_label(key), text, is_json=True)
            else:
                yield Fact(_label(key), _words(value))


def _is_nested(value: object) -> bool:
    """Too much for one line: objects within objects or lists, and objects of more than a few values."""
    if isinstance(value, dict):
        return len(value) > 4 or any(isinstance(item, dict | list) for item in value.values())
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def _is_difference(details: dict[str, Any]) -> bool:
    return isinstance(details.get("before"), dict) and isinstance(details.get("after"), dict)


def _changes(details: dict[str, Any]) -> Iterator[Change]:
    """What differs between the objects `before` and `after`, key by key."""
    if not _is_difference(details):
        return
    before, after = details["before"], details["after"]
    for key in sorted({*before, *after}):
        old = _words(before[key]) if key in before else None
        new = _words(after[key]) if key in after else None
        if old != new:
            yield Change(_label(key), old, new)


def _label(key: str) -> str:
    return key.replace("_", " ").replace(".", " ").strip().capitalize()


def _words(value: object) -> str:
    """A value of the details as text: lists by commas, objects as JSON, "yes" and "no"."""
    if value is None or value in ("", [], {}):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_nested(value):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    return str(value)
