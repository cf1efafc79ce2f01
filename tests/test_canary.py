"""Secrets of each kind at work, and then looked for everywhere that somebody may read or keep.

They reach Adobe, the browser that they belong to, and sealed or hashed columns; nothing else.
"""

import base64
import io
import logging
import zipfile
from pathlib import Path

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.apps import apps
from django.conf import settings as django_settings
from django.test import Client
from django.views.debug import get_exception_reporter_filter
from pytest_django import Settings

from segadmin import sync
from segadmin.emulator.server import Emulator
from segadmin.models import Credential, EventContent, ExportRequest, Role, Sandbox, TokenCache, User
from tests.conftest import make_person
from tests.signing import CANARY, confirmed
from tests.test_hostile_text import ACME, FILES, PROD, addresses, taken
from tests.upstream import body_for

pytestmark = pytest.mark.django_db

PASSWORD = "canary horse battery staple"
# Rows that are the session itself.
SESSIONS = {"sessions.Session", "usersessions.UserSession"}


@pytest.fixture
def owner(db: None) -> User:
    person = make_person("owner", Role.ADMIN)
    person.set_password(PASSWORD)
    person.save()
    return person


def sent_export(client: Client, emulator: Emulator) -> None:
    body = body_for(emulator)
    client.post(
        f"{PROD}jobs/new/",
        {
            "who": "audiences",
            "which": "these",
            "fields": "identityMap",
            "destination__datasetId": body["destination"]["datasetId"],  # type: ignore[index]
            "schema__name": "_xdm.context.profile",
            "purpose": "Win-back letter",
            "filter__segments-0-segmentId": body["filter"]["segments"][0]["segmentId"],  # type: ignore[index]
        },
    )
    row = ExportRequest.objects.get()
    client.post(f"{PROD}requests/{row.uuid}/", {"version": str(row.version)})
    assert ExportRequest.objects.get().state == "sent"


def secrets_at_work(client: Client, emulator: Emulator, owner: User) -> dict[str, str]:
    """Each secret by what it is, as somebody would have to know it to use it."""
    factor = TOTP.activate(owner, "CANARYTOTPSECRETABCDEFGH234567AB")
    codes = RecoveryCodes.activate(owner)
    bearer = next(item.headers["authorization"] for item in emulator.requests if "authorization" in item.headers)
    key = next(iter(django_settings.ENCRYPTION_KEYS.values()))
    found = {
        "client secret": emulator.tenant("acme").client_secret,
        "access token": bearer.removeprefix("Bearer "),
        "password": PASSWORD,
        "key of sessions": django_settings.SECRET_KEY,
        "encryption key": base64.b64encode(key).decode(),
        "encryption key in hex": key.hex(),
        "signing key": (django_settings.DATA_DIR / "checkpoint_key").read_text().strip(),
        "session": client.cookies[django_settings.SESSION_COOKIE_NAME].value,
        "secret of forms": client.cookies[django_settings.CSRF_COOKIE_NAME].value,
        "second factor": "CANARYTOTPSECRETABCDEFGH234567AB",
        "recovery code": codes.get_unused_codes()[0],
    }
    assert factor.instance.pk
    assert all(len(value) >= 8 for value in found.values())
    return found


def everything_stored() -> dict[str, str]:
    """All rows of each table but the sessions', as text."""
    found = {}
    for model in apps.get_models():
        if model._meta.label not in SESSIONS:
            found[f"table {model._meta.label}"] = repr(list(model._default_manager.order_by("pk").values_list()))
    return found


def everything_shown(client: Client) -> dict[str, str]:
    """Pages with their headers, and files, also those within the evidence pack."""
    found = {}
    for address in [*addresses(), f"{ACME}credential/", "/accounts/sessions/", "/accounts/2fa/"]:
        response = client.get(address, follow=True)
        headers = {name: value for name, value in response.headers.items() if name != "Set-Cookie"}
        found[address] = f"{response.redirect_chain}{headers}{response.content.decode()}"
    for address in FILES:
        found[address] = taken(client, address).decode()
    pack = zipfile.ZipFile(io.BytesIO(taken(client, "/audit/evidence/", {})))
    return found | {f"pack {name}": pack.read(name).decode() for name in pack.namelist()}


