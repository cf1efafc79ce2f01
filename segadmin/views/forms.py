"""What the pages with forms share."""

from allauth.account.internal.flows.reauthentication import is_reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from segadmin.actions.refusals import NotDone

form_page = require_http_methods(["GET", "HEAD", "POST"])


def posted(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: nothing when the page is only looked at."""
    return request.POST if request.method == "POST" else None


def add_problems(form: forms.Form, problem: NotDone) -> None:
    """Show an action's refusal at the fields that it names."""
    for name, text in problem.problems.items():
        form.add_error(name if name in form.fields else None, text)


def first_confirm(request: HttpRequest) -> HttpResponse | None:
    """None when the person has just shown who they are. To be called after the roles were checked.

    A page is asked for again after the confirmation. A POST is not: it would be kept in the session until then, with
    the secrets in it; the person fills in the form again.
    """
    if not is_reauthentication_required(request, app="segadmin"):
        return None
    if request.method == "POST":
        messages.warning(
            request,
            _("Nothing was saved: your confirmation was too long ago. Confirm again, then fill in the form once more."),
        )
        return redirect(request.path)
    raise ReauthenticationRequired
