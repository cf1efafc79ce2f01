"""Request ids, session limits, sign-in for htmx, page policy, and a calm answer when the database is busy."""

import ipaddress
import logging
import time
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware as DjangoLoginRequired
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from segadmin.audit import NotRecorded, OutcomeNotRecorded
from segadmin.logs import request_id
from segadmin.plain import visible_page

type Handler = Callable[[HttpRequest], HttpResponseBase]


def client_address(request: HttpRequest) -> str:
    """The peer's address; X-Forwarded-For counts only when the peer is a configured proxy."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if peer not in settings.TRUSTED_PROXIES:
        return peer
    for candidate in reversed(str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")):
        try:
            address = str(ipaddress.ip_address(candidate.strip()))
        except ValueError:
            break
        if address not in settings.TRUSTED_PROXIES:
            return address
    return peer


class RequestIdMiddleware:
    """A fresh id per request, in logs, on error pages, in the record and in the answer's header."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.id = str(uuid.uuid4())  # type: ignore[attr-defined]
        request.client_address = client_address(request)  # type: ignore[attr-defined]
        if request.META.get("REMOTE_ADDR") not in settings.TRUSTED_PROXIES:
            # Nobody else may say so; SECURE_PROXY_SSL_HEADER trusts this header blindly.
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
            request.META.pop("HTTP_X_FORWARDED_FOR", None)
        token = request_id.set(request.id)  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response.headers["X-Request-ID"] = request.id  # type: ignore[attr-defined]
        return response


class PlainTextMiddleware:
    """On pages no text from outside hides something, or turns the reading direction of what stands beside it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def process_view(self, request: HttpRequest, *_view: object) -> None:
        if "\0" in request.path_info:  # names nothing of ours, and PostgreSQL does not even take the question
            raise Http404

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if isinstance(response, HttpResponse) and response.headers.get("Content-Type", "").startswith("text/html"):
            page = response.text
            plain = visible_page(page)
            if plain is not page:
                response.content = plain
                if response.has_header("Content-Length"):
                    response.headers["Content-Length"] = str(len(response.content))
        return response


class DatabaseBusyMiddleware:
    """A database that is locked, gone or out of connections is 503 with a sentence, not a crash; so is a record that
    takes nothing."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, NotRecorded):
            logging.getLogger("segadmin").error("The record did not take an event: %s", exception)
            return not_recorded(request, exception)
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        logging.getLogger("segadmin").error("The database did not answer: %s", type(exception).__name__)
        return database_unavailable(request)


def database_unavailable(request: HttpRequest) -> HttpResponse:
    """The 503 page, made without the database: to ask it again would be to wait for it again."""
    request.without_database = True  # type: ignore[attr-defined]
    return render(request, "503.html", {"request_id": getattr(request, "id", "")}, status=503, using=None)


def not_recorded(request: HttpRequest, exception: NotRecorded) -> HttpResponse:
    """What can't be put on record does not happen: the page says that nothing was sent and nothing changed.

    But for the outcome of what was sent before: then it says that, and where to look.
    """
    request.without_database = True  # type: ignore[attr-defined]
    context = {"request_id": getattr(request, "id", ""), "was_sent": isinstance(exception, OutcomeNotRecorded)}
    return render(request, "503_record.html", context, status=503)


def is_poll(request: HttpRequest) -> bool:
    """A refresh that the page sent by itself: it is not a sign of life of the person."""
    return "poll" in request.GET and request.headers.get("HX-Request") == "true"


class SessionLimitsMiddleware:
    """Ends a session after an hour without a person's request, and after 12 hours in any case."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        session = request.session
        now = int(time.time())
        if "_auth_user_id" in session:
            begun, seen = session.get("begun", now), session.get("seen", now)
            if now - seen > settings.IDLE_SECONDS or now - begun > settings.ABSOLUTE_SESSION_SECONDS:
                logout(request)
            elif not is_poll(request) and (now - seen >= 60 or "seen" not in session):
                session["begun"], session["seen"] = begun, now
        return self.get_response(request)


class LoginRequiredMiddleware(DjangoLoginRequired):
    """Every page needs sign-in. A signed-out htmx request gets 401 and HX-Redirect: no login form inside a table."""

    def handle_no_permission(  # type: ignore[override]  # the parent only ever redirects
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponseBase:
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=401, headers={"HX-Redirect": _sign_in_and_back(request)})
        return super().handle_no_permission(request, view_func)


def _sign_in_and_back(request: HttpRequest) -> str:
    """The sign-in page, leading back to the page that asked: htmx names it, and it must be one of ours."""
    login = resolve_url(settings.LOGIN_URL)
    page = request.headers.get("HX-Current-URL", "")
    if not url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure()):
        return login
    parts = urlsplit(page)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return f"{login}?{urlencode({'next': target})}"


class PagePolicyMiddleware:
    """The person's zone, no caching of pages, and Vary for pages that answer htmx with a part."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        zone = getattr(request.user, "zone", "UTC") or "UTC"
        try:
            timezone.activate(zoneinfo.ZoneInfo(zone))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            timezone.activate(zoneinfo.ZoneInfo("UTC"))
        try:
            response = self.get_response(request)
        finally:
            timezone.deactivate()
        if not response.has_header("Cache-Control"):
            response.headers["Cache-Control"] = "no-store, private"
        patch_vary_headers(response, ["HX-Request"])
        return response
