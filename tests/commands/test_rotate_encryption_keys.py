"""manage.py rotate_encryption_keys: everything sealed moves to the first key, or nothing does."""

import io
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from segadmin import aep, connect, crypto
from segadmin.actions import keys, organizations
from segadmin.audit import Actor
from segadmin.models import Action, Credential, EventContent, Organization, Outcome, TokenCache, User
from tests.conftest import make_person
from tests.signing import CANARY, nowhere_on_record

pytestmark = pytest.mark.django_db

OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}
TOTP_SECRET = "JBSWY3DPEHPK3PXP"


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rotate_encryption_keys", *arguments, stdout=out)
    return out.getvalue()


def add(slug: str) -> Organization:
    return organizations.set_up(
        actor=Actor.command("setup"),
        slug=slug,
        name=slug.title(),
        ims_org_id="AC3E@AdobeOrg",
        sandboxes={"prod": "production"},
        client_id="c",
        secret=f"{CANARY}-{slug}",
    )


@pytest.fixture
def sealed(db: None, settings: Settings) -> User:
    """Two orgs, one with a token in the cache, and a person with a second factor, all sealed with the old key."""
    settings.ENCRYPTION_KEYS = OLD
    acme, _nordwind = add("acme"), add("nordwind")
    store = connect.DatabaseTokenStore(acme, Credential.objects.get(organization=acme))
    store.claim(5)
    store.save(aep.AccessToken(value="token-of-acme", expires_at=timezone.now() + timedelta(hours=5)))
    person = make_person("crm.ops")
    TOTP.activate(person, TOTP_SECRET)
    settings.ENCRYPTION_KEYS = {**NEW, **OLD}
    return person


def secrets() -> dict[str, str]:
    found = {}
    for row in Credential.objects.select_related("organization"):
        organization = row.organization
        opened = crypto.open_(row.secret_sealed, place=connect.SECRET_PLACE, row=row.uuid, org=organization.uuid)
        found[organization.slug] = opened.reveal()
    return found


def test_everything_moves_and_still_opens_without_the_old_key(sealed: User, settings: Settings) -> None:
    assert run("--by", "m.lead", "--reason", "yearly") == "Sealed 4 secrets with new; 0 were already.\n"
    settings.ENCRYPTION_KEYS = NEW
    assert secrets() == {"acme": f"{CANARY}-acme", "nordwind": f"{CANARY}-nordwind"}
    acme = Organization.objects.get(slug="acme")
    token = connect.DatabaseTokenStore(acme, Credential.objects.get(organization=acme)).load()
    assert token is not None
    assert token.value == "token-of-acme"
    authenticator = Authenticator.objects.get()
    assert authenticator.wrap().instance.data["secret"].startswith("v1.new.")
    event = EventContent.objects.get(action=Action.KEYS_ROTATED)
    assert (event.actor_name, event.sentence) == ("m.lead", "sealed 4 secrets with the encryption key new")
    assert '"before":{"old":4}' in event.text
    assert "yearly" in event.text
    assert nowhere_on_record()


def test_check_counts_and_fails_until_all_are_moved(sealed: User) -> None:
    out = io.StringIO()
    with pytest.raises(CommandError, match="4 secrets are not sealed with new") as failure:
        call_command("rotate_encryption_keys", "--check", stdout=out)
    assert failure.value.returncode == 1
    assert out.getvalue() == "new (the first key): 0\nold: 4\n"
    run()
    assert run("--check") == "new (the first key): 4\n"


def test_check_changes_nothing(sealed: User) -> None:
    before = list(Credential.objects.order_by("pk").values_list("secret_sealed", flat=True))
    with pytest.raises(CommandError):
        run("--check")
    assert list(Credential.objects.order_by("pk").values_list("secret_sealed", flat=True)) == before
    assert not EventContent.objects.filter(action=Action.KEYS_ROTATED).exists()


def test_again_there_is_nothing_to_do_and_no_event(sealed: User) -> None:
    run()
    assert run() == "Sealed 0 secrets with new; 4 were already.\n"
    assert EventContent.objects.filter(action=Action.KEYS_ROTATED).count() == 1


def test_stopped_half_way_nothing_has_moved_and_it_runs_again(sealed: User, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = crypto.reseal, []

    def stops(*args: Any, **kwargs: Any) -> str:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(crypto, "reseal", stops)
        with pytest.raises(KeyboardInterrupt):
            keys.rotate_keys(actor=Actor.command("m.lead"))
    assert {crypto.key_id_of(row.secret_sealed) for row in Credential.objects.all()} == {"old"}
    assert not EventContent.objects.filter(action=Action.KEYS_ROTATED).exists()
    assert "Sealed 4" in run()


def test_what_no_key_opens_is_named_and_the_rest_moves(sealed: User, settings: Settings) -> None:
    acme = Credential.objects.get(organization__slug="acme")
    settings.ENCRYPTION_KEYS = {"lost": b"l" * 32}
    lost = connect.seal_secret(crypto.Secret("x"), acme, acme.organization)
    Credential.objects.filter(pk=acme.pk).update(secret_sealed=lost)
    TokenCache.objects.update(credential_uuid=None)
    settings.ENCRYPTION_KEYS = {**NEW, **OLD}
    with pytest.raises(CommandError, match="could not be opened: the credential of acme"):
        run()
    assert Credential.objects.get(pk=acme.pk).secret_sealed == lost
    assert crypto.key_id_of(Credential.objects.get(organization__slug="nordwind").secret_sealed) == "new"
    assert TokenCache.objects.get().token_sealed == ""  # a new token takes its place
    event = EventContent.objects.get(action=Action.KEYS_ROTATED)
    assert event.outcome == Outcome.FAILED
