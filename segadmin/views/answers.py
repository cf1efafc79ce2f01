"""Answers from the register: who exported what, where something went, erasure, and two extracts; each also as CSV."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from segadmin import access
from segadmin.actions.files import Order
from segadmin.forms.answers import AudiencesForm, ByForm, MoreForm, SoughtForm
from segadmin.models import FileReceipt, Organization, Role
from segadmin.queries import (
    answers,
    answers_extracts,
    answers_files,
    answers_trace,
    charts,
    register,
    register_page,
    register_rows,
    retention,
    search,
    search_register,
)
from segadmin.queries.answers_files import BREACH, ERASURE, EXPORTED, PROCESSING, WHERE
from segadmin.queries.files import Part
from segadmin.queries.search import Term
from segadmin.views.files import chosen_of, faults, streamed
from segadmin.views.search import RegisterSearch, register_search, rest_chips, viewed

# Choosing among these only narrows what the page's own choice of them left.
NARROWING = frozenset({"org", "person", "from", "to", "left"})
NO_FILTER = ("after", "by", "audiences", "q")
NEWEST = 50
# Answer -> (name of its page, of its file, and its title).
PAGES: dict[str, tuple[str, str, Promise]] = {
    EXPORTED: ("answers", "answers_csv", _("Who exported what")),
    WHERE: ("answers_where", "answers_where_csv", _("Where did it go")),
    ERASURE: ("answers_erasure", "answers_erasure_csv", _("Erasure trace")),
    PROCESSING: ("answers_processing", "answers_processing_csv", _("Record of processing")),
    BREACH: ("answers_breach", "answers_breach_csv", _("Scope of a breach")),
}


@dataclass
class Leads:
    """Addresses in the register of exactly the rows behind a number; empty where no address says exactly that."""

    form: RegisterSearch
    always: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *, terms: Iterable[Term] = (), audience_instead: str = "", **values: Any) -> str:
        rest, more = self.form.rest, list(terms)
        said = {term.name for term in more if not term.excluded}
        blocked = ({*values, *said} - NARROWING) | (said & NARROWING)
        qualifiers = {search_register.PARAMETERS.get(name, name) for name in {*values, *said}}
        if {"from", "to"} & qualifiers:
            qualifiers |= {"created", "ended"}
        words = [word for value in values.values() for word in (value if isinstance(value, list) else [value])]
        words += [word for term in more for word in term.values]
        if blocked & self.form.used or any(rest.has(name) for name in qualifiers):
            return ""
        if any(search.clean(word) != word or not word for word in words):
            return ""  # no address holds such a text unchanged
        values |= {"audience": audience_instead} if audience_instead else {}
        return self._address({**self.always, **values}, f"{rest.text} {search.write(more)}".strip())

    def _address(self, values: dict[str, Any], line: str) -> str:
        query = self.form.query.copy()
        for name in list(query):
            query.setlist(name, [word for word in query.getlist(name) if word.strip() and name not in NO_FILTER])
        for name, value in {**values, "q": [line] if line else []}.items():
            query.setlist(name, value if isinstance(value, list) else [value])
        return f"{reverse('register')}?{query.urlencode()}"


@dataclass
class Asked:
    """One question: whose rows, which filters, and what else it needs."""

    form: RegisterSearch
    more: MoreForm
    organizations: list[Organization] = field(default_factory=list)
    filters: register.Filters = field(default_factory=lambda: register.Filters())
    lead: Leads = field(init=False)

    def __post_init__(self) -> None:
        self.lead = Leads(self.form)

    @property
    def pks(self) -> list[int]:
        return [row.pk for row in self.organizations]

    @property
    def by(self) -> str:
        return cast("ByForm", self.more).chosen

    @property
    def audiences(self) -> list[str]:
        return cast("AudiencesForm", self.more).words


def _ask(request: HttpRequest, answer: str) -> Asked:
    access.anywhere(request, needs=access.MAY_READ_REGISTER)
    form = register_search(request)
    asked = Asked(form, _more(request, answer, form))
    if form.is_valid() and asked.more.is_valid():
        asked.organizations = form.chosen_organizations
        asked.filters = cast("register.Filters", form.narrowed())
        if answer == EXPORTED and asked.by == answers.PERSON:
            _only_as_auditor(request, asked)
    return asked


def _more(request: HttpRequest, answer: str, form: RegisterSearch) -> MoreForm:
    if answer == EXPORTED:
        return ByForm(request.GET, is_auditor=Role.AUDITOR in access.roles_anywhere(access.current(request)))
    if answer == ERASURE:
        return AudiencesForm(request.GET)
    if answer == WHERE:
        named = bool(form.used & {"audience", "field"})
        return SoughtForm(request.GET, is_named=named, several=bool(form.rest.values("audience")))
    return MoreForm(request.GET)


def _only_as_auditor(request: HttpRequest, asked: Asked) -> None:
    """Persons are compared only in orgs of which one is an auditor; the links then name these orgs."""
    audited = set(access.visible_organizations(access.current(request), {Role.AUDITOR}).values_list("pk", flat=True))
    kept = [row for row in asked.organizations if row.pk in audited]
    if len(kept) < len(asked.organizations):
        asked.lead.always = {"org": [row.slug for row in kept]}
    asked.organizations = kept


# -- pages ------------------------------------------------------------------------------------------------------------


@require_safe
def page(request: HttpRequest, answer: str) -> HttpResponse:
    asked = _ask(request, answer)
    user, form = access.current(request), asked.form
    whole = bool(access.roles_in(user, None) & access.MAY_READ_REGISTER)
    viewed(request, list(form.organizations.values()), whole=whole)
    untouched = answer in (WHERE, ERASURE) and not request.GET
    context: dict[str, Any] = {
        "answer": answer,
        "title": PAGES[answer][2],
        "tabs": [(title, reverse(url), name == answer) for name, (url, _file, title) in PAGES.items()],
        "form": form,
        "more": asked.more,
        "chips": [*form.chips(), *rest_chips(form)],
        "untouched": untouched,
        "is_answered": form.is_valid() and asked.more.is_valid(),
        "csv_url": f"{reverse(PAGES[answer][1])}?{request.GET.urlencode()}",
    }
    if context["is_answered"]:
        context |= _answered(answer, asked)
    return render(request, f"answers/{answer}.html", context)


def _answered(answer: str, asked: Asked) -> dict[str, Any]:
    """What the page shows; the database adds it up, however many rows there are."""
    told = {"basis": register_page.basis_words(asked.filters), "organizations": asked.organizations}
    return {**told, **SHOWN[answer](asked)}


def _exported(asked: Asked) -> dict[str, Any]:
    found = answers.exported(asked.pks, asked.filters, asked.by)
    for group in found.shown:
        group.url = answers.lead_to(group, asked.by, asked.lead, asked.filters)
    chart = charts.chart(found.months, asked.lead, asked.filters)
    by = cast("ByForm", asked.more).word
    return {"found": found, "chart": chart, "by": by, "all_url": asked.lead()}


def _where(asked: Asked) -> dict[str, Any]:
    goals = answers_trace.goals(asked.pks, asked.filters, asked.lead)
    total = answers.Sums()
    for goal in goals:
        total.merge(goal.sums)
    newest = [
        register_rows.rows(register.rows(asked.pks, narrowed, limit=NEWEST))
        for _how, narrowed in answers_trace.parts(asked.filters)
    ]
    return {"goals": goals, "total": total, "newest": newest}


def _erasure(asked: Asked) -> dict[str, Any]:
    trace = answers_trace.trace(asked.pks, asked.filters, asked.audiences, asked.lead)
    return {"trace": trace, "all_url": asked.lead()}


def _processing(asked: Asked) -> dict[str, Any]:
    purposes = answers_extracts.purposes(asked.pks, asked.filters)
    total = answers.Sums()
    for purpose in purposes:
        total.merge(purpose.sums)
    left = answers_extracts.narrowed(asked.filters, answers.GONE_OR_GOING)["left"]
    all_url = asked.lead(left=list(left))
    return {"purposes": purposes, "total": total, "all_url": all_url, "kept": retention.sentence()}


def _breach(asked: Asked) -> dict[str, Any]:
    found = answers_extracts.breach(asked.pks, asked.filters, asked.lead)
    left = list(answers_extracts.narrowed(asked.filters, answers.GONE)["left"])
    return {
        "found": found,
        "all_url": asked.lead(left=left),
        "everyone_url": asked.lead(left=left, audience=register.EXACTLY),
        "all_fields_url": asked.lead(left=left, field=answers.ALL_FIELDS),
    }


SHOWN: dict[str, Callable[[Asked], dict[str, Any]]] = {
    EXPORTED: _exported,
    WHERE: _where,
    ERASURE: _erasure,
    PROCESSING: _processing,
    BREACH: _breach,
}


# -- files ------------------------------------------------------------------------------------------------------------


@require_safe
def file(request: HttpRequest, answer: str) -> HttpResponseBase:
    asked = _ask(request, answer)
    for form in (asked.form, asked.more):
        if not form.is_valid():
            return faults(request, form)
    order = Order(
        what="answers",
        kind=FileReceipt.Kind.CSV,
        organizations=asked.organizations,
        whole=False,
        chosen={**chosen_of(request.GET), "answer": [answer]},
        from_at=asked.filters.get("from_at"),
        to_at=asked.filters.get("to_at"),
        zone=timezone.get_current_timezone_name(),
    )
    return streamed(request, order, lambda _cut_off: _parts(answer, asked))


def _parts(answer: str, asked: Asked) -> Iterable[Part]:
    match answer:
        case "exported":
            return answers_files.exported(asked.pks, asked.filters, asked.by)
        case "where":
            return answers_files.where(asked.pks, asked.filters)
        case "erasure":
            return answers_files.erasure(asked.pks, asked.filters, asked.audiences)
        case "processing":
            return answers_files.processing(asked.pks, asked.filters)
        case _:
            return answers_files.breach(asked.pks, asked.filters)
