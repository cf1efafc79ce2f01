"""Files of the record and of the register, their receipts, comparing a copy with its receipt, and evidence packs."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote

from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_safe

from segadmin import access
from segadmin.access import MAY_READ_RECORD, MAY_READ_REGISTER
from segadmin.actions import evidence as packs
from segadmin.actions import files as actions
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.forms import files as forms
from segadmin.models import FileReceipt, Job, Organization
from segadmin.queries import (
    answers_files,
    audit,
    completeness_sandboxes,
    evidence,
    files,
    files_register,
    receipts,
    register,
)
from segadmin.views import audit as audit_page
from segadmin.views.forms import form_page
from segadmin.views.search import register_search

Kind = FileReceipt.Kind
TYPES: dict[str, str] = {
    Kind.CSV: "text/csv; charset=utf-8",
    Kind.JSONL: "application/x-ndjson; charset=utf-8",
    Kind.EVIDENCE: "application/zip",
}
ENDINGS: dict[str, str] = {Kind.CSV: "csv", Kind.JSONL: "jsonl", Kind.EVIDENCE: "zip"}
# Only moves through the rows.
NO_FILTER = ("after", "csrfmiddlewaretoken")


# -- what is asked for ------------------------------------------------------------------------------------------------


def chosen_of(query: QueryDict) -> dict[str, list[str]]:
    """The filter as it stands in the address, without what is empty."""
    found = {name: [word[:300] for word in query.getlist(name) if word.strip()] for name in query}
    return {name[:60]: words[:100] for name, words in found.items() if words and name not in NO_FILTER}


def _audit_order(query: QueryDict, kind: Kind, scope: audit.Scope, filters: audit.Filters) -> actions.Order:
    picked = bool(filters.organizations or filters.no_organization)
    return actions.Order(
        what="audit",
        kind=kind,
        organizations=filters.organizations if picked else scope.organizations,
        whole=scope.whole and (filters.no_organization or not picked),
        chosen=chosen_of(query),
        from_at=filters.from_at,
        to_at=filters.to_at,
        zone=timezone.get_current_timezone_name(),
    )


def _actor(request: HttpRequest, organizations: Sequence[Organization]) -> Actor:
    """With the roles in the one org that the file is about, else with all."""
    return access.actor_of(request, organizations[0] if len(organizations) == 1 else None)


# -- answers ----------------------------------------------------------------------------------------------------------


def _attachment(receipt: FileReceipt, parts: Iterable[bytes]) -> StreamingHttpResponse:
    """A file with its receipt in the headers; what is known only at the end is on the receipt's page."""
    response = StreamingHttpResponse(parts, content_type=TYPES[receipt.kind])
    stamp = receipt.at.strftime("%Y%m%dT%H%M%SZ")
    name = f"segadmin-{slugify(receipt.what)}-{stamp}-{receipt.code}.{ENDINGS[receipt.kind]}"
    chosen = quote(json.dumps(receipt.filter.get("chosen", {}), ensure_ascii=False, sort_keys=True))
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        # Compressing would hold back what streams, and cost more than it saves.
        "Content-Encoding": "identity",
        "Link": f'<{reverse("file", args=[receipt.code])}>; rel="describedby"',
        "X-Segadmin-Receipt": receipt.code,
        "X-Segadmin-Newest-Record": str(receipt.cut_off),
        "X-Segadmin-Filter": chosen if len(chosen) <= 2000 else "see-the-receipt",
        "X-Segadmin-Zone": receipt.zone,
        "X-Segadmin-Version": receipt.version,
    }
    for header, value in headers.items():
        response.headers[header] = value
    return response


def _refused(request: HttpRequest, sentences: Sequence[str], status: int) -> HttpResponse:
    return render(request, "files/refused.html", {"sentences": sentences}, status=status)


def faults(request: HttpRequest, form: Form) -> HttpResponse:
    """A filter that can't be applied gives no file: one without it would be another answer."""
    return _refused(request, [str(text) for texts in form.errors.values() for text in texts], 400)


def streamed(
    request: HttpRequest, order: actions.Order, source: Callable[[int], Iterable[files.Part]]
) -> HttpResponseBase:
    if request.method == "HEAD":  # looks, and takes nothing
        return HttpResponse(content_type=TYPES[order.kind])
    try:
        download = actions.Download(actor=_actor(request, order.organizations), order=order, source=source)
    except NotDone as problem:
        return _refused(request, [str(problem)], 429)
    return _attachment(download.receipt, download)


# -- files ------------------------------------------------------------------------------------------------------------


@require_safe
def audit_file(request: HttpRequest, kind: Kind) -> HttpResponseBase:
    access.anywhere(request, needs=MAY_READ_RECORD)
    scope = audit_page.scope_of(request)
    form = audit_page.form_of(request.GET, scope)
    if not form.is_valid():
        return faults(request, form)
    filters = audit_page.filters_of(form)
    rows = files.audit_csv if kind == Kind.CSV else files.audit_jsonl
    order = _audit_order(request.GET, kind, scope, filters)
    return streamed(request, order, lambda cut_off: rows(scope, filters, cut_off))


