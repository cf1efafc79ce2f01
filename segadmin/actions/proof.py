"""What keeps the record provable: verifications, checkpoints, their way to an outside witness, keys and settings."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.validators import validate_email
from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin import crypto
from segadmin.actions.deliveries import Witness, deliver
from segadmin.actions.refusals import NotDone
from segadmin.aep.webhook import webhook_problem
from segadmin.audit import Actor, checkpoints, keys, record
from segadmin.audit.receipts import receipt_of
from segadmin.audit.verifier import Checkpoint as Line
from segadmin.audit.verify import Progress, Result, verify
from segadmin.models import Action, Checkpoint, Delivery, Installation, Outcome, Verification

MAIL_EVERY = timedelta(hours=24)
MAIL_AGAIN = timedelta(hours=1)
WEBHOOK_AGAIN = timedelta(minutes=10)
VERIFY_EVERY = timedelta(hours=24)
MOST_MINUTES = 24 * 60
_BUSY_SECONDS = 3600
log = logging.getLogger("segadmin.record")


# -- verification ------------------------------------------------------------------------------------------------------


def verify_record(
    *,
    actor: Actor,
    full: bool = True,
    first: int = 1,
    last: int | None = None,
    outside: Sequence[Line] = (),
    trusted: Mapping[str, str] | None = None,
    workers: int | None = None,
    progress: Progress = lambda _done, _all: None,
) -> tuple[Result, Verification | None]:
    """Check the record, keep the result for the pages, and put it on record. Arguments as those of audit.verify.

    A record can be so damaged that nothing can be added to it; then nothing is kept, and a remark says so.
    """
    result = verify(
        full=full, first=first, last=last, outside=outside, trusted=trusted, workers=workers, progress=progress
    )
    try:
        return result, _keep(actor, result)
    except (DatabaseError, RuntimeError, ObjectDoesNotExist) as error:
        if result.ok:
            raise
        result.remarks.append(f"This result could not be put on record: {type(error).__name__}.")
        return result, None


def _keep(actor: Actor, result: Result) -> Verification:
    damage = [damage._asdict() for damage in result.damage]
    kept = Verification(
        at=timezone.now(),
        by=actor.name[:150],
        ok=result.ok,
        first=result.first,
        last=result.last,
        with_content=result.with_content,
        by_digest_only=result.by_digest_only,
        missing=result.missing,
        damage=damage,
        remarks=result.remarks,
        checkpoints=result.checkpoints,
        outside=result.outside,
        seconds=result.seconds,
        full=result.full,
    )
    with transaction.atomic():
        kept.save(force_insert=True)
        record(
            actor=actor,
            action=Action.RECORD_VERIFIED,
            outcome=Outcome.SUCCEEDED if result.ok else Outcome.FAILED,
            sentence=_verified(result),
            details=_told(result),
        )
    return kept


def _verified(result: Result) -> str:
    if not result.events:
        return "checked the record: it has no records in this range"
    found = "unbroken" if result.ok else f"DAMAGED, first at record {result.damage[0].seq:,} ({result.damage[0].kind})"
    how = "" if result.full else ", digests and chain only"
    return f"checked records {result.first:,} to {result.last:,}{how}: {found}"


def _told(result: Result) -> dict[str, Any]:
    return {
        "first": result.first,
        "last": result.last,
        "with_content": result.with_content,
        "by_digest_only": result.by_digest_only,
        "missing": result.missing,
        "checkpoints_that_agree": result.checkpoints,
        "of_them_from_outside": result.outside,
        "damage": [damage._asdict() for damage in result.damage],
        "damaged": result.damaged,
        "remarks": result.remarks,
        "full": result.full,
    }


# -- checkpoints and their witnesses -----------------------------------------------------------------------------------


def make_checkpoint(*, actor: Actor) -> Checkpoint | None:
    """Sign the head as it stands; None for an empty record. Raises NotDone where the signing key can't be used."""
    try:
        return checkpoints.make(actor=actor)
    except (OSError, crypto.SigningKeyBroken) as error:
        raise NotDone(_without_key(error)) from error


def _without_key(error: OSError | crypto.SigningKeyBroken) -> str:
    if isinstance(error, OSError):
        return _("No checkpoint was made: the signing key %(file)s can't be read: %(why)s.") % {
            "file": keys.FILE,
            "why": error.strerror or type(error).__name__,
        }
    return _(
        "No checkpoint was made: the file %(file)s in the data folder holds no signing key. Put back the copy that you kept, "
        "or replace the key on this page."
    ) % {"file": keys.FILE}


def installation() -> Installation:
    """The settings of the installation, with their defaults where nothing was set yet."""
    return Installation.objects.filter(pk=1).first() or Installation()


def witnesses(place: Installation) -> list[Witness]:
    """Those that are set up and can be reached from here."""
    found = []
    if place.witness_mail and settings.MAIL_READY:
        found.append(Witness("mail", place.witness_mail))
    if place.witness_webhook:
        found.append(Witness("webhook", place.witness_webhook))
    return found


def send_checkpoint(*, actor: Actor, kinds: Sequence[str] = ("mail", "webhook")) -> list[Delivery]:
    """Send the newest checkpoint to the witnesses of these kinds; nothing is locked meanwhile."""
    newest = checkpoints.newest()
    if newest is None:
        return []
    chosen = [witness for witness in witnesses(installation()) if witness.kind in kinds]
    return [deliver(actor=actor, checkpoint=newest, witness=witness) for witness in chosen]


# -- settings and key --------------------------------------------------------------------------------------------------


