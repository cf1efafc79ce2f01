"""A real Chromium on a real demo. Whatever a page reports as an error fails the test that opened it."""

import os
import shutil
from collections.abc import Callable, Iterator
from http.cookiejar import Cookie
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    StorageState,
    StorageStateCookie,
    expect,
    sync_playwright,
)

from tests.processes import Demo

# As root Chromium has no sandbox; the rest keeps it from calling home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Long enough for a busy machine; nothing waits this long when all is well.
PATIENCE = 30_000
ROLES = ("admin", "operator", "approver", "auditor", "viewer")


def chromium() -> str:
    """The path of Chromium; skips where there is none, on CI that is a failure."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "no Chromium in PATH (Debian's package chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for all these tests; it ends with the last of them, since it keeps a part of the machine busy."""
    chromium()
    with Demo(tmp_path_factory.mktemp("browser") / "demo") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of a module and no longer: while it is open, Django refuses to use the database in this thread."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def states(demo: Demo) -> dict[str, StorageState]:
    """Role -> the cookies of somebody who signed in; one sign-in per role."""
    return {role: {"cookies": [_cookie(one) for one in demo.signed_in(role).cookies]} for role in ROLES}


def _cookie(one: Cookie) -> StorageStateCookie:
    """A cookie of the client that needs no browser, for one."""
    return {
        "name": one.name,
        "value": one.value or "",
        "domain": one.domain,
        "path": one.path,
        "expires": -1,
        "httpOnly": one.has_nonstandard_attr("HttpOnly"),
        "secure": one.secure,
        "sameSite": "Lax",
    }


def sign_in(page: Page, name: str, password: str) -> None:
    page.goto("/")
    page.get_by_label("Account name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/accounts/login/" not in url)


class Watch:
    """Collects what a page must not do: errors of script and policy, failed loads, calls to other hosts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.faults: list[str] = []
        self.expected: set[int] = set()

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # A refused page is noted by its status; Chromium repeats it as an error.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.faults.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"left the machine: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.faults.append(f"{response.status} for {response.request.method} {response.url}")


@pytest.fixture
def watch(demo: Demo) -> Iterator[Watch]:
    watching = Watch(demo.url)
    yield watching
    assert watching.faults == []


type Opener = Callable[..., Page]


@pytest.fixture
def open_as(browser: Browser, demo: Demo, states: dict[str, StorageState], watch: Watch) -> Iterator[Opener]:
    """`open_as(role, **options)`: a page of a new context; role None is nobody."""
    contexts: list[BrowserContext] = []

    def open_page(role: str | None, **options: Any) -> Page:
        state = states[role] if role else None
        context = browser.new_context(base_url=demo.url, storage_state=state, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch.follow(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
