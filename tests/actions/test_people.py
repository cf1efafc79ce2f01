"""Changes to people: with their event or not at all, and never without an admin."""

from collections.abc import Callable

import pytest
from django.db import DatabaseError
from django.utils import timezone

from segadmin.actions import people
from segadmin.actions.people import Grant
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.models import EventContent, Membership, Organization, Role, User
from tests.conftest import make_person

pytestmark = pytest.mark.django_db

PASSWORD = "seven unrelated words"


@pytest.fixture
def actor() -> Actor:
    return Actor.command("m.lead")


def of(user: User) -> Actor:
    return Actor(kind="person", name=user.username, id=str(user.pk))


def add(actor: Actor, person: User) -> None:
    people.add(actor=actor, username="new", password=PASSWORD, grants=[Grant(role=Role.VIEWER, organization=None)])


def give(actor: Actor, person: User) -> None:
    people.give_role(actor=actor, person=person, grant=Grant(role=Role.AUDITOR, organization=None))


def take(actor: Actor, person: User) -> None:
    people.take_role(actor=actor, person=person, membership=person.memberships.get())


def close(actor: Actor, person: User) -> None:
    people.close(actor=actor, person=person)


def set_password(actor: Actor, person: User) -> None:
    people.set_password(actor=actor, person=User.objects.get(pk=person.pk), password=PASSWORD)


def everything() -> list[object]:
    return [
        list(User.objects.order_by("pk").values()),
        list(Membership.objects.order_by("pk").values()),
        EventContent.objects.count(),
    ]


@pytest.mark.parametrize("act", [add, give, take, close, set_password])
def test_without_its_event_nothing_is_changed(
    act: Callable[[Actor, User], None], actor: Actor, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything()

    def full(**_event: object) -> None:
        raise DatabaseError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(people, "record", full)
        with pytest.raises(DatabaseError):
            act(actor, operator)
    assert everything() == before
    act(actor, operator)
    assert everything() != before


def test_several_roles_are_given_together_or_not_at_all(actor: Actor, operator: User, acme: Organization) -> None:
    grants = [
        Grant(role=Role.VIEWER, organization=acme),
        Grant(role=Role.AUDITOR, organization=acme, ends_at=timezone.now()),
    ]
    with pytest.raises(NotDone, match="lie ahead"):
        people.give_roles(actor=actor, person=operator, grants=grants)
    assert operator.memberships.count() == 1
    assert not EventContent.objects.exists()


def test_names_that_differ_in_capitals_only_are_one(actor: Actor, operator: User) -> None:
    with pytest.raises(NotDone, match="already"):
        people.add(
            actor=actor,
            username="Operator",
            password=PASSWORD,
            grants=[Grant(role=Role.VIEWER, organization=None)],
        )


def test_an_account_without_a_role_is_not_made(actor: Actor, db: None) -> None:
    with pytest.raises(NotDone, match="at least one role"):
        people.add(actor=actor, username="new", password=PASSWORD, grants=[])
    assert not User.objects.exists()


def test_a_removed_org_gives_no_roles(actor: Actor, operator: User, acme: Organization) -> None:
    acme.retired_at = timezone.now()
    acme.save()
    with pytest.raises(NotDone, match="was removed"):
        people.give_role(actor=actor, person=operator, grant=Grant(role=Role.AUDITOR, organization=acme))


@pytest.mark.parametrize("by", ["person", "command"])
def test_the_installation_never_loses_its_last_admin(by: str, root: User, admin: User) -> None:
    actor = of(admin) if by == "person" else Actor.command("m.lead")
    with pytest.raises(NotDone, match="last admin"):
        people.close(actor=actor, person=root)
    with pytest.raises(NotDone, match="last admin"):
        people.take_role(actor=actor, person=root, membership=root.memberships.get())
    closed = make_person("closed", Role.ADMIN)
    closed.is_active = False
    closed.save()
    ended = make_person("ended")
    Membership.objects.create(user=ended, role=Role.ADMIN, organization=None, ends_at=timezone.now())
    with pytest.raises(NotDone, match="last admin"):
        people.close(actor=actor, person=root)
    make_person("second", Role.ADMIN)
    assert people.close(actor=actor, person=root)


def test_a_role_that_is_gone_is_not_taken_twice(actor: Actor, operator: User) -> None:
    membership = operator.memberships.get()
    assert people.take_role(actor=actor, person=operator, membership=membership)
    membership.pk = 999_999
    assert not people.take_role(actor=actor, person=operator, membership=membership)
    assert EventContent.objects.count() == 1


def test_two_admins_who_set_one_password_at_the_same_time_do_not_both_win(actor: Actor, operator: User) -> None:
    first, second = User.objects.get(pk=operator.pk), User.objects.get(pk=operator.pk)
    people.set_password(actor=actor, person=first, password=PASSWORD)
    with pytest.raises(NotDone, match="at the same moment"):
        people.set_password(actor=actor, person=second, password=f"{PASSWORD} more")
    assert User.objects.get(pk=operator.pk).check_password(PASSWORD)
