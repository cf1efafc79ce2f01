"""The rows behind each number of the statement."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from segadmin.models import BadRecord, Finding, Job, Name, Origin, Reading, Unread
from segadmin.queries import names, sentences
from segadmin.queries.completeness import Statement, jobs_made, unreadable
from segadmin.queries.register import Cursor

PAGE_SIZE = 50
LONGEST_RAW = 4000
_FOUND = Q(findings__kind=Finding.Kind.OUTSIDE)
_OUTSIDE = Q(origin=Origin.OUTSIDE, explanation=None)
# Word in the address -> title of the page.
TITLES: dict[str, Promise] = {
    "made": _("Jobs made in this time"),
    "here": _("Sent from here"),
    "rule": _("From outside, covered by a standing explanation"),
    "open": _("From outside, without explanation"),
    "explained": _("From outside, explained, not checked"),
    "closed": _("From outside, explained and checked"),
    "matching": _("Being matched with a lost answer"),
    "older": _("Older than the connection"),
    "gone": _("No longer listed by Adobe"),
    "unsure": _("Not in the last whole list, not looked up yet"),
    "aged": _("Older than what Adobe’s list still shows"),
    "sweeps": _("Readings of the lists"),
    "unread": _("Times not read"),
    "unreadable": _("Entries that could not be read as jobs"),
}


@dataclass(frozen=True)
class JobRow:
    """One job; the finding about it where there is one."""

    job: Job
    title: str
    dataset: str
    finding: Finding | None


@dataclass(frozen=True)
class Entry:
    """One entry of a list that is no job, as Adobe told it."""

    row: BadRecord
    text: str


@dataclass(frozen=True)
class Page:
    """One page of one kind of rows; the other lists are empty."""

    what: str
    jobs: Sequence[JobRow] = ()
    readings: Sequence[Reading] = ()
    unread: Sequence[Unread] = ()
    unreadable: Sequence[Entry] = ()
    after: str = ""

    @property
    def title(self) -> Promise:
        return TITLES[self.what]

    @property
    def count(self) -> int:
        return len(self.jobs) + len(self.readings) + len(self.unread) + len(self.unreadable)


def page(found: Statement, what: str, *, rule: int | None = None, after: str = "") -> Page:
    """The newest rows of this kind below the cursor. `what` is a key of TITLES; `rule` the key of an explanation."""
    if what == "sweeps":
        rows = Reading.objects.filter(_overlaps(found)).select_related("sandbox__organization")
        readings, next_after = _below(rows, after)
        return Page(what, readings=readings, after=next_after)
    if what == "unread":
        times = Unread.objects.filter(_overlaps(found) | _lasting(found)).select_related("sandbox__organization")
        unread, next_after = _below(times, after)
        return Page(what, unread=unread, after=next_after)
    if what == "unreadable":
        entries, next_after = _below(unreadable(found).select_related("sandbox__organization"), after)
        return Page(what, unreadable=[Entry(row, _as_told(row)) for row in entries], after=next_after)
    return _job_page(found, what, rule, after)


def _as_told(row: BadRecord) -> str:
    return json.dumps(row.raw.get("record"), ensure_ascii=False, indent=2)[:LONGEST_RAW]


def _places(found: Statement) -> list[int]:
    return [row.pk for row in found.watched]


def _overlaps(found: Statement) -> Q:
    return Q(sandbox__in=_places(found), from_at__lt=found.until_at, to_at__gt=found.period.from_at)


def _lasting(found: Statement) -> Q:
    return Q(sandbox__in=_places(found), from_at__lt=found.until_at, to_at=None)


def _below(rows: QuerySet[Any], after: str) -> tuple[list[Any], str]:
    """Newest first, by key: rows are written in the order of time, sandbox by sandbox."""
    if after.isascii() and after.isdigit() and len(after) < 19:
        rows = rows.filter(pk__lt=int(after))
    found = list(rows.order_by("-pk")[: PAGE_SIZE + 1])
    return found[:PAGE_SIZE], str(found[PAGE_SIZE - 1].pk) if len(found) > PAGE_SIZE else ""


def _condition(what: str, rule: int | None) -> Q:
    state = {"explained": Finding.State.EXPLAINED, "closed": Finding.State.CLOSED}
    if what == "rule":
        covered = Q(origin=Origin.OUTSIDE) & ~Q(explanation=None)
        return covered & Q(explanation=rule) if rule else covered
    if what in state:
        return _OUTSIDE & _FOUND & Q(findings__state=state[what])
    if what == "open":
        done = Finding.objects.filter(kind=Finding.Kind.OUTSIDE).exclude(state=Finding.State.OPEN).exclude(job=None)
        return _OUTSIDE & ~Q(pk__in=done.values("job"))
    if what == "gone":
        return ~Q(missing_since_at=None)
    if what == "unsure":
        unseen = Q(sandbox__absent_jobs__gt=0, last_seen_at__lt=F("sandbox__swept_at"))
        return unseen & Q(missing_since_at=None, aged_out_at=None)
    if what == "aged":
        return Q(missing_since_at=None) & ~Q(aged_out_at=None)
    return Q(origin=Origin(what)) if what in Origin else Q()


def _job_page(found: Statement, what: str, rule: int | None, after: str) -> Page:
    rows = jobs_made(found).filter(_condition(what, rule)).select_related("sandbox__organization", "explanation")
    cursor = Cursor.parse(after) if after else None
    if cursor is not None:
        rows = rows.filter(Q(sort_at__lt=cursor.at) | Q(sort_at=cursor.at, pk__lt=cursor.pk))
    jobs = list(rows.order_by("-sort_at", "-pk")[: PAGE_SIZE + 1])
    more = str(Cursor(jobs[PAGE_SIZE - 1].sort_at, jobs[PAGE_SIZE - 1].pk)) if len(jobs) > PAGE_SIZE else ""
    return Page(what, jobs=list(_job_rows(jobs[:PAGE_SIZE])), after=more)


def _job_rows(jobs: Sequence[Job]) -> Iterator[JobRow]:
    """With names and findings, two queries for all of them."""
    audience, dataset = Name.Kind.AUDIENCE.value, Name.Kind.DATASET.value
    keys = {(job.sandbox_id, audience, str(item)) for job in jobs for item in job.audience_ids}
    known = names.labels(keys | {(job.sandbox_id, dataset, job.dataset_id) for job in jobs})
    findings = {row.job_id: row for row in Finding.objects.filter(job__in=jobs).order_by("-kind", "-pk")}
    for job in jobs:
        titles = [known.get((job.sandbox_id, audience, str(item))) or str(item) for item in job.audience_ids]
        yield JobRow(
            job,
            sentences.audience_words(titles) if titles else str(_("everyone, no audience")),
            known.get((job.sandbox_id, dataset, job.dataset_id)) or job.dataset_id,
            findings.get(job.pk),
        )
