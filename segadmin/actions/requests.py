"""Export requests: drafts, sending, and settling by a person. One POST a request, ever."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from segadmin import aep, audit, connect
from segadmin.actions import limits, mirror, register, settlement
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject
from segadmin.models import (
    Action,
    Attempt,
    ExportRequest,
    Job,
    Name,
    Outcome,
    RequestState,
    Sandbox,
    Settlement,
    User,
)
from segadmin.queries import names, sentences

# States from which a request may be changed and sent (again): Adobe surely has no job of it.
OPEN_STATES = (RequestState.DRAFT, RequestState.REFUSED, RequestState.NOT_SENT)


class NotADraft(Exception):
    """It was sent meanwhile; nothing was changed."""


class AlreadySent(Exception):
    """Its one POST is under way or done."""


class Changed(Exception):
    """It was changed since it was reviewed."""


class NotAllowed(Exception):
    """Nothing was sent; the text says why."""


def names_of(sandbox: Sandbox, body: Mapping[str, Any]) -> dict[str, Any]:
    """The names behind a body's ids as they are now, copied so that they stay as they were."""
    segments = (body.get("filter") or {}).get("segments", [])
    audiences = []
    for item in segments:
        row = names.resolve(sandbox, Name.Kind.AUDIENCE, item["segmentId"])
        audiences.append(
            {
                "id": item["segmentId"],
                "ns": item.get("segmentNs", ""),
                "name": row.name if row else "",
                "profiles": row.details.get("profiles") if row else None,
                "evaluated_at": row.details.get("evaluated_at") if row else None,
            }
        )
    kept: dict[str, Any] = {"audiences": audiences, "dataset": {}, "merge_policy": {}}
    for key, kind, wanted in (
        ("dataset", Name.Kind.DATASET, (body.get("destination") or {}).get("datasetId", "")),
        ("merge_policy", Name.Kind.MERGE_POLICY, (body.get("mergePolicy") or {}).get("id", "")),
    ):
        if wanted:
            row = names.resolve(sandbox, kind, wanted)
            kept[key] = {"id": wanted, "name": row.name if row else "", "known": row is not None}
    return kept


def save_draft(
    *,
    actor: Actor,  # noqa: ARG001 - drafts are private and leave no event; the author is kept with the request
    author: User,
    sandbox: Sandbox,
    typed: dict[str, list[str]],
    body: dict[str, Any],
    who: str,
    which: str,
    purpose: str,
    recipient: str,
    ticket: str,
    legal_basis: str,
    copied_from: str = "",
    export_request: ExportRequest | None = None,
) -> ExportRequest:
    """Keep what was typed. An empty `body` means that the form still has faults. Raises NotADraft."""
    values: dict[str, Any] = {
        "typed": storable(typed),
        "is_complete": bool(body),
        "body": storable(body),
        "fingerprint": aep.fingerprint(body) if body else "",
        "who": who[:12],
        "which": which[:8],
        "purpose": storable(purpose),
        "recipient": storable(recipient)[:300],
        "ticket": storable(ticket)[:100],
        "legal_basis": legal_basis[:40],
        "names": names_of(sandbox, body) if body else {},
        "state": RequestState.DRAFT,
        "answer": {},
    }
    row = export_request or ExportRequest(
        sandbox=sandbox, author=author, author_name=author.get_username(), copied_from=copied_from[:200]
    )
    _store(row, values)
    if body:
        row.sentence = sentences.request_sentence(row)
        ExportRequest.objects.filter(pk=row.pk).update(sentence=row.sentence)
    return row


def _store(row: ExportRequest, values: dict[str, Any]) -> None:
    """A new request, or the same one with other values if nobody sent or changed it meanwhile."""
    if row.pk is None:
        for name, value in values.items():
            setattr(row, name, value)
        row.save(force_insert=True)
        return
    rows = ExportRequest.objects.filter(pk=row.pk, state__in=OPEN_STATES, version=row.version)
    if rows.update(**values, version=row.version + 1, updated_at=timezone.now()) != 1:
        raise NotADraft
    row.refresh_from_db()


def discard(*, actor: Actor, export_request: ExportRequest) -> bool:  # noqa: ARG001 - private, leaves no event
    """Give up a draft. False: it was sent meanwhile."""
    rows = ExportRequest.objects.filter(pk=export_request.pk, state__in=OPEN_STATES)
    return bool(rows.update(state=RequestState.WITHDRAWN, version=export_request.version + 1))


def needed_confirmations(export_request: ExportRequest) -> list[str]:
    """What has to be confirmed on the review page: "everyone", "all_fields", "events"."""
    body = export_request.body
    needed = []
    if not (body.get("filter") or {}).get("segments"):
        needed.append("everyone")
    if not body.get("fields"):
        needed.append("all_fields")
    if body.get("additionalFields"):
        needed.append("events")
    return needed


