"""Every public action leaves its events, and changes nothing when they can't be written.

A new function in segadmin/actions needs a case here, or a reason why it needs none.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from segadmin import actions, aep, audit, environment
from segadmin.actions import (
    batches,
    completeness,
    credentials,
    deliveries,
    evidence,
    explanations,
    files,
    findings,
    holds,
    jobs,
    keys,
    mirror,
    organizations,
    people,
    personal_data,
    proof,
    requests,
    retention,
    reviews,
    settlement,
    stream,
    unusual,
)
from segadmin.actions import register as registers
from segadmin.actions import views as saved
from segadmin.audit import Actor, record
from segadmin.emulator.server import Emulator
from segadmin.models import (
    Action,
    Attempt,
    Credential,
    EventContent,
    Explanation,
    ExportRequest,
    FileReceipt,
    Finding,
    Job,
    Membership,
    Organization,
    Origin,
    RegisterEntry,
    Role,
    Sandbox,
    SavedView,
    UnusualMail,
    User,
)
from segadmin.queries import audit as audit_queries
from segadmin.queries import unusual as unusual_queries
from tests import database_state
from tests.conftest import make_person
from tests.test_architecture import WRITES
from tests.upstream import Clock, body_for

pytestmark = pytest.mark.django_db

PERSON = Actor(kind="person", name="operator", id="1", roles=("operator",), address="10.0.0.1", correlation_id="r-1")
SECOND = Actor(kind="person", name="second", id="2", roles=("approver",))
SYSTEM = Actor.system().name
NEW_PASSWORD = "a quite different passphrase"
# Remembered by reading Adobe; no part of what an action decides.
BOOKKEEPING = {
    "due_at",
    "failing_since_at",
    "failures",
    "fields_read_at",
    "last_error",
    "last_error_at",
    "last_login",
    "last_ok_at",
    "last_read_at",
    "last_seen_at",
    "last_sweep_at",
    "last_used_by",
    "names_read_at",
    "next_look_at",
    "not_before_at",
    "sandboxes_due_at",
    # A mail's claim: which process tries it.
    "tried_at",
}

# Modules that only compute: nothing in them writes to the database, and a test sees to that.
COMPUTES_ONLY = {"judging", "projection", "storable"}
# Public functions that leave no event, and why that is right.
WITHOUT_EVENT = {
    "batches.give_up": "bookkeeping of the mirror: nothing more is asked for",
    "batches.look_later": "bookkeeping of the mirror: when to ask next",
    "backups.make": "leaves its event, on databases of its own: tests/commands/test_backup.py",
    "backups.restore": "leaves its events, on databases of its own: tests/commands/test_backup.py",
    "backups.inspect": "reads",
    "keys.broken_secrets": "reads",
    "retention.expire_daily": "claims the day; what goes, goes by expire() with its event",
    "jobs.note_unread": "bookkeeping of the mirror, shown as a notice",
    "mail.message_id": "computes",
    "mail.send_mail": "sends; whoever calls records that it went",
    "limits.spend": "a counter in the shared cache",
    "mirror.audience_title": "reads",
    "mirror.come_back": "corrects times of a clock that was set back; the gap itself is on record",
    "mirror.hold": "locks",
    "mirror.mark_aged_out": "marks finished history that Adobe no longer shows; nothing happened to it",
    "mirror.shown_state": "reads",
    "mirror.state_of": "reads",
    "mirror.take_in_bad": "keeps what could not be read, counted and shown",
    "mirror.values_of": "reads",
    "names.index": "search words",
    "names.reindex": "search words",
    "names.request_words": "reads",
    "names.search_words": "reads",
    "names.take_in_names": "a cache of Adobe's names",
    "register_terms.call": "search words",
    "register_terms.forget": "search words",
    "register_terms.renamed": "search words",
    "register_terms.rebuild": "search words",
    "register_terms.write": "search words, written with the row that they are of",
    "people.choose_zone": "a person's own display setting",
    "people.choose_keys": "a person's own setting of the keyboard",
    "register.build_after_migrate": "rows of the register that can be built again from what is on record",
    "register.may_be_amended": "reads",
    "register.rebuild": "rows of the register that can be built again from what is on record",
    "register.refresh": "runs inside the event of what changed",
    "proof.installation": "reads",
    "proof.witnesses": "reads",
    "requests.answer_of": "reads",
    "requests.discard": "drafts are private to their author",
    "requests.expire_drafts": "drafts are private to their author",
    "requests.names_of": "reads",
    "requests.needed_confirmations": "reads",
    "requests.save_draft": "drafts are private to their author",
    "requests.why_not": "reads",
    "reviews.counts_of": "reads",
    "reviews.digest_of": "reads",
    "settlement.candidates": "reads",
    "settlement.has_open_twin": "reads",
    "settlement.link_job": "runs inside the event of adopt() or send()",
    "unusual.address_of": "reads",
    "unusual.mail_of": "reads",
}


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    """A day of reading is summed up at midnight, so what a case leaves must not hang on the hour."""
    with time_machine.travel(datetime.now(UTC).replace(hour=12), tick=True):
        yield


@dataclass
class World:
    """An org connected to an emulated Adobe, and what a case may need of it."""

    emulator: Emulator
    clock: Clock
    settings: Settings
    organization: Organization
    sandbox: Sandbox
    author: User

    def draft(self) -> ExportRequest:
        return requests.save_draft(
            actor=PERSON,
            author=self.author,
            sandbox=self.sandbox,
            typed={},
            body=body_for(self.emulator),
            who="audiences",
            which="these",
            purpose="Win-back letter",
            recipient="CRM team",
            ticket="MK-311",
            legal_basis="consent",
        )

    def send(self, draft: ExportRequest) -> ExportRequest:
        return requests.send(actor=PERSON, export_request=draft, version=draft.version, confirmed=frozenset())

    def job(self) -> Job:
        """Sent from here, seen a while ago, so that it is really read again."""
        job: Job = self.send(self.draft()).job
        Job.objects.filter(pk=job.pk).update(last_seen_at=timezone.now() - timedelta(minutes=1))
        return Job.objects.select_related("sandbox__organization", "export_request").get(pk=job.pk)

    def outside(self) -> aep.ExportJob:
        """A job made at Adobe by somebody else."""
        return aep.ExportJob.parse(self.emulator.add_job("acme", "prod", body_for(self.emulator)))

    def unread(self) -> None:
        """Nobody has read the list lately, so an explicit check does."""
        Sandbox.objects.update(last_read_at=timezone.now() - timedelta(minutes=1))
        self.sandbox.refresh_from_db()

    def lost(self, *, made: bool) -> tuple[Attempt, ExportRequest]:
        """A create whose answer was lost; `made`: Adobe did make the job."""
        draft = self.draft()
        self.emulator.faults.set(endpoint="jobs.create", reset=True, after=made)
        self.send(draft)
        self.emulator.faults.clear()
        attempt = Attempt.objects.select_related("sandbox__organization", "export_request").get(export_request=draft)
        return attempt, ExportRequest.objects.get(pk=draft.pk)

    def finding(self) -> Finding:
        """A job from outside, found."""
        mirror.take_in(self.sandbox, [self.outside()], read_at=timezone.now())
        findings.look(self.sandbox)
        return Finding.objects.select_related("sandbox__organization", "organization", "job").get()

    def explained(self) -> Finding:
        """Explained by somebody else than the case's person."""
        finding = self.finding()
        findings.explain(actor=SECOND, finding=finding, note="a test")
        finding.refresh_from_db()
        return finding

    def stand(self, finding: Finding, actor: Actor) -> Explanation:
        """A standing explanation for jobs like the finding's."""
        return explanations.set_explanation(
            actor=actor,
            finding=finding,
            owner="Mail vendor",
            reason="Their daily schedule",
            valid_until_at=timezone.now() + timedelta(days=90),
        )

    def guest(self, role: Role = Role.VIEWER) -> User:
        return make_person("guest", role, organization=self.organization)


