"""Shared fixtures: people, orgs, sandboxes and jobs as the pages need them."""

import pytest
from django.test import Client
from django.utils import timezone

from segadmin.audit import Actor
from segadmin.models import Membership, Organization, Role, Sandbox, User


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


pytest_plugins = ["tests.upstream"]