def why_not(sandbox: Sandbox) -> str:
    """Why nothing may be sent from this sandbox; empty if it may."""
    if sandbox.organization.retired_at:
        return f"{sandbox.organization.name} was removed from segadmin, so nothing is sent for it."
    if not sandbox.exports_allowed:
        return f"{sandbox} is read-only in segadmin. An administrator of {sandbox.organization.name} can allow exports."
    return ""


def _check(export_request: ExportRequest, version: int, confirmed: frozenset[str], name: str) -> None:
    if export_request.state not in OPEN_STATES:
        raise AlreadySent
    if export_request.version != version:
        raise Changed
    if not export_request.is_complete:
        raise NotAllowed("The form is not complete yet.")
    if reason := why_not(export_request.sandbox):
        raise NotAllowed(reason)
    if missing := [item for item in needed_confirmations(export_request) if item not in confirmed]:
        raise NotAllowed(f"This has to be confirmed first: {', '.join(missing).replace('_', ' ')}.")
    if not limits.spend("send", name):
        raise NotAllowed("You have sent many exports in this minute. Wait a minute, then send this one.")


def send(*, actor: Actor, export_request: ExportRequest, version: int, confirmed: frozenset[str]) -> ExportRequest:
    """Record the intent, then send once. Returns the request with what became of it.

    Raises AlreadySent, Changed or NotAllowed, and has sent nothing then.
    """
    _check(export_request, version, confirmed, actor.name)

    def claim() -> bool:
        rows = ExportRequest.objects.filter(pk=export_request.pk, state__in=OPEN_STATES, version=version)
        won = rows.update(state=RequestState.SENDING, version=version + 1, sent_at=timezone.now()) == 1
        register.refresh(requests=[export_request])
        return won

    attempt = audit.attempt(
        actor=actor,
        kind=Attempt.Kind.CREATE,
        sandbox=export_request.sandbox,
        export_request=export_request,
        fingerprint=export_request.fingerprint,
        sentence=export_request.sentence.replace("asks to export", "asked to export", 1),
        details=_told(export_request, confirmed),
        claim=claim,
    )
    if attempt is None:
        raise AlreadySent
    export_request.refresh_from_db()
    try:
        reply = connect.writer(attempt).create(export_request.body)
    except aep.OutcomeUnknown as error:
        _lost(attempt, export_request, error)
    except aep.AEPError as error:
        connect.note_limits(export_request.sandbox.organization, error)
        _failed(attempt, export_request, error)
    else:
        _done(attempt, export_request, reply, actor)
    return ExportRequest.objects.select_related("sandbox__organization", "job").get(pk=export_request.pk)


def _told(export_request: ExportRequest, confirmed: frozenset[str]) -> dict[str, Any]:
    return {
        "body": export_request.body,
        "names": export_request.names,
        "purpose": export_request.purpose,
        "recipient": export_request.recipient,
        "ticket": export_request.ticket,
        "legal_basis": export_request.legal_basis,
        "confirmed": sorted(confirmed),
        "fingerprint": export_request.fingerprint,
    }


def answer_of(error: aep.AEPError) -> dict[str, Any]:
    """What pages and the record keep of a fault."""
    return storable(  # type: ignore[no-any-return]
        {
            "message": error.message,
            "adobe_message": error.adobe_message,
            "adobe_request_id": error.adobe_request_id or "",
            "status": error.status,
            "code": error.code or "",
            "fields": error.field_errors,
            "sent_request_ids": error.sent_request_ids,
            "retry_at": error.retry_at.isoformat() if error.retry_at else "",
        }
    )


def _surely_not_sent(error: aep.AEPError) -> bool:
    return error.not_sent or not error.sent_request_ids or isinstance(error, aep.RateLimited)


def _failed(attempt: Attempt, export_request: ExportRequest, error: aep.AEPError) -> None:
    state = RequestState.NOT_SENT if _surely_not_sent(error) else RequestState.REFUSED
    answer = answer_of(error)

    def also() -> None:
        ExportRequest.objects.filter(pk=export_request.pk, state=RequestState.SENDING).update(
            state=state, answer=answer, version=export_request.version + 1
        )
        register.refresh(requests=[export_request])

    word = "could not send the export" if state == RequestState.NOT_SENT else "was refused by Adobe"
    sentence = f"{word}: {error.message}"
    details = {**answer, "became": state.value}
    if not audit.close(attempt, Attempt.State.FAILED, sentence=sentence, details=details, also=also):
        actor = Actor.from_json(attempt.actor)
        settlement.release(attempt, actor=actor, sentence=f"{sentence}; this answer came late", details=answer)


