"""Changes to orgs: conditional, with their event or not at all."""

from collections.abc import Callable

import pytest
from django.db import DatabaseError

from segadmin.actions import credentials, organizations
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.emulator.server import Emulator
from segadmin.models import Action, Credential, EventContent, Organization, Sandbox, TokenCache
from tests.conftest import make_sandbox

pytestmark = pytest.mark.django_db

SETTINGS = ("name", "ims_org_id", "api_url", "token_url")


def now_of(organization: Organization) -> dict[str, str]:
    return {name: str(getattr(organization, name)) for name in SETTINGS}


def add(actor: Actor) -> None:
    organizations.add(actor=actor, slug="new", name="New", ims_org_id="AB@AdobeOrg")


def set_up(actor: Actor) -> None:
    organizations.set_up(
        actor=actor,
        slug="new",
        name="New",
        ims_org_id="AB@AdobeOrg",
        sandboxes={"prod": "production"},
        client_id="c",
        secret="s",
    )


def change(actor: Actor) -> None:
    acme = Organization.objects.get(slug="acme")
    organizations.change(actor=actor, organization=acme, **{**now_of(acme), "name": "Other"})


def change_sandbox(actor: Actor) -> None:
    sandbox = Sandbox.objects.select_related("organization").get()
    organizations.change_sandbox(actor=actor, sandbox=sandbox, watched=False, exports_allowed=False)


def retire(actor: Actor) -> None:
    organizations.retire(actor=actor, organization=Organization.objects.get(slug="acme"))


def set_credential(actor: Actor) -> None:
    acme = Organization.objects.get(slug="acme")
    kind = Credential.Kind.OAUTH
    credentials.set_credential(actor=actor, organization=acme, kind=kind, client_id="c", secret="another")


def everything() -> list[object]:
    return [
        list(Organization.objects.order_by("pk").values()),
        list(Sandbox.objects.order_by("pk").values()),
        list(Credential.objects.order_by("pk").values()),
        TokenCache.objects.count(),
        EventContent.objects.count(),
    ]


@pytest.mark.parametrize("act", [add, set_up, change, change_sandbox, retire, set_credential])
def test_without_its_event_nothing_is_changed(
    act: Callable[[Actor], None], actor: Actor, prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials.set_credential(
        actor=actor, organization=prod.organization, kind=Credential.Kind.OAUTH, client_id="c", secret="s"
    )
    TokenCache.objects.create(organization=prod.organization)
    before = everything()

    def full(**_event: object) -> None:
        raise DatabaseError("database or disk is full")

    with monkeypatch.context() as patch:
        for module in (organizations, credentials):
            patch.setattr(module, "record", full)
        with pytest.raises(DatabaseError):
            act(actor)
    assert everything() == before
    act(actor)
    assert everything() != before


def test_who_looked_at_old_settings_does_not_overwrite_newer_ones(actor: Actor, acme: Organization) -> None:
    stale = Organization.objects.get(pk=acme.pk)
    organizations.change(actor=actor, organization=acme, **{**now_of(acme), "name": "First"})
    with pytest.raises(NotDone, match="Somebody else changed"):
        organizations.change(actor=actor, organization=stale, **{**now_of(stale), "name": "Second"})
    assert Organization.objects.get(pk=acme.pk).name == "First"
    assert EventContent.objects.filter(action=Action.ORGANIZATION_CHANGE).count() == 1


def test_who_looked_at_an_old_sandbox_does_not_overwrite_it(actor: Actor, prod: Sandbox) -> None:
    stale = Sandbox.objects.select_related("organization").get(pk=prod.pk)
    organizations.change_sandbox(actor=actor, sandbox=prod, watched=True, exports_allowed=False)
    with pytest.raises(NotDone, match="Somebody else changed"):
        organizations.change_sandbox(actor=actor, sandbox=stale, watched=False, exports_allowed=False)
    assert Sandbox.objects.get(pk=prod.pk).watched


def test_set_up_is_all_or_nothing(actor: Actor, db: None) -> None:
    with pytest.raises(NotDone, match="100"):
        organizations.set_up(
            actor=actor,
            slug="new",
            name="New",
            ims_org_id="AB@AdobeOrg",
            sandboxes={"prod": "production", "x" * 101: ""},
            client_id="c",
            secret="s",
        )
    assert everything() == [[], [], [], 0, 0]


def test_changing_only_the_name_keeps_adobes_pause(actor: Actor, prod: Sandbox) -> None:
    acme = prod.organization
    acme.not_before_at = prod.connected_at
    acme.save()
    organizations.change(actor=actor, organization=acme, **{**now_of(acme), "name": "Other"})
    acme.refresh_from_db()
    assert acme.not_before_at is not None
    other = {**now_of(acme), "api_url": "https://platform.adobe.io/eu"}
    organizations.change(actor=actor, organization=acme, **other)
    acme.refresh_from_db()
    assert acme.not_before_at is None


def test_every_problem_is_told_at_once(actor: Actor, acme: Organization) -> None:
    with pytest.raises(NotDone) as refusal:
        organizations.add(
            actor=actor, slug="acme", name="", ims_org_id="x", api_url="http://a", token_url="https://b.example.com"
        )
    assert set(refusal.value.problems) == {"slug", "name", "ims_org_id", "api_url", "token_url"}


def test_an_empty_list_of_sandboxes_changes_nothing(
    actor: Actor, emulator: Emulator, live_acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segadmin.aep.Names.sandboxes", lambda _self: iter(()))
    found = organizations.find_sandboxes(actor=actor, organization=live_acme)
    assert (found.active, found.gone) == (0, ())
    live_acme.refresh_from_db()
    assert live_acme.sandboxes_found_at is None


def test_the_systems_own_looks_are_told_only_when_something_differs(
    emulator: Emulator, live_acme: Organization
) -> None:
    system = Actor.system()
    organizations.find_sandboxes(actor=system, organization=live_acme)
    assert EventContent.objects.filter(action=Action.SANDBOX_FOUND).count() == 1
    live_acme.refresh_from_db()
    organizations.find_sandboxes(actor=system, organization=live_acme)
    assert EventContent.objects.filter(action=Action.SANDBOX_FOUND).count() == 1


def test_a_changed_type_is_taken_over(actor: Actor, emulator: Emulator, live_acme: Organization) -> None:
    Sandbox.objects.filter(name="stage").update(type="production")
    found = organizations.find_sandboxes(actor=actor, organization=live_acme)
    assert "stage" in found.changed
    assert not Sandbox.objects.get(name="stage").is_production


def test_a_removed_org_takes_no_secret(actor: Actor, acme: Organization) -> None:
    organizations.retire(actor=actor, organization=acme)
    with pytest.raises(NotDone, match="was removed"):
        set_credential(actor)
    assert not Credential.objects.exists()


def test_forgetting_twice_is_told_once(actor: Actor, acme: Organization) -> None:
    set_credential(actor)
    assert credentials.forget(actor=actor, organization=acme)
    assert not credentials.forget(actor=actor, organization=acme)
    assert EventContent.objects.filter(action=Action.CREDENTIAL_RETIRE).count() == 1
    set_credential(actor)
    assert Credential.objects.get().secret_sealed


def test_the_connection_test_is_kept_with_its_steps(actor: Actor, acme: Organization) -> None:
    make_sandbox(acme, "prod")
    test = credentials.test_connection(actor=actor, organization=acme)
    assert (test.ok, [step["name"] for step in test.steps]) == (False, ["Access token"])
