"""The shared token of an org in the database: one call, sealed, dropped with its credential, no storm of refusals.

Among real processes: tests/faults/test_tokens.py.
"""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from segadmin import aep, connect, sync
from segadmin.actions import credentials
from segadmin.audit import Actor
from segadmin.connect import DatabaseTokenStore
from segadmin.emulator.server import Emulator, RecordedRequest
from segadmin.models import Credential, Organization, Sandbox, TokenCache
from tests.upstream import Clock, body_for

pytestmark = pytest.mark.django_db

NEW_SECRET = "p8e-a-newer-client-secret"


def calls(emulator: Emulator) -> list[RecordedRequest]:
    return [item for item in emulator.requests if item.endpoint == "token"]


def store_of(organization: Organization) -> DatabaseTokenStore:
    """Each is what another process would have."""
    return DatabaseTokenStore(organization, Credential.objects.get(organization=organization))


def read(sandbox: Sandbox) -> aep.Page:
    fresh = Sandbox.objects.select_related("organization").get(pk=sandbox.pk)
    return connect.reader(fresh).list(limit=10)


def test_one_token_serves_every_sandbox_and_pass(emulator: Emulator, live_prod: Sandbox) -> None:
    for _ in range(3):
        sync.once()
    assert len(calls(emulator)) == 1
    row = TokenCache.objects.get(organization=live_prod.organization)
    loaded = store_of(live_prod.organization).load()
    assert loaded is not None
    assert loaded.value not in row.token_sealed
    assert row.lease_token == ""


def test_one_claims_and_the_others_wait_until_it_saved_failed_or_died(live_acme: Organization) -> None:
    one, two = store_of(live_acme), store_of(live_acme)
    begun = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with time_machine.travel(begun, tick=False) as clock:
        assert one.claim(20)
        assert not two.claim(20)
        one.save(aep.AccessToken("first", begun + timedelta(hours=1)))
        assert two.load() == aep.AccessToken("first", begun + timedelta(hours=1))
        assert two.claim(20)
        two.fail(begun + timedelta(seconds=30), aep.Unavailable("broken", status=503))
        assert isinstance(one.blocked(), aep.Unavailable)
        clock.shift(31)
        assert one.blocked() is None
        assert one.claim(20)
        clock.shift(19)
        assert not two.claim(20)
        clock.shift(2)
        assert two.claim(20), "the holder died"
        one.save(aep.AccessToken("too late", begun + timedelta(hours=2)))
        assert two.load() == aep.AccessToken("first", begun + timedelta(hours=1)), "the dead one's word counts no more"
        two.save(aep.AccessToken("second", begun + timedelta(hours=2)))
    assert store_of(live_acme).load() == aep.AccessToken("second", begun + timedelta(hours=2))


def test_a_replaced_credential_drops_its_token(emulator: Emulator, live_prod: Sandbox, actor: Actor) -> None:
    organization = live_prod.organization
    read(live_prod)
    before = store_of(organization)
    held = before.load()
    assert held is not None
    tenant = emulator.tenant("acme")
    assert before.claim(20)
    credentials.set_credential(
        actor=actor,
        organization=organization,
        kind=Credential.Kind.OAUTH,
        client_id=tenant.client_id,
        secret=NEW_SECRET,
        scopes=tenant.scopes,
    )
    assert store_of(organization).load() is None
    before.save(held)  # a process that still works with the old one
    assert store_of(organization).load() is None
    emulator.forget_requests()
    with pytest.raises(aep.AuthFailed):
        read(live_prod)
    [call] = calls(emulator)
    assert NEW_SECRET in call.body


def test_a_token_that_another_key_sealed_is_replaced(emulator: Emulator, live_prod: Sandbox) -> None:
    read(live_prod)
    sealed = TokenCache.objects.get(organization=live_prod.organization).token_sealed
    TokenCache.objects.update(token_sealed=sealed[:-4] + "AAAA")
    read(live_prod)
    assert len(calls(emulator)) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 400, "shape": "ims"}, aep.AuthFailed),
        ({"status": 503}, aep.Unavailable),
        ({"shape": "html"}, aep.Unavailable),
        ({"status": 200, "body": {"token_type": "bearer"}}, aep.Unavailable),
    ],
    ids=["refused", "unavailable", "web page", "no token"],
)
def test_a_broken_token_service_is_not_stormed(
    emulator: Emulator, live_prod: Sandbox, fault: dict[str, object], kind: type[aep.AEPError]
) -> None:
    emulator.faults.set(endpoint="token", **fault)
    for _ in range(3):
        with pytest.raises(kind):
            read(live_prod)
        assert len(sync.once()) == 2, "both sandboxes say so"
    assert len(calls(emulator)) == 1
    emulator.faults.clear()
    TokenCache.objects.update(blocked_until=timezone.now() - timedelta(seconds=1))
    assert sync.once() == []


def test_adobes_clock_may_be_ten_minutes_off(emulator: Emulator, live_prod: Sandbox, adobe_clock: Clock) -> None:
    """Fault 28: where the margin does not hold, the 401 heals it."""
    emulator.add_job("acme", "prod", body_for(emulator))
    for seconds in (-600, 600):
        adobe_clock.advance(seconds)
        assert len(read(live_prod).jobs) == 1
    adobe_clock.advance(86_400)
    assert len(read(live_prod).jobs) == 1
    assert len(calls(emulator)) == 2


def paste(emulator: Emulator, organization: Organization, actor: Actor, life: timedelta) -> None:
    credentials.set_credential(
        actor=actor,
        organization=organization,
        kind=Credential.Kind.TOKEN,
        client_id=emulator.tenant("acme").client_id,
        secret=emulator.issue_token("acme"),
        token_expires_at=timezone.now() + life,
    )


def test_a_pasted_token_is_used_until_its_end(emulator: Emulator, live_prod: Sandbox, actor: Actor) -> None:
    paste(emulator, live_prod.organization, actor, timedelta(hours=1))
    assert read(live_prod).jobs == []
    assert calls(emulator) == []
    emulator.forget_requests()
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=2)):
        with pytest.raises(aep.AuthFailed, match="expired"):
            read(live_prod)
        [told, _stage] = sync.once()
        assert "expired" in told
    assert emulator.requests == []


def test_a_pasted_token_that_adobe_refuses_is_not_renewed(emulator: Emulator, live_prod: Sandbox, actor: Actor) -> None:
    paste(emulator, live_prod.organization, actor, timedelta(hours=1))
    emulator.forget_tokens()
    with pytest.raises(aep.AuthFailed, match="does not accept the pasted access token"):
        read(live_prod)
    assert calls(emulator) == []