def set_witness(*, actor: Actor, mail: str, webhook: str, minutes: int, reason: str = "") -> bool:
    """Say where checkpoints go and how often they are made. False: nothing differs."""
    mail, webhook = mail.strip(), webhook.strip()
    _check_witness(mail, webhook, minutes)
    after: dict[str, Any] = {"witness_mail": mail, "witness_webhook": webhook, "checkpoint_minutes": minutes}
    place = installation()
    before = {name: getattr(place, name) for name in after}
    if before == after:
        return False
    with transaction.atomic():
        Installation.objects.get_or_create(pk=1)
        there = Installation.objects.filter(pk=1, version=place.version, **before)
        if there.update(**after, version=place.version + 1) != 1:
            raise NotDone(_("Somebody else changed the settings meanwhile. Look at them again."))
        changed = [name for name in after if before[name] != after[name]]
        record(
            actor=actor,
            action=Action.SETTINGS_CHANGED,
            sentence="changed where checkpoints of the record go and when they are made",
            details={
                "before": {name: _shown(name, before[name]) for name in changed},
                "after": {name: _shown(name, after[name]) for name in changed},
                "reason": reason,
            },
        )
    return True


def _shown(name: str, value: Any) -> Any:
    """A webhook's path often is its secret."""
    if name != "witness_webhook" or not value:
        return value
    return f"https://{urlsplit(value).hostname}/…"


def _check_witness(mail: str, webhook: str, minutes: int) -> None:
    problems: dict[str, str] = {}
    if mail:
        try:
            validate_email(mail)
        except ValidationError:
            problems["mail"] = _("Write one e-mail address, such as audit@example.com.")
        if not settings.MAIL_READY:
            problems["mail"] = _("No mail server is set up here. It takes SEGADMIN_MAIL_URL and SEGADMIN_MAIL_FROM.")
    if webhook and (problem := webhook_problem(webhook, settings.UPSTREAM_HOSTS)):
        problems["webhook"] = problem
    if not 1 <= minutes <= MOST_MINUTES:
        problems["minutes"] = _("Write a number of minutes from 1 to %(most)s.") % {"most": MOST_MINUTES}
    if problems:
        raise NotDone(problems)


def rotate_signing_key(*, actor: Actor, reason: str = "") -> Checkpoint | None:
    """Sign with a fresh key from now on. The old one is destroyed, so that nobody can ever sign with it again.

    The checkpoint that shows the fresh key's first use is made at once. A file that holds no key is replaced too. Raises
    NotDone where the file can't be read or written.
    """
    try:
        return _rotate(actor, reason)
    except OSError as error:
        raise NotDone(_without_key(error)) from error


def _rotate(actor: Actor, reason: str) -> Checkpoint | None:
    with transaction.atomic():
        try:
            old = keys.signer().key_id
        except crypto.SigningKeyBroken:
            old = ""
        what = f"destroyed the signing key {old}" if old else "took away the signing key, which could not be used,"
        record(
            actor=actor,
            action=Action.CHECKPOINT,
            sentence=f"{what} and made another one",
            details={"key_before": old, "reason": reason},
        )
        keys.replace()
        return checkpoints.make(actor=actor)


# -- what is done again and again --------------------------------------------------------------------------------------


class Stopped(Exception):
    """A check was left off half-way because the process ends; nothing of it is kept."""


def tend(*, actor: Actor, now: datetime | None = None, is_over: Callable[[], bool] = lambda: False) -> None:
    """Make, send and check what is due. Any number of processes may call it: each piece of work is claimed.

    `is_over` is asked now and then during a long check; when it says yes, the check is left off.
    """
    now = now or timezone.now()
    place = installation()
    if checkpoints.is_due(now, timedelta(minutes=place.checkpoint_minutes)) and _claim("checkpoint", 60):
        _make_or_say(actor)
    for witness in witnesses(place):
        if _is_due(witness, now) and _claim(f"witness-{witness.kind}", 120):
            send_checkpoint(actor=actor, kinds=[witness.kind])
    if _verification_is_due(now) and _claim("verification", _BUSY_SECONDS):
        _verify_unless(is_over, actor)


def _make_or_say(actor: Actor) -> None:
    """What else is due must not wait for a signing key; the line in the log is a receipt where logs are kept elsewhere."""
    try:
        made = make_checkpoint(actor=actor)
    except NotDone as problem:
        log.error("%s", problem)
        return
    if made is not None:
        log.info("Checkpoint %d: record %d, receipt %s", made.number, made.seq, receipt_of(made.seq, made.chain))


def _verify_unless(is_over: Callable[[], bool], actor: Actor) -> None:
    def stop_here(_done: int, _all: int) -> None:
        if is_over():
            raise Stopped

    try:
        verify_record(actor=actor, workers=1, progress=stop_here)
    except Stopped:
        cache.delete("proof:verification")


def _claim(what: str, seconds: int) -> bool:
    return bool(cache.add(f"proof:{what}", 1, seconds))


def _is_due(witness: Witness, now: datetime) -> bool:
    newest = checkpoints.newest()
    if newest is None:
        return False
    tries = Delivery.objects.filter(kind=witness.kind).order_by("-at", "-pk")
    last_try, last_ok = tries.first(), tries.filter(ok=True, address=witness.shown[:300]).first()
    if last_ok is not None and last_ok.checkpoint_id == newest.number:
        return False
    again = MAIL_AGAIN if witness.kind == "mail" else WEBHOOK_AGAIN
    if last_try is not None and not last_try.ok and last_try.at > now - again:
        return False
    return witness.kind == "webhook" or last_ok is None or last_ok.at <= now - MAIL_EVERY


def _verification_is_due(now: datetime) -> bool:
    last = Verification.objects.filter(full=True, first=1).order_by("-at", "-pk").first()
    return (last is None or last.at <= now - VERIFY_EVERY) and checkpoints.newest() is not None
