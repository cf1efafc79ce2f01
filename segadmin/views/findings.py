"""Findings and standing explanations: explain, check by a second person, end."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from segadmin import access
from segadmin.actions import explanations as standing
from segadmin.actions import findings as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms import findings as forms
from segadmin.models import Explanation, Finding, Organization
from segadmin.queries import explanations, findings
from segadmin.views.forms import add_problems, form_page, posted


def _readable(request: HttpRequest) -> list[Organization]:
    access.anywhere(request, needs=access.MAY_SEE_FINDINGS)
    return list(access.visible_organizations(access.current(request), access.MAY_SEE_FINDINGS))


@require_safe
def finding_list(request: HttpRequest) -> HttpResponse:
    organizations = _readable(request)
    form = forms.FindingFilterForm(request.GET, organizations=organizations)
    context = {"form": form, "counts": findings.counts(organizations)}
    # A filter that can't be applied shows nothing: showing everything would pass for an answer.
    if form.is_valid():
        filters = findings.Filters(form.states, form.cleaned_data["kind"], form.chosen)
        context["page"] = found = findings.page(organizations, filters, form.cleaned_data["after"])
        if found.after:
            query = request.GET.copy()
            query["after"] = found.after
            context["next_url"] = f"?{query.urlencode()}"
    return render(request, "findings/list.html", context)


def _roles(request: HttpRequest, organization: Organization) -> dict[str, bool]:
    roles = access.roles_in(access.current(request), organization)
    return {
        "may_explain": bool(roles & access.MAY_EXPLAIN),
        "may_read_record": bool(roles & access.MAY_READ_RECORD),
    }


def _finding_page(request: HttpRequest, finding: Finding, form: forms.ExplainForm) -> HttpResponse:
    context = {
        "story": findings.story(finding),
        "finding": finding,
        "form": form,
        "is_explainer": finding.explained_by == access.current(request).get_username(),
        **_roles(request, finding.organization),
    }
    return render(request, "findings/page.html", context)


@form_page
def page(request: HttpRequest, finding_pk: int) -> HttpResponse:
    """One finding; a POST explains it (`note`)."""
    needs = access.MAY_EXPLAIN if request.method == "POST" else access.MAY_SEE_FINDINGS
    finding = access.finding(request, finding_pk, needs=needs)
    form = forms.ExplainForm(posted(request))
    if form.is_valid():
        try:
            actor = access.actor_of(request, finding.organization)
            actions.explain(actor=actor, finding=finding, note=form.cleaned_data["note"])
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("Explained, not checked: a second person can close it now."))
            return redirect("finding", finding.pk)
    return _finding_page(request, finding, form)


@require_POST
def check(request: HttpRequest, finding_pk: int) -> HttpResponse:
    """A second person closes the finding (`verdict=close`) or opens it again (`verdict=back`, with `note`)."""
    finding = access.finding(request, finding_pk, needs=access.MAY_EXPLAIN)
    form = forms.VerdictForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Nothing was changed: choose whether to close it or to open it again."))
        return redirect("finding", finding.pk)
    closes, note = form.cleaned_data["verdict"] == "close", form.cleaned_data["note"]
    try:
        act = actions.close if closes else actions.send_back
        act(actor=access.actor_of(request, finding.organization), finding=finding, note=note)
    except NotDone as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, _("Checked and closed.") if closes else _("It is open again."))
    return redirect("finding", finding.pk)


@form_page
def new_explanation(request: HttpRequest, finding_pk: int) -> HttpResponse:
    """A standing explanation for jobs like the one that the finding is about."""
    finding = access.finding(request, finding_pk, needs=access.MAY_EXPLAIN)
    form = forms.ExplanationForm(posted(request))
    if form.is_valid():
        try:
            rule = standing.set_explanation(
                actor=access.actor_of(request, finding.organization),
                finding=finding,
                owner=form.cleaned_data["owner"],
                reason=form.cleaned_data["reason"],
                valid_until_at=form.valid_until_at,
            )
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("Set, not checked: a second person can check it now."))
            return redirect("explanation", rule.pk)
    context = {"finding": finding, "story": findings.story(finding), "form": form}
    return render(request, "findings/explanation_new.html", context)


@require_safe
def explanation_list(request: HttpRequest) -> HttpResponse:
    return render(request, "findings/explanations.html", {"rows": explanations.rows(_readable(request))})


def _explanation_page(request: HttpRequest, rule: Explanation, form: forms.EndForm) -> HttpResponse:
    context = {
        "row": explanations.row_of(rule),
        "rule": rule,
        "form": form,
        "findings": findings.of_explanation(rule),
        "is_setter": rule.set_by == access.current(request).get_username(),
        **_roles(request, rule.organization),
    }
    return render(request, "findings/explanation.html", context)


@require_safe
def explanation_page(request: HttpRequest, explanation_pk: int) -> HttpResponse:
    return _explanation_page(request, access.explanation(request, explanation_pk), forms.EndForm())


@require_POST
def check_explanation(request: HttpRequest, explanation_pk: int) -> HttpResponse:
    """A second person agrees with the explanation."""
    rule = access.explanation(request, explanation_pk, needs=access.MAY_EXPLAIN)
    try:
        closed = standing.check(actor=access.actor_of(request, rule.organization), explanation=rule)
    except NotDone as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, _("Checked; findings closed with it: %(n)d.") % {"n": closed})
    return redirect("explanation", rule.pk)


@require_POST
def end_explanation(request: HttpRequest, explanation_pk: int) -> HttpResponse:
    """It no longer holds (`reason`)."""
    rule = access.explanation(request, explanation_pk, needs=access.MAY_EXPLAIN)
    form = forms.EndForm(request.POST)
    if form.is_valid():
        try:
            actor = access.actor_of(request, rule.organization)
            standing.end(actor=actor, explanation=rule, reason=form.cleaned_data["reason"])
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("It has ended. Jobs made from now on are findings again."))
            return redirect("explanation", rule.pk)
    return _explanation_page(request, rule, form)
