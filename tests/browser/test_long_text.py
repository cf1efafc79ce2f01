"""Long texts without a blank wrap: none makes a page or a list scroll sideways, and none is cut off."""

import re

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Opener
from tests.processes import CHECKOUT, Demo, eventually

LONG = "Qa" + "x" * 3000 + "zQ"
SHEET = CHECKOUT / "static" / "segadmin" / "segadmin.css"
PARTS = {
    "heading": f'<div class="head"><h1>{LONG}</h1><div class="row"><a class="btn" href="#">{LONG}</a></div></div>',
    "sentence": f'<p class="say">{LONG}</p><p class="s">Jobs / {LONG}</p>',
    "note": f'<div class="note warn"><svg viewBox="0 0 16 16"></svg><div><strong>{LONG}</strong> {LONG}</div></div>',
    "facts": f'<dl class="facts"><dt>Purpose</dt><dd>{LONG}</dd></dl>',
    "rows": f'<table class="cards"><tbody><tr><th scope="row"><a href="#">{LONG}</a><small>{LONG}</small></th>'
    f'<td class="full">{LONG}</td><td><span class="prod nw">{LONG}</span></td><td data-l="By">{LONG}</td></tr></tbody></table>',
    "table": f'<table><tbody><tr><th scope="row">{LONG}</th><td>{LONG}</td></tr></tbody></table>',
    "event": f'<details class="ev" open><summary><svg></svg><span>09:00</span><span>{LONG}</span><span>{LONG}</span></summary>'
    f"<div>{LONG}</div></details>",
    "raw": f"<pre><code>{LONG}</code></pre>",
}


@pytest.mark.browser
@pytest.mark.parametrize("part", PARTS)
def test_it_wraps_at_390_pixels(browser: Browser, part: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    try:
        page.set_content(
            f"<!doctype html><html><head><style>{SHEET.read_text()}</style></head>"
            f'<body><main id="main">{PARTS[part]}</main></body></html>'
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert LONG in page.inner_text("main")
    finally:
        page.close()


@pytest.fixture(scope="module")
def typed(demo: Demo) -> list[str]:
    """An export, an explanation and a saved view with long texts in their free fields; the pages that list them."""
    operator = demo.signed_in("operator")
    form = {
        "who": "audiences",
        "which": "these",
        "filter__segments-TOTAL_FORMS": "1",
        "filter__segments-INITIAL_FORMS": "0",
        "filter__segments-0-segmentId": "Lapsed buyers",
        "filter__segments-0-segmentNs": "ups",
        "destination__datasetId": "CRM out",
        "schema__name": "_xdm.context.profile",
        "fields": "personalEmail.address",
        "purpose": LONG[:1900],
        "recipient": LONG[:290],
        "ticket": LONG[:100],
    }
    answer = operator.submit("/orgs/acme/prod/jobs/new/", form)
    assert answer.status_code == 302, answer.text
    review = answer.headers["Location"]
    version = re.search(r'name="version" value="([^"]+)"', operator.page(review).text)
    assert version
    assert "/jobs/" in operator.submit(review, {"version": version[1]}).headers["Location"]
    found: list[str] = []

    def look() -> bool:
        found[:] = re.findall(r'href="(/findings/\d+/)"', operator.page("/findings/?state=open").text)
        return bool(found)

    eventually(look, "an open finding")
    assert operator.submit(found[0], {"note": LONG[:900]}).status_code == 302
    view = {"page": "register", "name": LONG[:60], "query": f"recipient:{LONG[:150]}", "seen_by": "private"}
    assert demo.signed_in("auditor").submit("/views/new/?page=register", view).status_code == 302
    answers = ["/answers/?by=recipient", "/answers/where/?audience=Lapsed", "/answers/erasure/?audiences=Lapsed"]
    lists = ["/register/", "/views/", "/answers/processing/"]
    return [*lists, *answers, found[0]]


@pytest.mark.browser
def test_no_list_scrolls_sideways_at_1280_pixels(typed: list[str], open_as: Opener) -> None:
    page = open_as("auditor", viewport={"width": 1280, "height": 900})
    for path in typed:
        page.goto(path)
        assert "xxxxxxxxxx" in page.inner_text("main"), path
        wide = page.evaluate(
            "[document.documentElement, ...document.querySelectorAll('.scroll')]"
            ".filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.className || each.tagName)"
        )
        assert wide == [], path
