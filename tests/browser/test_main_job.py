"""The main job, as a person does it: see jobs move, create, review, send, watch it end, cancel another, read the record."""

import re

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import Opener, Watch, sign_in
from tests.processes import Demo

pytestmark = pytest.mark.browser

# A job of the emulator ends within 45 s; the mirror looks every 3 s and the page every 5 s.
UNTIL_IT_ENDS = 120_000


def fill_in(page: Page, audiences: tuple[str, ...], dataset: str, purpose: str) -> None:
    for number, name in enumerate(audiences):
        if number:
            page.get_by_role("button", name="Add an audience").click()
        page.locator(f"[name=filter__segments-{number}-segmentId]").fill(name)
    page.locator("input[name=fields][value='personalEmail.address']").check()
    page.get_by_label("Dataset").fill(dataset)
    page.get_by_label("Purpose").fill(purpose)


def mark(page: Page) -> None:
    """Left in the page, so that a reload would be noticed."""
    page.evaluate("window.notReloaded = true")


def was_not_reloaded(page: Page) -> bool:
    return bool(page.evaluate("window.notReloaded === true"))


def job_id_of(page: Page) -> str:
    found = page.locator("#job-status").get_attribute("data-job-id")
    assert found
    return found


def test_create_watch_cancel_and_read_the_record(demo: Demo, open_as: Opener) -> None:
    page = open_as(None)
    sign_in(page, "operator", demo.password("operator"))
    expect(page.locator("tr[data-job-id]").first).to_be_visible()

    page.locator("summary", has_text="New export").click()
    page.get_by_role("link", name=re.compile(r"Acme Retail\s+.*prod")).click()
    fill_in(page, ("Lapsed buyers", "Garden lovers"), "CRM out", "Autumn letter for lapsed garden customers")
    page.get_by_role("button", name="Review", exact=True).click()
    page.wait_for_url("**/requests/*/")
    expect(page.locator(".say")).to_contain_text(
        re.compile(r"e-mail .*“Lapsed buyers” or “Garden lovers”.*Acme Retail / prod.*CRM out", re.DOTALL)
    )
    page.get_by_role("button", name="Send this export").click()
    page.wait_for_url("**/jobs/*/")
    first = job_id_of(page)
    mark(page)

    # The list moves by itself in a second tab.
    other = page.context.new_page()
    other.goto("/jobs/")
    row = other.locator(f"tr[data-job-id='{first}']")
    expect(row).to_have_attribute("data-state", re.compile("waiting|running"))
    mark(other)
    expect(row).to_have_attribute("data-state", "succeeded", timeout=UNTIL_IT_ENDS)
    assert was_not_reloaded(other)
    expect(page.locator("#job-status")).to_contain_text("Finished", timeout=UNTIL_IT_ENDS)
    assert was_not_reloaded(page)
    expect(page.get_by_role("link", name="Cancel…")).to_have_count(0)

    # Another one like it is cancelled.
    page.get_by_role("link", name="Copy as new").click()
    expect(page.locator("[name=filter__segments-1-segmentId]")).not_to_have_value("")
    page.get_by_label("Purpose").fill("The same again, to be stopped")
    page.get_by_role("button", name="Review", exact=True).click()
    page.wait_for_url("**/requests/*/")
    page.get_by_role("button", name="Send this export").click()
    page.wait_for_url("**/jobs/*/")
    second = job_id_of(page)
    assert second != first
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel this export").click()
    expect(page.locator("[name=reason]")).to_have_attribute("aria-invalid", "true")
    page.locator("[name=reason]").fill("Ticket was withdrawn")
    page.get_by_role("button", name="Cancel this export").click()
    page.wait_for_url(f"**/jobs/{second}/")
    expect(page.locator("#job-status")).to_contain_text("Cancelled", timeout=UNTIL_IT_ENDS)
    expect(page.locator("main")).to_contain_text("Ticket was withdrawn")

    record = open_as("auditor")
    record.goto("/audit/?person=operator&org=acme")
    expect(record.locator("main")).to_contain_text(f"asked to cancel {second}")
    expect(record.locator("main")).to_contain_text(re.compile(rf"got job {first} from Adobe"))
    record.goto("/audit/?person=operator&action=export.create&outcome=requested")
    event = record.locator("details.ev").first
    event.locator(":scope > summary").click()
    event.get_by_role("link", name=re.compile("Open record")).click()
    record.wait_for_url(re.compile(r"/audit/\d+/"))
    expect(record.locator("main")).to_contain_text("The same again, to be stopped")


