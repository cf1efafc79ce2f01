"""Rules for unusual exports: an admin changes them, and what they found is told by mail, many at once and seldom."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.actions.mail import message_id, send_mail
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, Subject, record
from segadmin.models import NOT_KNOWN, Action, Finding, Installation, Organization, Outcome, UnusualMail, UnusualRule
from segadmin.queries import unusual

# A flood is one mail: it waits so long for more, and the next comes so much later.
WAIT, MAIL_EVERY, MAIL_AGAIN = timedelta(minutes=2), timedelta(hours=1), timedelta(minutes=30)
IN_ONE_MAIL = 20
MOST_TIMES = 1000
# What the values of rules are called in the record's sentences.
SHOWN = {"times": "times the usual", "most": "always told above", "from_hour": "from", "to_hour": "to"}
To = UnusualMail.To
type Wanted = Mapping[str, tuple[bool, Mapping[str, Any]]]


def mail_of(organization: Organization) -> UnusualMail:
    """As it is set, or as it holds where nobody has set anything."""
    return UnusualMail.objects.filter(organization=organization).first() or UnusualMail(organization=organization)


def change(
    *, actor: Actor, organization: Organization, wanted: Wanted, to: str, mail: str, version: int, reason: str = ""
) -> bool:
    """Set the rules (kind -> whether it is on, and its values) and who is told. `version`: the one that was seen.

    False: nothing differs. Raises NotDone.
    """
    mail = mail.strip() if to == To.OWN else ""
    _check(wanted, to, mail)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        UnusualMail.objects.get_or_create(organization=organization)
        before = _state(organization)
        now = timezone.now()
        after: dict[str, Any] = {kind: {"on": on, **values} for kind, (on, values) in wanted.items()}
        after |= {"told_to": _told_to(to, mail)}
        if before == after:
            return False
        seen = UnusualMail.objects.filter(organization=organization, version=version)
        if not seen.update(to=to, mail=mail, version=version + 1, problem=""):
            raise NotDone(_("Somebody else changed these rules meanwhile. Look at them again."))
        changed = [name for name in after if before.get(name) != after[name]]
        for kind in (name for name in changed if name in wanted):
            on, values = wanted[kind]
            UnusualRule.objects.update_or_create(
                organization=organization,
                kind=kind,
                defaults={"on": on, "values": dict(values), "set_by": actor.name[:150], "set_at": now},
            )
        record(
            actor=actor,
            action=Action.UNUSUAL_RULES,
            sentence=f"changed the rules for unusual exports of {organization.name}: {_words(changed, before, after)}",
            subject=Subject(organization=organization),
            details={
                "before": {name: before.get(name) for name in changed},
                "after": {name: after[name] for name in changed},
                "reason": reason,
            },
        )
    return True


def _state(organization: Organization) -> dict[str, Any]:
    """Everything that can be changed, as it stands in the record."""
    rules = unusual.rules(organization)
    found: dict[str, Any] = {kind: {"on": rule.on, **rule.values} for kind, rule in rules.items()}
    place = mail_of(organization)
    return found | {"told_to": _told_to(place.to, place.mail)}


def _told_to(to: str, mail: str) -> str:
    return mail if to == To.OWN else str(to)


def _words(changed: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """ "outside working hours: on no → yes; told to witness → nobody"."""
    parts = []
    for name in changed:
        if name == "told_to":
            parts.append(f"told to {before[name]} → {after[name]}")
            continue
        old, new = before[name], after[name]
        values = [
            f"{SHOWN.get(key, key)} {_plain(key, old.get(key))} → {_plain(key, new[key])}"
            for key in new
            if old.get(key) != new[key]
        ]
        parts.append(f"{UnusualRule.Kind(name).label}: {', '.join(values)}")
    return "; ".join(parts)


def _plain(key: str, value: Any) -> str:
    if key in ("from_hour", "to_hour"):
        return unusual.clock_hour(value)
    if key == "days":
        return unusual.day_words(str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _check(wanted: Wanted, to: str, mail: str) -> None:
    problems: dict[str, str] = {}
    many, hour = wanted[UnusualRule.Kind.MANY][1], wanted[UnusualRule.Kind.HOUR][1]
    if not 2 <= many["times"] <= MOST_TIMES:
        problems["times"] = _("Write a whole number from 2 to %(most)s.") % {"most": f"{MOST_TIMES:,}"}
    if many["most"] is not None and not 1 <= many["most"] < 2**53:
        problems["most"] = _("Write a number of profiles, or leave it empty.")
    if not (0 <= hour["from_hour"] <= 23 and 1 <= hour["to_hour"] <= 24) or hour["from_hour"] == hour["to_hour"]:
        problems["to_hour"] = _("Choose two different hours of the day.")
    if not hour["days"] or set(hour["days"]) - set("1234567"):
        problems["days"] = _("Choose at least one day.")
    try:
        ZoneInfo(hour["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems["zone"] = _("Write a time zone such as Europe/Berlin, or UTC.")
    if to not in To.values:
        problems["to"] = _("Choose who is told.")
    if to == To.OWN:
        try:
            validate_email(mail)
        except ValidationError:
            problems["mail"] = _("Write one e-mail address, such as privacy@example.com.")
    if problems:
        raise NotDone(problems)


# -- mail --------------------------------------------------------------------------------------------------------------


def tell(*, actor: Actor, now: datetime | None = None) -> int:
    """Mail what was found since the last mail, for each org. Returns how many mails went. Any process may call it."""
    now = now or timezone.now()
    sent = 0
    lately = Finding.objects.filter(kind__in=unusual.KINDS, found_at__gte=now - timedelta(days=30))
    for organization in Organization.objects.filter(pk__in=lately.values("organization")).order_by("pk"):
        place, _new = UnusualMail.objects.get_or_create(organization=organization)
        untold = lately.filter(organization=organization, pk__gt=place.told_finding).order_by("pk")
        if untold.exists():
            sent += _tell(actor, place, list(untold.select_related("sandbox")), now)
    return sent


def _tell(actor: Actor, place: UnusualMail, untold: Sequence[Finding], now: datetime) -> bool:
    address = address_of(place)
    if not address:  # nobody is to be told: what was found stands on its page, and is not sent when somebody is
        UnusualMail.objects.filter(pk=place.pk).update(told_finding=untold[-1].pk)
        return False
    rests = place.sent_at is not None and place.sent_at > now - MAIL_EVERY
    failed = place.tried_at is not None and bool(place.problem) and place.tried_at > now - MAIL_AGAIN
    if rests or failed or untold[0].found_at > now - WAIT:
        return False
    if not _begin(actor, place, untold, address, now):
        return False  # another process is at it
    problem = _mail(place, address, untold)
    _note(actor, place, untold, address, problem, now)
    return not problem


def _begin(actor: Actor, place: UnusualMail, untold: Sequence[Finding], address: str, now: datetime) -> bool:
    """Claim it, and keep that it is about to be sent: where the end can't be kept, the next try is later and says so."""
    busy = Q(tried_at=place.tried_at) if place.tried_at else Q(tried_at=None)
    with transaction.atomic():
        if not UnusualMail.objects.filter(busy, pk=place.pk).update(tried_at=now, problem=NOT_KNOWN):
            return False
        if not place.problem:
            sentence = f"began to tell {address} of {_count(place, untold)}"
            _record(actor, place, untold, Outcome.REQUESTED, sentence)
    return True


