"""The command that writes the record into a file: the page's rows, on record as the command-line user."""

import csv
import hashlib
import io
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from segadmin.audit import Actor, Subject, record
from segadmin.models import Action, EventContent, FileReceipt, Outcome, Sandbox

pytestmark = pytest.mark.django_db


class Output:
    """Standard output as far as it takes bytes."""

    def __init__(self, buffer: io.BytesIO | None = None) -> None:
        self.buffer = buffer or io.BytesIO()


@pytest.fixture
def events(prod: Sandbox, foreign: Sandbox) -> dict[str, int]:
    made = {}
    for day, name, subject in (
        ("2026-03-31T23:59:59", "before", Subject(sandbox=prod)),
        ("2026-04-01T00:00:00", "first", Subject(sandbox=prod)),
        ("2026-04-30T23:59:59", "theirs", Subject(sandbox=foreign)),
        ("2026-05-01T00:00:00", "after", Subject()),
    ):
        with time_machine.travel(f"{day}Z", tick=False):
            actor = Actor(kind="person", name="operator")
            made[name] = record(actor=actor, action=Action.EXPORT_CANCEL, sentence=name, subject=subject).seq
    return made


def numbers(data: str) -> list[int]:
    return [int(row["record"]) for row in csv.DictReader(io.StringIO(data))]


def test_a_file_with_the_rows_of_the_page(events: dict[str, int], tmp_path: Path) -> None:
    out, told = tmp_path / "record.csv", io.StringIO()
    call_command("export_audit", "--format=csv", f"--out={out}", "--by=jo", stderr=told)
    assert numbers(out.read_text()) == list(events.values())
    receipt = FileReceipt.objects.get()
    assert receipt.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert f"4 rows, SHA-256 {receipt.sha256}, receipt {receipt.code}" in told.getvalue()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["record.csv"]
    asked, done = EventContent.objects.filter(action=Action.RECORD_EXPORTED).order_by("event_id")
    assert (asked.outcome, done.outcome) == (Outcome.REQUESTED, Outcome.SUCCEEDED)
    assert (done.actor_kind, done.actor_name) == ("command", "jo")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--from=2026-04-01"], ["first", "theirs", "after"]),
        (["--to=2026-04-30"], ["before", "first", "theirs"]),
        (["--from=2026-04-01", "--to=2026-04-30", "--org=acme"], ["first"]),
        (["--from=2026-04-01T01:00:00+01:00", "--to=2026-04-01T00:00:01Z"], ["first"]),
        (["--org=acme", "--org=nordwind"], ["before", "first", "theirs"]),
    ],
)
def test_period_and_organizations(
    events: dict[str, int], monkeypatch: pytest.MonkeyPatch, words: list[str], expected: list[str]
) -> None:
    output = Output()
    monkeypatch.setattr(sys, "stdout", output)
    call_command("export_audit", "--format=csv", *words, stderr=io.StringIO())
    assert numbers(output.buffer.getvalue().decode()) == [events[name] for name in expected]


def test_json_lines_to_standard_output(events: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output()
    monkeypatch.setattr(sys, "stdout", output)
    call_command("export_audit", "--format=jsonl", stderr=io.StringIO())
    *rows, last = [json.loads(line) for line in output.buffer.getvalue().decode().splitlines()]
    assert [row["seq"] for row in rows] == list(events.values())
    assert last["receipt"]["rows"] == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--org=nobody"], "There is no organization with the short name nobody"),
        (["--from=soon"], "neither a day"),
        (["--from=2026-04-01T00:00:00"], "has no zone"),
        (["--from=2026-04-02", "--to=2026-04-01"], "not after"),
        (["--out=/nowhere/at/all.csv"], "can't be written"),
    ],
)
def test_what_cannot_be_done_leaves_nothing(events: dict[str, int], words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("export_audit", "--format=csv", *words, stderr=io.StringIO())
    assert FileReceipt.objects.count() == 0


def test_a_full_disk_is_told(events: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Output(Full()))
    with pytest.raises(OSError, match="No space left"):
        call_command("export_audit", "--format=csv", stderr=io.StringIO())
    assert EventContent.objects.filter(action=Action.RECORD_EXPORTED, outcome=Outcome.FAILED).count() == 1