@pytest.fixture
def world(emulator: Emulator, adobe_clock: Clock, settings: Settings, live_prod: Sandbox) -> World:
    author = make_person("operator", Role.OPERATOR, organization=live_prod.organization)
    return World(emulator, adobe_clock, settings, live_prod.organization, live_prod, author)


type Run = Callable[[], object]
type Preparation = Callable[[World], Run]


@dataclass
class Case:
    """One way to call one action. `prepare` sets the scene and gives the call; `events` are "action:outcome"."""

    function: str
    prepare: Preparation
    events: tuple[str, ...]
    actor: str = PERSON.name


CASES: list[Case] = []


def case(function: str, *events: str, actor: str = PERSON.name) -> Callable[[Preparation], Preparation]:
    def register(prepare: Preparation) -> Preparation:
        CASES.append(Case(function, prepare, events, actor))
        return prepare

    return register


# -- orgs and credentials ---------------------------------------------------------------------------------------------


@case("organizations.add", "organization.add:succeeded")
def add_organization(world: World) -> Run:
    return lambda: organizations.add(
        actor=PERSON,
        slug="new",
        name="New",
        ims_org_id="AA11@AdobeOrg",
        api_url=world.emulator.url,
        token_url=f"{world.emulator.url}/ims/token/v3",
    )


