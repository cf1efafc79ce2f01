"""record(): one event, in the transaction of the local change that it tells."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from segadmin.audit.actor import Actor
from segadmin.audit.chain import append
from segadmin.models import Action, Event, Organization, Outcome, Sandbox

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
    """The text as one line, at most so long; what is left off shows by "…" at its end."""
    line = _CONTROL.sub(" ", text).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def plain(value: Any) -> Any:
    """As it stands in the record: JSON without floats (they have no one canonical form) and without lone surrogates."""
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    return str(value).encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _content(
    actor: Actor,
    action: Action,
    outcome: Outcome,
    sentence: str,
    subject: Subject,
    organization: Organization | None,
    details: dict[str, Any],
    at: datetime,
) -> dict[str, Any]:
    """What the canonical text says, but for epoch, number and salt."""
    content = {
        "action": action.value,
        "actor": actor.as_json(),
        "at": at.isoformat(timespec="microseconds"),
        "attempt": str(subject.attempt_uuid or ""),
        "details": details,
        "job": subject.job_id,
        "organization": {"name": organization.name, "slug": organization.slug} if organization else {},
        "outcome": outcome.value,
        "request": str(subject.request_uuid or ""),
        "sandbox": subject.sandbox.name if subject.sandbox else "",
        "sentence": one_line(sentence),
    }
    told: dict[str, Any] = plain(content)
    return told


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
    content = _content(actor, action, outcome, sentence, subject, organization, details or {}, at)
    # No savepoint: without its event the change must not stay, so a failure here is one of the whole transaction.
    with transaction.atomic(savepoint=False):
        return append(
            content,
            organization_id=organization.pk if organization else None,
            sandbox_id=sandbox.pk if sandbox else None,
        )
