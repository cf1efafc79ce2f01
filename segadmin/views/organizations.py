"""Pages of orgs: list, page, settings, credential, connection test, sandboxes, removal."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from segadmin import access
from segadmin.access import MAY_ADMINISTER
from segadmin.actions import credentials
from segadmin.actions import organizations as actions
from segadmin.actions.refusals import NotDone
from segadmin.aep.errors import AEPError
from segadmin.forms import organizations as forms
from segadmin.models import Organization
from segadmin.queries import organizations as queries
from segadmin.views.forms import add_problems, first_confirm, form_page, posted


@require_safe
def organization_list(request: HttpRequest) -> HttpResponse:
    user = access.current(request)
    rows = queries.organization_rows(access.visible_organizations(user))
    may_add = access.reach(user, MAY_ADMINISTER).everywhere
    return render(
        request,
        "organizations/list.html",
        {"rows": rows, "may_add": may_add, "has_role": bool(access.roles_anywhere(user))},
    )


@form_page
def add(request: HttpRequest) -> HttpResponse:
    access.everywhere(request, needs=MAY_ADMINISTER)
    form = forms.NewOrganizationForm(posted(request))
    if form.is_valid():
        try:
            new = actions.add(actor=access.actor_of(request), **form.cleaned_data)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("%(org)s is added. Next, set its credential.") % {"org": new.name})
            return redirect("organization", new.slug)
    return render(request, "organizations/add.html", {"form": form})


@require_safe
def page(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization(request, slug)
    user = access.current(request)
    rows = queries.sandbox_rows(organization)
    credential = queries.credential_of(organization)
    context = {
        "organization": organization,
        "rows": rows,
        "watched": [row.sandbox.name for row in rows if row.sandbox.watched],
        "failing": queries.failing(rows),
        "paused_until": queries.paused_until(organization),
        "credential": credential,
        "card": queries.card(organization, credential),
        "last": queries.last_test(organization),
        "members": queries.members(organization),
        "host": queries.host_of(organization.api_url),
        "may_administer": bool(access.roles_in(user, organization) & MAY_ADMINISTER) and not organization.retired_at,
        "may_see_people": bool(access.roles_in(user, organization) & access.MAY_SEE_PEOPLE),
        "may_see_findings": bool(access.roles_in(user, organization) & access.MAY_SEE_FINDINGS),
    }
    return render(request, "organizations/page.html", context)


@form_page
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization(request, slug, needs=MAY_ADMINISTER)
    form = forms.SettingsForm(posted(request), initial=forms.SettingsForm.of(organization))
    if form.is_valid():
        try:
            actor = access.actor_of(request, organization)
            changed = actions.change(actor=actor, organization=organization, **form.cleaned_data)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            return back(request, organization, _("The settings are changed."), changed)
    return render(request, "organizations/edit.html", {"form": form, "organization": organization})


def back(request: HttpRequest, organization: Organization, sentence: str, changed: bool) -> HttpResponse:
    """To the org's page, with what was done, or that nothing differed."""
    if changed:
        messages.success(request, sentence)
    else:
        messages.info(request, _("Nothing differed, so nothing was changed."))
    return redirect("organization", organization.slug)


@sensitive_post_parameters("secret", "pasted")
@form_page
def credential(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization(request, slug, needs=MAY_ADMINISTER)
    if answer := first_confirm(request):
        return answer
    held = queries.credential_of(organization)
    form = forms.CredentialForm(
        posted(request), organization=organization, credential=held, initial=forms.CredentialForm.of(held)
    )
    if form.is_valid():
        try:
            actor = access.actor_of(request, organization)
            changed = credentials.set_credential(actor=actor, organization=organization, **form.values)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            return back(request, organization, _("The credential is stored. Now test the connection."), changed)
    return render(
        request, "organizations/credential.html", {"form": form, "organization": organization, "credential": held}
    )


@require_POST
def test_connection(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization(request, slug, needs=MAY_ADMINISTER)
    try:
        test = credentials.test_connection(actor=access.actor_of(request, organization), organization=organization)
    except NotDone as problem:
        messages.error(request, str(problem))
    else:
        if test.ok:
            messages.success(request, _("Every step of the connection test works."))
        else:
            messages.error(request, _("The connection test failed; the failing step is below."))
    return redirect("organization", organization.slug)


@require_POST
def find_sandboxes(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization(request, slug, needs=MAY_ADMINISTER)
    try:
        found = actions.find_sandboxes(actor=access.actor_of(request, organization), organization=organization)
    except AEPError as error:
        said = _("Adobe said: %(words)s") % {"words": error.adobe_message} if error.adobe_message else ""
        messages.error(request, f"{error.message} {said}".strip())
    else:
        if found.active:
            messages.success(request, _("Sandboxes at Adobe: %(told)s.") % {"told": found.sentence})
        else:
            messages.warning(request, _("Adobe named no sandbox. The credential may lack the rights to see any."))
    return redirect("organization", organization.slug)


@form_page
def sandbox(request: HttpRequest, slug: str, sandbox_name: str) -> HttpResponse:
    found = access.sandbox(request, slug, sandbox_name, needs=MAY_ADMINISTER)
    form = forms.SandboxForm(posted(request), initial=forms.SandboxForm.of(found))
    if form.is_valid():
        try:
            actor = access.actor_of(request, found.organization)
            changed = actions.change_sandbox(actor=actor, sandbox=found, **form.cleaned_data)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            return back(request, found.organization, _("%(name)s is changed.") % {"name": found.name}, changed)
    return render(
        request, "organizations/sandbox.html", {"form": form, "sandbox": found, "organization": found.organization}
    )


@form_page
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    organization = access.organization(request, slug, needs=MAY_ADMINISTER)
    form = forms.RemovalForm(posted(request), organization=organization)
    if form.is_valid():
        try:
            actor = access.actor_of(request, organization)
            removed = actions.retire(actor=actor, organization=organization, reason=form.cleaned_data["reason"])
        except NotDone as problem:
            add_problems(form, problem)
        else:
            return back(request, organization, _("%(org)s is removed.") % {"org": organization.name}, removed)
    return render(request, "organizations/remove.html", {"form": form, "organization": organization})
