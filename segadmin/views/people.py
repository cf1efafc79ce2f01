"""Pages of people: list, new account, an account's page with its roles, closing, password."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from segadmin import access
from segadmin.access import ANY, MAY_ADMINISTER, MAY_CANCEL, MAY_CREATE, MAY_READ_RECORD, MAY_SEE_PEOPLE
from segadmin.actions import people as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms import people as forms
from segadmin.forms.rights import RightsForm
from segadmin.models import Role, User
from segadmin.queries import people as queries
from segadmin.queries import rights as rights_of
from segadmin.queries.search import start_of
from segadmin.views.audit import scope_of
from segadmin.views.forms import add_problems, first_confirm, form_page, posted
from segadmin.views.search import viewed


def offered(request: HttpRequest) -> dict[str, Any]:
    """The places in which the person may give roles, for the forms."""
    user = access.current(request)
    organizations = queries.organizations_for_roles(access.visible_organizations(user, MAY_ADMINISTER))
    return {"organizations": organizations, "everywhere": access.reach(user, MAY_ADMINISTER).everywhere}


@require_safe
def person_list(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=MAY_SEE_PEOPLE)
    user = access.current(request)
    reach = access.reach(user, MAY_SEE_PEOPLE)
    given = request.GET.get("after", "")
    after = int(given) if given.isascii() and given.isdigit() and len(given) <= 18 else None
    found = queries.person_page(reach.organizations, everywhere=reach.everywhere, after=after)
    may_add = bool(access.roles_anywhere(user) & MAY_ADMINISTER)
    return render(request, "people/list.html", {"page": found, "is_first": after is None, "may_add": may_add})


# What a person may ask about -> its words, and the roles that let one do it.
MAY: dict[str, tuple[Any, frozenset[Role]]] = {
    "any": (_lazy("anything"), ANY),
    "export": (_lazy("export"), MAY_CREATE),
    "cancel": (_lazy("cancel exports"), MAY_CANCEL),
    "record": (_lazy("read the record"), MAY_READ_RECORD),
    "administer": (_lazy("change organizations and people"), MAY_ADMINISTER),
}


@require_safe
def rights(request: HttpRequest) -> HttpResponse:
    """Who could do what on a day; from the record, so for those who may read it."""
    access.anywhere(request, needs=MAY_READ_RECORD)
    scope = scope_of(request)
    may = [(name, words) for name, (words, _roles) in MAY.items()]
    form = RightsForm(request.GET, organizations=scope.organizations, may=may)
    context: dict[str, Any] = {"form": form, "scope": scope}
    if form.is_valid():
        now, day = timezone.now(), form.cleaned_data["on"]
        end = start_of(day + timedelta(days=1)) - timedelta(microseconds=1)
        at = min(end, now)
        told = rights_of.rights(
            form.chosen, at, roles=MAY[form.cleaned_data["may"]][1], using=MAY_CANCEL, now=at == now
        )
        context |= {"told": told, "at": at}
    viewed(request, scope.organizations, whole=scope.whole)
    return render(request, "people/rights.html", context)


@sensitive_post_parameters("password")
@form_page
def add(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=MAY_ADMINISTER)
    form = forms.NewPersonForm(posted(request), **offered(request))
    if form.is_valid():
        try:
            person = _add(request, form)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            return redirect("person", person.pk)
    return render(request, "people/add.html", {"form": form})


def _add(request: HttpRequest, form: forms.NewPersonForm) -> User:
    """Make the account, or give the roles to the one that has the name already."""
    username, password = form.cleaned_data["username"], form.cleaned_data["password"]
    existing = queries.by_name(username)
    actor = access.actor_of(request, form.cleaned_data["organization"])
    grants = [
        actions.Grant(role=Role(role), organization=form.cleaned_data["organization"], ends_at=form.ends_at)
        for role in form.cleaned_data["roles"]
    ]
    if existing is None:
        person = actions.add(actor=actor, username=username, password=password, grants=grants)
        messages.success(request, _("The account %(name)s is made.") % {"name": person.username})
        return person
    if password:
        raise NotDone({"password": _("This account exists. Leave the password blank to give it these roles.")})
    actions.give_roles(actor=actor, person=existing, grants=grants)
    messages.success(request, _("%(name)s has these roles now.") % {"name": existing.username})
    return existing


@require_safe
def page(request: HttpRequest, pk: int) -> HttpResponse:
    person = access.person(request, pk)
    form = forms.GiveRoleForm(None, **offered(request))
    return _person_page(request, person, form)


def _person_page(request: HttpRequest, person: User, form: forms.GiveRoleForm) -> HttpResponse:
    user = access.current(request)
    sees, rules = access.reach(user, MAY_SEE_PEOPLE), access.reach(user, MAY_ADMINISTER)
    context = {
        "person": person,
        "form": form,
        "lines": queries.role_lines(person, sees.organizations, everywhere=sees.everywhere),
        "takeable": set(queries.takeable(person, rules.organizations, everywhere=rules.everywhere)),
        "may_give": rules.touches(person) and person.is_active,
        "may_manage": rules.holds(person),
        "is_self": person.pk == user.pk,
    }
    return render(request, "people/page.html", context)


@require_POST
def roles(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a role, or (with `membership`) take one."""
    person = access.person(request, pk, needs=MAY_ADMINISTER)
    if "membership" in request.POST:
        return _take(request, person)
    form = forms.GiveRoleForm(request.POST, **offered(request))
    if form.is_valid():
        place = form.cleaned_data["organization"]
        grant = actions.Grant(role=Role(form.cleaned_data["role"]), organization=place, ends_at=form.ends_at)
        try:
            given = actions.give_role(actor=access.actor_of(request, place), person=person, grant=grant)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            _say(request, given, _("The role is given."))
            return redirect("person", person.pk)
    return _person_page(request, person, form)


