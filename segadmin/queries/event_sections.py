"""A page of events under headings: by day, by job, or by person. Sorts what the page holds; reads nothing.

A section may go on beyond the page, so it says how many records it has *here* unless it is known to be whole.
"""

import uuid
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.queries.event_rows import EventLine
from segadmin.queries.search import Term, write
from segadmin.templatetags.segadmin import zone_word

DAY, JOB, PERSON = "day", "job", "person"


@dataclass(frozen=True)
class Section:
    """Events under one heading, newest first. `line`: the query for all records of it, empty where there is none."""

    rows: tuple[EventLine, ...]
    title: str = ""
    day: date | None = None
    is_today: bool = False
    is_whole: bool = False
    line: str = ""

    @property
    def key(self) -> int:
        """Of the heading: no two sections share their first record."""
        return self.rows[0].seq

    @property
    def zone(self) -> str:
        """As it was called then: summer and winter differ."""
        return zone_word(timezone.localtime(self.rows[0].content.at))


def days(rows: Sequence[EventLine], *, open_first: bool, open_last: bool) -> list[Section]:
    """One section a day of the person's zone; the first or the last may go on, on the page before or after."""
    today = timezone.localdate()
    parts = [(day, tuple(group)) for day, group in groupby(rows, lambda row: row.day)]
    last = len(parts) - 1
    return [
        Section(
            rows=group,
            day=day,
            is_today=day == today,
            is_whole=not (number == 0 and open_first) and not (number == last and open_last),
        )
        for number, (day, group) in enumerate(parts)
    ]


def by_person(rows: Sequence[EventLine]) -> list[Section]:
    """One section for each name that acted, the one that acted last first."""
    return [
        Section(rows=group, title=name, line=write([Term("actor", (name,))]))
        for name, group in _gathered(rows, lambda row: row.content.actor_name)
    ]


def by_job(rows: Sequence[EventLine]) -> list[Section]:
    """One section for each export, with the records of its request; what is about no export comes last."""
    jobs = {row.content.request_uuid: _job(row) for row in rows if row.content.request_uuid and row.content.job_id}

    def key(row: EventLine) -> Hashable:
        wish: uuid.UUID | None = row.content.request_uuid
        return _job(row) if row.content.job_id else jobs.get(wish, wish) if wish else None

    found = [_of_job(group) for name, group in _gathered(rows, key) if name is not None]
    rest = tuple(row for row in rows if key(row) is None)
    return [*found, Section(rows=rest, title=_("About no export"))] if rest else found


def _job(row: EventLine) -> tuple[str, str, str]:
    return row.content.organization_name, row.content.sandbox_name, row.content.job_id


def _of_job(rows: tuple[EventLine, ...]) -> Section:
    content = next((row.content for row in rows if row.content.job_id), rows[0].content)
    if content.job_id:
        terms = [Term("job", (content.job_id,))]
        if content.organization and content.sandbox_name:
            terms.append(Term("sandbox", (f"{content.organization.slug}/{content.sandbox_name}",)))
        return Section(rows=rows, title=_("Job %s") % content.job_id, line=write(terms))
    return Section(
        rows=rows, title=_("A request without a job"), line=write([Term("request", (str(content.request_uuid),))])
    )


def _gathered[K: Hashable](
    rows: Iterable[EventLine], key: Callable[[EventLine], K]
) -> list[tuple[K, tuple[EventLine, ...]]]:
    found: dict[K, list[EventLine]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return [(name, tuple(group)) for name, group in found.items()]
