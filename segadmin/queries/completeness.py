"""The statement of completeness: what the lists showed in a time, how often they were read, and when they were not.

It states, and does not judge. The counts of readings come from the sweep summaries in the record; rows of the database
that differ from them are told.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from segadmin.models import BadRecord, Explanation, Finding, Job, Organization, Origin, Sandbox, Unread
from segadmin.queries.completeness_words import clock, lasted
from segadmin.queries.intervals import Span, cut, merged, minus, total
from segadmin.queries.summaries import Summaries, summaries
from segadmin.queries.unread import lasting, patience, watched_again

# -- the period --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Period:
    """Whole days in UTC, both included."""

    first: date
    last: date

    @property
    def from_at(self) -> datetime:
        return datetime.combine(self.first, time.min, tzinfo=UTC)

    @property
    def to_at(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time.min, tzinfo=UTC)

    @property
    def span(self) -> Span:
        return self.from_at, self.to_at

    def __str__(self) -> str:
        if self.first == self.last:
            return _("%(day)s, UTC") % {"day": date_format(self.first, "j F Y")}
        same_year = self.first.year == self.last.year
        first = date_format(self.first, "j F" if same_year else "j F Y")
        return _("%(first)s to %(last)s, UTC") % {"first": first, "last": date_format(self.last, "j F Y")}


def last_quarter(today: date) -> Period:
    """The last full quarter before the one of `today`."""
    month = (today.month - 1) // 3 * 3 + 1
    end = date(today.year, month, 1) - timedelta(days=1)
    return Period(date(end.year, end.month - 2, 1), end)


def default_period(organizations: Iterable[Organization], today: date) -> Period:
    """The last full quarter; this one where nothing was watched yet in that."""
    period = last_quarter(today)
    watched = Sandbox.objects.filter(
        organization__in=list(organizations), connected_at__lt=datetime.combine(period.last, time.max, UTC)
    )
    return period if watched.exists() else Period(date(today.year, (today.month - 1) // 3 * 3 + 1, 1), today)


def offered(today: date) -> list[tuple[str, Period]]:
    """Periods to choose by one click."""
    month_end = today.replace(day=1) - timedelta(days=1)
    quarter = (today.month - 1) // 3 * 3 + 1
    return [
        (_("Last full quarter"), last_quarter(today)),
        (_("This quarter"), Period(date(today.year, quarter, 1), today)),
        (_("Last full month"), Period(month_end.replace(day=1), month_end)),
        (_("Last 7 days"), Period(today - timedelta(days=6), today)),
    ]


# -- the parts of the statement ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gap:
    """A time in which one sandbox was not read; `lasts`: it still is not. `seq` 0: not in the record (yet)."""

    sandbox: Sandbox
    why: str
    from_at: datetime
    to_at: datetime
    seq: int = 0
    lasts: bool = False
    note: str = ""

    @property
    def length(self) -> timedelta:
        return self.to_at - self.from_at

    @property
    def lasted(self) -> str:
        return lasted(self.length)

    @property
    def words(self) -> str:
        """ "14 min on 9 May", with "since" where it lasts."""
        day = date_format(self.from_at.astimezone(UTC), "j F Y")
        if self.lasts:
            return _("%(length)s since %(from)s UTC, until now") % {
                "length": lasted(self.length),
                "from": clock(self.from_at),
            }
        return _("%(length)s on %(day)s") % {"length": lasted(self.length), "day": day}


@dataclass(frozen=True)
class ByRule:
    """Jobs that one standing explanation covers."""

    rule: Explanation
    count: int


@dataclass
class Jobs:
    """Jobs made in the time, by what is known of them. They add up to `total`; the last three are some of them.

    `unsure`: not in the last whole list, and not looked up one by one yet.
    """

    total: int = 0
    here: int = 0
    older: int = 0
    matching: int = 0
    by_rule: list[ByRule] = field(default_factory=list)
    open: int = 0
    explained: int = 0
    closed: int = 0
    gone: int = 0
    aged: int = 0
    unsure: int = 0


@dataclass
class Statement:
    """Everything that the page says. Spans are clipped to the period and to now."""

    period: Period
    until_at: datetime
    organizations: Sequence[Organization]
    watched: list[Sandbox] = field(default_factory=list)
    unwatched: list[Sandbox] = field(default_factory=list)
    connected_within: list[Sandbox] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    jobs: Jobs = field(default_factory=Jobs)
    # Entries of the lists that could not be read as jobs, and were seen in this time or from before it to after it.
    unreadable: int = 0
    # Jobs made in this time where it was not watched, known from readings at other times; not among `jobs`.
    later: int = 0
    readings: Summaries = field(default_factory=Summaries)

    @property
    def is_running(self) -> bool:
        """The period has not ended yet."""
        return self.until_at < self.period.to_at

    @property
    def is_future(self) -> bool:
        return self.until_at <= self.period.from_at

    def why(self, *kinds: str) -> list[Gap]:
        return [gap for gap in self.gaps if gap.why in kinds]

    @property
    def by_adobe(self) -> list[Gap]:
        return self.why(Unread.Why.ADOBE)

    @property
    def by_us(self) -> list[Gap]:
        return self.why(Unread.Why.STOPPED)

    @property
    def by_clock(self) -> list[Gap]:
        """Times of which it can't be told whether they were read."""
        return self.why(Unread.Why.CLOCK)

    @property
    def by_choice(self) -> list[Gap]:
        return self.why(Unread.Why.UNWATCHED)

    @property
    def untold(self) -> list[Gap]:
        """Times of which the record tells nothing at all."""
        return self.why(UNTOLD)

    @property
    def missing_rows(self) -> int:
        """Jobs that the summaries counted and the database no longer holds."""
        return self.readings.missing_jobs

    @property
    def unread_length(self) -> timedelta:
        """How long at least one of the sandboxes was not read, by whatever cause but choice."""
        return total(merged((gap.from_at, gap.to_at) for gap in self.gaps if gap.why != Unread.Why.UNWATCHED))