def _take(request: HttpRequest, person: User) -> HttpResponse:
    rules = access.reach(access.current(request), MAY_ADMINISTER)
    memberships = queries.takeable(person, rules.organizations, everywhere=rules.everywhere)
    form = forms.TakeRoleForm(request.POST, memberships=memberships)
    if form.is_valid():
        membership = form.cleaned_data["membership"]
        actor = access.actor_of(request, membership.organization)
        try:
            taken = actions.take_role(actor=actor, person=person, membership=membership)
        except NotDone as problem:
            messages.error(request, str(problem))
        else:
            _say(request, taken, _("The role is taken."))
    else:
        messages.info(request, _("This role was taken before, or is not yours to take."))
    return _to_person(request, person)


def _say(request: HttpRequest, changed: bool, sentence: str) -> None:
    if changed:
        messages.success(request, sentence)
    else:
        messages.info(request, _("Nothing differed, so nothing was changed."))


def _to_person(request: HttpRequest, person: User) -> HttpResponse:
    """To the account's page; to the list where the last role that the two had in common is gone."""
    fresh = queries.by_name(person.username) or person
    if access.reach(access.current(request), MAY_SEE_PEOPLE).touches(fresh):
        return redirect("person", person.pk)
    return redirect("people")


@require_POST
def close(request: HttpRequest, pk: int) -> HttpResponse:
    person = access.account(request, pk)
    form = forms.ReasonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    try:
        closed = actions.close(actor=access.actor_of(request), person=person, reason=reason)
    except NotDone as problem:
        messages.error(request, str(problem))
    else:
        _say(request, closed, _("The account is closed and its sessions are ended."))
    return redirect("person", person.pk)


@require_POST
def reopen(request: HttpRequest, pk: int) -> HttpResponse:
    person = access.account(request, pk)
    reopened = actions.reopen(actor=access.actor_of(request), person=person)
    _say(request, reopened, _("The account is open again, with the roles it had."))
    return redirect("person", person.pk)


@sensitive_post_parameters("password")
@form_page
def password(request: HttpRequest, pk: int) -> HttpResponse:
    person = access.account(request, pk)
    if answer := first_confirm(request):
        return answer
    form = forms.PasswordForm(posted(request))
    if form.is_valid():
        try:
            actor = access.actor_of(request)
            actions.set_password(actor=actor, person=person, password=form.cleaned_data["password"])
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("%(name)s has a new password.") % {"name": person.username})
            return redirect("person", person.pk)
    return render(request, "people/password.html", {"form": form, "person": person})
