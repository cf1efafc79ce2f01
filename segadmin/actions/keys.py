"""Sealing every stored secret anew, after a new encryption key was put first."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from segadmin import connect, crypto
from segadmin.audit import Actor, record
from segadmin.models import Action, Credential, Outcome, TokenCache
from segadmin.queries.keys import sealed_texts


@dataclass
class Rotation:
    """What a rotation did. `before`: key id -> secrets that it sealed; `broken`: whose secret no key of ours opens."""

    first: str
    before: Counter[str] = field(default_factory=Counter)
    resealed: int = 0
    dropped_tokens: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def already(self) -> int:
        return self.before[self.first]

    def reseal(self, sealed: str, place: str, row: UUID | str | None, org: UUID | str) -> str | None:
        """The text to store instead: the same one where the first key sealed it, None where no key opens it."""
        self.before[crypto.key_id_of(sealed)] += 1
        if crypto.key_id_of(sealed) == self.first:
            return sealed
        try:
            fresh = crypto.reseal(sealed, place=place, row=row, org=org)
        except crypto.SealBroken:
            return None
        self.resealed += 1
        return fresh


def rotate_keys(*, actor: Actor, reason: str = "") -> Rotation:
    """Seal every stored secret with the first encryption key. All in one transaction: killed half-way, nothing moved."""
    done = Rotation(next(iter(settings.ENCRYPTION_KEYS)))
    with transaction.atomic():
        _credentials(done)
        _tokens(done)
        _second_factors(done)
        if done.resealed or done.dropped_tokens or done.broken:
            broken = f"; {len(done.broken)} could not be opened" if done.broken else ""
            record(
                actor=actor,
                action=Action.KEYS_ROTATED,
                outcome=Outcome.FAILED if done.broken else Outcome.SUCCEEDED,
                sentence=f"sealed {done.resealed} secrets with the encryption key {done.first}{broken}",
                details={"key": done.first, "before": dict(done.before), "not_opened": done.broken, "reason": reason},
            )
    return done


def _credentials(done: Rotation) -> None:
    rows = Credential.objects.select_for_update(of=("self",)).exclude(secret_sealed="")
    for row in rows.select_related("organization").order_by("pk"):
        fresh = done.reseal(row.secret_sealed, connect.SECRET_PLACE, row.uuid, row.organization.uuid)
        if fresh is None:
            done.broken.append(f"the credential of {row.organization.slug}")
        elif fresh != row.secret_sealed:
            Credential.objects.filter(pk=row.pk, secret_sealed=row.secret_sealed).update(secret_sealed=fresh)


def _tokens(done: Rotation) -> None:
    rows = TokenCache.objects.select_for_update(of=("self",)).exclude(token_sealed="")
    for row in rows.select_related("organization").order_by("pk"):
        fresh = done.reseal(row.token_sealed, connect.TOKEN_PLACE, row.credential_uuid, row.organization.uuid)
        done.dropped_tokens += fresh is None  # a new token takes its place
        if fresh != row.token_sealed:
            TokenCache.objects.filter(pk=row.pk, token_sealed=row.token_sealed).update(token_sealed=fresh or "")


def _second_factors(done: Rotation) -> None:
    """The secrets of authenticator apps and recovery codes, which stand somewhere in allauth's JSON."""
    for row in Authenticator.objects.select_for_update(of=("self",)).select_related("user").order_by("pk"):
        broken = len(done.broken)
        fresh = _resealed(done, row.data, f"the second factor of {row.user.get_username()}")
        if fresh != row.data and len(done.broken) == broken:
            Authenticator.objects.filter(pk=row.pk).update(data=fresh)


def _resealed(done: Rotation, value: Any, whose: str) -> Any:
    """`value` with every sealed text in it sealed anew; other texts as they are."""
    if isinstance(value, dict):
        return {key: _resealed(done, item, whose) for key, item in value.items()}
    if isinstance(value, list):
        return [_resealed(done, item, whose) for item in value]
    if not isinstance(value, str) or not value.startswith("v1.") or not crypto.key_id_of(value):
        return value
    fresh = done.reseal(value, crypto.SECOND_FACTOR, "", "")
    if fresh is None:
        done.broken.append(whose)
        return value
    return fresh


def broken_secrets() -> list[str]:
    """Whose stored secret no key of ours opens; cached tokens don't count, since a new one takes their place."""
    rows = Credential.objects.exclude(secret_sealed="").select_related("organization").order_by("pk")
    found = [
        f"the credential of {row.organization.slug}"
        for row in rows
        if not crypto.opens(row.secret_sealed, place=connect.SECRET_PLACE, row=row.uuid, org=row.organization.uuid)
    ]
    for factor in Authenticator.objects.select_related("user").order_by("pk"):
        texts = sealed_texts(factor.data)
        if not all(crypto.opens(text, place=crypto.SECOND_FACTOR, row="", org="") for text in texts):
            found.append(f"the second factor of {factor.user.get_username()}")
    return found
