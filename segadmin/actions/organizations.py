"""Changes to orgs and their sandboxes: add, change, find sandboxes, watch, remove."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from segadmin import aep, connect
from segadmin.actions import completeness, credentials
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, Attempt, Credential, Organization, Outcome, Sandbox, TokenCache
from segadmin.models.organizations import ADOBE_API_URL, ADOBE_TOKEN_URL

# What the change page edits, with the words of the record.
EDITED = {
    "name": "name",
    "ims_org_id": "organization id",
    "api_url": "API address",
    "token_url": "token address",
}
# What Adobe tells of a sandbox, with the longest text that is kept.
TOLD_BY_ADOBE = {"title": 200, "type": 40, "adobe_state": 40, "region": 40}


def add(
    *,
    actor: Actor,
    slug: str,
    name: str,
    ims_org_id: str,
    api_url: str = ADOBE_API_URL,
    token_url: str = ADOBE_TOKEN_URL,
    reason: str = "",
) -> Organization:
    """Add an org without credential and sandboxes. The slug is for good: it stands in every address."""
    new = Organization(
        slug=slug,
        name=name,
        ims_org_id=ims_org_id,
        api_url=api_url.strip().rstrip("/"),
        token_url=token_url.strip().rstrip("/"),
        sandboxes_due_at=timezone.now(),
    )
    _check(new)
    try:
        with transaction.atomic():
            new.save(force_insert=True)
            record(
                actor=actor,
                action=Action.ORGANIZATION_ADD,
                sentence=f"added the organization {new.name}, {new.ims_org_id}",
                subject=Subject(organization=new),
                details={"before": {}, "after": _told(new), "reason": reason},
            )
    except IntegrityError as error:
        raise NotDone({"slug": _slug_taken(slug)}) from error
    return new


def _slug_taken(slug: str) -> str:
    return _("There is an organization with the short name %(slug)s already. Choose another one.") % {"slug": slug}


def _check(organization: Organization) -> None:
    """Raise NotDone for values that can't be kept, and for addresses off the list of allowed hosts."""
    problems: dict[str, str] = {}
    try:
        organization.full_clean(validate_unique=False)
    except ValidationError as error:
        problems = NotDone.of(error).problems
    if Organization.objects.filter(slug=organization.slug).exclude(pk=organization.pk).exists():
        problems.setdefault("slug", _slug_taken(organization.slug))
    for name, text in connect.check_urls(organization.api_url, organization.token_url).items():
        more = _("The setting SEGADMIN_UPSTREAM_HOSTS holds the allowed hosts.")
        problems[name] = f"{text} {more}"
    if problems:
        raise NotDone(problems)


def _told(organization: Organization) -> dict[str, str]:
    return {name: str(getattr(organization, name)) for name in EDITED}


@sensitive_variables("secret")
def set_up(
    *,
    actor: Actor,
    slug: str,
    name: str,
    ims_org_id: str,
    sandboxes: Mapping[str, str],
    client_id: str,
    secret: str,
    scopes: str = "",
    api_url: str = ADOBE_API_URL,
    token_url: str = ADOBE_TOKEN_URL,
    reason: str = "",
) -> Organization:
    """Add an org with its credential and sandboxes at once, all or nothing, without a call to Adobe.

    `sandboxes`: name -> Adobe's type, empty while not known (which counts as production). They are watched and take
    exports from now on.
    """
    with transaction.atomic():
        organization = add(
            actor=actor,
            slug=slug,
            name=name,
            ims_org_id=ims_org_id,
            api_url=api_url,
            token_url=token_url,
            reason=reason,
        )
        credentials.set_credential(
            actor=actor,
            organization=organization,
            kind=Credential.Kind.OAUTH,
            client_id=client_id,
            secret=secret,
            scopes=scopes,
            reason=reason,
        )
        for sandbox_name, kind in sandboxes.items():
            sandbox = _new_sandbox(organization, sandbox_name, kind)
            change_sandbox(actor=actor, sandbox=sandbox, watched=True, exports_allowed=True, reason=reason)
    return organization


def _new_sandbox(organization: Organization, name: str, kind: str) -> Sandbox:
    sandbox = Sandbox(organization=organization, name=name, title=name, type=kind)
    try:
        sandbox.full_clean()
    except ValidationError as error:
        raise NotDone.of(error, {"name": "sandboxes"}) from error
    sandbox.save(force_insert=True)
    return sandbox


