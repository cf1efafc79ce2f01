from typing import Any

from django.http import HttpRequest, HttpResponse


def person_list(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def add(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def roles(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def close(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def reopen(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def password(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)

