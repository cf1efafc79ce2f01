from typing import Any

from django.http import HttpRequest, HttpResponse


def organization_list(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def add(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def edit(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def credential(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def test_connection(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def find_sandboxes(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def sandbox(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def remove(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)

