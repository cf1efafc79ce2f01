"""Names behind ids, from the cache that the mirror keeps. No call to Adobe."""

from collections.abc import Iterable

from django.db.models import QuerySet

from segadmin.models import Name, Sandbox

type Key = tuple[int, str, str]


def _all(sandbox: Sandbox, kind: Name.Kind) -> QuerySet[Name]:
    return Name.objects.filter(sandbox=sandbox, kind=kind, gone_at=None).order_by("name", "external_id", "pk")


def audiences(sandbox: Sandbox) -> list[Name]:
    return list(_all(sandbox, Name.Kind.AUDIENCE))


def datasets(sandbox: Sandbox) -> list[Name]:
    """Datasets on the union profile schema first: only these can take an export."""
    return sorted(_all(sandbox, Name.Kind.DATASET), key=lambda row: not row.details.get("union"))


def merge_policies(sandbox: Sandbox) -> list[Name]:
    return list(_all(sandbox, Name.Kind.MERGE_POLICY))


def fields(sandbox: Sandbox) -> list[Name]:
    return list(_all(sandbox, Name.Kind.FIELD).order_by("external_id", "pk"))


def resolve(sandbox: Sandbox, kind: Name.Kind, text: str) -> Name | None:
    """The entry with this id, or the only one with this name (letter case aside)."""
    wanted = text.strip()
    found = Name.objects.filter(sandbox=sandbox, kind=kind, external_id=wanted).first()
    if found is not None or not wanted:
        return found
    named = list(Name.objects.filter(sandbox=sandbox, kind=kind, name__iexact=wanted, gone_at=None)[:2])
    return named[0] if len(named) == 1 else None


def labels(keys: Iterable[Key]) -> dict[Key, str]:
    """(sandbox pk, kind, id) -> name, for all at once; ids without a known name are left out."""
    wanted = set(keys)
    rows = Name.objects.filter(
        sandbox_id__in={key[0] for key in wanted},
        kind__in={key[1] for key in wanted},
        external_id__in={key[2] for key in wanted},
    ).values_list("sandbox_id", "kind", "external_id", "name")
    return {(pk, kind, ext): name for pk, kind, ext, name in rows if name and (pk, kind, ext) in wanted}


def label(sandbox_id: int, kind: str, external_id: str) -> str:
    """The name, or the id where none is known."""
    key = (sandbox_id, kind, external_id)
    return labels([key]).get(key, external_id)
