"""Findings as pages list and tell them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from segadmin.models import Action, EventContent, Explanation, Finding, Job, Organization, Origin
from segadmin.queries.explanations import what_of

PAGE_SIZE = 50
MOST_GONE_SHOWN = 200
# What `outcome_mark` draws for each state.
KINDS: dict[str, str] = {Finding.State.OPEN: "warn", Finding.State.EXPLAINED: "cancelling", Finding.State.CLOSED: "ok"}
WHY: dict[str, Promise] = {
    Finding.Kind.OUTSIDE: _(
        "segadmin did not send it, and no standing explanation covers it. Adobe does not tell who did."
    ),
    Finding.Kind.LOST: _(
        "The request may have reached Adobe. If the job is listed later, it counts as one from outside until linked."
    ),
    Finding.Kind.SIZE: _(
        "More than twice or less than half, and more than 1,000 profiles apart. One person can have several profiles, "
        "and an audience may have been evaluated anew in between."
    ),
    Finding.Kind.CHANGED: _("Export jobs are not meant to change after they are made."),
    Finding.Kind.GONE: _(
        "It was listed before. Deleting a job at Adobe removes it from the list; the data that it wrote stays."
    ),
    Finding.Kind.MANY: _(
        "Usual is the middle of the last 20 counts of this person, or of these audiences. Rules of the organization say "
        "how far is far."
    ),
    Finding.Kind.HOUR: _("The organization’s rules name its working hours. Who works at other times may have reasons."),
    Finding.Kind.NEW_DATA: _(
        "Compared with every earlier export of the organization in the last 400 days that went to the same dataset, or "
        "to the recipient of the same name."
    ),
    Finding.Kind.FIRST: _("Compared with this person’s earlier exports in the organization in the last 400 days."),
    Finding.Kind.RESET: _(
        "Five or more jobs, or all of a sandbox, vanished between two readings. A reset sandbox loses its jobs and data."
    ),
}


@dataclass(frozen=True)
class Filters:
    """Empty lists do not narrow."""

    states: Sequence[str] = ()
    kinds: Sequence[str] = ()
    organizations: Sequence[Organization] = ()


@dataclass(frozen=True)
class Row:
    """One finding as the list shows it."""

    finding: Finding

    @property
    def kind(self) -> str:
        return KINDS.get(self.finding.state, "unknown")

    @property
    def word(self) -> str:
        return str(self.finding.get_state_display())


@dataclass(frozen=True)
class Page:
    rows: Sequence[Row]
    after: str = ""


@dataclass(frozen=True)
class Story:
    """One finding with what it is about and what was done with it."""

    finding: Finding
    why: Promise
    gone: Sequence[Job] = ()
    events: Sequence[EventContent] = ()
    may_stand: bool = False

    @property
    def row(self) -> Row:
        return Row(self.finding)


def _matching(organizations: Iterable[Organization], filters: Filters) -> QuerySet[Finding]:
    readable = {row.pk for row in organizations}
    chosen = {row.pk for row in filters.organizations} & readable if filters.organizations else readable
    rows = Finding.objects.filter(organization__in=chosen)
    if filters.states:
        rows = rows.filter(state__in=filters.states)
    return rows.filter(kind__in=filters.kinds) if filters.kinds else rows


def page(organizations: Iterable[Organization], filters: Filters, after: int | None = None) -> Page:
    """Newest first, by key: findings are written in the order in which they are found."""
    rows = _matching(organizations, filters).select_related("organization", "sandbox__organization", "job")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows.order_by("-pk")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    return Page([Row(row) for row in shown], str(shown[-1].pk) if len(found) > PAGE_SIZE else "")


def counts(organizations: Iterable[Organization]) -> dict[str, int]:
    """State -> number of findings."""
    rows = Finding.objects.filter(organization__in=list(organizations)).order_by()
    found = dict(rows.values_list("state").annotate(Count("pk")))
    return {state.value: found.get(state.value, 0) for state in Finding.State}


def story(finding: Finding) -> Story:
    job = finding.job
    is_outside = finding.kind == Finding.Kind.OUTSIDE and job is not None and job.origin == Origin.OUTSIDE
    return Story(
        finding,
        WHY[finding.kind],
        gone=list(finding.gone_jobs.select_related("sandbox__organization").order_by("-sort_at")[:MOST_GONE_SHOWN]),
        events=_events(finding),
        may_stand=is_outside and job is not None and what_of(job.raw) is not None,
    )


def _events(finding: Finding) -> list[EventContent]:
    """The records of this finding: opened, explained, sent back, closed."""
    actions = (Action.FINDING_OPENED, Action.FINDING_EXPLAINED, Action.FINDING_CLOSED, Action.EXPLANATION_SET)
    rows = EventContent.objects.filter(
        sandbox=finding.sandbox_id,
        action__in=actions,
        job_id=finding.job.job_id if finding.job else "",
        event__gte=finding.seq or 0,
    )
    if finding.request_uuid:
        rows = rows.filter(request_uuid=finding.request_uuid)
    mark = f'"finding":{finding.pk}'
    found = [row for row in rows.order_by("event_id")[:500] if _names(row.text, mark, finding)]
    return found[:100]


def _names(text: str, mark: str, finding: Finding) -> bool:
    """Whether the record's details name this finding, or set the explanation that explains it."""
    if f"{mark}," in text or f"{mark}}}" in text:
        return True
    return finding.explanation_id is not None and f'"explanation":{finding.explanation_id},' in text


def of_explanation(rule: Explanation) -> list[Row]:
    """Findings that the standing explanation explains, newest first."""
    rows = rule.findings.select_related("organization", "sandbox__organization", "job").order_by("-pk")
    return [Row(row) for row in rows[:PAGE_SIZE]]
