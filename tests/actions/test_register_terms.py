"""The terms by which rows of the register are found: kept with the rows, and made again from them at any time."""

import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection

from segadmin.actions import names, register, register_terms
from segadmin.audit import Actor
from segadmin.models import (
    Category,
    Name,
    Organization,
    Origin,
    RegisterEntry,
    RegisterTerm,
    RegisterValue,
    RequestState,
    Sandbox,
    User,
)
from segadmin.queries import answers, answers_trace, terms
from segadmin.queries import register as reads
from segadmin.queries.terms import Kind
from tests.factories import make_job, make_name, make_request, raw_job

pytestmark = pytest.mark.django_db

migration = importlib.import_module("segadmin.migrations.0010_register_terms")
later_migration = importlib.import_module("segadmin.migrations.0011_whole_sweeps")


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
    later_migration.terms_anew(apps, SimpleNamespace(connection=connection))
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


def test_rows_of_before_are_folded_by_the_migration(prod: Sandbox, operator: User) -> None:
    raw = raw_job("7", fields="person.name", additionalFields={"eventList": {}})
    make_job(prod, "7", raw=raw, export_request=make_request(prod, operator, recipient="Straße", ticket="MK-1, MK-2"))
    register.rebuild()
    [entry] = RegisterEntry.objects.all()
    before, words = stored(), entry.field_words
    RegisterEntry.objects.update(search=entry.search.replace("strasse", "straße"), field_words="|person.name|")
    RegisterTerm.objects.filter(key=terms.key_of(Kind.TICKET, "mk-2")).delete()
    later_migration.terms_anew(apps, SimpleNamespace(connection=connection))
    assert (stored(), RegisterEntry.objects.get().field_words) == (before, words)
    assert found(entry, recipient="STRASSE", ticket="mk-2", field="commerce.order")


# -- what people write, and what they look for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored_as", "typed"),
    [
        ("Größe & Söhne", "GRÖSSE"),
        ("Größe & Söhne", "gro\u0308ße & so\u0308hne"),
        ("Cafe\u0301 Print", "café"),
        ("Café Print", "CAFE\u0301"),
        ("Straßenfest", "STRASSEN"),
        ("İstanbul Posta", "istanbul"),
        ("ISTANBUL POSTA", "ıstanbul"),
        ("Iğdır", "IĞDIR"),
        ("ΟΔΟΣΗΜΑ", "οδος"),
        ("ＣＲＭ ｔｅａｍ", "crm team"),
        ("ﬁnance", "finance"),
        ("Blumen 🌷 Müller", "🌷"),
        ("Blumen 🌷 Müller", "mu\u0308ller"),
        ("हिन्दी डाक", "हिन्दी"),
        ("東京印刷", "印刷"),
    ],
)
def test_letters_that_mean_the_same_are_found(prod: Sandbox, operator: User, stored_as: str, typed: str) -> None:
    asked = make_request(prod, operator, recipient=stored_as, purpose=f"for {stored_as}", ticket=stored_as.split()[0])
    make_job(prod, "1", export_request=asked, origin=Origin.HERE)
    make_job(prod, "2", export_request=make_request(prod, operator, recipient="Other", purpose="other", ticket="x"))
    register.rebuild()
    entry = RegisterEntry.objects.get(job__job_id="1")
    other = RegisterEntry.objects.get(job__job_id="2")
    assert found(entry, recipient=typed)
    assert found(entry, text=typed)
    assert found(entry, recipient=f"={stored_as}")
    assert found(entry, ticket=stored_as.split()[0].upper())
    assert not found(other, recipient=typed)
    assert not found(other, text=typed)


@pytest.mark.parametrize("ticket", ["MK-311, MK-312", "MK-311/MK-312", "MK-312 MK-311", "mk-312;mk-311", "MK-311"])
def test_a_ticket_among_others_is_found(prod: Sandbox, operator: User, ticket: str) -> None:
    make_job(prod, "1", export_request=make_request(prod, operator, ticket=ticket))
    register.rebuild()
    [entry] = RegisterEntry.objects.all()
    assert found(entry, ticket="MK-311")
    assert found(entry, ticket=ticket)
    assert not found(entry, ticket="MK-31")


def test_exports_of_an_audience_are_found_by_each_of_its_names(prod: Sandbox) -> None:
    """The row says the name of its time; who looks for where the audience went knows it by another."""
    name = make_name(prod, Name.Kind.AUDIENCE, "seg-1", "Lapsed buyers")
    make_name(prod, Name.Kind.AUDIENCE, "seg-2", "Donors")
    place = make_name(prod, Name.Kind.DATASET, "ds-1", "CRM out")
    filters = {"filter": {"segments": [{"segmentId": "seg-1"}]}, "destination": {"datasetId": "ds-1"}}
    make_job(prod, "early", raw=raw_job("early", **filters))
    make_job(prod, "other", raw=raw_job("other", filter={"segments": [{"segmentId": "seg-2"}]}))
    register.rebuild()
    name.name, place.name = "Win-back 2026", "Sales lake"
    for row in (name, place):
        row.save()
    names.reindex(prod, ["seg-1", "ds-1", "seg-unused"])
    early, other = (RegisterEntry.objects.get(job__job_id=job) for job in ("early", "other"))
    assert early.audiences[0]["name"] == "Lapsed buyers"
    # Not exported under the new name yet, and found by it all the same.
    assert found(early, audience="win-back", dataset="sales")
    make_job(prod, "late", raw=raw_job("late", **filters))
    register.rebuild()
    late = RegisterEntry.objects.get(job__job_id="late")
    assert late.audiences[0]["name"] == "Win-back 2026"
    for entry in (early, late):
        assert found(entry, audience="lapsed")
        assert found(entry, audience="win-back")
        assert found(entry, dataset="crm out")
        assert found(entry, dataset="sales lake")
    assert not found(other, audience="lapsed")
    assert not found(late, audience="=lapsed buyers")
    trace = answers_trace.trace([prod.organization_id], {}, ["win-back"], lambda **_values: "")
    assert (trace.total(answers_trace.MAY_CONTAIN), trace.total(answers_trace.DOES_NOT)) == (2, 1)
    texts = RegisterValue.objects.count()
    names.reindex(prod, ["seg-1", "ds-1"])
    assert RegisterValue.objects.count() == texts


def test_a_field_of_events_is_in_exports_of_all_events(prod: Sandbox, acme: Organization) -> None:
    every = raw_job("every", fields="person.name", additionalFields={"eventList": {}})
    some = raw_job(
        "some", fields="person.name", additionalFields={"eventList": {"fields": "commerce.order.purchaseID"}}
    )
    for raw in (every, some, raw_job("none", fields="person.name")):
        make_job(prod, str(raw["id"]), raw=raw)
    register.rebuild()
    entries = {row.job.job_id: row for row in RegisterEntry.objects.select_related("job") if row.job}
    held = {key for key, row in entries.items() if found(row, field="commerce.order")}
    assert held == {"every", "some"}
    groups = {group.key: group.sums.exports for group in answers.exported([acme.pk], {}, "field").groups}
    assert groups == {"person.name": 3, "commerce.order.purchaseid": 2, "*": 1}
    assert entries["every"].all_fields is False


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
