"""Real server processes for tests: own data folder, free ports, waited for by their output, ended by their id."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import requests

from segadmin.processes import free_port

CHECKOUT = Path(__file__).resolve().parent.parent
PATIENCE = 90.0


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without the settings of the test process."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("SEGADMIN_", "DATABASE_URL"))}
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    return kept | {"PYTHONUNBUFFERED": "1"} | more


def eventually(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until it holds; the pause is only how often it is looked at."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.05)


def _children() -> dict[int, list[int]]:
    """Parent -> the processes that it started and that still run."""
    table = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    found: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent, state = line.split(maxsplit=2)
        if not state.startswith("Z"):
            found.setdefault(int(parent), []).append(int(child))
    return found


def children(pid: int) -> list[int]:
    """The processes that this one started itself."""
    return _children().get(pid, [])


def descendants(pid: int) -> set[int]:
    """The processes that this one started, and those that they started."""
    known = _children()
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = [child for child in known.get(waiting.pop(), []) if child not in found]
        found.update(new)
        waiting += new
    return found


def command_of(pid: int) -> list[str]:
    """The words of its command line."""
    done = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.split()


def is_running(pid: int) -> bool:
    """Whether the process is there and not just waiting to be collected.

    Read from /proc where there is one: a `ps` for every look would use up process ids, which then come back as
    somebody else's.
    """
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].strip()
        except (FileNotFoundError, ProcessLookupError):
            return False
    else:
        told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        state = told.stdout.strip()
    return bool(state) and not state.startswith(("Z", "X"))


class Program:
    """A process whose output is read line by line while it runs. As a context manager it is ended at the end."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = CHECKOUT) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            arguments,
            env=dict(clean_environment() if env is None else env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def manage(cls, *arguments: str, env: Mapping[str, str] | None = None) -> Self:
        """A management command of this checkout."""
        return cls(sys.executable, str(CHECKOUT / "manage.py"), *arguments, env=env)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def line(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """The first line that matches, waited for; fails with all output when the process ends without it."""
        seen = 0
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for text in self.lines[seen:]:
                    if match := re.search(pattern, text):
                        return match
                seen = len(self.lines)
                assert self._reader.is_alive(), f"it ended without {pattern!r}:\n{self.text}"
                assert time.monotonic() < deadline, f"no {pattern!r} within {seconds:g} s:\n{self.text}"
                self._news.wait(0.5)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; gives the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self, number: int = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """Send a signal and wait; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        mine = descendants(self.process.pid)
        try:
            self.stop(seconds=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in mine:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)


def manage(*arguments: str, env: Mapping[str, str], typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a management command to its end."""
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "manage.py"), *arguments],
        env=dict(env),
        cwd=CHECKOUT,
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Demo(Program):
    """A running `manage.py demo`; ready when the constructor returns."""

    def __init__(self, folder: Path, port: int = 0, ready: bool = True) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        program = [sys.executable, str(CHECKOUT / "manage.py"), "demo"]
        super().__init__(*program, "--port", str(self.port), "--data-dir", str(folder))
        if ready:
            self.line(r"^ready: ")

    def password(self, role: str) -> str:
        """From the sign-in line of that role."""
        return self.line(rf"^  {role} +(\S+)  ")[1]

    def signed_in(self, role: str) -> "Browser":
        return Browser(self.url).sign_in(role, self.password(role))


class Browser(requests.Session):
    """A client that keeps cookies and sends the CSRF token of the last page, as a browser without JavaScript does."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.trust_env = False
        self.url = url

    def page(self, path: str) -> requests.Response:
        return self.get(self.url + path, timeout=30)

    def submit(self, path: str, data: Mapping[str, str | list[str]], follow: bool = False) -> requests.Response:
        """POST a form of the page at that path."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.page(path).text)
        assert found, f"{path} has no form"
        fields = {**data, "csrfmiddlewaretoken": found[1]}
        return self.post(self.url + path, data=fields, allow_redirects=follow, timeout=60)

    def sign_in(self, name: str, password: str) -> Self:
        answer = self.submit("/accounts/login/", {"login": name, "password": password})
        assert answer.status_code == 302, f"{name} could not sign in: {answer.status_code} {answer.text[-3000:]}"
        return self
