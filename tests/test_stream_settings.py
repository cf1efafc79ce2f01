"""SEGADMIN_STREAM_URL: which collectors can be named, and that what lets anybody in is never shown."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from segadmin.environment import Environment, stream

AUTHORIZATION = "SEGADMIN_STREAM_AUTHORIZATION"


def read(url: str = "", **more: str) -> object:
    return stream(Environment({"SEGADMIN_STREAM_URL": url, **more}))


def test_none_is_named() -> None:
    assert read() is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("file:///var/log/segadmin/record.jsonl", "file:///var/log/segadmin/record.jsonl"),
        ("file:///var/log/a%20b.jsonl", "file:///var/log/a b.jsonl"),
        ("syslog+tls://siem.example.com:6514", "syslog+tls://siem.example.com:6514"),
        ("syslog+tcp://siem.example.com", "syslog+tcp://siem.example.com"),
        ("syslog+tcp://[fd00::1]:601", "syslog+tcp://[fd00::1]:601"),
        ("https://siem.example.com:8088/services/s3cret?key=s3cret", "https://siem.example.com:8088"),
        ("http://127.0.0.1:8080/s3cret", "http://127.0.0.1:8080"),
    ],
)
def test_what_can_be_named(url: str, shown: str) -> None:
    found = stream(Environment({"SEGADMIN_STREAM_URL": url}))
    assert found is not None
    assert found.url == url
    assert found.shown == shown
    assert "s3cret" not in f"{found!r}{found.shown}"


@pytest.mark.parametrize(
    "url",
    [
        "siem.example.com",
        "syslog://siem.example.com",
        "syslog+tcp://",
        "syslog+tcp://siem.example.com/path",
        "syslog+tls://siem.example.com:99999",
        "syslog+tls://siem.example.com:0",
        "http://siem.example.com/s3cret",
        "https:///s3cret",
        "https://user:s3cret@siem.example.com/",
        "file://host/record.jsonl",
        "file:record.jsonl",
        "https://[s3cret",
    ],
)
def test_what_can_not(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SEGADMIN_STREAM_URL should look like") as caught:
        read(url)
    assert "s3cret" not in str(caught.value)


def test_the_header_is_for_https_alone() -> None:
    found = read("https://siem.example.com/in", **{AUTHORIZATION: "Bearer s3cret"})
    assert found is not None
    assert "s3cret" not in repr(found)
    for url, value in (
        ("", "Bearer s3cret"),
        ("syslog+tls://siem.example.com", "Bearer s3cret"),
        ("https://siem.example.com/in", "Bearer s3cr\u00e9t"),
    ):
        with pytest.raises(ImproperlyConfigured, match=AUTHORIZATION) as caught:
            read(url, **{AUTHORIZATION: value})
        assert "s3cr" not in str(caught.value)
