"""The export register: the list, one entry's page, and its correction."""

from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from segadmin import access
from segadmin.actions import register as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms.register import AmendForm
from segadmin.models import RegisterEntry, Role
from segadmin.queries import register, register_entry, register_page
from segadmin.views.forms import add_problems, form_page, posted
from segadmin.views.search import register_bar, register_search, rest_chips, written


@require_safe
def register_list(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_READ_REGISTER)
    user = access.current(request)
    form = register_search(request)
    if answer := written(request, form.line):
        return answer
    readable = [row.pk for row in access.visible_organizations(user, access.MAY_READ_RECORD)]
    # A filter that can't be applied shows nothing: showing everything would pass for an answer.
    page = None
    if form.is_valid():
        after = register.Cursor.parse(request.GET.get("after", ""))
        chosen = [row.pk for row in form.chosen_organizations]
        page = register_page.page(chosen, cast("register.Filters", form.narrowed()), after=after, readable=readable)
    context = {
        "form": form,
        "page": page,
        "chips": [*form.chips(), *rest_chips(form)],
        "links": register_page.links(form.query_with, form.used, page),
    }
    return render(request, "register/list.html", context | register_bar(request, form))


@require_safe
def entry_page(request: HttpRequest, pk: int) -> HttpResponse:
    entry = access.register_entry(request, pk)
    roles = access.roles_in(access.current(request), entry.organization)
    story = register_entry.story(entry, may_read_record=bool(roles & access.MAY_READ_RECORD))
    context = {
        "entry": story.row.entry,
        "story": story,
        "may_amend": _may_amend(request, entry) and actions.may_be_amended(entry),
        "may_read_register": bool(roles & access.MAY_READ_REGISTER),
    }
    return render(request, "register/entry.html", context)


def _may_amend(request: HttpRequest, entry: RegisterEntry) -> bool:
    """An admin of the org, or the operator who asked for the export."""
    user = access.current(request)
    roles = access.roles_in(user, entry.organization)
    asked = entry.export_request
    theirs = asked is not None and asked.author_id == user.pk
    return bool(roles & access.MAY_ADMINISTER) or (theirs and Role.OPERATOR in roles)


@form_page
def amend(request: HttpRequest, pk: int) -> HttpResponse:
    entry = access.register_entry(request, pk, needs=access.MAY_ADMINISTER, own={Role.OPERATOR})
    form = AmendForm(posted(request), initial=AmendForm.of(entry))
    if form.is_valid():
        try:
            actions.amend(
                actor=access.actor_of(request, entry.organization),
                entry=entry,
                values=form.values,
                why=form.cleaned_data["why"],
                version=form.cleaned_data["version"],
            )
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("The correction stands in the register, with the first statement beside it."))
            return redirect("register_entry", pk)
    row = register_entry.story(entry, may_read_record=False)
    return render(request, "register/amend.html", {"form": form, "entry": entry, "story": row})
