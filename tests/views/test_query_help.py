"""How a query is written, for the record and for the register: every qualifier with its meaning and an example."""

import re
from html import unescape
from itertools import batched

import pytest
from django.test import Client

from segadmin.models import Event, User
from segadmin.queries import search, search_audit, search_help, search_register
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

PAGES = {
    "/audit/query/": ("audit", search_audit.QUALIFIERS),
    "/register/query/": ("register", search_register.QUALIFIERS),
}


@pytest.mark.parametrize("url", PAGES)
def test_signed_out_goes_to_sign_in(db: None, url: str) -> None:
    assert Client().get(url).headers["Location"] == f"/accounts/login/?next={url}"


@pytest.mark.parametrize("url", PAGES)
def test_only_get(viewer: User, url: str) -> None:
    client = signed_in(viewer)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(url).status_code == 405


@pytest.mark.parametrize("url", PAGES)
def test_every_qualifier_is_explained_and_leaves_no_event(auditor: User, url: str) -> None:
    client = signed_in(auditor)
    before = Event.objects.count()
    text = unescape(client.get(url).content.decode())
    known = PAGES[url][1]
    told = set(re.findall(r"<code>([a-z]+):</code>", text))
    assert told == {*known, *known.values()}
    assert Event.objects.count() == before


@pytest.mark.parametrize(("page", "known"), PAGES.values(), ids=["record", "register"])
def test_every_example_can_be_read(page: str, known: dict[str, str]) -> None:
    for one in search_help.qualifiers(page):
        line = search.parse(one.example, known)
        assert line.problems == ()
        assert [term.name for term in line.terms] == [one.name]


@pytest.mark.parametrize("page", ["audit", "register"])
def test_every_value_that_it_names_is_taken(root: User, page: str) -> None:
    client = signed_in(root)
    for one in search_help.qualifiers(page):
        for values in batched(one.values, search.MOST_VALUES, strict=False):
            answer = client.get(f"/{page}/?q={one.name}:{','.join(values)}")
            assert answer.status_code == 200
            assert 'aria-invalid="true"' not in answer.content.decode()


@pytest.mark.parametrize("url", PAGES)
def test_the_fold_above_the_query_fetches_the_text_alone(auditor: User, url: str) -> None:
    client = signed_in(auditor)
    page = client.get(f"/{PAGES[url][0]}/").content.decode()
    assert f'<p hx-get="{url}" hx-trigger="toggle from:closest details" hx-swap="outerHTML"><a href="{url}">' in page
    text = client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<main" not in text
    assert "<code>audience:</code>" in text
