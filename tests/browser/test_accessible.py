"""Every page by axe against WCAG 2.2 AA, in light and dark, wide and narrow; no page needs sideways scrolling."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
import requests
from axe_playwright_python.base import AXE_SCRIPT
from django.urls import URLPattern, resolve
from playwright.sync_api import Page

from segadmin import urls
from segadmin.emulator.world import DEMO_TENANTS
from tests.browser.conftest import Opener, Watch
from tests.processes import Browser, Demo, eventually

pytestmark = pytest.mark.browser

EVERYTHING = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# The schemes differ in colours only.
RULES: dict[Literal["light", "dark"], dict[str, Any]] = {
    "light": EVERYTHING,
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
SIZES = {1280: 800, 390: 844}

# Of rows and items that differ in their words alone axe needs to see a few: fifty alike take it ten times as long.
ALIKE = 4
THIN_OUT = """
([most]) => {
    const looks = (each) => {
        const own = [each.tagName, each.className, each.dataset.state, each.getAttribute("role"), each.type, each.disabled];
        return own.join(" ") + "(" + Array.from(each.children, looks).join() + ")";
    };
    for (const parent of document.querySelectorAll("tbody, ul, ol, dl, fieldset, section, div")) {
        const seen = new Map();
        for (const each of Array.from(parent.children)) {
            if (!each.matches("tr, li, details, article, label")) continue;
            const count = (seen.get(looks(each)) || 0) + 1;
            seen.set(looks(each), count);
            if (count > most) each.remove();
        }
    }
}
"""
IDS_USED_TWICE = """
() => {
    const ids = Array.from(document.querySelectorAll("[id]"), (each) => each.id);
    return ids.filter((id, place) => ids.indexOf(id) !== place);
}
"""

# Name -> role, and the path or a function that finds it.
PAGES: dict[str, tuple[str | None, str]] = {
    "sign-in": (None, "/accounts/login/"),
    "jobs": ("operator", "/jobs/"),
    "jobs filtered": ("operator", "/jobs/?org=acme&state=failed&state=succeeded&q=mail"),
    "jobs without a match": ("operator", "/jobs/?q=zzz-nothing-like-it"),
    "job finished": ("operator", "{job:succeeded}"),
    "job failed": ("operator", "{job:failed}"),
    "job cancelled": ("viewer", "{job:cancelled}"),
    "job running": ("operator", "{job:running}"),
    "cancel": ("operator", "{job:running}cancel/"),
    "new export": ("operator", "/orgs/acme/prod/jobs/new/"),
    "review": ("operator", "{review}"),
    "edit": ("operator", "{review}edit/"),
    "drafts": ("operator", "/drafts/"),
    "job from outside": ("auditor", "{job:outside}"),
    "register": ("auditor", "/register/"),
    "register filtered": ("auditor", "/register/?org=acme&state=failed&q=crm"),
    "register entry": ("auditor", "{entry}"),
    "amend an entry": ("admin", "{entry}amend/"),
    "answer: exported": ("auditor", "/answers/"),
    "answer: where": ("auditor", "/answers/where/"),
    "answer: erasure": ("auditor", "/answers/erasure/"),
    "answer: processing": ("auditor", "/answers/processing/"),
    "answer: breach": ("auditor", "/answers/breach/"),
    "record": ("auditor", "/audit/"),
    "record in detail": ("auditor", "/audit/?details=1"),
    "record filtered": ("auditor", "/audit/?person=operator&outcome=succeeded"),
    "query of the record": ("auditor", "/audit/query/"),
    "query of the register": ("auditor", "/register/query/"),
    "event": ("auditor", "/audit/1/"),
    "proof": ("auditor", "/audit/proof/"),
    "proof for admins": ("admin", "/audit/proof/"),
    "completeness": ("auditor", "/completeness/"),
    "findings": ("auditor", "/findings/"),
    "finding": ("admin", "{finding}"),
    "explain a finding": ("admin", "{finding}explanation/"),
    "explanations": ("auditor", "/explanations/"),
    "unusual exports": ("admin", "/organizations/acme/unusual/"),
    "reviews": ("auditor", "/reviews/"),
    "new review": ("auditor", "/reviews/new/"),
    "periodic review": ("auditor", "{review of a day}"),
    "retention": ("admin", "/retention/"),
    "new hold": ("admin", "/retention/holds/new/"),
    "check a file": ("auditor", "/files/check/"),
    "saved views": ("auditor", "/views/"),
    "organizations": ("admin", "/organizations/"),
    "organization": ("admin", "/organizations/acme/"),
    "organization for others": ("viewer", "/organizations/acme/"),
    "new organization": ("admin", "/organizations/new/"),
    "change organization": ("admin", "/organizations/acme/edit/"),
    "credential": ("admin", "/organizations/acme/credential/"),
    "personal data": ("admin", "/organizations/acme/personal-data/"),
    "sandbox": ("admin", "/organizations/acme/sandboxes/prod/"),
    "remove organization": ("admin", "/organizations/acme/remove/"),
    "people": ("admin", "/people/"),
    "rights on a day": ("auditor", "/people/rights/"),
    "person": ("admin", "/people/2/"),
    "new person": ("admin", "/people/new/"),
    "set a password": ("admin", "/people/2/password/"),
    "own password": ("viewer", "/accounts/password/change/"),
    "second factor": ("viewer", "/accounts/2fa/"),
    "sessions": ("viewer", "/accounts/sessions/"),
    "keyboard": ("viewer", "/keys/"),
    "sign-out": ("viewer", "/accounts/logout/"),
    "not found": ("viewer", "/jobs/nowhere/"),
    "not allowed": ("viewer", "/audit/"),
}
EXPECTED = {"not found": 404, "not allowed": 403}


# Addresses of this program that are no pages: they answer a form, a script, a machine or with a file.
NO_PAGES = {
    "home", "closed", "set_zone", "stay", "healthz", "readyz", "jobs_check", "jobs_ask", "request_discard", "request_settle",
    "job_check", "job_batch_checked", "answers_csv", "answers_where_csv", "answers_erasure_csv", "answers_processing_csv",
    "answers_breach_csv", "audit_csv", "audit_jsonl", "evidence", "register_csv", "register_jsonl", "file_receipt",
    "completeness_csv", "review_sign",
    "completeness_rows", "proof_check", "proof_compare", "proof_send", "proof_key", "proof_file", "proof_witness",
    "finding_check", "explanation_check", "explanation_end", "hold_release", "saved_view_new", "saved_view_remove",
    "connection_test", "sandboxes_find", "person_roles", "person_close", "person_reopen",
}  # fmt: skip
# Pages that appear only after work that other tests do: what an explanation, or the receipt of a file, looks like.
ELSEWHERE = {"explanation", "file"}


@pytest.fixture(scope="module")
def places(demo: Demo) -> dict[str, str]:
    """Addresses of a job of each state, of one from outside with what was made of it, and of a review."""
    export_from_outside(demo)
    visitor = demo.signed_in("auditor")

    def address(page: str, pattern: str) -> str:
        found = re.search(f'href="({pattern})"', visitor.page(page).text)
        return found[1] if found else ""

    job = r"/orgs/[^\"]+/jobs/(?!new/)[^\"/]+/"
    found = {
        f"job:{state}": address(f"/jobs/?state={state}&org=acme", job)
        for state in ("succeeded", "failed", "cancelled", "running")
    }
    eventually(lambda: address("/jobs/?origin=outside", job), "the job from outside")
    found["job:outside"] = address("/jobs/?origin=outside", job)
    found["entry"] = address("/register/", r"/register/\d+/")
    eventually(lambda: address("/findings/", r"/findings/\d+/"), "a finding about it")
    found["finding"] = address("/findings/", r"/findings/\d+/")
    assert all(found.values()), found
    found["review of a day"] = review_of_yesterday(demo.signed_in("auditor"))
    return {**found, "review": review_of(demo.signed_in("operator"))}


def review_of_yesterday(visitor: Browser) -> str:
    """A periodic review, which takes a day that is over; not signed, so that the form shows."""
    day = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    answer = visitor.submit("/reviews/new/", {"org": "acme", "from": day, "to": day})
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def export_from_outside(demo: Demo) -> None:
    """Somebody with a client of their own starts an export at Adobe, past segadmin."""
    url = demo.line(r"emulator on (\S+);")[1]
    tenant = DEMO_TENANTS[0]
    token = requests.post(
        f"{url}/ims/token/v3",
        data={
            "grant_type": "client_credentials",
            "client_id": tenant.client_id,
            "client_secret": tenant.client_secret,
            "scope": tenant.scopes,
        },
        timeout=10,
    ).json()["access_token"]
    headers = {
        "Authorization": f"Bearer {token}",
        "x-api-key": tenant.client_id,
        "x-gw-ims-org-id": tenant.ims_org_id,
        "x-sandbox-name": "prod",
    }
    jobs = f"{url}/data/core/ups/export/jobs"
    like = requests.get(jobs, headers=headers, params={"limit": 1}, timeout=10).json()["records"][0]
    body = {"destination": {"datasetId": like["destination"]["datasetId"]}, "schema": {"name": "_xdm.context.profile"}}
    made = requests.post(jobs, headers=headers, json=body, timeout=10)
    assert made.ok, made.text


def review_of(visitor: Browser) -> str:
    answer = visitor.submit(
        "/orgs/acme/prod/jobs/new/",
        {
            "who": "everyone",
            "which": "all",
            "destination__datasetId": "CRM out",
            "schema__name": "_xdm.context.profile",
            "purpose": "Never sent: shows the warnings",
            "additionalFields__eventList__fields": "eventType,timestamp",
            "additionalFields__eventList__filter__fromIngestTimestamp": "2026-01-01T00:00:00Z",
            "additionalFields__eventList__filter__toIngestTimestamp": "2026-02-01T00:00:00Z",
        },
    )
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def violations(page: Page, rules: dict[str, Any], within: str = "") -> list[dict[str, Any]]:
    """What axe finds on the page. What it found in order it tells only briefly, which takes most of its time."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    found = page.evaluate("([within, options]) => axe.run(within || document, options)", [within, options])
    return list(found["violations"])


