"""What people call the things that stand in an event's details, and how the value of each is told."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segadmin.models import (
    Credential,
    ExportOutcome,
    FileReceipt,
    Finding,
    Hold,
    Name,
    Origin,
    RequestState,
    Role,
    State,
    Unread,
)
from segadmin.queries.event_values import (
    How,
    chosen,
    count,
    fields,
    ident,
    linked,
    moment,
    months,
    named,
    numbers,
    person,
    plain,
    receipt,
    seconds,
    split,
    whatever,
    with_unit,
)

_RECORD = linked("event", "record %(n)s")
_OUTCOMES = [*RequestState.choices, *ExportOutcome.choices]
_KINDS = [
    *Credential.Kind.choices, *Finding.Kind.choices, *Hold.Kind.choices, *FileReceipt.Kind.choices,
    ("webhook", gettext_lazy("webhook")), ("mail", gettext_lazy("mail")),
]  # fmt: skip
_WHAT = [
    ("audit", gettext_lazy("the record")),
    ("register", gettext_lazy("the register")),
    ("answers", gettext_lazy("an answer")),
]
# Key -> what people call it, and how its values are told. The order is the order on the page.
KEYS: dict[str, tuple[str | Promise, How]] = {
    "reason": (gettext_lazy("Reason given"), plain),
    "why": (gettext_lazy("Why"), chosen(Unread.Why.choices)),
    "note": (gettext_lazy("Note"), plain),
    "person": (gettext_lazy("Account"), person),
    "role": (gettext_lazy("Role"), chosen(Role.choices)),
    "ends_at": (gettext_lazy("Until"), moment),
    "open": (gettext_lazy("Account open"), whatever),
    "asked_by": (gettext_lazy("Asked by"), plain),
    "name": (gettext_lazy("Name"), plain),
    "ims_org_id": (gettext_lazy("Adobe’s organization id"), ident),
    "api_url": (gettext_lazy("API address"), plain),
    "token_url": (gettext_lazy("Sign-in address"), plain),
    "watched": (gettext_lazy("Watched"), whatever),
    "exports_allowed": (gettext_lazy("Exports allowed"), whatever),
    "client_id": (gettext_lazy("Client id"), plain),
    "fingerprint": (gettext_lazy("Fingerprint"), ident),
    "scopes": (gettext_lazy("Scopes"), split),
    "expires_at": (gettext_lazy("Expires"), moment),
    "register_months": (gettext_lazy("Exports and changes are kept"), months),
    "access_months": (gettext_lazy("Sign-ins and views are kept"), months),
    "witness_mail": (gettext_lazy("Checkpoints by mail to"), plain),
    "witness_webhook": (gettext_lazy("Checkpoints to the webhook"), plain),
    "checkpoint_minutes": (gettext_lazy("A checkpoint every"), with_unit("%(n)s minute", "%(n)s minutes")),
    "purpose": (gettext_lazy("Purpose"), plain),
    "recipient": (gettext_lazy("Goes on to (as stated)"), plain),
    "ticket": (gettext_lazy("Ticket"), plain),
    "legal_basis": (gettext_lazy("Legal basis"), plain),
    "confirmed": (gettext_lazy("Confirmed by the person"), whatever),
    "audiences": (gettext_lazy("Audiences"), named(Name.Kind.AUDIENCE)),
    "fields": (gettext_lazy("Fields"), fields),
    "dataset": (gettext_lazy("Dataset"), named(Name.Kind.DATASET)),
    "merge_policy": (gettext_lazy("Merge policy"), named(Name.Kind.MERGE_POLICY)),
    "shape": (gettext_lazy("Fingerprint of audiences and filter"), ident),
    "state_before": (gettext_lazy("State before"), chosen(State.choices)),
    "last_seen_state": (gettext_lazy("Last seen as"), chosen(State.choices)),
    "state": (gettext_lazy("State"), chosen(State.choices)),
    "became": (gettext_lazy("The request became"), chosen(_OUTCOMES)),
    "status_before": (gettext_lazy("Adobe’s status before"), plain),
    "status": (gettext_lazy("Adobe’s status"), plain),
    "message": (gettext_lazy("What it means"), plain),
    "adobe_message": (gettext_lazy("Adobe said"), plain),
    "adobe": (gettext_lazy("Adobe said"), plain),
    "code": (gettext_lazy("Adobe’s code"), plain),
    "profiles": (gettext_lazy("Profiles"), count),
    "remarks": (gettext_lazy("Remarks"), whatever),
    "origin": (gettext_lazy("Origin"), chosen(Origin.choices)),
    "count": (gettext_lazy("Jobs"), count),
    "batch": (gettext_lazy("Batch"), ident),
    "candidates": (gettext_lazy("Jobs that may be it"), whatever),
    "asked_in_record": (gettext_lazy("Asked in"), _RECORD),
    "placed_in_record": (gettext_lazy("Placed in"), _RECORD),
    "register_row": (gettext_lazy("Register"), linked("register_entry", "row %(n)s")),
    "finding": (gettext_lazy("Finding"), linked("finding", "finding %(n)s")),
    "explanation": (gettext_lazy("Standing explanation"), linked("explanation", "explanation %(n)s")),
    "kind": (gettext_lazy("Kind"), chosen(_KINDS)),
    "what": (gettext_lazy("What"), chosen(_WHAT)),
    "file": (gettext_lazy("File"), receipt),
    "rows": (gettext_lazy("Rows"), count),
    "size": (gettext_lazy("Size"), with_unit("%(n)s byte", "%(n)s bytes")),
    "cut_off": (gettext_lazy("Up to"), _RECORD),
    "sha256": (gettext_lazy("SHA-256"), ident),
    "manifest_sha256": (gettext_lazy("SHA-256 of the manifest"), ident),
    "chosen": (gettext_lazy("Chosen"), whatever),
    "whole": (gettext_lazy("Also records of no organization"), whatever),
    "host": (gettext_lazy("From the address"), plain),
    "steps": (gettext_lazy("Steps"), whatever),
    "ok": (gettext_lazy("Works"), whatever),
    "text": (gettext_lazy("What it said"), plain),
    "seconds": (gettext_lazy("Took"), seconds),
    "request_id": (gettext_lazy("Adobe’s request id"), ident),
    "adobe_request_id": (gettext_lazy("Adobe’s request id"), ident),
    "adobe_request": (gettext_lazy("Adobe’s request id"), ident),
    "sent_request_ids": (gettext_lazy("Request ids sent"), whatever),
    "sent": (gettext_lazy("Request ids sent"), whatever),
    "from": (gettext_lazy("From"), whatever),
    "to": (gettext_lazy("To"), whatever),
    "retry_at": (gettext_lazy("Adobe asked to wait until"), moment),
    "reads": (gettext_lazy("Readings"), count),
    "sweeps": (gettext_lazy("Readings to the end"), count),
    "jobs_listed": (gettext_lazy("Jobs listed"), count),
    "clock_ahead_seconds": (gettext_lazy("This server’s clock ahead of Adobe’s, seconds"), plain),
    "jobs_made": (gettext_lazy("Jobs made in this time"), count),
    "unread": (gettext_lazy("Times not read"), whatever),
    "records": (gettext_lazy("Records"), numbers),
    "checkpoint": (gettext_lazy("Checkpoint"), count),
    "problem": (gettext_lazy("Problem"), plain),
    "path": (gettext_lazy("Address asked for"), plain),
    "method": (gettext_lazy("With the method"), plain),
    "last_kept": (gettext_lazy("Last record kept"), _RECORD),
    "first_new": (gettext_lazy("First new record"), _RECORD),
    "sessions_ended": (gettext_lazy("Sessions ended"), count),
    "tries_in_the_minute_before": (gettext_lazy("Tries in the minute before"), count),
    "lines": (gettext_lazy("Lines in all"), count),
    "also_for_exports_before": (gettext_lazy("Also for exports made before"), whatever),
    "sha256_of_sorted_ids": (gettext_lazy("SHA-256 of the sorted job ids"), ident),
}  # fmt: skip
_PLACE = {key: number for number, key in enumerate(KEYS)}
# Keys of which no value means something of its own.
NO_VALUE: dict[str, Promise] = {
    "ends_at": gettext_lazy("no end"),
    "expires_at": gettext_lazy("not told"),
    "witness_mail": gettext_lazy("nobody"),
    "witness_webhook": gettext_lazy("none"),
    "fields": gettext_lazy("all fields"),
}


def label(key: str) -> str:
    """What people call it; an unknown key as a word."""
    known = KEYS.get(key)
    return str(known[0]) if known else key.replace("_", " ").replace(".", " ").strip().capitalize() or _("Value")


def order(key: str) -> tuple[int, str]:
    """Known keys as above, others after them."""
    return _PLACE.get(key, len(_PLACE)), key
