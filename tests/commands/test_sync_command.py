"""`sync`: once with an exit code, or until a signal."""

import signal
import threading
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from segadmin import processes, sync
from tests.processes import Program, clean_environment


def test_once_says_that_all_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "once", list)
    told = StringIO()
    call_command("sync", "--once", stdout=told)
    assert told.getvalue() == "Every watched sandbox was read.\n"


def test_once_fails_with_a_sentence_per_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "once", lambda: ["Acme / prod: Adobe refused.", "Nordwind / prod: no answer."])
    with pytest.raises(CommandError, match=r"Acme / prod: Adobe refused\.\nNordwind / prod: no answer\."):
        call_command("sync", "--once")


def test_the_loop_gets_the_stop_event(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, given = threading.Event(), []
    monkeypatch.setattr(processes, "stop_on_signals", lambda: stop)
    monkeypatch.setattr(sync, "run", given.append)
    told = StringIO()
    call_command("sync", stdout=told)
    assert given == [stop]
    assert told.getvalue() == "sync runs.\nsync stopped.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(data_folder: Path, number: int) -> None:
    env = clean_environment(SEGADMIN_DATA_DIR=str(data_folder))
    with Program.manage("sync", env=env) as mirror:
        mirror.line(r"^sync runs\.$")
        assert mirror.stop(number, seconds=20) == 0
        assert mirror.lines[-1] == "sync stopped."
