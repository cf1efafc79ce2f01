"""One organization's page, its settings, sandboxes, connection test and removal."""

from datetime import timedelta
from urllib.parse import quote

import pytest
import time_machine
from django.utils import timezone

from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Attempt,
    ConnectionTest,
    Credential,
    EventContent,
    Job,
    Organization,
    Outcome,
    Role,
    Sandbox,
    State,
    TokenCache,
    User,
)
from tests.conftest import make_person, make_sandbox, signed_in

pytestmark = pytest.mark.django_db

PAGE = "/organizations/acme/"
CHANGING = ["edit/", "credential/", "remove/", "sandboxes/prod/"]
POST_ONLY = ["test/", "sandboxes/"]


@pytest.fixture
def live_admin(live_acme: Organization) -> User:
    return make_person("admin", Role.ADMIN, organization=live_acme)


def text_of(user: User, url: str = PAGE) -> str:
    return signed_in(user).get(url).content.decode()


def settings_of(organization: Organization, **change: str) -> dict[str, str]:
    names = ("name", "ims_org_id", "api_url", "token_url")
    return {**{name: getattr(organization, name) for name in names}, **change}


def give_credential(organization: Organization) -> Credential:
    return Credential.objects.create(
        organization=organization,
        client_id="client-of-acme",
        secret_sealed="v1.t1.x.y",
        fingerprint="a1c9b2d3",
        set_at=timezone.now(),
        set_by="admin",
    )


# -- the page ---------------------------------------------------------------------------------------------------------


def test_every_role_sees_it_and_only_admins_get_buttons(
    viewer: User, operator: User, approver: User, auditor: User, admin: User, prod: Sandbox
) -> None:
    give_credential(prod.organization)
    for user in (viewer, operator, approver, auditor):
        text = text_of(user)
        assert "Acme Retail" in text
        assert "Test the connection" not in text
        assert not any(f'"{PAGE}{path}"' in text for path in [*CHANGING, *POST_ONLY])
    text = text_of(admin)
    assert all(f'"{PAGE}{path}"' in text for path in [*CHANGING, *POST_ONLY])


def test_people_of_other_orgs_do_not_find_it(stranger: User, prod: Sandbox) -> None:
    client = signed_in(stranger)
    assert client.get(PAGE).status_code == 404
    for path in CHANGING:
        assert client.get(PAGE + path).status_code == 404
        assert client.post(PAGE + path).status_code == 404
    for path in POST_ONLY:
        assert client.post(PAGE + path).status_code == 404
    assert EventContent.objects.filter(action=Action.ACCESS_REFUSED, actor_name="stranger").exists()
    assert client.get("/organizations/nowhere/").status_code == 404


def test_a_wrong_role_is_refused_and_on_record(viewer: User, auditor: User, prod: Sandbox) -> None:
    for user in (viewer, auditor):
        client = signed_in(user)
        for path in CHANGING:
            assert client.get(PAGE + path).status_code == 403
            assert client.post(PAGE + path).status_code == 403
        for path in POST_ONLY:
            assert client.post(PAGE + path).status_code == 403
        assert EventContent.objects.filter(action=Action.ACCESS_REFUSED, actor_name=user.username).exists()


def test_a_get_changes_nothing(admin: User, prod: Sandbox) -> None:
    for path in POST_ONLY:
        assert signed_in(admin).get(PAGE + path).status_code == 405


def test_sandboxes_are_told_with_type_watching_jobs_and_last_read(viewer: User, prod: Sandbox, stage: Sandbox) -> None:
    make_sandbox(prod.organization, "new", "", watched=False, exports_allowed=False, connected_at=None)
    make_sandbox(prod.organization, "dead", adobe_state="deleted", watched=False, connected_at=None, last_read_at=None)
    now = timezone.now()
    Job.objects.create(
        sandbox=prod,
        job_id="1",
        state=State.SUCCEEDED,
        sort_at=now,
        first_seen_at=now,
        last_seen_at=now,
        changed_at=now,
    )
    text = text_of(viewer)
    for words in ("production", "development", "type not known", "counts as production", "not watched", "read only"):
        assert words in text
    assert "deleted" in text
    assert '<td class="num">1</td>' in text


def test_what_could_not_be_read_stands_on_top(viewer: User, prod: Sandbox) -> None:
    give_credential(prod.organization)
    Sandbox.objects.update(failing_since_at=timezone.now(), last_error="Adobe answered <503> four times.")
    text = text_of(viewer)
    assert "Not read since" in text
    assert "Adobe answered &lt;503&gt; four times." in text


