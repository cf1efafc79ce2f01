"""Jobs: the list, one job, cancelling it, and asking Adobe at once."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from segadmin import access, htmx
from segadmin.actions import jobs as actions
from segadmin.aep.errors import AEPError
from segadmin.forms.jobs import BatchForm, CancelForm
from segadmin.models import Job, Sandbox, User
from segadmin.queries import job_filters, job_summary, jobs, overview
from segadmin.queries import job_page as stories
from segadmin.views.shell import back_to

CANCEL_LEVELS = {
    "asked": messages.SUCCESS,
    "already": messages.INFO,
    "final": messages.INFO,
    "gone": messages.INFO,
}


def creatable(user: User, sandboxes: Sequence[Sandbox]) -> list[Sandbox]:
    """Sandboxes in which this person may start an export."""
    return [
        sandbox
        for sandbox in sandboxes
        if sandbox.exports_allowed
        and not sandbox.organization.retired_at
        and access.roles_in(user, sandbox.organization) & access.MAY_CREATE
    ]


@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    """One list over every sandbox the person may see; everything about it stands in the address."""
    user = access.current(request)
    asked = jobs.scope(request.GET, list(access.visible_sandboxes(user)))
    if htmx.is_poll(request):
        return _list_changes(request, asked)
    page, may_create = jobs.page(asked), creatable(user, asked.visible)
    context = {
        "asked": asked,
        "page": page,
        "creatable": may_create,
        "around": overview.around(asked, page, may_create, has_role=bool(access.roles_anywhere(user))),
        "filters": asked.filters,
    }
    return render(request, "jobs/list.html", context)


def _list_changes(request: HttpRequest, asked: jobs.Scope) -> HttpResponse:
    """204 when nothing changed, else the rows that did."""
    changes, places = jobs.changes(asked, request.GET), overview.places(asked.sandboxes)
    silence = overview.silence(asked.sandboxes)
    signature = overview.signature(places, silence)
    moved = signature != request.GET.get("places", "")
    if not changes and not moved:
        return htmx.nothing_new(overview.stamps(places))
    context = {
        "asked": asked,
        "filters": asked.filters,
        "changes": changes,
        "counts": overview.counts(asked),
        "places": places,
        "signature": signature,
        "silence": silence,
        "places_moved": moved,
    }
    return htmx.part(request, "jobs/list.html#changes", context, overview.stamps(places))


@require_POST
def check_list(request: HttpRequest) -> HttpResponse:
    """Ask Adobe now for the sandboxes that the form names (`place`, "slug/name"), or for all the person sees."""
    wanted = set(request.POST.getlist("place"))
    sandboxes = [
        sandbox
        for sandbox in access.visible_sandboxes(access.current(request), access.MAY_CHECK)
        if sandbox.watched
        and not sandbox.organization.retired_at
        and (not wanted or job_filters.place_key(sandbox) in wanted)
    ]
    results = actions.check_sandboxes(actor=access.actor_of(request), sandboxes=sandboxes)
    for result in results:
        if not result.ok:
            messages.warning(request, result.sentence)
    if results and all(result.ok for result in results):
        messages.success(request, _("This is what Adobe lists now."))
    return back_to(request)


@require_POST
def ask_adobe(request: HttpRequest) -> HttpResponse:
    """Look up an id that the mirror doesn't know (`q`), in one sandbox (`place`, "slug/name")."""
    slug, _slash, name = request.POST.get("place", "").partition("/")
    sandbox = access.sandbox(request, slug, name, needs=access.MAY_CHECK)
    job_id = request.POST.get("q", "").strip()
    again = redirect(f"{reverse('jobs')}?{job_filters.query(('q', job_id))}")
    if not overview.may_be_id(job_id):
        messages.warning(request, _("This can’t be the id of a job."))
        return again
    try:
        job = actions.ask_adobe(actor=access.actor_of(request, sandbox.organization), sandbox=sandbox, job_id=job_id)
    except AEPError as error:
        messages.error(request, _("Adobe could not be asked. %s") % error.message)
        return again
    if job is None:
        messages.info(request, _("Adobe has no export job “%(id)s” in %(place)s.") % {"id": job_id, "place": sandbox})
        return again
    return redirect("job", slug, name, job.job_id)


def _rights(request: HttpRequest, job: Job) -> stories.Rights:
    roles = access.roles_in(access.current(request), job.sandbox.organization)
    return stories.Rights(
        may_cancel=bool(roles & access.MAY_CANCEL),
        may_create=bool(roles & access.MAY_CREATE),
        may_read_record=bool(roles & access.MAY_READ_RECORD),
    )


@require_safe
def job_page(request: HttpRequest, slug: str, sandbox_name: str, job_id: str) -> HttpResponse:
    """One job: what it was to do, what became of it, who asked for it and why."""
    job = access.job(request, slug, sandbox_name, job_id)
    if htmx.is_poll(request) and request.GET["poll"] == str(job.version):
        return htmx.nothing_new(stories.stamps(job))
    story = stories.Story(job, _rights(request, job))
    context = {"story": story, "job": job, "summary": job_summary.plain_text(story)}
    if htmx.is_poll(request):
        return htmx.part(request, "jobs/job.html#changed", context)
    return render(request, "jobs/job.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, slug: str, sandbox_name: str, job_id: str) -> HttpResponse:
    """The confirmation, and what it sends. Asking twice, or for a job that has ended, is answered calmly."""
    job = access.job(request, slug, sandbox_name, job_id, needs=access.MAY_CANCEL)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        actor = access.actor_of(request, job.sandbox.organization)
        result = actions.cancel(actor=actor, job=job, reason=form.cleaned_data["reason"])
        messages.add_message(request, CANCEL_LEVELS.get(result.kind, messages.WARNING), result.sentence)
        return redirect("job", slug, sandbox_name, job_id)
    context = {"story": stories.Story(job, _rights(request, job)), "job": job, "form": form}
    status = 422 if form.is_bound and htmx.is_htmx(request) else 200
    return render(request, "jobs/cancel.html", context, status=status)


@require_POST
def check_job(request: HttpRequest, slug: str, sandbox_name: str, job_id: str) -> HttpResponse:
    """Ask Adobe for this job now, instead of waiting for the mirror."""
    job = access.job(request, slug, sandbox_name, job_id, needs=access.MAY_CHECK)
    result = actions.check(actor=access.actor_of(request, job.sandbox.organization), job=job)
    (messages.success if result.ok else messages.warning)(request, result.sentence)
    return redirect("job", slug, sandbox_name, job_id)


@require_POST
def batch_checked(request: HttpRequest, slug: str, sandbox_name: str, job_id: str) -> HttpResponse:
    """Put on record what somebody found in a batch that a cancelled export may have written."""
    job = access.job(request, slug, sandbox_name, job_id, needs=access.MAY_CANCEL)
    form = BatchForm(request.POST)
    batch_id = request.POST.get("batch", "")
    if batch_id not in job.batch_ids:
        messages.error(request, _("This batch does not belong to this job."))
    elif not form.is_valid():
        messages.error(request, str(form.errors["note"][0]))
    else:
        actor = access.actor_of(request, job.sandbox.organization)
        actions.batch_checked(actor=actor, job=job, batch_id=batch_id, note=form.cleaned_data["note"])
        messages.success(request, _("What you found is on record."))
    return redirect("job", slug, sandbox_name, job_id)
