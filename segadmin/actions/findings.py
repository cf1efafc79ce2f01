"""Findings: what nobody here can explain. Opened by the search after each reading, explained and closed by people.

Whoever explained a finding can't close it: that takes a second person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.actions import mirror
from segadmin.actions.judging import Judgement, judge
from segadmin.actions.refusals import NotDone
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, record
from segadmin.models import (
    Action,
    Attempt,
    Explanation,
    Finding,
    Job,
    Origin,
    RegisterEntry,
    Sandbox,
    Settlement,
)
from segadmin.queries import unusual

CHUNK = 100
# So many jobs gone in one sweep, or all that were listed, are one finding.
MANY = 5
MOST_GONE_AT_ONCE = 500
LONGEST_NOTE = 1000
# Gone after a cancel that was asked for here: that is what became of the cancel.
OWN_CANCEL = ("asked", "acknowledged", "unknown", "late")


@dataclass
class New:
    """A finding about to be opened; `gone`: the jobs that it says are gone."""

    finding: Finding
    details: Mapping[str, Any] = field(default_factory=dict)
    gone: Sequence[Job] = ()


def look(sandbox: Sandbox) -> int:
    """Search what changed since the last search; returns how many findings were opened. Safe to repeat."""
    opened = _gone(sandbox) + _lost(sandbox)
    while True:
        found, seen = _judge_some(sandbox)
        opened += found
        if seen < CHUNK:
            return opened


def _open(held: Sandbox, new: Sequence[New]) -> int:
    """Store the findings, then their events, which come last in a transaction."""
    now = timezone.now()
    for item in new:
        item.finding.sandbox, item.finding.organization = held, held.organization
        item.finding.found_at = item.finding.found_at or now
        item.finding.save()
        if item.gone:
            Job.objects.filter(pk__in=[job.pk for job in item.gone]).update(gone_finding=item.finding)
    for item in new:
        details = {"finding": item.finding.pk, "kind": item.finding.kind, **item.details}
        _event(Actor.system(), Action.FINDING_OPENED, item.finding, f"found: {item.finding.sentence}", details)
    return len(new)


def _event(
    actor: Actor, action: Action, finding: Finding, sentence: str, details: Mapping[str, Any] | None = None
) -> None:
    event = record(
        actor=actor,
        action=action,
        sentence=sentence,
        subject=Subject(
            sandbox=finding.sandbox,
            job_id=finding.job.job_id if finding.job else "",
            request_uuid=finding.request_uuid,
        ),
        details={"finding": finding.pk, **(details or {})},
    )
    if action == Action.FINDING_OPENED:
        Finding.objects.filter(pk=finding.pk).update(seq=event.seq)


# -- what is gone ------------------------------------------------------------------------------------------------------


def _gone(sandbox: Sandbox) -> int:
    """Jobs that Adobe no longer lists: each a finding, or one for many at once. Older ones alone are history."""
    with transaction.atomic():
        held = mirror.hold(sandbox)
        rows = Job.objects.filter(sandbox=held, judged=False, gone_finding=None).exclude(missing_since_at=None)
        rows = rows.exclude(cancel_result__in=OWN_CANCEL).select_related("export_request")
        gone = list(rows.select_for_update(of=("self",)).order_by("pk")[:MOST_GONE_AT_ONCE])
        fresh = [job for job in gone if job.origin != Origin.OLDER]
        listed = Job.objects.filter(sandbox=held, missing_since_at=None, aged_out_at=None)
        if len(fresh) >= MANY or (len(gone) > 1 and not listed.exists()):
            return _open(held, [_reset(held, gone)])
        return _open(held, [_one_gone(job) for job in fresh])


def _one_gone(job: Job) -> New:
    assert job.missing_since_at is not None
    finding = Finding(
        kind=Finding.Kind.GONE,
        job=job,
        key=f"{job.job_id[:150]} {job.missing_since_at.isoformat()}",
        sentence=_("Adobe no longer lists %(job)s, %(title)s, which was last seen as “%(status)s”.")
        % {"job": job.job_id, "title": mirror.audience_title(job), "status": job.status or job.get_state_display()},
    )
    return New(finding, {"last_seen": job.last_seen_at.isoformat(), "status": job.status}, [job])


def _reset(held: Sandbox, gone: Sequence[Job]) -> New:
    """One finding for all of them; what is found gone while it is still open is added to it."""
    finding = Finding.objects.filter(sandbox=held, kind=Finding.Kind.RESET, state=Finding.State.OPEN).first()
    before = finding.gone_jobs.count() if finding is not None else 0
    if finding is None:
        finding = Finding(kind=Finding.Kind.RESET, key=timezone.now().isoformat())
    finding.sentence = _("%(count)s jobs of %(place)s are gone from Adobe's list at once. Was the sandbox reset?") % {
        "count": f"{before + len(gone):,}",
        "place": held,
    }
    return New(finding, {"gone_now": [job.job_id for job in gone], "gone_together": before + len(gone)}, gone)


# -- answers that were lost --------------------------------------------------------------------------------------------


def _lost(sandbox: Sandbox) -> int:
    """Creates whose answer was lost and that were not found again, or that wait for a person."""
    now = timezone.now()
    waiting = Q(settlement__in=[Settlement.PERSON, Settlement.RELEASED])
    overdue = Q(settlement=Settlement.LOOKING, look_until_at__lt=now)
    asked = Attempt.objects.filter(waiting | overdue, sandbox=sandbox, kind=Attempt.Kind.CREATE)
    known = dict(Finding.objects.filter(sandbox=sandbox, kind=Finding.Kind.LOST).values_list("key", "state"))
    fresh = [row.uuid for row in asked.order_by("pk") if str(row.uuid) not in known]
    unsettled = [key for key, state in known.items() if state != Finding.State.CLOSED]
    found = Attempt.objects.filter(uuid__in=unsettled, settlement=Settlement.ADOPTED).values_list("uuid", flat=True)
    found_again = [str(item) for item in found.order_by("pk")]
    if not fresh and not found_again:
        return 0
    with transaction.atomic():
        held = mirror.hold(sandbox)
        keys = {str(item) for item in fresh}
        there = Finding.objects.filter(sandbox=held, kind=Finding.Kind.LOST, key__in=keys).values_list("key", flat=True)
        wanted = [item for item in fresh if str(item) not in set(there)]
        rows = Attempt.objects.filter(uuid__in=wanted).select_related("export_request").order_by("pk")
        opened = _open(held, [_one_lost(row) for row in rows])
        settled = Finding.objects.filter(sandbox=held, kind=Finding.Kind.LOST, key__in=found_again)
        _close_by_itself(settled, _("The job was found, and is linked to its request."))
    return opened


def _one_lost(row: Attempt) -> New:
    wish = row.export_request
    ends = {
        Settlement.PERSON: _("Several jobs may be it; a person has to say which."),
        Settlement.RELEASED: _("No such job was found in Adobe's list, so it was given up."),
    }
    finding = Finding(
        kind=Finding.Kind.LOST,
        key=str(row.uuid),
        request_uuid=wish.uuid if wish else None,
        sentence=_("Adobe's answer to the export that %(name)s asked for was lost. %(end)s")
        % {
            "name": wish.author_name if wish else row.actor.get("name", ""),
            "end": ends.get(Settlement(row.settlement), _("It is not settled yet.")),
        },
    )
    return New(finding, {"attempt": str(row.uuid), "asked_in_record": row.opened_seq, "settlement": row.settlement})


def _close_by_itself(findings: Any, note: str) -> None:
    """Findings that an answer of Adobe's has settled."""
    now = timezone.now()
    rows = list(findings.exclude(state=Finding.State.CLOSED).select_related("sandbox__organization", "job"))
    closed = []
    for row in rows:
        moved = Finding.objects.filter(pk=row.pk, state=row.state).update(
            state=Finding.State.CLOSED, closed_by=Actor.system().name, closed_at=now, note=_joined(row.note, note)
        )
        closed += [row] if moved else []
    for row in closed:
        _event(Actor.system(), Action.FINDING_CLOSED, row, f"closed finding {row.pk}: {note}", {"note": note})


