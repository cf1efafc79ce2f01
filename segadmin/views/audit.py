from typing import Any

from django.http import HttpRequest, HttpResponse


def event_list(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def event_page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)