@case(
    "organizations.set_up",
    "organization.add:succeeded",
    "credential.set:succeeded",
    "sandbox.change:succeeded",
    "sandbox.change:succeeded",
)
def set_up_organization(world: World) -> Run:
    return lambda: organizations.set_up(
        actor=PERSON,
        slug="new",
        name="New",
        ims_org_id="AA11@AdobeOrg",
        sandboxes={"prod": "production", "stage": ""},
        client_id="client",
        secret="a-secret-of-the-new-org",
        scopes="openid",
        api_url=world.emulator.url,
        token_url=f"{world.emulator.url}/ims/token/v3",
    )


@case("organizations.change", "organization.change:succeeded")
def change_organization(world: World) -> Run:
    org = world.organization
    return lambda: organizations.change(
        actor=PERSON,
        organization=org,
        name="Acme Group",
        ims_org_id=org.ims_org_id,
        api_url=org.api_url,
        token_url=org.token_url,
    )


@case("organizations.retire", "credential.retire:succeeded", "organization.retire:succeeded")
def retire_organization(world: World) -> Run:
    return lambda: organizations.retire(actor=PERSON, organization=world.organization)


@case("organizations.find_sandboxes", "sandbox.found:succeeded")
def find_sandboxes(world: World) -> Run:
    return lambda: organizations.find_sandboxes(actor=PERSON, organization=world.organization)


@case("organizations.change_sandbox", "sandbox.change:succeeded")
def make_sandbox_read_only(world: World) -> Run:
    return lambda: organizations.change_sandbox(
        actor=PERSON, sandbox=world.sandbox, watched=True, exports_allowed=False
    )


@case("credentials.set_credential", "credential.set:succeeded")
def set_credential(world: World) -> Run:
    return lambda: credentials.set_credential(
        actor=PERSON,
        organization=world.organization,
        kind=Credential.Kind.OAUTH,
        client_id="another-client",
        secret="another-secret",
    )


@case("credentials.forget", "credential.retire:succeeded")
def forget_credential(world: World) -> Run:
    return lambda: credentials.forget(actor=PERSON, organization=world.organization)


@case("credentials.test_connection", "credential.test:succeeded")
def connection_that_works(world: World) -> Run:
    return lambda: credentials.test_connection(actor=PERSON, organization=world.organization)


@case("credentials.test_connection", "credential.test:failed")
def connection_that_fails(world: World) -> Run:
    world.emulator.faults.set(endpoint="token", status=401)
    return lambda: credentials.test_connection(actor=PERSON, organization=world.organization)


@case("keys.rotate_keys", "keys.rotated:succeeded")
def rotate_keys(world: World) -> Run:
    world.settings.ENCRYPTION_KEYS = {"fresh": b"f" * 32, **world.settings.ENCRYPTION_KEYS}
    return lambda: keys.rotate_keys(actor=PERSON)


# -- people -----------------------------------------------------------------------------------------------------------


@case("people.add", "person.add:succeeded", "role.give:succeeded")
def add_person(world: World) -> Run:
    grant = people.Grant(role=Role.VIEWER, organization=world.organization)
    return lambda: people.add(actor=PERSON, username="new.person", password=NEW_PASSWORD, grants=[grant])


@case("people.give_role", "role.give:succeeded")
def give_role(world: World) -> Run:
    guest = world.guest()
    grant = people.Grant(role=Role.AUDITOR, organization=world.organization)
    return lambda: people.give_role(actor=PERSON, person=guest, grant=grant)


@case("people.give_roles", "role.give:succeeded", "role.give:succeeded")
def give_roles(world: World) -> Run:
    guest = world.guest()
    grants = [people.Grant(role=role, organization=world.organization) for role in (Role.AUDITOR, Role.APPROVER)]
    return lambda: people.give_roles(actor=PERSON, person=guest, grants=grants)


@case("people.take_role", "role.take:succeeded")
def take_role(world: World) -> Run:
    guest = world.guest()
    membership = Membership.objects.select_related("organization").get(user=guest)
    return lambda: people.take_role(actor=PERSON, person=guest, membership=membership)


@case("people.close", "person.close:succeeded")
def close_account(world: World) -> Run:
    guest = world.guest()
    return lambda: people.close(actor=PERSON, person=guest)


