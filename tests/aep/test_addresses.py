"""Which addresses may be called, and what to write instead of the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segadmin.aep import ADOBE_HOSTS, quote_id, validate_url
from segadmin.aep.connections import refused_address

HOSTS = ADOBE_HOSTS | {"127.0.0.1:8010", "aep.example:8443", "[2001:db8::1]:8443", "Upper.Example"}


@pytest.mark.parametrize(
    "url",
    [
        "https://platform.adobe.io",
        "https://platform.adobe.io/",
        "https://platform.adobe.io:443/some/path",
        "https://PLATFORM.adobe.io",
        "https://ims-na1.adobelogin.com/ims/token/v3",
        "http://127.0.0.1:8010",
        "http://127.0.0.1:8010/ims/token/v3",
        "https://127.0.0.1:8010",
        "https://aep.example:8443/x",
        "https://[2001:db8::1]:8443",
        "https://upper.example",
    ],
)
def test_allowed(url: str) -> None:
    assert validate_url(url, HOSTS) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "without spaces"),
        ("platform.adobe.io", "beginning with https://"),
        ("http://platform.adobe.io", "only https"),
        ("http://localhost:8010", "only https"),
        ("http://127.0.0.1", "must name 127.0.0.1:PORT"),
        ("http://127.0.0.1:8011", "must name 127.0.0.1:8011"),
        ("http://127.1:8010", "only https"),
        ("http://[::1]:8010", "only https"),
        ("https://platform.adobe.io:8443", "Leave out the port"),
        ("https://evil.example", "not among the allowed"),
        ("https://platform.adobe.io.evil.example", "not among the allowed"),
        ("https://platform.adobe.io.", "beginning with https://"),
        ("https://aep.example", "not among the allowed"),
        ("https://user@platform.adobe.io", "user name"),
        ("https://user:pass@platform.adobe.io", "user name"),
        ("https://platform.adobe.io@evil.example", "user name"),
        ("https://platform.adobe.io?x=1", "first ? or #"),
        ("https://platform.adobe.io/#", "first ? or #"),
        ("https://platform.adobe.io/a/../b", "without . or .."),
        ("https://platform.adobe.io\\@evil.example", "without spaces"),
        ("https://platform.adobe.io /", "without spaces"),
        ("https://plat\tform.adobe.io", "without spaces"),
        ("https://platform.adobe.io\n", "without spaces"),
        ("https://pl\u0430tform.adobe.io", "without spaces"),
        ("https://platform.adobe.io:port", "not an address"),
        ("https://platform.adobe.io:99999", "not an address"),
        ("https://[::1", "not an address"),
        ("ftp://platform.adobe.io", "beginning with https://"),
        ("javascript:alert(1)", "beginning with https://"),
        ("https://", "beginning with https://"),
        ("https://%70latform.adobe.io", "beginning with https://"),
        ("https://169.254.169.254", "not among the allowed"),
    ],
)
def test_not_allowed(url: str, words: str) -> None:
    sentence = validate_url(url, HOSTS)
    assert sentence is not None
    assert words in sentence
    assert sentence.endswith(".")


@given(st.text())
def test_any_text_gets_a_sentence(url: str) -> None:
    assert (validate_url(url, HOSTS) or "fine.").endswith(".")


@given(st.text(min_size=1, max_size=200))
def test_a_quoted_id_is_one_path_segment(value: str) -> None:
    try:
        quoted = quote_id(value)
    except ValueError:
        return
    assert quoted.isascii()
    assert not set(quoted) & set("/?#\\ \r\n%") - {"%"}
    assert quoted not in (".", "..")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert not refused_address(address)


@pytest.mark.parametrize("address", ["127.0.0.53", "fe80::1%eth0", "not an address", "::", "255.255.255.255"])
def test_other_addresses(address: str) -> None:
    assert refused_address(address)
