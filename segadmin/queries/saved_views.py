"""Searches that are kept: which ones a person sees on a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from segadmin.models import Organization, SavedView, User
from segadmin.queries.audit_filters import Scope

MOST_TABS = 30


@dataclass(frozen=True)
class Tab:
    """One view as a tab of its page."""

    view: SavedView
    is_current: bool


def visible(user: User, page: str, scope: Scope) -> list[SavedView]:
    """One's own, and those shared where the person may read the page too."""
    shared = Q(organization__in=[row.pk for row in scope.organizations])
    if scope.whole:
        shared |= Q(organization=None)
    rows = SavedView.objects.filter(Q(owner=user) | Q(shared=True) & shared, page=page)
    return list(rows.select_related("owner", "organization").order_by("name", "pk")[:MOST_TABS])


def tabs(user: User, page: str, scope: Scope, line: str) -> list[Tab]:
    """The views of a page; the one whose line is shown now is marked."""
    return [Tab(view, view.query == line) for view in visible(user, page, scope)]


def own(user: User) -> list[SavedView]:
    return list(SavedView.objects.filter(owner=user).select_related("organization").order_by("page", "name", "pk"))


def by_key(pk: int) -> SavedView | None:
    found: SavedView | None = SavedView.objects.select_related("organization").filter(pk=pk).first()
    return found


def shared_in(organizations: Sequence[Organization], *, whole: bool) -> list[SavedView]:
    """Shared views of others that an admin of these orgs may remove."""
    where = Q(organization__in=[row.pk for row in organizations])
    rows = SavedView.objects.filter(where | Q(organization=None) if whole else where, shared=True)
    return list(rows.select_related("owner", "organization").order_by("page", "name", "pk"))
