"""What the demo sets up, all of it by the same actions as everybody else: two orgs, one person per role, a few exports."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from django.core.management import call_command

from segadmin import sync
from segadmin.actions import jobs, organizations, people, requests
from segadmin.aep.types import ExportRequest as RequestBody
from segadmin.audit import Actor
from segadmin.emulator.world import DEMO_TENANTS, Tenant
from segadmin.models import ExportRequest, Name, Organization, Role, Sandbox, User
from segadmin.queries import names

# The name of each person is their role; what they may do, for the lines that the demo prints.
PEOPLE = {
    Role.ADMIN: "sets up organizations, credentials and people; may export, cancel and read the record",
    Role.OPERATOR: "asks for exports and cancels them",
    Role.APPROVER: "sees exports and may cancel them",
    Role.AUDITOR: "reads the record and signs reviews; changes nothing else",
    Role.VIEWER: "sees exports",
}
# Easy to tell apart when read aloud or copied by hand; 16 of 31 characters are 79 bits.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def prepare(emulator_url: str) -> dict[str, str]:
    """Migrate, set up what is missing, read everything once. Gives each person's new password by name."""
    call_command("migrate", interactive=False, verbosity=0)
    actor = Actor.command(by="demo")
    is_new = [_connect(actor, tenant, emulator_url) for tenant in DEMO_TENANTS]
    passwords = {role.value: _password_of(actor, role) for role in PEOPLE}
    sync.once()
    if any(is_new):
        for example in EXAMPLES:
            _send(example)
        sync.once()
    return passwords


def new_password() -> str:
    """Four groups of four letters and digits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def _password_of(actor: Actor, role: Role) -> str:
    """A new password, for a new account or the one of an earlier start; a closed account stays closed."""
    password = new_password()
    person = User.objects.filter(username=role.value).first()
    if person is None:
        grant = people.Grant(role=role, organization=None)
        people.add(actor=actor, username=role.value, password=password, grants=[grant], reason="set up by the demo")
        return password
    if not person.is_active:
        return "(account closed)"
    people.set_password(actor=actor, person=person, password=password, reason="the demo was started again")
    return password


def _connect(actor: Actor, tenant: Tenant, url: str) -> bool:
    """Add the org, or follow the emulator to its new port. True when it was added."""
    token_url = f"{url}/ims/token/v3"
    organization = Organization.objects.filter(slug=tenant.slug).first()
    if organization is None:
        organization = organizations.set_up(
            actor=actor,
            slug=tenant.slug,
            name=tenant.name,
            ims_org_id=tenant.ims_org_id,
            sandboxes={sandbox.name: sandbox.type for sandbox in tenant.sandboxes if sandbox.watched},
            client_id=tenant.client_id,
            secret=tenant.client_secret,
            scopes=tenant.scopes,
            api_url=url,
            token_url=token_url,
            reason="set up by the demo",
        )
        organizations.find_sandboxes(actor=actor, organization=organization)
        return True
    if organization.retired_at is None:
        organizations.change(
            actor=actor,
            organization=organization,
            name=organization.name,
            ims_org_id=organization.ims_org_id,
            api_url=url,
            token_url=token_url,
            reason="the emulator listens on another port",
        )
    return False


@dataclass(frozen=True, kw_only=True)
class Example:
    """An export that the demo's operator asks for at the first start, by the names that the emulator's content has."""

    org: str
    sandbox: str
    audiences: tuple[str, ...]
    fields: tuple[str, ...]
    dataset: str
    purpose: str
    recipient: str
    ticket: str
    legal_basis: str = "Consent"
    cancel_because: str = ""


EXAMPLES = (
    Example(
        org="nordwind",
        sandbox="prod",
        audiences=("Miles about to expire",),
        fields=("personalEmail.address", "person.name.firstName"),
        dataset="Miles partner handover",
        purpose="Reminder before the miles expire at the end of the quarter",
        recipient="miles partner",
        ticket="LOY-311",
        legal_basis="Contract",
    ),
    Example(
        org="acme",
        sandbox="stage",
        audiences=("Nobody",),
        fields=("personalEmail.address",),
        dataset="Test export",
        purpose="See what an empty export looks like to the vendor's import",
        recipient="test account of the mail vendor",
        ticket="CRM-1038",
    ),
    Example(
        org="acme",
        sandbox="prod",
        audiences=("Loyalty gold", "Loyalty platinum"),
        fields=("personalEmail.address", "person.name.firstName", "person.name.lastName", "homeAddress"),
        dataset="Loyalty card partner",
        purpose="New cards for gold and platinum members",
        recipient="card partner",
        ticket="LOY-298",
        legal_basis="Contract",
        cancel_because="Wrong fields: the home address was not agreed with the partner",
    ),
    Example(
        org="acme",
        sandbox="prod",
        audiences=("Lapsed buyers",),
        fields=("personalEmail.address", "person.name.firstName", "person.name.lastName"),
        dataset="Mail vendor handover",
        purpose="Win-back mail of the autumn campaign",
        recipient="mail vendor",
        ticket="CRM-1042",
    ),
)


def _send(example: Example) -> None:
    """Draft, review and send as the pages do; a dataset or audience that the mirror could not read skips the example."""
    sandbox = Sandbox.objects.select_related("organization").get(organization__slug=example.org, name=example.sandbox)
    audiences = [names.resolve(sandbox, Name.Kind.AUDIENCE, name) for name in example.audiences]
    dataset = names.resolve(sandbox, Name.Kind.DATASET, example.dataset)
    if dataset is None or any(audience is None for audience in audiences):
        return
    typed = dict(_typed(example, dataset, [audience for audience in audiences if audience]))
    actor = Actor.command(by="operator")
    draft = _draft(actor, sandbox, example, typed)
    sent = requests.send(actor=actor, export_request=draft, version=draft.version, confirmed=frozenset())
    if sent.job is not None and example.cancel_because:
        jobs.cancel(actor=actor, job=sent.job, reason=example.cancel_because)


def _typed(example: Example, dataset: Name, audiences: list[Name]) -> Iterator[tuple[str, list[str]]]:
    """The form as if filled in by hand."""
    yield "who", ["audiences"]
    yield "which", ["these"]
    yield "destination__datasetId", [dataset.external_id]
    yield "schema__name", ["_xdm.context.profile"]
    yield "fields", list(example.fields)
    for number, audience in enumerate(audiences):
        yield f"filter__segments-{number}-segmentId", [audience.external_id]
        yield f"filter__segments-{number}-segmentNs", ["ups"]
    for name in ("purpose", "recipient", "ticket", "legal_basis"):
        yield name, [getattr(example, name)]


def _draft(actor: Actor, sandbox: Sandbox, example: Example, typed: dict[str, list[str]]) -> ExportRequest:
    segments = [value for name, (value, *_rest) in typed.items() if name.endswith("-segmentId")]
    body = RequestBody.from_body(
        {
            "fields": ",".join(example.fields),
            "filter": {"segments": [{"segmentId": segment, "segmentNs": "ups"} for segment in segments]},
            "destination": {"datasetId": typed["destination__datasetId"][0]},
            "schema": {"name": "_xdm.context.profile"},
        }
    ).body()
    return requests.save_draft(
        actor=actor,
        author=User.objects.get(username=Role.OPERATOR.value),
        sandbox=sandbox,
        typed=typed,
        body=body,
        who="audiences",
        which="these",
        purpose=example.purpose,
        recipient=example.recipient,
        ticket=example.ticket,
        legal_basis=example.legal_basis,
    )
