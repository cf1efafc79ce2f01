"""An org's map of personal data: each change is a new version; the older ones stay, since rows say which one they used."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from segadmin.actions import register
from segadmin.actions.refusals import NotDone
from segadmin.actions.storable import storable
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Organization, PersonalDataMap
from segadmin.queries import personal_data


def set_map(
    *,
    actor: Actor,
    organization: Organization,
    entries: Sequence[Mapping[str, Any]],
    retroactive: bool,
    version: int,
) -> PersonalDataMap:
    """Store a new version, and with `retroactive` apply it to the rows of the past too. `version` is the one that was seen.

    Raises NotDone: nothing differs, or somebody else stored a version meanwhile.
    """
    wanted = [_entry(entry) for entry in entries]
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        before = personal_data.current(organization)
        if before.version != version:
            raise NotDone(
                "Somebody stored another version of this map in the meantime. Look at it, then change it again."
            )
        added, removed = _difference(before.entries, wanted)
        if not added and not removed and not retroactive:
            raise NotDone("Nothing differs from the map in force, so nothing was stored.")
        new = PersonalDataMap.objects.create(
            organization=organization,
            version=before.version + 1,
            entries=[entry.as_json() for entry in wanted],
            retroactive=retroactive,
            set_by=actor.name[:150],
            set_at=timezone.now(),
        )
        _record(actor, new, added, removed)
    if retroactive:
        register.rebuild(organization)
    return new


def _entry(data: Mapping[str, Any]) -> personal_data.Entry:
    return personal_data.Entry.from_json(storable(dict(data)))


def _difference(
    before: Iterable[personal_data.Entry], after: Iterable[personal_data.Entry]
) -> tuple[list[str], list[str]]:
    """Lines that are new, and lines that are gone."""
    old, new = set(before), set(after)
    return sorted(map(_words, new - old)), sorted(map(_words, old - new))


def _words(entry: personal_data.Entry) -> str:
    kind = "audience " if entry.kind == personal_data.AUDIENCE else ""
    return f"{kind}{entry.pattern} → {'possibly ' if entry.possible else ''}{entry.category}"


def _record(actor: Actor, new: PersonalDataMap, added: Sequence[str], removed: Sequence[str]) -> None:
    also = ", also for exports made before" if new.retroactive else ""
    record(
        actor=actor,
        action=Action.PERSONAL_DATA_MAP,
        sentence=f"set version {new.version} of the personal-data map of {new.organization.name}{also}: "
        f"{len(added)} lines added, {len(removed)} removed",
        subject=Subject(organization=new.organization),
        details={
            "version": new.version,
            "added": added,
            "removed": removed,
            "also_for_exports_before": new.retroactive,
            "lines": len(new.entries),
        },
    )
