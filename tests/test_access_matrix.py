"""Who may do what, for every address: name x person x method. A new address needs its line here."""

import copy
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta

import pytest
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from segadmin.actions import holds, register, reviews
from segadmin.audit import Actor, Subject, record
from segadmin.models import (
    Action,
    Attempt,
    EventContent,
    Explanation,
    ExportRequest,
    FileReceipt,
    Finding,
    Hold,
    Job,
    Organization,
    Outcome,
    RegisterEntry,
    RequestState,
    Review,
    Role,
    Sandbox,
    SavedView,
    Settlement,
    State,
    User,
)
from tests import database_state
from tests.conftest import make_person, make_sandbox, signed_in

pytestmark = pytest.mark.django_db

FILE = "kx7f-29ab-m3qt"
WISH = uuid.UUID("5f0c9d3e-1111-4222-8333-944445555666")
# Person -> roles in Acme; the last three have none there.
ROLES = {
    "viewer": [Role.VIEWER],
    "operator": [Role.OPERATOR],
    "approver": [Role.APPROVER],
    "auditor": [Role.AUDITOR],
    "admin": [Role.ADMIN],
    "several": [Role.APPROVER, Role.AUDITOR],
}
MEMBERS = {*ROLES, "root"}
PEOPLE = [*ROLES, "root", "foreign operator", "foreign admin", "anonymous"]
EVERYBODY = set(PEOPLE) - {"anonymous"}
CREATORS = {"operator", "admin", "root"}
CANCELLERS = {"operator", "approver", "admin", "several", "root"}
AUDITORS = {"auditor", "admin", "several", "root"}
ADMINS = {"admin", "root"}
# Who reads findings; those who cancel also explain and check them.
FINDERS = {*AUDITORS, *CANCELLERS}


@dataclass(frozen=True)
class Rule:
    """Who gets in by which method; None: nobody can use the method. `hidden`: outsiders get 404, else 403."""

    get: set[str] | None = None
    post: set[str] | None = None
    hidden: bool = True
    hidden_from: frozenset[str] = frozenset({"foreign operator", "foreign admin"})
    without_sign_in: bool = False

    def expected(self, person: str, method: str) -> str:
        allowed = self.get if method == "GET" else self.post if method == "POST" else None
        if person == "anonymous" and not self.without_sign_in:
            return "sign in"
        if allowed is None:
            return "405"
        if person in allowed:
            return "in"
        return "404" if self.hidden and person in self.hidden_from else "403"


EVERYONE = {*PEOPLE}
OPEN = Rule(get=EVERYONE, without_sign_in=True)
CREATE_FORM = Rule(get=CREATORS, post=CREATORS)
CREATE_BUTTON = Rule(post=CREATORS)
ADMIN_FORM = Rule(get=ADMINS, post=ADMINS)
ADMIN_BUTTON = Rule(post=ADMINS)
# An account of Acme: other admins don't see it, and who sees no accounts at all is told so.
HIDDEN_FROM_ADMINS = frozenset({"foreign admin"})
ACCOUNT_FORM = Rule(get=ADMINS, post=ADMINS, hidden_from=HIDDEN_FROM_ADMINS)
ACCOUNT_BUTTON = Rule(post=ADMINS, hidden_from=HIDDEN_FROM_ADMINS)
FILES_FORM = Rule(
    get={*AUDITORS, "approver", "foreign admin"}, post={*AUDITORS, "approver", "foreign admin"}, hidden=False
)
ANSWERS = Rule(get={*AUDITORS, "approver", "foreign admin"}, hidden=False)