def address_of(place: UnusualMail) -> str:
    """Where mail goes; empty where none is to go, or no mail server is set up."""
    if not settings.MAIL_READY or place.to == To.NOBODY:
        return ""
    if place.to == To.OWN:
        return place.mail
    return Installation.objects.filter(pk=1).values_list("witness_mail", flat=True).first() or ""


def _note(
    actor: Actor, place: UnusualMail, untold: Sequence[Finding], address: str, problem: str, now: datetime
) -> None:
    values: dict[str, Any] = {"problem": problem[:300]}
    if not problem:
        values |= {"told_finding": untold[-1].pk, "sent_at": now}
    words = _count(place, untold)
    with transaction.atomic():
        UnusualMail.objects.filter(pk=place.pk).update(**values)
        # An address that stays out of reach is two events, not two for each try.
        if problem and not place.problem:
            _record(actor, place, untold, Outcome.FAILED, f"could not tell {address} of {words}", problem=problem)
        elif not problem:
            again = place.problem == NOT_KNOWN
            more = ", perhaps for the second time: what became of an earlier try is not known" if again else ""
            sentence = f"told {address} of {words}{more}"
            _record(actor, place, untold, Outcome.SUCCEEDED, sentence, problem="", perhaps_again=again)


def _count(place: UnusualMail, untold: Sequence[Finding]) -> str:
    count = len(untold)
    return f"{count:,} unusual {'export' if count == 1 else 'exports'} of {place.organization.name}"


def _record(
    actor: Actor, place: UnusualMail, untold: Sequence[Finding], outcome: Outcome, sentence: str, **more: Any
) -> None:
    record(
        actor=actor,
        action=Action.UNUSUAL_TOLD,
        outcome=outcome,
        sentence=sentence,
        subject=Subject(organization=place.organization),
        details={"findings": [row.pk for row in untold[:500]], "count": len(untold), **more},
    )


def _mail(place: UnusualMail, address: str, untold: Sequence[Finding]) -> str:
    """Empty when the mail server took it, else a sentence."""
    organization = place.organization
    name = " ".join(organization.name.split())
    noun = _("unusual export") if len(untold) == 1 else _("unusual exports")
    lines = [
        f"- {' '.join(row.sentence.split())}\n  {settings.PUBLIC_URL}/findings/{row.pk}/"
        for row in untold[:IN_ONE_MAIL]
    ]
    if len(untold) > IN_ONE_MAIL:
        lines.append(_("- and %(n)s more") % {"n": f"{len(untold) - IN_ONE_MAIL:,}"})
    told = "\n".join(lines)
    twice = _("This mail may have reached you before: what became of an earlier try is not known here.") + "\n\n"
    body = (twice if place.problem == NOT_KNOWN else "") + (
        f"segadmin found {len(untold):,} {noun} of {name}, by the rules that are set there:\n\n{told}\n\n"
        "Each is a finding: one person explains it, another one checks that and closes it.\n"
        f"Rules, and who gets this mail: {settings.PUBLIC_URL}/organizations/{organization.slug}/unusual/\n"
        "At most one such mail an hour comes for an organization.\n"
    )
    return send_mail(
        to=address,
        subject=f"segadmin: {len(untold):,} {noun}, {name}",
        body=body,
        message=message_id("unusual", place.organization_id, untold[0].pk, untold[-1].pk, address),
    )
