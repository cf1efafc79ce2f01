"""New exports: the form and its drafts, the review, sending, and what became of it."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from segadmin import access, htmx
from segadmin.actions import requests as actions
from segadmin.actions import settlement
from segadmin.forms import typed as typed_form
from segadmin.forms.names import Catalogue, Directory
from segadmin.forms.requests import LEGAL_BASES, RequestForm
from segadmin.forms.sending import SendForm
from segadmin.forms.typed import Typed
from segadmin.models import ExportRequest, Job, Organization, RequestState, Sandbox, Settlement
from segadmin.queries import cautions, names, sentences
from segadmin.queries import requests as queries

# More names than this are found while typing, instead of standing in the page.
MOST_OFFERED = 300
EXTRA_ROWS = 3


def _catalogue(sandbox: Sandbox) -> Catalogue:
    return Catalogue(
        audiences=Directory(names.audiences(sandbox)),
        datasets=Directory(names.datasets(sandbox)),
        merge_policies=Directory(names.merge_policies(sandbox)),
        fields=Directory(names.fields(sandbox)),
    )


def _place(row: ExportRequest) -> tuple[str, str, uuid.UUID]:
    return row.sandbox.organization.slug, row.sandbox.name, row.uuid


def _page_of(row: ExportRequest) -> HttpResponse:
    """To the request's own page."""
    return redirect("request", *_place(row))


def _job_of(row: ExportRequest) -> Job | None:
    found: Job | None = getattr(row, "job", None)
    return found


def _where(row: ExportRequest) -> HttpResponse:
    """To the job that came of it, or to the page that says why there is none (yet)."""
    job = _job_of(row)
    if job is None:
        return _page_of(row)
    return redirect("job", row.sandbox.organization.slug, row.sandbox.name, job.job_id)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, slug: str, sandbox_name: str) -> HttpResponse:
    sandbox = access.sandbox(request, slug, sandbox_name, needs=access.MAY_CREATE)
    if request.method == "POST":
        return _save(request, sandbox, None)
    if "part" in request.GET:
        return _part(request, sandbox)
    start, copied = _start(request, sandbox)
    form = RequestForm.show(start, _catalogue(sandbox))
    return _form_page(request, sandbox, form, None, copied=copied)


def _start(request: HttpRequest, sandbox: Sandbox) -> tuple[Typed, dict[str, Any]]:
    """A blank form, or one like an earlier job or request of this sandbox. Nothing is preselected that widens."""
    key = {"form_key": [uuid.uuid4().hex]}
    place = (sandbox.organization.slug, sandbox.name)
    earlier: ExportRequest | None = None
    if job_id := request.GET.get("copy", ""):
        job = access.job(request, *place, job_id, needs=access.MAY_CREATE)
        body, label, earlier = job.raw, job.job_id, job.export_request
    elif again := _uuid(request.GET.get("again", "")):
        earlier = access.export_request(request, *place, again, needs=access.MAY_CREATE)
        body, label = earlier.body, str(earlier.uuid)
    else:
        return {"who": ["audiences"], "which": ["these"], **key}, {}
    start = {**typed_form.from_body(body), "copied_from": [label], **key}
    if earlier:
        told = {name: getattr(earlier, name) for name in ("purpose", "recipient", "ticket", "legal_basis")}
        start |= {name: [text] for name, text in told.items() if text}
    copied = {"label": label, "job_id": job_id, "asks_who": "who" not in start, "asks_which": "which" not in start}
    return start, copied


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, slug: str, sandbox_name: str, request_uuid: uuid.UUID) -> HttpResponse:
    row = access.export_request(request, slug, sandbox_name, request_uuid, needs=access.MAY_CREATE)
    if not _may_change(request, row):
        return _where(row)
    if request.method == "POST":
        return _save(request, row.sandbox, row)
    rows = EXTRA_ROWS if "more" in request.GET else 1
    catalogue = _catalogue(row.sandbox)
    if row.state != RequestState.REFUSED:
        return _form_page(request, row.sandbox, RequestForm.show(row.typed, catalogue, rows), row)
    form = RequestForm.check(row.typed, catalogue, rows)
    form.full_clean()
    form.add_api_errors({name: _("Adobe said: %s") % text for name, text in row.answer.get("fields", {}).items()})
    return _form_page(request, row.sandbox, form, row)


