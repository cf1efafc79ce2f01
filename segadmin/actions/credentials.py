"""Changes to credentials: set, forget, test. Secrets come in; only fingerprints go on record."""

import time
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from segadmin import connect, crypto
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, ConnectionTest, Credential, Organization, Outcome, Sandbox, TokenCache


@sensitive_variables("secret", "sealed")
def set_credential(
    *,
    actor: Actor,
    organization: Organization,
    kind: Credential.Kind,
    client_id: str,
    secret: str = "",
    scopes: str = "",
    token_expires_at: datetime | None = None,
    reason: str = "",
) -> bool:
    """Set or replace how segadmin signs in to an org. A blank `secret` keeps the stored one. False: nothing differs.

    The row gets a new UUID with each new secret, so that a token made with the old one can't come back into the cache.
    """
    scopes = ",".join(scopes.replace(",", " ").split())
    with transaction.atomic():
        _still_there(organization)
        before = Credential.objects.select_for_update().filter(organization=organization).first()
        _check(before, kind, client_id, secret, token_expires_at)
        values: dict[str, Any] = {"kind": kind, "client_id": client_id, "scopes": scopes}
        values["token_expires_at"] = token_expires_at if kind == Credential.Kind.TOKEN else None
        if not secret and before and all(getattr(before, name) == value for name, value in values.items()):
            return False
        after = Credential(organization=organization, **values)
        if secret:
            after.fingerprint = crypto.fingerprint(crypto.Secret(secret))
            after.secret_sealed = connect.seal_secret(crypto.Secret(secret), after, organization)
        _store(actor, before, after)
        TokenCache.objects.filter(organization=organization).delete()
        Sandbox.objects.filter(organization=organization, watched=True).update(due_at=timezone.now())
        record(
            actor=actor,
            action=Action.CREDENTIAL_SET,
            sentence=_sentence(organization, before, after),
            subject=Subject(organization=organization),
            details={"before": _told(before), "after": _told(after), "reason": reason},
        )
    return True


def _still_there(organization: Organization) -> None:
    """Hold the org's row, so that removing it and setting a secret can't cross."""
    # `no_key`: events of others that name the org hold the head of the record, and must not wait for us meanwhile.
    if not Organization.objects.select_for_update(no_key=True).filter(pk=organization.pk, retired_at=None).exists():
        raise NotDone(_("%(org)s was removed from segadmin.") % {"org": organization.name})


@sensitive_variables("secret")
def _check(
    before: Credential | None, kind: Credential.Kind, client_id: str, secret: str, token_expires_at: datetime | None
) -> None:
    problems: dict[str, str] = {}
    has_secret = bool(before and before.secret_sealed)
    is_token = kind == Credential.Kind.TOKEN
    if not client_id:
        problems["client_id"] = _("Write the client id, which Adobe's console also calls API key.")
    if not secret and not has_secret:
        problems["secret"] = _("Paste the access token.") if is_token else _("Write the client secret.")
    elif not secret and before and before.kind != kind:
        problems["secret"] = _("Another kind of credential needs its own secret.")
    elif not secret and before and before.client_id != client_id:
        problems["secret"] = _("Another client id needs its own secret.")
    if is_token and token_expires_at is None:
        problems["token_expires_at"] = _("Write when the token expires; it does not say so itself.")
    elif is_token and token_expires_at and token_expires_at <= timezone.now():
        problems["token_expires_at"] = _("This token has expired already. Paste a newer one.")
    if problems:
        raise NotDone(problems)


def _store(actor: Actor, before: Credential | None, after: Credential) -> None:
    """Write `after` over `before`; a kept secret keeps its seal, age and setter. The same secret again keeps its age."""
    now = timezone.now()
    after.set_at, after.set_by = now, actor.name
    if before is None:
        after.save(force_insert=True)
        return
    if not after.secret_sealed:
        after.uuid, after.secret_sealed, after.fingerprint = before.uuid, before.secret_sealed, before.fingerprint
    if after.fingerprint == before.fingerprint and before.secret_sealed:
        after.set_at, after.set_by = before.set_at, before.set_by
    moved = Credential.objects.filter(pk=before.pk, uuid=before.uuid).update(
        uuid=after.uuid,
        kind=after.kind,
        client_id=after.client_id,
        secret_sealed=after.secret_sealed,
        scopes=after.scopes,
        token_expires_at=after.token_expires_at,
        fingerprint=after.fingerprint,
        set_at=after.set_at,
        set_by=after.set_by,
        last_ok_at=None if after.uuid != before.uuid else before.last_ok_at,
    )
    if moved != 1:
        raise NotDone(_("Somebody else replaced the credential at the same moment. Look at it again."))


def _told(credential: Credential | None) -> dict[str, Any]:
    """What the record may know of a credential."""
    if credential is None or not credential.secret_sealed:
        return {}
    return {
        "kind": credential.kind,
        "client_id": credential.client_id,
        "fingerprint": credential.fingerprint,
        "scopes": credential.scopes,
        "expires_at": credential.token_expires_at.astimezone(UTC).isoformat() if credential.token_expires_at else "",
    }


def _sentence(organization: Organization, before: Credential | None, after: Credential) -> str:
    old = before.fingerprint if before and before.secret_sealed else ""
    if not old:
        return f"set the credential of {organization.name} (secret {after.fingerprint})"
    if old == after.fingerprint:
        return f"changed the credential of {organization.name}; the secret stayed {old}"
    return f"replaced the secret of {organization.name}: {after.fingerprint} instead of {old}"


def forget(*, actor: Actor, organization: Organization, reason: str = "") -> bool:
    """Forget an org's secret and cached token; client id and dates stay as history. False: there was none."""
    with transaction.atomic():
        credential = Credential.objects.select_for_update().filter(organization=organization).first()
        TokenCache.objects.filter(organization=organization).delete()
        if credential is None or not credential.secret_sealed:
            return False
        Credential.objects.filter(pk=credential.pk, uuid=credential.uuid).update(secret_sealed="")
        record(
            actor=actor,
            action=Action.CREDENTIAL_RETIRE,
            sentence=f"made segadmin forget the secret {credential.fingerprint} of {organization.name}",
            subject=Subject(organization=organization),
            details={"before": _told(credential), "after": {}, "reason": reason},
        )
    return True


def test_connection(*, actor: Actor, organization: Organization) -> ConnectionTest:
    """Try every step from the token to each watched sandbox's list, and keep what each said."""
    if organization.retired_at:
        raise NotDone(_("%(org)s was removed from segadmin.") % {"org": organization.name})
    begun = time.monotonic()
    steps = list(connect.probe(organization))
    ok = all(step.ok for step in steps)
    if ok:
        connect.note_success(organization, actor.name)
    failed = [step.name for step in steps if not step.ok]
    told = [
        {
            "name": one.name,
            "ok": one.ok,
            "text": one.text,
            "seconds": round(one.seconds, 2),
            "request_id": one.request_id,
        }
        for one in steps
    ]
    with transaction.atomic():
        test = ConnectionTest.objects.create(
            organization=organization,
            at=timezone.now(),
            by=actor.name,
            ok=ok,
            steps=told,
            seconds=round(time.monotonic() - begun, 2),
        )
        result = "every step works" if ok else f"failed at: {', '.join(failed)}"
        record(
            actor=actor,
            action=Action.CREDENTIAL_TEST,
            outcome=Outcome.SUCCEEDED if ok else Outcome.FAILED,
            sentence=f"tested the connection of {organization.name}: {result}",
            subject=Subject(organization=organization),
            details={"steps": told},
        )
    return test
