"""Sign-in: the same answer to every wrong try, limits that all processes share, sessions that end, all of it on record."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.core.cache import cache, caches
from django.core.cache.backends.db import DatabaseCache
from django.db import connection
from django.http import HttpResponse, HttpResponseBase
from django.test import Client

from segadmin.models import Action, EventContent, Outcome, User
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

LOGIN, LOGOUT = "/accounts/login/", "/accounts/logout/"
PASSWORD = "correct horse battery"
START = datetime(2026, 7, 1, 9, 0, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_tries_yet(db: None) -> None:
    cache.clear()


def try_to(client: Client, name: str, password: str, **extra: Any) -> HttpResponseBase:
    return client.post(LOGIN, {"login": name, "password": password}, **extra)


def words(response: HttpResponseBase) -> str:
    """The page without what is fresh on every page, and without the name that was typed."""
    assert isinstance(response, HttpResponse)
    text = response.content.decode()
    text = re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", text)
    text = re.sub(r'name="login" value="[^"]*"', "", text)
    return re.sub(r'data-now="\d+"', "", text)


def events(action: Action) -> list[EventContent]:
    return list(EventContent.objects.filter(action=action).order_by("event_id"))


def is_signed_in(client: Client) -> bool:
    return client.get("/accounts/sessions/").status_code == 200


# -- signing in -------------------------------------------------------------------------------------------------------


def test_signing_in_leads_to_the_jobs_with_a_fresh_session(operator: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    planted = session.session_key
    response = try_to(client, "operator", PASSWORD)
    assert (response.status_code, response.headers["Location"]) == (302, "/jobs/")
    assert client.session.session_key != planted
    assert not Client(headers={"cookie": f"segadmin-session={planted}"}).session.get("_auth_user_id")
    (event,) = events(Action.SIGN_IN)
    assert (event.actor_name, event.sentence, event.address) == ("operator", "signed in with password", "127.0.0.1")


def test_the_page_that_was_wanted_comes_next_but_only_ours(operator: User) -> None:
    wanted = Client().post(LOGIN, {"login": "operator", "password": PASSWORD, "next": "/drafts/"})
    assert wanted.headers["Location"] == "/drafts/"
    elsewhere = Client().post(LOGIN, {"login": "operator", "password": PASSWORD, "next": "https://evil.example/"})
    assert elsewhere.headers["Location"] == "/jobs/"


def test_wrong_name_wrong_password_and_closed_account_get_one_answer(operator: User, viewer: User) -> None:
    User.objects.filter(pk=viewer.pk).update(is_active=False)
    answers = [
        try_to(Client(), name, password)
        for name, password in (("operator", "wrong"), ("nobody", "wrong"), ("viewer", PASSWORD), ("viewer", "wrong"))
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({words(answer) for answer in answers}) == 1
    assert "do not go together" in words(answers[0])
    assert not any("sessionid" in answer.cookies for answer in answers)
    assert events(Action.SIGN_IN) == []


def test_nobody_signs_up(db: None) -> None:
    page = Client().get("/accounts/signup/")
    assert b'name="password1"' not in page.content
    Client().post("/accounts/signup/", {"username": "new", "password1": "quite a long password 1"})
    assert not User.objects.filter(username="new").exists()


@pytest.mark.parametrize("password", ["short", "christopher1", "operator12345", ""])
def test_weak_passwords_are_refused(operator: User, password: str) -> None:
    client = Client()
    try_to(client, "operator", PASSWORD)
    client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": password, "password2": password})
    operator.refresh_from_db()
    assert operator.check_password(PASSWORD)
    assert events(Action.PASSWORD_SET) == []


def test_a_long_plain_password_is_fine(operator: User) -> None:
    long = "all small letters and blanks, more than sixty four characters of them, is quite alright"
    client = Client()
    try_to(client, "operator", PASSWORD)
    client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": long, "password2": long})
    operator.refresh_from_db()
    assert operator.check_password(long)
    assert len(events(Action.PASSWORD_SET)) == 1


# -- limits -----------------------------------------------------------------------------------------------------------


def test_too_many_tries_lock_the_name_for_every_process(operator: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        for _n in range(5):
            try_to(Client(), "operator", "wrong")
        locked = try_to(Client(), "operator", PASSWORD)
        assert locked.status_code == 200
        assert "Too many tries" in unescape(words(locked))
        # A name that nobody has is locked in the same way, so the lock tells nothing.
        for _n in range(5):
            try_to(Client(), "nobody", "wrong")
        assert words(try_to(Client(), "nobody", PASSWORD)) == words(locked)
        # What counts the tries is a table, which all processes share.
        assert isinstance(caches["default"], DatabaseCache)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM segadmin_cache")
            assert cursor.fetchone()[0] > 0
        clock.shift(timedelta(minutes=5, seconds=1))
        assert try_to(Client(), "operator", PASSWORD).status_code == 302


def test_a_made_up_address_does_not_get_around_the_limit(operator: User) -> None:
    for n in range(31):
        try_to(Client(), f"nobody {n}", "wrong", headers={"x-forwarded-for": f"203.0.113.{n}"})
    assert "Too many tries" in unescape(words(try_to(Client(), "operator", PASSWORD)))


def test_failed_tries_are_one_event_a_minute(operator: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        for _n in range(3):
            try_to(Client(), "operator", "wrong", REMOTE_ADDR="203.0.113.9")
        (first,) = events(Action.SIGN_IN_FAILED)
        clock.shift(timedelta(minutes=1))
        try_to(Client(), "operator", "wrong", REMOTE_ADDR="203.0.113.9")
    second = events(Action.SIGN_IN_FAILED)[1]
    assert (first.actor_name, first.address, first.outcome) == ("operator", "203.0.113.9", Outcome.REFUSED)
    assert "2 more tries in the minute before" in second.sentence
    assert len(events(Action.SIGN_IN_FAILED)) == 2


def test_a_name_that_nobody_has_is_not_kept(operator: User) -> None:
    """It may be a password, typed into the wrong field."""
    canary = "s3cret-in-the-wrong-field"
    try_to(Client(), canary, "and-this-one-too")
    (event,) = events(Action.SIGN_IN_FAILED)
    assert event.actor_name == "name not known"
    assert canary not in event.text
    assert "and-this-one-too" not in event.text


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_an_idle_session_ends_after_an_hour(operator: User) -> None:
    client = Client()
    with time_machine.travel(START, tick=False) as clock:
        try_to(client, "operator", PASSWORD)
        clock.shift(timedelta(minutes=59))
        assert is_signed_in(client)
        clock.shift(timedelta(minutes=59))
        assert is_signed_in(client)
        clock.shift(timedelta(minutes=60, seconds=1))
        assert not is_signed_in(client)


def test_polling_is_not_a_sign_of_life(operator: User) -> None:
    client = Client()
    with time_machine.travel(START, tick=False) as clock:
        try_to(client, "operator", PASSWORD)
        for _n in range(13):
            clock.shift(timedelta(minutes=5))
            answer = client.get("/accounts/sessions/?poll=1:1", headers={"hx-request": "true"})
        assert answer.status_code == 401
        assert answer.headers["HX-Redirect"] == LOGIN


def test_staying_is_a_sign_of_life(operator: User) -> None:
    client = Client()
    with time_machine.travel(START, tick=False) as clock:
        try_to(client, "operator", PASSWORD)
        clock.shift(timedelta(minutes=55))
        assert client.post("/stay/", headers={"hx-request": "true"}).status_code == 204
        clock.shift(timedelta(minutes=55))
        assert is_signed_in(client)


def test_no_session_outlives_twelve_hours(operator: User) -> None:
    client = Client()
    with time_machine.travel(START, tick=False) as clock:
        try_to(client, "operator", PASSWORD)
        for _n in range(24):
            assert is_signed_in(client)
            clock.shift(timedelta(minutes=30))
        clock.shift(timedelta(seconds=1))
        assert not is_signed_in(client)


def test_signing_out_ends_the_session_for_good(operator: User) -> None:
    client = Client()
    try_to(client, "operator", PASSWORD)
    kept = client.cookies["segadmin-session"].value
    assert client.get(LOGOUT).status_code == 200
    assert is_signed_in(client)
    client.post(LOGOUT)
    assert not is_signed_in(client)
    again = Client()
    again.cookies["segadmin-session"] = kept
    assert not is_signed_in(again)
    assert [event.actor_name for event in events(Action.SIGN_OUT)] == ["operator"]


def test_a_closed_account_is_out_with_its_next_request(operator: User) -> None:
    client = signed_in(operator)
    assert is_signed_in(client)
    User.objects.filter(pk=operator.pk).update(is_active=False)
    assert client.get("/jobs/").headers["Location"] == f"{LOGIN}?next=/jobs/"


def test_other_sessions_can_be_listed_and_ended(operator: User) -> None:
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        try_to(client, "operator", PASSWORD)
    assert here.get("/accounts/sessions/").content.count(b"127.0.0.1") >= 2
    here.post("/accounts/sessions/")
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    (event,) = events(Action.SESSION_ENDED)
    assert (event.actor_name, event.sentence) == ("operator", "ended 1 of the own sessions")
    here.post("/accounts/sessions/")
    assert len(events(Action.SESSION_ENDED)) == 1


def test_second_factors_need_a_fresh_confirmation_which_is_on_record(operator: User) -> None:
    client = Client()
    with time_machine.travel(START, tick=False) as clock:
        try_to(client, "operator", PASSWORD)
        clock.shift(timedelta(minutes=6))
        asked = client.get("/accounts/2fa/totp/activate/")
        assert asked.status_code == 302
        assert asked.headers["Location"].startswith("/accounts/reauthenticate/")
        client.post("/accounts/reauthenticate/", {"password": "wrong"})
        assert events(Action.CONFIRMED) == []
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        assert client.get("/accounts/2fa/totp/activate/").status_code == 200
    assert [event.sentence for event in events(Action.CONFIRMED)] == ["confirmed with password"]


def test_the_sign_in_before_this_one_is_shown(operator: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        try_to(Client(), "operator", PASSWORD)
        clock.shift(timedelta(hours=3))
        client = Client()
        try_to(client, "operator", PASSWORD)
        assert "09:00" in client.get("/accounts/sessions/").content.decode()


# -- cookies and forged requests --------------------------------------------------------------------------------------


def test_cookies_are_closed_to_scripts_and_other_sites(operator: User) -> None:
    client = Client()
    client.get(LOGIN)
    try_to(client, "operator", PASSWORD)
    assert {"segadmin-session", "segadmin-csrf"} <= set(client.cookies)
    for cookie in client.cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == "/"
        assert cookie["domain"] == ""


@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}])
def test_a_post_without_the_token_is_refused(operator: User, headers: dict[str, str]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = client.post("/zone/", {"zone": "Europe/Berlin"}, headers=headers)
    assert answer.status_code == 403
    operator.refresh_from_db()
    assert operator.zone == "UTC"


@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}])
@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://testserver", 302), ("", 302)]
)
def test_the_token_counts_only_from_our_own_pages(
    operator: User, origin: str, status: int, headers: dict[str, str]
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/accounts/sessions/").content.decode())
    assert token is not None
    answer = client.post(
        "/zone/",
        {"zone": "Europe/Berlin", "csrfmiddlewaretoken": token[1]},
        headers={**headers, **({"origin": origin} if origin else {})},
    )
    assert answer.status_code == status


def test_signing_in_is_not_forged_either(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    assert try_to(client, "operator", PASSWORD).status_code == 403
    assert events(Action.SIGN_IN) == []


def test_a_signed_out_poll_is_sent_to_sign_in_as_a_whole(db: None) -> None:
    answer = Client().get("/jobs/?poll=1:1", headers={"hx-request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"], answer.content) == (401, LOGIN, b"")
