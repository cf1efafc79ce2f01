"""The jobs list: one list over all sandboxes a person may see, newest first, paged by keyset; and what changed in it.

Requests that have no job yet are rows too, merged by time. The number of queries doesn't depend on the number of rows.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from segadmin.models import ExportRequest, Job, Name, RegisterEntry, RegisterTerm, Sandbox, State
from segadmin.queries import job_filters, job_rows, terms
from segadmin.queries.job_filters import Cursor, Filters
from segadmin.queries.job_rows import Row

PAGE_SIZE = 50
# A UNION of one branch per sandbox (and state) walks each branch by its index; beyond this many, states are tested row by row.
MOST_BRANCHES = 100
MOST_POLLED = 200
_TOKEN = re.compile(r"(r?[1-9][0-9]{0,17}):")


@dataclass(frozen=True)
class Scope:
    """What one address asks for: `visible` is what the person may see, `sandboxes` what the filters leave of it."""

    visible: list[Sandbox]
    sandboxes: list[Sandbox]
    filters: Filters

    @property
    def by_pk(self) -> dict[int, Sandbox]:
        return {sandbox.pk: sandbox for sandbox in self.sandboxes}


@dataclass(frozen=True)
class JobPage:
    """One page. `next_url` leads to older rows, empty at the end.

    `poll_url` asks what changed; `top` marks the newest row for it, None on later pages, where nothing new can come.
    """

    rows: list[Row]
    next_url: str
    poll_url: str
    top: str | None

    @property
    def is_live(self) -> bool:
        """Something on the page has not ended yet."""
        final = State.final()
        return any(row.state not in final for row in self.rows)


@dataclass(frozen=True)
class Changes:
    """What a poll found: rows to swap, ids of rows to take away, and how many new ones wait above the first."""

    rows: list[Row] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    new: int = 0
    new_changed: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows or self.removed) or self.new_changed


def scope(params: QueryDict, visible: Sequence[Sandbox]) -> Scope:
    filters = job_filters.read(params, visible)
    return Scope(list(visible), job_filters.in_place(filters, visible), filters)


def page(asked: Scope, size: int = PAGE_SIZE) -> JobPage:
    """The page at the cursor of the address."""
    filters = asked.filters
    pending = {job_rows.request_cursor(row): row for row in matching_requests(asked)}
    found = _cursors(asked, pending, filters.after, size + 1)
    shown = found[:size]
    requests = [pending[cursor] for cursor in shown if cursor.rank]
    jobs = job_rows.load_jobs([cursor.pk for cursor in shown if not cursor.rank], asked.by_pk)
    rows = job_rows.build(jobs, requests, job_rows.latest_attempts(requests))
    next_url = filters.url(("after", str(shown[-1]))) if len(found) > size else ""
    here = [("after", str(filters.after))] if filters.after else []
    top = None if filters.after else str(shown[0]) if shown else ""
    return JobPage(rows, next_url, filters.url(*here, ("poll", "")), top)


def changes(asked: Scope, params: QueryDict) -> Changes:
    """What differs from the rows that the page says it shows (`poll`: key:version, `top`: its newest row)."""
    tokens = _tokens(params.getlist("poll"))
    sandboxes = {sandbox.pk: sandbox for sandbox in asked.visible}
    pending = job_rows.load_pending(sandboxes)
    requests, replaced, gone = _changed_requests(tokens, pending, sandboxes)
    # A job that stands on the page already makes the row of its request superfluous.
    removed = [f"row-{replaced.pop(pk)}" for pk in list(replaced) if str(pk) in tokens]
    stale = _stale_jobs(tokens, sandboxes)
    loaded = job_rows.load_jobs([*stale, *replaced], sandboxes) if stale or replaced else []
    attempts = job_rows.latest_attempts([*requests, *gone]) if requests or gone else {}
    rows = job_rows.build(loaded, [*requests, *gone], attempts, replaced) if loaded or requests or gone else []
    told = params.get("new", "")
    new = _count_new(asked, params, tokens, replaced)
    return Changes(rows, removed, new, "top" in params and str(new) != (told or "0"))


def total(asked: Scope) -> int:
    """How many jobs there are in these sandboxes without any other filter."""
    return Job.objects.filter(sandbox_id__in=asked.by_pk).count()


def matching_requests(asked: Scope) -> list[ExportRequest]:
    """Requests without a job that the filters leave, tested here since they are few."""
    filters = asked.filters
    if filters.nothing or filters.empty == "1" or filters.missing == "1":
        return []
    if filters.origins and "here" not in filters.origins:
        return []
    return [row for row in job_rows.load_pending(asked.by_pk) if _request_matches(row, filters)]


def _request_matches(row: ExportRequest, filters: Filters) -> bool:
    state = State.WAITING if row.state == "sending" else State.UNKNOWN
    if filters.states and state not in filters.states:
        return False
    if filters.persons and row.author_name not in filters.persons:
        return False
    if filters.since_at and job_rows.request_cursor(row).at < filters.since_at:
        return False
    kept = row.names
    chosen = [str(item.get("name") or "") for item in [*kept.get("audiences", []), kept.get("dataset") or {}]]
    texts = [
        str(row.uuid),
        row.author_name,
        row.ticket,
        row.recipient,
        row.purpose,
        job_rows.body_dataset(row.body),
        *job_rows.body_audiences(row.body),
        *chosen,
    ]
    haystack = terms.fold("\n".join(texts))
    return all(word in haystack for word in filters.words)


def _condition(asked: Scope) -> Q:
    """Everything but sandbox, state and place in the list."""
    filters = asked.filters
    found = Q()
    if filters.origins:
        found &= Q(origin__in=filters.origins)
    if filters.persons:
        found &= Q(person__in=filters.persons)
    if filters.since_at:
        found &= Q(sort_at__gte=filters.since_at)
    if filters.empty:
        empty = Q(state=State.SUCCEEDED, profiles=0)
        # Not `~empty`: it would also leave out the rows whose number is NULL.
        not_empty = ~Q(state=State.SUCCEEDED) | Q(profiles=None) | Q(profiles__gt=0)
        found &= empty if filters.empty == "1" else not_empty
    if filters.missing:
        found &= Q(missing_since_at__isnull=filters.missing == "0")
    return found


@dataclass(frozen=True)
class Sought:
    """What the text of the search leaves: jobs as a condition. `is_few`: the database finds them by it alone."""

    condition: Q
    is_few: bool


def _search(asked: Scope) -> Sought | None:
    """Words of the jobs' rows in the register, ids among them, or a name that became known later."""
    text = asked.filters.q
    if not text:
        return None
    found = terms.both([terms.text(word) for word in asked.filters.words])
    named = Name.objects.filter(sandbox_id__in=asked.by_pk, kind__in=["audience", "dataset"], name__icontains=text)
    keys = [
        terms.audience_key(external_id) if kind == "audience" else terms.key_of(terms.Kind.DATASET, external_id)
        for kind, external_id in named.order_by("pk").values_list("kind", "external_id")[:20]
    ]
    if keys:
        found = terms.either([found, terms.having(keys)])
    if found.pks is not None:
        rows = RegisterEntry.objects.filter(found.condition, pk__in=sorted(found.pks)).order_by()
        jobs = rows.values_list("job", flat=True)
        return Sought(Q(pk__in=[pk for pk in jobs if pk]), True)
    asks = Q(Exists(RegisterEntry.objects.filter(found.condition, job=OuterRef("pk"))))
    few = [keys for keys in found.drivers if terms.how_many(keys) < terms.MOST_COMPARED]
    if not few:
        return Sought(asks, False)
    listed = RegisterTerm.objects.filter(key__in=few[0]).order_by().values("entry__job")
    return Sought(asks & Q(pk__in=listed), True)


