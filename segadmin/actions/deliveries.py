"""A checkpoint on its way to an outside witness: that it is sent is on record before it leaves, and then what became of it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.actions.mail import message_id, send_mail
from segadmin.aep.errors import AEPError
from segadmin.aep.webhook import post_webhook
from segadmin.audit import Actor, keys, record
from segadmin.audit.receipts import receipt_of
from segadmin.models import NOT_KNOWN, Action, Checkpoint, Delivery, Outcome


@dataclass(frozen=True)
class Witness:
    """One outside witness: `kind` is mail or webhook. What stands on record of a webhook is its host alone."""

    kind: str
    address: str

    @property
    def shown(self) -> str:
        return self.address if self.kind == "mail" else urlsplit(self.address).hostname or ""


def deliver(*, actor: Actor, checkpoint: Checkpoint, witness: Witness) -> Delivery:
    """Send one checkpoint to one witness. Nothing leaves where that can't be kept first.

    The row says that it is not known until the end is on record: a process that is killed, or a record that takes nothing
    more, leaves it so. The next try then says that it may be a second one.
    """
    last = Delivery.objects.filter(kind=witness.kind).order_by("-at", "-pk").first()
    tries = Delivery.objects.filter(checkpoint=checkpoint, kind=witness.kind, address=witness.shown[:300])
    again = tries.filter(ok=False, note=NOT_KNOWN).exists()
    # A witness that stays out of reach is two events, not two for each try.
    told = last is None or last.ok or actor.kind != "system"
    row = _begin(actor, checkpoint, witness, told)
    problem = (_mail if witness.kind == "mail" else _webhook)(checkpoint, witness.address, again)
    _end(actor, row, problem, told=told, again=again)
    return row


def _begin(actor: Actor, checkpoint: Checkpoint, witness: Witness, told: bool) -> Delivery:
    row = Delivery(
        checkpoint=checkpoint,
        kind=witness.kind,
        address=witness.shown[:300],
        at=timezone.now(),
        ok=False,
        note=NOT_KNOWN,
    )
    with transaction.atomic():
        row.save(force_insert=True)
        if told:
            sentence = f"began to send checkpoint {checkpoint.number} (record {checkpoint.seq:,}) to {witness.shown}"
            _record(actor, row, Outcome.REQUESTED, sentence)
    return row


def _end(actor: Actor, row: Delivery, problem: str, *, told: bool, again: bool) -> None:
    checkpoint = row.checkpoint
    row.at, row.ok, row.note = timezone.now(), not problem, problem[:300]
    with transaction.atomic():
        Delivery.objects.filter(pk=row.pk).update(at=row.at, ok=row.ok, note=row.note)
        if problem and told:
            sentence = f"could not reach {row.address} with checkpoint {checkpoint.number}"
            _record(actor, row, Outcome.FAILED, sentence, problem=problem)
        elif not problem:
            sentence = f"sent checkpoint {checkpoint.number} (record {checkpoint.seq:,}) to {row.address}"
            more = ", perhaps for the second time: what became of an earlier try is not known" if again else ""
            _record(actor, row, Outcome.SUCCEEDED, sentence + more, problem="", perhaps_again=again)


def _record(actor: Actor, row: Delivery, outcome: Outcome, sentence: str, **more: Any) -> None:
    details = {"checkpoint": row.checkpoint_id, "kind": row.kind, "to": row.address, **more}
    record(actor=actor, action=Action.WITNESS, outcome=outcome, sentence=sentence, details=details)


def _mail(checkpoint: Checkpoint, address: str, again: bool) -> str:
    """Empty when the mail server took it, else a sentence."""
    receipt = receipt_of(checkpoint.seq, checkpoint.chain)
    public = "\n".join(keys.public_lines())
    twice = _("This mail may have reached you before: what became of an earlier try is not known here.") + "\n\n"
    body = (twice if again else "") + (
        f"This is checkpoint {checkpoint.number} of the record of segadmin at {settings.PUBLIC_URL}.\n"
        "Please keep this mail where the administrators of segadmin can't change it. With it anybody can show later "
        f"that\nnothing up to record {checkpoint.seq:,} was changed, removed or put in since.\n\n"
        f"{checkpoint.text}\n\n"
        f"Receipt: {receipt}\n\n"
        f"Public keys:\n{public}\n\n"
        "To compare: paste the first line above, or the receipt, into the page "
        f"{settings.PUBLIC_URL}/audit/proof/compare/,\nor run the verifier of an evidence pack on a machine of your own "
        "with this mail, saved as a text file:\n"
        "    python -I verifier.py PACK.zip --checkpoints MAIL.txt --public-key MAIL.txt\n"
    )
    return send_mail(
        to=address,
        subject=f"segadmin checkpoint {checkpoint.number}: record {checkpoint.seq:,}",
        body=body,
        # The same for each try, so that a mailbox that got it before can tell.
        message=message_id("checkpoint", checkpoint.number, checkpoint.signature[:16], address),
    )


def _webhook(checkpoint: Checkpoint, url: str, again: bool) -> str:
    """Empty when the webhook took it, else a sentence."""
    receipt = receipt_of(checkpoint.seq, checkpoint.chain)
    payload = {
        "text": f"segadmin checkpoint {checkpoint.number}: record {checkpoint.seq:,}, receipt {receipt}",
        "checkpoint": checkpoint.text,
        "receipt": str(receipt),
        "installation": settings.PUBLIC_URL,
        "public_keys": keys.public_lines(),
        "perhaps_again": again,
    }
    try:
        post_webhook(
            url,
            payload,
            listed=settings.UPSTREAM_HOSTS,
            proxy=settings.UPSTREAM_PROXY,
            ca_file=settings.UPSTREAM_CA_FILE,
            deadline_seconds=settings.UPSTREAM_DEADLINE_SECONDS,
        )
    except AEPError as error:
        return error.message
    return ""