@case("people.reopen", "person.reopen:succeeded")
def reopen_account(world: World) -> Run:
    guest = world.guest()
    people.close(actor=PERSON, person=guest)
    return lambda: people.reopen(actor=PERSON, person=guest)


@case("people.set_password", "password.set:succeeded")
def set_password(world: World) -> Run:
    guest = world.guest()
    return lambda: people.set_password(actor=PERSON, person=guest, password=NEW_PASSWORD)


# -- requests and their settlement ------------------------------------------------------------------------------------


@case("requests.send", "export.create:requested", "export.create:succeeded")
def send_export(world: World) -> Run:
    draft = world.draft()
    return lambda: world.send(draft)


@case("requests.send", "export.create:requested", "export.create:failed")
def send_export_that_is_refused(world: World) -> Run:
    draft = world.draft()
    world.emulator.faults.set(endpoint="jobs.create", status=400, shape="problem")
    return lambda: world.send(draft)


@case("requests.send", "export.create:requested", "export.create:unknown")
def send_export_whose_answer_is_lost(world: World) -> Run:
    draft = world.draft()
    world.emulator.faults.set(endpoint="jobs.create", reset=True, after=True)
    return lambda: world.send(draft)


@case("requests.settle", "export.settle:failed")
def say_that_none_is_ours(world: World) -> Run:
    _attempt, wish = world.lost(made=False)
    return lambda: requests.settle(actor=PERSON, export_request=wish, job=None)


@case("requests.settle", "export.settle:succeeded")
def say_which_is_ours(world: World) -> Run:
    _attempt, wish = world.lost(made=True)
    seen = aep.ExportJob.parse(world.emulator.jobs_of("acme", "prod")[0])
    mirror.take_in(world.sandbox, [seen], read_at=timezone.now())
    job = Job.objects.get(job_id=seen.id)
    return lambda: requests.settle(actor=PERSON, export_request=wish, job=job)


@case("settlement.adopt", "export.settle:succeeded", actor=SYSTEM)
def adopt_a_lost_export(world: World) -> Run:
    attempt, _wish = world.lost(made=True)
    seen = aep.ExportJob.parse(world.emulator.jobs_of("acme", "prod")[0])
    mirror.take_in(world.sandbox, [seen], read_at=timezone.now())
    job = Job.objects.get(job_id=seen.id)
    return lambda: settlement.adopt(attempt, job, actor=Actor.system())


@case("settlement.release", "export.settle:failed", actor=SYSTEM)
def release_a_lost_export(world: World) -> Run:
    attempt, _wish = world.lost(made=False)
    return lambda: settlement.release(attempt, actor=Actor.system())


@case("settlement.settle_all", "export.settle:failed", actor=SYSTEM)
def settle_after_the_window(world: World) -> Run:
    world.lost(made=False)
    later = timezone.now() + timedelta(days=1)
    return lambda: settlement.settle_all(world.sandbox, read_at=later)


@case("settlement.settle_all", "export.settle:unknown", actor=SYSTEM)
def several_may_be_the_lost_one(world: World) -> Run:
    world.lost(made=True)
    world.outside()
    seen = [aep.ExportJob.parse(raw) for raw in world.emulator.jobs_of("acme", "prod")]
    mirror.take_in(world.sandbox, seen, read_at=timezone.now())
    return lambda: settlement.settle_all(world.sandbox, read_at=timezone.now())


@case("settlement.close_stale", "export.create:unknown", actor=SYSTEM)
def nobody_closed_the_attempt(world: World) -> Run:
    draft = world.draft()
    attempt = audit.attempt(
        actor=PERSON, kind=Attempt.Kind.CREATE, sandbox=world.sandbox, sentence="asked", export_request=draft
    )
    assert attempt is not None
    Attempt.objects.filter(pk=attempt.pk).update(deadline_at=timezone.now() - timedelta(days=1))
    return settlement.close_stale


# -- the register -----------------------------------------------------------------------------------------------------


@case("register.amend", "register.amended:succeeded")
def correct_a_recipient(world: World) -> Run:
    entry = RegisterEntry.objects.get(job=world.job())
    values = {"recipient": "Print house"}
    return lambda: registers.amend(actor=PERSON, entry=entry, values=values, why="typed wrong", version=0)


@case("personal_data.set_map", "personal_data.map:succeeded")
def set_a_map_for_the_past_too(world: World) -> Run:
    world.job()
    entries = [{"pattern": "identityMap", "category": "phone", "kind": "field", "possible": False}]
    return lambda: personal_data.set_map(
        actor=PERSON, organization=world.organization, entries=entries, retroactive=True, version=0
    )


# -- jobs and the mirror ----------------------------------------------------------------------------------------------


