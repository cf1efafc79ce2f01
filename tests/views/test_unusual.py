"""The page of an org's rules for unusual exports."""

import pytest
from django.test import Client
from pytest_django import Settings

from segadmin.models import Action, EventContent, Finding, Installation, Organization, Sandbox, UnusualRule, User
from segadmin.queries import unusual
from tests.conftest import signed_in
from tests.views.pages import get, text_of

pytestmark = pytest.mark.django_db

PAGE = "/organizations/acme/unusual/"
POSTED = {
    "many_on": "on",
    "times": "5",
    "most": "1000000",
    "from_hour": "7",
    "to_hour": "20",
    "zone": "UTC",
    "days": ["1", "2", "3", "4", "5"],
    "new_data_on": "on",
    "first_on": "on",
    "to": "witness",
    "mail": "",
    "version": "1",
}


def test_it_shows_the_rules_in_words(acme: Organization, auditor: User) -> None:
    words = text_of(get(signed_in(auditor), PAGE))
    assert "more than 5 times what is usual for the person or the audiences, or more than 1,000,000" in words
    assert "started outside Monday to Friday, 07:00 to 20:00, UTC" in words
    assert "as delivered" in words
    assert "Nobody is told by mail:" in words
    assert "Admins of this organization change these rules." in words
    assert "Change these rules" not in words


def test_who_is_told_is_shown(acme: Organization, admin: User, settings: Settings) -> None:
    settings.MAIL_READY = True
    Installation.objects.create(pk=1, witness_mail="audit@example.com")
    assert "Told by mail to audit@example.com, at most once an hour." in text_of(get(signed_in(admin), PAGE))


def test_an_admin_changes_them_and_the_change_is_shown_with_old_and_new(acme: Organization, admin: User) -> None:
    client = signed_in(admin)
    response = client.post(
        PAGE, {**POSTED, "hour_on": "on", "zone": "Europe/Berlin", "from_hour": "8", "most": ""}, follow=True
    )
    words = text_of(response)
    assert "Changed. The rules hold for exports made from now on." in words
    assert "always told above 1,000,000 → none" in words
    assert "on no → yes, from 07:00 → 08:00, zone UTC → Europe/Berlin" in words
    assert "started outside Monday to Friday, 08:00 to 20:00, Europe/Berlin" in words
    rule = UnusualRule.objects.get(kind="hour")
    assert (rule.on, rule.set_by, rule.values["days"]) == (True, "admin", "12345")
    [event] = EventContent.objects.filter(action=Action.UNUSUAL_RULES)
    assert (event.actor_name, event.organization) == ("admin", acme)


def test_the_form_holds_what_is_in_force(acme: Organization, admin: User) -> None:
    client = signed_in(admin)
    client.post(PAGE, {**POSTED, "times": "7", "days": ["6", "7"]})
    page = get(client, PAGE).content.decode()
    assert 'name="times" value="7"' in page
    assert page.count("checked") == 3 + 2 + 1  # three rules, two days, who is told
    assert unusual.rules(acme)["hour"].values["days"] == "67"


def test_the_same_again_changes_nothing(acme: Organization, admin: User) -> None:
    words = text_of(signed_in(admin).post(PAGE, POSTED, follow=True))
    assert "Nothing differed, so nothing was changed." in words
    assert not UnusualRule.objects.exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"times": "x"}, "Enter a whole number."),
        ({"times": "1"}, "greater than or equal to 2"),
        ({"zone": "Nowhere"}, "Write a time zone such as Europe/Berlin, or UTC."),
        ({"days": []}, "Choose at least one day."),
        ({"to": "own"}, "Write one e-mail address, such as privacy@example.com."),
        ({"to_hour": "7"}, "Choose two different hours of the day."),
        ({"version": "9"}, "Somebody else changed these rules meanwhile."),
    ],
)
def test_faults_are_told_and_what_was_typed_stays(
    acme: Organization, admin: User, values: dict[str, object], sentence: str
) -> None:
    response = signed_in(admin).post(PAGE, {**POSTED, "most": "123456", **values})
    assert sentence in text_of(response)
    assert 'value="123456"' in response.content.decode()
    assert not UnusualRule.objects.exists()


def test_operators_read_and_do_not_change(acme: Organization, operator: User) -> None:
    client = signed_in(operator)
    assert "Rules for unusual exports" in text_of(get(client, PAGE))
    assert client.post(PAGE, POSTED).status_code == 403
    assert "On record" not in text_of(get(client, PAGE))


def test_viewers_and_strangers(acme: Organization, viewer: User, stranger: User) -> None:
    assert signed_in(viewer).get(PAGE).status_code == 403
    assert signed_in(stranger).get(PAGE).status_code == 404
    assert Client().get(PAGE).status_code == 302


def test_pages_lead_to_it(acme: Organization, prod: Sandbox, admin: User, viewer: User) -> None:
    client = signed_in(admin)
    assert f'href="{PAGE}"' in get(client, "/organizations/acme/").content.decode()
    assert f'href="{PAGE}"' in get(client, "/findings/").content.decode()
    assert f'href="{PAGE}"' not in get(signed_in(viewer), "/organizations/acme/").content.decode()


def test_open_findings_are_counted_and_listed(acme: Organization, prod: Sandbox, auditor: User) -> None:
    Finding.objects.create(
        organization=acme, sandbox=prod, kind="first", key="1", sentence="Job 1 is the first.", found_at=prod.created_at
    )
    client = signed_in(auditor)
    assert unusual.open_findings(acme) == {"first": 1}
    listed = text_of(get(client, "/findings/?org=acme&kind=many&kind=first"))
    assert "Job 1 is the first." in listed
    page = text_of(get(client, f"/findings/{Finding.objects.get().pk}/"))
    assert "Compared with this person’s earlier exports" in page
