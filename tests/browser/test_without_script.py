"""With JavaScript off: sign in, create, follow, cancel."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener, sign_in
from tests.processes import Demo, eventually

pytestmark = pytest.mark.browser


def test_sign_in_create_and_cancel(demo: Demo, open_as: Opener) -> None:
    page = open_as(None, java_script_enabled=False)
    sign_in(page, "operator", demo.password("operator"))
    page.locator("summary", has_text="New export").click()
    page.get_by_role("link", name=re.compile(r"Nordwind")).click()

    page.locator("[name=filter__segments-0-segmentId]").fill("Families")
    page.get_by_role("button", name="Add an audience").click()
    expect(page.locator("[name=filter__segments-0-segmentId]")).not_to_have_value("")
    page.locator("[name=filter__segments-1-segmentId]").fill("Winter sun 2026")
    page.locator("input[name=fields][value='personalEmail.address']").check()
    page.get_by_label("Dataset").fill("Campaign platform out")
    page.get_by_label("Purpose").fill("Winter offers for families")
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page.locator(".say")).to_contain_text("“Families” or “Winter sun 2026”")
    page.get_by_role("button", name="Send this export").click()
    expect(page.locator("#job-status")).to_be_visible()
    address = page.url

    page.get_by_role("link", name="Cancel…").click()
    page.locator("[name=reason]").fill("Only a drill")
    page.get_by_role("button", name="Cancel this export").click()
    assert page.url == address

    def is_cancelled() -> bool:
        page.reload()
        return "Cancelled" in page.locator("#job-status").inner_text()

    eventually(is_cancelled, "the end of the cancelled job", 60)


def test_a_faulty_form_keeps_what_was_typed(open_as: Opener) -> None:
    page = open_as("operator", java_script_enabled=False)
    page.goto("/orgs/acme/prod/jobs/new/")
    page.get_by_label("Purpose").fill("Kept, although nothing else is there")
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page.get_by_label("Purpose")).to_have_value("Kept, although nothing else is there")
    expect(page.locator("[aria-invalid=true]").first).to_be_visible()


def test_the_record_and_its_filters(open_as: Opener) -> None:
    page = open_as("auditor", java_script_enabled=False)
    page.goto("/audit/?action=signin.done")
    expect(page.locator("details.ev").first).to_contain_text("signed in")
    page.locator("details.ev > summary").first.click()
    page.get_by_role("link", name=re.compile("Open record")).first.click()
    page.wait_for_url(re.compile(r"/audit/\d+/"))


def test_checking_with_adobe(open_as: Opener) -> None:
    page = open_as("viewer", java_script_enabled=False)
    page.goto("/jobs/?org=acme")
    page.get_by_role("button", name="Check with Adobe now").click()
    expect(page.locator("main")).to_contain_text("Acme Retail / prod")
    assert page.url.endswith("/jobs/?org=acme")
