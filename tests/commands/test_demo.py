"""`demo`: ready when it says so, a sign-in line per role, goes on with its data, and leaves no process behind."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Browser, Demo, children, command_of, descendants, eventually, is_running

ROLES = ("admin", "operator", "approver", "auditor", "viewer")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for all tests that leave it running."""
    with Demo(tmp_path_factory.mktemp("lasting") / "demo") as running:
        yield running


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path / "demo") as running:
        yield running


def job_ids(page: str) -> set[str]:
    return set(re.findall(r'data-job-id="([^"]+)"', page))


def sockets_of(pids: set[int]) -> set[str]:
    """Addresses (hexadecimal, as the kernel writes them) on which these processes listen."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            found = re.match(r"socket:\[(\d+)\]", os.readlink(entry))
            inodes.add(found[1] if found else "")
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {words[1].partition(":")[0] for words in lines if words[3] == "0A" and words[9] in inodes}


def test_every_role_can_sign_in_and_the_first_page_is_full(lasting: Demo) -> None:
    for role in ROLES:
        lasting.signed_in(role)
    page = lasting.signed_in("operator").page("/jobs/")
    assert page.status_code == 200
    assert len(job_ids(page.text)) >= 30
    for org, sandbox in (("acme", "prod"), ("acme", "stage"), ("nordwind", "prod")):
        assert re.search(rf'data-org="{org}"[^>]*data-sandbox="{sandbox}"', page.text), f"nothing of {org} {sandbox}"
    assert Browser(lasting.url).page("/readyz").text == "ready\n"


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the kernel's list of sockets")
def test_it_listens_on_loopback_only(lasting: Demo) -> None:
    assert sockets_of(descendants(lasting.process.pid)) == {"0100007F"}


def test_ctrl_c_ends_everything_and_a_new_start_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with Demo(folder) as first:
        before = job_ids(first.signed_in("operator").page("/jobs/").text)
        old_password = first.password("operator")
        started = descendants(first.process.pid)
        emulator = first.line(r"emulator on (\S+);")[1]
        assert first.stop(signal.SIGINT) == 0
        assert not any(map(is_running, started))
    with Demo(folder) as second:
        assert second.line(r"emulator on (\S+);")[1] == emulator
        browser = second.signed_in("operator")
        assert before <= job_ids(browser.page("/jobs/").text)
        assert second.password("operator") != old_password
        refused = Browser(second.url).submit("/accounts/login/", {"login": "operator", "password": old_password})
        assert refused.status_code == 200
        assert second.stop(signal.SIGTERM) == 0


def test_another_program_on_the_emulators_port_moves_it(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with Demo(folder) as first:
        port = int(first.line(r"emulator on http://127\.0\.0\.1:(\d+);")[1])
        assert first.stop() == 0
    with socket.create_server(("127.0.0.1", port)), Demo(folder) as second:
        assert int(second.line(r"emulator on http://127\.0\.0\.1:(\d+);")[1]) != port
        event = second.signed_in("auditor").page("/audit/?action=organization.change").text
        assert "changed API address and token address of Acme Retail" in event
        assert Browser(second.url).page("/readyz").text == "ready\n"


def test_a_killed_parent_takes_everything_along(demo: Demo) -> None:
    started = descendants(demo.process.pid)
    assert len(started) >= 4  # emulator, sync, web server and its worker
    demo.process.kill()
    eventually(lambda: not any(map(is_running, started)), "the end of all children", 40)


@pytest.mark.parametrize("name", ["emulator", "sync", "serve"])
def test_a_child_that_dies_ends_all_and_is_named(demo: Demo, name: str) -> None:
    started = descendants(demo.process.pid)
    (child,) = [pid for pid in children(demo.process.pid) if name in command_of(pid)]
    os.kill(child, signal.SIGKILL)
    assert demo.ended() == 1
    assert f"{'web' if name == 'serve' else name} ended by signal 9" in demo.text
    eventually(lambda: not any(map(is_running, started)), "the end of all children", 40)


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Demo(tmp_path / "demo", port, ready=False) as demo:
            assert demo.ended() == 1
            assert f"Port {port} of 127.0.0.1 is taken by another program." in demo.text


def test_two_demos_cannot_share_a_folder(lasting: Demo) -> None:
    with Demo(lasting.folder, ready=False) as second:
        assert second.ended() == 1
        assert "runs in" in second.text
    assert lasting.signed_in("viewer").page("/jobs/").status_code == 200