def _may_change(request: HttpRequest, row: ExportRequest) -> bool:
    """Only its author changes a request, and only while Adobe surely has no job of it."""
    if row.state not in actions.OPEN_STATES:
        return False
    if row.author_id != access.current(request).pk:
        messages.warning(request, _("This is %s’s request. Copy it to make one of your own.") % row.author_name)
        return False
    return True


def _save(request: HttpRequest, sandbox: Sandbox, row: ExportRequest | None) -> HttpResponse:
    """Whatever was typed is kept as a draft first; then the person goes on to the review, or sees what is at fault."""
    as_typed = typed_form.read(request.POST)
    form = RequestForm.check(as_typed, _catalogue(sandbox))
    if actions.why_not(sandbox):
        return _form_page(request, sandbox, form, row, status=403)
    valid, by_itself = form.is_valid(), "autosave" in request.POST
    if row is None:
        row = queries.of_form(access.current(request), sandbox, as_typed.get("form_key", [""])[-1])
        if row and row.state not in actions.OPEN_STATES:
            if by_itself or (valid and form.body == row.body):
                return HttpResponse(status=204) if by_itself else _sent_before(request, row)
            row = None
    if typed_form.says_anything(as_typed):
        try:
            row = _store(request, sandbox, form, row)
        except actions.NotADraft:
            assert row is not None
            return _sent_before(request, row)
    return _kept(request, sandbox, form, row)


def _sent_before(request: HttpRequest, row: ExportRequest) -> HttpResponse:
    messages.info(request, _("This export was sent before. Nothing was sent again."))
    return _where(row)


def _store(request: HttpRequest, sandbox: Sandbox, form: RequestForm, row: ExportRequest | None) -> ExportRequest:
    values: dict[str, Any] = {
        "actor": access.actor_of(request, sandbox.organization),
        "author": access.current(request),
        "sandbox": sandbox,
        "typed": form.settled(),
        "body": form.body if form.is_valid() else {},
        "copied_from": form.told(["copied_from"])["copied_from"],
        **form.told(),
    }
    if row and row.state == RequestState.DRAFT and (row.typed, row.body) == (values["typed"], values["body"]):
        return row
    try:
        return actions.save_draft(export_request=row, **values)
    except actions.NotADraft:
        if row is None:
            raise
        # Perhaps only another tab kept it meanwhile: what was typed last is what is meant.
        row.refresh_from_db()
        return actions.save_draft(export_request=row, **values)


def _kept(request: HttpRequest, sandbox: Sandbox, form: RequestForm, row: ExportRequest | None) -> HttpResponse:
    if "autosave" in request.POST:
        if row is None:
            return HttpResponse(status=204)
        response = render(request, "requests/kept.html", {"sandbox": sandbox, **_draft_context(row)})
        # From now on a reload leads to this draft.
        response.headers["HX-Replace-Url"] = reverse("request_edit", args=_place(row))
        return response
    if row and "more" in request.POST:
        return redirect(f"{reverse('request_edit', args=_place(row))}?more=1#audiences")
    if row and "draft" in request.POST:
        messages.success(request, _("Kept as a draft. Nothing was sent."))
        return redirect("request_edit", *_place(row))
    if row and form.is_valid():
        return _page_of(row)
    return _form_page(request, sandbox, form, row)


