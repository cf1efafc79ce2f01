"""How long records are kept, what would go today, and legal holds."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from segadmin import access
from segadmin.actions import holds
from segadmin.actions import retention as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms.retention import HoldForm, ReleaseForm, RetentionForm
from segadmin.models import Hold, Role
from segadmin.queries import jobs, retention
from segadmin.views.forms import add_problems, form_page, posted


def _may_change(request: HttpRequest) -> bool:
    return Role.ADMIN in access.roles_in(access.current(request), None)


@form_page
def page(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_READ_RECORD)
    form = RetentionForm(posted(request), initial=RetentionForm.of(retention.installation()))
    if request.method == "POST":
        access.everywhere(request, needs=access.MAY_ADMINISTER)
        if form.is_valid():
            try:
                actions.change(actor=access.actor_of(request), **form.cleaned_data)
            except NotDone as problem:
                add_problems(form, problem)
            else:
                messages.success(request, _("Saved. Nothing that is held goes, and every event keeps its digest."))
                return redirect("retention")
    reach = access.reach(access.current(request), access.MAY_READ_RECORD)
    context = {
        "form": form,
        "classes": retention.overview(retention.readable(reach.organizations, whole=reach.everywhere)),
        # What is gone is of no org any more: only a whole installation's reader can be told how much it is.
        "gone": retention.gone() if reach.everywhere else None,
        "place": retention.installation(),
        "holds": retention.in_force_for(reach.organizations, whole=reach.everywhere),
        "sees_all": reach.everywhere,
        "may_change": _may_change(request),
    }
    return render(request, "retention/page.html", context)


@form_page
def hold(request: HttpRequest) -> HttpResponse:
    access.everywhere(request, needs=access.MAY_ADMINISTER)
    form = HoldForm(posted(request), initial={"kind": "job", "job": request.GET.get("job", "")})
    if form.is_valid():
        try:
            _place(request, form)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("Held. Nothing that it covers goes until the hold is released."))
            return redirect("retention")
    return render(request, "retention/hold.html", {"form": form})


def _place(request: HttpRequest, form: HoldForm) -> None:
    actor, chosen = access.actor_of(request), form.cleaned_data
    if chosen["kind"] == Hold.Kind.PERSON:
        holds.place_on_person(actor=actor, person=chosen["person"], reason=chosen["reason"])
    elif chosen["kind"] == Hold.Kind.PERIOD:
        from_at, until_at = form.span
        holds.place_on_period(actor=actor, from_at=from_at, until_at=until_at, reason=chosen["reason"])
    else:
        job = jobs.by_path(chosen["job"])
        if job is None:
            raise NotDone({"job": _("No such export is known here. Write organization / sandbox / job id.")})
        holds.place_on_job(actor=actor, job=job, reason=chosen["reason"])


@form_page
def release(request: HttpRequest, pk: int) -> HttpResponse:
    access.everywhere(request, needs=access.MAY_ADMINISTER)
    found = retention.in_force().filter(pk=pk).first()
    if found is None:
        raise Http404
    form = ReleaseForm(posted(request))
    if form.is_valid():
        try:
            holds.release(actor=access.actor_of(request), hold=found, reason=form.cleaned_data["reason"])
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("Released. What it covered goes when its time is over."))
            return redirect("retention")
    return render(request, "retention/release.html", {"form": form, "hold": found})
