"""For the machine: alive, and ready. No data in either."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from segadmin.queries import health


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """200 while the database answers and the mirror is fresh, else 503 with one word that says which."""
    word = health.readiness()
    return HttpResponse(f"{word}\n", content_type="text/plain; charset=utf-8", status=200 if word == "ready" else 503)
