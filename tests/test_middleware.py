"""What every answer carries, whatever its status; and a calm page when the database is busy."""

import logging
import re
from html import unescape
from pathlib import Path
from typing import NoReturn

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import Client, RequestFactory

from segadmin.logs import OneLineFormatter, RequestIdFilter, request_id
from segadmin.middleware import RequestIdMiddleware, client_address
from segadmin.models import User
from segadmin.queries import health
from tests.conftest import signed_in

POLICY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
CANARY = "canary-in-the-exception"


def break_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken() -> NoReturn:
        raise error

    monkeypatch.setattr(health, "readiness", broken)


def policy_of(response: HttpResponseBase) -> dict[str, list[str]]:
    parts = (part.split() for part in response.headers["Content-Security-Policy"].split(";") if part.strip())
    return {name: values for name, *values in parts}


# -- headers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(viewer: User, monkeypatch: pytest.MonkeyPatch) -> dict[str, HttpResponseBase]:
    """One answer per kind, made through the whole stack."""
    static = Path(django_settings.STATIC_ROOT, "probe.css")
    static.write_text("main { color: inherit; }", encoding="utf-8")
    client = signed_in(viewer)
    client.raise_request_exception = False
    anonymous = Client(enforce_csrf_checks=True)
    made: dict[str, HttpResponseBase] = {
        "200": client.get("/accounts/sessions/"),
        "200 signed out": anonymous.get("/accounts/login/"),
        "302": anonymous.get("/jobs/"),
        "401": anonymous.get("/jobs/", headers={"hx-request": "true"}),
        "403": client.get("/audit/"),
        "403 forged": anonymous.post("/accounts/login/", {}),
        "404": client.get("/no/such/page/"),
        "405": client.get("/zone/"),
        "health": anonymous.get("/healthz"),
        "static": Client().get("/static/probe.css"),
    }
    break_with(monkeypatch, RuntimeError(CANARY))
    made["500"] = client.get("/readyz")
    break_with(monkeypatch, OperationalError(CANARY))
    made["503"] = client.get("/readyz")
    static.unlink()
    return made


@pytest.mark.django_db
def test_every_answer_carries_the_policy(answers: dict[str, HttpResponseBase]) -> None:
    for name, response in answers.items():
        assert name in {"health", "static"} or str(response.status_code) == name[:3], name
        for header, value in POLICY.items():
            assert response.headers.get(header) == value, (name, header)
        assert not [header for header in response.headers if header.lower().startswith("access-control-")], name
        assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["X-Request-ID"]), name
        policy = policy_of(response)
        assert policy["default-src"] == ["'none'"], name
        assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"], name
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == ["'self'"], name
        assert "unsafe" not in response.headers["Content-Security-Policy"], name


@pytest.mark.django_db
def test_pages_are_not_kept_by_anybody(answers: dict[str, HttpResponseBase]) -> None:
    for name, response in answers.items():
        if name != "static":
            assert "no-store" in response.headers["Cache-Control"], name
    assert "no-store" not in answers["static"].headers["Cache-Control"]


@pytest.mark.django_db
def test_pages_differ_for_htmx(answers: dict[str, HttpResponseBase]) -> None:
    assert "HX-Request" in answers["200"].headers["Vary"]


@pytest.mark.django_db
def test_faults_tell_a_request_id_and_nothing_else(answers: dict[str, HttpResponseBase]) -> None:
    for name in ("500", "503"):
        response = answers[name]
        assert isinstance(response, HttpResponse)
        text = response.content.decode()
        assert CANARY not in text
        assert "Traceback" not in text
        tail = response.headers["X-Request-ID"][-5:]
        assert f"{tail}</span>" in text


# -- request ids and addresses ----------------------------------------------------------------------------------------


def through(request: HttpRequest) -> HttpRequest:
    seen: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse()

    RequestIdMiddleware(view)(request)
    return seen[0]


