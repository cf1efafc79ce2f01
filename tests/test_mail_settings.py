"""SEGADMIN_MAIL_URL: one address for the mail server, or a sentence that says what to write."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from segadmin.environment import Environment, mail_server

FROM = {"SEGADMIN_MAIL_FROM": "segadmin@example.com"}


def options(url: str) -> dict[str, object] | None:
    return mail_server(Environment({**FROM, "SEGADMIN_MAIL_URL": url}))


def test_without_it_no_mail_is_sent() -> None:
    assert mail_server(Environment({})) is None


def test_starttls_is_the_default() -> None:
    told = options("smtp://user:p%40ss%3Aword@mail.example.com:587")
    assert told is not None
    assert (told["host"], told["port"]) == ("mail.example.com", 587)
    assert (told["username"], told["password"]) == ("user", "p@ss:word")
    assert (told["use_tls"], told["use_ssl"]) == (True, False)


@pytest.mark.parametrize(
    ("url", "tls", "ssl"),
    [
        ("smtp://127.0.0.1:25?tls=none", False, False),
        ("smtp://mail.example.com?tls=starttls", True, False),
        ("smtps://mail.example.com", False, True),
    ],
)
def test_the_ways_to_encrypt(url: str, tls: bool, ssl: bool) -> None:
    told = options(url)
    assert told is not None
    assert (told["use_tls"], told["use_ssl"]) == (tls, ssl)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:port",
        "smtp://mail.example.com/path",
        "smtp://mail.example.com?tls=maybe",
        "smtp://mail.example.com?tls",
    ],
)
def test_anything_else_is_told(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SEGADMIN_MAIL_URL should look like smtp://"):
        options(url)


def test_the_password_is_never_quoted() -> None:
    with pytest.raises(ImproperlyConfigured) as told:
        options("smtp://user:s3cret@mail.example.com:99999999")
    assert "s3cret" not in str(told.value)


def test_mail_needs_a_sender() -> None:
    with pytest.raises(ImproperlyConfigured, match="SEGADMIN_MAIL_FROM"):
        mail_server(Environment({"SEGADMIN_MAIL_URL": "smtp://mail.example.com"}))


def test_the_address_may_come_from_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("secrets") / "mail"
    file.write_text("smtps://user:pw@mail.example.com\n")
    told = mail_server(Environment({**FROM, "SEGADMIN_MAIL_URL_FILE": str(file)}))
    assert told is not None
    assert told["password"] == "pw"
