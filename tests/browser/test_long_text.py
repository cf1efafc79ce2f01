"""Long texts without a blank wrap on a phone: none makes the page scroll sideways, and none is cut off."""

import pytest
from playwright.sync_api import Browser

from tests.processes import CHECKOUT

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
