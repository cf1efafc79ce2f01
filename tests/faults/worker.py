"""Processes that tests start and kill: they use segadmin with its real settings, as its own commands do.

python -m tests.faults.worker prepare EMULATOR_URL | send REQUEST | tokens ORG COUNT | hammer ORG SANDBOX ROUNDS
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from segadmin.audit import Actor
    from segadmin.models import Sandbox

PASSWORD = "correct horse battery staple"
DRAFTS_A_SANDBOX = 2


def prepare(emulator_url: str) -> None:
    """Two orgs, an operator, drafts in every sandbox; prints the drafts as JSON: {"acme/prod": [uuid, …]}."""
    from segadmin.actions import organizations, requests
    from segadmin.audit import Actor
    from segadmin.emulator.server import Emulator
    from segadmin.models import Membership, Role, User
    from tests.upstream import body_for

    emulator = Emulator(jobs=0)
    operator = User.objects.create_user("operator", password=PASSWORD)
    Membership.objects.create(user=operator, role=Role.OPERATOR)
    actor = Actor(kind="person", name="operator", id=str(operator.pk))
    drafts: dict[str, list[str]] = {}
    for tenant in emulator.tenants:
        watched = [item for item in tenant.sandboxes if item.watched]
        organization = organizations.set_up(
            actor=Actor.command("setup"),
            slug=tenant.slug,
            name=tenant.name,
            ims_org_id=tenant.ims_org_id,
            sandboxes={item.name: item.type for item in watched},
            client_id=tenant.client_id,
            secret=tenant.client_secret,
            scopes=tenant.scopes,
            api_url=emulator_url,
            token_url=f"{emulator_url}/ims/token/v3",
        )
        for sandbox in organization.sandboxes.filter(watched=True):
            made = [
                requests.save_draft(
                    actor=actor,
                    author=operator,
                    sandbox=sandbox,
                    typed={},
                    body=body_for(emulator, tenant.slug, sandbox.name, audiences=number),
                    who="audiences",
                    which="these",
                    purpose=f"Reason {number}",
                    recipient="CRM team",
                    ticket="",
                    legal_basis="consent",
                )
                for number in range(1, DRAFTS_A_SANDBOX + 1)
            ]
            drafts[f"{tenant.slug}/{sandbox.name}"] = [str(row.uuid) for row in made]
    print(json.dumps(drafts), flush=True)  # noqa: T201


def send(request_uuid: str) -> None:
    """Send one request and print its state."""
    from segadmin.actions import requests
    from segadmin.audit import Actor
    from segadmin.models import ExportRequest

    row = ExportRequest.objects.select_related("sandbox__organization").get(uuid=request_uuid)
    actor = Actor(kind="person", name=row.author_name, id=str(row.author_id))
    sent = requests.send(actor=actor, export_request=row, version=row.version, confirmed=frozenset())
    print(sent.state, flush=True)  # noqa: T201


def tokens(slug: str, count: int) -> None:
    """Ask for a token in so many processes at once; each prints its token, or the fault."""
    from segadmin import aep, connect
    from segadmin.models import Credential, Organization

    def one(_number: int) -> str:
        organization = Organization.objects.get(slug=slug)
        source = connect._tokens(organization, Credential.objects.get(organization=organization))
        try:
            return source.get()
        except aep.AEPError as error:
            return f"fault: {error.message}"

    _together(one, count)


def hammer(slug: str, sandbox_name: str, rounds: int) -> None:
    """Read, cancel and send in one sandbox, in processes at once; each prints how often it did, or the fault."""
    from segadmin.actions import jobs, limits
    from segadmin.audit import Actor
    from segadmin.models import Job, Sandbox, State

    limits.SENDS_A_MINUTE = 10_000

    def one(number: int) -> str:
        sandbox = Sandbox.objects.select_related("organization").get(organization__slug=slug, name=sandbox_name)
        actor = Actor(kind="person", name=f"worker {number}", id=str(number))
        for turn in range(rounds):
            match number % 3:
                case 0:
                    jobs.read_newest(sandbox, by=actor.name)
                case 1:
                    live = Job.objects.filter(sandbox=sandbox).exclude(state__in=State.final()).order_by("pk")
                    if row := live[turn % 5 : turn % 5 + 1].first():
                        jobs.cancel(actor=actor, job=row, reason="too many")
                case _:
                    _send_again(sandbox, actor)
        return f"did {rounds}"

    _together(one, 6)


def _send_again(sandbox: Sandbox, actor: Actor) -> None:
    """A new request like the oldest of the sandbox."""
    from segadmin.actions import requests
    from segadmin.models import ExportRequest

    like = ExportRequest.objects.filter(sandbox=sandbox).select_related("author").order_by("pk")[0]
    row = requests.save_draft(
        actor=actor,
        author=like.author,
        sandbox=sandbox,
        typed={},
        body=like.body,
        who=like.who,
        which=like.which,
        purpose=like.purpose,
        recipient="",
        ticket="",
        legal_basis="",
    )
    requests.send(actor=actor, export_request=row, version=row.version, confirmed=frozenset())


def _together(work: Callable[[int], str], count: int) -> None:
    from django.db import connections

    connections.close_all()
    if connections["default"].vendor == "postgresql":
        connections["default"].close_pool()  # type: ignore[attr-defined]
    ready, gate = os.pipe(), os.pipe()
    children = [_fork(work, number, ready[1], gate[0]) for number in range(count)]
    for _ in children:
        os.read(ready[0], 1)
    os.write(gate[1], b"." * count)
    for child in children:
        os.waitpid(child, 0)


def _fork(work: Callable[[int], str], number: int, ready: int, gate: int) -> int:
    """A child that says when it is ready, waits for the others, works, and prints one line in one piece."""
    child = os.fork()
    if child == 0:
        os.write(ready, b".")
        os.read(gate, 1)
        try:
            told = work(number)
        except BaseException as error:
            told = f"fault: {type(error).__name__}: {error}".replace("\n", " ")
        os.write(1, f"{told}\n".encode())
        os._exit(0)
    return child


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "segadmin.settings")
    django.setup()
    match sys.argv[1:]:
        case ["prepare", url]:
            prepare(url)
        case ["send", uuid]:
            send(uuid)
        case ["tokens", org, number]:
            tokens(org, int(number))
        case ["hammer", org, sandbox, number]:
            hammer(org, sandbox, int(number))
