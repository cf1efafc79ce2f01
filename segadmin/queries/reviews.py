"""Periodic reviews: what one shows, kept as plain JSON as of its moment; and which quarters have none yet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import Count, Min, Q
from django.utils import timezone

from segadmin.models import (
    Action,
    EventContent,
    Explanation,
    ExportOutcome,
    Finding,
    Organization,
    RegisterEntry,
    Review,
    Sandbox,
    SignOff,
    Verification,
)
from segadmin.queries import completeness, files
from segadmin.queries.completeness import Gap, Period, Statement

LISTED, PAGE_SIZE = 200, 50
# A review lists so many of each kind one by one; counts are always whole, and all open findings are named by number.
QUARTERS_SHOWN = 8
INSTANTS = frozenset({"as_of", "at", "found_at", "from", "to", "until"})


# -- what a review tells -----------------------------------------------------------------------------------------------


def told_of(organization: Organization, period: Period) -> dict[str, Any]:
    """Everything that the review's page shows, as JSON: what is so now. About twenty queries."""
    up_to = files.head()
    now = timezone.now()
    return {
        "organization": {"slug": organization.slug, "name": organization.name},
        "period": {"first": period.first.isoformat(), "last": period.last.isoformat(), "words": str(period)},
        "as_of": now.isoformat(),
        "up_to": up_to,
        "statement": _statement(completeness.statement([organization], period)),
        "exports": _exports(organization, period),
        "findings": _findings(organization, period),
        **_explanations(organization, period),
        "roles": _roles(organization, period),
        "verification": _verification(),
    }


def _statement(told: Statement) -> dict[str, Any]:
    jobs, readings = told.jobs, told.readings
    names = ("total", "here", "older", "matching", "open", "explained", "closed", "gone", "aged", "unsure")
    rules = [
        {
            "explanation": item.rule.pk,
            "owner": item.rule.owner,
            "set_by": item.rule.set_by,
            "checked_by": item.rule.checked_by,
            "jobs": item.count,
        }
        for item in jobs.by_rule
    ]
    within = [{"place": str(row), "at": _iso(row.connected_at)} for row in told.connected_within]
    return {
        "watched": [str(row) for row in told.watched],
        "unwatched": [str(row) for row in told.unwatched],
        "connected_within": within,
        "readings": readings.reads,
        "to_the_end": readings.sweeps,
        "summaries_recorded": readings.recorded,
        "summaries_differing": readings.differing,
        "summaries_expired": readings.expired,
        "jobs_missing": told.missing_rows,
        "jobs": {name: getattr(jobs, name) for name in names},
        "by_rule": rules,
        "jobs_made_where_not_watched": told.later,
        "entries_not_readable": told.unreadable,
        "gaps": [_gap(gap) for gap in told.gaps[:LISTED]],
        "gap_count": len(told.gaps),
        "unread_seconds": round(told.unread_length.total_seconds()),
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "place": str(gap.sandbox),
        "why": gap.why,
        "from": _iso(gap.from_at),
        "to": _iso(gap.to_at),
        "seconds": round(gap.length.total_seconds()),
        "record": gap.seq,
    }