# -- what jobs say -----------------------------------------------------------------------------------------------------


def _judge_some(sandbox: Sandbox) -> tuple[int, int]:
    """Look at some jobs that changed. Returns how many findings were opened and how many jobs were looked at."""
    with transaction.atomic():
        held = mirror.hold(sandbox)
        rows = Job.objects.filter(sandbox=held, judged=False).exclude(origin=Origin.MATCHING)
        jobs = list(rows.select_related("export_request").select_for_update(of=("self",)).order_by("pk")[:CHUNK])
        if not jobs:
            return 0, 0
        rules = list(Explanation.objects.filter(sandbox=held).order_by("pk"))
        there = Finding.objects.filter(job__in=jobs).exclude(kind=Finding.Kind.GONE)
        known = {(row.kind, row.key): row for row in there.order_by("pk")}
        entries = {row.job_id: row for row in RegisterEntry.objects.filter(job__in=jobs).order_by("pk")}
        in_force = unusual.rules(held.organization)
        new: list[New] = []
        ours: list[int] = []
        for job in jobs:
            told: Judgement = judge(job, rules)
            job.judged, job.judged_as, job.explanation = True, told.judged_as, told.explanation
            new += [New(item, told.details) for item in told.findings if (item.kind, item.key) not in known]
            odd = unusual.look(job, entries.get(job.pk), in_force)
            found = [New(unusual.finding_of(job, one), one.details) for one in odd]
            new += [item for item in found if (item.finding.kind, item.finding.key) not in known]
            outside = known.get((Finding.Kind.OUTSIDE, job.job_id))
            ours += [outside.pk] if outside and job.origin == Origin.HERE else []
        Job.objects.bulk_update(jobs, ["judged", "judged_as", "explanation"])
        opened = _open(held, new)
        if ours:
            note = _("It was sent from here after all: the answer had been lost, and the job was found.")
            _close_by_itself(Finding.objects.filter(pk__in=ours), note)
    return opened, len(jobs)


