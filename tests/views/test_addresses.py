"""Addresses of jobs: an id is never taken for an address beside it, whatever Adobe calls a job."""

from urllib.parse import unquote

import pytest
from django.urls import Resolver404, resolve, reverse
from hypothesis import given
from hypothesis import strategies as st

from segadmin.models import Sandbox, User
from tests.conftest import signed_in
from tests.factories import make_job, raw_job

NAMES = ("job", "job_cancel", "job_check", "job_batch_checked")
ODD = [
    "new",
    "24127/cancel",
    "24127/check",
    "24127/batches",
    "a/b",
    "/",
    "~",
    "~bmV3",
    ".",
    "..",
    "new/",
    "x/cancel/cancel",
]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
@pytest.mark.parametrize("name", NAMES)
def test_every_id_leads_to_itself(name: str, job_id: str) -> None:
    _leads_to_itself(name, job_id)


@pytest.mark.parametrize("job_id", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_ids_like_addresses_too(name: str, job_id: str) -> None:
    _leads_to_itself(name, job_id)


def _leads_to_itself(name: str, job_id: str) -> None:
    address = unquote(reverse(name, args=["acme", "prod", job_id]))  # a server hands it over so
    found = resolve(address)
    assert (found.url_name, found.kwargs["job_id"]) == (name, job_id)


def test_ordinary_ids_stand_as_they_are() -> None:
    assert reverse("job", args=["acme", "prod", "24127"]) == "/orgs/acme/prod/jobs/24127/"
    assert reverse("job_cancel", args=["acme", "prod", "a-b_c.d"]) == "/orgs/acme/prod/jobs/a-b_c.d/cancel/"


@pytest.mark.parametrize("coded", ["~", "~!", "~bmV3=", "~AA", "~MjQxMjc", "~////", "~_w"])
def test_what_no_link_says_is_not_found(coded: str) -> None:
    with pytest.raises(Resolver404):
        resolve(f"/orgs/acme/prod/jobs/{coded}/")


@pytest.mark.django_db
@pytest.mark.parametrize("job_id", [job_id for job_id in ODD if job_id.strip(".")])
def test_the_page_and_its_buttons_are_of_the_job(operator: User, prod: Sandbox, job_id: str) -> None:
    make_job(prod, job_id, raw=raw_job(job_id))
    client = signed_in(operator)
    address = reverse("job", args=["acme", "prod", job_id])
    response = client.get(address)
    assert response.status_code == 200
    assert f'action="{reverse("job_check", args=["acme", "prod", job_id])}"' in response.content.decode()
    assert f'href="{address}"' in client.get("/jobs/").content.decode()
