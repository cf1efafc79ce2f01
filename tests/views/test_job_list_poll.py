"""The list's refresh: 204 while nothing changed, else only the rows that did; rows never move by themselves."""

import json
import re
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from segadmin.models import Attempt, ExportRequest, Job, Origin, RequestState, Sandbox, State, User
from tests.conftest import signed_in
from tests.factories import make_job, make_jobs, make_request
from tests.views.pages import get, job_ids, known, link, text_of

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


class Watched:
    """A page of the list in a browser: what it shows, and its refresh."""

    def __init__(self, client: Client, address: str = "/jobs/") -> None:
        self.client = client
        page = get(client, address)
        found = re.search(r'id="job-table"[^>]*hx-get="([^"]*)"', page.content.decode())
        assert found is not None
        self.address, self.known = found[1].replace("&amp;", "&"), known(page)

    def poll(self) -> HttpResponse:
        return self.client.get(f"{self.address}&{urlencode(self.known)}", headers=HTMX)  # type: ignore[return-value]


def swapped(response: HttpResponse) -> list[tuple[str, str]]:
    """(target, state) of each row in the answer, every one of them inside a template."""
    rows = re.findall(
        r'<template><tr [^>]*data-state="([^"]*)"[^>]*hx-swap-oob="outerHTML:#([^"]*)"', response.content.decode()
    )
    assert len(rows) == response.content.count(b"data-state=")
    return [(target, state) for state, target in rows]


def change(job: Job, **values: object) -> None:
    Job.objects.filter(pk=job.pk).update(version=job.version + 1, **values)


def test_nothing_new_is_204_with_the_stamps_of_the_sandboxes(operator: User, prod: Sandbox, stage: Sandbox) -> None:
    make_job(prod, "1", State.RUNNING)
    make_request(prod, operator, RequestState.UNKNOWN)
    watched = Watched(signed_in(operator))
    response = watched.poll()
    assert response.status_code == 204
    assert response.content == b""
    stamps = json.loads(response["HX-Trigger"])["asof"]
    assert set(stamps) == {f"asof-{prod.pk}", f"asof-{stage.pk}"}
    assert re.fullmatch(r"\d\d:\d\d:\d\d", stamps[f"asof-{prod.pk}"])
    assert sum(len(f"{name}: {value}\r\n") for name, value in response.items()) < 500


def test_a_changed_row_alone_is_swapped(operator: User, prod: Sandbox) -> None:
    running = make_job(prod, "1", State.RUNNING)
    make_job(prod, "2")
    watched = Watched(signed_in(operator))
    change(running, state=State.SUCCEEDED, profiles=5)
    response = watched.poll()
    assert response.status_code == 200
    assert swapped(response) == [(f"row-{running.pk}", "succeeded")]
    assert "2 finished" in text_of(response)  # the line on top goes along
    assert "asof" in response["HX-Trigger"]


def test_after_the_swap_there_is_nothing_new_again(operator: User, prod: Sandbox) -> None:
    job = make_job(prod, "1", State.RUNNING)
    watched = Watched(signed_in(operator))
    change(job, state=State.FAILED)
    answer = watched.poll()
    watched.known = [pair for pair in watched.known if pair[0] != "poll"] + known(answer)
    assert watched.poll().status_code == 204


def test_a_row_stays_although_its_filter_no_longer_fits(operator: User, prod: Sandbox) -> None:
    job = make_job(prod, "1", State.RUNNING)
    watched = Watched(signed_in(operator), "/jobs/?state=running")
    change(job, state=State.SUCCEEDED)
    assert swapped(watched.poll()) == [(f"row-{job.pk}", "succeeded")]


