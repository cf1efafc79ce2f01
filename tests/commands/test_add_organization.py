"""manage.py add_organization: an org, its credential and sandboxes in one go, without a call."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from segadmin import connect, crypto
from segadmin.models import Action, Credential, EventContent, Organization, Sandbox
from tests.signing import CANARY, nowhere_on_record

pytestmark = pytest.mark.django_db

BASE = {"--name": "Acme Retail", "--ims-org-id": "AC3E0000@AdobeOrg", "--client-id": "client-of-acme"}


def run(
    monkeypatch: pytest.MonkeyPatch, *more: str, slug: str = "acme", secret: str = f"{CANARY}\n", **change: Any
) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(secret))
    base = {**BASE, **{f"--{name.replace('_', '-')}": value for name, value in change.items()}}
    options = [part for name, value in base.items() for part in (name, value)]
    out = io.StringIO()
    call_command("add_organization", slug, *options, "--client-secret-stdin", *more, stdout=out)
    return out.getvalue()


def test_it_adds_everything_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    more = ["--sandbox", "prod", "--sandbox", "stage", "--production", "prod", "--scopes", "openid, AdobeID"]
    out = run(monkeypatch, *more, "--by", "m.lead", "--reason", "first set-up")
    assert out == "Added Acme Retail (acme), watching: prod, stage.\n"
    organization = Organization.objects.get()
    assert (organization.slug, organization.is_adobe) == ("acme", True)
    rows = {row.name: row for row in Sandbox.objects.all()}
    assert {name: row.type for name, row in rows.items()} == {"prod": "production", "stage": ""}
    for row in rows.values():
        assert (row.watched, row.exports_allowed, row.is_production) == (True, True, True)
        assert row.connected_at is not None
        assert row.due_at is not None
    credential = Credential.objects.get()
    secret = crypto.open_(
        credential.secret_sealed, place=connect.SECRET_PLACE, row=credential.uuid, org=organization.uuid
    )
    assert secret.reveal() == CANARY
    assert credential.scopes == "openid,AdobeID"
    assert CANARY not in out


def test_it_is_on_record_with_who_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--sandbox", "prod", "--by", "m.lead", "--reason", "first set-up")
    events = list(EventContent.objects.order_by("event_id"))
    assert [event.action for event in events] == [
        Action.ORGANIZATION_ADD,
        Action.CREDENTIAL_SET,
        Action.SANDBOX_CHANGE,
    ]
    for event in events:
        assert (event.actor_kind, event.actor_name, event.organization_name) == ("command", "m.lead", "Acme Retail")
        assert '"reason":"first set-up"' in event.text
    assert nowhere_on_record()


def test_without_by_the_operating_systems_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "deploy")
    run(monkeypatch, "--sandbox", "prod")
    assert {event.actor_name for event in EventContent.objects.all()} == {"deploy"}


def test_production_takes_several_and_needs_no_sandbox_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--production", "prod", "emea-prod", "--sandbox", "stage")
    types = dict(Sandbox.objects.values_list("name", "type"))
    assert types == {"stage": "", "prod": "production", "emea-prod": "production"}


def test_the_same_short_name_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--sandbox", "prod")
    with pytest.raises(CommandError, match="There is an organization with the short name acme already"):
        run(monkeypatch, "--sandbox", "other")
    assert Organization.objects.count() == 1
    assert set(Sandbox.objects.values_list("name", flat=True)) == {"prod"}
    assert EventContent.objects.count() == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"api_url": "https://platform.example.com"},
            "--api-url: The host platform.example.com.*SEGADMIN_UPSTREAM_HOSTS",
        ),
        ({"token_url": "http://127.0.0.1:8010/ims/token/v3"}, "--token-url:.*127.0.0.1:8010.*SEGADMIN_UPSTREAM_HOSTS"),
        ({"slug": "Acme!"}, "slug: "),
        ({"ims_org_id": "AC3E"}, "--ims-org-id: .*@AdobeOrg"),
        ({"secret": "\n"}, "--client-secret-stdin: Write the client secret"),
        ({"name": " "}, "--name: "),
        ({"client_id": ""}, "--client-id: "),
    ],
)
def test_what_can_not_be_taken_adds_nothing(monkeypatch: pytest.MonkeyPatch, change: dict[str, str], told: str) -> None:
    with pytest.raises(CommandError, match=told) as failure:
        run(monkeypatch, "--sandbox", "prod", **change)
    assert failure.value.returncode != 0
    assert "Nothing was added." in str(failure.value)
    assert not Organization.objects.exists()
    assert not EventContent.objects.exists()


def test_a_sandbox_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="at least one sandbox"):
        run(monkeypatch)
    with pytest.raises(CommandError, match="--sandbox: "):
        run(monkeypatch, "--sandbox", "x" * 101)
    assert not Organization.objects.exists()


def test_a_listed_stand_in_may_be_named(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.UPSTREAM_HOSTS = frozenset({"127.0.0.1:8010"})
    urls = {"api_url": "http://127.0.0.1:8010/", "token_url": "http://127.0.0.1:8010/ims/token/v3"}
    run(monkeypatch, "--sandbox", "prod", **urls)
    organization = Organization.objects.get()
    assert (organization.api_url, organization.is_adobe) == ("http://127.0.0.1:8010", False)


def test_the_secret_only_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    options = [part for pair in BASE.items() for part in pair]
    with pytest.raises(CommandError, match="client-secret-stdin"):
        call_command("add_organization", "acme", *options, "--sandbox", "prod")