@case("jobs.cancel", "export.cancel:requested", "export.cancel:succeeded")
def cancel_job(world: World) -> Run:
    job = world.job()
    return lambda: jobs.cancel(actor=PERSON, job=job, reason="wrong dataset")


@case("jobs.cancel", "export.cancel:requested", "export.cancel:failed")
def cancel_that_is_refused(world: World) -> Run:
    job = world.job()
    world.emulator.faults.set(endpoint="jobs.delete", status=409, shape="problem")
    return lambda: jobs.cancel(actor=PERSON, job=job, reason="wrong dataset")


@case("jobs.cancel", "export.cancel:requested", "export.cancel:unknown")
def cancel_whose_answer_is_lost(world: World) -> Run:
    job = world.job()
    world.emulator.faults.set(endpoint="jobs.delete", reset=True)
    return lambda: jobs.cancel(actor=PERSON, job=job, reason="wrong dataset")


@case("jobs.check", "job.changed:succeeded", actor=SYSTEM)
def check_a_job_that_has_ended(world: World) -> Run:
    job = world.job()
    world.clock.advance(3600)
    return lambda: jobs.check(actor=PERSON, job=job)


@case("jobs.check", "job.missing:succeeded", actor=SYSTEM)
def check_a_job_that_is_gone(world: World) -> Run:
    job = world.job()
    world.emulator.faults.set(endpoint="jobs.get", status=404)
    return lambda: jobs.check(actor=PERSON, job=job)


@case("jobs.check_sandboxes", "job.seen:succeeded", actor=SYSTEM)
def check_a_list(world: World) -> Run:
    world.outside()
    world.unread()
    return lambda: jobs.check_sandboxes(actor=PERSON, sandboxes=[world.sandbox])


@case("jobs.read_newest", "job.seen:succeeded", actor=SYSTEM)
def read_the_newest(world: World) -> Run:
    world.outside()
    world.unread()
    return lambda: jobs.read_newest(world.sandbox, by=PERSON.name)


@case("jobs.ask_adobe", "job.seen:succeeded", actor=SYSTEM)
def ask_for_an_unknown_job(world: World) -> Run:
    seen = world.outside()
    return lambda: jobs.ask_adobe(actor=PERSON, sandbox=world.sandbox, job_id=seen.id)


@case("jobs.batch_checked", "batch.checked:succeeded")
def check_a_batch(world: World) -> Run:
    job = world.job()
    Job.objects.filter(pk=job.pk).update(batch_ids=["batch-1"])
    job.refresh_from_db()
    return lambda: jobs.batch_checked(actor=PERSON, job=job, batch_id="batch-1", note="removed")


@case("mirror.take_in", "job.seen:succeeded", actor=SYSTEM)
def take_in_a_job_from_outside(world: World) -> Run:
    seen = world.outside()
    return lambda: mirror.take_in(world.sandbox, [seen], read_at=timezone.now())


@case("mirror.take_in", "job.returned:succeeded", actor=SYSTEM)
def take_in_a_job_that_came_back(world: World) -> Run:
    job = world.job()
    mirror.mark_missing(world.sandbox, job, read_at=timezone.now())
    seen = aep.ExportJob.parse(world.emulator.jobs_of("acme", "prod")[0])
    return lambda: mirror.take_in(world.sandbox, [seen], read_at=timezone.now())


@case("mirror.mark_missing", "job.missing:succeeded", actor=SYSTEM)
def a_job_is_no_longer_listed(world: World) -> Run:
    job = world.job()
    return lambda: mirror.mark_missing(world.sandbox, job, read_at=timezone.now())


@case("mirror.record_first_sight", "job.seen:succeeded", actor=SYSTEM)
def a_job_turns_out_to_be_from_outside(world: World) -> Run:
    job = world.job()
    job.origin = Origin.OUTSIDE

    def tell() -> None:
        with transaction.atomic():
            mirror.record_first_sight(world.sandbox, job)

    return tell


# -- files that leave -------------------------------------------------------------------------------------------------


def order(world: World, kind: FileReceipt.Kind = FileReceipt.Kind.CSV) -> files.Order:
    return files.Order(what="audit", kind=kind, organizations=[world.organization], whole=False)


@case("files.begin", "record.exported:requested", "record.checkpoint:succeeded")
def ask_for_a_file(world: World) -> Run:
    return lambda: files.begin(actor=PERSON, order=order(world))