def _before(after: Cursor | None) -> Q:
    """Jobs further down the list than the cursor."""
    if after is None:
        return Q()
    if after.rank:  # a request stands before the jobs of its own instant
        return Q(sort_at__lte=after.at)
    # The first condition says nothing new, but lets the database begin at the right place of the index.
    return Q(sort_at__lte=after.at) & (Q(sort_at__lt=after.at) | Q(pk__lt=after.pk))


def _cursors(asked: Scope, pending: Iterable[Cursor], after: Cursor | None, limit: int) -> list[Cursor]:
    """The places of the next rows, newest first."""
    waiting = [cursor for cursor in pending if after is None or cursor < after]
    if asked.filters.nothing or not asked.sandboxes:
        return []
    sought, condition = _search(asked), _condition(asked) & _before(after)
    if sought is not None and sought.is_few:
        jobs = _few(asked, condition & sought.condition)
    else:
        rows = _branches(asked, condition & sought.condition if sought else condition, limit)
        jobs = [Cursor(at, 0, pk) for at, pk in rows.order_by("-sort_at", "-id")[:limit]]
    return sorted([*waiting, *jobs], reverse=True)[:limit]


def _few(asked: Scope, condition: Q) -> list[Cursor]:
    """Places of jobs that are found by their keys. Sandboxes are compared here, so that no index of theirs seems better."""
    rows = Job.objects.filter(condition).order_by().values_list("sort_at", "pk", "sandbox_id", "state")
    places, states = asked.by_pk, set(asked.filters.states)
    return [
        Cursor(at, 0, pk) for at, pk, sandbox, state in rows if sandbox in places and (not states or state in states)
    ]


