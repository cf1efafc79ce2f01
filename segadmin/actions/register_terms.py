"""The terms of the register's rows, written with the rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from segadmin.models import Name, RegisterEntry, RegisterTerm, RegisterValue, Sandbox
from segadmin.queries import terms

CHUNK = 500
# A change of one of these changes which terms a row has, or where they stand.
TOUCHED = frozenset({*terms.COLUMNS, "sort_at", "sandbox_id"})

_TERM = "INSERT INTO segadmin_registerterm (entry_id, key, sandbox_id, sort) VALUES (%s, %s, %s, %s)"


def write(entries: Sequence[RegisterEntry]) -> None:
    """Bring the terms of these rows up to date; of the texts behind them those that are new. In the caller's transaction."""
    if not entries:
        return
    wanted = {row.pk: terms.told(_columns(row)) for row in entries}
    places = {row.pk: (row.sandbox_id, terms.micros(row.sort_at)) for row in entries}
    kept: dict[int, set[int]] = {}
    gone = []
    rows = RegisterTerm.objects.filter(entry__in=wanted).order_by("pk")
    for pk, entry, key, sandbox, sort in rows.values_list("pk", "entry_id", "key", "sandbox_id", "sort"):
        if key in wanted[entry] and (sandbox, sort) == places[entry]:
            kept.setdefault(entry, set()).add(key)
        else:
            gone.append(pk)
    for start in range(0, len(gone), CHUNK):
        RegisterTerm.objects.filter(pk__in=gone[start : start + CHUNK]).delete()
    fresh = [
        (entry, key, *places[entry])
        for entry, found in wanted.items()
        for key in found
        if key not in kept.get(entry, ())
    ]
    if fresh:
        # A plain statement: some thirty rows for each export take the ORM five times as long.
        with transaction.get_connection().cursor() as cursor:
            cursor.executemany(_TERM, fresh)
    _spell({key for _entry, key, *_place in fresh}, wanted.values())
    call({item for row in entries for item in terms.called(_columns(row))})


def _columns(row: RegisterEntry) -> dict[str, Any]:
    return {name: getattr(row, name) for name in terms.COLUMNS}


def _spell(keys: set[int], told: Iterable[Mapping[int, tuple[terms.Kind, str]]]) -> None:
    """Two writers may add the same text at once: it then stands twice, and neither had to wait for the other."""
    named = {
        key: (kind, text)
        for found in told
        for key, (kind, text) in found.items()
        if key in keys and kind in terms.SPELLED
    }
    spelled = RegisterValue.objects.filter(key__in=named, kind__in=list(terms.SPELLED)).order_by()
    known = set(spelled.values_list("key", flat=True))
    fresh = [
        RegisterValue(kind=int(kind), key=key, value=text) for key, (kind, text) in named.items() if key not in known
    ]
    RegisterValue.objects.bulk_create(fresh, batch_size=CHUNK)


def call(names: Iterable[tuple[terms.Kind, int, str]]) -> None:
    """Keep names of audiences and datasets (`terms.called`), so that their exports are found by all of them."""
    wanted = {(int(kind), key, name): None for kind, key, name in sorted(names)}
    keys = sorted({key for _kind, key, _name in wanted})
    for start in range(0, len(keys), CHUNK):
        there = RegisterValue.objects.filter(key__in=keys[start : start + CHUNK], kind__in=list(terms.CALLED.values()))
        for known in there.order_by().values_list("kind", "key", "value"):
            wanted.pop(known, None)
    fresh = [RegisterValue(kind=kind, key=key, value=name) for kind, key, name in wanted]
    RegisterValue.objects.bulk_create(fresh, batch_size=CHUNK)


def renamed(sandbox: Sandbox, ids: Sequence[str]) -> None:
    """Names of this sandbox that became known or changed, of what was exported already."""
    kinds = {Name.Kind.AUDIENCE: terms.Kind.AUDIENCE, Name.Kind.DATASET: terms.Kind.DATASET_NAME}
    for start in range(0, len(ids), CHUNK):
        rows = Name.objects.filter(sandbox=sandbox, external_id__in=ids[start : start + CHUNK], kind__in=kinds)
        names = rows.exclude(name="").order_by().values_list("kind", "external_id", "name")
        now = [terms.called_now(kinds[Name.Kind(kind)], external_id, name) for kind, external_id, name in names]
        exported = set(
            RegisterTerm.objects.filter(key__in={key for _kind, key, _name in now}, sandbox=sandbox)
            .order_by()
            .values_list("key", flat=True)
            .distinct()
        )
        call(item for item in now if item[1] in exported)


def forget(entry: RegisterEntry) -> None:
    """A row that is shown nowhere any more is found by nothing."""
    RegisterTerm.objects.filter(entry=entry).delete()


def rebuild() -> int:
    """Make the terms of all rows anew where they differ; returns how many rows there are."""
    seen, last = 0, 0
    while chunk := list(RegisterEntry.objects.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last, seen = chunk[-1].pk, seen + len(chunk)
        with transaction.atomic():
            write(chunk)
    return seen