def test_a_pause_that_adobe_asked_for_is_told_while_it_lasts(viewer: User, prod: Sandbox) -> None:
    give_credential(prod.organization)
    Organization.objects.update(not_before_at=timezone.now() + timedelta(minutes=5))
    assert "Adobe asked for a pause until" in text_of(viewer)
    Organization.objects.update(not_before_at=timezone.now() - timedelta(minutes=5))
    assert "Adobe asked for a pause until" not in text_of(viewer)


def test_an_org_off_adobe_is_marked(viewer: User, prod: Sandbox) -> None:
    Organization.objects.update(api_url="http://127.0.0.1:8010")
    assert "This is not Adobe’s own API: 127.0.0.1:8010." in text_of(viewer)


def test_who_can_do_what_names_accounts_and_what_it_does_not_cover(
    viewer: User, auditor: User, root: User, stranger: User, prod: Sandbox
) -> None:
    give_credential(prod.organization)
    text = text_of(viewer)
    assert "admin, all organizations" in text
    assert "holders of the Adobe secret (set by admin" in text
    assert "stranger" not in text
    assert f"/people/{root.pk}/" not in text
    assert f"/people/{root.pk}/" in text_of(auditor)
    root.is_active = False
    root.save()
    assert "admin, all organizations" not in text_of(viewer)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_change_with_before_and_after_on_record(admin: User, prod: Sandbox) -> None:
    acme = prod.organization
    TokenCache.objects.create(organization=acme, token_sealed="v1.t1.x.y")
    answer = signed_in(admin).post(
        f"{PAGE}edit/", settings_of(acme, name="Acme Stores", api_url="https://platform.adobe.io/ ")
    )
    assert answer["Location"] == PAGE
    [event] = EventContent.objects.filter(action=Action.ORGANIZATION_CHANGE)
    assert event.sentence == "changed name of Acme Retail"
    assert '"before":{"name":"Acme Retail"}' in event.text
    assert '"after":{"name":"Acme Stores"}' in event.text
    assert TokenCache.objects.exists()  # the addresses are as they were


def test_the_same_settings_again_change_nothing(admin: User, prod: Sandbox) -> None:
    page = signed_in(admin).post(f"{PAGE}edit/", settings_of(prod.organization), follow=True)
    assert "Nothing differed" in page.content.decode()
    assert not EventContent.objects.filter(action=Action.ORGANIZATION_CHANGE).exists()


def test_another_token_address_drops_the_token_and_reads_anew(admin: User, prod: Sandbox) -> None:
    TokenCache.objects.create(organization=prod.organization, token_sealed="v1.t1.x.y")
    other = "https://ims-na1.adobelogin.com/ims/token/v2"
    signed_in(admin).post(f"{PAGE}edit/", settings_of(prod.organization, token_url=other))
    assert not TokenCache.objects.exists()
    prod.refresh_from_db()
    assert prod.due_at is not None


def test_addresses_off_the_list_are_refused(admin: User, prod: Sandbox) -> None:
    page = signed_in(admin).post(f"{PAGE}edit/", settings_of(prod.organization, api_url="https://evil.example.com"))
    assert "The host evil.example.com is not among the allowed ones" in page.content.decode()
    assert Organization.objects.get(slug="acme").is_adobe


def test_the_id_of_an_org_that_was_read_stays(admin: User, prod: Sandbox) -> None:
    page = signed_in(admin).post(f"{PAGE}edit/", settings_of(prod.organization, ims_org_id="FFFF@AdobeOrg"))
    assert "so its id stays" in page.content.decode()
    Sandbox.objects.update(last_read_at=None)
    signed_in(admin).post(f"{PAGE}edit/", settings_of(prod.organization, ims_org_id="FFFF@AdobeOrg"))
    assert Organization.objects.get(slug="acme").ims_org_id == "FFFF@AdobeOrg"


# -- sandboxes --------------------------------------------------------------------------------------------------------


def test_watching_begins_now_and_is_on_record(admin: User, acme: Organization) -> None:
    new = make_sandbox(acme, "new", watched=False, exports_allowed=False, connected_at=None, last_read_at=None)
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        signed_in(admin).post(f"{PAGE}sandboxes/new/", {"watched": "on", "reason": "for the autumn campaign"})
    new.refresh_from_db()
    assert (new.watched, new.exports_allowed, new.connected_at, new.due_at) == (True, False, now, now)
    [event] = EventContent.objects.filter(action=Action.SANDBOX_CHANGE)
    assert event.sentence == "began to watch Acme Retail / new"
    assert "for the autumn campaign" in event.text
    page = signed_in(admin).post(f"{PAGE}sandboxes/new/", {"watched": "on"}, follow=True)
    assert "Nothing differed" in page.content.decode()
    assert EventContent.objects.filter(action=Action.SANDBOX_CHANGE).count() == 1


