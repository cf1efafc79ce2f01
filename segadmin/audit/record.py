"""record(): one event, in the transaction of the local change that it tells."""

import re
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from segadmin.audit.actor import Actor
from segadmin.audit.chain import append
from segadmin.models import Action, Event, EventContent, Organization, Outcome, Sandbox

# One line a text, and nothing that turns the reading direction of what follows.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What an event is about; names are copied as text."""

    organization: Organization | None = None
    sandbox: Sandbox | None = None
    job_id: str = ""
    request_uuid: uuid.UUID | None = None
    attempt_uuid: uuid.UUID | None = None


def one_line(text: str, limit: int = 2000) -> str:
    return _CONTROL.sub(" ", text).strip()[:limit]


def _plain(value: Any) -> Any:
    """JSON without floats (they have no one canonical form) and without lone surrogates."""
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    return str(value).encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def record(
    *,
    actor: Actor,
    action: Action,
    sentence: str,
    subject: Subject = Subject(),
    outcome: Outcome = Outcome.SUCCEEDED,
    details: dict[str, Any] | None = None,
) -> Event:
    """Write one event. `sentence` reads after the actor's name: "cancelled 24102 …"."""
    sandbox = subject.sandbox
    organization = subject.organization or (sandbox.organization if sandbox else None)
    at = timezone.now()
    content = {
        "action": action.value,
        "actor": actor.as_json(),
        "at": at.isoformat(timespec="microseconds"),
        "attempt": str(subject.attempt_uuid or ""),
        "details": details or {},
        "job": subject.job_id,
        "organization": {"name": organization.name, "slug": organization.slug} if organization else {},
        "outcome": outcome.value,
        "request": str(subject.request_uuid or ""),
        "sandbox": sandbox.name if sandbox else "",
        "sentence": one_line(sentence),
    }
    content = _plain(content)
    with transaction.atomic():
        event, text = append(content)
        EventContent(
            event=event,
            text=text,
            at=at,
            actor_kind=actor.kind,
            actor_id=actor.id[:60],
            actor_name=actor.name[:150],
            action=action,
            outcome=outcome,
            sentence=content["sentence"],
            organization=organization,
            organization_name=organization.name if organization else "",
            sandbox=sandbox,
            sandbox_name=sandbox.name if sandbox else "",
            job_id=content["job"][:200],
            request_uuid=subject.request_uuid,
            attempt_uuid=subject.attempt_uuid,
            correlation_id=actor.correlation_id[:64],
            address=actor.address[:45],
        ).save()
    return event
