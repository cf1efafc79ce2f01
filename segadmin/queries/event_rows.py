"""Events as pages show them: who, what, on what, with what details say in words, and where it leads to today.

The number of queries depends neither on the rows nor on what they say.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils import timezone

from segadmin.models import Action, EventContent, ExportRequest, Installation, Job, Outcome
from segadmin.queries import event_words, names, retention
from segadmin.queries.event_words import Told

# What `outcome_mark` draws for each outcome.
OUTCOME_KINDS: dict[str, str] = {
    Outcome.REQUESTED: "waiting",
    Outcome.SUCCEEDED: "ok",
    Outcome.FAILED: "bad",
    Outcome.UNKNOWN: "lost",
    Outcome.REFUSED: "refused",
}

# `get_…_display()` makes a dict of all choices each time, which is a tenth of a page of fifty.
_ACTIONS, _OUTCOMES = dict(Action.choices), dict(Outcome.choices)


@dataclass(frozen=True)
class EventLine:
    """One event as one line of the list: what its columns hold, without what only its text says."""

    content: EventContent

    @property
    def sandbox_type(self) -> str:
        return self.content.sandbox.type if self.content.sandbox else ""

    @property
    def outcome_kind(self) -> str:
        return OUTCOME_KINDS.get(self.content.outcome, "unknown")

    @property
    def outcome_word(self) -> str:
        return str(_OUTCOMES.get(self.content.outcome, self.content.outcome))

    @property
    def seq(self) -> int:
        return self.content.event_id

    @property
    def day(self) -> date:
        """The day in the person's zone."""
        return timezone.localtime(self.content.at).date()


@dataclass(frozen=True)
class EventRow(EventLine):
    """One event with all that it says. Names are those of the time of the event; links use what they lead to today.

    `entry`: the register's row of the export that it is about. `kept_until_at`: None where it is kept for good.
    `follows`: the record before this one; 0 for the first.
    """

    roles: tuple[str, ...]
    signed_in: str
    job_known: bool
    entry: int | None
    told: Told
    kept_until_at: datetime | None
    follows: int
    action_word: str


@dataclass(frozen=True)
class _Around:
    """What rows lead to, read once for all of them. Jobs and requests: with the register's row, where there is one."""

    jobs: Mapping[tuple[int, str], int | None]
    requests: Mapping[uuid.UUID, int | None]
    names: Mapping[tuple[int, str, str], str]
    installation: Installation


def rows(contents: Sequence[EventContent]) -> list[EventRow]:
    """In the same order; orgs and sandboxes have been read with the contents."""
    texts = [as_object(content.text) for content in contents]
    around = _around(contents, texts)
    return [_row(content, text, around) for content, text in zip(contents, texts, strict=True)]


def _around(contents: Sequence[EventContent], texts: Sequence[Mapping[str, Any]]) -> _Around:
    wanted, called = set(), set()
    for content, text in zip(contents, texts, strict=True):
        if content.job_id and content.sandbox_id:
            wanted.add((content.sandbox_id, content.job_id))
        if content.sandbox_id:
            called |= {(content.sandbox_id, kind, key) for kind, key in event_words.ids(_details(text))}
    # Two lists and not one "or" of all pairs, for which SQLite reads every job; a pair too many is never looked up.
    places, ids = {sandbox for sandbox, _job in wanted}, {job for _sandbox, job in wanted}
    jobs = (
        Job.objects.filter(sandbox__in=places, job_id__in=ids).order_by().values_list("sandbox_id", "job_id", "entry")
    )
    asked = {content.request_uuid for content in contents if content.request_uuid}
    requests = ExportRequest.objects.filter(uuid__in=asked).values_list("uuid", "entry")
    return _Around(
        jobs={(sandbox, job): entry for sandbox, job, entry in jobs},
        requests=dict(requests),
        names=names.labels(called) if called else {},
        installation=retention.installation(),
    )


def _row(content: EventContent, text: Mapping[str, Any], around: _Around) -> EventRow:
    actor = text.get("actor")
    actor = actor if isinstance(actor, dict) else {}
    job = (content.sandbox_id or 0, content.job_id)
    called = {(kind, key): name for (pk, kind, key), name in around.names.items() if pk == content.sandbox_id}
    by_request = around.requests.get(content.request_uuid) if content.request_uuid else None
    return EventRow(
        content=content,
        roles=tuple(str(role) for role in actor.get("roles") or ()),
        signed_in=str(actor.get("signed_in") or ""),
        job_known=job in around.jobs,
        entry=around.jobs.get(job) or by_request,
        told=event_words.told(_details(text), called),
        kept_until_at=retention.kept_until(content, around.installation),
        follows=_follows(content, _details(text)),
        action_word=str(_ACTIONS.get(content.action, content.action)),
    )


def _follows(content: EventContent, details: Mapping[str, Any]) -> int:
    """The first record of an epoch follows the last one that the restore kept; all others the number before."""
    kept = details.get("last_kept")
    return kept if content.action == Action.EPOCH_BEGUN and isinstance(kept, int) else content.event_id - 1


def as_object(text: str) -> dict[str, Any]:
    """The canonical text as an object; empty for a text that is none (altered behind the triggers' back)."""
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _details(text: Mapping[str, Any]) -> Mapping[str, Any]:
    details = text.get("details")
    return details if isinstance(details, dict) else {}