def test_watching_again_keeps_the_first_time_of_connection(admin: User, prod: Sandbox) -> None:
    client, first = signed_in(admin), prod.connected_at
    client.post(f"{PAGE}sandboxes/prod/", {})
    prod.refresh_from_db()
    assert (prod.watched, prod.exports_allowed) == (False, False)
    client.post(f"{PAGE}sandboxes/prod/", {"watched": "on", "exports_allowed": "on"})
    prod.refresh_from_db()
    assert (prod.watched, prod.exports_allowed, prod.connected_at) == (True, True, first)


def test_exports_need_watching(admin: User, acme: Organization) -> None:
    make_sandbox(acme, "new", watched=False, exports_allowed=False)
    page = signed_in(admin).post(f"{PAGE}sandboxes/new/", {"exports_allowed": "on"})
    assert "Watch it too" in page.content.decode()
    assert not Sandbox.objects.get(name="new").exports_allowed


def test_only_an_active_sandbox_can_be_watched(admin: User, acme: Organization) -> None:
    make_sandbox(acme, "dead", watched=False, exports_allowed=False, adobe_state="deleted")
    page = signed_in(admin).post(f"{PAGE}sandboxes/dead/", {"watched": "on"})
    assert "Only an active one can be watched" in page.content.decode()
    assert not Sandbox.objects.get(name="dead").watched


def test_production_looks_like_it_and_odd_names_are_quoted(admin: User, acme: Organization) -> None:
    make_sandbox(acme, "a b?c")
    url = f"{PAGE}sandboxes/{quote('a b?c')}/"
    assert url in text_of(admin)
    assert '<body class="is-prod"' in text_of(admin, url)
    assert signed_in(admin).get(f"{PAGE}sandboxes/nowhere/").status_code == 404


def test_finding_sandboxes_offers_active_ones_unwatched(
    live_admin: User, emulator: Emulator, live_acme: Organization
) -> None:
    Sandbox.objects.filter(name="prod").update(type="")
    page = signed_in(live_admin).post(f"{PAGE}sandboxes/", follow=True)
    text = page.content.decode()
    assert "Sandboxes at Adobe: 3 active; new: training; changed: prod, stage." in text
    training = Sandbox.objects.get(name="training")
    assert (training.watched, training.exports_allowed, training.type) == (False, False, "development")
    assert Sandbox.objects.get(name="prod").type == "production"
    assert not Sandbox.objects.filter(name="archive").exists()  # Adobe calls it resetting
    [event] = EventContent.objects.filter(action=Action.SANDBOX_FOUND)
    assert event.actor_name == "admin"
    again = signed_in(live_admin).post(f"{PAGE}sandboxes/", follow=True)
    assert "Sandboxes at Adobe: 3 active." in again.content.decode()
    assert Sandbox.objects.count() == 3


def test_a_sandbox_that_adobe_no_longer_lists_is_told_and_kept(
    live_admin: User, emulator: Emulator, live_acme: Organization
) -> None:
    make_sandbox(live_acme, "old", watched=False)
    page = signed_in(live_admin).post(f"{PAGE}sandboxes/", follow=True)
    assert "no longer listed: old" in page.content.decode()
    assert "not in Adobe’s list" in page.content.decode()
    again = signed_in(live_admin).post(f"{PAGE}sandboxes/", follow=True)
    assert "no longer listed" not in again.content.decode()
    assert Sandbox.objects.filter(name="old").exists()


def test_adobes_refusal_to_list_is_told(live_admin: User, emulator: Emulator, live_acme: Organization) -> None:
    emulator.faults.set(path="/data/foundation/sandbox-management/", status=403)
    page = signed_in(live_admin).post(f"{PAGE}sandboxes/", follow=True)
    assert 'class="note bad"' in page.content.decode()
    [event] = EventContent.objects.filter(action=Action.SANDBOX_FOUND)
    assert event.outcome == Outcome.FAILED


# -- connection test --------------------------------------------------------------------------------------------------


def test_the_connection_test_tells_each_step(live_admin: User, emulator: Emulator, live_acme: Organization) -> None:
    page = signed_in(live_admin).post(f"{PAGE}test/", follow=True)
    text = page.content.decode()
    for step in ("Access token", "Headers accepted", "Export list, prod", "Export list, stage"):
        assert f'data-step="{step}"' in text
    assert "Reading works in prod, stage. Whether it may create exports shows only with the first export." in text
    [event] = EventContent.objects.filter(action=Action.CREDENTIAL_TEST)
    assert (event.outcome, event.sentence) == (
        Outcome.SUCCEEDED,
        "tested the connection of Acme Retail: every step works",
    )
    credential = Credential.objects.get()
    assert (credential.last_used_by, credential.last_ok_at is not None) == ("admin", True)
    assert emulator.tenant("acme").client_secret not in text + event.text


