"""What every page's frame shows: the menu, the person, the zone, and how long a session may idle."""

from datetime import datetime
from typing import TypedDict

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from segadmin import __version__, access
from segadmin.models import User
from segadmin.queries import proof, retention
from segadmin.queries.health import mirror_age
from segadmin.templatetags.segadmin import zone_word

# Addresses that belong to an entry of the menu without standing under its own.
ALSO_UNDER = {
    "jobs": ("/orgs/", "/drafts/"),
    "register": ("/answers/",),
    "audit": ("/files/", "/completeness/"),
    "findings": ("/explanations/",),
}
# Pages whose foot carries a receipt of the record.
OF_RECORD = (
    "/audit/",
    "/register/",
    "/files/",
    "/answers/",
    "/completeness/",
    "/findings/",
    "/retention/",
    "/reviews/",
)
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
MENU_LABELS: dict[str, Promise] = {
    "jobs": _("Jobs"),
    "register": _("Register"),
    "audit": _("Audit"),
    "findings": _("Findings"),
    "reviews": _("Reviews"),
    "organizations": _("Organizations"),
    "people": _("People"),
}


class NavItem(TypedDict):
    """One entry of the main menu; `current` is "page" on the page itself, "true" below it, else empty."""

    label: Promise
    url: str
    current: str


def shell(request: HttpRequest) -> dict[str, object]:
    """Give the frame of base.html its values; signed-out pages get the parts that need no account.

    The page that says "the database does not answer" has the same frame, so a silent database only empties it.
    """
    frame: dict[str, object] = {
        "version": __version__,
        "zone_name": timezone.get_current_timezone_name(),
        "zone_short": zone_word(timezone.localtime()),
    }
    if getattr(request, "without_database", False):
        return frame
    try:
        return frame | _personal(request)
    except DatabaseError:
        return frame


def _personal(request: HttpRequest) -> dict[str, object]:
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"connection_problem": _connection_problem(request), "public_url": settings.PUBLIC_URL}
    return {
        "signed_in": True,
        "nav": _nav(request, access.menu(user)),
        "has_drafts": access.may_create_somewhere(user),
        "roles_text": ", ".join(sorted(str(role.label) for role in access.roles_anywhere(user))),
        "access_ends_at": access.ends_at(user),
        "idle_seconds": settings.IDLE_SECONDS,
        "mirror": mirror_age(),
        "retention_text": retention.sentence(),
        "last_sign_in_at": _previous_sign_in(request),
        **_of_record(request, user),
    }


def _of_record(request: HttpRequest, user: User) -> dict[str, object]:
    """On pages of the record: its newest receipt, and what is proven. Read only where a template asks for it."""
    if not request.path.startswith(OF_RECORD):
        return {}
    return {
        "receipt": SimpleLazyObject(proof.receipt),
        "proof_banner": SimpleLazyObject(proof.banner),
        "may_set_witness": access.reach(user, access.MAY_ADMINISTER).everywhere,
    }


def _nav(request: HttpRequest, keys: list[str]) -> list[NavItem]:
    items: list[NavItem] = []
    for key in keys:
        url = reverse(key)
        below = request.path.startswith((url, *ALSO_UNDER.get(key, ())))
        current = "page" if request.path == url else ("true" if below else "")
        items.append({"label": MENU_LABELS[key], "url": url, "current": current})
    return items


def _previous_sign_in(request: HttpRequest) -> datetime | None:
    """Read the sign-in before this one, which signin.py leaves in the session as ISO text."""
    text = request.session.get("previous_sign_in_at")
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _connection_problem(request: HttpRequest) -> str:
    """Tell what is wrong with signing in over this connection.

    "cookie": cookies are set for https only, so a plain http browser off this machine would loop; "clear": the
    password would travel readable; empty: nothing.
    """
    host, _port = split_domain_port(request.META.get("HTTP_HOST", ""))
    if request.is_secure() or host in LOOPBACK_HOSTS:
        return ""
    return "cookie" if settings.SESSION_COOKIE_SECURE else "clear"