UNTOLD = "untold"


def statement(organizations: Sequence[Organization], period: Period, *, brief: bool = False) -> Statement:
    """The statement for all sandboxes of these orgs. About ten queries, and the summaries of the time in chunks.

    `brief`: without the jobs, and without comparing the summaries with the record; four queries.
    """
    now = timezone.now()
    found = Statement(period, min(period.to_at, now), organizations)
    rows = Sandbox.objects.filter(organization__in=list(organizations)).select_related("organization")
    known = list(rows.order_by("organization__name", "name", "pk"))
    candidates = [row for row in known if row.connected_at is not None and row.connected_at < found.until_at]
    gaps = _gaps(candidates, found)
    found.readings = summaries(candidates, (period.from_at, found.until_at), compare=not brief)
    for row in candidates:
        assert row.connected_at is not None
        wanted = (max(period.from_at, row.connected_at), found.until_at)
        away = [(gap.from_at, gap.to_at) for gap in gaps[row.pk] if gap.why == Unread.Why.UNWATCHED]
        if not minus([wanted], away):
            continue
        found.watched.append(row)
        if row.connected_at > period.from_at:
            found.connected_within.append(row)
        found.gaps += [*gaps[row.pk], *_untold(row, wanted, gaps[row.pk], found)]
    watched = {row.pk for row in found.watched}
    found.unwatched = [row for row in known if row.pk not in watched]
    found.gaps.sort(key=lambda gap: (gap.from_at, gap.sandbox.pk))
    if not brief:
        found.jobs, found.later = _jobs(found), _made_in(found, found.unwatched).count()
        found.unreadable = unreadable(found).count()
    return found


def _gaps(sandboxes: Sequence[Sandbox], found: Statement) -> dict[int, list[Gap]]:
    """Times on record, and those that last, by the sandbox's pk."""
    first, last = found.period.from_at, found.until_at
    rows = Unread.objects.filter(Q(to_at=None) | Q(to_at__gt=first), sandbox__in=sandboxes, from_at__lt=last)
    again, by_sandbox = watched_again(sandboxes), defaultdict[int, list[Unread]](list)
    for row in rows.order_by("from_at", "pk"):
        by_sandbox[row.sandbox_id].append(row)
    return {sandbox.pk: _gaps_of(sandbox, by_sandbox[sandbox.pk], again, found) for sandbox in sandboxes}


def _gaps_of(sandbox: Sandbox, rows: Sequence[Unread], again: Mapping[int, datetime], found: Statement) -> list[Gap]:
    first, last = found.period.from_at, found.until_at
    set_back = [row for row in rows if row.why == Unread.Why.CLOCK]
    told = [
        Gap(sandbox, row.why, row.from_at, _to_at(row, set_back), row.seq or 0, row.to_at is None, row.note)
        for row in rows
    ]
    if not sandbox.watched and not any(gap.lasts for gap in told) and sandbox.last_read_at is not None:
        # Watching ended before such times were kept.
        told.append(Gap(sandbox, Unread.Why.UNWATCHED, sandbox.last_read_at, timezone.now(), lasts=True))
    told += [Gap(sandbox, gap.why, gap.from_at, gap.to_at, 0, True, gap.note) for gap in lasting(sandbox, again)]
    clipped = []
    for gap in told:
        span = cut((gap.from_at, gap.to_at), (first, last))
        if span is not None:
            lasts = gap.lasts and found.is_running
            clipped.append(Gap(sandbox, gap.why, span[0], span[1], gap.seq, lasts, gap.note))
    return clipped


def _to_at(row: Unread, set_back: Iterable[Unread]) -> datetime:
    """Its end. What was recorded before a clock was set back can't reach over that moment, whatever that clock said."""
    ends = [clock.to_at for clock in set_back if row.seq and clock.seq and row.seq < clock.seq and clock.to_at]
    return min([row.to_at or timezone.now(), *ends])


