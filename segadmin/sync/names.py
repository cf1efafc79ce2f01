"""Names behind ids, and the sandboxes of an org. A comfort: a fault here is logged, tried again soon, and never hides jobs.

A lane of its own, so that slow name services do not hold up the jobs. Claimed by a conditional update of the time of the
last reading.
"""

import logging
import threading
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from segadmin import aep, connect
from segadmin.actions import names, organizations
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor
from segadmin.models import Name, Organization, Sandbox
from segadmin.sync import batches

log = logging.getLogger("segadmin.sync")

NAMES_EVERY = timedelta(minutes=30)
AGAIN_AFTER_FAULT = timedelta(minutes=5)
SANDBOXES_EVERY = timedelta(hours=6)


def tend(organization: Organization, *, force: bool = False, stop: threading.Event | None = None) -> None:
    """Read what is due of one org: the list of its sandboxes, and names and counts of batches of each watched one."""
    try:
        _find_sandboxes(organization)
        for sandbox in organization.sandboxes.filter(watched=True).select_related("organization").order_by("pk"):
            if not (stop and stop.is_set()) and _claim(sandbox, force=force):
                _read_all(sandbox, stop)
            batches.tend(sandbox, stop)
    finally:
        if not connection.in_atomic_block:
            connection.close()


def due(now: datetime) -> list[Organization]:
    """Orgs with names, sandboxes or counts of batches to read."""
    last = now - NAMES_EVERY
    stale = Q(sandboxes__names_read_at=None) | Q(sandboxes__names_read_at__lte=last)
    unlisted = Q(sandboxes_due_at=None) | Q(sandboxes_due_at__lte=now)
    return list(
        Organization.objects.filter(retired_at=None)
        .filter(Q(not_before_at=None) | Q(not_before_at__lte=now))
        .filter(Q(stale, sandboxes__watched=True) | unlisted | Q(batches.due(now)))
        .order_by("pk")
        .distinct()
    )


def _claim(sandbox: Sandbox, *, force: bool) -> bool:
    now = timezone.now()
    rows = Sandbox.objects.filter(pk=sandbox.pk)
    if not force or sandbox.names_read_at:
        rows = rows.filter(Q(names_read_at=None) | Q(names_read_at__lte=now - NAMES_EVERY))
    # Not yet "read now": if this process dies on the way, they are soon tried again.
    return bool(rows.update(names_read_at=now - NAMES_EVERY + AGAIN_AFTER_FAULT))


def _read_all(sandbox: Sandbox, stop: threading.Event | None) -> None:
    read_at = timezone.now()
    fault = False
    for kind in Name.Kind:
        if stop and stop.is_set():
            return
        try:
            found = _read(connect.names(sandbox), kind)
        except aep.AEPError as error:
            fault = True
            connect.note_limits(sandbox.organization, error)
            log.warning("%s: names of kind %s could not be read: %s", sandbox, kind.value, error.message)
            continue
        changed = names.take_in_names(sandbox, kind, found, read_at=read_at)
        if kind in (Name.Kind.AUDIENCE, Name.Kind.DATASET):
            names.reindex(sandbox, changed)
    if not fault:
        Sandbox.objects.filter(pk=sandbox.pk).update(names_read_at=read_at)


def _read(source: aep.Names, kind: Name.Kind) -> list[aep.NameRecord]:
    match kind:
        case Name.Kind.AUDIENCE:
            return list(source.audiences())
        case Name.Kind.DATASET:
            return list(source.datasets())
        case Name.Kind.MERGE_POLICY:
            return list(source.merge_policies())
        case Name.Kind.FIELD:
            found = source.profile_fields()
            return [aep.NameRecord("field", item.path, "", item.title, {"type": item.type}) for item in found]


def _find_sandboxes(organization: Organization) -> None:
    now = timezone.now()
    late = Q(sandboxes_due_at=None) | Q(sandboxes_due_at__lte=now)
    if not Organization.objects.filter(late, pk=organization.pk).update(sandboxes_due_at=now + SANDBOXES_EVERY):
        return
    try:
        organizations.find_sandboxes(actor=Actor.system(), organization=organization)
    except (NotDone, aep.AEPError) as error:
        Organization.objects.filter(pk=organization.pk).update(sandboxes_due_at=now + AGAIN_AFTER_FAULT)
        log.warning("%s: sandboxes could not be listed: %s", organization, error)
