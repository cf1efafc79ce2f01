"""Searches kept under a name: the list, keeping one, forgetting one."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from segadmin import access
from segadmin.actions import views as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms.search import ViewForm, query
from segadmin.models import Role, SavedView
from segadmin.queries import saved_views
from segadmin.views.forms import add_problems, form_page, posted

NEEDS = {"audit": access.MAY_READ_RECORD, "register": access.MAY_READ_REGISTER}
# Auditors keep views for themselves only: what others see is not theirs to change.
MAY_SHARE = frozenset({Role.APPROVER, Role.ADMIN})


@require_safe
def view_list(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_READ_REGISTER)
    user = access.current(request)
    whole = bool(access.roles_in(user, None) & access.MAY_ADMINISTER)
    own = saved_views.own(user)
    others = saved_views.shared_in(list(access.visible_organizations(user, access.MAY_ADMINISTER)), whole=whole)
    shown = [*own, *(view for view in others if view.owner_id != user.pk)]
    rows = [(view, f"{reverse(view.page)}?{query(view.query)}", view.owner_id == user.pk) for view in shown]
    return render(request, "search/views.html", {"rows": rows})


@form_page
def new(request: HttpRequest) -> HttpResponse:
    """`page` and `q` of the address say what is to be kept."""
    access.anywhere(request, needs=access.MAY_READ_REGISTER)
    form = _form(request)
    if form.is_valid():
        chosen = form.cleaned_data
        access.anywhere(request, needs=NEEDS[chosen["page"]])
        try:
            view = actions.keep(
                actor=access.actor_of(request, form.organization),
                owner=access.current(request),
                page=chosen["page"],
                name=chosen["name"],
                query=chosen["query"],
                shared=form.shared,
                organization=form.organization,
            )
        except NotDone as problem:
            add_problems(form, problem)
        else:
            return redirect(f"{reverse(view.page)}?{query(view.query)}")
    return render(request, "search/new.html", {"form": form}, status=422 if form.errors else 200)


def _form(request: HttpRequest) -> ViewForm:
    user = access.current(request)
    page = str(request.POST.get("page", request.GET.get("page", "")))
    page = page if page in NEEDS else next(iter(NEEDS))
    sharing = MAY_SHARE & NEEDS[page]
    return ViewForm(
        posted(request),
        initial={"page": page, "query": request.GET.get("q", "")},
        organizations=list(access.visible_organizations(user, sharing)),
        everywhere=bool(access.roles_in(user, None) & sharing),
    )


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """By its owner; a shared one also by an admin of where it is shared."""
    access.anywhere(request, needs=access.MAY_READ_REGISTER)
    view = saved_views.by_key(pk)
    if view is None or not _may_remove(request, view):
        raise Http404
    if actions.remove(actor=access.actor_of(request, view.organization), view=view):
        messages.success(request, _("The view “%s” is gone.") % view.name)
    return redirect("saved_views")


def _may_remove(request: HttpRequest, view: SavedView) -> bool:
    user = access.current(request)
    admin = access.roles_in(user, view.organization) & access.MAY_ADMINISTER
    return view.owner_id == user.pk or (view.shared and bool(admin))
