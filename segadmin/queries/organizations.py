"""Reads for the pages of orgs: their health, sandboxes, credential, last test, and who may do what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.models import ConnectionTest, Credential, Membership, Organization, Role, Sandbox, TokenCache

# Older secrets are said to be old; Adobe lets two live side by side, so that they can be changed without a gap.
SECRET_MAX_AGE = timedelta(days=90)
TOKEN_WARNING = timedelta(hours=2)
LIST_STEP = "Export list, "


@dataclass(frozen=True)
class State:
    """A state in words: `kind` ok, warn, bad or soft, a word or two, and what qualifies it."""

    kind: str
    word: str
    detail: str = ""


@dataclass(frozen=True)
class SandboxRow:
    """One sandbox in an org's table. `listed`: whether Adobe's last list held it; None while nobody looked."""

    sandbox: Sandbox
    jobs: int
    listed: bool | None
    failing: bool

    @property
    def can_watch(self) -> bool:
        return self.sandbox.adobe_state.lower() in {"", "active"}


@dataclass
class MemberRow:
    """One account that can act in an org, with its roles in words."""

    user_id: int
    username: str
    last_login: datetime | None
    roles: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class OrganizationRow:
    """One org in the list."""

    organization: Organization
    watched: Sequence[Sandbox]
    sandboxes: int
    credential: State
    reading: State
    last_read_at: datetime | None


@dataclass(frozen=True)
class CredentialCard:
    """A credential's state, and what it was granted by Adobe."""

    state: State
    scopes: Sequence[str]


@dataclass(frozen=True)
class TestWords:
    """What the last connection test means."""

    test: ConnectionTest
    failed: Sequence[str]
    readable: Sequence[str]


def _failing(sandbox: Sandbox) -> bool:
    return sandbox.watched and sandbox.failing_since_at is not None


def organization_rows(organizations: QuerySet[Organization]) -> list[OrganizationRow]:
    """The list of orgs, those still there first; five queries however many there are."""
    found = list(organizations)
    keys = [row.pk for row in found]
    sandboxes: dict[int, list[Sandbox]] = {key: [] for key in keys}
    for sandbox in Sandbox.objects.filter(organization__in=keys).order_by("name", "pk"):
        sandboxes[sandbox.organization_id].append(sandbox)
    held = {row.organization_id: row for row in Credential.objects.filter(organization__in=keys)}
    tokens = {row.organization_id: row for row in TokenCache.objects.filter(organization__in=keys)}
    rows = []
    for organization in found:
        of_it = sandboxes[organization.pk]
        watched = [sandbox for sandbox in of_it if sandbox.watched]
        read_at = [sandbox.last_read_at for sandbox in watched if sandbox.last_read_at]
        credential = held.get(organization.pk)
        rows.append(
            OrganizationRow(
                organization=organization,
                watched=watched,
                sandboxes=len(of_it),
                credential=credential_state(organization, credential, tokens.get(organization.pk)),
                reading=reading_state(organization, watched),
                last_read_at=min(read_at, default=None),
            )
        )
    return sorted(rows, key=lambda row: row.organization.retired_at is not None)


def reading_state(organization: Organization, watched: Iterable[Sandbox]) -> State:
    """How the mirror fares with an org."""
    rows = list(watched)
    failing = [row for row in rows if _failing(row)]
    if organization.retired_at:
        return State("soft", _("Removed"), _("its jobs and records stay"))
    if not rows:
        return State("soft", _("Not watched"), _("no sandbox is chosen yet"))
    if failing:
        return State("warn", _("Not read"), ", ".join(row.name for row in failing))
    if all(row.last_read_at is None for row in rows):
        return State("soft", _("Not read yet"))
    return State("ok", _("Read"))


def credential_of(organization: Organization) -> Credential | None:
    return Credential.objects.filter(organization=organization).first()


