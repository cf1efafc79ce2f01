"""The terms by which rows of the register are found: kept with the rows, and made again from them at any time."""

import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection

from segadmin.actions import register, register_terms
from segadmin.audit import Actor
from segadmin.models import (
    Category,
    Name,
    Origin,
    RegisterEntry,
    RegisterTerm,
    RegisterValue,
    RequestState,
    Sandbox,
    User,
)
from segadmin.queries import register as reads
from segadmin.queries import terms
from segadmin.queries.terms import Kind
from tests.factories import make_job, make_name, make_request, raw_job

pytestmark = pytest.mark.django_db

migration = importlib.import_module("segadmin.migrations.0010_register_terms")


@pytest.fixture
def entry(prod: Sandbox, operator: User) -> RegisterEntry:
    make_name(prod, Name.Kind.AUDIENCE, "seg-lapsed", "Lapsed buyers")
    asked = make_request(prod, operator)
    make_job(prod, "24127", export_request=asked, origin=Origin.HERE, person="operator")
    make_job(prod, "3301", raw=raw_job("3301", fields="", filter={}))
    register.rebuild()
    return RegisterEntry.objects.get(job__job_id="24127")


def stored() -> set[tuple[int, int, int, int]]:
    return set(RegisterTerm.objects.values_list("entry_id", "key", "sandbox_id", "sort"))


def found(entry: RegisterEntry, **filters: str) -> bool:
    rows = reads.matching([entry.organization_id], {**filters})  # type: ignore[typeddict-item]
    return entry.pk in set(rows.values_list("pk", flat=True))


def test_a_row_is_found_by_what_it_says(entry: RegisterEntry) -> None:
    assert found(entry, audience="lapsed", ticket="mk-311", recipient="crm", dataset="crm", field="personalEmail")
    assert found(entry, text="win-back")
    assert not found(entry, audience="lapse", ticket="mk-31")
    assert {sort for _entry, _key, _sandbox, sort in stored() if _entry == entry.pk} == {terms.micros(entry.sort_at)}


def test_repeating_writes_nothing(entry: RegisterEntry) -> None:
    before, texts = stored(), RegisterValue.objects.count()
    register.rebuild()
    assert register_terms.rebuild() == 2
    assert (stored(), RegisterValue.objects.count()) == (before, texts)


def test_they_can_be_made_again(entry: RegisterEntry) -> None:
    before = stored()
    RegisterTerm.objects.all().delete()
    RegisterValue.objects.all().delete()
    register_terms.rebuild()
    assert stored() == before
    assert found(entry, audience="lapsed")


def test_the_migration_makes_the_same(entry: RegisterEntry) -> None:
    before, masks = stored(), dict(RegisterEntry.objects.values_list("pk", "pii_mask"))
    texts = set(RegisterValue.objects.values_list("kind", "key", "value"))
    RegisterTerm.objects.all().delete()
    RegisterValue.objects.all().delete()
    RegisterEntry.objects.update(pii_mask=0)
    migration.fill(apps, SimpleNamespace(connection=connection))
    assert stored() == before
    assert set(RegisterValue.objects.values_list("kind", "key", "value")) == texts
    assert dict(RegisterEntry.objects.values_list("pk", "pii_mask")) == masks


def test_a_correction_is_found_at_once_and_the_first_text_by_its_words(entry: RegisterEntry, actor: Actor) -> None:
    values = {"ticket": "CRM-9", "recipient": "Print house", "purpose": entry.purpose, "legal_basis": entry.legal_basis}
    register.amend(actor=actor, entry=entry, values=values, why="mistyped", version=0)
    assert found(entry, ticket="crm-9", recipient="print")
    assert not found(entry, ticket="mk-311")
    assert not found(entry, recipient="crm team")
    assert found(entry, text="mk-311")
    assert found(entry, text="crm-9")


def test_a_row_that_is_shown_nowhere_has_none(prod: Sandbox, operator: User, actor: Actor) -> None:
    asked = make_request(prod, operator, RequestState.RELEASED)
    job = make_job(prod)
    register.rebuild()
    for entry in RegisterEntry.objects.all():
        values = {"recipient": f"Print house {entry.pk}"}
        register.amend(actor=actor, entry=entry, values=values, why="mistyped", version=0)
    job.export_request = asked
    job.save(update_fields=["export_request"])
    register.refresh(jobs=[job])
    merged = RegisterEntry.objects.get(outcome="merged")
    assert not RegisterTerm.objects.filter(entry=merged).exists()


def test_every_kind_has_two_bits_of_its_own() -> None:
    words = [f"{mark}{code}" for mark in ("", "?") for code in (*Category.values, "!")]
    assert len({terms.bit_of(word) for word in words}) == len(words)
    assert terms.mask_of(f"|{'|'.join(words)}|").bit_count() == len(words)
    assert terms.mask_of("") == terms.bit_of("no kind") == 0
    assert terms.mask_of(f"|{'|'.join(words)}|") < 2**63


def test_keys_tell_kinds_apart() -> None:
    assert len({terms.key_of(kind, "crm") for kind in Kind}) == len(Kind)
    assert all(0 <= terms.key_of(kind, "crm") < 2**63 for kind in Kind)
