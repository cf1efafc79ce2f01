"""The retention page: seen by auditors, changed by administrators of the whole installation."""

import pytest
from django.urls import reverse

from segadmin.actions import holds
from segadmin.audit import Actor
from segadmin.models import Action, EventContent, Hold, Installation, Organization, Sandbox, User
from tests.conftest import signed_in
from tests.factories import make_job

pytestmark = pytest.mark.django_db

PAGE = "/retention/"
CHANGE = {"register_months": "24", "access_months": "6", "reason": "agreed with the works council"}


def test_an_auditor_reads_it_and_changes_nothing(auditor: User) -> None:
    client = signed_in(auditor)
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "36 months" in page.text
    assert "No reason is on record" in page.text
    assert "Save" not in page.text
    assert client.post(PAGE, CHANGE).status_code == 403
    assert client.post(reverse("hold_place"), {"kind": "person", "person": "x", "reason": "y"}).status_code == 403
    assert not Installation.objects.exclude(register_months=36).exists()


@pytest.mark.parametrize("name", ["viewer", "operator", "approver"])
def test_others_do_not_see_it(request: pytest.FixtureRequest, name: str) -> None:
    assert signed_in(request.getfixturevalue(name)).get(PAGE).status_code == 403


def test_an_admin_of_one_organization_changes_nothing(admin: User) -> None:
    assert signed_in(admin).post(PAGE, CHANGE).status_code == 403


def test_an_admin_of_the_installation_changes_it_on_record(root: User, acme: Organization) -> None:
    client = signed_in(root)
    assert client.post(PAGE, CHANGE).status_code == 302
    page = client.get(PAGE)
    assert "agreed with the works council" in page.text
    assert "Records are kept 2 years, sign-ins and views 6 months." in page.text
    assert EventContent.objects.filter(action=Action.RETENTION_SET).count() == 1


def test_faults_are_told_at_the_field_and_nothing_typed_is_lost(root: User) -> None:
    page = signed_in(root).post(PAGE, {**CHANGE, "register_months": "0", "reason": "why not"})
    assert page.status_code == 200
    assert "why not" in page.text
    assert 'aria-invalid="true"' in page.text


def test_holds_are_placed_shown_and_released(root: User, prod: Sandbox) -> None:
    make_job(prod, job_id="24127")
    client = signed_in(root)
    wrong = client.post(reverse("hold_place"), {"kind": "job", "job": "acme/prod/1", "reason": "dispute"})
    assert "No such export is known here" in wrong.text
    placed = client.post(reverse("hold_place"), {"kind": "job", "job": "acme/prod/24127", "reason": "dispute <b>"})
    assert placed.status_code == 302
    page = client.get(PAGE)
    assert "Export 24127 of Acme Retail / prod" in page.text
    assert "dispute &lt;b&gt;" in page.text
    hold = Hold.objects.get()
    release = reverse("hold_release", args=[hold.pk])
    assert client.get(release).status_code == 200
    assert client.post(release, {"reason": "settled"}).status_code == 302
    assert "No legal hold is in force" in client.get(PAGE).text
    assert client.get(release).status_code == 404


@pytest.mark.parametrize("kind", ["person", "period"])
def test_what_the_kind_needs_is_asked_for(root: User, kind: str) -> None:
    page = signed_in(root).post(reverse("hold_place"), {"kind": kind, "reason": "dispute"})
    assert "Fill this in for the kind that you chose." in page.text
    assert not Hold.objects.exists()


def test_a_period_is_of_whole_days(root: User) -> None:
    values = {"kind": "period", "from_at": "2026-01-01", "until_at": "2026-01-31", "reason": "audit"}
    assert signed_in(root).post(reverse("hold_place"), values).status_code == 302
    hold = Hold.objects.get()
    assert str(hold.from_at) == "2026-01-01 00:00:00+00:00"
    assert str(hold.until_at) == "2026-02-01 00:00:00+00:00"


def test_the_page_has_the_same_number_of_queries_for_many_holds(
    root: User, django_assert_max_num_queries: object
) -> None:
    for number in range(12):
        holds.place_on_person(actor=Actor.command("setup"), person=f"p{number}", reason="dispute")
    client = signed_in(root)
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        client.get(PAGE)
