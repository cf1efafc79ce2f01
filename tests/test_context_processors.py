"""What the frame of every page knows about the person, the place and the connection."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from segadmin import access
from segadmin.context_processors import shell
from segadmin.models import Organization, Role, User
from segadmin.templatetags.segadmin import at_full
from tests.conftest import make_person, signed_in


def frame(user: User | AnonymousUser, path: str = "/jobs/", session: dict[str, str] | None = None, **meta: Any) -> Any:
    request = RequestFactory().get(path, **meta)
    request.user = user
    request.session = session or {}  # type: ignore[assignment]
    return shell(request)


@pytest.mark.django_db
class TestSignedIn:
    def test_menu_holds_what_the_roles_allow(self, acme: Organization) -> None:
        viewer = frame(make_person("viewer", Role.VIEWER, organization=acme))
        auditor = frame(make_person("auditor", Role.AUDITOR))
        assert [str(item["label"]) for item in viewer["nav"]] == ["Jobs", "Organizations"]
        assert [item["url"] for item in auditor["nav"]] == [
            "/jobs/",
            "/register/",
            "/audit/",
            "/findings/",
            "/reviews/",
            "/organizations/",
            "/people/",
        ]

    @pytest.mark.parametrize(
        ("path", "current"),
        [
            ("/jobs/", {"Jobs": "page"}),
            ("/orgs/acme/prod/jobs/24127/", {"Jobs": "true"}),
            ("/drafts/", {"Jobs": "true"}),
            ("/audit/48211/", {"Audit": "true"}),
            ("/completeness/", {"Audit": "true"}),
            ("/explanations/", {"Findings": "true"}),
            ("/accounts/sessions/", {}),
        ],
    )
    def test_menu_marks_where_the_page_is(self, path: str, current: dict[str, str]) -> None:
        nav = frame(make_person("auditor", Role.AUDITOR), path)["nav"]
        assert {str(item["label"]): item["current"] for item in nav if item["current"]} == current

    def test_roles_are_told_in_words(self, acme: Organization) -> None:
        person = make_person("m.lead", Role.OPERATOR, Role.APPROVER, organization=acme)
        assert frame(person)["roles_text"] == "approver, operator"

    def test_a_guest_is_told_when_all_roles_have_ended(self, acme: Organization) -> None:
        soon, later = timezone.now() + timedelta(days=3), timezone.now() + timedelta(days=9)
        guest = make_person("guest", Role.AUDITOR, Role.VIEWER, organization=acme)
        assert frame(guest)["access_ends_at"] is None
        guest.memberships.filter(role=Role.AUDITOR).update(ends_at=soon)
        assert frame(User.objects.get(pk=guest.pk))["access_ends_at"] is None
        guest.memberships.filter(role=Role.VIEWER).update(ends_at=later)
        assert frame(User.objects.get(pk=guest.pk))["access_ends_at"] == later
        page = signed_in(guest).get("/jobs/").text
        assert f"You are a guest: your access ends {at_full(later)}." in page
        lasting = make_person("lasting", Role.VIEWER, organization=acme)
        assert "You are a guest" not in signed_in(lasting).get("/jobs/").text

    def test_the_sign_in_before_this_one_is_told(self) -> None:
        person = make_person("m.lead", Role.VIEWER)
        before = frame(person, session={"previous_sign_in_at": "2026-07-01T09:00:00+00:00"})
        assert before["last_sign_in_at"] == datetime(2026, 7, 1, 9, tzinfo=UTC)
        assert frame(person)["last_sign_in_at"] is None

    def test_it_costs_three_queries(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        person = make_person("m.lead", Role.OPERATOR)
        with django_assert_num_queries(3):  # the roles, the age of the mirror, how long records are kept
            frame(person)

    def test_a_silent_database_only_empties_the_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def silent(user: User) -> list[str]:
            raise OperationalError("database is locked")

        monkeypatch.setattr(access, "menu", silent)
        emptied = frame(make_person("m.lead", Role.OPERATOR))
        assert "signed_in" not in emptied
        assert emptied["zone_short"] == "UTC"


class TestSignedOut:
    def test_nothing_personal_is_there(self) -> None:
        assert not {"signed_in", "nav", "idle_seconds"} & frame(AnonymousUser()).keys()

    @pytest.mark.parametrize(
        ("host", "secure_cookies", "problem"),
        [
            ("127.0.0.1:8000", True, ""),
            ("[::1]:8000", False, ""),
            ("localhost", False, ""),
            ("segadmin.acme.example", False, "clear"),
            ("segadmin.acme.example:8000", True, "cookie"),
        ],
    )
    def test_plain_http_off_this_machine_is_explained(
        self, settings: Settings, host: str, secure_cookies: bool, problem: str
    ) -> None:
        settings.SESSION_COOKIE_SECURE = secure_cookies
        assert frame(AnonymousUser(), HTTP_HOST=host)["connection_problem"] == problem

    def test_https_needs_no_explanation(self, settings: Settings) -> None:
        settings.SESSION_COOKIE_SECURE = True
        request = RequestFactory().get("/accounts/login/", HTTP_HOST="segadmin.acme.example", secure=True)
        request.user = AnonymousUser()
        assert shell(request)["connection_problem"] == ""