def test_everyone_needs_the_sandbox_typed(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/orgs/acme/stage/jobs/new/")
    page.get_by_label("Everyone in stage").check()
    page.get_by_label("All fields", exact=True).check()
    page.get_by_label("Dataset").fill("Test export")
    page.get_by_label("Purpose").fill("Full copy of the test profiles for the import test")
    page.get_by_role("button", name="Review", exact=True).click()
    page.wait_for_url("**/requests/*/")
    page.get_by_role("button", name="Export everyone").click()
    expect(page.locator("[name=confirm]")).to_have_attribute("aria-invalid", "true")
    page.locator("[name=confirm]").fill("stage")
    page.locator("[name=all_fields]").check()
    page.get_by_role("button", name="Export everyone").click()
    page.wait_for_url("**/jobs/*/")
    expect(page.locator("#job-sentence")).to_contain_text("all fields")


def test_going_back_after_sending_makes_no_second_job(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/orgs/acme/stage/jobs/new/")
    fill_in(page, ("Everyone with an e-mail",), "Test export", "One job, however often it is sent")
    page.get_by_role("button", name="Review", exact=True).click()
    page.wait_for_url("**/requests/*/")
    page.get_by_role("button", name="Send this export").dblclick()
    page.wait_for_url("**/jobs/*/")
    made = job_id_of(page)
    page.go_back()
    again = page.get_by_role("button", name="Send this export")
    if again.count():  # the page as it was, out of the browser's memory
        again.click()
        page.wait_for_url("**/jobs/*/")
        assert job_id_of(page) == made
    else:
        expect(page.get_by_role("link", name=made).first).to_be_visible()
    page.goto("/jobs/?org=acme&sandbox=stage&q=Everyone+with+an+e-mail&by=operator")
    expect(page.locator("tr[data-job-id]")).to_have_count(1)


def test_what_was_typed_survives_a_closed_tab(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/orgs/nordwind/prod/jobs/new/")
    page.get_by_label("Purpose").fill("A half-finished thought about winter")
    expect(page.locator("#draft-status")).to_contain_text("Kept as a draft")
    page.close(run_before_unload=False)
    later = open_as("operator")
    later.goto("/drafts/")
    later.get_by_role("link", name="Continue A half-finished thought about winter").click()
    expect(later.get_by_label("Purpose")).to_have_value("A half-finished thought about winter")


def test_the_refresh_can_be_paused(open_as: Opener) -> None:
    page = open_as("viewer")
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if "poll=" in request.url else None)
    page.clock.install()
    page.goto("/jobs/")

    def is_poll(request: Request) -> bool:
        return "poll=" in request.url

    with page.expect_request_finished(is_poll):
        page.clock.run_for(20_000)
    button = page.get_by_role("button", name="Pause refresh")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("Paused; this page shows what was known then")).to_be_visible()
    before = len(polls)
    page.clock.run_for(60_000)
    assert len(polls) == before
    with page.expect_request(is_poll):
        button.click()
        page.clock.run_for(2_000)


def test_a_sign_out_elsewhere_leads_a_refreshing_page_to_the_sign_in(demo: Demo, open_as: Opener, watch: Watch) -> None:
    watch.expected.add(401)
    page = open_as(None)
    sign_in(page, "approver", demo.password("approver"))
    other = page.context.new_page()
    other.goto("/accounts/logout/")
    other.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/**", timeout=40_000)