@case("files.finish", "record.exported:succeeded")
def a_file_comes_to_its_end(world: World) -> Run:
    receipt = files.begin(actor=PERSON, order=order(world))
    sent = files.Sent(rows=3, size=300, sha256="a" * 64)
    return lambda: files.finish(actor=PERSON, receipt=receipt, subject=order(world).subject, sent=sent)


@case("files.break_off", "record.exported:failed")
def a_file_breaks_off(world: World) -> Run:
    receipt = files.begin(actor=PERSON, order=order(world))
    return lambda: files.break_off(actor=PERSON, receipt=receipt, subject=order(world).subject, rows=1, size=100)


@case("files.give_up", "record.exported:unknown", actor=SYSTEM)
def a_file_whose_end_nobody_tells(world: World) -> Run:
    with time_machine.travel(timezone.now() - timedelta(hours=2)):
        files.begin(actor=PERSON, order=order(world))
    return lambda: files.give_up(actor=Actor.system())


@case("evidence.make", "record.exported:requested", "record.checkpoint:succeeded", "record.exported:succeeded")
def make_an_evidence_pack(world: World) -> Run:
    world.send(world.draft())
    scope = audit_queries.Scope([world.organization])
    pack = order(world, FileReceipt.Kind.EVIDENCE)

    def make() -> None:
        made = evidence.make(actor=PERSON, order=pack, scope=scope, filters=audit_queries.Filters())
        made.file.close()

    return make


# -- searches that are kept ------------------------------------------------------------------------------------------


def share_view(world: World) -> SavedView:
    return saved.keep(
        actor=PERSON,
        owner=world.author,
        page="audit",
        name="Refusals",
        query="outcome:refused",
        shared=True,
        organization=world.organization,
    )


@case("views.keep", "view.saved:succeeded")
def share_a_view(world: World) -> Run:
    return lambda: share_view(world)


@case("views.remove", "view.saved:succeeded")
def remove_a_shared_view(world: World) -> Run:
    view = share_view(world)
    return lambda: saved.remove(actor=PERSON, view=view)


@case("views.note_viewed", "record.viewed:succeeded")
def look_through_the_record(world: World) -> Run:
    return lambda: saved.note_viewed(actor=PERSON, organization=world.organization)


# -- completeness and findings ----------------------------------------------------------------------------------------


@case("completeness.note_read", "sweep.summary:succeeded", actor=SYSTEM)
def read_a_list_to_its_end(world: World) -> Run:
    return lambda: completeness.note_read(world.sandbox, read_at=timezone.now(), listed=3)


@case("completeness.note_read", "sweep.unread:succeeded", actor=SYSTEM)
def read_a_list_again_after_a_while(world: World) -> Run:
    completeness.note_read(world.sandbox, read_at=timezone.now())
    return lambda: completeness.note_read(world.sandbox, read_at=timezone.now() + timedelta(hours=1))


@case("completeness.note_unwatched", "sweep.summary:succeeded", actor=SYSTEM)
def stop_watching(world: World) -> Run:
    completeness.note_read(world.sandbox, read_at=timezone.now())
    return lambda: completeness.note_unwatched(world.sandbox, at=timezone.now())


@case("completeness.note_watched", "sweep.unread:succeeded", actor=SYSTEM)
def watch_again(world: World) -> Run:
    completeness.note_unwatched(world.sandbox, at=timezone.now())
    return lambda: completeness.note_watched(world.sandbox, at=timezone.now() + timedelta(hours=1))


@case("findings.look", "finding.opened:succeeded", actor=SYSTEM)
def look_for_findings(world: World) -> Run:
    mirror.take_in(world.sandbox, [world.outside()], read_at=timezone.now())
    return lambda: findings.look(world.sandbox)


@case("findings.explain", "finding.explained:succeeded")
def explain_a_finding(world: World) -> Run:
    finding = world.finding()
    return lambda: findings.explain(actor=PERSON, finding=finding, note="the vendor's own run")


@case("findings.close", "finding.closed:succeeded")
def close_a_finding(world: World) -> Run:
    finding = world.explained()
    return lambda: findings.close(actor=PERSON, finding=finding, note="asked the vendor")


@case("findings.send_back", "finding.opened:succeeded")
def open_a_finding_again(world: World) -> Run:
    finding = world.explained()
    return lambda: findings.send_back(actor=PERSON, finding=finding, note="whose run?")


@case("explanations.set_explanation", "explanation.set:succeeded")
def set_a_standing_explanation(world: World) -> Run:
    finding = world.finding()
    return lambda: world.stand(finding, PERSON)


@case("explanations.check", "finding.closed:succeeded")
def check_a_standing_explanation(world: World) -> Run:
    rule = world.stand(world.finding(), SECOND)
    return lambda: explanations.check(actor=PERSON, explanation=rule)