def test_request_ids_are_ours_and_fresh(rf: RequestFactory) -> None:
    ids = set()

    def view(request: HttpRequest) -> HttpResponse:
        ids.add(request_id.get())
        return HttpResponse()

    for _n in range(2):
        response = RequestIdMiddleware(view)(rf.get("/", headers={"x-request-id": "chosen-by-the-client"}))
        assert response.headers["X-Request-ID"] in ids
    assert len(ids) == 2
    assert "chosen-by-the-client" not in ids
    assert request_id.get() == "-"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_only_a_listed_proxy_may_name_the_client(
    rf: RequestFactory, settings: object, peer: str, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.1", "10.0.0.2"]  # type: ignore[attr-defined]
    request = rf.get("/", REMOTE_ADDR=peer, headers={"x-forwarded-for": forwarded} if forwarded else {})
    assert client_address(request) == expected


def test_only_a_listed_proxy_may_say_that_it_was_https(rf: RequestFactory, settings: object) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.1"]  # type: ignore[attr-defined]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # type: ignore[attr-defined]
    headers = {"x-forwarded-proto": "https"}
    assert through(rf.get("/", REMOTE_ADDR="10.0.0.1", headers=headers)).is_secure()
    assert not through(rf.get("/", REMOTE_ADDR="203.0.113.9", headers=headers)).is_secure()


def test_no_header_signs_anybody_in(db: None) -> None:
    for header in ("remote-user", "x-remote-user", "x-forwarded-user"):
        assert Client().get("/jobs/", headers={header: "admin"}).status_code == 302
    assert Client().get("/jobs/", REMOTE_USER="admin").status_code == 302


# -- logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["two\nlines", "a\r\nERROR forged", "a\x85b\u2028c", "plain"])
def test_text_from_outside_starts_no_log_line(text: str) -> None:
    record = logging.LogRecord("segadmin", logging.WARNING, "f.py", 1, "job %s", (text,), None)
    assert RequestIdFilter().filter(record)
    first, *rest = OneLineFormatter("{request_id} {message}", style="{").format(record).splitlines()
    assert first.startswith("- job ")
    assert all(line.startswith("    ") for line in rest)


# -- the database -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError("database is locked"), InterfaceError("connection already closed")])
def test_a_busy_database_is_503_with_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    break_with(monkeypatch, error)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert "database" in unescape(response.content.decode()).lower()
    assert str(error) not in response.content.decode()


@pytest.mark.django_db
def test_also_when_not_even_the_session_can_be_read(viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(viewer)

    def broken(_self: SessionStore) -> NoReturn:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(SessionStore, "load", broken)
    client.raise_request_exception = False
    response = client.get("/accounts/sessions/")
    assert response.status_code == 503
    assert "server closed" not in response.content.decode()


def test_healthz_needs_no_database_and_tells_nothing() -> None:
    """Without the `db` fixture any query would fail."""
    response = Client().get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert Client().head("/healthz").status_code == 200
    assert Client().post("/healthz").status_code == 405


@pytest.mark.django_db
def test_readyz_says_one_word() -> None:
    response = Client().get("/readyz")
    assert (response.status_code, response.content) == (200, b"ready\n")


# -- zones ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "shown"),
    [("Europe/Berlin", "Europe/Berlin"), ("UTC", "UTC"), ("Mars/Olympus", "UTC"), ("../etc", "UTC"), ("", "UTC")],
)
def test_times_are_in_the_persons_zone(viewer: User, zone: str, shown: str) -> None:
    User.objects.filter(pk=viewer.pk).update(zone=zone)
    text = signed_in(viewer).get("/accounts/sessions/").content.decode()
    assert f'value="{shown}" aria-current="true"' in text


@pytest.mark.django_db
def test_the_zone_is_chosen_from_those_that_exist(viewer: User) -> None:
    client = signed_in(viewer)
    for zone in ("Europe/Berlin", "Mars/Olympus", ""):
        assert client.post("/zone/", {"zone": zone, "next": "/drafts/"}).status_code in {302, 400}
    assert client.get("/zone/").status_code == 405
    viewer.refresh_from_db()
    assert viewer.zone == "Europe/Berlin"