def _form_page(
    request: HttpRequest,
    sandbox: Sandbox,
    form: RequestForm,
    row: ExportRequest | None,
    *,
    copied: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    form.fields["dataset"].widget.attrs |= _asks_for_recipient(sandbox)
    others = queries.unfinished(access.current(request), [sandbox.organization])
    context = {
        "sandbox": sandbox,
        "form": form,
        **_draft_context(row),
        "copied": copied,
        "reason": actions.why_not(sandbox),
        **_offers(form.catalogue),
        "drafts": [one for one in others if one.sandbox_id == sandbox.pk and one != row][:3],
    }
    return render(request, "requests/form.html", context, status=status)


def _offers(catalogue: Catalogue) -> dict[str, Any]:
    """What the form's lists offer. Datasets that surely can't take an export are not in them."""
    offers = zip(catalogue.datasets.rows, catalogue.datasets.offers, strict=True)
    return {
        "audiences": catalogue.audiences.offers[:MOST_OFFERED],
        "finds_audiences": len(catalogue.audiences.rows) > MOST_OFFERED,
        "datasets": [offer for row, offer in offers if row.details.get("union") is not False][:MOST_OFFERED],
        "policies": catalogue.merge_policies.offers[:MOST_OFFERED],
        "legal_bases": LEGAL_BASES,
    }


def _draft_context(row: ExportRequest | None) -> dict[str, Any]:
    """What the page says about the kept draft, and what it would do."""
    complete = row if row and row.is_complete else None
    return {
        "draft": row,
        "expires_at": queries.expires_at(row) if row else None,
        "estimate": queries.estimate(complete) if complete else None,
        "parts": sentences.body_parts(complete.body, complete.sandbox, complete.names) if complete else None,
    }


def _asks_for_recipient(sandbox: Sandbox) -> dict[str, str]:
    """Attributes by which the dataset's field fetches its usual recipient."""
    return {
        "hx-get": f"{reverse('new_export', args=[sandbox.organization.slug, sandbox.name])}?part=recipient",
        "hx-trigger": "change",
        "hx-include": "#id_recipient",
        "hx-target": "#recipient",
        "hx-swap": "outerHTML",
    }


def _part(request: HttpRequest, sandbox: Sandbox) -> HttpResponse:
    """Small things that the form asks for while it is filled in: the dataset's usual recipient, audiences by name."""
    nothing = HttpResponse(status=204)
    if request.GET["part"] == "recipient":
        row = Directory(names.datasets(sandbox)).find(request.GET.get("destination__datasetId", ""))
        found = row and queries.last_recipient(sandbox, row.external_id)
        if not found or request.GET.get("recipient", "").strip():
            return nothing
        form = RequestForm.show({"recipient": [found]}, Catalogue())
        return render(request, "requests/form.html#recipient", {"form": form})
    wanted = next((str(text) for name, text in request.GET.items() if name.endswith("-segmentId")), "").casefold()
    if not wanted:
        return nothing
    offers = Directory(names.audiences(sandbox)).offers
    close = [offer for offer in offers if any(wanted in part.casefold() for part in offer)]
    return render(request, "requests/form.html#audiences", {"audiences": close[:50]})


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, slug: str, sandbox_name: str, request_uuid: uuid.UUID) -> HttpResponse:
    reads = request.method != "POST" and queries.is_public(request_uuid)
    needs = access.ANY if reads else access.MAY_CREATE
    row = access.export_request(request, slug, sandbox_name, request_uuid, needs=needs)
    if request.method == "POST":
        return _send(request, row)
    if htmx.is_poll(request):
        return _poll(request, row)
    if row.state == RequestState.DRAFT and not row.is_complete:
        return redirect("request_edit", *_place(row))
    return _review_page(request, row, _send_form(row))


def _send_form(row: ExportRequest, data: Any = None) -> SendForm:
    needed = actions.needed_confirmations(row) if row.body else []
    return SendForm(data, initial={"version": row.version}, needed=needed, sandbox_name=row.sandbox.name)


def _send(request: HttpRequest, row: ExportRequest) -> HttpResponse:
    """One POST to Adobe per request, ever: a second click, a reload and Back all end at the first one's job."""
    if not _may_change(request, row):
        return _where(row)
    form = _send_form(row, request.POST)
    if actions.why_not(row.sandbox):
        return _review_page(request, row, _send_form(row), status=403)
    if not row.is_complete or not form.is_valid():
        return _review_page(request, row, form) if row.is_complete else redirect("request_edit", *_place(row))
    # A client that does not say which version it reviewed means the one that is stored.
    version = form.cleaned_data["version"] or row.version
    actor = access.actor_of(request, row.sandbox.organization)
    try:
        row = actions.send(actor=actor, export_request=row, version=version, confirmed=form.confirmed())
    except actions.AlreadySent:
        row.refresh_from_db()
    except actions.Changed:
        messages.warning(request, _("It was changed since you reviewed it. Nothing was sent: read it again."))
    except actions.NotAllowed as refusal:
        form.add_error(None, str(refusal))
        return _review_page(request, row, form)
    return _where(row)


