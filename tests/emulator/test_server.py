"""Starting, stopping, restarting, and running as a process."""

from __future__ import annotations

import ast
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

import segadmin.emulator
from segadmin.emulator.server import Emulator
from tests.emulator.conftest import Client, Clock


def test_a_restart_goes_on(tmp_path: Path, clock: Clock) -> None:
    with Emulator(tmp_path, clock=clock) as first:
        client = Client(first, first.tenant("acme"), "prod")
        kept, cancelled, removed = client.create()["id"], client.create()["id"], 0
        client.jobs("DELETE", f"/{cancelled}")
        removed = next(job["id"] for job in client.jobs().json()["records"] if job["status"] == "SUCCEEDED")
        client.jobs("DELETE", f"/{removed}")
        before = {job["id"]: job for job in first.jobs_of("acme", "prod")}
        url = first.url
        client.session.close()
    clock.move(120)
    with Emulator(tmp_path, clock=clock, jobs=3, seed=99) as second:
        assert second.url == url, "the port is taken again"
        again = Client(second, second.tenant("acme"), "prod")
        again.session.headers.update(client.session.headers)
        assert set(before) == {job["id"] for job in again.jobs().json()["records"]}, "with the old token"
        assert again.job(kept)["status"] == "SUCCEEDED"
        assert again.job(cancelled)["status"] == "CANCELLED"
        assert again.jobs(tail=f"/{removed}").status_code == 404
        assert again.create()["id"] == max(before) + 1
        again.session.close()


def test_a_folder_serves_one_at_a_time(tmp_path: Path) -> None:
    with Emulator(tmp_path), pytest.raises(RuntimeError, match="another emulator"):
        Emulator(tmp_path)


def test_a_taken_port_is_given_up(tmp_path: Path) -> None:
    with Emulator(tmp_path) as first:
        port = first.port
    with socket.create_server(("127.0.0.1", port)), Emulator(tmp_path) as second:
        assert second.port != port


def test_a_wanted_port_that_is_taken_is_an_error() -> None:
    with Emulator() as first:
        second = Emulator(port=first.port)
        with pytest.raises(OSError, match="in use"):
            second.start()
        second.stop()


def test_it_listens_on_loopback_only(emulator: Emulator) -> None:
    assert emulator.url == f"http://127.0.0.1:{emulator.port}"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", emulator.port), timeout=2)


def test_after_stopping_nobody_answers(acme: Client, emulator: Emulator) -> None:
    acme.jobs()
    url = emulator.url
    emulator.stop()
    emulator.stop()
    with pytest.raises(requests.ConnectionError):
        acme.session.get(url, timeout=2)


def test_without_a_start_there_is_no_address() -> None:
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="not started"):
        _ = emulator.url
    emulator.stop()


def test_serving_in_ones_own_thread() -> None:
    emulator = Emulator()
    emulator.bind()
    serving = threading.Thread(target=emulator.serve_forever)
    serving.start()
    assert requests.post(f"{emulator.url}/ims/token/v3", timeout=5).status_code == 400
    emulator.stop()
    serving.join(5)
    assert not serving.is_alive()


def test_one_connection_serves_many_requests(acme: Client) -> None:
    with socket.create_connection(("127.0.0.1", acme.emulator.port), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(b"GET /data/core/ups/audiences HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 403")


def test_many_at_once_get_ids_of_their_own(acme: Client, client_of: Callable[[str, str], Client]) -> None:
    clients = [client_of("acme", "prod") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda client: [client.create()["id"] for _ in range(5)], clients))
    ids = [job_id for some in made for job_id in some]
    assert len(set(ids)) == 30
    assert set(ids) <= {job["id"] for job in acme.jobs().json()["records"]}


def test_unknown_names(emulator: Emulator) -> None:
    with pytest.raises(KeyError):
        emulator.tenant("nobody")
    with pytest.raises(KeyError):
        emulator.content("acme", "prod").audience_named("nobody")
    with pytest.raises(KeyError):
        emulator.content("acme", "prod").dataset_named("nothing")


def test_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "segadmin.emulator", "--port", "0", "--jobs", "50", "--data-dir", str(tmp_path)]
    for stopper in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line.startswith("emulator ready at http://127.0.0.1:")
                answer = requests.get(f"{line.split()[-1]}/_emulator/requests", timeout=5)
                assert answer.json() == []
                process.send_signal(stopper)
                assert process.wait(10) == 0
            finally:
                process.kill()  # or leaving the block would wait for it for ever


def test_a_process_on_a_taken_port_says_so(emulator: Emulator) -> None:
    command = [sys.executable, "-m", "segadmin.emulator", "--port", str(emulator.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"cannot listen on port {emulator.port}" in done.stderr


def test_a_process_on_a_taken_folder_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "segadmin.emulator", "--port", "0", "--data-dir", str(tmp_path)]
    with Emulator(tmp_path):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "another emulator" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_needs_nothing_but_the_standard_library() -> None:
    for path in Path(segadmin.emulator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None
                names = [node.module]
            for name in names:
                own = name.startswith("segadmin.emulator.")
                assert own or name.split(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"
