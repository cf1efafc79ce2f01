"""The record: the list of events, and one event's own page. Reading only."""

from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from segadmin import access, htmx
from segadmin.forms.search import query as line_query
from segadmin.queries import audit, completeness, event_sections, people, search
from segadmin.queries.event_sections import DAY
from segadmin.views.search import RecordSearch, bar, record_chips, record_search, viewed, written


def scope_of(request: HttpRequest) -> audit.Scope:
    """What the person may read; files of the record have the same."""
    user = access.current(request)
    whole = bool(access.roles_in(user, None) & access.MAY_READ_RECORD)
    return audit.Scope(list(access.visible_organizations(user, access.MAY_READ_RECORD)), whole)


def form_of(query: QueryDict, scope: audit.Scope) -> RecordSearch:
    """The line and the menus of an address, checked; files of the record have the same."""
    return record_search(query, scope)


def filters_of(form: RecordSearch) -> audit.Filters:
    """Of a form without faults."""
    chosen, narrowed = form.cleaned_data, form.narrowed
    return audit.Filters(
        organizations=form.chosen_organizations,
        no_organization=form.no_organization,
        sandboxes=narrowed.sandboxes,
        persons=people.meant(chosen["person"]),
        actions=chosen["action"],
        outcomes=chosen["outcome"],
        from_at=narrowed.from_at,
        to_at=narrowed.to_at,
        also=narrowed.also,
        sought=narrowed.sought,
    )


def _page(form: RecordSearch, scope: audit.Scope, *, detailed: bool) -> audit.EventPage:
    # A filter that can't be applied shows nothing: showing everything would pass for an answer.
    if not form.is_valid():
        return audit.EventPage((), None)
    filters = filters_of(form)
    if form.since is not None:
        filters = replace(filters, from_at=search.start_of(form.since))
    return audit.page(scope, filters, after=form.cleaned_data["after"], detailed=detailed)


GROUPS = {DAY: _("day"), event_sections.JOB: _("job"), event_sections.PERSON: _("person")}
# Fifty records with all that they say are most of a page's time and weight, so a row fetches its own when it is opened.
DETAILS = {"": _("when opened"), "1": _("all")}


def _shape(request: HttpRequest) -> dict[str, str]:
    """How the page is laid out, as the address says it: the grouping (days go unsaid), and whether all is opened up."""
    group, details = request.GET.get("group", ""), request.GET.get("details", "")
    return {
        "group": group if group in GROUPS and group != DAY else "",
        "details": details if details in DETAILS else "",
    }


def _layouts(line: str, shape: dict[str, str], after: str) -> dict[str, list[tuple[Any, str, bool]]]:
    """(word, query, whether it is chosen) of each layout; the same records stay on the page."""

    def address(**other: str) -> str:
        return line_query(line, after=after, **shape | other)

    chosen = shape["group"] or DAY
    return {
        "groups": [(word, address(group="" if name == DAY else name), name == chosen) for name, word in GROUPS.items()],
        "details": [(word, address(details=name), name == shape["details"]) for name, word in DETAILS.items()],
    }


@require_safe
def event_list(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_READ_RECORD)
    scope, shape = scope_of(request), _shape(request)
    form = form_of(request.GET, scope)
    if answer := written(request, form.line, **shape):
        return answer
    page, line = _page(form, scope, detailed=bool(shape["details"])), form.line.text
    after = str(form.cleaned_data.get("after") or "")
    context = {"form": form, "page": page, "scope": scope, "chips": record_chips(form, **shape), "shape": shape}
    context["shape_query"] = line_query("", **shape)
    context |= {"sections": page.sections(shape["group"] or DAY), **_layouts(line, shape, after)}
    context["completeness"] = completeness.line(scope.organizations)
    context["is_older"] = not (page.rows or line or form.errors) and audit.page(scope, filters_of(form), size=1).rows
    if page.next_after is not None:
        context["next_url"] = f"?{line_query(line, after=str(page.next_after), **shape)}"
    if request.GET.get("after"):
        context["newest_url"] = f"?{line_query(line, **shape)}"
    response = render(request, "audit/list.html", context | bar(request, "audit", form, scope))
    viewed(request, scope.organizations, whole=scope.whole)
    return response


@require_safe
def event_page(request: HttpRequest, seq: int) -> HttpResponse:
    """One event's page; to the list's script only what stands under its line."""
    event = access.event(request, seq)
    if htmx.is_htmx(request):
        response = htmx.part(request, "audit/drawer.html", {"row": audit.row(event), "seq": seq})
    else:
        response = render(request, "audit/event.html", {"story": audit.story(event)})
    scope = scope_of(request)
    viewed(request, scope.organizations, whole=scope.whole)
    return response
