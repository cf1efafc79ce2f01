"""The credential of an organization: write-only, confirmed with the password, sealed, on record by fingerprint."""

import base64
import json
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from segadmin import connect, crypto
from segadmin.emulator.server import Emulator
from segadmin.models import Action, Credential, EventContent, Organization, Role, Sandbox, TokenCache, User
from tests.conftest import make_person, signed_in
from tests.signing import CANARY, confirmed, nowhere_on_record

pytestmark = pytest.mark.django_db

URL, PAGE = "/organizations/acme/credential/", "/organizations/acme/"
TYPED = {"kind": "oauth", "client_id": "client-of-acme", "secret": CANARY, "scopes": "openid, AdobeID"}


def opened(credential: Credential) -> str:
    return crypto.open_(
        credential.secret_sealed,
        place=connect.SECRET_PLACE,
        row=credential.uuid,
        org=credential.organization.uuid,
    ).reveal()


def set_events() -> list[EventContent]:
    return list(EventContent.objects.filter(action=Action.CREDENTIAL_SET).order_by("event_id"))


# -- who --------------------------------------------------------------------------------------------------------------


def test_the_page_asks_for_the_password_first(admin: User, acme: Organization) -> None:
    answer = signed_in(admin).get(URL)
    assert (answer.status_code, answer["Location"]) == (
        302,
        f"/accounts/reauthenticate/?next={URL.replace('/', '%2F')}",
    )


def test_after_the_password_it_comes_back_and_is_open_for_five_minutes(admin: User, acme: Organization) -> None:
    client = signed_in(admin)
    client.get(URL)
    answer = client.post(f"/accounts/reauthenticate/?next={URL}", {"password": "correct horse battery"})
    assert answer["Location"] == URL
    assert client.get(URL).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert client.get(URL).status_code == 302


def test_a_post_without_confirmation_stores_nothing_and_keeps_the_secret_nowhere(
    admin: User, acme: Organization
) -> None:
    client = signed_in(admin)
    answer = client.post(URL, TYPED)
    assert (answer.status_code, answer["Location"]) == (302, URL)
    assert not Credential.objects.exists()
    for session in Session.objects.all():
        assert CANARY not in json.dumps(session.get_decoded())
    client.post(f"/accounts/reauthenticate/?next={URL}", {"password": "correct horse battery"})
    page = client.get(URL)
    assert "Nothing was saved" in page.content.decode()
    assert not Credential.objects.exists()


def test_wrong_roles_are_refused_before_any_question(viewer: User, auditor: User, acme: Organization) -> None:
    for user in (viewer, auditor):
        assert signed_in(user).get(URL).status_code == 403
        assert confirmed(user).post(URL, TYPED).status_code == 403
    assert not Credential.objects.exists()


def test_strangers_do_not_find_it(stranger: User, acme: Organization) -> None:
    assert confirmed(stranger).get(URL).status_code == 404
    assert confirmed(stranger).post(URL, TYPED).status_code == 404


def test_a_post_needs_the_pages_token(admin: User, acme: Organization) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = confirmed(admin).cookies
    assert client.post(URL, TYPED).status_code == 403
    assert not Credential.objects.exists()


# -- setting and replacing --------------------------------------------------------------------------------------------


def test_a_typed_secret_is_sealed_to_its_row_and_told_by_fingerprint(
    admin: User, prod: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = confirmed(admin).post(URL, TYPED)
    assert answer["Location"] == PAGE
    credential = Credential.objects.get()
    assert opened(credential) == CANARY
    assert CANARY not in credential.secret_sealed
    assert (credential.scopes, credential.set_by) == ("openid,AdobeID", "admin")
    [event] = set_events()
    assert event.sentence == f"set the credential of Acme Retail (secret {credential.fingerprint})"
    assert nowhere_on_record()
    assert CANARY not in caplog.text
    for url in (PAGE, URL, "/audit/", "/organizations/"):
        assert CANARY not in confirmed(admin).get(url).content.decode()
    prod.refresh_from_db()
    assert prod.due_at is not None


def test_blank_keeps_the_secret(admin: User, acme: Organization) -> None:
    client = confirmed(admin)
    client.post(URL, TYPED)
    first = Credential.objects.get()
    client.post(URL, {**TYPED, "secret": "", "scopes": "openid"})
    second = Credential.objects.get()
    assert (opened(second), second.scopes, second.set_at) == (CANARY, "openid", first.set_at)
    assert "the secret stayed" in set_events()[1].sentence
    page = client.post(URL, {**TYPED, "secret": "", "scopes": "openid"}, follow=True)
    assert "Nothing differed" in page.content.decode()
    assert len(set_events()) == 2


def test_replacing_drops_the_token_and_old_tokens_do_not_come_back(admin: User, acme: Organization) -> None:
    client = confirmed(admin)
    client.post(URL, TYPED)
    before = Credential.objects.get()
    TokenCache.objects.create(organization=acme, token_sealed="v1.t1.x.y", credential_uuid=before.uuid)
    client.post(URL, {**TYPED, "secret": f"{CANARY}-2"})
    after = Credential.objects.get()
    assert opened(after) == f"{CANARY}-2"
    assert not TokenCache.objects.exists()
    assert after.uuid != before.uuid  # a refresh that is still under way saves for a credential that is gone
    assert set_events()[1].sentence == (
        f"replaced the secret of Acme Retail: {after.fingerprint} instead of {before.fingerprint}"
    )


def test_the_same_secret_again_keeps_its_age(admin: User, acme: Organization) -> None:
    client = confirmed(admin)
    client.post(URL, TYPED)
    first = Credential.objects.get()
    client.post(URL, TYPED)
    again = Credential.objects.get()
    assert (again.set_at, again.fingerprint, opened(again)) == (first.set_at, first.fingerprint, CANARY)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"secret": ""}, "Write the client secret."),
        ({"client_id": ""}, "Write the client id"),
        ({"kind": "token", "secret": ""}, "Paste the access token."),
        ({"kind": "token"}, "Write when the token expires"),
        ({"kind": "token", "token_expires_at": "2020-01-01 00:00"}, "expired already"),
        ({"kind": "token", "token_expires_at": "3020-01-01 00:00"}, "Look at the year"),
        ({"kind": "jwt"}, "jwt"),
    ],
)
def test_what_can_not_be_taken_is_told_and_never_shown_again(
    admin: User, acme: Organization, change: dict[str, str], told: str
) -> None:
    page = confirmed(admin).post(URL, {**TYPED, **change})
    text = page.content.decode()
    assert page.status_code == 200
    assert told in text
    assert CANARY not in text
    assert not Credential.objects.exists()
    assert not set_events()


