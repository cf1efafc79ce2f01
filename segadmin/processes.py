"""Processes that end together: a stop signal, children that never outlive their parent, and a supervisor for them.

Standard library only. For Linux and other POSIX systems.
"""

import errno
import http.client
import math
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StoppedWhileStarting(Exception):
    """A stop signal came before everything was up."""


class ChildFailed(Exception):
    """A child ended that should not have. The text is a sentence that names it and ends with its last words."""


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM, SIGINT and SIGHUP set, in place of what they do otherwise. Main thread only."""
    stop = threading.Event()
    for number in STOP_SIGNALS:
        # nohup starts a program with SIGHUP ignored; that is to stay so.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def end_with_parent(parent: int, grace_seconds: float = 30.0) -> None:
    """Give this process SIGTERM within a second once the process `parent`, which started it, is gone.

    After the grace the kernel ends it by an alarm: a thread of this process could not, when a server that stops badly
    keeps the interpreter's lock. The alarm is set first, for the same reason. A parent that was gone before this call is
    noticed too. Call it once, in a process that uses no SIGALRM of its own.
    """

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(0.5)
        signal.alarm(max(1, math.ceil(grace_seconds)))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def port_problem(host: str, port: int) -> str:
    """A sentence when nobody can listen there, else an empty text.

    The web server shares a port with its own kind without an error, so this is asked before.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except PermissionError:
        return f"Port {port} may only be used by root. Choose one from 1024 on with --port."
    except socket.gaierror:
        return f"{host} is not an address of this machine. Choose another with --host."
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} of {host} is taken by another program. End it, or choose another port with --port."
        return f"Nothing can listen on port {port} of {host}: {error.strerror}."
    return ""


def free_port(wanted: int = 0) -> int:
    """`wanted` when it is free on loopback, else any free one."""
    if wanted and not port_problem("127.0.0.1", wanted):
        return wanted
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    """Whether a GET to loopback is answered with 200 within a second."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True)
class Child:
    """How to start a process. Its output goes to `log` (appended), or where the parent's goes."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    log: Path | None = None
    restarts: bool = False


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[bytes]
    begun: float = field(default_factory=time.monotonic)
    restarts: int = 0
    restart_at: float | None = None


class Supervisor:
    """Starts children in order, watches them, and ends them in the reverse order.

    Each child is a process group of its own: a Ctrl-C in the terminal reaches only this process, which ends them in
    order. Start and run it in the main thread.
    """

    def __init__(self, stop: threading.Event, *, grace_seconds: float, tell: Callable[[str], None]) -> None:
        self._stop, self._grace, self._tell = stop, grace_seconds, tell
        self._running: list[_Running] = []

    def start(self, child: Child) -> None:
        """Start it and watch it from now on."""
        self._running.append(_Running(child, _popen(child, None)))

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Until `ready()`. ChildFailed when a child ends or the time is over, StoppedWhileStarting on a signal."""
        deadline = time.monotonic() + seconds
        while not ready():
            self._refuse_the_dead()
            if self._stop.wait(0.1):
                raise StoppedWhileStarting
            if time.monotonic() > deadline:
                raise ChildFailed(f"{what} did not get ready within {seconds:g} seconds.")
        # What answers must be our child, not somebody who took its port.
        self._refuse_the_dead()

    def finish(self, child: Child) -> str:
        """Start it, wait for its end and give its standard output; ChildFailed when it ends with an error."""
        running = _Running(child, _popen(child, subprocess.PIPE))
        self._running.append(running)
        while True:
            try:
                output, _ = running.process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                if self._stop.is_set():
                    raise StoppedWhileStarting from None
                continue
            self._running.remove(running)
            if self._stop.is_set():
                raise StoppedWhileStarting
            if running.process.returncode != 0:
                raise ChildFailed(_last_words(running))
            return output.decode("utf-8", "replace")

    def watch(self) -> None:
        """Until the stop signal. A child that ends is started again if it may be, else ChildFailed says which."""
        while not self._stop.wait(0.2):
            for running in self._running:
                if running.process.poll() is not None:
                    if not running.child.restarts:
                        raise ChildFailed(_last_words(running))
                    self._restart(running)

    def end(self) -> None:
        """SIGTERM to each, the newest first; what is left after the grace is killed with all it started."""
        deadline = time.monotonic() + self._grace
        for running in reversed(self._running):
            if running.process.poll() is None:
                running.process.terminate()
            try:
                running.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._tell(f"{running.child.name} did not stop in time and is killed, with all that it started.")
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
        self._running.clear()

    def _refuse_the_dead(self) -> None:
        for running in self._running:
            if running.process.poll() is not None:
                raise ChildFailed(_last_words(running))

    def _restart(self, running: _Running) -> None:
        """After a pause that doubles up to a minute, and is short again once the child has run for five minutes."""
        now = time.monotonic()
        if running.restart_at is None:
            running.restarts = 0 if now - running.begun > 300 else running.restarts
            pause = min(60.0, 2.0**running.restarts)
            running.restart_at = now + pause
            self._tell(f"{_last_words(running)}\n{running.child.name} starts again in {pause:g} s.")
        elif now >= running.restart_at:
            running.process, running.begun, running.restart_at = _popen(running.child, None), now, None
            running.restarts += 1


def _popen(child: Child, output: int | None) -> subprocess.Popen[bytes]:
    log: IO[bytes] | None = None
    if child.log is not None:
        log = child.log.open("ab")
    try:
        return subprocess.Popen(  # noqa: S603  our own interpreter and commands
            list(child.argv),
            env=None if child.env is None else dict(child.env),
            stdin=subprocess.DEVNULL,
            stdout=output if output is not None else log,
            stderr=log,
            process_group=0,
        )
    finally:
        if log is not None:
            log.close()


def _last_words(running: _Running) -> str:
    code = running.process.returncode
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    text = f"{running.child.name} ended {how}."
    log = running.child.log
    if log is None:
        return text
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
    return "\n".join([f"{text} The end of {log}:", *(f"    {line}" for line in lines)])