def credential_state(
    organization: Organization, credential: Credential | None, cached: TokenCache | None = None
) -> State:
    """What is known of a credential without asking Adobe."""
    now = timezone.now()
    if credential is None or not credential.secret_sealed:
        if organization.retired_at:
            return State("soft", _("Forgotten"), _("with the removal of the organization"))
        return State("bad", _("None yet"), _("segadmin can't sign in at Adobe without one"))
    ends = credential.token_expires_at
    if credential.kind == Credential.Kind.TOKEN and ends and ends <= now:
        return State("bad", _("Expired"), _("paste a newer token, or set up OAuth server-to-server"))
    refused = _refusal(credential, cached)
    if refused:
        return State("bad", _("Refused"), refused)
    if credential.kind == Credential.Kind.TOKEN and ends and ends - now < TOKEN_WARNING:
        return State("warn", _("Expires soon"), _("a pasted token can't be renewed by segadmin"))
    age = now - credential.set_at
    if credential.kind == Credential.Kind.OAUTH and age > SECRET_MAX_AGE:
        words = ngettext(
            "the secret has not been changed for %(n)d day; the limit is %(limit)d",
            "the secret has not been changed for %(n)d days; the limit is %(limit)d",
            age.days,
        ) % {"n": age.days, "limit": SECRET_MAX_AGE.days}
        return State("warn", _("Old"), words)
    if credential.last_ok_at is None:
        return State("soft", _("Not used yet"))
    return State("ok", _("Works"))


def _refusal(credential: Credential, cached: TokenCache | None) -> str:
    if cached is None or cached.blocked_until is None or cached.blocked_until <= timezone.now():
        return ""
    kept = cached.blocked_error
    ours = kept.get("credential") == str(credential.uuid) and kept.get("kind") == "AuthFailed"
    return str(kept.get("message", "")) if ours else ""


def card(organization: Organization, credential: Credential | None) -> CredentialCard:
    """What an org's own page says of its credential."""
    cached = TokenCache.objects.filter(organization=organization).first()
    scopes = [scope for scope in credential.scopes.split(",") if scope] if credential else []
    return CredentialCard(credential_state(organization, credential, cached), scopes)


def sandbox_rows(organization: Organization) -> list[SandboxRow]:
    """An org's sandboxes, the watched ones first, each with its number of mirrored jobs."""
    looked = organization.sandboxes_found_at
    rows = organization.sandboxes.annotate(job_count=Count("jobs")).order_by("-watched", "name", "pk")
    return [
        SandboxRow(
            sandbox=row,
            jobs=row.job_count,
            listed=None if looked is None else bool(row.found_at and row.found_at >= looked),
            failing=_failing(row),
        )
        for row in rows
    ]


def paused_until(organization: Organization) -> datetime | None:
    """Until when Adobe asked us to stay away; None when it did not, or no longer."""
    waits = organization.not_before_at
    return waits if waits and waits > timezone.now() else None


def failing(rows: Iterable[SandboxRow]) -> list[Sandbox]:
    """Watched sandboxes whose last read failed, longest first."""
    found = [row.sandbox for row in rows if row.failing]
    return sorted(found, key=lambda row: row.failing_since_at or timezone.now())


def members(organization: Organization) -> list[MemberRow]:
    """Open accounts with a role that holds here now, and how far each role reaches."""
    now = timezone.now()
    rows = (
        Membership.objects.filter(Q(organization=organization) | Q(organization=None), user__is_active=True)
        .filter(Q(ends_at=None) | Q(ends_at__gt=now))
        .select_related("user")
        .order_by("user__username", "user_id", "role", "pk")
    )
    found: dict[int, MemberRow] = {}
    for row in rows:
        user = row.user
        member = found.setdefault(user.pk, MemberRow(user.pk, user.username, user.last_login))
        role = str(Role(row.role).label)
        member.roles.append(role if row.organization_id else _("%(role)s, all organizations") % {"role": role})
    return list(found.values())


def last_test(organization: Organization) -> TestWords | None:
    """The newest connection test, with the names of what failed and of the sandboxes that can be read."""
    test = ConnectionTest.objects.filter(organization=organization).order_by("-at", "-pk").first()
    if test is None:
        return None
    failed = [step["name"] for step in test.steps if not step["ok"]]
    lists = [step["name"] for step in test.steps if step["ok"] and step["name"].startswith(LIST_STEP)]
    return TestWords(test, failed, [name.removeprefix(LIST_STEP) for name in lists])


def by_slug(slug: str) -> Organization | None:
    return Organization.objects.filter(slug=slug).first()


def host_of(url: str) -> str:
    """The host (and port) of an address."""
    return urlsplit(url).netloc