def test_new_jobs_are_announced_and_not_inserted(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1")
    watched = Watched(signed_in(operator))
    make_job(prod, "2", minutes_ago=1)
    make_job(prod, "3", minutes_ago=0.5)
    response = watched.poll()
    assert swapped(response) == []
    assert "2 new: show them" in text_of(response)
    watched.known = [pair for pair in watched.known if pair[0] != "new"] + [("new", "2")]
    assert watched.poll().status_code == 204
    make_job(prod, "4", minutes_ago=0)
    assert "3 new: show them" in text_of(watched.poll())


def test_only_new_jobs_that_fit_the_filters_are_announced(operator: User, prod: Sandbox) -> None:
    make_job(prod, "1", State.FAILED)
    watched = Watched(signed_in(operator), "/jobs/?state=failed")
    make_job(prod, "2", minutes_ago=0)
    assert watched.poll().status_code == 204
    make_job(prod, "3", State.FAILED, minutes_ago=0)
    assert "1 new: show it" in text_of(watched.poll())


def test_the_first_job_of_an_empty_list_is_announced(operator: User, prod: Sandbox) -> None:
    watched = Watched(signed_in(operator))
    assert watched.poll().status_code == 204
    make_job(prod, "1")
    assert "1 new: show it" in text_of(watched.poll())


def test_many_new_jobs_are_told_as_many(operator: User, prod: Sandbox) -> None:
    watched = Watched(signed_in(operator))
    make_jobs(prod, 80)
    assert "More than 50 new: show them" in text_of(watched.poll())


def test_older_pages_tell_of_changes_but_not_of_new_jobs(operator: User, prod: Sandbox) -> None:
    make_jobs(prod, 60)
    client = signed_in(operator)
    second = link(get(client, "/jobs/"), "next")
    shown = job_ids(get(client, second))
    watched = Watched(client, second)
    make_job(prod, "new", minutes_ago=0)
    assert watched.poll().status_code == 204
    job = Job.objects.get(job_id=shown[0])
    change(job, state=State.FAILED)
    assert swapped(watched.poll()) == [(f"row-{job.pk}", "failed")]


def test_a_lost_request_becomes_the_row_of_its_job(operator: User, prod: Sandbox) -> None:
    request = make_request(prod, operator, RequestState.UNKNOWN)
    watched = Watched(signed_in(operator))
    ExportRequest.objects.update(state=RequestState.SENT, version=2)
    job = make_job(prod, "24131", State.RUNNING, export_request=request, origin=Origin.HERE, minutes_ago=0)
    response = watched.poll()
    assert swapped(response) == [(f"row-r{request.pk}", "running")]
    assert f'id="row-{job.pk}"' in response.content.decode()
    assert "new: show" not in text_of(response)  # it is no new one


def test_the_row_of_a_lost_request_goes_when_its_job_stands_there_already(operator: User, prod: Sandbox) -> None:
    request = make_request(prod, operator, RequestState.UNKNOWN)
    job = make_job(prod, "24131", State.RUNNING, origin=Origin.MATCHING, minutes_ago=0)
    watched = Watched(signed_in(operator))
    ExportRequest.objects.update(state=RequestState.SENT, version=2)
    change(job, export_request=request, origin=Origin.HERE)
    response = watched.poll()
    assert swapped(response) == [(f"row-{job.pk}", "running")]
    assert f'<template><tr id="row-r{request.pk}" hx-swap-oob="delete">' in response.content.decode()


@pytest.mark.parametrize(
    ("state", "settlement", "words"),
    [
        (RequestState.RELEASED, "released", "Not found at Adobe it may be sent again"),
        (RequestState.UNKNOWN, "person", "several jobs may be it"),
        (RequestState.REFUSED, "", "Refused by Adobe"),
    ],
)
def test_what_becomes_of_a_lost_request_is_told_on_its_row(
    operator: User, prod: Sandbox, state: RequestState, settlement: str, words: str
) -> None:
    request = make_request(prod, operator, RequestState.UNKNOWN)
    watched = Watched(signed_in(operator))
    ExportRequest.objects.update(state=state)
    Attempt.objects.update(settlement=settlement)
    response = watched.poll()
    assert swapped(response) == [(f"row-r{request.pk}", "unknown")]
    assert words in text_of(response)


def test_a_sandbox_that_begins_to_fail_changes_the_as_of_line(operator: User, prod: Sandbox) -> None:
    watched = Watched(signed_in(operator))
    Sandbox.objects.update(last_error="Adobe answered 503.", last_error_at=timezone.now())
    response = watched.poll()
    assert response.status_code == 200
    assert "Adobe answered 503." in text_of(response)
    assert 'hx-swap-oob="innerHTML:#places"' in response.content.decode()


def test_rows_of_other_orgs_can_not_be_asked_for(operator: User, prod: Sandbox, foreign: Sandbox, root: User) -> None:
    job, request = make_job(foreign, "secret"), make_request(foreign, root, RequestState.UNKNOWN)
    address = f"/jobs/?poll={job.pk}:999&poll=r{request.pk}:999"
    response = signed_in(operator).get(address, headers=HTMX)
    assert b"secret" not in response.content
    assert swapped(response) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query", ["poll=", "poll=x:y,r:1,007:1,-1:2", f"poll={'9' * 40}:1", "poll=1:1&top=x", "poll=%00:1&new=x&places=%00"]
)
def test_a_damaged_refresh_is_no_fault(operator: User, prod: Sandbox, query: str) -> None:
    make_job(prod, "1")
    assert signed_in(operator).get(f"/jobs/?{query}", headers=HTMX).status_code in (200, 204)


def test_a_signed_out_refresh_is_sent_to_the_sign_in(client: Client) -> None:
    response = client.get("/jobs/?poll=", headers=HTMX)
    assert response.status_code == 401
    assert response["HX-Redirect"].startswith("/accounts/login/")


def test_the_address_of_a_refresh_opened_by_hand_is_the_whole_page(operator: User, prod: Sandbox) -> None:
    assert "<h1>" in get(signed_in(operator), "/jobs/?poll=").content.decode()


def test_the_number_of_queries_does_not_depend_on_the_rows(operator: User, prod: Sandbox) -> None:
    counts = []
    client = signed_in(operator)
    for number in (5, 45):
        make_jobs(prod, number, fingerprint=str(number)) if number == 5 else [
            make_job(prod, f"more-{n}", State.RUNNING) for n in range(number)
        ]
        watched = Watched(client)
        with CaptureQueriesContext(connection) as captured:
            assert watched.poll().status_code == 204
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 10


def test_the_pace_is_slower_while_nothing_is_expected(operator: User, prod: Sandbox) -> None:
    client = signed_in(operator)
    make_job(prod, "1")
    assert 'data-poll-seconds="15"' in get(client, "/jobs/").content.decode()
    make_job(prod, "2", State.RUNNING)
    assert 'data-poll-seconds="5"' in get(client, "/jobs/").content.decode()
