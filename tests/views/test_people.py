"""People: the list, new accounts, roles, closing, passwords; and how far an admin reaches."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from segadmin.models import Action, EventContent, Membership, Organization, Role, Sandbox, User
from tests.conftest import make_person, signed_in
from tests.signing import CANARY, confirmed, nowhere_on_record

pytestmark = pytest.mark.django_db

LIST, ADD = "/people/", "/people/new/"
NEW = {"username": "crm.ops", "password": CANARY, "roles": ["operator", "approver"], "organization": "acme"}


def url(person: User, path: str = "") -> str:
    return f"/people/{person.pk}/{path}"


def events(action: Action) -> list[EventContent]:
    return list(EventContent.objects.filter(action=action).order_by("event_id"))


def roles_of(username: str) -> set[tuple[str, str]]:
    rows = Membership.objects.filter(user__username=username).select_related("organization")
    return {(row.role, row.organization.slug if row.organization else "*") for row in rows}


@pytest.fixture
def north_admin(nordwind: Organization) -> User:
    return make_person("north.admin", Role.ADMIN, organization=nordwind)


# -- the list ---------------------------------------------------------------------------------------------------------


def test_only_auditors_and_admins_have_the_list(
    viewer: User, operator: User, approver: User, auditor: User, admin: User, root: User
) -> None:
    for user in (viewer, operator, approver):
        client = signed_in(user)
        assert client.get(LIST).status_code == 403
        assert client.get(url(admin)).status_code == 403
        assert 'href="/people/"' not in client.get("/organizations/").content.decode()
    for user in (auditor, admin, root):
        assert signed_in(user).get(LIST).status_code == 200
    assert len(events(Action.ACCESS_REFUSED)) == 6


def test_it_shows_people_of_ones_orgs_and_those_of_the_whole_installation(
    admin: User, operator: User, root: User, stranger: User, nordwind: Organization
) -> None:
    Membership.objects.create(user=operator, organization=nordwind, role=Role.VIEWER)
    text = signed_in(admin).get(LIST).content.decode()
    assert all(name in text for name in (">admin<", ">operator<", ">root<"))
    assert "stranger" not in text
    assert "Nordwind" not in text
    assert "stranger" in signed_in(root).get(LIST).content.decode()


def test_the_list_is_paged_and_each_account_stands_on_one_page(root: User, acme: Organization) -> None:
    names = [f"person.{number:03}" for number in range(60)]
    people = User.objects.bulk_create(
        [User(username=name, is_active=number % 3 > 0) for number, name in enumerate(names)]
    )
    Membership.objects.bulk_create(Membership(user=user, organization=acme, role=Role.VIEWER) for user in people)
    client, seen, address = signed_in(root), list[str](), LIST
    for _page in range(2):
        text = client.get(address).content.decode()
        seen += re.findall(r'<a href="/people/\d+/">([^<]+)</a>', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        address = f"{LIST}{following[1]}" if following else ""
    assert not address
    everybody = User.objects.order_by("-is_active", "username").values_list("username", flat=True)
    assert seen == list(everybody)
    assert "First page" in text


@pytest.mark.parametrize("after", ["x", "999999", "-1", "²", "9" * 40])
def test_a_damaged_link_of_the_list_is_its_first_page(admin: User, after: str) -> None:
    assert ">admin<" in signed_in(admin).get(LIST, {"after": after}).content.decode()


def test_the_number_of_queries_does_not_grow(
    root: User, acme: Organization, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for number in range(10):
        make_person(f"p{number}", Role.VIEWER, Role.OPERATOR, organization=acme)
    client = signed_in(root)
    client.get(LIST)
    with django_assert_max_num_queries(9):  # type: ignore[attr-defined]
        client.get(LIST)


def test_a_page_of_somebody_elsewhere_does_not_exist(admin: User, stranger: User) -> None:
    client = confirmed(admin)
    for path in ("", "password/"):
        assert client.get(url(stranger, path)).status_code == 404
    for path in ("roles/", "close/", "reopen/", "password/"):
        assert client.post(url(stranger, path)).status_code == 404
    assert client.get("/people/999999/").status_code == 404
    assert events(Action.ACCESS_REFUSED)


def test_an_auditor_sees_and_changes_nothing(auditor: User, operator: User) -> None:
    client = confirmed(auditor)
    text = client.get(url(operator)).content.decode()
    assert "operator" in text
    for path in ("roles/", "close/", "reopen/", "password/"):
        assert f'"{url(operator, path)}"' not in text
        assert client.post(url(operator, path)).status_code == 403
    assert client.get(url(operator, "password/")).status_code == 403
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, NEW).status_code == 403
    assert f'"{ADD}"' not in client.get(LIST).content.decode()
    assert not EventContent.objects.exclude(action__in=[Action.ACCESS_REFUSED, Action.SIGN_IN]).exists()


def test_an_auditor_here_who_is_admin_elsewhere_changes_nothing_here(auditor: User, operator: User) -> None:
    elsewhere = Organization.objects.create(slug="else", name="Elsewhere", ims_org_id="E1@AdobeOrg")
    Membership.objects.create(user=auditor, organization=elsewhere, role=Role.ADMIN)
    client = confirmed(auditor)
    assert client.get(url(operator)).status_code == 200
    for path in ("roles/", "close/", "password/"):
        assert client.post(url(operator, path)).status_code == 403


def test_what_changes_is_a_post(admin: User, operator: User) -> None:
    for path in ("roles/", "close/", "reopen/"):
        assert signed_in(admin).get(url(operator, path)).status_code == 405


# -- adding -----------------------------------------------------------------------------------------------------------


def test_an_account_is_made_with_its_roles_and_can_sign_in(admin: User) -> None:
    answer = signed_in(admin).post(ADD, NEW)
    made = User.objects.get(username="crm.ops")
    assert answer["Location"] == url(made)
    assert roles_of("crm.ops") == {("operator", "acme"), ("approver", "acme")}
    [event] = events(Action.PERSON_ADD)
    assert (event.sentence, event.organization_name) == ("made an account for crm.ops", "Acme Retail")
    assert [one.sentence for one in events(Action.ROLE_GIVE)] == [
        "gave crm.ops the role operator in Acme Retail",
        "gave crm.ops the role approver in Acme Retail",
    ]
    assert nowhere_on_record()
    client = Client()
    assert client.post("/accounts/login/", {"login": "crm.ops", "password": CANARY}).status_code == 302
    assert client.get("/organizations/").status_code == 200


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": "short"}, "too short"),
        ({"password": "password1234"}, "too common"),
        ({"password": "crm.ops.2026!"}, "too similar"),
        ({"password": ""}, "too short"),
        ({"username": "crm ops"}, "valid username"),
        ({"roles": []}, "Choose at least one role."),
        ({"roles": ["root"]}, "root is not one"),
        ({"organization": ""}, "Choose where."),
        ({"organization": "nordwind"}, "nordwind is not one"),
        ({"organization": "*"}, "* is not one"),
        ({"ends_on": "2020-01-01"}, "lie ahead"),
        ({"ends_on": "tomorrow"}, "Write the day as year, month and day"),
    ],
)
def test_what_can_not_be_taken_is_told_and_nothing_is_made(
    admin: User, nordwind: Organization, change: dict[str, object], told: str
) -> None:
    page = signed_in(admin).post(ADD, {**NEW, **change})
    text = page.content.decode()
    assert page.status_code == 200
    assert told in text
    assert CANARY not in text
    assert not User.objects.filter(username__startswith="crm").exists()
    assert not events(Action.PERSON_ADD)


def test_an_error_says_what_to_choose_and_nothing_typed_is_lost(admin: User) -> None:
    page = signed_in(admin).post("/people/new/", {"username": "new.person", "ends_on": "soon"}).text
    for sentence in ("Choose at least one role.", "Choose where.", "Write the day as year, month and day"):
        assert sentence in page
    assert "This field is required" not in page
    assert 'value="new.person"' in page
    assert 'value="soon"' in page


def test_only_an_admin_of_the_installation_gives_roles_in_all_of_it(root: User, acme: Organization) -> None:
    signed_in(root).post(ADD, {**NEW, "roles": ["auditor"], "organization": "*"})
    assert roles_of("crm.ops") == {("auditor", "*")}
    assert events(Action.ROLE_GIVE)[0].sentence == "gave crm.ops the role auditor in the whole installation"


def test_nothing_is_preselected_that_widens(root: User, acme: Organization) -> None:
    text = signed_in(root).get(ADD).content.decode()
    assert "selected" not in text.split('name="organization"')[1].split("</select>")[0].replace(
        '<option value="" selected>', ""
    )
    assert "checked" not in text.split('name="roles"')[1].split("</fieldset>")[0]


def test_an_existing_account_of_elsewhere_gets_roles_here_without_a_password(admin: User, stranger: User) -> None:
    client = signed_in(admin)
    typed = {**NEW, "username": "Stranger", "roles": ["viewer"]}
    page = client.post(ADD, typed)
    assert "This account exists. Leave the password blank" in page.content.decode()
    before = User.objects.get(pk=stranger.pk).password
    answer = client.post(ADD, {**typed, "password": ""})
    assert answer["Location"] == url(stranger)
    assert roles_of("stranger") == {("operator", "nordwind"), ("viewer", "acme")}
    assert User.objects.get(pk=stranger.pk).password == before
    page = client.get(url(stranger)).content.decode()
    assert "Nordwind" not in page
    assert f'"{url(stranger, "close/")}"' not in page


# -- roles ------------------------------------------------------------------------------------------------------------


def test_roles_are_given_and_taken_and_repeats_are_harmless(admin: User, viewer: User) -> None:
    client = signed_in(admin)
    give = {"role": "operator", "organization": "acme"}
    assert client.post(url(viewer, "roles/"), give)["Location"] == url(viewer)
    assert roles_of("viewer") == {("viewer", "acme"), ("operator", "acme")}
    page = client.post(url(viewer, "roles/"), give, follow=True)
    assert "Nothing differed" in page.content.decode()
    assert len(events(Action.ROLE_GIVE)) == 1
    taken = viewer.memberships.get(role="operator").pk
    client.post(url(viewer, "roles/"), {"membership": taken})
    assert roles_of("viewer") == {("viewer", "acme")}
    [event] = events(Action.ROLE_TAKE)
    assert event.sentence == "took the role operator in Acme Retail from viewer"
    assert '"before":{"ends_at":"","role":"operator"}' in event.text
    page = client.post(url(viewer, "roles/"), {"membership": taken}, follow=True)
    assert "taken before" in page.content.decode()
    assert len(events(Action.ROLE_TAKE)) == 1


def test_a_role_works_from_the_next_request_on_and_no_longer_after_it_is_taken(admin: User, viewer: User) -> None:
    client, other = signed_in(admin), signed_in(viewer)
    assert other.get(LIST).status_code == 403
    client.post(url(viewer, "roles/"), {"role": "auditor", "organization": "acme"})
    assert other.get(LIST).status_code == 200
    client.post(url(viewer, "roles/"), {"membership": viewer.memberships.get(role="auditor").pk})
    assert other.get(LIST).status_code == 403


def test_a_guests_role_ends_with_its_last_day_in_the_zone_of_who_gave_it(admin: User, viewer: User) -> None:
    admin.zone = "Europe/Berlin"
    admin.save()
    with time_machine.travel(datetime(2026, 7, 1, 12, 0, tzinfo=UTC)):
        client, guest = signed_in(admin), signed_in(viewer)
        client.post(url(viewer, "roles/"), {"role": "auditor", "organization": "acme", "ends_on": "2026-07-10"})
        ends_at = viewer.memberships.get(role="auditor").ends_at
        assert ends_at == datetime(2026, 7, 10, 22, 0, tzinfo=UTC)
        assert guest.get(LIST).status_code == 200
        assert "until 2026-07-10 22:00 UTC" in events(Action.ROLE_GIVE)[0].sentence
        client.post(url(viewer, "roles/"), {"role": "auditor", "organization": "acme", "ends_on": "2026-07-12"})
        assert len(events(Action.ROLE_GIVE)) == 2
        assert viewer.memberships.filter(role="auditor").count() == 1
    with time_machine.travel(datetime(2026, 7, 12, 21, 59, tzinfo=UTC)):
        assert signed_in(viewer).get(LIST).status_code == 200
    with time_machine.travel(datetime(2026, 7, 12, 22, 0, tzinfo=UTC)):
        assert signed_in(viewer).get(LIST).status_code == 403
        assert "ended" in signed_in(admin).get(url(viewer)).content.decode()


def test_an_org_admin_gives_and_takes_only_there(
    admin: User, root: User, operator: User, nordwind: Organization
) -> None:
    elsewhere = Membership.objects.create(user=operator, organization=nordwind, role=Role.VIEWER)
    client = signed_in(admin)
    for place in ("nordwind", "*"):
        page = client.post(url(operator, "roles/"), {"role": "viewer", "organization": place})
        assert "is not one of the available choices" in page.content.decode()
    client.post(url(operator, "roles/"), {"membership": elsewhere.pk})
    client.post(url(root, "roles/"), {"membership": root.memberships.get().pk})
    assert elsewhere.pk in set(Membership.objects.values_list("pk", flat=True))
    assert roles_of("root") == {("admin", "*")}
    assert not events(Action.ROLE_TAKE)


def test_taking_the_last_common_role_leads_back_to_the_list(admin: User, operator: User) -> None:
    answer = signed_in(admin).post(url(operator, "roles/"), {"membership": operator.memberships.get().pk})
    assert answer["Location"] == LIST


def test_nobody_takes_the_own_last_admin_role(admin: User, root: User, acme: Organization) -> None:
    page = signed_in(admin).post(url(admin, "roles/"), {"membership": admin.memberships.get().pk}, follow=True)
    assert "You can&#x27;t take your own admin role." in page.content.decode()
    assert roles_of("admin") == {("admin", "acme")}
    make_person("second", Role.ADMIN)
    page = signed_in(root).post(url(root, "roles/"), {"membership": root.memberships.get().pk}, follow=True)
    assert "You can&#x27;t take your own admin role." in page.content.decode()
    here = Membership.objects.create(user=root, organization=acme, role=Role.ADMIN)
    signed_in(root).post(url(root, "roles/"), {"membership": here.pk})
    assert roles_of("root") == {("admin", "*")}


def test_the_last_admin_of_the_installation_stays(root: User) -> None:
    second = make_person("second", Role.ADMIN)
    signed_in(root).post(url(second, "close/"))
    page = signed_in(root).post(url(root, "roles/"), {"membership": root.memberships.get().pk}, follow=True)
    assert "last admin of the whole installation" in page.content.decode()
    assert roles_of("root") == {("admin", "*")}


def test_an_admin_of_the_installation_has_no_last_day(root: User, viewer: User) -> None:
    typed = {"role": "admin", "organization": "*", "ends_on": (timezone.now() + timedelta(days=9)).date().isoformat()}
    page = signed_in(root).post(url(viewer, "roles/"), typed)
    assert "has no last day" in page.content.decode()
    assert roles_of("viewer") == {("viewer", "acme")}


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_closing_ends_sessions_and_reopening_brings_roles_back(admin: User, operator: User) -> None:
    other = Client()
    other.post("/accounts/login/", {"login": "operator", "password": "correct horse battery"})
    assert other.get("/organizations/").status_code == 200
    client = signed_in(admin)
    assert client.post(url(operator, "close/"), {"reason": "left"})["Location"] == url(operator)
    assert other.get("/organizations/").status_code == 302
    [event] = events(Action.PERSON_CLOSE)
    assert (event.sentence, event.organization_name) == ("closed the account of operator", "Acme Retail")
    assert '"sessions_ended":1' in event.text
    assert "left" in event.text
    client.post(url(operator, "close/"))
    assert len(events(Action.PERSON_CLOSE)) == 1
    page = client.post(url(operator, "roles/"), {"role": "viewer", "organization": "acme"})
    assert "is closed. Reopen it first." in page.content.decode()
    client.post(url(operator, "reopen/"))
    client.post(url(operator, "reopen/"))
    assert len(events(Action.PERSON_REOPEN)) == 1
    assert other.get("/organizations/").status_code == 302  # the old session is gone for good
    assert roles_of("operator") == {("operator", "acme")}
    assert signed_in(operator).get("/organizations/").status_code == 200


def test_nobody_closes_the_own_account(admin: User, root: User) -> None:
    for user in (admin, root):
        page = signed_in(user).post(url(user, "close/"), follow=True)
        assert "You can&#x27;t close your own account." in page.content.decode()
        user.refresh_from_db()
        assert user.is_active


def test_an_account_that_reaches_further_is_not_an_org_admins_to_close(
    admin: User, root: User, operator: User, nordwind: Organization
) -> None:
    Membership.objects.create(user=operator, organization=nordwind, role=Role.VIEWER)
    client = confirmed(admin)
    for person in (operator, root):
        for path in ("close/", "reopen/", "password/"):
            answer = client.post(url(person, path), {"password": CANARY})
            assert answer.status_code == 403
            assert "not yours to manage" in answer.content.decode()
        person.refresh_from_db()
        assert person.is_active
    signed_in(root).post(url(operator, "close/"))
    operator.refresh_from_db()
    assert not operator.is_active


def test_a_new_password_needs_the_own_one_and_ends_sessions(admin: User, operator: User) -> None:
    other = Client()
    other.post("/accounts/login/", {"login": "operator", "password": "correct horse battery"})
    asked = signed_in(admin).get(url(operator, "password/"))
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    client = confirmed(admin)
    assert client.get(url(operator, "password/")).status_code == 200
    page = client.post(url(operator, "password/"), {"password": "operator2026"})
    assert "too similar" in page.content.decode()
    assert other.get("/organizations/").status_code == 200
    assert client.post(url(operator, "password/"), {"password": CANARY})["Location"] == url(operator)
    assert other.get("/organizations/").status_code == 302
    [event] = events(Action.PASSWORD_SET)
    assert event.sentence == "set a new password for operator"
    assert nowhere_on_record()
    fresh = Client()
    assert fresh.post("/accounts/login/", {"login": "operator", "password": CANARY}).status_code == 302


def test_the_own_password_is_changed_elsewhere(admin: User) -> None:
    page = confirmed(admin).post(url(admin, "password/"), {"password": CANARY})
    assert "Change your own password on your account&#x27;s page." in page.content.decode()


def test_names_are_escaped(root: User, prod: Sandbox) -> None:
    person = make_person("<b>x</b>", Role.VIEWER, organization=prod.organization)
    for page in (LIST, url(person), "/organizations/acme/"):
        text = signed_in(root).get(page).content.decode()
        assert "&lt;b&gt;x&lt;/b&gt;" in text
        assert "<b>x</b>" not in text