def _iso(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat() if moment else ""


def _exports(organization: Organization, period: Period) -> dict[str, Any]:
    rows = RegisterEntry.objects.filter(
        organization=organization, sort_at__gte=period.from_at, sort_at__lt=period.to_at
    ).exclude(outcome=ExportOutcome.MERGED)
    outcomes = dict(rows.order_by().values_list("outcome").annotate(Count("pk")))
    left = dict(rows.order_by().values_list("data_left").annotate(Count("pk")))
    in_order = {outcome.value: outcomes[outcome] for outcome in ExportOutcome if outcome in outcomes}
    return {"total": sum(outcomes.values()), "by_outcome": in_order, "by_data_left": left}


def _findings(organization: Organization, period: Period) -> dict[str, Any]:
    """Those found up to the end of the period and not closed yet; and how many were found and closed within it."""
    rows = Finding.objects.filter(organization=organization)
    waiting = rows.filter(found_at__lt=period.to_at).exclude(state=Finding.State.CLOSED)
    states = dict(waiting.order_by().values_list("state").annotate(Count("pk")))
    listed = waiting.select_related("sandbox__organization").order_by("-pk")[:LISTED]
    return {
        "open": states.get(Finding.State.OPEN, 0),
        "explained": states.get(Finding.State.EXPLAINED, 0),
        "found_within": rows.filter(found_at__gte=period.from_at, found_at__lt=period.to_at).count(),
        "closed_within": rows.filter(closed_at__gte=period.from_at, closed_at__lt=period.to_at).count(),
        "found_since": rows.filter(found_at__gte=period.to_at).exclude(state=Finding.State.CLOSED).count(),
        "open_numbers": list(waiting.filter(state=Finding.State.OPEN).order_by("-pk").values_list("pk", flat=True)),
        "listed": [
            {
                "finding": row.pk,
                "kind": str(row.get_kind_display()),
                "state": row.state,
                "place": str(row.sandbox),
                "sentence": row.sentence,
                "found_at": _iso(row.found_at),
                "explained_by": row.explained_by,
            }
            for row in listed
        ],
    }


def _explanations(organization: Organization, period: Period) -> dict[str, Any]:
    rows = Explanation.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=period.from_at),
        organization=organization,
        valid_from_at__lt=period.to_at,
        valid_until_at__gt=period.from_at,
    )
    listed = [
        {
            "explanation": row.pk,
            "place": str(row.sandbox),
            "owner": row.owner,
            "reason": row.reason,
            "set_by": row.set_by,
            "checked_by": row.checked_by,
            "from": _iso(row.valid_from_at),
            "until": _iso(min(row.valid_until_at, row.ended_at or row.valid_until_at)),
        }
        for row in rows.select_related("sandbox__organization").order_by("pk")[:LISTED]
    ]
    return {"explanations": listed, "explanation_count": rows.count()}


def _roles(organization: Organization, period: Period) -> dict[str, Any]:
    """Roles given and taken in the org, or in the whole installation and so there too. By the record, as far as kept."""
    rows = EventContent.objects.filter(
        Q(organization=organization) | Q(organization=None),
        action__in=(Action.ROLE_GIVE, Action.ROLE_TAKE),
        at__gte=period.from_at,
        at__lt=period.to_at,
    )
    counts = dict(rows.order_by().values_list("action").annotate(Count("pk")))
    return {
        "given": counts.get(Action.ROLE_GIVE, 0),
        "taken": counts.get(Action.ROLE_TAKE, 0),
        "listed": [
            {
                "record": row.event_id,
                "at": _iso(row.at),
                "by": row.actor_name,
                "sentence": row.sentence,
                "whole": row.organization_id is None,
            }
            for row in rows.order_by("event_id")[:LISTED]
        ],
    }


def _verification() -> dict[str, Any]:
    """The last whole check of the record; empty where there was none."""
    row = Verification.objects.filter(first__lte=1).order_by("-at", "-pk").first()
    if row is None:
        return {}
    return {
        "at": _iso(row.at),
        "by": row.by,
        "ok": row.ok,
        "first": row.first,
        "last": row.last,
        "full": row.full,
        "checkpoints": row.checkpoints,
        "checkpoints_from_outside": row.outside,
    }


def shown(told: dict[str, Any]) -> dict[str, Any]:
    """The same with instants as such, and with outcomes in words."""
    found: dict[str, Any] = _with_instants(told)
    found["exports"]["words"] = [
        (str(ExportOutcome(name).label) if name in ExportOutcome.values else name, name, count)
        for name, count in told["exports"]["by_outcome"].items()
    ]
    return found