# -- what people do ----------------------------------------------------------------------------------------------------


def _joined(before: str, more: str) -> str:
    return "\n".join(part for part in (before, more) if part)


def _text(note: str, missing: str) -> str:
    cleaned = str(storable(note)).strip()[:LONGEST_NOTE]
    if not cleaned:
        raise NotDone({"note": missing})
    return cleaned


def _late() -> NotDone:
    return NotDone(_("Somebody else changed this finding meanwhile. Look at it again."))


def explain(*, actor: Actor, finding: Finding, note: str) -> None:
    """Say what it was. It counts as explained, not checked, until a second person closes it. Raises NotDone."""
    note = _text(note, _("Write what it was, so that the second person can check it."))
    with transaction.atomic():
        moved = Finding.objects.filter(pk=finding.pk, state=Finding.State.OPEN).update(
            state=Finding.State.EXPLAINED,
            explained_by=actor.name[:150],
            explained_at=timezone.now(),
            note=_joined(finding.note, f"{actor.name}: {note}"),
        )
        if not moved:
            raise _late()
        _event(actor, Action.FINDING_EXPLAINED, finding, f"explained finding {finding.pk}: {note}", {"note": note})


def close(*, actor: Actor, finding: Finding, note: str = "") -> None:
    """Check the explanation and close it. Raises NotDone for the one who explained it."""
    _second_person(actor, finding)
    note = str(storable(note)).strip()[:LONGEST_NOTE]
    with transaction.atomic():
        moved = _explained(finding).update(
            state=Finding.State.CLOSED,
            closed_by=actor.name[:150],
            closed_at=timezone.now(),
            note=_joined(finding.note, f"{actor.name}: {note}" if note else ""),
        )
        if not moved:
            raise _late()
        words = f": {note}" if note else ""
        sentence = f"checked and closed finding {finding.pk}, which {finding.explained_by} had explained{words}"
        _event(
            actor,
            Action.FINDING_CLOSED,
            finding,
            sentence,
            {"note": note, "explained_by": finding.explained_by},
        )


def send_back(*, actor: Actor, finding: Finding, note: str) -> None:
    """The explanation does not convince: the finding is open again. Raises NotDone."""
    _second_person(actor, finding)
    note = _text(note, _("Write what the explanation leaves open."))
    with transaction.atomic():
        moved = _explained(finding).update(
            state=Finding.State.OPEN,
            explained_by="",
            explained_at=None,
            explanation=None,
            note=_joined(finding.note, f"{actor.name}: {note}"),
        )
        if not moved:
            raise _late()
        sentence = f"opened finding {finding.pk} again, which {finding.explained_by} had explained: {note}"
        details = {"note": note, "explained_by": finding.explained_by, "again": True}
        _event(actor, Action.FINDING_OPENED, finding, sentence, details)


def _explained(finding: Finding) -> Any:
    """The row, as long as it is explained by whom the person saw."""
    return Finding.objects.filter(
        pk=finding.pk, state=Finding.State.EXPLAINED, explained_by=finding.explained_by, note=finding.note
    )


def _second_person(actor: Actor, finding: Finding) -> None:
    if finding.state != Finding.State.EXPLAINED:
        raise NotDone(_("Only a finding that somebody has explained can be checked."))
    if finding.explained_by == actor.name[:150]:
        raise NotDone(_("You explained this finding yourself. A second person has to check it."))