@pytest.mark.parametrize(
    ("fault", "step", "readable"),
    [
        ({"path": "/ims/token/v3", "status": 400}, "Access token", ""),
        ({"path": "/data/foundation/sandbox-management/", "status": 403}, "Headers accepted", "prod, stage"),
        ({"path": "/data/core/ups/export/jobs", "sandbox": "stage", "status": 403}, "Export list, stage", "prod"),
    ],
)
def test_the_connection_test_names_the_failing_step(
    live_admin: User,
    emulator: Emulator,
    live_acme: Organization,
    fault: dict[str, object],
    step: str,
    readable: str,
) -> None:
    emulator.faults.set(**fault)
    text = signed_in(live_admin).post(f"{PAGE}test/", follow=True).content.decode()
    assert f"Failed at: {step}." in text
    assert (f"Reading works in {readable}." in text) == bool(readable)
    assert not ConnectionTest.objects.get().ok
    [event] = EventContent.objects.filter(action=Action.CREDENTIAL_TEST)
    assert (event.outcome, event.sentence) == (
        Outcome.FAILED,
        f"tested the connection of Acme Retail: failed at: {step}",
    )


def test_without_a_credential_the_first_step_fails(admin: User, prod: Sandbox) -> None:
    text = signed_in(admin).post(f"{PAGE}test/", follow=True).content.decode()
    assert "Failed at: Access token." in text
    assert "No credential is set yet." in text


# -- removal ----------------------------------------------------------------------------------------------------------


def test_removal_needs_the_short_name_typed(admin: User, prod: Sandbox) -> None:
    client = signed_in(admin)
    for typed in ("", "ACME", "nordwind"):
        page = client.post(f"{PAGE}remove/", {"confirm": typed})
        assert "Type acme, exactly so." in page.content.decode()
    assert Organization.objects.get(slug="acme").retired_at is None


def test_removal_forgets_the_secret_stops_reading_and_keeps_history(
    admin: User, viewer: User, prod: Sandbox, stage: Sandbox
) -> None:
    give_credential(prod.organization)
    TokenCache.objects.create(organization=prod.organization, token_sealed="v1.t1.x.y")
    client = signed_in(admin)
    answer = client.post(f"{PAGE}remove/", {"confirm": "acme", "reason": "contract ended"})
    assert answer["Location"] == PAGE
    assert Organization.objects.get(slug="acme").retired_at is not None
    assert Credential.objects.get().secret_sealed == ""
    assert not TokenCache.objects.exists()
    assert not Sandbox.objects.filter(watched=True).exists()
    assert not Sandbox.objects.filter(exports_allowed=True).exists()
    actions = EventContent.objects.filter(organization=prod.organization).order_by("event_id")
    assert [event.action for event in actions] == [Action.CREDENTIAL_RETIRE, Action.ORGANIZATION_RETIRE]
    assert "contract ended" in actions[1].text
    assert "Removed" in text_of(viewer)
    assert f'"{PAGE}credential/"' not in text_of(admin)
    client.post(f"{PAGE}remove/", {"confirm": "acme"})
    assert EventContent.objects.filter(action=Action.ORGANIZATION_RETIRE).count() == 1


def test_a_removed_org_can_not_be_changed(admin: User, prod: Sandbox) -> None:
    acme = prod.organization
    client = signed_in(admin)
    client.post(f"{PAGE}remove/", {"confirm": "acme"})
    before = EventContent.objects.count()
    assert "removed" in client.post(f"{PAGE}edit/", settings_of(acme, name="New")).content.decode()
    assert "Look at it again" in client.post(f"{PAGE}sandboxes/prod/", {"watched": "on"}).content.decode()
    assert "was removed from segadmin" in client.post(f"{PAGE}test/", follow=True).content.decode()
    assert "was removed from segadmin" in client.post(f"{PAGE}sandboxes/", follow=True).content.decode()
    changes = EventContent.objects.filter(event_id__gt=before).exclude(outcome=Outcome.FAILED)
    assert not changes.exists()


def test_removal_waits_for_what_is_being_sent(admin: User, prod: Sandbox) -> None:
    now = timezone.now()
    Attempt.objects.create(
        kind=Attempt.Kind.CREATE,
        sandbox=prod,
        opened_at=now,
        deadline_at=now + timedelta(minutes=1),
        opened_seq=1,
    )
    page = signed_in(admin).post(f"{PAGE}remove/", {"confirm": "acme"})
    assert "Try again in a minute" in page.content.decode()
    assert Organization.objects.get(slug="acme").retired_at is None