def _untold(sandbox: Sandbox, wanted: Span, gaps: Iterable[Gap], found: Statement) -> list[Gap]:
    """What neither a summary nor a time not read accounts for; ordinary pauses between two readings are none."""
    accounted = [*found.readings.spans.get(sandbox.pk, []), *((gap.from_at, gap.to_at) for gap in gaps)]
    return [
        Gap(sandbox, UNTOLD, from_at, to_at)
        for from_at, to_at in minus([wanted], merged(accounted))
        if to_at - from_at > patience()
    ]


def _jobs(found: Statement) -> Jobs:
    made = jobs_made(found)
    by_origin = dict(made.order_by().values_list("origin").annotate(Count("pk")))
    outside = made.filter(origin=Origin.OUTSIDE)
    rules = dict(outside.exclude(explanation=None).order_by().values_list("explanation").annotate(Count("pk")))
    states = dict(
        Finding.objects.filter(kind=Finding.Kind.OUTSIDE, job__in=outside.filter(explanation=None))
        .order_by()
        .values_list("state")
        .annotate(Count("pk"))
    )
    explained, closed = states.get(Finding.State.EXPLAINED, 0), states.get(Finding.State.CLOSED, 0)
    named = Explanation.objects.filter(pk__in=rules).order_by("pk")
    return Jobs(
        total=sum(by_origin.values()),
        here=by_origin.get(Origin.HERE, 0),
        older=by_origin.get(Origin.OLDER, 0),
        matching=by_origin.get(Origin.MATCHING, 0),
        by_rule=[ByRule(rule, rules[rule.pk]) for rule in named],
        # Those that nobody looked at yet have no explanation either.
        open=by_origin.get(Origin.OUTSIDE, 0) - sum(rules.values()) - explained - closed,
        explained=explained,
        closed=closed,
        gone=made.exclude(missing_since_at=None).count(),
        aged=made.filter(missing_since_at=None).exclude(aged_out_at=None).count(),
        unsure=_unsure(found, made),
    )


def _unsure(found: Statement, made: QuerySet[Job]) -> int:
    places = [row.pk for row in found.watched if row.absent_jobs]
    listed = made.filter(sandbox__in=places, missing_since_at=None, aged_out_at=None)
    return listed.filter(last_seen_at__lt=F("sandbox__swept_at")).count() if places else 0


def unreadable(found: Statement) -> QuerySet[BadRecord]:
    """Entries of the lists that could not be read as jobs. When they were made is not known, so these are all that the
    lists held at some moment of this time, as far as it was seen."""
    rows = BadRecord.objects.filter(sandbox__in=[row.pk for row in found.watched])
    return rows.filter(first_seen_at__lt=found.period.to_at, last_seen_at__gte=found.period.from_at)


def jobs_made(found: Statement) -> QuerySet[Job]:
    """The jobs that the statement counts."""
    return _made_in(found, found.watched)


def _made_in(found: Statement, sandboxes: Sequence[Sandbox]) -> QuerySet[Job]:
    return Job.objects.filter(
        sandbox__in=[row.pk for row in sandboxes],
        sort_at__gte=found.period.from_at,
        sort_at__lt=found.period.to_at,
    )


# -- the line on the audit page ----------------------------------------------------------------------------------------

LINE_DAYS = 7


@dataclass(frozen=True)
class Line:
    """The statement of the last days in one line; `open`: findings that nobody has explained."""

    statement: Statement
    open: int

    @property
    def read(self) -> list[Sandbox]:
        """Sandboxes whose list was read to its end in this time."""
        return [row for row in self.statement.watched if self._sweeps(row)]

    @property
    def begun(self) -> list[Sandbox]:
        """Only the newest pages were read."""
        readings = self.statement.readings
        return [row for row in self.statement.watched if row.pk in readings.read and not self._sweeps(row)]

    @property
    def unread(self) -> list[Sandbox]:
        """Watched, and nothing read."""
        return [row for row in self.statement.watched if row.pk not in self.statement.readings.read]

    def _sweeps(self, row: Sandbox) -> int:
        return self.statement.readings.counts.get(row.pk, (0, 0))[1]

    @property
    def told(self) -> list[Gap]:
        read = self.statement.readings.read
        return [gap for gap in self.statement.gaps if gap.sandbox.pk in read and gap.why != Unread.Why.UNWATCHED]

    @property
    def length(self) -> timedelta:
        return total(merged((gap.from_at, gap.to_at) for gap in self.told))

    @property
    def kind(self) -> str:
        """The kind of note that it is drawn as."""
        return "warn" if self.unread or self.begun or not self.read or any(gap.lasts for gap in self.told) else "soft"


def line(organizations: Sequence[Organization]) -> Line:
    """For the audit page: from seven days ago, midnight UTC, to now."""
    today = timezone.now().astimezone(UTC).date()
    told = statement(organizations, Period(today - timedelta(days=LINE_DAYS - 1), today), brief=True)
    rows = Finding.objects.filter(organization__in=list(organizations), state=Finding.State.OPEN)
    return Line(told, rows.count())
