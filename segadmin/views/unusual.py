"""An org's rules for unusual exports: read by all who see its findings, changed by its admins."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from segadmin import access
from segadmin.actions import unusual as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms.unusual import UnusualForm
from segadmin.models import Organization
from segadmin.queries import unusual
from segadmin.views.forms import add_problems, form_page, posted


@form_page
def page(request: HttpRequest, slug: str) -> HttpResponse:
    needs = access.MAY_ADMINISTER if request.method == "POST" else access.MAY_SEE_FINDINGS
    organization = access.organization(request, slug, needs=needs)
    place = actions.mail_of(organization)
    form = UnusualForm(posted(request), initial=UnusualForm.of(unusual.rules(organization), place))
    if form.is_valid() and (answer := _change(request, organization, form)):
        return answer
    roles = access.roles_in(access.current(request), organization)
    context = {
        "organization": organization,
        "rows": unusual.rows(organization),
        "place": place,
        "address": actions.address_of(place),
        "changes": unusual.changes(organization) if roles & access.MAY_READ_RECORD else [],
        "form": form,
        "may_change": bool(roles & access.MAY_ADMINISTER) and not organization.retired_at,
    }
    return render(request, "findings/unusual.html", context)


def _change(request: HttpRequest, organization: Organization, form: UnusualForm) -> HttpResponse | None:
    """None where the form has to be shown again."""
    chosen = form.cleaned_data
    try:
        changed = actions.change(
            actor=access.actor_of(request, organization),
            organization=organization,
            wanted=form.wanted,
            to=chosen["to"],
            mail=chosen["mail"],
            version=chosen["version"],
        )
    except NotDone as problem:
        add_problems(form, problem)
        return None
    if changed:
        messages.success(request, _("Changed. The rules hold for exports made from now on."))
    else:
        messages.info(request, _("Nothing differed, so nothing was changed."))
    return redirect("unusual", organization.slug)