def _status(row: ExportRequest) -> dict[str, Any]:
    """What became of it; `marker` changes when that does."""
    lost = row.state in (RequestState.UNKNOWN, RequestState.SENDING)
    attempt = queries.create_attempt(row) if lost else None
    candidates = settlement.candidates(attempt) if attempt and attempt.settlement == Settlement.PERSON else []
    marker = f"{row.state}.{attempt.settlement if attempt else ''}.{'.'.join(str(job.pk) for job in candidates)}"
    return {"row": row, "job": _job_of(row), "attempt": attempt, "candidates": candidates, "marker": marker}


def _poll(request: HttpRequest, row: ExportRequest) -> HttpResponse:
    status = _status(row)
    if request.GET.get("seen") == status["marker"]:
        return HttpResponse(status=204)
    return render(request, "requests/review.html#status", {**status, "may": _rights(request, row.sandbox.organization)})


def _rights(request: HttpRequest, organization: Organization) -> bool:
    return bool(access.roles_in(access.current(request), organization) & access.MAY_CREATE)


def _review_page(request: HttpRequest, row: ExportRequest, form: SendForm, *, status: int = 200) -> HttpResponse:
    mine = row.author_id == access.current(request).pk
    open_ = row.state in actions.OPEN_STATES and row.is_complete
    reason = actions.why_not(row.sandbox)
    context = {
        **_status(row),
        "sandbox": row.sandbox,
        "form": form,
        "mine": mine,
        "may": _rights(request, row.sandbox.organization),
        "reason": reason if open_ else "",
        "may_send": open_ and mine and not reason,
        "cautions": cautions.of_request(row) if open_ else [],
        "estimate": queries.estimate(row) if row.body else None,
        "parts": sentences.body_parts(row.body, row.sandbox, row.names) if row.body else None,
        "fields": row.body.get("fields", "").replace(",", ", "),
        "in_words": queries.in_words(row) if row.body else [],
        "json": queries.as_json(row),
        "curl": queries.as_curl(row),
        "expires_at": queries.expires_at(row) if row.state == RequestState.DRAFT else None,
    }
    return render(request, "requests/review.html", context, status=status)


@require_POST
def discard(request: HttpRequest, slug: str, sandbox_name: str, request_uuid: uuid.UUID) -> HttpResponse:
    row = access.export_request(request, slug, sandbox_name, request_uuid, needs=access.MAY_CREATE)
    if not _may_change(request, row):
        return _where(row)
    if not actions.discard(actor=access.actor_of(request, row.sandbox.organization), export_request=row):
        row.refresh_from_db()
        return _sent_before(request, row)
    messages.success(request, _("The draft was discarded. Nothing was sent."))
    return redirect("drafts")


@require_POST
def settle(request: HttpRequest, slug: str, sandbox_name: str, request_uuid: uuid.UUID) -> HttpResponse:
    row = access.export_request(request, slug, sandbox_name, request_uuid, needs=access.MAY_CREATE)
    if row.state != RequestState.UNKNOWN:
        messages.info(request, _("This was settled meanwhile."))
        return _where(row)
    choice = request.POST.get("job_id", "")
    job = next((one for one in _status(row)["candidates"] if one.job_id == choice), None)
    if job is None and choice != "none":
        messages.warning(request, _("Choose one of the jobs, or say that none of them is this export."))
        return _page_of(row)
    actor = access.actor_of(request, row.sandbox.organization)
    if not actions.settle(actor=actor, export_request=row, job=job):
        messages.info(request, _("This was settled meanwhile."))
    row.refresh_from_db()
    return _where(row)


@require_safe
def drafts(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_CREATE)
    user = access.current(request)
    rows = queries.unfinished(user, access.visible_organizations(user, access.MAY_CREATE))
    listed = [{"row": row, "expires_at": queries.expires_at(row)} for row in rows]
    return render(request, "requests/drafts.html", {"drafts": listed, "sandboxes": _targets(request)})


def _targets(request: HttpRequest) -> list[Sandbox]:
    """Where the person may start an export."""
    found = access.visible_sandboxes(access.current(request), access.MAY_CREATE)
    return [sandbox for sandbox in found if not actions.why_not(sandbox)]
