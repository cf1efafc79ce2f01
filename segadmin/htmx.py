"""What an answer to htmx needs beyond an ordinary page: parts of a page, and "nothing new"."""

import json
from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def is_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def is_poll(request: HttpRequest) -> bool:
    """A refresh that the page sent by itself; a reload of such an address by hand gets the whole page."""
    return "poll" in request.GET and is_htmx(request)


def nothing_new(stamps: Mapping[str, str]) -> HttpResponse:
    """204, with the "as of" stamps (element id -> text) in the header: no row of the page is touched."""
    response = _stamped(HttpResponse(status=204), stamps)
    # Nothing is shown, so there is nothing that a type or a content policy could be about. What is left fits 0.5 kB.
    del response.headers["Content-Type"]
    return _without_policy(response)


def _without_policy(response: HttpResponse) -> HttpResponse:
    """What Django's `csp_override({})` does, for one answer of a view and not all of them."""
    response._csp_config = {}  # type: ignore[attr-defined]
    return response


def part(
    request: HttpRequest, template: str, context: Mapping[str, object], stamps: Mapping[str, str] | None = None
) -> HttpResponse:
    """Render a partial, "page.html#part", and move the stamps with it."""
    return _stamped(render(request, template, dict(context)), stamps or {})


def _stamped(response: HttpResponse, stamps: Mapping[str, str]) -> HttpResponse:
    if stamps:
        response.headers["HX-Trigger"] = json.dumps({"asof": dict(stamps)}, separators=(",", ":"))
    return response
