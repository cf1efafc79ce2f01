"""Alive, ready, and the age of the mirror on every page."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from segadmin.models import Sandbox, User
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

PAGES = ["/jobs/", "/organizations/", "/audit/", "/people/", "/organizations/acme/"]


def silence(minutes: int = 30) -> None:
    past = timezone.now() - timedelta(minutes=minutes)
    Sandbox.objects.update(last_read_at=past, last_error_at=None)


def test_alive_and_ready_tell_no_data(client: Client, prod: Sandbox) -> None:
    assert client.get("/healthz").content == b"ok\n"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (200, b"ready\n")


def test_ready_goes_red_when_nobody_asks_adobe(client: Client, prod: Sandbox) -> None:
    silence()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"sync\n")
    Sandbox.objects.update(last_error_at=timezone.now())  # asked, and refused: the mirror itself lives
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_every_page_tells_that_the_mirror_is_silent(admin: User, prod: Sandbox, page: str) -> None:
    assert "may be old" not in signed_in(admin).get(page).text
    silence()
    assert "Adobe was last asked 30 min ago" in signed_in(admin).get(page).text


def test_an_installation_without_sandboxes_is_ready(client: Client, db: None) -> None:
    assert client.get("/readyz").status_code == 200