RULES: dict[str, Rule] = {
    "home": Rule(get=EVERYBODY),
    "set_zone": Rule(post=EVERYBODY),
    "keys": Rule(get=EVERYBODY, post=EVERYBODY),
    "audit_query": Rule(get=EVERYBODY),
    "register_query": Rule(get=EVERYBODY),
    "stay": Rule(post=EVERYBODY),
    "healthz": OPEN,
    "readyz": OPEN,
    "jobs": Rule(get=EVERYBODY),
    "jobs_check": Rule(post=EVERYBODY),
    "jobs_ask": Rule(post=MEMBERS),
    "new_export": CREATE_FORM,
    "request": Rule(get=MEMBERS, post=CREATORS),
    "request_edit": CREATE_FORM,
    "request_discard": CREATE_BUTTON,
    "request_settle": CREATE_BUTTON,
    "job_cancel": Rule(get=CANCELLERS, post=CANCELLERS),
    "job_check": Rule(post=MEMBERS),
    "job_batch_checked": Rule(post=CANCELLERS),
    "job": Rule(get=MEMBERS),
    "drafts": Rule(get={*CREATORS, "foreign operator", "foreign admin"}, hidden=False),
    "register": Rule(get={*AUDITORS, "approver", "foreign admin"}, hidden=False),
    "register_entry": Rule(get={*AUDITORS, "approver"}),
    "register_amend": ADMIN_FORM,
    "answers": ANSWERS,
    "answers_csv": ANSWERS,
    "answers_where": ANSWERS,
    "answers_where_csv": ANSWERS,
    "answers_erasure": ANSWERS,
    "answers_erasure_csv": ANSWERS,
    "answers_processing": ANSWERS,
    "answers_processing_csv": ANSWERS,
    "answers_breach": ANSWERS,
    "answers_breach_csv": ANSWERS,
    "audit": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "event": Rule(get=AUDITORS),
    "audit_csv": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "audit_jsonl": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "evidence": Rule(get={*AUDITORS, "foreign admin"}, post={*AUDITORS, "foreign admin"}, hidden=False),
    "register_csv": Rule(get={*AUDITORS, "approver", "foreign admin"}, hidden=False),
    "register_jsonl": Rule(get={*AUDITORS, "approver", "foreign admin"}, hidden=False),
    "retention": Rule(get={*AUDITORS, "foreign admin"}, post={"root"}, hidden=False),
    "hold_place": Rule(get={"root"}, post={"root"}, hidden=False),
    "hold_release": Rule(get={"root"}, post={"root"}, hidden=False),
    "proof": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "proof_check": Rule(post={*AUDITORS, "foreign admin"}, hidden=False),
    "proof_compare": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "proof_file": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "proof_witness": Rule(get={"root"}, post={"root"}, hidden=False),
    "proof_send": Rule(post={"root"}, hidden=False),
    "proof_key": Rule(get={"root"}, post={"root"}, hidden=False),
    "files": FILES_FORM,
    # A file of Acme's auditor: an approver sees the receipts of own files only.
    "file": Rule(get=AUDITORS, hidden_from=frozenset({"foreign admin", "approver"})),
    "file_receipt": Rule(get=AUDITORS, hidden_from=frozenset({"foreign admin", "approver"})),
    "saved_views": Rule(get={*AUDITORS, "approver", "foreign admin"}, hidden=False),
    "saved_view_new": Rule(
        get={*AUDITORS, "approver", "foreign admin"}, post={*AUDITORS, "approver", "foreign admin"}, hidden=False
    ),
    "saved_view_remove": Rule(
        post=ADMINS,
        hidden_from=frozenset({"auditor", "approver", "several", "foreign admin"}),
    ),
    "completeness": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "completeness_csv": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "completeness_rows": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "findings": Rule(get={*FINDERS, "foreign operator", "foreign admin"}, hidden=False),
    "finding": Rule(get=FINDERS, post=CANCELLERS),
    "finding_check": Rule(post=CANCELLERS),
    "explanation_new": Rule(get=CANCELLERS, post=CANCELLERS),
    "explanations": Rule(get={*FINDERS, "foreign operator", "foreign admin"}, hidden=False),
    "explanation": Rule(get=FINDERS),
    "explanation_check": Rule(post=CANCELLERS),
    "explanation_end": Rule(post=CANCELLERS),
    "reviews": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "review_new": Rule(get={*AUDITORS, "foreign admin"}, post={*AUDITORS, "foreign admin"}, hidden=False),
    "review": Rule(get=AUDITORS),
    "review_sign": Rule(post=AUDITORS),
    "organizations": Rule(get=EVERYBODY),
    "organization_add": Rule(get={"root"}, post={"root"}, hidden=False),
    "organization": Rule(get=MEMBERS),
    "organization_edit": ADMIN_FORM,
    "credential": ADMIN_FORM,
    "connection_test": ADMIN_BUTTON,
    "sandboxes_find": ADMIN_BUTTON,
    "sandbox": ADMIN_FORM,
    "organization_remove": ADMIN_FORM,
    "unusual": Rule(get=FINDERS, post=ADMINS),
    "personal_data": Rule(get=MEMBERS, post=ADMINS),
    "people": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "rights": Rule(get={*AUDITORS, "foreign admin"}, hidden=False),
    "person_add": Rule(get={*ADMINS, "foreign admin"}, post={*ADMINS, "foreign admin"}, hidden=False),
    "person": Rule(get=AUDITORS, hidden_from=HIDDEN_FROM_ADMINS),
    "person_roles": ACCOUNT_BUTTON,
    "person_close": ACCOUNT_BUTTON,
    "person_reopen": ACCOUNT_BUTTON,
    "person_password": ACCOUNT_FORM,
}
# What a POST needs to say before anybody looks at who may: which sandbox is meant.
POSTED: dict[str, dict[str, str]] = {"jobs_ask": {"q": "999", "place": "acme/prod"}}

