"""From rows to Adobe: builds readers and writers. The only place that decrypts a credential, and that can give a writer."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from segadmin import aep, crypto
from segadmin.models import Attempt, Credential, Organization, Sandbox, TokenCache

SECRET_PLACE = "credential.secret"  # noqa: S105 - a name
TOKEN_PLACE = "tokencache.token"  # noqa: S105 - a name
# Adobe's own pauses are cut at an hour: what lies further ahead was written by a wrong clock.
LONGEST_PAUSE = timedelta(hours=2)


def seal_secret(value: crypto.Secret, credential: Credential, organization: Organization) -> str:
    """Sealed to this credential's row and org."""
    return crypto.seal(value, place=SECRET_PLACE, row=credential.uuid, org=organization.uuid)


def _secret_of(credential: Credential, organization: Organization) -> crypto.Secret:
    try:
        return crypto.open_(credential.secret_sealed, place=SECRET_PLACE, row=credential.uuid, org=organization.uuid)
    except crypto.SealBroken as error:
        raise aep.AuthFailed(
            f"The stored secret of {organization.name} can't be opened. An administrator has to set it again."
        ) from error


def check_urls(api_url: str, token_url: str) -> dict[str, str]:
    """Field name -> sentence for addresses that are not allowed here."""
    found = {
        "api_url": aep.validate_url(api_url, settings.UPSTREAM_HOSTS),
        "token_url": aep.validate_url(token_url, settings.UPSTREAM_HOSTS),
    }
    return {name: text for name, text in found.items() if text}


class DatabaseTokenStore:
    """aep.TokenStore over the shared row of an org: a lease by conditional update, so one refresh for all processes."""

    def __init__(self, organization: Organization, credential: Credential) -> None:
        self._organization, self._credential = organization, credential
        self._lease = secrets.token_hex(16)
        TokenCache.objects.get_or_create(organization=organization)

    @property
    def _row(self) -> Any:
        return TokenCache.objects.filter(organization=self._organization)

    def load(self) -> aep.AccessToken | None:
        row = self._row.get()
        if not row.token_sealed or row.credential_uuid != self._credential.uuid or row.expires_at is None:
            return None
        try:
            token = crypto.open_(
                row.token_sealed, place=TOKEN_PLACE, row=self._credential.uuid, org=self._organization.uuid
            )
        except crypto.SealBroken:
            return None  # sealed with a key that is gone: a new token replaces it
        return aep.AccessToken(value=token.reveal(), expires_at=row.expires_at)

    def claim(self, seconds: float) -> bool:
        now = timezone.now()
        free = Q(lease_until=None) | Q(lease_until__lt=now) | Q(lease_until__gt=now + LONGEST_PAUSE)
        until = now + timedelta(seconds=seconds)
        return bool(self._row.filter(free).update(lease_until=until, lease_token=self._lease))

    def save(self, token: aep.AccessToken) -> None:
        sealed = crypto.seal(
            crypto.Secret(token.value), place=TOKEN_PLACE, row=self._credential.uuid, org=self._organization.uuid
        )
        self._row.filter(lease_token=self._lease).update(
            token_sealed=sealed,
            expires_at=token.expires_at,
            credential_uuid=self._credential.uuid,
            lease_until=None,
            lease_token="",
            blocked_until=None,
            blocked_error={},
        )

    def fail(self, retry_at: datetime, error: aep.AEPError) -> None:
        kept = {
            "kind": type(error).__name__,
            "message": error.message,
            "adobe_message": error.adobe_message,
            "adobe_request_id": error.adobe_request_id or "",
            "credential": str(self._credential.uuid),
        }
        self._row.filter(lease_token=self._lease).update(
            lease_until=None, lease_token="", blocked_until=retry_at, blocked_error=kept
        )

    def blocked(self) -> aep.AEPError | None:
        row = self._row.get()
        kept = row.blocked_error
        if not _lies_ahead(row.blocked_until) or not kept:
            return None
        if kept.get("credential") != str(self._credential.uuid):
            return None  # the credential was replaced since
        kind = aep.AuthFailed if kept.get("kind") == "AuthFailed" else aep.Unavailable
        return kind(
            kept.get("message", ""),
            adobe_message=kept.get("adobe_message", ""),
            adobe_request_id=kept.get("adobe_request_id") or None,
            retry_at=row.blocked_until,
        )


def _lies_ahead(moment: datetime | None) -> bool:
    """Whether a pause still lasts; one that a wrong clock set for far ahead is none."""
    now = timezone.now()
    return moment is not None and now < moment <= now + LONGEST_PAUSE


def _tokens(organization: Organization, credential: Credential, store: aep.TokenStore | None = None) -> aep.TokenSource:
    secret = _secret_of(credential, organization)
    if credential.kind == Credential.Kind.TOKEN:
        return aep.PastedToken(secret.reveal(), credential.token_expires_at or timezone.now())
    return aep.ClientCredentials(
        token_url=organization.token_url,
        client_id=credential.client_id,
        client_secret=secret.reveal(),
        scopes=credential.scopes,
        store=store or DatabaseTokenStore(organization, credential),
        proxy=settings.UPSTREAM_PROXY,
        ca_file=settings.UPSTREAM_CA_FILE,
        allowed_hosts=settings.UPSTREAM_HOSTS,
        deadline_seconds=settings.UPSTREAM_DEADLINE_SECONDS,
    )


