"""What the pages say about the record's proof: its newest receipt, the last check, witnesses, and how a kept receipt fits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.audit import receipts, verifier
from segadmin.models import ChainHead, Checkpoint, Delivery, Event, Installation, SigningKey, Verification

SHOWN = 20
# Older than this a check or a delivery is no longer called "now".
FRESH = timedelta(days=3)
# Above this many records a check is for the command line and for the mirror: a page would wait too long.
CHECKED_ON_A_PAGE = 200_000


def receipt() -> receipts.Receipt | None:
    """The newest record in short; None for an empty record."""
    head = ChainHead.objects.filter(pk=1).first()
    return receipts.receipt_of(head.seq, head.chain) if head and head.seq else None


def installation() -> Installation:
    """The settings of the installation, with their defaults where nothing was set yet."""
    return Installation.objects.filter(pk=1).first() or Installation()


@dataclass(frozen=True)
class Banner:
    """What the audit page says on top. `kind` is a kind of note; green ("ok") takes an outside witness."""

    kind: str
    lead: str
    text: str
    verification: Verification | None = None
    delivery: Delivery | None = None
    set_up: bool = False  # whether a witness is missing


def last_verification() -> Verification | None:
    """The newest check that began at record 1; only a whole one says something about the record."""
    return Verification.objects.filter(first__lte=1).order_by("-at", "-pk").first()


def banner() -> Banner:
    last = last_verification()
    if last is None or not last.last:
        return Banner(
            "warn",
            _("The row of records has not been checked yet."),
            _("segadmin checks it once a day; manage.py verify_audit does it at once."),
            set_up=not _has_witness(),
        )
    if not last.ok:
        first = last.damage[0] if last.damage else {"says": "", "kind": ""}
        return Banner(
            "bad",
            _("The record is damaged: %(says)s") % {"says": first["says"]},
            _("Keep a copy of the database as it is, and find out who could write to it."),
            last,
        )
    unbroken = _("Records 1 to %(last)s are unbroken") % {"last": f"{last.last:,}"}
    return _witnessed(last, unbroken)


def _witnessed(last: Verification, unbroken: str) -> Banner:
    delivery = (
        Delivery.objects.select_related("checkpoint")
        .filter(ok=True, at__lte=last.at, checkpoint__seq__lte=last.last)
        .order_by("-checkpoint__seq", "-at")
        .first()
    )
    if delivery is None:
        lead = f"{unbroken}. {_('No outside witness:')}"
        text = _("someone who administers this server could have rewritten them all.")
        return Banner("warn", lead, text, last, set_up=not _has_witness())
    agree = _("and agree with the checkpoint that %(who)s received on %(day)s (record %(record)s).") % {
        "who": delivery.address,
        "day": _day(delivery.at),
        "record": f"{delivery.checkpoint.seq:,}",
    }
    now = timezone.now()
    if last.at < now - FRESH:
        return Banner("warn", f"{unbroken}, {agree}", _("But that was checked long ago."), last, delivery)
    if delivery.at < now - FRESH:
        text = _("But no checkpoint has left this server since.")
        return Banner("warn", f"{unbroken}, {agree}", text, last, delivery)
    kind = "ok" if last.full else "warn"
    text = "" if last.full else _("Only digests and chain were checked, not what pages show and search.")
    return Banner(kind, f"{unbroken}, {agree}", text, last, delivery)


def _day(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return f"{local.day} {local:%B %Y}" if local.year != timezone.localdate().year else f"{local.day} {local:%B}"


def _has_witness() -> bool:
    place = installation()
    return bool(place.witness_mail or place.witness_webhook)


@dataclass(frozen=True)
class Proof:
    """Everything on the page of proofs."""

    banner: Banner
    receipt: receipts.Receipt | None
    verifications: list[Verification]
    checkpoints: list[Checkpoint]
    deliveries: list[Delivery]
    failing: list[Delivery]
    keys: list[SigningKey]
    installation: Installation
    may_check_here: bool


def proof() -> Proof:
    deliveries = list(Delivery.objects.select_related("checkpoint").order_by("-at", "-pk")[:SHOWN])
    newest = {delivery.kind: delivery for delivery in reversed(deliveries)}
    head = receipt()
    return Proof(
        banner=banner(),
        receipt=head,
        verifications=list(Verification.objects.order_by("-at", "-pk")[:SHOWN]),
        checkpoints=list(Checkpoint.objects.order_by("-number")[:SHOWN]),
        deliveries=deliveries,
        failing=[delivery for delivery in newest.values() if not delivery.ok],
        keys=list(SigningKey.objects.order_by("-first_used_at")),
        installation=installation(),
        may_check_here=head is not None and head.seq <= CHECKED_ON_A_PAGE,
    )


def checkpoint_lines() -> str:
    """Every checkpoint of the table, one a line, as in checkpoints.txt."""
    return "".join(f"{row.text}\n" for row in Checkpoint.objects.order_by("number"))


def key_lines() -> str:
    """Every public key, one a line, as in public_keys.txt."""
    return "".join(f"{row.text}\n" for row in SigningKey.objects.order_by("first_used_at", "key_id"))


# -- a receipt or a checkpoint that somebody kept ----------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """How one kept receipt or checkpoint fits. `fits` is None where it can't be told.

    `checked`: the row of records up to there was found unbroken, so that fitting says something about all of them.
    """

    what: str
    seq: int
    fits: bool | None
    says: str
    proves: str = ""
    at: str = ""
    checked: bool = False


class NotReadable(ValueError):
    """The text holds neither a receipt nor a checkpoint."""


def compare(text: str) -> list[Comparison]:
    """Compare what was pasted: whole checkpoints, wrapped lines of a mail among them, or one receipt.

    Raises NotReadable with a sentence.
    """
    found = verifier.find_checkpoints(text)
    if found:
        return [_checkpoint(line) for line in found[:SHOWN]]
    if "segadmin-checkpoint" in text:
        raise NotReadable(_("This checkpoint is cut or altered. Paste the whole line, with its last 128 characters."))
    try:
        return [_receipt(receipts.parse(text))]
    except receipts.NotAReceipt as error:
        raise NotReadable(str(error)) from error


def _link(seq: int) -> tuple[int, str] | None:
    found: tuple[int, str] | None = Event.objects.filter(pk=seq).values_list("epoch", "chain").first()
    return found


def _receipt(kept: receipts.Receipt) -> Comparison:
    link = _link(kept.seq)
    if link is None:
        return Comparison(_("Receipt"), kept.seq, False, _gone(kept.seq))
    if not link[1].startswith(kept.start):
        says = _("Record %(seq)s has another chain value now. Something up to it was rewritten since.")
        return Comparison(_("Receipt"), kept.seq, False, says % {"seq": f"{kept.seq:,}"})
    says = _("Record %(seq)s has the chain value of your receipt.") % {"seq": f"{kept.seq:,}"}
    short = _(
        "A receipt holds 12 of 64 characters: it shows every accident and every ordinary alteration. Against somebody "
        "who can spend a great deal of computing on a forgery, compare a whole checkpoint."
    )
    proves, checked = _whole(kept.seq)
    return Comparison(_("Receipt"), kept.seq, True, says, f"{proves} {short}", checked=checked)


def _checkpoint(kept: verifier.Checkpoint) -> Comparison:
    what = _("Checkpoint %(number)s") % {"number": kept.number}
    keys = {row.key_id: bytes.fromhex(row.public) for row in SigningKey.objects.filter(pk=kept.key_id)}
    key = keys.get(kept.key_id)
    signed = (f"{kept.signed}\n").encode()
    if key is not None and not verifier.signature_fits(key, signed, bytes.fromhex(kept.signature)):
        says = _("Its signature is wrong: this line was altered, or it never came from here.")
        return Comparison(what, kept.seq, None, says, at=kept.at)
    link = _link(kept.seq)
    if link is None:
        return Comparison(what, kept.seq, False, _gone(kept.seq), at=kept.at)
    if link != (kept.epoch, kept.chain):
        says = _("Record %(seq)s has another chain value now. Something up to it was rewritten since.")
        return Comparison(what, kept.seq, False, says % {"seq": f"{kept.seq:,}"}, at=kept.at)
    says = _("Record %(seq)s has the chain value of your checkpoint.") % {"seq": f"{kept.seq:,}"}
    if key is None:
        says += " " + _("It is signed with the key %(key)s, which this installation does not know.") % {
            "key": kept.key_id
        }
    proves, checked = _whole(kept.seq)
    return Comparison(what, kept.seq, True, says, proves, kept.at, checked and key is not None)


def _gone(seq: int) -> str:
    """For a number that is not there: cut off, removed, or left out by a restore that says so."""
    after = Event.objects.filter(seq__gt=seq).order_by("seq").first()
    before = Event.objects.filter(seq__lt=seq).order_by("-seq").first()
    if after is not None and after.epoch > (before.epoch if before else 1):
        return _(
            "Record %(seq)s is not there. Record %(after)s begins a new epoch after a restore; read what it says was "
            "lost, and ask why."
        ) % {"seq": f"{seq:,}", "after": f"{after.seq:,}"}
    return _("Record %(seq)s is not there any more: records were removed since.") % {"seq": f"{seq:,}"}


def _whole(seq: int) -> tuple[str, bool]:
    """What a fitting value shows, which is as much as the last check of the row before it; and whether there was one."""
    last = last_verification()
    if last is None or not last.ok or last.last < seq:
        says = _(
            "That alone says little: have the record checked up to there, then it shows that nothing before changed."
        )
        return says, False
    says = _(
        "With the check of %(at)s (records 1 to %(last)s unbroken) it shows that up to record %(seq)s nothing was "
        "changed, removed or put in since you kept it. You rely on this server for that; with an evidence pack and "
        "verifier.py you do not."
    )
    at = f"{timezone.localtime(last.at):%d %B %Y %H:%M %Z}"
    return says % {"at": at, "last": f"{last.last:,}", "seq": f"{seq:,}"}, True
