"""`emulator`: the stand-in as a process, on loopback, with its state in a folder."""

import socket
from pathlib import Path

import requests

from segadmin.processes import free_port
from tests.processes import Program, clean_environment, manage


def test_it_listens_keeps_its_jobs_and_ends_on_a_signal(tmp_path: Path) -> None:
    env = clean_environment(SEGADMIN_DATA_DIR=str(tmp_path))
    port = free_port()
    for _start in range(2):
        with Program.manage("emulator", "--port", str(port), "--jobs", "3", env=env) as emulator:
            url = emulator.line(r"listens on (\S+);")[1]
            assert url == f"http://127.0.0.1:{port}"
            assert requests.get(f"{url}/_emulator/requests", timeout=10).json() == []
            assert emulator.stop() == 0
    assert (tmp_path / "emulator").is_dir()


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = manage("emulator", "--port", str(port), env=clean_environment(SEGADMIN_DATA_DIR=str(tmp_path)))
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in done.stderr
