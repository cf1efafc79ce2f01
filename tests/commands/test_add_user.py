"""manage.py add_user: the first admin, and every later account by script."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from segadmin.models import Action, EventContent, Membership, Organization, User
from tests.signing import CANARY, nowhere_on_record

pytestmark = pytest.mark.django_db


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = f"{CANARY}\n") -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(password))
    out = io.StringIO()
    call_command("add_user", *arguments, stdout=out)
    return out.getvalue()


def roles() -> set[tuple[str, str, str | None]]:
    return set(Membership.objects.values_list("user__username", "role", "organization__slug"))


def test_the_first_admin_can_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    out = run(monkeypatch, "root", "--role", "admin", "--password-stdin", "--by", "m.lead", "--reason", "first set-up")
    assert out == "Made the account root: admin in the whole installation.\n"
    assert roles() == {("root", "admin", None)}
    client = Client()
    assert client.post("/accounts/login/", {"login": "root", "password": CANARY}).status_code == 302
    assert client.get("/organizations/new/").status_code == 200
    events = EventContent.objects.filter(action__in=[Action.PERSON_ADD, Action.ROLE_GIVE])
    assert {(event.actor_kind, event.actor_name) for event in events} == {("command", "m.lead")}
    assert all('"reason":"first set-up"' in event.text for event in events)
    assert nowhere_on_record()


def test_several_roles_in_one_org(monkeypatch: pytest.MonkeyPatch, acme: Organization) -> None:
    arguments = ["--role", "operator", "--role", "auditor", "--role", "operator", "--organization", "acme"]
    run(monkeypatch, "crm.ops", *arguments, "--password-stdin")
    assert roles() == {("crm.ops", "operator", "acme"), ("crm.ops", "auditor", "acme")}


def test_an_existing_account_gets_what_it_lacks_and_keeps_its_password(
    monkeypatch: pytest.MonkeyPatch, acme: Organization
) -> None:
    run(monkeypatch, "crm.ops", "--role", "viewer", "--organization", "acme", "--password-stdin")
    password = User.objects.get().password
    arguments = ["CRM.ops", "--role", "viewer", "--role", "operator", "--organization", "acme"]
    out = run(monkeypatch, *arguments, "--password-stdin", password="another password 2026\n")
    assert out == "crm.ops exists; gave it: operator in Acme Retail. Its password is as it was.\n"
    assert User.objects.get().password == password
    with pytest.raises(CommandError, match="has these roles already"):
        run(monkeypatch, *arguments)
    assert EventContent.objects.filter(action=Action.ROLE_GIVE).count() == 2


@pytest.mark.parametrize(
    ("arguments", "password", "told"),
    [
        (["crm.ops", "--role", "viewer"], CANARY, "add --password-stdin"),
        (["crm.ops", "--role", "viewer", "--password-stdin"], "short\n", "too short"),
        (["crm.ops", "--role", "viewer", "--password-stdin"], "", "too short"),
        (
            ["crm.ops", "--role", "viewer", "--organization", "nowhere", "--password-stdin"],
            CANARY,
            "short name nowhere",
        ),
        (["crm ops", "--role", "viewer", "--password-stdin"], CANARY, "valid username"),
        (["crm.ops", "--role", "root", "--password-stdin"], CANARY, "invalid choice"),
        (["crm.ops", "--password-stdin"], CANARY, "--role"),
    ],
)
def test_what_can_not_be_taken_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], password: str, told: str
) -> None:
    with pytest.raises(CommandError, match=told) as failure:
        run(monkeypatch, *arguments, password=password)
    assert CANARY not in str(failure.value)
    assert not User.objects.exists()
    assert not EventContent.objects.exists()


def test_a_closed_account_gets_no_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_user("crm.ops", password="correct horse battery", is_active=False)
    with pytest.raises(CommandError, match=r"closed. Reopen it first"):
        run(monkeypatch, "crm.ops", "--role", "viewer")
