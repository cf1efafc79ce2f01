"""Which personal data an export holds, by its fields and audiences: certain and possible, kept apart."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.utils import timezone

from segadmin.actions import personal_data as actions
from segadmin.actions import register
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.models import Action, Category, EventContent, Organization, PersonalDataMap, RegisterEntry, Sandbox
from segadmin.queries.personal_data import AUDIENCE, BUILT_IN, Classified, Entry, Map, built_in, matches
from tests.factories import make_job


def of(*fields: str, audiences: Sequence[str] = (), used: Map | None = None) -> tuple[list[str], list[str]]:
    """(certain, possible)"""
    found = (used or built_in()).classify(fields=fields, all_fields=not fields, audiences=audiences)
    assert not set(found.certain) & set(found.possible)
    return found.certain, found.possible


@pytest.mark.parametrize(
    ("fields", "certain", "possible"),
    [
        (["personalEmail.address"], ["email"], []),
        (["workEmail"], ["email"], []),
        (["mobilePhone.number", "homePhone"], ["phone"], []),
        (["identityMap"], ["identifier"], ["email", "phone"]),
        (["identityMap", "personalEmail.address"], ["email", "identifier"], ["phone"]),
        (["person.name.firstName"], ["name"], []),
        (["person.birthDate"], ["birth"], []),
        (["homeAddress.postalCode"], ["location"], []),
        (["HOMEADDRESS.city"], ["location"], []),
        (["segmentMembership"], [], ["special"]),
        (["preferredLanguage"], [], []),
        (["_acme.orders.count"], [], ["other"]),
        (["_acme.contactEmail"], [], ["email"]),
        (["homeAddressing"], [], ["location"]),
        (["loyalty.tier"], ["other"], []),
    ],
)
def test_segadmins_own_map(fields: list[str], certain: list[str], possible: list[str]) -> None:
    assert of(*fields) == (certain, possible)


def test_a_parent_exports_what_is_below_it() -> None:
    certain, possible = of("person")
    assert {"name", "birth", "identifier", "details"} <= set(certain)
    assert "other" in possible, "and what the map does not name"
    assert of("loyalty")[0] == ["identifier", "other"]


def test_all_fields_may_hold_anything() -> None:
    certain, possible = of()
    assert certain == []
    assert set(possible) == set(Category.values)


def test_a_whole_schema_of_ones_own_may_hold_anything() -> None:
    assert set(of("_acme")[1]) == set(Category.values)


@pytest.mark.parametrize(
    ("name", "certain", "possible"),
    [
        ("Diabetes newsletter", ["health"], []),
        ("Healthy food lovers", [], ["health"]),
        ("Lapsed buyers", [], []),
        ("archive", [], []),
    ],
)
def test_being_in_an_audience_says_something(name: str, certain: list[str], possible: list[str]) -> None:
    assert of("preferredLanguage", audiences=[name]) == (certain, possible)


def test_the_closest_line_decides() -> None:
    used = Map(
        1,
        [
            Entry("_acme.contact", "phone"),
            Entry("_acme.contact.note", "none"),
            Entry("*note*", "health", possible=True),
            Entry("_acme.contact.n*", "email"),
        ],
    )
    assert of("_acme.contact.note", used=used) == ([], [])
    assert of("_acme.contact.number", used=used) == (["phone"], [])
    assert of("_acme.footnotes", used=used) == ([], ["health"])
    assert of("_acme.x.contact", used=used) == ([], ["other"])


def test_one_pattern_may_name_several_kinds() -> None:
    used = Map(1, [Entry("ids", "identifier"), Entry("ids", "email", possible=True)])
    assert of("ids.list", used=used) == (["identifier"], ["email"])


def test_a_pattern_with_a_star_below_a_parent_is_possible_only() -> None:
    used = Map(1, [Entry("_acme.*Mail", "email")])
    assert of("_acme.workMail", used=used) == (["email"], [])
    assert of("_acme", used=used)[0] == []
    assert "email" in of("_acme", used=used)[1]


def test_reasons_name_what_brings_it_in() -> None:
    found: Classified = built_in().classify(fields=["identityMap"], all_fields=False, audiences=["HIV-positive"])
    told = {(reason.category.value, reason.certain, reason.source) for reason in found.reasons}
    assert told == {
        ("identifier", True, "identityMap"),
        ("email", False, "identityMap"),
        ("phone", False, "identityMap"),
        ("health", True, "HIV-positive"),
    }


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("abc", "ABC", True),
        ("abc", "abcd", False),
        ("a*c", "abbbc", True),
        ("a*c", "ac", True),
        ("a*a", "a", False),
        ("*b*", "abc", True),
        ("*b*c", "abcabc", True),
        ("a*b*c", "acb", False),
        ("*", "", True),
    ],
)
def test_stars(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_the_own_map_is_made_of_known_kinds_and_valid_patterns() -> None:
    assert {entry.category for entry in BUILT_IN} <= {*Category.values, "none"}
    assert len(set(BUILT_IN)) == len(BUILT_IN)
    assert all(entry.pattern.strip() == entry.pattern and entry.pattern.strip("*") for entry in BUILT_IN)


# -- versions ---------------------------------------------------------------------------------------------------------


def set_map(
    actor: Actor, acme: Organization, *entries: Entry, version: int = 0, retroactive: bool = False
) -> PersonalDataMap:
    return actions.set_map(
        actor=actor,
        organization=acme,
        entries=[entry.as_json() for entry in entries],
        retroactive=retroactive,
        version=version,
    )


EMAIL_IS_HEALTH = Entry("personalEmail", "health")
IDS_ARE_PHONES = Entry("identityMap", "phone")


@pytest.mark.django_db
def test_a_new_version_leaves_the_rows_of_before_alone(acme: Organization, prod: Sandbox, actor: Actor) -> None:
    old = make_job(prod, "1")
    register.rebuild()
    set_map(actor, acme, EMAIL_IS_HEALTH, IDS_ARE_PHONES)
    new = make_job(prod, "2", minutes_ago=-1)
    register.rebuild()
    rows = {row.job_id: row for row in RegisterEntry.objects.all()}
    assert (rows[old.pk].pii_map_version, rows[old.pk].pii_certain) == (0, ["email", "identifier"])
    assert (rows[new.pk].pii_map_version, rows[new.pk].pii_certain) == (1, ["phone", "health"])


@pytest.mark.django_db
def test_a_version_may_hold_for_the_past_too(acme: Organization, prod: Sandbox, foreign: Sandbox, actor: Actor) -> None:
    make_job(prod, "1")
    make_job(foreign, "1")
    register.rebuild()
    set_map(actor, acme, EMAIL_IS_HEALTH, IDS_ARE_PHONES, retroactive=True)
    ours, theirs = (RegisterEntry.objects.get(sandbox=sandbox) for sandbox in (prod, foreign))
    assert (ours.pii_map_version, ours.pii_words) == (1, "|phone|health|!|")
    assert theirs.pii_map_version == 0
    RegisterEntry.objects.all().delete()
    register.rebuild()
    assert RegisterEntry.objects.get(sandbox=prod).pii_map_version == 1


@pytest.mark.django_db
def test_names_of_audiences_count(acme: Organization, prod: Sandbox, actor: Actor) -> None:
    set_map(actor, acme, Entry("seg-l*", "politics", AUDIENCE), Entry("identityMap", "none"), Entry("*", "none"))
    PersonalDataMap.objects.update(set_at=timezone.now() - timedelta(days=1))
    make_job(prod, "1")
    register.rebuild()
    assert RegisterEntry.objects.get().pii_certain == ["politics"]


@pytest.mark.django_db
def test_a_version_is_on_record_with_what_changed(acme: Organization, actor: Actor) -> None:
    set_map(actor, acme, *BUILT_IN[1:], EMAIL_IS_HEALTH)
    event = EventContent.objects.get(action=Action.PERSONAL_DATA_MAP)
    assert event.organization == acme
    assert event.sentence.endswith("1 lines added, 1 removed")
    assert '"added":["personalEmail → health"]' in event.text
    assert '"removed":["personalEmail → email"]' in event.text


@pytest.mark.django_db
def test_two_people_do_not_overwrite_each_other(acme: Organization, actor: Actor) -> None:
    set_map(actor, acme, EMAIL_IS_HEALTH)
    with pytest.raises(NotDone, match="meantime"):
        set_map(actor, acme, IDS_ARE_PHONES)
    with pytest.raises(NotDone, match="Nothing differs"):
        set_map(actor, acme, EMAIL_IS_HEALTH, version=1)
    assert PersonalDataMap.objects.count() == 1