def _transport(
    organization: Organization, sandbox_name: str | None, store: aep.TokenStore | None = None
) -> aep.Transport:
    if organization.retired_at:
        raise aep.AuthFailed(f"{organization.name} was removed from segadmin, so nothing is sent for it.")
    waits = organization.not_before_at
    if waits and _lies_ahead(waits):
        raise aep.RateLimited(
            f"Adobe asked {organization.name} to pause. The next call is possible at {waits:%H:%M:%S} UTC.",
            retry_at=waits,
        )
    credential = Credential.objects.filter(organization=organization).first()
    if credential is None or not credential.secret_sealed:
        raise aep.AuthFailed(f"{organization.name} has no credential yet. An administrator can set one.")
    connection = aep.Connection(
        api_url=organization.api_url,
        client_id=credential.client_id,
        ims_org_id=organization.ims_org_id,
        sandbox_name=sandbox_name,
        proxy=settings.UPSTREAM_PROXY,
        ca_file=settings.UPSTREAM_CA_FILE,
        deadline_seconds=settings.UPSTREAM_DEADLINE_SECONDS,
        allowed_hosts=settings.UPSTREAM_HOSTS,
    )
    return aep.Transport(connection, _tokens(organization, credential, store))


def reader(sandbox: Sandbox) -> aep.ExportJobsReader:
    """Reads export jobs of one sandbox."""
    return aep.ExportJobsReader(_transport(sandbox.organization, sandbox.name))


def names(sandbox: Sandbox) -> aep.Names:
    """Reads audiences, datasets, merge policies and fields of one sandbox."""
    return aep.Names(_transport(sandbox.organization, sandbox.name))


def sandbox_names(organization: Organization) -> aep.Names:
    """Reads the list of sandboxes, which needs no sandbox header."""
    return aep.Names(_transport(organization, None))


def writer(attempt: Attempt) -> aep.ExportJobsWriter:
    """The only way to an object that can POST or DELETE: an open attempt, whose REQUESTED event is committed."""
    if attempt.pk is None or not Attempt.objects.filter(pk=attempt.pk, state=Attempt.State.OPEN).exists():
        raise PermissionError("A writer needs an open attempt.")
    return aep.ExportJobsWriter(_transport(attempt.sandbox.organization, attempt.sandbox.name))


def note_limits(organization: Organization, error: aep.AEPError) -> None:
    """After a 429: no call to this org before the time Adobe named."""
    if isinstance(error, aep.RateLimited) and error.retry_at and error.retry_at > timezone.now():
        Organization.objects.filter(pk=organization.pk).update(not_before_at=error.retry_at)


def note_success(organization: Organization, by: str) -> None:
    """Remember the last good call and who used the credential."""
    Credential.objects.filter(organization=organization).update(last_ok_at=timezone.now(), last_used_by=by[:150])


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a connection test."""

    name: str
    ok: bool
    text: str
    seconds: float
    request_id: str = ""


def probe(organization: Organization) -> Iterator[Step]:
    """Token, headers, then the export list of each watched sandbox. Stops where going on can tell nothing."""
    credential = Credential.objects.filter(organization=organization).first()
    begun = time.monotonic()

    def step(name: str, ok: bool, text: str, request_id: str | None = "") -> Step:
        return Step(name=name, ok=ok, text=text, seconds=time.monotonic() - begun, request_id=request_id or "")

    if credential is None or not credential.secret_sealed:
        yield step("Access token", False, "No credential is set yet.")
        return
    store = aep.MemoryTokenStore()
    try:
        _tokens(organization, credential, store).get()
    except aep.AEPError as error:
        yield step("Access token", False, _words(error), error.adobe_request_id)
        return
    yield step("Access token", True, "Adobe gave an access token.")
    begun = time.monotonic()
    try:
        found = list(aep.Names(_transport(organization, None, store)).sandboxes())
    except aep.AEPError as error:
        yield step("Headers accepted", False, _words(error), error.adobe_request_id)
    else:
        yield step("Headers accepted", True, f"Client id and organization id match. Sandboxes: {len(found)}.")
    for sandbox in organization.sandboxes.filter(watched=True).order_by("name"):
        begun = time.monotonic()
        try:
            page = aep.ExportJobsReader(_transport(organization, sandbox.name, store)).list(limit=1)
        except aep.AEPError as error:
            yield step(f"Export list, {sandbox.name}", False, _words(error), error.adobe_request_id)
        else:
            text = "Reading works." if page.jobs or page.bad else "Reading works; the list is empty."
            yield step(f"Export list, {sandbox.name}", True, text, page.request_id)


def _words(error: aep.AEPError) -> str:
    said = f" Adobe said: {error.adobe_message}" if error.adobe_message else ""
    return f"{error.message}{said}"