def change(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    ims_org_id: str,
    api_url: str,
    token_url: str,
    reason: str = "",
) -> bool:
    """Change an org's settings. False: nothing differs. Another address makes segadmin fetch a new token there."""
    before = _told(organization)
    after = {
        "name": name.strip(),
        "ims_org_id": ims_org_id.strip(),
        "api_url": api_url.strip().rstrip("/"),
        "token_url": token_url.strip().rstrip("/"),
    }
    if before == after:
        return False
    _check(Organization(pk=organization.pk, uuid=organization.uuid, slug=organization.slug, **after))
    if before["ims_org_id"] != after["ims_org_id"] and organization.sandboxes.exclude(last_read_at=None).exists():
        raise NotDone({"ims_org_id": _("This organization has been read already, so its id stays. Add another one.")})
    changed = [name for name in EDITED if before[name] != after[name]]
    with transaction.atomic():
        there = Organization.objects.filter(pk=organization.pk, retired_at=None, **before)
        pause = {} if changed == ["name"] else {"not_before_at": None}
        if not there.update(**after, **pause):
            raise NotDone(_("Somebody else changed or removed this organization meanwhile. Look at it again."))
        if changed != ["name"]:
            organization.sandboxes.filter(watched=True).update(due_at=timezone.now())
            TokenCache.objects.filter(organization=organization).delete()  # made for the old address
        record(
            actor=actor,
            action=Action.ORGANIZATION_CHANGE,
            sentence=f"changed {_words([EDITED[name] for name in changed])} of {organization.name}",
            subject=Subject(organization=organization),
            details={**_differences(before, after, changed), "reason": reason},
        )
    return True


def _differences(before: Mapping[str, str], after: Mapping[str, str], names: Sequence[str]) -> dict[str, Any]:
    return {"before": {name: before[name] for name in names}, "after": {name: after[name] for name in names}}


