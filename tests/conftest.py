"""Shared fixtures: people, orgs, sandboxes and jobs as the pages need them."""

import gc

import pytest
from django.template.base import Template
from django.test import Client
from django.utils import timezone

from segadmin.audit import Actor, mark, seen
from segadmin.models import Membership, Organization, Role, Sandbox, User

_LONG = [
    "tests/test_on_postgres.py",
    "tests/browser/test_accessible.py",
    "tests/commands/test_backup.py",
    "tests/browser/test_main_job.py",
    "tests/browser/test_without_script.py",
    "tests/browser/test_keyboard.py",
    "tests/browser/test_long_text.py",
    "tests/commands/test_demo.py",
    "tests/faults/test_postgresql.py",
    "tests/faults/test_web_server.py",
    "tests/faults/test_mirror_processes.py",
    "tests/commands/test_serve.py",
]
_RENDER = Template._render  # before Django's set-up of the tests puts its own in place


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    """A test's records are rolled back, which no committed record ever is: the next test's folder has seen none."""
    for known in (seen.path(), mark.path()):
        known.unlink(missing_ok=True)


@pytest.fixture
def actor() -> Actor:
    return Actor(kind="person", name="operator", id="1", roles=("operator",), address="10.0.0.1", correlation_id="r-1")


@pytest.fixture
def acme(db: None) -> Organization:
    return Organization.objects.create(slug="acme", name="Acme Retail", ims_org_id="AC3E0000@AdobeOrg")


@pytest.fixture
def nordwind(db: None) -> Organization:
    return Organization.objects.create(slug="nordwind", name="Nordwind", ims_org_id="40D40000@AdobeOrg")


def make_sandbox(organization: Organization, name: str, kind: str = "production", **values: object) -> Sandbox:
    now = timezone.now()
    defaults = {"watched": True, "exports_allowed": True, "connected_at": now, "last_read_at": now, "found_at": now}
    return Sandbox.objects.create(
        organization=organization, name=name, title=name.title(), type=kind, **{**defaults, **values}
    )


@pytest.fixture
def prod(acme: Organization) -> Sandbox:
    return make_sandbox(acme, "prod")


@pytest.fixture
def stage(acme: Organization) -> Sandbox:
    return make_sandbox(acme, "stage", "development")


@pytest.fixture
def foreign(nordwind: Organization) -> Sandbox:
    return make_sandbox(nordwind, "prod")


def make_person(name: str, *roles: Role, organization: Organization | None = None) -> User:
    user = User.objects.create_user(username=name, password="correct horse battery")
    for role in roles:
        Membership.objects.create(user=user, organization=organization, role=role)
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture
def operator(acme: Organization) -> User:
    return make_person("operator", Role.OPERATOR, organization=acme)


@pytest.fixture
def viewer(acme: Organization) -> User:
    return make_person("viewer", Role.VIEWER, organization=acme)


@pytest.fixture
def approver(acme: Organization) -> User:
    return make_person("approver", Role.APPROVER, organization=acme)


@pytest.fixture
def auditor(acme: Organization) -> User:
    return make_person("auditor", Role.AUDITOR, organization=acme)


@pytest.fixture
def admin(acme: Organization) -> User:
    return make_person("admin", Role.ADMIN, organization=acme)


@pytest.fixture
def root(db: None) -> User:
    """An admin of the whole installation."""
    return make_person("root", Role.ADMIN)


@pytest.fixture
def stranger(nordwind: Organization) -> User:
    """Has a role in another org only."""
    return make_person("stranger", Role.OPERATOR, organization=nordwind)


pytest_plugins = ["tests.upstream", "tests.prepared"]


@pytest.fixture(scope="session", autouse=True)
def _templates_as_in_use(django_test_environment: None) -> None:
    """Django copies each template's context for tests to look at; ours look at pages, so nobody needs the copies."""
    Template._render = _RENDER  # type: ignore[method-assign]


def pytest_itemcollected(item: pytest.Item) -> None:
    for chosen in item.iter_markers("not_on_postgres"):
        if not (chosen.args and isinstance(chosen.args[0], str) and chosen.args[0].strip()):
            raise pytest.UsageError(f"{item.nodeid}: say why the database makes no difference to it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, mostly those that wait: where tests run side by side, the others fill the time beside them."""
    items.sort(key=lambda item: _LONG.index(file) if (file := item.nodeid.partition("::")[0]) in _LONG else len(_LONG))


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays to the end: the garbage collector need not go through it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