@case("explanations.end", "explanation.ended:succeeded")
def end_a_standing_explanation(world: World) -> Run:
    rule = world.stand(world.finding(), SECOND)
    return lambda: explanations.end(actor=PERSON, explanation=rule, reason="the contract is over")


# -- the proof of the record -------------------------------------------------------------------------------------------


@case("proof.verify_record", "record.verified:succeeded")
def check_the_record(world: World) -> Run:
    world.draft()
    return lambda: proof.verify_record(actor=PERSON, workers=1)


@case("proof.make_checkpoint", "record.checkpoint:succeeded")
def make_the_first_checkpoint(world: World) -> Run:
    world.send(world.draft())
    return lambda: proof.make_checkpoint(actor=PERSON)


@case("proof.send_checkpoint", "record.witness:requested", "record.witness:succeeded")
def send_a_checkpoint_outside(world: World) -> Run:
    world.settings.MAIL_READY = True
    world.send(world.draft())
    proof.set_witness(actor=PERSON, mail="audit@example.com", webhook="", minutes=60)
    proof.make_checkpoint(actor=PERSON)
    return lambda: proof.send_checkpoint(actor=PERSON)


@case("deliveries.deliver", "record.witness:requested", "record.witness:succeeded")
def deliver_a_checkpoint(world: World) -> Run:
    world.send(world.draft())
    made = proof.make_checkpoint(actor=PERSON)
    assert made is not None
    witness = deliveries.Witness("mail", "audit@example.com")
    return lambda: deliveries.deliver(actor=PERSON, checkpoint=made, witness=witness)


@case("proof.set_witness", "settings.changed:succeeded")
def name_a_witness(world: World) -> Run:
    world.settings.MAIL_READY = True
    return lambda: proof.set_witness(actor=PERSON, mail="audit@example.com", webhook="", minutes=30)


@case("proof.rotate_signing_key", "record.checkpoint:succeeded", "record.checkpoint:succeeded")
def replace_the_signing_key(world: World) -> Run:
    world.send(world.draft())
    proof.make_checkpoint(actor=PERSON)
    return lambda: proof.rotate_signing_key(actor=PERSON, reason="an administrator left")


@case("proof.tend", "record.checkpoint:succeeded", "record.verified:succeeded")
def do_what_is_due(world: World) -> Run:
    world.send(world.draft())
    return lambda: proof.tend(actor=PERSON)


@case("stream.tend", "record.streamed:succeeded")
def hand_the_record_to_a_collector(world: World) -> Run:
    world.settings.STREAM = environment.Stream("file", (Path(world.settings.DATA_DIR) / "handed.jsonl").as_uri())
    return lambda: stream.tend(actor=PERSON)


# -- retention and holds ------------------------------------------------------------------------------------------------


def an_old_sign_in() -> None:
    then = timezone.now() - timedelta(days=800)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: then)
        record(actor=PERSON, action=Action.SIGN_IN, sentence="signed in with password")


@case("retention.change", "retention.set:succeeded")
def set_how_long_records_are_kept(world: World) -> Run:
    return lambda: retention.change(actor=PERSON, register_months=24, access_months=6, reason="agreed")


@case("retention.expire", "retention.expired:succeeded")
def remove_what_is_over(world: World) -> Run:
    an_old_sign_in()
    return lambda: retention.expire(actor=PERSON)


@case("holds.place_on_job", "hold.placed:succeeded")
def hold_a_job(world: World) -> Run:
    job = world.job()
    return lambda: holds.place_on_job(actor=PERSON, job=job, reason="dispute")


@case("holds.place_on_person", "hold.placed:succeeded")
def hold_what_a_person_did(world: World) -> Run:
    return lambda: holds.place_on_person(actor=PERSON, person="operator", reason="dispute")


@case("holds.place_on_period", "hold.placed:succeeded")
def hold_a_period(world: World) -> Run:
    now = timezone.now()
    return lambda: holds.place_on_period(actor=PERSON, from_at=now - timedelta(days=1), until_at=now, reason="dispute")


@case("holds.release", "hold.released:succeeded")
def release_a_hold(world: World) -> Run:
    hold = holds.place_on_person(actor=PERSON, person="operator", reason="dispute")
    return lambda: holds.release(actor=PERSON, hold=hold, reason="settled")


@case("batches.note_count", "batch.counted:succeeded", actor=SYSTEM)
def count_a_batch(world: World) -> Run:
    job = world.job()
    return lambda: batches.note_count(world.sandbox, job, records=41_200)


