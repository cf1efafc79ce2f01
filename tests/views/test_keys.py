"""The page of the keyboard: what the keys do, and a switch that is off until a person turns it on for the own account."""

import pytest
from django.test import Client

from segadmin.models import Event, User
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

URL = "/keys/"


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "auditor", "admin", "root"])
def test_everybody_may_switch_them(request: pytest.FixtureRequest, name: str) -> None:
    user: User = request.getfixturevalue(name)
    client = signed_in(user)
    assert "Single keys are off." in client.get(URL).content.decode()
    for value, expected in (("on", True), ("", False), ("yes", False)):
        answer = client.post(URL, {"single": value})
        assert (answer.status_code, answer.headers["Location"]) == (302, URL)
        user.refresh_from_db()
        assert user.single_keys is expected
        text = client.get(URL).content.decode()
        assert ("data-single-keys" in text) is expected
        assert ('<dialog id="keys"' in text) is expected


def test_it_is_the_own_account_only(auditor: User, viewer: User) -> None:
    signed_in(auditor).post(URL, {"single": "on"})
    viewer.refresh_from_db()
    assert viewer.single_keys is False


def test_looking_switches_nothing(auditor: User) -> None:
    signed_in(auditor).get(URL, {"single": "on"})
    auditor.refresh_from_db()
    assert auditor.single_keys is False


def test_signed_out_goes_to_sign_in(db: None) -> None:
    assert Client().get(URL).headers["Location"] == f"/accounts/login/?next={URL}"


def test_it_leaves_no_event(auditor: User) -> None:
    client = signed_in(auditor)
    before = Event.objects.count()
    client.post(URL, {"single": "on"})
    assert Event.objects.count() == before


def test_a_foreign_form_changes_nothing(auditor: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(auditor, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(URL, {"single": "on"}).status_code == 403
    auditor.refresh_from_db()
    assert auditor.single_keys is False
