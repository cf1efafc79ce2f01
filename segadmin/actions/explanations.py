"""Standing explanations: jobs from outside that are known and wanted, such as Adobe's own daily schedule."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.actions import mirror
from segadmin.actions.refusals import NotDone
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Explanation, Finding, Origin
from segadmin.queries.explanations import allows, what_of

LONGEST = timedelta(days=366)
LONGEST_REASON = 1000


def set_explanation(
    *, actor: Actor, finding: Finding, owner: str, reason: str, valid_until_at: datetime
) -> Explanation:
    """Explain jobs like the finding's from now on: same dataset, same audiences and filter, no field more.

    Open findings about such jobs become explained, not checked. Raises NotDone.
    """
    job = finding.job
    what = what_of(job.raw) if job is not None else None
    if job is None or what is None or job.origin != Origin.OUTSIDE or finding.state != Finding.State.OPEN:
        raise NotDone(_("Only an open finding about a job from outside can be explained by a standing explanation."))
    now = timezone.now()
    rule = Explanation(
        organization=finding.organization,
        sandbox=finding.sandbox,
        dataset_id=what.dataset,
        fields=list(what.fields),
        shape=what.shape,
        owner=str(storable(owner)).strip()[:150],
        reason=str(storable(reason)).strip()[:LONGEST_REASON],
        valid_from_at=now,
        valid_until_at=valid_until_at,
        set_by=actor.name[:150],
        set_at=now,
    )
    _check(rule, now)
    with transaction.atomic():
        held = mirror.hold(finding.sandbox)
        rule.save(force_insert=True)
        explained = _explain_alike(rule)
        if finding.pk not in explained:
            raise NotDone(_("Somebody else changed this finding meanwhile. Look at it again."))
        record(
            actor=actor,
            action=Action.EXPLANATION_SET,
            sentence=f"set standing explanation {rule.pk} for jobs like {job.job_id} of {held}, owned by {rule.owner}, "
            f"until {valid_until_at:%Y-%m-%d}: {rule.reason}",
            subject=Subject(sandbox=held, job_id=job.job_id),
            details={**_told(rule), "findings_explained": explained},
        )
    return rule


def _check(rule: Explanation, now: datetime) -> None:
    problems = {}
    if not rule.owner:
        problems["owner"] = _("Write who answers for these jobs, a person or a team.")
    if not rule.reason:
        problems["reason"] = _("Write why these jobs exist, so that a second person can check it.")
    if not now < rule.valid_until_at <= now + LONGEST:
        problems["valid_until"] = _("Choose a day within the next 12 months. It can be set anew then.")
    if problems:
        raise NotDone(problems)


def _told(rule: Explanation) -> dict[str, Any]:
    return {
        "explanation": rule.pk,
        "dataset": rule.dataset_id,
        "fields": rule.fields or "all fields",
        "shape": rule.shape,
        "owner": rule.owner,
        "reason": rule.reason,
        "valid_from": rule.valid_from_at.isoformat(),
        "valid_until": rule.valid_until_at.isoformat(),
        "set_by": rule.set_by,
    }


def _explain_alike(rule: Explanation) -> list[int]:
    """Mark the open findings about jobs that the explanation describes; their primary keys."""
    rows = Finding.objects.filter(sandbox=rule.sandbox_id, kind=Finding.Kind.OUTSIDE, state=Finding.State.OPEN)
    alike = []
    for finding in rows.filter(job__dataset_id=rule.dataset_id).select_related("job").order_by("pk"):
        what = what_of(finding.job.raw) if finding.job else None
        if what is not None and what.shape == rule.shape and allows(rule.fields, what.fields):
            alike.append(finding.pk)
    Finding.objects.filter(pk__in=alike, state=Finding.State.OPEN).update(
        state=Finding.State.EXPLAINED, explained_by=rule.set_by, explained_at=rule.set_at, explanation=rule
    )
    return alike


def check(*, actor: Actor, explanation: Explanation) -> int:
    """A second person agrees; findings that were explained by it are closed. Returns how many. Raises NotDone."""
    if explanation.set_by == actor.name[:150]:
        raise NotDone(_("You set this explanation yourself. A second person has to check it."))
    now = timezone.now()
    with transaction.atomic():
        moved = Explanation.objects.filter(pk=explanation.pk, checked_at=None, ended_at=None).update(
            checked_by=actor.name[:150], checked_at=now
        )
        if not moved:
            raise NotDone(_("It was checked or ended meanwhile. Look at it again."))
        rows = Finding.objects.filter(explanation=explanation, state=Finding.State.EXPLAINED)
        rows = rows.exclude(explained_by=actor.name[:150])
        closed = list(rows.order_by("pk").values_list("pk", flat=True))
        rows.update(state=Finding.State.CLOSED, closed_by=actor.name[:150], closed_at=now)
        record(
            actor=actor,
            action=Action.FINDING_CLOSED,
            sentence=f"checked standing explanation {explanation.pk}, which {explanation.set_by} had set, "
            f"and closed {len(closed)} findings with it",
            subject=Subject(sandbox=explanation.sandbox),
            details={"explanation": explanation.pk, "findings_closed": closed, "set_by": explanation.set_by},
        )
    return len(closed)


def end(*, actor: Actor, explanation: Explanation, reason: str) -> None:
    """End it early: jobs made from now on are findings again. Raises NotDone."""
    reason = str(storable(reason)).strip()[:LONGEST_REASON]
    if not reason:
        raise NotDone({"reason": _("Write why it ends.")})
    now = timezone.now()
    with transaction.atomic():
        held = mirror.hold(explanation.sandbox)
        moved = Explanation.objects.filter(pk=explanation.pk, ended_at=None, valid_until_at__gt=now).update(
            ended_at=now
        )
        if not moved:
            raise NotDone(_("It had ended before."))
        record(
            actor=actor,
            action=Action.EXPLANATION_ENDED,
            sentence=f"ended standing explanation {explanation.pk} of {held}: {reason}",
            subject=Subject(sandbox=held),
            details={**_told(explanation), "why": reason},
        )
