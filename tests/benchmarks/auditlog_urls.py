"""Both lists with pages of the same length: the record's, and the one that django-auditlog brings for the admin."""

from auditlog.admin import LogEntryAdmin  # type: ignore[import-untyped]
from auditlog.models import LogEntry  # type: ignore[import-untyped]
from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.urls import include, path

from segadmin.queries import audit
from segadmin.urls import handler400, handler403, handler404, handler500
from segadmin.views.audit import event_list

__all__ = ["handler400", "handler403", "handler404", "handler500"]
LONGER = 100  # what the admin shows by default


class ShorterAdmin(LogEntryAdmin):  # type: ignore[misc]
    """Pages as long as the record's."""

    list_per_page = audit.PAGE_SIZE


shorter = admin.AdminSite("shorter")
shorter.register(LogEntry, ShorterAdmin)


def longer_event_list(request: HttpRequest) -> HttpResponseBase:
    """The record's page with as many rows as the admin's. One request at a time: it changes a default meanwhile."""
    defaults = audit.page.__kwdefaults__
    assert defaults is not None
    kept = defaults["size"]
    defaults["size"] = LONGER
    try:
        return event_list(request)
    finally:
        defaults["size"] = kept


urlpatterns = [
    path("admin/", admin.site.urls),
    path("shorter/", shorter.urls),
    path("longer/", longer_event_list),
    path("", include("segadmin.urls")),
]
