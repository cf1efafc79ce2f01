"""Periodic reviews: the list with what is still to be reviewed, opening one, its page, and the signature."""

from datetime import UTC, date
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from segadmin import access
from segadmin.actions import reviews as actions
from segadmin.actions.refusals import NotDone
from segadmin.forms.reviews import ReviewForm, SignForm
from segadmin.models import Review
from segadmin.queries import completeness, reviews
from segadmin.views.forms import add_problems, form_page, posted


@require_safe
def review_list(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_READ_RECORD)
    user = access.current(request)
    organizations = list(access.visible_organizations(user, access.MAY_READ_RECORD))
    after = request.GET.get("after", "")
    found = reviews.page(organizations, int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None)
    context = {
        "page": found,
        "quarters": reviews.quarters(organizations),
        "may_sign_in": {row.pk for row in access.signable_organizations(user)},
        "next_url": f"?after={found.after}" if found.after else "",
    }
    return render(request, "reviews/list.html", context)


@form_page
def new(request: HttpRequest) -> HttpResponse:
    access.anywhere(request, needs=access.MAY_SIGN)
    organizations = access.signable_organizations(access.current(request))
    form = ReviewForm(posted(request), organizations=organizations, initial=_initial(request))
    if form.is_valid():
        organization, (first, last) = form.organization, form.days
        access.signer(request, organization)
        try:
            actor = access.actor_of(request, organization)
            review = actions.open_review(actor=actor, organization=organization, first=first, last=last)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            return redirect("review", review.pk)
    return render(request, "reviews/new.html", {"form": form})


def _initial(request: HttpRequest) -> dict[str, Any]:
    """The org and quarter of the address, else the last full quarter."""
    period = completeness.last_quarter(timezone.now().astimezone(UTC).date())
    found = {"org": request.GET.get("org", ""), "from": period.first, "to": period.last}
    for name in ("from", "to"):
        try:
            found[name] = date.fromisoformat(request.GET.get(name, ""))
        except ValueError:
            continue
    return found


def _page(request: HttpRequest, review: Review, form: SignForm) -> HttpResponse:
    roles = access.roles_in(access.current(request), review.organization)
    context = {
        "review": review,
        "kept": reviews.kept(review),
        "told": reviews.shown(review.told),
        "others": reviews.others(review),
        "is_whole": actions.digest_of(review.told) == review.digest,
        "on_record": reviews.digest_on_record(review),
        "may_sign": access.may_sign(access.current(request), review.organization),
        "is_guest": bool(roles & access.MAY_SIGN),
        "form": form,
    }
    return render(request, "reviews/page.html", context)


@require_safe
def page(request: HttpRequest, review_pk: int) -> HttpResponse:
    return _page(request, access.review(request, review_pk), SignForm())


@require_POST
def sign(request: HttpRequest, review_pk: int) -> HttpResponse:
    """Sign it (`verdict`, `note`)."""
    review = access.review(request, review_pk)
    access.signer(request, review.organization)
    form = SignForm(request.POST)
    if form.is_valid():
        try:
            actor = access.actor_of(request, review.organization)
            actions.sign(actor=actor, review=review, **form.cleaned_data)
        except NotDone as problem:
            add_problems(form, problem)
        else:
            messages.success(request, _("Signed. It stays as it is, and stands on record."))
            return redirect("review", review.pk)
    return _page(request, review, form)
