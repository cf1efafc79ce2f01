"""Every page by axe against WCAG 2.2 AA, in light and dark, wide and narrow; no page needs sideways scrolling."""

import re
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Opener, Watch
from tests.processes import Browser, Demo

pytestmark = pytest.mark.browser

EVERYTHING = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# The schemes differ in colours only.
RULES: dict[Literal["light", "dark"], dict[str, Any]] = {
    "light": EVERYTHING,
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
SIZES = {1280: 800, 390: 844}

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
    "record": ("auditor", "/audit/"),
    "record filtered": ("auditor", "/audit/?person=operator&outcome=succeeded"),
    "event": ("auditor", "/audit/1/"),
    "organizations": ("admin", "/organizations/"),
    "organization": ("admin", "/organizations/acme/"),
    "organization for others": ("viewer", "/organizations/acme/"),
    "new organization": ("admin", "/organizations/new/"),
    "change organization": ("admin", "/organizations/acme/edit/"),
    "sandbox": ("admin", "/organizations/acme/sandboxes/prod/"),
    "remove organization": ("admin", "/organizations/acme/remove/"),
    "people": ("admin", "/people/"),
    "person": ("admin", "/people/2/"),
    "new person": ("admin", "/people/new/"),
    "own password": ("viewer", "/accounts/password/change/"),
    "second factor": ("viewer", "/accounts/2fa/"),
    "sessions": ("viewer", "/accounts/sessions/"),
    "sign-out": ("viewer", "/accounts/logout/"),
    "not found": ("viewer", "/jobs/nowhere/"),
    "not allowed": ("viewer", "/audit/"),
}
EXPECTED = {"not found": 404, "not allowed": 403}


@pytest.fixture(scope="module")
def places(demo: Demo) -> dict[str, str]:
    """Address of a job of each state, and of a review with every warning on it."""
    visitor = demo.signed_in("operator")
    found = {}
    for state in ("succeeded", "failed", "cancelled", "running"):
        page = visitor.page(f"/jobs/?state={state}&org=acme").text
        address = re.search(r'href="(/orgs/[^"]+/jobs/(?!new/)[^"/]+/)"', page)
        assert address, f"the demo has no job in state {state}"
        found[f"job:{state}"] = address[1]
    found["review"] = review_of(visitor)
    return found


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


def told(violations: list[dict[str, Any]]) -> list[str]:
    return [
        f"{one['id']}: {node['html'][:160]} ({node.get('failureSummary', '')[:200]})"
        for one in violations
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
    problems = []
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme, rules in RULES.items():
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page, options={"runOnly": rules}).response["violations"]
            problems += [f"{scheme}, {width}: {text}" for text in told(found)]
        if (over := sideways(page)) > 0:
            problems.append(f"{width}: {over} px too wide")
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
        found = Axe().run(page, context="details.menu[open]", options={"runOnly": EVERYTHING})
        assert told(found.response["violations"]) == []
        menu.press("Escape")


def test_errors_of_a_form(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/orgs/acme/prod/jobs/new/")
    page.get_by_role("button", name="Review", exact=True).click()
    page.wait_for_selector("[aria-invalid=true]")
    assert told(Axe().run(page, options={"runOnly": EVERYTHING}).response["violations"]) == []
