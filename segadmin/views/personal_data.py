"""An org's map of personal data: the version in force, the earlier ones, and the form that makes a new one."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from segadmin import access
from segadmin.actions import personal_data as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms.register import PersonalDataForm, lines
from segadmin.models import Category, Organization
from segadmin.queries import personal_data
from segadmin.views.forms import add_problems, form_page, posted


@form_page
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """Everybody in the org may read the map; an admin changes it."""
    needs = access.MAY_ADMINISTER if request.method == "POST" else access.ANY
    organization = access.organization(request, slug, needs=needs)
    used = _asked_version(request, organization)
    initial = {
        "field_lines": lines((entry.as_json() for entry in used.entries), personal_data.FIELD),
        "audience_lines": lines((entry.as_json() for entry in used.entries), personal_data.AUDIENCE),
        "version": personal_data.current(organization).version,
    }
    form = PersonalDataForm(posted(request), initial=initial)
    if form.is_valid() and _store(request, organization, form):
        return redirect("personal_data", organization.slug)
    may_change = access.MAY_ADMINISTER & access.roles_in(access.current(request), organization)
    context = {
        "organization": organization,
        "used": used,
        "history": personal_data.history(organization),
        "newest": initial["version"],
        "form": form,
        "kinds": Category.values,
        "may_change": bool(may_change) and not organization.retired_at,
    }
    return render(request, "register/personal_data.html", context)


def _asked_version(request: HttpRequest, organization: Organization) -> personal_data.Map:
    """The version in the address, else the newest one."""
    number = request.GET.get("version", "")
    if not number:
        return personal_data.current(organization)
    found = personal_data.version(organization, int(number)) if number.isascii() and number.isdigit() else None
    if found is None or len(number) > 9:
        raise Http404
    return found


def _store(request: HttpRequest, organization: Organization, form: PersonalDataForm) -> bool:
    chosen = form.cleaned_data
    try:
        new = actions.set_map(
            actor=access.actor_of(request, organization),
            organization=organization,
            entries=form.entries,
            retroactive=chosen["retroactive"],
            version=chosen["version"],
        )
    except NotDone as problem:
        add_problems(form, problem)
        return False
    messages.success(request, _("Version %d of the map is in force.") % new.version)
    return True
