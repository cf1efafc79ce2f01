"""On paper: totals stand once, a register's columns keep their words, and what belongs together stays on one page."""

import pytest
from playwright.sync_api import Browser, Page

from tests.processes import CHECKOUT

SHEET = CHECKOUT / "static" / "segadmin" / "segadmin.css"
# A landscape page of A4 without its margins, and a portrait one.
LANDSCAPE, PORTRAIT = 1032, 703
ROW = (
    "<tr><td class='nw'>28 October 20:26</td><td>operator<small>no approval required</small></td>"
    "<th scope='row'>Lapsed buyers<small>e-mail, first name</small></th><td>Acme Retail<small class='prod nw'>prod, "
    "production</small></td><td>Mail vendor handover<small>goes on to mail vendor, as stated</small></td>"
    f"<td class='why'>{'p' * 300}<small>CRM-1042</small></td><td class='num'>at most 100,780</td>"
    "<td><span class='state ok'><svg viewBox='0 0 16 16'></svg><b>Finished</b></span></td><td>possibly</td>"
    "<td class='num'>1,042</td></tr>"
)


def printed(browser: Browser, html: str, width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 700})
    page.emulate_media(media="print")
    page.set_content(
        f"<!doctype html><html><head><style>{SHEET.read_text()}</style></head><body><main>{html}</main></body></html>"
    )
    return page


@pytest.mark.browser
def test_a_total_stands_at_the_end_and_not_on_every_page(browser: Browser) -> None:
    rows = "<tbody><tr><td>1</td></tr></tbody><tfoot><tr><td>2</td></tr></tfoot>"
    html = f"<table><thead><tr><th>By</th></tr></thead>{rows}</table>"
    page = printed(browser, html, PORTRAIT)
    display = "(one) => getComputedStyle(one).display"
    shown = {name: page.eval_on_selector(name, display) for name in ("thead", "tfoot")}
    assert shown == {"thead": "table-header-group", "tfoot": "table-row-group"}
    page.close()


@pytest.mark.browser
def test_the_registers_columns_keep_their_words_beside_a_long_text(browser: Browser) -> None:
    page = printed(browser, f"<table class='cards stick register'><tbody>{ROW}</tbody></table>", LANDSCAPE)
    assert page.evaluate("document.documentElement.scrollWidth") <= LANDSCAPE
    widths = page.eval_on_selector_all("td, th", "(all) => all.map((one) => one.getBoundingClientRect().width)")
    assert min(widths[:6]) > 75  # narrower, and words stand letter by letter
    page.close()


@pytest.mark.browser
def test_facts_and_an_events_details_are_not_torn_apart(browser: Browser) -> None:
    html = (
        "<dl class='facts'><dt>A</dt><dd>B</dd></dl><details class='ev' open><summary>x</summary><div>y</div></details>"
    )
    page = printed(browser, html, PORTRAIT)
    for part in (".facts", ".ev > div"):
        assert page.eval_on_selector(part, "(one) => getComputedStyle(one).breakInside") == "avoid"
    page.close()
