"""The proof page on the log collector: how far it got, what waits, what is wrong; nothing where none is named."""

from datetime import UTC, datetime
from html import unescape

import pytest
from django.test import Client
from pytest_django import Settings

from segadmin.environment import Stream as Named
from segadmin.models import Event, Sandbox, Stream, User
from tests.audit.tampering import fill
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

HOOK = "https://collector.example.com/s3cret?token=t0ken-zz"
AT = datetime(2026, 7, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def client(root: User, prod: Sandbox, settings: Settings) -> Client:
    settings.STREAM = Named("https", HOOK, "Bearer very-secret")
    fill(5, prod)
    made = signed_in(root)
    made.get("/audit/")  # that the record is read is on record once an hour
    return made


def page(client: Client) -> str:
    text = unescape(client.get("/audit/proof/").content.decode())
    for secret in ("s3cret", "token=t0ken-zz", "very-secret"):
        assert secret not in text
    return text


def test_nothing_without_a_collector(client: Client, settings: Settings) -> None:
    settings.STREAM = None
    assert "Handed to a collector" not in page(client)


def test_before_the_first_time(client: Client) -> None:
    text = page(client)
    assert "https://collector.example.com is named; nothing was handed over yet." in text
    assert f"{Event.objects.count()} records wait." in text


def test_how_far_it_got(client: Client) -> None:
    newest = Event.objects.count()
    Stream.objects.create(target="https://collector.example.com", seq=newest - 1, at=AT)
    text = page(client)
    assert f"has everything up to record {newest - 1}, as of 2 July 2026 09:00:00 UTC. 1 record waits." in text
    Stream.objects.update(seq=newest)
    assert "Nothing waits." in page(client)


def test_an_outage(client: Client) -> None:
    problem = "collector.example.com answered with status 500. <b>"
    Stream.objects.create(target="https://collector.example.com", seq=1, at=AT, failing_since=AT, problem=problem)
    text = page(client)
    assert "https://collector.example.com has taken nothing since 2 July 2026 09:00:00 UTC." in text
    assert "answered with status 500. &lt;b&gt;" in client.get("/audit/proof/").content.decode()
    assert "records wait; they go out when the collector takes records again." in text


def test_a_collector_that_is_no_longer_named_is_not_told(client: Client) -> None:
    Stream.objects.create(target="file:///var/log/record.jsonl", seq=1, at=AT, failing_since=AT, problem="x")
    assert "record.jsonl" not in page(client)
