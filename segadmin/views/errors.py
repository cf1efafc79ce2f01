"""Error pages: plain sentences with the request's id, and nothing of the fault itself."""

import sys

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from segadmin.audit import NotRecorded


def _page(request: HttpRequest, status: int, reason: str = "", template: str = "") -> HttpResponse:
    context = {"request_id": getattr(request, "id", ""), "reason": reason}
    return render(request, template or f"{status}.html", context, status=status)


@login_not_required
def closed(request: HttpRequest) -> HttpResponse:
    """For addresses of allauth that this product does not have."""
    return _page(request, 404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    return _page(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403, reason=str(exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    return _page(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Also for faults before the view, such as a session that the database does not give: those are 503."""
    fault = sys.exc_info()[1]
    if isinstance(fault, NotRecorded):  # the end of a session, say
        request.without_database = True  # type: ignore[attr-defined]
        return _page(request, 503, template="503_record.html")
    if isinstance(fault, OperationalError | InterfaceError):
        request.without_database = True  # type: ignore[attr-defined]  # see middleware.database_unavailable
        return _page(request, 503)
    return _page(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    return _page(request, 403, template="403_csrf.html")