def test_another_client_id_needs_its_own_secret(admin: User, acme: Organization) -> None:
    client = confirmed(admin)
    client.post(URL, TYPED)
    page = client.post(URL, {**TYPED, "client_id": "another", "secret": ""})
    assert "Another client id needs its own secret." in page.content.decode()
    tomorrow = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%d %H:%M")
    page = client.post(URL, {**TYPED, "kind": "token", "secret": "", "token_expires_at": tomorrow})
    assert "Another kind of credential needs its own secret." in page.content.decode()
    assert Credential.objects.get().client_id == "client-of-acme"


# -- pasted -----------------------------------------------------------------------------------------------------------


def console_json(**change: object) -> str:
    content = {
        "CLIENT_SECRETS": [CANARY],
        "ORG_ID": "AC3E0000@AdobeOrg",
        "CLIENT_ID": "id-from-json",
        "SCOPES": ["openid", "AdobeID"],
        "TECHNICAL_ACCOUNT_ID": "0@techacct.adobe.com",
    }
    return json.dumps({**content, **change})


def test_the_json_of_adobes_console_fills_in_everything(admin: User, acme: Organization) -> None:
    confirmed(admin).post(URL, {"pasted": console_json(), "kind": "oauth", "client_id": "", "secret": "", "scopes": ""})
    credential = Credential.objects.get()
    assert (credential.client_id, credential.scopes, opened(credential)) == ("id-from-json", "openid,AdobeID", CANARY)
    assert nowhere_on_record()


def test_the_json_of_another_org_is_refused(admin: User, acme: Organization) -> None:
    page = confirmed(admin).post(URL, {"pasted": console_json(ORG_ID="FFFF@AdobeOrg")})
    text = page.content.decode()
    assert "This credential belongs to FFFF@AdobeOrg, and Acme Retail is AC3E0000@AdobeOrg." in text
    assert CANARY not in text
    assert not Credential.objects.exists()


def test_what_is_no_json_is_refused_without_showing_it(admin: User, acme: Organization) -> None:
    page = confirmed(admin).post(URL, {"pasted": f"{{ {CANARY}"})
    assert "This is not the JSON of Adobe&#x27;s console" in page.content.decode()
    assert CANARY not in page.content.decode()


def test_json_and_another_typed_secret_are_refused(admin: User, acme: Organization) -> None:
    page = confirmed(admin).post(URL, {"pasted": console_json(), "secret": "another"})
    assert "not both" in page.content.decode()
    assert not Credential.objects.exists()


def adobe_token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.{CANARY}"


def test_a_pasted_token_says_itself_when_it_ends(admin: User, acme: Organization) -> None:
    made = int(time.time() * 1000)
    pasted = adobe_token(created_at=str(made), expires_in="86400000")
    confirmed(admin).post(URL, {**TYPED, "kind": "token", "secret": f"Bearer {pasted}"})
    credential = Credential.objects.get()
    assert credential.kind == Credential.Kind.TOKEN
    assert opened(credential) == pasted
    assert credential.token_expires_at == datetime.fromtimestamp((made + 86_400_000) / 1000, UTC).replace(microsecond=0)


def test_a_pasted_token_reads_from_adobe(emulator: Emulator, live_acme: Organization) -> None:
    admin = make_person("admin", Role.ADMIN, organization=live_acme)
    client = confirmed(admin)
    ends = (timezone.now() + timedelta(hours=20)).strftime("%Y-%m-%d %H:%M")
    typed = {"kind": "token", "client_id": emulator.tenant("acme").client_id, "token_expires_at": f"{ends} UTC"}
    client.post(URL, {**typed, "secret": emulator.issue_token("acme")})
    page = client.post(f"{PAGE}test/", follow=True)
    assert "Reading works in prod, stage." in page.content.decode()


# -- sealing ----------------------------------------------------------------------------------------------------------


def test_a_secret_moved_to_another_org_does_not_open(admin: User, acme: Organization, nordwind: Organization) -> None:
    confirmed(admin).post(URL, TYPED)
    credential = Credential.objects.get()
    Credential.objects.filter(pk=credential.pk).update(organization=nordwind)
    credential.refresh_from_db()
    with pytest.raises(crypto.SealBroken):
        opened(credential)


def test_a_secret_that_does_not_open_is_told_and_can_be_set_again(admin: User, acme: Organization) -> None:
    client = confirmed(admin)
    client.post(URL, TYPED)
    sealed = Credential.objects.get().secret_sealed
    Credential.objects.update(secret_sealed=sealed[:-4] + ("AAAA" if not sealed.endswith("AAAA") else "BBBB"))
    page = client.post(f"{PAGE}test/", follow=True)
    assert "can&#x27;t be opened" in page.content.decode()
    client.post(URL, TYPED)
    assert opened(Credential.objects.get()) == CANARY
