"""The statement of completeness, and the rows behind its numbers. Reading only."""

from datetime import UTC

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from segadmin import access
from segadmin.actions.files import Order
from segadmin.forms.findings import PeriodForm
from segadmin.models import FileReceipt
from segadmin.queries import completeness
from segadmin.queries import completeness_rows as behind
from segadmin.queries import completeness_sandboxes as places
from segadmin.queries.unread import patience
from segadmin.views.files import chosen_of, faults, streamed


def _form(request: HttpRequest) -> PeriodForm:
    user = access.current(request)
    organizations = list(access.visible_organizations(user, access.MAY_READ_RECORD))
    return PeriodForm(request.GET, organizations=organizations)


def _statement(form: PeriodForm) -> completeness.Statement | None:
    """None where the period can't be read: another one would pass for the answer."""
    if not form.is_valid():
        return None
    default = completeness.default_period(form.chosen, timezone.now().astimezone(UTC).date())
    first, last = form.days((default.first, default.last))
    form.show(first, last)
    return completeness.statement(form.chosen, completeness.Period(first, last))


def _query(request: HttpRequest, period: completeness.Period) -> str:
    """The address's query for this period and these orgs."""
    query = request.GET.copy()
    for name in ("what", "rule", "after"):
        query.pop(name, None)
    query["from"], query["to"] = period.first.isoformat(), period.last.isoformat()
    return query.urlencode()


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_READ_RECORD)
    form = _form(request)
    told = _statement(form)
    today = timezone.now().astimezone(UTC).date()
    context = {
        "form": form,
        "told": told,
        "query": _query(request, told.period) if told else "",
        "sandboxes": _table(told) if told else [],
        "clocks": places.clocks(told) if told else None,
        "patience": patience(),
        "offered": [(word, _query(request, period)) for word, period in completeness.offered(today)],
    }
    return render(request, "completeness/page.html", context)


def _table(told: completeness.Statement) -> list[places.Row]:
    """Sandbox by sandbox, with a line for all where there are several."""
    found = places.rows(told)
    return [*found, places.summed(found)] if len(found) > 1 else found


@require_safe
def file(request: HttpRequest) -> HttpResponseBase:
    """The page's table and times as CSV, with a receipt."""
    access.anywhere(request, needs=access.MAY_READ_RECORD)
    form = _form(request)
    told = _statement(form)
    if told is None:
        return faults(request, form)
    order = Order(
        what="completeness",
        kind=FileReceipt.Kind.CSV,
        organizations=form.chosen,
        whole=False,
        chosen=chosen_of(request.GET),
        from_at=told.period.from_at,
        to_at=told.period.to_at,
    )
    return streamed(request, order, lambda _cut_off: places.csv(told))


@require_safe
def rows(request: HttpRequest) -> HttpResponse:
    """`what` names the number (a key of TITLES), `rule` one standing explanation."""
    access.anywhere(request, needs=access.MAY_READ_RECORD)
    form, what = _form(request), request.GET.get("what", "")
    told = _statement(form)
    if told is None or what not in behind.TITLES:
        return render(request, "completeness/rows.html", {"form": form, "told": told})
    rule = request.GET.get("rule", "")
    number = int(rule) if rule.isascii() and rule.isdigit() and len(rule) < 19 else None
    found = behind.page(told, what, rule=number, after=request.GET.get("after", ""))
    query = _query(request, told.period)
    here = f"{query}&what={what}" + (f"&rule={number}" if number else "")
    context = {"form": form, "told": told, "page": found, "query": query}
    if found.after:
        context["next_url"] = f"?{here}&after={found.after}"
    return render(request, "completeness/rows.html", context)
