"""The retention page: seen by auditors, changed by administrators of the whole installation."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from segadmin.actions import holds
from segadmin.actions import retention as actions
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, EventContent, Hold, Installation, Organization, Role, Sandbox, User
from segadmin.queries import retention
from tests.conftest import make_person, signed_in
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


def old_event(organization: Organization | None) -> None:
    with time_machine.travel(timezone.now() - timedelta(days=1200), tick=False):
        subject = Subject(organization=organization)
        record(actor=Actor.command("x"), action=Action.EXPORT_CREATE, sentence="did something", subject=subject)


def would_go(page: str) -> list[str]:
    """The first number of each line of the table."""
    table = page.split("Would go today")[1].split("</table>")[0]
    return re.findall(r'<td class="num">([\d,]+)</td><td class="num">', table)


def test_an_auditor_of_one_organization_is_told_the_numbers_of_its_own_records(
    auditor: User, acme: Organization, nordwind: Organization, root: User
) -> None:
    for place in (acme, nordwind, nordwind, None):
        old_event(place)
    whole = make_person("reader", Role.AUDITOR)
    own, everything = signed_in(auditor).get(PAGE), signed_in(whole).get(PAGE)
    assert would_go(own.text) == ["0", "1"]
    assert would_go(everything.text) == ["0", "4"]
    assert "Counted are the records of your organizations." in own.text
    assert "Counted are the records" not in everything.text
    assert actions.expire(actor=Actor.command("x")) == 4
    assert "4 records have lost their contents so far." in signed_in(whole).get(PAGE).text
    page = signed_in(auditor).get(PAGE).text
    assert "lost its contents" not in page
    assert "lost their contents" not in page
    assert "told to those who may read the record of the whole installation" in page
    assert retention.gone() == 4


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"register_months": "0"}, "Write a number of months, 1 to 240."),
        ({"access_months": "two"}, "Write a number of months, 1 to 240."),
        ({"reason": " "}, "Write why records are kept this long."),
    ],
)
def test_an_error_says_what_to_write(root: User, values: dict[str, str], sentence: str) -> None:
    page = signed_in(root).post(PAGE, {**CHANGE, **values})
    assert sentence in page.text
    assert "This field is required" not in page.text
    hold = signed_in(root).post(reverse("hold_place"), {"kind": "job", "job": "typed/x/1"})
    assert "Write why it is held." in hold.text
    assert 'value="typed/x/1"' in hold.text


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