@case("unusual.change", "unusual.rules:succeeded")
def change_unusual_rules(world: World) -> Run:
    wanted = {kind: (False, rule.values) for kind, rule in unusual_queries.rules(world.organization).items()}
    return lambda: unusual.change(
        actor=PERSON, organization=world.organization, wanted=wanted, to="nobody", mail="", version=1
    )


@case("unusual.tell", "unusual.told:requested", "unusual.told:succeeded", actor=SYSTEM)
def tell_of_unusual_exports(world: World) -> Run:
    world.settings.MAIL_READY = True
    UnusualMail.objects.create(organization=world.organization, to="own", mail="privacy@example.com")
    now = timezone.now()
    Finding.objects.create(
        organization=world.organization, sandbox=world.sandbox, kind="first", key="1", sentence="Job 1.", found_at=now
    )
    return lambda: unusual.tell(actor=Actor.system(), now=now + timedelta(hours=1))


@case("reviews.open_review", "review.opened:succeeded")
def open_a_review(world: World) -> Run:
    day = timezone.now().astimezone(UTC).date() - timedelta(days=1)
    return lambda: reviews.open_review(actor=PERSON, organization=world.organization, first=day, last=day)


@case("reviews.sign", "review.signed:succeeded")
def sign_a_review(world: World) -> Run:
    day = timezone.now().astimezone(UTC).date() - timedelta(days=1)
    review = reviews.open_review(actor=SECOND, organization=world.organization, first=day, last=day)
    return lambda: reviews.sign(actor=PERSON, review=review, verdict="reviewed", note="Read")


# -- the tests --------------------------------------------------------------------------------------------------------


def public_functions() -> Iterator[str]:
    for found in pkgutil.iter_modules(actions.__path__):
        if found.name in COMPUTES_ONLY:
            continue
        module = importlib.import_module(f"segadmin.actions.{found.name}")
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{found.name}.{name}"


def events_after(seq: int) -> list[EventContent]:
    return list(EventContent.objects.filter(event__gt=seq).order_by("event_id"))


def newest() -> int:
    return EventContent.objects.order_by("-event_id").values_list("event_id", flat=True).first() or 0


def test_every_public_action_has_a_case_or_a_reason() -> None:
    functions = set(public_functions())
    covered = {one.function for one in CASES}
    assert functions - covered - set(WITHOUT_EVENT) == set(), "needs a case in this file, or a reason in WITHOUT_EVENT"
    assert (covered | set(WITHOUT_EVENT)) - functions == set(), "is no action any more"
    assert covered & set(WITHOUT_EVENT) == set()


@pytest.mark.parametrize("name", sorted(COMPUTES_ONLY))
def test_what_only_computes_never_writes(name: str) -> None:
    source = inspect.getsource(importlib.import_module(f"segadmin.actions.{name}"))
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert {call.attr for call in calls if isinstance(call, ast.Attribute)} & (WRITES - {"update"}) == set()
    assert "objects." not in source


@pytest.mark.parametrize("one", CASES, ids=[f"{one.function}-{one.prepare.__name__}" for one in CASES])
def test_it_leaves_its_events(world: World, one: Case) -> None:
    run = one.prepare(world)
    before = newest()
    run()
    found = events_after(before)
    assert tuple(f"{event.action}:{event.outcome}" for event in found) == one.events
    assert {event.actor_name for event in found} == {one.actor}
    assert all(event.sentence for event in found)


def snapshot() -> dict[str, str]:
    return database_state.state(without_tables=["segadmin.TokenCache"], without_columns=BOOKKEEPING)


def full_disk(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """For every statement: the one that appends to the record fails as it does on a full disk."""
    if re.search(r"insert into \W?segadmin_event\b", sql, re.IGNORECASE):
        raise DatabaseError("database or disk is full")
    return execute(sql, params, many, context)


@pytest.mark.parametrize("one", CASES, ids=[f"{one.function}-{one.prepare.__name__}" for one in CASES])
def test_without_its_event_nothing_changes(world: World, one: Case) -> None:
    """The record can't be written: the change it tells is not made, and Adobe is not asked for one."""
    run = one.prepare(world)
    before = snapshot()
    world.emulator.forget_requests()
    with connection.execute_wrapper(full_disk), pytest.raises(DatabaseError, match="disk is full"):
        run()
    assert database_state.changed(before, snapshot()) == []
    asked = [(item.method, item.path) for item in world.emulator.requests if "/ups/export/jobs" in item.path]
    assert [method for method, _path in asked if method != "GET"] == []