@require_safe
def register_file(request: HttpRequest, kind: Kind) -> HttpResponseBase:
    access.anywhere(request, needs=MAY_READ_REGISTER)
    form = register_search(request)
    if not form.is_valid():
        return faults(request, form)
    narrowed, organizations = form.narrowed(), form.chosen_organizations
    filters = register.Filters(**narrowed)  # type: ignore[typeddict-item]  # the form gives these names
    keys = [row.pk for row in organizations]
    order = actions.Order(
        what="register",
        kind=kind,
        organizations=organizations,
        whole=False,
        chosen=chosen_of(request.GET),
        from_at=narrowed["from_at"],
        to_at=narrowed["to_at"],
        zone=timezone.get_current_timezone_name(),
    )
    return streamed(request, order, lambda cut_off: files_register.AsOf(kind, keys, filters, cut_off))


# -- receipts ---------------------------------------------------------------------------------------------------------


def _reader(request: HttpRequest) -> receipts.Reader:
    access.anywhere(request, needs=MAY_READ_REGISTER)
    user, scope = access.current(request), audit_page.scope_of(request)
    slugs = frozenset(organization.slug for organization in scope.organizations)
    return receipts.Reader(user.get_username(), slugs, scope.whole)


def _receipt(request: HttpRequest, code: str) -> receipts.Shown:
    found = receipts.by_code(_reader(request), code)
    if found is None:
        raise Http404
    return receipts.Shown(found)


@require_safe
def receipt(request: HttpRequest, code: str) -> HttpResponse:
    shown = _receipt(request, code)
    return render(request, "files/receipt.html", {"shown": shown, "columns": _columns(shown.receipt)})


def _columns(receipt: FileReceipt) -> dict[str, str]:
    if receipt.what == "answers":
        return answers_files.columns_of(receipt.filter)
    if receipt.what == "completeness":
        return completeness_sandboxes.COLUMNS
    return files_register.REGISTER_COLUMNS if receipt.what == "register" else files.AUDIT_COLUMNS


@require_safe
def receipt_text(request: HttpRequest, code: str) -> HttpResponse:
    shown = _receipt(request, code)
    headers = {"Content-Disposition": f'attachment; filename="receipt-{shown.receipt.code}.txt"'}
    return HttpResponse(shown.text, content_type="text/plain; charset=utf-8", headers=headers)


@csrf_exempt  # only until the handler stands: it has to be there before the token is read, which is checked below
def check(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        request.upload_handlers = [forms.HashingHandler(request)]
    return _check(request)


@csrf_protect
@form_page
def _check(request: HttpRequest) -> HttpResponse:
    reader = _reader(request)
    context: dict[str, Any] = {"newest": [receipts.Shown(row) for row in receipts.newest(reader)]}
    form = forms.CheckForm()
    if request.method == "POST":
        form = forms.CheckForm(request.POST, request.FILES)
        if any(handler.too_big for handler in request.upload_handlers if isinstance(handler, forms.HashingHandler)):
            form.add_error("file", _("The file is larger than 4 GB. Compute its SHA-256 yourself, and paste it."))
        if form.is_valid():
            found = receipts.by_hash(reader, form.hash)
            context |= {"hash": form.hash, "found": [receipts.Shown(row) for row in found], "checked": True}
    return render(request, "files/check.html", {"form": form, **context})


# -- evidence ---------------------------------------------------------------------------------------------------------


@form_page
def evidence_pack(request: HttpRequest) -> HttpResponseBase:
    access.anywhere(request, needs=MAY_READ_RECORD)
    scope = audit_page.scope_of(request)
    query = request.POST if request.method == "POST" else request.GET
    form = audit_page.form_of(query, scope)
    about = forms.PackForm(_with_days(query, form))
    if form.is_valid() and about.is_valid() and request.method == "POST":
        try:
            return _pack(request, scope, audit_page.filters_of(form), about.cleaned_data["job"])
        except NotDone as problem:
            about.add_error(None, str(problem))
    shown = ("from", "to", "job")
    kept = [(name, word) for name, words in chosen_of(query).items() if name not in shown for word in words]
    context = {"form": form, "about": about, "kept": kept, "most": packs.MOST_RECORDS}
    return render(request, "files/evidence.html", context, status=422 if form.errors or about.errors else 200)


def _with_days(query: QueryDict, form: Form) -> QueryDict:
    """What was typed; the days of the record's query where none were."""
    found = query.copy()
    for name in ("from", "to"):
        if not found.get(name):
            found[name] = str(form[name].value() or "")
    return found


def _pack(request: HttpRequest, scope: audit.Scope, filters: audit.Filters, job: str) -> HttpResponseBase:
    jobs: list[Job] = []
    if job:
        jobs = evidence.find_jobs([organization.pk for organization in scope.organizations], job)
        if not jobs:
            raise NotDone(_("There is no export job %s in the organizations whose record you may read.") % job)
    order = _audit_order(request.POST, Kind.EVIDENCE, scope, filters)
    actor = _actor(request, order.organizations)
    made = packs.make(actor=actor, order=order, scope=scope, filters=filters, jobs=jobs)
    response = _attachment(made.receipt, made.blocks())
    response.headers["Content-Length"] = str(made.size)
    return response
