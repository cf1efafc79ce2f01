"""How long what is kept, what would go today, and what a hold keeps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.models import Action, ContentExpiry, EventContent, Hold, Installation

# Sign-ins, views and refusals, with the addresses they hold.
ACCESS = (
    Action.SIGN_IN,
    Action.SIGN_IN_FAILED,
    Action.SIGN_OUT,
    Action.CONFIRMED,
    Action.SESSION_ENDED,
    Action.ACCESS_REFUSED,
    Action.RECORD_VIEWED,
)
# What proves the record, or tells what was taken from it, is kept as long as the installation.
PROOF = (
    Action.CHECKPOINT,
    Action.WITNESS,
    Action.RECORD_STREAMED,
    Action.EPOCH_BEGUN,
    Action.RESTORE,
    Action.CONTENT_EXPIRED,
    Action.HOLD_PLACED,
    Action.HOLD_RELEASED,
    Action.RETENTION_SET,
    Action.KEYS_ROTATED,
)
MONTH = timedelta(days=365.25 / 12)


@dataclass(frozen=True)
class Kept:
    """One class of records: how long, up to when contents are over, how many would go, how many a hold keeps."""

    name: str
    months: int
    before_at: datetime
    due: int
    held: int


def installation() -> Installation:
    """The settings of the whole installation; their defaults where none were made yet."""
    return Installation.objects.filter(pk=1).first() or Installation(pk=1)


def cut_off(months: int, now: datetime | None = None) -> datetime:
    return (now or timezone.now()) - months * MONTH


def in_force() -> QuerySet[Hold]:
    """Holds that were placed and not released."""
    released = Hold.objects.filter(move=Hold.Move.RELEASE, places=OuterRef("pk"))
    return Hold.objects.filter(~Exists(released), move=Hold.Move.PLACE)


def in_force_for(organizations: Collection[int], *, whole: bool) -> QuerySet[Hold]:
    """The holds whose subject and reason somebody may read who reads the record of these orgs, the newest first.

    A hold on a person or a period reaches over all orgs: it is told to those of the whole installation.
    """
    found = in_force() if whole else in_force().filter(organization__in=organizations)
    return found.select_related("organization").order_by("-at", "-pk")


def held() -> Q:
    """Contents that a hold keeps; the database's trigger says the same."""
    found = Q(pk__in=[])
    for hold in in_force():
        if hold.kind == Hold.Kind.PERSON:
            found |= Q(actor_name=hold.person)
        elif hold.kind == Hold.Kind.PERIOD:
            found |= Q(at__gte=hold.from_at, at__lt=hold.until_at)
        else:
            found |= Q(organization=hold.organization_id, sandbox_name=hold.sandbox_name, job_id=hold.job_id)
            if hold.request_uuid:
                found |= Q(request_uuid=hold.request_uuid)
    return found


def over(now: datetime | None = None) -> Q:
    """Contents whose time is over, held or not."""
    settings = installation()
    access = Q(action__in=ACCESS, at__lt=cut_off(settings.access_months, now))
    rest = Q(at__lt=cut_off(settings.register_months, now)) & ~Q(action__in=[*ACCESS, *PROOF])
    return access | rest


def kept_until(content: EventContent, settings: Installation) -> datetime | None:
    """When its time is over as things are set today; None: with the installation. A hold may keep it longer."""
    if content.action in PROOF:
        return None
    months = settings.access_months if content.action in ACCESS else settings.register_months
    return content.at + months * MONTH


def due(limit: int) -> Sequence[EventContent]:
    """The oldest contents that may go now."""
    return list(EventContent.objects.filter(over()).exclude(held()).order_by("event_id")[:limit])


def readable(organizations: Collection[int], *, whole: bool) -> Q:
    """The contents that somebody may read who reads the record of these orgs, or of the whole installation."""
    return Q() if whole else Q(organization__in=organizations)


def overview(among: Q | None = None) -> list[Kept]:
    """What would go today, by class: of all contents, or of those that `among` holds for."""
    settings = installation()
    classes = (
        (_("Sign-ins, views, refusals and their addresses"), settings.access_months, Q(action__in=ACCESS)),
        (_("Exports, changes and everything else"), settings.register_months, ~Q(action__in=[*ACCESS, *PROOF])),
    )
    keep = held()
    found = []
    for name, months, which in classes:
        before_at = cut_off(months)
        rows = EventContent.objects.filter(which, among or Q(), at__lt=before_at)
        told = rows.aggregate(
            all=Count("pk"),
            held=Count("pk", filter=keep),
        )
        found.append(Kept(name, months, before_at, told["all"] - told["held"], told["held"]))
    return found


def gone() -> int:
    """Contents that have expired so far; their events are still there."""
    return ContentExpiry.objects.count()


def sentence() -> str:
    """For the foot of every page."""
    settings = installation()
    return _("Records are kept %(register)s, sign-ins and views %(access)s.") % {
        "register": duration(settings.register_months),
        "access": duration(settings.access_months),
    }


def duration(months: int) -> str:
    """36 -> "3 years"; 18 -> "18 months"."""
    if months % 12 == 0 and months > 12:
        return _("%d years") % (months // 12)
    return _("%d months") % months if months != 1 else _("1 month")
