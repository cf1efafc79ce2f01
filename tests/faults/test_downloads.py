"""A file that its taker breaks off, or whose process is killed: the next one can be taken soon. On the real web server."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from segadmin.processes import free_port
from tests.processes import CHECKOUT, Browser, Program, children, clean_environment, eventually, manage

ADDRESS = "/audit/export.jsonl"
PASSWORD = "correct horse battery"
FILL = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "segadmin.settings"
import django
django.setup()
from tests.benchmarks.fill import fill
fill(int(sys.argv[1]))
"""


class Server(Program):
    """`manage.py serve` over a long record, with an auditor."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "segadmin.sqlite3"
        env = clean_environment(SEGADMIN_DATA_DIR=str(folder))
        words = ("add_user", "auditor", "--role", "auditor", "--password-stdin")
        done = manage(*words, env=env, typed=PASSWORD)
        assert done.returncode == 0, done.stderr
        subprocess.run([sys.executable, "-c", FILL, "20000"], env=env, cwd=CHECKOUT, check=True, timeout=90)
        port = free_port()
        env["SEGADMIN_PUBLIC_URL"] = self.url = f"http://127.0.0.1:{port}"
        program = [sys.executable, str(CHECKOUT / "manage.py"), "serve", "--port", str(port)]
        super().__init__(*program, env=env)
        eventually(self.answers, "the first answer")

    def answers(self) -> bool:
        try:
            return Browser(self.url).page("/healthz").ok
        except requests.ConnectionError:
            return False

    def signed_in(self) -> Browser:
        return Browser(self.url).sign_in("auditor", PASSWORD)

    def receipts(self) -> list[tuple[int | None, str, str | None]]:
        """(rows, SHA-256, when it ended) of each file, the oldest first."""
        with sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=20) as connection:
            statement = "SELECT rows, sha256, finished_at FROM segadmin_filereceipt ORDER BY id"
            return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Server]:
    with Server(shutil.copytree(migrated, tmp_path_factory.mktemp("downloads") / "data")) as running:
        yield running


def test_a_download_that_is_broken_off_frees_its_place_at_once(server: Server) -> None:
    browser = server.signed_in()
    answer = browser.get(server.url + ADDRESS, stream=True, timeout=30)
    assert answer.status_code == 200
    assert len(next(answer.iter_content(1000))) == 1000
    answer.close()
    eventually(lambda: server.receipts()[-1][2], "the end of the broken file", seconds=20)
    rows, sha256, _ended = server.receipts()[-1]
    assert sha256 == ""
    assert rows is not None
    assert rows < 20_000
    again = browser.get(server.url + ADDRESS, timeout=60)
    assert again.status_code == 200
    assert again.content.count(b"\n") > 20_000
    eventually(lambda: server.receipts()[-1][1], "the end of the whole file", seconds=20)


def test_a_killed_worker_leaves_an_open_receipt_and_the_server_goes_on(server: Server) -> None:
    browser = server.signed_in()
    answer = browser.get(server.url + ADDRESS, stream=True, timeout=30)
    next(answer.iter_content(1000))
    [worker] = children(server.process.pid)
    os.kill(worker, signal.SIGKILL)
    answer.close()
    eventually(lambda: children(server.process.pid) not in ([], [worker]), "another worker")
    eventually(server.answers, "an answer")
    assert server.receipts()[-1][1:] == ("", None)
    assert browser.get(server.url + ADDRESS, timeout=60).status_code == 429, (
        "only until it has been silent for a minute"
    )