def _words(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def retire(*, actor: Actor, organization: Organization, reason: str = "") -> bool:
    """Remove an org: forget its secret and stop reading; jobs and record stay. False: it was removed before."""
    now = timezone.now()
    sending = Attempt.objects.filter(
        sandbox__organization=organization, state=Attempt.State.OPEN, deadline_at__gt=now
    ).exists()
    if sending:
        raise NotDone(_("Something is being sent to Adobe for this organization right now. Try again in a minute."))
    with transaction.atomic():
        if not Organization.objects.filter(pk=organization.pk, retired_at=None).update(retired_at=now):
            return False
        sandboxes = list(organization.sandboxes.filter(watched=True).order_by("name", "pk"))
        watched = [sandbox.name for sandbox in sandboxes]
        organization.sandboxes.update(watched=False, exports_allowed=False, due_at=None)
        for sandbox in sandboxes:
            completeness.note_unwatched(sandbox, at=now)
        credentials.forget(actor=actor, organization=organization, reason=reason)
        record(
            actor=actor,
            action=Action.ORGANIZATION_RETIRE,
            sentence=f"removed the organization {organization.name}; its jobs and records stay",
            subject=Subject(organization=organization),
            details={"before": {"watched": watched}, "after": {}, "reason": reason},
        )
    return True


@dataclass(frozen=True)
class Found:
    """What a look at Adobe's sandboxes told. Names; `active` is the number that can be watched."""

    active: int
    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def sentence(self) -> str:
        parts = [f"{self.active} active"]
        parts += [f"new: {', '.join(self.new)}"] if self.new else []
        parts += [f"changed: {', '.join(self.changed)}"] if self.changed else []
        parts += [f"no longer listed: {', '.join(self.gone)}"] if self.gone else []
        return "; ".join(parts)


def find_sandboxes(*, actor: Actor, organization: Organization) -> Found:
    """Read the org's sandboxes from Adobe. New active ones come unwatched and read-only; nothing is ever deleted.

    The system's own looks leave an event only when something differs. An empty list (a credential without rights)
    changes nothing. Raises aep.AEPError when Adobe could not be asked.
    """
    try:
        told = list(connect.sandbox_names(organization).sandboxes())
    except aep.AEPError as error:
        connect.note_limits(organization, error)
        _could_not_find(actor, organization, error)
        raise
    connect.note_success(organization, actor.name)
    with transaction.atomic():
        found = _take_in(organization, told, timezone.now())
        if actor.kind != "system" or found.new or found.changed or found.gone:
            record(
                actor=actor,
                action=Action.SANDBOX_FOUND,
                sentence=f"looked for sandboxes of {organization.name} at Adobe: {found.sentence}",
                subject=Subject(organization=organization),
                details={"active": found.active, "new": found.new, "changed": found.changed, "gone": found.gone},
            )
    return found


def _could_not_find(actor: Actor, organization: Organization, error: aep.AEPError) -> None:
    if actor.kind == "system":
        return  # the mirror tells its own failures, once
    record(
        actor=actor,
        action=Action.SANDBOX_FOUND,
        outcome=Outcome.FAILED,
        sentence=f"could not look for sandboxes of {organization.name} at Adobe: {error.message}",
        subject=Subject(organization=organization),
        details={
            "adobe": error.adobe_message,
            "adobe_request": error.adobe_request_id or "",
            "sent": error.sent_request_ids,
        },
    )


def _take_in(organization: Organization, told: Sequence[aep.NameRecord], now: datetime) -> Found:
    there = Organization.objects.filter(pk=organization.pk, retired_at=None)
    if not told or not there.update(sandboxes_found_at=now):
        return Found(0, (), (), ())
    rows = Sandbox.objects.select_for_update(no_key=True).filter(organization=organization).order_by("pk")
    known = {row.name: row for row in rows}
    active, new, changed = 0, [], []
    for entry in told:
        values = _values(entry)
        is_active = values["adobe_state"].lower() in {"", "active"}
        active += is_active
        row = known.pop(entry.id, None)
        if row is not None:
            if any(getattr(row, name) != value for name, value in values.items()):
                changed.append(row.name)
            Sandbox.objects.filter(pk=row.pk).update(found_at=now, **values)
        elif is_active and len(entry.id) <= 100:
            Sandbox.objects.create(organization=organization, name=entry.id, found_at=now, **values)
            new.append(entry.id)
    # Told once: what the look before this one still found.
    looked = organization.sandboxes_found_at
    gone = [row.name for row in known.values() if row.found_at and (looked is None or row.found_at >= looked)]
    return Found(active, tuple(new), tuple(changed), tuple(gone))


def _values(entry: aep.NameRecord) -> dict[str, Any]:
    details = {
        **entry.details,
        "adobe_state": entry.details.get("state"),
        "title": entry.details.get("title") or entry.name,
    }
    values: dict[str, Any] = {name: str(details.get(name) or "")[:limit] for name, limit in TOLD_BY_ADOBE.items()}
    return {**values, "is_default": bool(details.get("is_default"))}


def change_sandbox(*, actor: Actor, sandbox: Sandbox, watched: bool, exports_allowed: bool, reason: str = "") -> bool:
    """Say whether a sandbox is mirrored, and whether exports may be started in it. False: nothing differs.

    The first time of watching stays as the time of connection: what Adobe made while nobody watched is a finding.
    """
    before = {"watched": sandbox.watched, "exports_allowed": sandbox.exports_allowed}
    after = {"watched": watched, "exports_allowed": exports_allowed}
    if before == after:
        return False
    if exports_allowed and not watched:
        raise NotDone({"exports_allowed": _("Watch it too: otherwise nobody would see how an export ends.")})
    if watched and not sandbox.watched and sandbox.adobe_state.lower() not in {"", "active"}:
        sentence = _("Adobe calls this sandbox “%(state)s”. Only an active one can be watched.")
        raise NotDone({"watched": sentence % {"state": sandbox.adobe_state}})
    now = timezone.now()
    moves: dict[str, Any] = dict(after)
    if watched and not sandbox.watched:
        moves |= {"due_at": now, "connected_at": sandbox.connected_at or now}
    with transaction.atomic():
        if not Sandbox.objects.filter(pk=sandbox.pk, organization__retired_at=None, **before).update(**moves):
            raise NotDone(_("Somebody else changed this sandbox meanwhile. Look at it again."))
        if watched and not sandbox.watched:
            completeness.note_watched(sandbox, at=now)
        elif sandbox.watched and not watched:
            completeness.note_unwatched(sandbox, at=now)
        record(
            actor=actor,
            action=Action.SANDBOX_CHANGE,
            sentence=f"{_did(before, after)} {sandbox.organization.name} / {sandbox.name}",
            subject=Subject(sandbox=sandbox),
            details={"before": before, "after": after, "reason": reason},
        )
    return True


def _did(before: Mapping[str, bool], after: Mapping[str, bool]) -> str:
    parts = []
    if before["watched"] != after["watched"]:
        parts.append("began to watch" if after["watched"] else "stopped watching")
    if before["exports_allowed"] != after["exports_allowed"]:
        parts.append("allowed exports in" if after["exports_allowed"] else "made read-only")
    return " and ".join(parts)
