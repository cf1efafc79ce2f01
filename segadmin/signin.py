"""allauth's adapters, and the receivers that put sign-ins on record. Signals only where allauth offers nothing else."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.signals import authentication_step_completed, password_changed
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.cache import cache
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from segadmin import access, crypto
from segadmin.audit import Actor, record
from segadmin.audit.record import one_line
from segadmin.middleware import client_address
from segadmin.models import Action, Outcome, User

HOW = {"password": "password", "socialaccount": "company account", "mfa": "second factor", "code": "code"}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """No self-registration; the client's address only by a trusted proxy."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "account_inactive": _("That name and password do not go together, or the account is closed."),
        "username_password_mismatch": _("That name and password do not go together, or the account is closed."),
        "too_many_login_attempts": _("Too many tries. Wait five minutes, then try again."),
        "enter_current_password": _("This is not your present password."),
        "incorrect_password": _("This is not your password."),
        "incorrect_code": _("This code does not fit. Codes change every 30 seconds; write the newest one."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """A closed account gets the answer of a wrong password; allauth would show the right one a page of its own."""
        user: User | None = super().authenticate(request, **credentials)
        return user if user is not None and user.is_active else None

    def login(self, request: HttpRequest, user: User) -> None:
        """Keep when the person signed in before this time: the account menu shows it, so that a stranger's is seen."""
        before = user.last_login
        super().login(request, user)
        if before is not None:
            request.session["previous_sign_in_at"] = before.isoformat()

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """To the first page of that person, where none was asked for."""
        return reverse(access.front_page(access.current(request)))

    def get_client_ip(self, request: HttpRequest) -> str:
        return getattr(request, "client_address", "") or client_address(request)


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """A company account signs in as the person it was connected to: by issuer and subject, never by e-mail."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:  # noqa: ARG002
        return False


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of second factors are sealed like every other secret; allauth alone would keep them in clear."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": _("This code is not right, or its time is over. Type the one that your app shows now."),
    }

    def encrypt(self, text: str) -> str:
        return crypto.seal(crypto.Secret(text), place=crypto.SECOND_FACTOR, row="", org="")

    def decrypt(self, encrypted_text: str) -> str:
        return crypto.open_(encrypted_text, place=crypto.SECOND_FACTOR, row="", org="").reveal()


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]
    """Ending one's other sessions is on record, with how many and where they came from."""

    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        ended = list(sessions)
        if not ended:
            return
        with transaction.atomic():
            super().end_sessions(ended)
            record(
                actor=_person(context.request, ended[0].user),
                action=Action.SESSION_ENDED,
                sentence=f"ended {len(ended)} of the own sessions",
                details={"addresses": sorted({str(session.ip) for session in ended})},
            )


def _person(request: HttpRequest | None, user: User) -> Actor:
    return Actor(
        kind="person",
        name=user.get_username(),
        id=str(user.pk),
        roles=tuple(sorted({row.role for row in user.memberships.all()})),
        signed_in=str(request.session.get("signed_in", "")) if request else "",
        address=getattr(request, "client_address", ""),
        correlation_id=getattr(request, "id", ""),
    )


@receiver(user_logged_in, dispatch_uid="segadmin.signed_in")
def signed_in(request: HttpRequest, user: User, **_kwargs: Any) -> None:
    methods = request.session.get("account_authentication_methods", [])
    how = " and ".join(dict.fromkeys(HOW.get(str(method.get("method")), "other") for method in methods)) or "password"
    now = int(timezone.now().timestamp())
    request.session.update({"signed_in": how, "begun": now, "seen": now})
    record(actor=_person(request, user), action=Action.SIGN_IN, sentence=f"signed in with {how}")


@receiver(user_logged_out, dispatch_uid="segadmin.signed_out")
def signed_out(request: HttpRequest, user: User | None, **_kwargs: Any) -> None:
    if user is not None:
        record(actor=_person(request, user), action=Action.SIGN_OUT, sentence="signed out")


@receiver(user_login_failed, dispatch_uid="segadmin.sign_in_failed")
def sign_in_failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """One event per name, address and minute; the number of tries in the minute before is told with the next one."""
    name = one_line(str(credentials.get("username") or credentials.get("email") or ""), 100)
    address = getattr(request, "client_address", "")
    minute = timezone.now().replace(second=0, microsecond=0)
    key = "signin-failed:" + hashlib.sha256(f"{name}|{address}".encode()).hexdigest()[:24]
    if not cache.add(f"{key}:{minute:%H%M}", 1, 120):
        cache.incr(f"{key}:{minute:%H%M}")
        return
    before = cache.get(f"{key}:{minute - timedelta(minutes=1):%H%M}", 0)
    # An unknown name may be a password typed into the wrong field: it is not kept.
    known = User.objects.filter(username=name).exists()
    actor = Actor(
        kind="person" if known else "unknown",
        name=name if known else "name not known",
        address=address,
        correlation_id=getattr(request, "id", ""),
    )
    # The first try of that minute has an event of its own.
    more = f" ({before - 1} more tries in the minute before)" if before > 1 else ""
    record(
        actor=actor,
        action=Action.SIGN_IN_FAILED,
        outcome=Outcome.REFUSED,
        sentence=f"tried to sign in and was refused{more}",
        details={"tries_in_the_minute_before": before},
    )


@receiver(authentication_step_completed, dispatch_uid="segadmin.confirmed")
def confirmed(request: HttpRequest, user: User, method: str, reauthenticated: bool = False, **_kwargs: Any) -> None:
    """Only the confirmation of somebody who is signed in; the steps of a sign-in end in one event of their own."""
    if reauthenticated:
        how = HOW.get(method, "other")
        record(actor=_person(request, user), action=Action.CONFIRMED, sentence=f"confirmed with {how}")


@receiver(password_changed, dispatch_uid="segadmin.password_changed")
def password_was_changed(request: HttpRequest, user: User, **_kwargs: Any) -> None:
    record(actor=_person(request, user), action=Action.PASSWORD_SET, sentence="changed the own password")


@receiver(
    [authenticator_added, authenticator_removed, authenticator_reset], dispatch_uid="segadmin.second_factor_changed"
)
def second_factor_changed(request: HttpRequest, user: User, authenticator: Any, signal: Any, **_kwargs: Any) -> None:
    did = "added" if signal is authenticator_added else "removed" if signal is authenticator_removed else "renewed"
    what = str(authenticator.get_type_display()) if authenticator else "second factor"
    record(
        actor=_person(request, user),
        action=Action.SECOND_FACTOR,
        sentence=f"{did} a second factor: {what}",
        details={"type": what, "did": did},
    )