def _with_instants(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _with_instants(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_instants(item) for item in value]
    return moment(value) if name in INSTANTS else value


def moment(text: object) -> datetime | None:
    """An instant as a review keeps it."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


# -- pages -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """One review as pages show it."""

    review: Review
    sign_off: SignOff | None

    @property
    def period(self) -> Period:
        return Period(self.review.first, self.review.last)

    @property
    def open(self) -> int:
        return int(self.review.told["findings"]["open"])

    @property
    def waiting(self) -> int:
        """Findings not closed: open ones, and explained ones that nobody checked."""
        return self.open + int(self.review.told["findings"]["explained"])

    @property
    def unlisted(self) -> dict[str, int]:
        """How many of each kind the review counts and does not list one by one."""
        told = self.review.told
        roles, rules = told["roles"], told["explanations"]
        return {
            "findings": max(0, self.waiting - len(told["findings"]["listed"])),
            "explanations": max(0, int(told.get("explanation_count", 0)) - len(rules)),
            "roles": max(0, int(roles["given"]) + int(roles["taken"]) - len(roles["listed"])),
            "gaps": max(0, int(told["statement"]["gap_count"]) - len(told["statement"]["gaps"])),
        }

    @property
    def word(self) -> str:
        return str(self.sign_off.get_verdict_display()) if self.sign_off else "not signed"

    @property
    def kind(self) -> str:
        """As `outcome_mark` draws it."""
        if self.sign_off is None:
            return "warn"
        return "ok" if self.sign_off.verdict == SignOff.Verdict.REVIEWED else "cancelling"


def kept(review: Review) -> Kept:
    return Kept(review, SignOff.objects.filter(review=review).first())


def _all_kept(reviews: Sequence[Review]) -> list[Kept]:
    signed = {row.review_id: row for row in SignOff.objects.filter(review__in=reviews)}
    return [Kept(row, signed.get(row.pk)) for row in reviews]


@dataclass(frozen=True)
class Page:
    rows: Sequence[Kept]
    after: str = ""


def page(organizations: Iterable[Organization], after: int | None = None) -> Page:
    """The newest first."""
    rows = Review.objects.filter(organization__in=list(organizations)).select_related("organization")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows.order_by("-pk")[: PAGE_SIZE + 1])
    more = str(found[PAGE_SIZE - 1].pk) if len(found) > PAGE_SIZE else ""
    return Page(_all_kept(found[:PAGE_SIZE]), more)


def others(review: Review) -> list[Kept]:
    """Other reviews of the org that speak of days of this one, newest first."""
    rows = Review.objects.filter(
        organization=review.organization_id, first__lte=review.last, last__gte=review.first
    ).exclude(pk=review.pk)
    return _all_kept(list(rows.select_related("organization").order_by("-pk")[:20]))


@dataclass
class Quarter:
    """One quarter of one org since its connection, with the newest review that covers all of it."""

    organization: Organization
    period: Period
    kept: Kept | None = None

    @property
    def is_done(self) -> bool:
        return self.kept is not None and self.kept.sign_off is not None


def quarters(organizations: Iterable[Organization], today: date | None = None) -> list[Quarter]:
    """The last full quarters of each org that was watched in them, the newest first."""
    chosen = list(organizations)
    today = today or timezone.now().astimezone(UTC).date()
    since = dict(
        Sandbox.objects.filter(organization__in=chosen)
        .exclude(connected_at=None)
        .order_by()
        .values_list("organization")
        .annotate(Min("connected_at"))
    )
    reviews = _all_kept(
        list(Review.objects.filter(organization__in=chosen).select_related("organization").order_by("pk"))
    )
    found = []
    for organization in chosen:
        if organization.pk in since:
            mine = [item for item in reviews if item.review.organization_id == organization.pk]
            found += [_quarter(organization, period, mine) for period in _full_quarters(since[organization.pk], today)]
    return found


def _full_quarters(since: datetime, today: date) -> list[Period]:
    found: list[Period] = []
    while len(found) < QUARTERS_SHOWN:
        period = completeness.last_quarter(today)
        if period.to_at <= since:
            break
        found.append(period)
        today = period.first
    return found


def _quarter(organization: Organization, period: Period, mine: Sequence[Kept]) -> Quarter:
    """A signed review counts before an unsigned one; only such count as were opened after the quarter's end."""
    whole = [item for item in mine if item.period.first <= period.first and item.period.last >= period.last]
    whole.sort(key=lambda item: (item.sign_off is not None, item.review.pk))
    return Quarter(organization, period, whole[-1] if whole else None)


def digest_on_record(review: Review) -> str:
    """The digest that the record keeps of it; empty where its content has expired."""
    row = EventContent.objects.filter(event=review.seq, action=Action.REVIEW_OPENED).first()
    if row is None:
        return ""
    return review.digest if f'"sha256":"{review.digest}"' in row.text else "differs"
