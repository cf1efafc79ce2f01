"""Everything can be reached and done with the keyboard."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener, Watch

pytestmark = pytest.mark.browser


def focused(page: Page) -> str:
    """What has the focus, in words; None of it may be hidden."""
    text: str = page.evaluate(
        """() => {
            const at = document.activeElement, box = at.getBoundingClientRect();
            if (at !== document.body && !(box.width && box.height)) return "hidden: " + at.outerHTML.slice(0, 100);
            return (at.getAttribute("aria-label") || at.textContent || at.name || "").trim().replace(/\\s+/g, " ");
        }"""
    )
    return text


def tab_until(page: Page, wanted: str, most: int = 60) -> list[str]:
    """Press Tab until something with that text has the focus; gives all that had it on the way."""
    way: list[str] = []
    while len(way) < most:
        page.keyboard.press("Tab")
        way.append(focused(page))
        if way[-1].startswith(wanted):
            return way
    raise AssertionError(f"{wanted!r} was not reached by Tab: {way}")


def test_the_skip_link_is_first_and_works(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/jobs/")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert focused(page).startswith("New export")


def test_the_focus_is_visible_and_never_hidden(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/jobs/")
    way = tab_until(page, "Check with Adobe now")
    assert not [text for text in way if text.startswith("hidden")]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline not in {"none", ""}


def test_a_new_export_from_the_keyboard_alone(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/jobs/")
    tab_until(page, "New export")
    page.keyboard.press("Enter")
    tab_until(page, "Acme Retail", 5)
    page.keyboard.press("Enter")
    page.wait_for_url("**/orgs/acme/*/jobs/new/")
    page.locator("[name=filter__segments-0-segmentId]").focus()
    page.keyboard.type("Staff")
    page.locator("[name=fields][value='personalEmail.address']").focus()
    page.keyboard.press("Space")
    page.get_by_label("Dataset").focus()
    page.keyboard.type("CRM out")
    page.get_by_label("Purpose").focus()
    page.keyboard.type("Invitation to the staff shop")
    tab_until(page, "Review", 10)
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests/*/")
    tab_until(page, "Send this export")
    expect(page.get_by_role("button", name="Send this export")).to_be_focused()


def test_escape_shuts_a_menu_and_gives_the_focus_back(open_as: Opener) -> None:
    page = open_as("operator")
    page.goto("/jobs/")
    tab_until(page, "New export")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert focused(page).startswith("New export")
    expect(page.locator("details.menu[open]")).to_have_count(0)


def test_the_search_has_a_shortcut(open_as: Opener) -> None:
    page = open_as("viewer")
    page.goto("/organizations/")
    page.keyboard.press("Control+k")
    page.keyboard.type("Lapsed")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/?q=Lapsed")


@pytest.fixture
def single_keys(open_as: Opener) -> Iterator[Page]:
    """The auditor, with single keys switched on; and off again afterwards, since the account is shared."""
    page = open_as("auditor")
    page.goto("/keys/")
    page.get_by_role("button", name="Switch single keys on").click()
    expect(page.get_by_text("Single keys are on.")).to_be_visible()
    yield page
    page.goto("/keys/")
    page.get_by_role("button", name="Switch single keys off").click()
    expect(page.get_by_text("Single keys are off.")).to_be_visible()


def test_single_keys_do_nothing_until_they_are_switched_on(open_as: Opener) -> None:
    page = open_as("auditor")
    page.goto("/audit/")
    for key in ("j", "k", "/", "?"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement === document.body")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_j_and_k_go_through_the_events_and_enter_opens_one(single_keys: Page) -> None:
    page = single_keys
    page.goto("/audit/")
    rows = page.locator("details.ev > summary")
    page.keyboard.press("j")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("details.ev[open]")).to_have_count(1)
    expect(page.locator("details.ev[open]").get_by_text("Kept", exact=True)).to_be_visible()
    page.keyboard.press("Tab")  # into what was opened; the row is still the same one
    page.keyboard.press("k")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("k")
    expect(rows.nth(0)).to_be_focused()


def test_a_row_that_could_not_be_fetched_says_so_and_tries_again(open_as: Opener, watch: Watch) -> None:
    page = open_as("auditor")
    page.goto("/audit/")
    row = page.locator("details.ev").first
    page.route("**/audit/*/", lambda route: route.abort())
    row.locator("summary").first.press("Enter")
    expect(row.get_by_text("could not be loaded")).to_be_visible()
    expect(row.get_by_role("link", name="Open record")).to_be_visible()
    page.unroute("**/audit/*/")
    row.locator("summary").first.press("Enter")
    row.locator("summary").first.press("Enter")
    expect(row.get_by_text("Kept", exact=True)).to_be_visible()
    expect(row.get_by_text("could not be loaded")).to_have_count(0)
    assert all("htmx:" in fault for fault in watch.faults)  # it writes each failed call to the console
    watch.faults.clear()


def test_j_and_k_go_through_the_register(single_keys: Page) -> None:
    page = single_keys
    page.goto("/register/")
    links = page.locator(".cards tbody th a")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/register/*/")


def test_slash_goes_to_the_query_and_is_text_in_it(single_keys: Page) -> None:
    page = single_keys
    page.goto("/audit/")
    page.keyboard.press("/")
    query = page.locator("[data-find]")
    expect(query).to_be_focused()
    page.keyboard.type("a/j?k")
    expect(query).to_have_value("a/j?k")


def test_the_question_mark_shows_the_keys_and_escape_shuts_them(single_keys: Page) -> None:
    page = single_keys
    page.goto("/audit/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
