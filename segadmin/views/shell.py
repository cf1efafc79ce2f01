"""Small things around every page: the front door, the zone, staying signed in."""

import zoneinfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from segadmin import access
from segadmin.actions import people


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return redirect(access.front_page(access.current(request)))


def back_to(request: HttpRequest, default: str = "jobs") -> HttpResponse:
    """To the page that the form names in `next`, if it is ours."""
    target = request.POST.get("next", "")
    # An address of ours as a path, and no name of a view: `redirect` would take it for one.
    if target.startswith("/") and url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return HttpResponseRedirect(target)
    return redirect(default)


@require_POST
def set_zone(request: HttpRequest) -> HttpResponse:
    zone = request.POST.get("zone", "")
    if zone in zoneinfo.available_timezones():
        people.choose_zone(access.current(request), zone=zone)
    else:
        messages.error(request, _("This time zone is not known here. Choose one from the menu."))
    return back_to(request)


@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: HttpRequest) -> HttpResponse:
    """What the keyboard does here, and the switch for single keys."""
    user = access.current(request)
    if request.method == "POST":
        people.choose_keys(user, single=request.POST.get("single") == "on")
        return redirect("keys")
    return render(request, "keys.html")


@require_POST
def stay(request: HttpRequest) -> HttpResponse:
    """A sign of life: the middleware has noted it."""
    if request.headers.get("HX-Request") == "true" or request.headers.get("Accept") == "application/json":
        return HttpResponse(status=204)
    return back_to(request)