def told(found: list[dict[str, Any]]) -> list[str]:
    return [
        f"{one['id']}: {node['html'][:160]} ({node.get('failureSummary', '')[:200]})"
        for one in found
        for node in one["nodes"]
    ]


def sideways(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


@pytest.fixture
def expected_status(request: pytest.FixtureRequest, watch: Watch) -> int:
    status = EXPECTED.get(request.node.callspec.params["name"], 200)
    watch.expected.add(status)
    return status


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, open_as: Opener, places: dict[str, str], expected_status: int) -> None:
    role, pattern = PAGES[name]
    path = re.sub(r"{([^}]+)}", lambda match: places[match[1]], pattern)
    page = open_as(role)
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == expected_status, f"{answer.status} for {path}"
    open_what_is_folded(page)
    problems = [f"{name} is the id of two elements" for name in page.evaluate(IDS_USED_TWICE)]
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        if (over := sideways(page)) > 0:
            problems.append(f"{width}: {over} px too wide")
    page.evaluate(THIN_OUT, [ALIKE])
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme, rules in RULES.items():
            page.emulate_media(color_scheme=scheme)
            problems += [f"{scheme}, {width}: {text}" for text in told(violations(page, rules))]
    assert problems == []


def open_what_is_folded(page: Page) -> None:
    """Axe sees only what is shown; of menus one at a time may be open, so they stay shut."""
    page.evaluate("document.querySelectorAll('details:not(.menu)').forEach((each) => { each.open = true; })")


