"""What the searchable pages share: the line and its form, chips, tabs, and that somebody looked."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from segadmin import access, htmx
from segadmin.actions import views as actions
from segadmin.forms.audit import Chip, EventFilterForm
from segadmin.forms.register import RegisterFilterForm
from segadmin.forms.search import LABELS, PAGES, QueryLine, query
from segadmin.models import Organization
from segadmin.queries import audit, register, saved_views, search, search_audit, search_help, search_register

# What the record's page shows when no period is asked for.
DEFAULT_DAYS = 92
WRITE = "write"  # sent along with the menus: their choices are then written into the line


class RecordSearch(QueryLine, EventFilterForm):
    """The line and the menus of the record. `rest` is the line without what the menus say."""

    line: search.Line
    narrowed: search_audit.Narrowed

    @property
    def rest(self) -> str:
        line = self.line
        return line.text if line.problems else line.leaving_out([*search_audit.IN_MENUS, "created"]).text

    @property
    def since(self) -> Any:
        """The first day that is shown where the line says nothing about when; None where it does."""
        if self.line.has("created", *search_audit.DIRECT):
            return None
        return timezone.localdate() - timedelta(days=DEFAULT_DAYS)

    @property
    def everything_url(self) -> str:
        return f"?{self.everything}"

    @property
    def everything(self) -> str:
        return query(self.line.adding([search.Term("created", (search.EVERYTHING,))]).text)

    @property
    def shown(self) -> str:
        """The query of exactly what the page shows, with its period written out."""
        since = self.since
        terms = [search.Term("created", (f">={since.isoformat()}",))] if since else []
        return query(self.line.adding(terms).text)


class RegisterSearch(QueryLine, RegisterFilterForm):
    """The line and the menus of the register. `rest` is what of the line the menus have no place for."""

    line: search.Line
    rest: search.Line
    also: Any

    def narrowed(self) -> dict[str, Any]:
        return {**super().narrowed(), "also": self.also}


def record_search(given: QueryDict, scope: audit.Scope) -> RecordSearch:
    line = search_audit.read(given)
    narrowed = search_audit.narrowed(line, scope)
    people = audit.people(scope)
    form = RecordSearch(
        search_audit.as_choices(line, given), organizations=scope.organizations, whole=scope.whole, people=people
    )
    form.line, form.narrowed, form.problems = line, narrowed, narrowed.problems
    return form


def register_search(request: HttpRequest) -> RegisterSearch:
    user = access.current(request)
    organizations = list(access.visible_organizations(user, access.MAY_READ_REGISTER))
    sandboxes = list(access.visible_sandboxes(user, access.MAY_READ_REGISTER))
    line = search_register.read(request.GET)
    choices, rest = search_register.as_choices(line, request.GET, sandboxes)
    also, problems = search_register.condition(rest, organizations=organizations, sandboxes=sandboxes)
    people = register.people([row.pk for row in organizations])
    form = RegisterSearch(choices, organizations=organizations, sandboxes=sandboxes, people=people)
    form.line, form.rest, form.also, form.problems = line, rest, also, [*line.problems, *problems]
    return form


def chips(line: search.Line, words: dict[str, dict[str, Any]], **kept: str) -> list[Chip]:
    """Each value of the line, with the address that leaves it out; `words`: qualifier -> value -> label.

    `kept` is what else the address goes on saying.
    """
    return [
        Chip(
            name=f"{LABELS[term.name]}{NOT if term.excluded else ''}",
            value=str(words.get(term.name, {}).get(value, value)),
            query=query(line.without(term.name, value, excluded=term.excluded).text, **kept),
        )
        for term in line.terms
        for value in term.values
    ]


NOT = ", not"


def record_chips(form: RecordSearch, **kept: str) -> list[Chip]:
    names = {"org": "org", "action": "action", "outcome": "outcome"}
    words = {name: dict(getattr(form.fields[field], "choices", ())) for name, field in names.items()}
    return chips(form.line, words, **kept)


def rest_chips(form: RegisterSearch) -> list[Chip]:
    """Of what the register's menus have no place for; the address keeps their choices."""
    found = []
    for chip in chips(form.rest, {}):
        address = form.query.copy()
        address.pop("after", None)
        address["q"] = QueryDict(chip.query).get("q", "")
        found.append(Chip(chip.name, chip.value, address.urlencode()))
    return found


def written(request: HttpRequest, line: search.Line, **kept: str) -> HttpResponse | None:
    """The page at the address of its line, where menus were sent along; else None."""
    if WRITE not in request.GET:
        return None
    found = query(line.text, **kept)
    return redirect(f"{request.path}?{found}" if found else request.path)


def bar(request: HttpRequest, page: str, form: RecordSearch | RegisterSearch, scope: audit.Scope) -> dict[str, Any]:
    """What templates/search/bar.html shows: the line, tabs, and where to save it."""
    user, line = access.current(request), form.line.text
    return {
        "line": line,
        "search_form": form,
        "tabs": [(tab, query(tab.view.query)) for tab in saved_views.tabs(user, page, scope, line)],
        "search_page": page,
        "save_query": query(line, page=page),
        "help_page": f"{page}_query",
    }


@require_safe
def query_help(request: HttpRequest, page: str) -> HttpResponse:
    """How a query is written: a page, or for the fold above the query only its text."""
    access.current(request)
    context = {"page": page, "page_name": dict(PAGES)[page], "qualifiers": search_help.qualifiers(page)}
    if htmx.is_htmx(request):
        return htmx.part(request, "search/help.html#text", context)
    return render(request, "search/help.html", context)


def viewed(request: HttpRequest, organizations: Sequence[Organization], *, whole: bool = False) -> None:
    """That this person looks through the record: asked of the database at most once an hour and session."""
    now = int(time.time())
    if now - request.session.get("record_viewed", 0) < actions.VIEWED_ONCE_IN.total_seconds():
        return
    alone = organizations[0] if len(organizations) == 1 and not whole else None
    actions.note_viewed(actor=access.actor_of(request, alone), organization=alone)
    request.session["record_viewed"] = now


def register_bar(request: HttpRequest, form: RegisterSearch) -> dict[str, Any]:
    whole = bool(access.roles_in(access.current(request), None) & access.MAY_READ_REGISTER)
    scope = audit.Scope(list(form.organizations.values()), whole)
    viewed(request, scope.organizations, whole=whole)
    return bar(request, "register", form, scope)
