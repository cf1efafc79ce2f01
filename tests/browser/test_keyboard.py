"""Everything can be reached and done with the keyboard."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener

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
