from typing import Any

from django.http import HttpRequest, HttpResponse


def job_list(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def check_list(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def ask_adobe(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def cancel(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def check_job(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def batch_checked(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)


def job_page(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(status=501)