def test_no_secret_is_shown_stored_logged_or_given_out(
    live_prod: Sandbox, emulator: Emulator, owner: User, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    for logger in ("segadmin", "urllib3", "requests", "allauth", "django.request", "django.security"):
        caplog.set_level(logging.DEBUG, logger=logger)
    assert client.post("/accounts/login/", {"login": "owner", "password": PASSWORD}).status_code == 302
    client.post("/accounts/login/", {"login": PASSWORD, "password": PASSWORD})
    sync.once()
    sent_export(client, emulator)
    client.post(f"{ACME}test/")
    taken(client, "/audit/export.csv")  # makes the signing key
    secrets = secrets_at_work(client, emulator, owner)
    credential, token = Credential.objects.get(), TokenCache.objects.get()
    places = {**everything_shown(client), **everything_stored(), "log": caplog.text}
    places["objects"] = f"{credential!r}{credential}{vars(credential)}{vars(token)}{vars(owner)}"
    places["addresses called"] = "".join(item.path + str(item.query) for item in emulator.requests)
    found = [(what, place) for what, secret in secrets.items() for place, text in places.items() if secret in text]
    assert found == []
    # They were there to be found: what was looked through is what it should be.
    assert credential.fingerprint in places[ACME]
    assert "Win-back letter" in places["/register/export.csv"]
    assert (
        str(EventContent.objects.latest("pk").text)
        in places["pack events.jsonl"] + places["table segadmin.EventContent"]
    )


FAULTY = [
    ("segadmin.crypto.seal", f"{ACME}credential/", {"kind": "oauth", "client_id": "c", "secret": CANARY}),
    ("segadmin.crypto.seal", f"{ACME}credential/", {"pasted": f'{{"CLIENT_SECRETS": ["{CANARY}"], "CLIENT_ID": "c"}}'}),
    ("segadmin.models.User.set_password", "/people/{pk}/password/", {"password": CANARY}),
    ("segadmin.signin.AccountAdapter.authenticate", "/accounts/login/", {"login": "owner", "password": CANARY}),
    ("allauth.account.forms.ReauthenticateForm.clean_password", "/accounts/reauthenticate/", {"password": CANARY}),
    ("segadmin.crypto.open_", f"{ACME}test/", {}),
]


@pytest.mark.parametrize("debug", [False, True], ids=["as it runs", "with DEBUG"])
@pytest.mark.parametrize(("breaks", "address", "values"), FAULTY, ids=[f"{item[1]} {list(item[2])}" for item in FAULTY])
def test_no_error_page_or_report_holds_a_secret(
    live_prod: Sandbox,
    owner: User,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    breaks: str,
    address: str,
    values: dict[str, str],
    debug: bool,
) -> None:
    person = make_person("operator", Role.OPERATOR)
    client = Client() if address == "/accounts/login/" else confirmed(owner)
    client.raise_request_exception = False
    address = address.format(pk=person.pk)
    client.get(address)
    session = client.cookies.get(settings.SESSION_COOKIE_NAME)

    def broken(*_args: object, **_values: object) -> None:
        raise RuntimeError("it broke while a secret was at work")

    monkeypatch.setattr(breaks, broken)
    settings.DEBUG = debug
    response = client.post(
        address, values, headers={"cookie": f"x={CANARY}; {client.cookies.output(header='', sep=';')}"}
    )
    page = response.content.decode()
    assert response.status_code == 500
    assert ("it broke while a secret" in page) is debug
    settings_too = [settings.SECRET_KEY, base64.b64encode(next(iter(settings.ENCRYPTION_KEYS.values()))).decode()]
    for secret in (CANARY, PASSWORD, *settings_too, *([session.value] if session else [])):
        assert secret not in page
        assert secret not in caplog.text
    assert "it broke while a secret" in caplog.text


def test_what_a_report_says_of_settings_opens_nothing(settings: Settings) -> None:
    settings.DATABASE_URL = f"postgres://user:{CANARY}@db/segadmin"
    settings.UPSTREAM_PROXY = f"http://user:{CANARY}@proxy:3128"
    settings.MAILERS = {"default": {"BACKEND": "smtp", "OPTIONS": {"host": "mail", "password": CANARY}}}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [{"client_id": "c", "secret": CANARY}]}}
    told = get_exception_reporter_filter(None).get_safe_settings()
    assert CANARY not in repr(told)


def test_no_program_that_is_started_is_told_a_secret_as_a_word() -> None:
    """Words of a command line can be read by everybody on the machine: the commands that take a secret read it in."""
    folder = Path(django_settings.BASE_DIR) / "segadmin" / "management" / "commands"
    for file in folder.glob("*.py"):
        for line in file.read_text().splitlines():
            if "add_argument(" in line and ("password" in line or "secret" in line or "token" in line):
                assert "-stdin" in line or "--token-url" in line, f"{file.name}: {line.strip()}"
