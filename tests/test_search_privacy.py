"""What looks like an e-mail address in a search is searched for, and kept nowhere: no log, no event, no table, no file."""

import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from django.apps import apps
from django.conf import settings
from django.test import Client

from segadmin.models import Sandbox, User
from segadmin.queries import search
from tests.conftest import signed_in
from tests.factories import make_job

NAME = "jane.doe"
ADDRESS = f"{NAME}@example.org"
SPELLINGS = [ADDRESS, quote(ADDRESS, safe=""), quote(quote(ADDRESS, safe=""), safe=""), f"{NAME}＠example.org"]
PAGES = [
    "/jobs/?q={}",
    "/audit/?q={}",
    "/audit/?q=actor%3A{}",
    "/audit/?person={}&write=1",
    "/register/?q={}",
    "/register/?text={}",
    "/register/?recipient={}&audience={}",
    "/answers/?q={}",
    "/answers/erasure/?audiences={}",
    "/answers/exported.csv?q={}",
    "/audit/export.csv?q={}",
    "/audit/export.jsonl?q=actor%3A{}",
    "/register/export.csv?q={}",
    "/views/new/?page=audit&q={}",
    "/people/?after={}",
    "/findings/?q={}",
]


def everything_stored() -> str:
    """All rows of all tables as text."""
    return "\n".join(
        repr(row) for model in apps.get_models() for row in model._default_manager.order_by("pk").values_list()
    )


def everything_written(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".sqlite" not in path.name)


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.django_db
def test_no_page_or_file_keeps_it(admin: User, prod: Sandbox, caplog: pytest.LogCaptureFixture, spelled: str) -> None:
    make_job(prod)
    client = signed_in(admin)
    with caplog.at_level(logging.DEBUG):
        caplog.handler.setLevel(logging.DEBUG)
        for page in PAGES:
            response = client.get(page.replace("{}", quote(spelled, safe="")))
            assert response.status_code < 500, page
            b"".join(response) if response.streaming else response.content
        for name, query in (("Jane", spelled), (spelled, "actor:x"), ("Jane", f'"of {spelled}"')):
            client.post("/views/new/", {"name": name, "page": "audit", "query": query, "seen_by": "private"})
    lines = [line.getMessage() for line in caplog.records if line.name != "django.db.backends"]
    assert NAME not in "\n".join(lines)
    assert NAME not in everything_stored()
    assert NAME.encode() not in everything_written(Path(settings.DATA_DIR))


@pytest.mark.django_db
def test_no_error_report_has_it(admin: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("segadmin.queries.audit.page", broken)
    client = Client(raise_request_exception=False)
    client.force_login(admin, backend="allauth.account.auth_backends.AuthenticationBackend")
    for spelled in SPELLINGS:
        assert client.get(f"/audit/?q={quote(spelled, safe='')}").status_code == 500
    told = "\n".join(logging.Formatter().format(line) for line in caplog.records)
    assert "broken on purpose" in told
    assert NAME not in told


@pytest.mark.django_db
def test_nobody_without_the_right_leaves_it_on_record(viewer: User, caplog: pytest.LogCaptureFixture) -> None:
    client = signed_in(viewer)
    with caplog.at_level(logging.INFO):
        for spelled in SPELLINGS:
            assert client.get(f"/audit/?q={quote(spelled, safe='')}").status_code == 403
    assert NAME not in everything_stored()
    assert NAME not in caplog.text


@pytest.mark.parametrize("spelled", [*SPELLINGS, f"actor:{ADDRESS}", "a%2525252540b", f'"Jane <{ADDRESS}>"'])
def test_every_spelling_is_recognised(spelled: str) -> None:
    assert search.names_mail(spelled)


@pytest.mark.parametrize("text", ["100%", "50%25", "actor:m.lead", "a%20b", ""])
def test_other_texts_are_not_taken_for_it(text: str) -> None:
    assert not search.names_mail(text)