def _branches(asked: Scope, condition: Q, limit: int) -> "QuerySet[Job, tuple[datetime, int]]":
    """(sort_at, pk) of matching jobs, as one UNION ALL of a branch per sandbox and state: each is in index order.

    SQLite merges the branches row by row and stops early; PostgreSQL has to be told for each how many rows it may give.
    """
    base = Job.objects.filter(condition).order_by()
    states = asked.filters.states
    if states and len(states) * len(asked.sandboxes) <= MOST_BRANCHES:
        parts = [base.filter(sandbox=sandbox, state=state) for sandbox in asked.sandboxes for state in states]
    else:
        if states:
            base = base.filter(state__in=states)
        if len(asked.sandboxes) > MOST_BRANCHES:
            parts = [base.filter(sandbox_id__in=asked.by_pk)]
        else:
            parts = [base.filter(sandbox=sandbox) for sandbox in asked.sandboxes]
    columns = [part.values_list("sort_at", "id") for part in parts]
    if len(columns) > 1 and connection.features.supports_slicing_ordering_in_compound:
        columns = [part.order_by("-sort_at", "-id")[:limit] for part in columns]
    first, *rest = columns
    return first.union(*rest, all=True) if rest else first


def _tokens(given: Sequence[str]) -> dict[str, str]:
    """Row key -> token, of what the page says it shows."""
    tokens = [token for value in given for token in value[:8000].split(",")][:MOST_POLLED]
    return {found[1]: token for token in tokens if (found := _TOKEN.match(token))}


def _numbers(keys: Iterable[str]) -> list[int]:
    return [int(key) for key in keys if key.isdigit()]


def _stale_jobs(tokens: dict[str, str], sandboxes: dict[int, Sandbox]) -> list[int]:
    pks = _numbers(tokens)
    if not pks:
        return []
    rows = Job.objects.filter(pk__in=pks, sandbox_id__in=sandboxes).order_by("pk").values_list("pk", "version")
    return [pk for pk, version in rows if tokens[str(pk)] != f"{pk}:{version}"]


def _changed_requests(
    tokens: dict[str, str], pending: list[ExportRequest], sandboxes: dict[int, Sandbox]
) -> tuple[list[ExportRequest], dict[int, str], list[ExportRequest]]:
    """Pending requests that changed; job pk -> key of the request it came from; requests that ended without a job."""
    shown = [row for row in pending if f"r{row.pk}" in tokens]
    attempts = job_rows.latest_attempts(shown)
    changed = [row for row in shown if tokens[f"r{row.pk}"] != job_rows.request_token(row, attempts.get(row.pk))]
    settled = set(_numbers(key[1:] for key in tokens if key.startswith("r"))) - {row.pk for row in shown}
    if not settled:
        return changed, {}, []
    replaced: dict[int, str] = {}
    gone: list[ExportRequest] = []
    for row in ExportRequest.objects.filter(pk__in=settled, sandbox_id__in=sandboxes).select_related("job"):
        row.sandbox = sandboxes[row.sandbox_id]
        job = getattr(row, "job", None)
        if job is not None:
            replaced[job.pk] = f"r{row.pk}"
        elif tokens[f"r{row.pk}"] != job_rows.request_token(row, job_rows.latest_attempts([row]).get(row.pk)):
            gone.append(row)
    return changed, replaced, gone


def _count_new(asked: Scope, params: QueryDict, tokens: dict[str, str], replaced: dict[int, str]) -> int:
    """Rows above the page's first one; one more than a page means "more than a page"."""
    if "top" not in params:
        return 0
    top = Cursor.parse(params.get("top", ""))
    shown = {*tokens, *(str(pk) for pk in replaced)}
    pending = [job_rows.request_cursor(row) for row in matching_requests(asked)]
    found = _cursors(asked, pending, None, PAGE_SIZE + 1)
    newer = [cursor for cursor in found if top is None or cursor > top]
    return sum(f"{'r' if cursor.rank else ''}{cursor.pk}" not in shown for cursor in newer)


def by_path(path: str) -> Job | None:
    """The job named as "org/sandbox/id", blanks around the slashes allowed; None where there is none."""
    slug, _, rest = (part.strip() for part in path.partition("/"))
    sandbox, _, job_id = (part.strip() for part in rest.partition("/"))
    rows = Job.objects.select_related("sandbox__organization", "export_request")
    return rows.filter(sandbox__organization__slug=slug, sandbox__name=sandbox, job_id=job_id).first()
