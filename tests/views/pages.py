"""Reading what a page says, for the tests of the jobs pages."""

import re
from html import unescape
from typing import Any

from django.http import HttpResponse
from django.test import Client


def text_of(response: Any) -> str:
    """The words of a page without its markup, blanks folded."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", response.content.decode()))).replace(" .", ".")


def get(client: Client, address: str) -> HttpResponse:
    response = client.get(address)
    assert response.status_code == 200, address
    return response  # type: ignore[return-value]


def job_ids(response: HttpResponse) -> list[str]:
    """The ids of the rows in their order; empty for a request that has no job yet."""
    return [unescape(found) for found in re.findall(r'<tr [^>]*data-job-id="([^"]*)"', response.content.decode())]


def states(response: HttpResponse) -> dict[str, str]:
    """Job id -> state of its row."""
    rows = re.findall(r'<tr [^>]*data-job-id="([^"]*)" data-state="([^"]*)"', response.content.decode())
    return dict(rows)


def link(response: HttpResponse, rel: str) -> str:
    """The address of the link with this relation; empty where there is none."""
    found = re.search(rf'<a [^>]*rel="{rel}"[^>]*href="([^"]*)"', response.content.decode())
    return unescape(found[1]) if found else ""


def known(response: HttpResponse) -> list[tuple[str, str]]:
    """What the page sends back with each refresh: names and values of the fields marked for it."""
    inputs = re.findall(r"<input [^>]*data-known[^>]*>", response.content.decode())
    return [
        (re.search(r'name="([^"]*)"', item)[1], unescape(re.search(r'value="([^"]*)"', item)[1]))  # type: ignore[index]
        for item in inputs
    ]