# allauth's addresses that open without sign-in; all its others lead to the sign-in page.
OPEN_OF_ALLAUTH = {
    "account_login",
    "account_inactive",
    "account_signup",
    "socialaccount_login_cancelled",
}
# Those that this product does not have: people get no mail from it.
CLOSED_OF_ALLAUTH = {
    "account_email",
    "account_email_verification_sent",
    "account_confirm_email",
    "account_confirm_login_code",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
}


# -- a world with one of everything -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """The objects that the addresses name."""

    sandbox: Sandbox
    job: Job
    wish: ExportRequest
    guest: User
    event: int
    entry: int

    def address(self, name: str) -> str:
        if name in ("register_entry", "register_amend"):
            return reverse(name, args=[self.entry])
        if name == "hold_release":
            return reverse(name, args=[Hold.objects.get().pk])
        if name == "saved_view_remove":
            return reverse(name, args=[SavedView.objects.get(name="Refusals").pk])
        place = {"slug": "acme", "sandbox_name": "prod"}
        for values in (
            {},
            {"slug": "acme"},
            place,
            {**place, "job_id": self.job.job_id},
            {**place, "request_uuid": self.wish.uuid},
            {"pk": self.guest.pk},
            {"seq": self.event},
            {"finding_pk": Finding.objects.get().pk},
            {"explanation_pk": Explanation.objects.get().pk},
            {"review_pk": Review.objects.get().pk},
            {"code": FILE},
            {"name": "checkpoints.txt"},
        ):
            try:
                return reverse(name, kwargs=values)
            except NoReverseMatch:
                continue
        raise AssertionError(f"{name} needs something that this world does not have")


@pytest.fixture
def world(acme: Organization, prod: Sandbox, nordwind: Organization) -> World:
    now = timezone.now()
    make_sandbox(nordwind, "prod")
    author = make_person("author", Role.OPERATOR, organization=acme)
    wish = ExportRequest.objects.create(
        uuid=WISH, sandbox=prod, author=author, author_name="author", state=RequestState.UNKNOWN, sent_at=now
    )
    job = Job.objects.create(
        sandbox=prod,
        job_id="24102",
        state=State.RUNNING,
        status="PROCESSING",
        raw={"id": "24102", "status": "PROCESSING"},
        batch_ids=["batch-1"],
        sort_at=now,
        first_seen_at=now,
        last_seen_at=now,
        changed_at=now,
    )
    holds.place_on_person(actor=Actor.system(), person="nobody", reason="dispute")
    event = record(
        actor=Actor.system(),
        action=Action.JOB_SEEN,
        sentence="saw 24102",
        subject=Subject(sandbox=prod, job_id="24102"),
    )
    Attempt.objects.create(
        kind=Attempt.Kind.CREATE,
        state=Attempt.State.UNKNOWN,
        sandbox=prod,
        export_request=wish,
        actor=Actor.system().as_json(),
        opened_at=now,
        deadline_at=now,
        closed_at=now,
        opened_seq=event.seq,
        settlement=Settlement.LOOKING,
        look_until_at=now,
    )
    Finding.objects.create(
        organization=acme, sandbox=prod, kind=Finding.Kind.OUTSIDE, key="24102", job=job, sentence="24102", found_at=now
    )
    Explanation.objects.create(
        organization=acme,
        sandbox=prod,
        dataset_id="1",
        owner="CRM",
        reason="daily",
        valid_from_at=now,
        valid_until_at=now + timedelta(days=9),
        set_by="somebody",
        set_at=now,
    )
    guest = make_person("guest", Role.VIEWER, organization=acme)
    SavedView.objects.create(owner=guest, page="audit", name="Refusals", shared=True, organization=acme)
    FileReceipt.objects.create(
        code=FILE,
        kind=FileReceipt.Kind.CSV,
        what="audit",
        at=now - timedelta(days=1),
        by="somebody",
        filter={"actor": "person", "organizations": ["acme"], "whole": False},
        zone="UTC",
        cut_off=event.seq,
        version="segadmin 1",
    )
    register.rebuild()
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    reviews.open_review(actor=Actor.system(), organization=acme, first=yesterday, last=yesterday)
    return World(prod, job, wish, guest, event.seq, RegisterEntry.objects.get(job=job).pk)


