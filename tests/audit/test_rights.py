"""Roles and accounts altered behind the record's back."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from segadmin.actions import people
from segadmin.audit import Actor
from segadmin.audit.verify import verify
from segadmin.models import Membership, Organization, Role, User
from tests.audit.tampering import disarm, named

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def story(acme: Organization, settings: Settings, tmp_path: Path) -> User:
    """A guest auditor with an end date, who had another role and an account that was closed for a while."""
    settings.DATA_DIR = tmp_path
    actor = Actor.command("root")
    until = timezone.now() + timedelta(days=90)
    guest = people.add(
        actor=actor,
        username="guest.auditor",
        password=PASSWORD,
        grants=[people.Grant(role=Role.AUDITOR, organization=acme, ends_at=until)],
    )
    other = people.add(
        actor=actor, username="other", password=PASSWORD, grants=[people.Grant(role=Role.VIEWER, organization=None)]
    )
    people.close(actor=actor, person=other)
    people.give_role(actor=actor, person=guest, grant=people.Grant(role=Role.VIEWER, organization=acme))
    viewer = Membership.objects.get(user=guest, role=Role.VIEWER)
    people.take_role(actor=actor, person=guest, membership=viewer)
    people.close(actor=actor, person=guest)
    people.reopen(actor=actor, person=guest)
    assert verify().damage == []
    disarm()
    return guest


MORE = (
    "INSERT INTO segadmin_membership (user_id, organization_id, role, ends_at, created_at) "
    "SELECT user_id, {org}, '{role}', NULL, created_at FROM segadmin_membership WHERE role = 'auditor'"
)
ATTACKS = {
    "a role in the whole installation": (
        MORE.format(org="NULL", role="admin"),
        "guest.auditor has the role admin in the whole installation, and no record gave it.",
    ),
    "another role": (MORE.format(org="organization_id", role="operator"), "in acme, and no record gave it."),
    "a role that was taken": (MORE.format(org="organization_id", role="viewer"), "which record"),
    "a role made larger": ("UPDATE segadmin_membership SET role = 'admin' WHERE role = 'auditor'", "no record gave it"),
    "a longer time": (
        "UPDATE segadmin_membership SET ends_at = '2099-01-01 00:00:00+00:00' WHERE role = 'auditor'",
        "until another time",
    ),
    "no end": ("UPDATE segadmin_membership SET ends_at = NULL", "until another time"),
    "a role gone": ("DELETE FROM segadmin_membership WHERE role = 'auditor'", "and no record took it"),
    "an account opened again": (
        "UPDATE segadmin_user SET is_active = NOT is_active WHERE username = 'other'",
        "is open",
    ),
    "an account closed": (
        "UPDATE segadmin_user SET is_active = NOT is_active WHERE username = 'guest.auditor'",
        "is closed",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_altered_row_is_named(story: User, name: str) -> None:
    named(*ATTACKS[name], "row differs")


def test_people_of_whom_the_record_tells_nothing_are_left_aside(story: User, operator: User) -> None:
    """Their records have expired, or were never there; roles that it tells of are compared all the same."""
    assert verify().damage == []
