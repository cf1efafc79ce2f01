from typing import Any

from django.http import HttpRequest, HttpResponse


def new(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def review(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def edit(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def discard(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def settle(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def drafts(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)

