"""`demo`: ready when it says so, a sign-in line per role, goes on with its data, and leaves no process behind."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import Browser, Demo, children, command_of, descendants, eventually, is_running

ROLES = ("admin", "operator", "approver", "auditor", "viewer")


@dataclass(frozen=True)
class Stopped:
    """What a demo said and did until Ctrl-C ended it."""

    folder: Path
    emulator: str
    password: str
    jobs: set[str]
    exit_code: int
    left_running: set[int]

    def copy(self, place: Path) -> Path:
        """Its folder, to go on with."""
        return shutil.copytree(self.folder, place / "demo")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    folder = tmp_path_factory.mktemp("stopped") / "demo"
    with Demo(folder) as first:
        jobs = job_ids(first.signed_in("operator").page("/jobs/").text)
        password, emulator = first.password("operator"), first.line(r"emulator on (\S+);")[1]
        started = descendants(first.process.pid)
        code = first.stop(signal.SIGINT)
        return Stopped(folder, emulator, password, jobs, code, set(filter(is_running, started)))


@pytest.fixture(scope="module")
def lasting(stopped: Stopped, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for all tests that leave it running."""
    folder = stopped.copy(tmp_path_factory.mktemp("lasting"))
    (folder / "emulator_port").unlink()  # which others will take
    with Demo(folder) as running:
        yield running


@pytest.fixture
def demo(stopped: Stopped, tmp_path: Path) -> Iterator[Demo]:
    """One to be ended by the test; with what another one set up, which is quicker."""
    with Demo(stopped.copy(tmp_path)) as running:
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


def test_ctrl_c_ends_everything_and_a_new_start_goes_on(stopped: Stopped, tmp_path: Path) -> None:
    assert stopped.exit_code == 0
    assert stopped.left_running == set()
    with Demo(stopped.copy(tmp_path)) as second:
        assert second.line(r"emulator on (\S+);")[1] == stopped.emulator
        browser = second.signed_in("operator")
        assert len(stopped.jobs) >= 30
        assert stopped.jobs <= job_ids(browser.page("/jobs/").text)
        assert second.password("operator") != stopped.password
        refused = Browser(second.url).submit("/accounts/login/", {"login": "operator", "password": stopped.password})
        assert refused.status_code == 200
        assert second.stop(signal.SIGTERM) == 0


def test_another_program_on_the_emulators_port_moves_it(stopped: Stopped, tmp_path: Path) -> None:
    port = int(stopped.emulator.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), Demo(stopped.copy(tmp_path)) as second:
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