def client_of(person: str) -> Client:
    if person == "anonymous":
        return Client()
    acme, nordwind = (Organization.objects.get(slug=slug) for slug in ("acme", "nordwind"))
    if person == "root":
        return signed_in(make_person("root", Role.ADMIN))
    if person.startswith("foreign"):
        role = Role.ADMIN if person.endswith("admin") else Role.OPERATOR
        return signed_in(make_person(person.replace(" ", "-"), role, organization=nordwind))
    return signed_in(make_person(person, *ROLES[person], organization=acme))


def again(client: Client) -> Client:
    """Another one with the same session, as it was."""
    fresh = Client()
    fresh.cookies = copy.deepcopy(client.cookies)
    return fresh


def outcome(response: HttpResponseBase) -> str:
    """ "in" for everything that the person was let in for, also a form that has faults."""
    if response.status_code == 302 and response.headers["Location"].startswith("/accounts/login/"):
        return "sign in"
    if response.status_code in {401, 403, 404, 405} or response.status_code >= 500:
        return str(response.status_code)
    return "in"


# -- the matrix -------------------------------------------------------------------------------------------------------


def patterns(resolver: URLResolver, inside: str = "") -> Iterator[tuple[str, str | None]]:
    """(where it is from, name): our own have no namespace and no include."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield inside, entry.name
        else:
            yield from patterns(entry, inside or str(entry.pattern))


OURS = [name for inside, name in patterns(get_resolver()) if not inside and name != "closed"]
OF_ALLAUTH = [name for inside, name in patterns(get_resolver()) if inside == "accounts/" and name]


def test_every_address_has_its_line() -> None:
    assert None not in OURS
    assert set(OURS) - set(RULES) == set(), "say in RULES who may do what there"
    assert set(RULES) - set(OURS) == set(), "is no address any more"


# Those that no page has are tried by whoever may do least, most, and most elsewhere.
EVERY_METHOD = ("DELETE", "PUT", "PATCH", "GET", "HEAD", "POST")


@contextmanager
def undone() -> Iterator[None]:
    """What is written inside is taken back, so that one world serves every address."""
    point = transaction.savepoint_create()
    try:
        yield
    finally:
        transaction.savepoint_rollback(point)


@pytest.mark.not_on_postgres("who may do what is decided in Python from roles; another test asks for each address")
@pytest.mark.parametrize("person", PEOPLE)
def test_who_may_do_what(world: World, person: str, subtests: pytest.Subtests) -> None:
    signed_in_once = client_of(person)
    for name, rule in RULES.items():
        with subtests.test(name), undone():
            address, client = world.address(name), again(signed_in_once)
            for method in EVERY_METHOD if person in ("anonymous", "root", "foreign admin") else ("GET", "POST"):
                sent = POSTED.get(name, {}) if method == "POST" else None
                found = outcome(getattr(client, method.lower())(address, sent))
                assert (method, found) == (method, rule.expected(person, "GET" if method == "HEAD" else method))


@pytest.mark.not_on_postgres("who may do what is decided in Python from roles; another test asks for each address")
@pytest.mark.parametrize("person", ["viewer", "foreign operator"])
def test_refusals_are_on_record_and_change_nothing(world: World, person: str, subtests: pytest.Subtests) -> None:
    record_of_it = ["segadmin.Event", "segadmin.EventContent", "segadmin.ChainHead"]
    signed_in_once = client_of(person)
    names = [name for name, rule in RULES.items() if rule.post and rule.expected(person, "POST") != "in"]
    assert names
    for name in names:
        with subtests.test(name), undone():
            address, client = world.address(name), again(signed_in_once)
            before = database_state.state(without_tables=record_of_it)
            client.post(address, POSTED.get(name, {}))
            assert database_state.changed(before, database_state.state(without_tables=record_of_it)) == []
            refusal = EventContent.objects.get(action=Action.ACCESS_REFUSED)
            assert refusal.outcome == Outcome.REFUSED
            assert refusal.actor_name == person.replace(" ", "-")
            assert f"POST {address}" in refusal.sentence


@pytest.mark.parametrize("person", ["admin", "root"])
def test_looking_changes_nothing(world: World, person: str) -> None:
    """Every address by GET, as the one who may see most: only the record may grow, and what taking a file leaves."""
    client = client_of(person)
    events = EventContent.objects.count()
    before = database_state.state(without_columns=["last_login"])
    for name in RULES:
        assert client.get(world.address(name)).status_code < 500, name
    after = database_state.state(without_columns=["last_login"])
    grown = {"segadmin.Event", "segadmin.EventContent", "segadmin.ChainHead"}
    grown |= {"segadmin.FileReceipt", "segadmin.Checkpoint", "segadmin.SigningKey"}
    assert set(database_state.changed(before, after)) <= grown
    assert EventContent.objects.count() >= events


def test_what_does_not_exist_is_404_for_everybody_alike(world: World) -> None:
    """Nobody learns from the status whether another org's object exists."""
    client = client_of("foreign operator")
    for theirs, nowhere in (
        ("/organizations/acme/", "/organizations/nobody/"),
        ("/orgs/acme/prod/jobs/24102/", "/orgs/acme/prod/jobs/99999/"),
        (f"/orgs/acme/prod/requests/{WISH}/", f"/orgs/acme/prod/requests/{uuid.uuid4()}/"),
        ("/orgs/acme/prod/jobs/new/", "/orgs/acme/nowhere/jobs/new/"),
    ):
        answers = [client.get(address) for address in (theirs, nowhere)]
        assert [answer.status_code for answer in answers] == [404, 404]