def _lost(attempt: Attempt, export_request: ExportRequest, error: aep.AEPError) -> None:
    answer = answer_of(error)

    def also() -> None:
        ExportRequest.objects.filter(pk=export_request.pk, state=RequestState.SENDING).update(
            state=RequestState.UNKNOWN, answer=answer
        )
        register.refresh(requests=[export_request])
        Sandbox.objects.filter(pk=export_request.sandbox_id).update(due_at=timezone.now())

    sentence = f"sent the export, but Adobe's answer was lost: {error.message}"
    audit.close(attempt, Attempt.State.UNKNOWN, sentence=sentence, details=answer, also=also)


def _job_of(reply: aep.CreateReply, export_request: ExportRequest) -> aep.ExportJob:
    """The job in the answer; where Adobe gave only an id, what was asked for stands in until the next read."""
    return reply.job or aep.ExportJob.parse({**export_request.body, "id": reply.job_id, "status": "NEW"})


def _done(attempt: Attempt, export_request: ExportRequest, reply: aep.CreateReply, actor: Actor) -> None:
    connect.note_success(export_request.sandbox.organization, actor.name)
    seen = _job_of(reply, export_request)

    def link() -> None:
        mirror.take_in(export_request.sandbox, [seen], read_at=attempt.opened_at, ours=True)
        job = Job.objects.get(sandbox=export_request.sandbox, job_id=seen.id[:200])
        settlement.link_job(job, export_request)
        Sandbox.objects.filter(pk=export_request.sandbox_id).update(due_at=timezone.now())

    details = {
        "status": reply.status,
        "adobe_request_id": reply.adobe_request_id or "",
        "sent_request_ids": reply.sent_request_ids,
        "answer": storable(reply.raw),
    }
    sentence = f"got job {seen.id} from Adobe for the export: {export_request.sentence.removeprefix('asks to export ')}"
    told: dict[str, Any] = {"details": details, "job_id": seen.id[:200]}
    try:
        done = audit.close(attempt, Attempt.State.SUCCEEDED, sentence=sentence, also=link, **told)
        if not done:  # sync gave it up as lost before this late answer came
            late = f"{sentence}; the answer came late"
            done = audit.settle(attempt, Settlement.ADOPTED, actor=actor, sentence=late, also=link, sure=True, **told)
    except settlement.Taken:
        done = False
    if not done:
        _contradiction(attempt, export_request, actor, told)


def _contradiction(attempt: Attempt, export_request: ExportRequest, actor: Actor, told: dict[str, Any]) -> None:
    """A late answer names a job, but another one was taken for it meanwhile (or this one for another request)."""
    linked = Job.objects.filter(export_request=export_request).first()
    if linked is not None and linked.job_id == told["job_id"]:
        return  # found before, rightly
    instead = f"{linked.job_id} was taken for it" if linked else "that job was taken for another request"
    sentence = f"got job {told['job_id']} from Adobe for the export, late: {instead} before, which was wrong"
    if not audit.close(attempt, Attempt.State.UNKNOWN, sentence=sentence, **told):
        with transaction.atomic():
            audit.record(
                actor=actor,
                action=Action.EXPORT_SETTLE,
                outcome=Outcome.UNKNOWN,
                sentence=sentence,
                subject=Subject(
                    sandbox=export_request.sandbox,
                    job_id=told["job_id"],
                    request_uuid=export_request.uuid,
                    attempt_uuid=attempt.uuid,
                ),
                details=told["details"],
            )


def settle(*, actor: Actor, export_request: ExportRequest, job: Job | None) -> bool:
    """A person says which candidate is the lost export, or (None) that none is. False: settled meanwhile."""
    attempt = (
        Attempt.objects.filter(export_request=export_request, settlement__in=settlement.WAITING)
        .select_related("sandbox__organization", "export_request")
        .order_by("-pk")
        .first()
    )
    if attempt is None or settlement.has_open_twin(attempt):
        return False
    if job is None:
        sentence = "said that none of the jobs at Adobe is the lost export; it may be sent again"
        return settlement.release(attempt, actor=actor, sentence=sentence)
    if job.pk not in {found.pk for found in settlement.candidates(attempt)}:
        return False
    return settlement.adopt(attempt, job, actor=actor)


def expire_drafts(*, days: int) -> int:
    """Drafts that nobody touched for so long; they were never part of the record."""
    limit = timezone.now() - timedelta(days=days)
    return ExportRequest.objects.filter(state=RequestState.DRAFT, updated_at__lt=limit).update(
        state=RequestState.EXPIRED, typed={}, body={}, names={}
    )
