"""Children end with their parent, a supervisor ends them in order, and a fault names who ended."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from segadmin import processes
from segadmin.processes import Child, ChildFailed, StoppedWhileStarting, Supervisor
from tests.processes import CHECKOUT, Program, eventually, is_running

WAIT = "import signal; print('up', flush=True); signal.pause()"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


class Kit:
    """A supervisor with what it said."""

    def __init__(self, folder: Path, grace_seconds: float = 20) -> None:
        self.folder, self.stop, self.said = folder, threading.Event(), list[str]()
        self.supervisor = Supervisor(self.stop, grace_seconds=grace_seconds, tell=self.said.append)

    def child(self, name: str, code: str, *, restarts: bool = False) -> Child:
        return Child(name=name, argv=[sys.executable, "-c", code], log=self.folder / f"{name}.log", restarts=restarts)

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def pids(self) -> list[int]:
        return [running.process.pid for running in self.supervisor._running]


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    made = Kit(tmp_path)
    yield made
    made.supervisor.end()


def test_it_ends_what_it_started(kit: Kit) -> None:
    for name in ("one", "two"):
        kit.supervisor.start(kit.child(name, WAIT))
        kit.supervisor.wait_until(lambda name=name: "up" in kit.log(name), name)
    pids = kit.pids()
    kit.supervisor.end()
    assert not any(map(is_running, pids))
    assert kit.said == []


def test_a_child_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    kit = Kit(tmp_path, grace_seconds=0.3)
    kit.supervisor.start(kit.child("deaf", DEAF))
    kit.supervisor.wait_until(lambda: "up" in kit.log("deaf"), "deaf")
    (pid,) = kit.pids()
    kit.supervisor.end()
    assert not is_running(pid)
    assert kit.said == ["deaf did not stop in time and is killed, with all that it started."]


def test_a_child_that_ends_is_named_with_its_last_words(kit: Kit) -> None:
    kit.supervisor.start(kit.child("web", "import sys; sys.exit('no room left')"))
    with pytest.raises(ChildFailed, match=r"(?s)web ended with code 1\. The end of .*web\.log:\n    no room left"):
        kit.supervisor.watch()


def test_a_child_that_may_is_started_again(kit: Kit) -> None:
    kit.supervisor.start(kit.child("sync", "print('run')", restarts=True))
    watching = threading.Thread(target=kit.supervisor.watch)
    watching.start()
    eventually(lambda: kit.log("sync").count("run") >= 2, "the second run", 30)
    kit.stop.set()
    watching.join()
    assert kit.said[0].endswith("sync starts again in 1 s.")


def test_waiting_for_readiness_notices_a_dead_child(kit: Kit) -> None:
    kit.supervisor.start(kit.child("web", "raise SystemExit(3)"))
    with pytest.raises(ChildFailed, match="web ended with code 3"):
        kit.supervisor.wait_until(lambda: False, "The web server")


def test_waiting_for_readiness_ends(kit: Kit) -> None:
    kit.supervisor.start(kit.child("web", WAIT))
    with pytest.raises(ChildFailed, match=r"The web server did not get ready within 0\.2 seconds\."):
        kit.supervisor.wait_until(lambda: False, "The web server", 0.2)


def test_a_stop_while_starting(kit: Kit) -> None:
    kit.supervisor.start(kit.child("web", WAIT))
    kit.stop.set()
    with pytest.raises(StoppedWhileStarting):
        kit.supervisor.wait_until(lambda: False, "The web server")
    with pytest.raises(StoppedWhileStarting):
        kit.supervisor.finish(kit.child("set-up", WAIT))


def test_a_child_that_runs_to_its_end_gives_its_output(kit: Kit) -> None:
    assert kit.supervisor.finish(kit.child("set-up", "print('done')")) == "done\n"
    with pytest.raises(ChildFailed, match="set-up ended with code 1"):
        kit.supervisor.finish(kit.child("set-up", "raise SystemExit('cannot')"))


@pytest.mark.parametrize("number", processes.STOP_SIGNALS)
def test_stop_signals_set_the_event(number: signal.Signals) -> None:
    before = {one: signal.getsignal(one) for one in processes.STOP_SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have started us
        stop = processes.stop_on_signals()
        signal.raise_signal(number)
        assert stop.is_set()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_an_ignored_hangup_stays_ignored() -> None:
    before = {one: signal.getsignal(one) for one in processes.STOP_SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop = processes.stop_on_signals()
        signal.raise_signal(signal.SIGHUP)
        assert not stop.is_set()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


# A server that stops badly may wait for ever and keep the interpreter's lock; no thread of its own could end it then.
STUCK = "signal.signal(signal.SIGTERM, lambda *_: ctypes.PyDLL(None).sleep(1000))\n"


@pytest.mark.parametrize("at_the_end", ["", STUCK], ids=["ends by the signal", "stuck with the lock"])
def test_a_child_ends_with_its_parent(at_the_end: str) -> None:
    child = (
        f"import ctypes, os, signal, sys\nfrom segadmin import processes\n{at_the_end}"
        "processes.end_with_parent(int(sys.argv[1]), grace_seconds=1)\n"
        "print('child', os.getpid(), flush=True)\nsignal.pause()"
    )
    parent = (
        "import os, signal, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())])\nsignal.pause()"
    )
    with Program(sys.executable, "-c", parent, cwd=CHECKOUT) as program:
        pid = int(program.line(r"^child (\d+)")[1])
        program.process.kill()
        eventually(lambda: not is_running(pid), "the end of the child", 20)


def test_port_problems_are_sentences() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "is taken by another program" in processes.port_problem("127.0.0.1", port)
        assert processes.free_port(port) != port
    assert processes.port_problem("127.0.0.1", port) == ""
    assert processes.free_port(port) == port
    assert "not an address of this machine" in processes.port_problem("no-such-host.invalid", 8000)
    assert "Nothing can listen" in processes.port_problem("203.0.113.7", 8000)


def test_a_question_to_a_closed_port_is_no() -> None:
    assert processes.answers(processes.free_port(), "/healthz") is False