# -- what no database takes -------------------------------------------------------------------------------------------

NUL = "a\x00b"
# What pages read from the address, and what forms post.
QUERIED = (
    *(
        "q",
        "org",
        "sandbox",
        "state",
        "after",
        "actor",
        "audience",
        "field",
        "recipient",
        "ticket",
        "from",
        "to",
        "pii",
    ),
    *("person", "action", "outcome", "request", "by", "audiences", "kept", "job", "sha256", "page", "query", "next"),
)
POSTED_TOO = (
    *(
        "place",
        "zone",
        "reason",
        "note",
        "verdict",
        "owner",
        "purpose",
        "why",
        "client_id",
        "secret",
        "pasted",
        "scopes",
    ),
    *("mail", "webhook", "username", "password", "roles", "role", "membership", "confirm", "batch", "name", "slug"),
    *(
        "ims_org_id",
        "api_url",
        "token_url",
        "seen_by",
        "field_lines",
        "audience_lines",
        "legal_basis",
        "version",
        "kind",
    ),
    *("filter__segments-0-segmentId", "fields", "destination__datasetId", "valid_until", "ends_on", "login"),
)


def test_null_characters_break_no_page(world: World) -> None:
    client = client_of("root")
    addresses = {name: world.address(name) for name in RULES}
    for method, names in (("get", QUERIED), ("post", (*QUERIED, *POSTED_TOO))):
        for name, address in addresses.items():
            if getattr(RULES[name], method):
                response = getattr(client, method)(address, dict.fromkeys(names, NUL))
                assert response.status_code < 500, (method, address)


@pytest.mark.parametrize(
    "address",
    [
        "/%00",
        "/orgs/acme/pr%00od/jobs/1/",
        "/orgs/acme/prod/jobs/a%00/",
        "/orgs/acme/prod/jobs/a%00/cancel/",
        "/organizations/acme/sandboxes/%00/",
        *(f"/{page}/{'9' * 24}/" for page in ("audit", "register", "findings", "people", "explanations")),
    ],
)
def test_addresses_that_can_name_nothing_are_not_found(world: World, address: str) -> None:
    client = client_of("root")
    assert client.get(address).status_code == 404
    assert client.post(address).status_code in {404, 405}


# -- allauth's own addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_ALLAUTH)
def test_addresses_of_sign_in(db: None, name: str) -> None:
    for values in ({}, {"pk": 1}, {"key": "x"}, {"uidb36": "x", "key": "y"}, {"provider_id": "company"}):
        try:
            address = reverse(name, kwargs=values)
            break
        except NoReverseMatch:
            continue
    response = Client().get(address)
    if name in CLOSED_OF_ALLAUTH:
        assert response.status_code == 404
    elif name in OPEN_OF_ALLAUTH:
        assert response.status_code == 200
    elif name.startswith("openid_connect"):
        assert response.status_code in {401, 404}  # no company account is configured
    else:
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/accounts/login/")
