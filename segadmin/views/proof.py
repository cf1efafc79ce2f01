"""How the record is proven: checks, checkpoints and witnesses, a kept receipt compared, and files for checking elsewhere."""

from collections.abc import Callable
from pathlib import Path

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from segadmin import access
from segadmin.access import MAY_ADMINISTER, MAY_READ_RECORD
from segadmin.actions import limits
from segadmin.actions import proof as actions
from segadmin.actions.refusals import NotDone
from segadmin.audit import verifier
from segadmin.forms import proof as forms
from segadmin.models import Delivery
from segadmin.queries import proof as queries
from segadmin.queries import stream
from segadmin.views.forms import add_problems, first_confirm, form_page, posted

VERIFIER = Path(verifier.__file__)
CHECKS_A_MINUTE = 2
FILES: dict[str, Callable[[], str]] = {
    "checkpoints.txt": queries.checkpoint_lines,
    "public_keys.txt": queries.key_lines,
    "verifier.py": lambda: VERIFIER.read_text(encoding="utf-8"),
}


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=MAY_READ_RECORD)
    rules = access.reach(access.current(request), MAY_ADMINISTER).everywhere
    context = {"proof": queries.proof(), "may_set_up": rules, "files": sorted(FILES)}
    context["handed"] = stream.handed()
    return render(request, "proof/page.html", context)


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """Check the whole record now, where it is small enough for a page to wait."""
    access.anywhere(request, needs=MAY_READ_RECORD)
    actor = access.actor_of(request)
    if not queries.proof().may_check_here:
        messages.error(
            request, _("This record is too long to be checked while a page waits: run manage.py verify_audit.")
        )
    elif not limits.spend("verify", actor.name, CHECKS_A_MINUTE):
        messages.error(request, _("You have just had it checked. Wait a minute."))
    else:
        result, _kept = actions.verify_record(actor=actor, workers=1)
        if result.ok:
            messages.success(request, _("The whole record was checked: it is unbroken."))
        else:
            messages.error(request, _("The whole record was checked: it is damaged, see below."))
    return redirect("proof")


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=MAY_READ_RECORD)
    form = forms.CompareForm(request.GET if "kept" in request.GET else None)
    found: list[queries.Comparison] = []
    if form.is_valid():
        try:
            found = queries.compare(form.cleaned_data["kept"])
        except queries.NotReadable as problem:
            form.add_error("kept", str(problem))
    return render(request, "proof/compare.html", {"form": form, "found": found})


@require_safe
def file(request: HttpRequest, name: str) -> HttpResponse:
    """What somebody needs for checking elsewhere; none of it tells what is on record."""
    access.anywhere(request, needs=MAY_READ_RECORD)
    response = HttpResponse(FILES[name](), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@form_page
def witness(request: HttpRequest) -> HttpResponse:
    access.everywhere(request, needs=MAY_ADMINISTER)
    form = forms.WitnessForm(posted(request), initial=forms.WitnessForm.of(queries.installation()))
    if form.is_valid():
        try:
            changed = actions.set_witness(actor=access.actor_of(request), **form.cleaned_data)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            said = _("The settings are changed.") if changed else _("Nothing differed, so nothing was changed.")
            messages.info(request, said)
            return redirect("proof")
    return render(request, "proof/witness.html", {"form": form})


@require_POST
def send(request: HttpRequest) -> HttpResponse:
    """Make a checkpoint and send it to every witness now."""
    access.everywhere(request, needs=MAY_ADMINISTER)
    actor = access.actor_of(request)
    if not limits.spend("checkpoint", actor.name, CHECKS_A_MINUTE):
        messages.error(request, _("You have just sent one. Wait a minute."))
        return redirect("proof")
    try:
        actions.make_checkpoint(actor=actor)
    except NotDone as problem:
        messages.error(request, str(problem))
        return redirect("proof")
    _say_sent(request, actions.send_checkpoint(actor=actor))
    return redirect("proof")


def _say_sent(request: HttpRequest, sent: list[Delivery]) -> None:
    for delivery in sent:
        told = {"who": delivery.address, "note": delivery.note}
        if delivery.ok:
            messages.success(request, _("%(who)s took the checkpoint.") % told)
        else:
            messages.error(request, _("%(who)s did not get the checkpoint. %(note)s") % told)
    if not sent:
        messages.info(request, _("The checkpoint is made. It went nowhere: no outside witness is set up."))


@form_page
def key(request: HttpRequest) -> HttpResponse:
    """Replace the signing key."""
    access.everywhere(request, needs=MAY_ADMINISTER)
    if answer := first_confirm(request):
        return answer
    form = forms.KeyForm(posted(request))
    if form.is_valid():
        try:
            actions.rotate_signing_key(actor=access.actor_of(request), reason=form.cleaned_data["reason"])
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("Checkpoints are signed with a fresh key now; the old one is destroyed."))
            return redirect("proof")
    return render(request, "proof/key.html", {"form": form})
