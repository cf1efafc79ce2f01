"""What people keep of their searches, and that they looked at the record."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from segadmin.actions.refusals import NotDone
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, record
from segadmin.audit.chain import locked_head
from segadmin.models import Action, EventContent, Organization, SavedView, User
from segadmin.queries import search

# Looking through the record is one event per person in this time.
VIEWED_ONCE_IN = timedelta(hours=1)
MOST_VIEWS = 50


def keep(
    *,
    actor: Actor,
    owner: User,
    page: str,
    name: str,
    query: str,
    shared: bool = False,
    organization: Organization | None = None,
) -> SavedView:
    """Keep a search; a shared one leaves an event. Raises NotDone for what must not or need not be kept.

    `organization`: where a shared one is seen; None: by those of the whole installation.
    """
    name, query = search.clean(storable(name))[:100], search.clean(storable(query))
    if search.names_mail(query) or search.names_mail(name):
        raise NotDone(
            {"query": _("It looks as if there is an e-mail address in it. Such a search is not kept anywhere.")}
        )
    with transaction.atomic():
        # Locked, so that two tabs of one person can't save the same name twice.
        User.objects.select_for_update().get(pk=owner.pk)
        mine = SavedView.objects.filter(owner=owner, page=page)
        if mine.filter(name=name).exists():
            raise NotDone({"name": _("You already have a view of this name on this page. Remove it first.")})
        if mine.count() >= MOST_VIEWS:
            raise NotDone(_("You have %d views on this page; remove one first.") % MOST_VIEWS)
        view = SavedView.objects.create(
            owner=owner,
            page=page,
            name=name,
            query=query,
            shared=shared,
            organization=organization if shared else None,
        )
        if shared:
            _tell(actor, view, "shared")
    return view


def remove(*, actor: Actor, view: SavedView) -> bool:
    """Forget a view; a shared one leaves an event. False: it was gone already."""
    with transaction.atomic():
        gone, _tables = SavedView.objects.filter(pk=view.pk).delete()
        if gone and view.shared:
            _tell(actor, view, "removed the shared")
    return bool(gone)


def _tell(actor: Actor, view: SavedView, what: str) -> None:
    record(
        actor=actor,
        action=Action.VIEW_SAVED,
        sentence=f"{what} view “{view.name}” of the {view.page} page",
        subject=Subject(organization=view.organization),
        details={"page": view.page, "name": view.name, "query": view.query},
    )


def note_viewed(*, actor: Actor, organization: Organization | None) -> bool:
    """Put on record that this person looks through the record, once an hour; what they look for is not kept.

    `organization`: the only one whose record they may read, else none. False: it is on record already.
    """
    if _is_noted(actor):
        return False
    with transaction.atomic():
        locked_head()
        if _is_noted(actor):
            return False
        record(
            actor=actor,
            action=Action.RECORD_VIEWED,
            sentence="read the record",
            subject=Subject(organization=organization),
        )
    return True


def _is_noted(actor: Actor) -> bool:
    since = timezone.now() - VIEWED_ONCE_IN
    lately = EventContent.objects.filter(action=Action.RECORD_VIEWED, actor_name=actor.name[:150], at__gt=since)
    return lately.exists()