def test_open_menus(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/jobs/")
    for position in range(page.locator("details.menu > summary").count()):
        menu = page.locator("details.menu > summary").nth(position)
        menu.click()
        assert told(violations(page, EVERYTHING, "details.menu[open]")) == []
        menu.press("Escape")


def test_errors_of_a_form(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/orgs/acme/prod/jobs/new/")
    page.get_by_role("button", name="Review", exact=True).click()
    page.wait_for_selector("[aria-invalid=true]")
    assert told(violations(page, EVERYTHING)) == []


def test_no_page_is_left_out() -> None:
    """An address that is new here needs a line above."""
    example = {"review": "/orgs/acme/prod/requests/3fa85f64-5717-4562-b3fc-2c963f66afa6/", "entry": "/register/1/"}
    example |= {"finding": "/findings/1/", "review of a day": "/reviews/1/"}
    looked_at = set()
    for _role, pattern in PAGES.values():
        path = re.sub(r"{([^}]+)}", lambda match: example.get(match[1], "/orgs/acme/prod/jobs/1/"), pattern)
        if "nowhere" not in path:
            looked_at.add(resolve(path.partition("?")[0]).url_name)
    ours = {one.name for one in urls.urlpatterns if isinstance(one, URLPattern)}
    assert ours - looked_at - NO_PAGES - ELSEWHERE == set()
    assert NO_PAGES - ours == set()
