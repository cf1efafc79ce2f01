"""Periodic reviews: opened with everything that is shown kept as it was then, and signed once."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.actions.refusals import NotDone
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, record
from segadmin.audit.chain import canonical, locked_head
from segadmin.models import Action, Organization, Review, SignOff
from segadmin.queries import reviews
from segadmin.queries.completeness import Period

LONGEST_NOTE = 2000
LONGEST_DAYS = 3 * 366


def digest_of(told: Mapping[str, Any]) -> str:
    """SHA-256 over what a review shows, in the canonical form of the record, lower-case hex."""
    text = canonical(json.loads(json.dumps(told)))
    return hashlib.sha256(text.encode()).hexdigest()


def open_review(*, actor: Actor, organization: Organization, first: date, last: date) -> Review:
    """Keep what is so now of these days (UTC, both included). Raises NotDone for days that are not over."""
    today = timezone.now().astimezone(UTC).date()
    if first > last:
        raise NotDone({"to": _("The last day is before the first one.")})
    if last >= today:
        raise NotDone({"to": _("Review a time that is over: the last day has to be before today, UTC.")})
    if (last - first).days > LONGEST_DAYS:
        raise NotDone({"from": _("Choose at most three years.")})
    told = storable(reviews.told_of(organization, Period(first, last)))
    digest, counts = digest_of(told), counts_of(told)
    with transaction.atomic():
        event = record(
            actor=actor,
            action=Action.REVIEW_OPENED,
            sentence=f"opened a review of {organization.name}, {told['period']['words']}: {_words(counts)}, "
            f"as of record {told['up_to']:,}",
            subject=Subject(organization=organization),
            details={
                "first": first.isoformat(),
                "last": last.isoformat(),
                "sha256": digest,
                "up_to": told["up_to"],
                "counts": counts,
            },
        )
        review = Review(
            organization=organization,
            first=first,
            last=last,
            opened_at=timezone.now(),
            opened_by=actor.name[:150],
            told=told,
            digest=digest,
            up_to=told["up_to"],
            seq=event.seq,
        )
        review.save()
    return review


def counts_of(told: Mapping[str, Any]) -> dict[str, int]:
    """The counts that go into the events."""
    findings, roles, statement = told["findings"], told["roles"], told["statement"]
    return {
        "exports": told["exports"]["total"],
        "jobs": statement["jobs"]["total"],
        "jobs_from_outside_without_explanation": statement["jobs"]["open"],
        "times_not_read": statement["gap_count"],
        "seconds_not_read": statement["unread_seconds"],
        "findings_open": findings["open"],
        "findings_explained_not_checked": findings["explained"],
        "explanations": told.get("explanation_count", len(told["explanations"])),
        "roles_given": roles["given"],
        "roles_taken": roles["taken"],
    }


def _words(counts: Mapping[str, int]) -> str:
    exports = "1 export" if counts["exports"] == 1 else f"{counts['exports']:,} exports"
    findings = "1 open finding" if counts["findings_open"] == 1 else f"{counts['findings_open']:,} open findings"
    return f"{exports}, {findings}"


def sign(*, actor: Actor, review: Review, verdict: str, note: str) -> SignOff:
    """Sign for having reviewed what the review shows. Once, and for good. Raises NotDone."""
    note = str(storable(note)).strip()[:LONGEST_NOTE]
    _check(review, verdict, note)
    counts = counts_of(review.told)
    label = str(SignOff.Verdict(verdict).label)
    with transaction.atomic():
        locked_head()  # so that of two signatures one comes first
        if SignOff.objects.filter(review=review).exists():
            raise NotDone(_("It was signed meanwhile. Look at it again."))
        event = record(
            actor=actor,
            action=Action.REVIEW_SIGNED,
            sentence=f"signed the review of {review.organization.name}, {review.told['period']['words']} "
            f"({_words(counts)}, as of record {review.up_to:,}) as {label}: {note}",
            subject=Subject(organization=review.organization),
            details={
                "review": review.pk,
                "opened_in_record": review.seq,
                "sha256": review.digest,
                "up_to": review.up_to,
                "verdict": verdict,
                "note": note,
                "counts": counts,
                "findings_open": _open(review.told["findings"]),
            },
        )
        signed = SignOff(
            review=review, verdict=verdict, note=note, by=actor.name[:150], at=timezone.now(), seq=event.seq
        )
        signed.save()
    return signed


def _open(findings: Mapping[str, Any]) -> list[int]:
    """The numbers of all findings that were open; reviews of an earlier version have only those that they list."""
    listed = [item["finding"] for item in findings["listed"] if item["state"] == "open"]
    return list(findings.get("open_numbers", listed))


def _check(review: Review, verdict: str, note: str) -> None:
    problems: dict[str, str] = {}
    has_open = review.told["findings"]["open"] > 0
    if verdict not in SignOff.Verdict.values:
        problems["verdict"] = _("Choose what you sign.")
    elif has_open and verdict == SignOff.Verdict.REVIEWED:
        problems["verdict"] = _("It has open findings: sign it as reviewed with open findings, or explain them first.")
    elif not has_open and verdict == SignOff.Verdict.OPEN:
        problems["verdict"] = _("It has no open findings: sign it as reviewed.")
    if not note:
        problems["note"] = _("Write what you looked at, and what came of it.")
    if digest_of(review.told) != review.digest:
        problems[""] = _("What this review shows was changed since it was opened. It can’t be signed.")
    if problems:
        raise NotDone(problems)
