"""manage.py backup and restore: a copy made while others write, checked, put back in a new epoch."""

import hashlib
import json
import os
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import cluster
from tests.processes import CHECKOUT, clean_environment

KEYS = "t1:" + "dGVzdC1vbmx5LWtleS1vZi0zMi1ieXRlcy1sb25nISE="
OTHER_KEYS = "t1:" + "YW5vdGhlci1rZXktb2YtMzItYnl0ZXMtZm9yLXRlc3Q="
WRITER = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "segadmin.settings"
import django
django.setup()
from segadmin.audit import Actor, record
from segadmin.models import Action
print("ready", flush=True)
for number in range(int(sys.argv[1])):
    record(actor=Actor.command("writer"), action=Action.SIGN_IN, sentence=f"wrote {number}")
from django.db import connection
connection.close()
if connection.vendor == "postgresql":
    connection.close_pool()
"""


class Place:
    """An installation of its own: data folder, database, and the commands on it."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder / 'segadmin.sqlite3'}"

    def env(self, keys: str = KEYS) -> dict[str, str]:
        return clean_environment(
            SEGADMIN_DATA_DIR=str(self.folder), SEGADMIN_ENCRYPTION_KEYS=keys, DATABASE_URL=self.url
        )

    def manage(self, *words: str, keys: str = KEYS, fed: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(CHECKOUT / "manage.py"), *words]
        return subprocess.run(argv, env=self.env(keys), input=fed, capture_output=True, text=True, check=False)

    def done(self, *words: str, fed: str = "") -> str:
        result = self.manage(*words, fed=fed)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.done("backup", "--inspect").splitlines()[-1])
        return found

    def writer(self, events: int) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", WRITER, str(events)]
        return subprocess.Popen(argv, env=self.env(), cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "data"
    folder.mkdir()
    if request.param == "sqlite":
        yield set_up(Place(folder))
    else:
        yield set_up(Place(folder, cluster().create(f"backup_{uuid.uuid4().hex}")))


def set_up(place: Place) -> Place:
    place.done("migrate", "-v0")
    place.done(
        *("add_organization", "acme", "--name", "Acme Retail", "--ims-org-id", "AC3E@AdobeOrg", "--sandbox", "prod"),
        *("--client-id", "c", "--client-secret-stdin"),
        fed="a-secret-of-acme\n",
    )
    return place


def test_a_backup_during_writes_is_whole_and_comes_back_in_a_new_epoch(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "kept.zip"
    writers = [place.writer(100) for _ in range(4)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    told = place.done("backup", str(file))
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert "unbroken" in told
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert {"checkpoints.txt", "public_keys.txt"} <= set(archive.namelist())
        assert b"a-secret-of-acme" not in b"".join(archive.read(name) for name in archive.namelist())
        for name, digest in manifest["files"].items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    # It tells of the copy, so it is not in the copy.
    assert '"action":"backup.made"' in place.done("export_audit", "--format", "jsonl")
    before = place.state()
    assert int(str(before["seq"])) >= 400

    refused = place.manage("restore", str(file))
    assert refused.returncode != 0
    assert "--replace" in refused.stderr
    assert place.state() == before

    place.done("restore", str(file), "--replace", "--reason", "disk broke", "--known-highest", str(before["seq"]))
    after = place.state()
    assert after["damage"] == []
    assert after["broken_secrets"] == []
    assert after["epoch"] == 2
    assert int(str(after["seq"])) > int(str(before["seq"]))
    assert place.manage("verify_audit").returncode == 0
    told_on_record = place.done("export_audit", "--format", "jsonl")
    assert '"action":"record.epoch"' in told_on_record
    assert '"action":"backup.restored"' in told_on_record


def test_the_wrong_key_fails_closed_with_a_clear_message(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "kept.zip"
    place.done("backup", str(file))
    before = place.state()
    result = place.manage("restore", str(file), "--replace", keys=OTHER_KEYS)
    assert result.returncode != 0
    assert "can't be opened with the encryption keys" in result.stderr
    assert "the credential of acme" in result.stderr
    assert "Traceback" not in result.stderr
    assert place.state() == before


def test_a_backup_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    place = set_up(Place(folder))
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    place.done("backup", str(good))
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data[:-1] + b"x" if name.startswith("database") else data)
    result = place.manage("restore", str(bad), "--replace")
    assert result.returncode != 0
    assert "was changed since it was made" in result.stderr
    (tmp_path / "text.zip").write_text("not a zip")
    assert "can't be read as a backup" in place.manage("restore", str(tmp_path / "text.zip"), "--replace").stderr


def test_a_damaged_record_makes_no_backup(tmp_path: Path) -> None:
    import sqlite3

    folder = tmp_path / "data"
    folder.mkdir()
    place = set_up(Place(folder))
    database = sqlite3.connect(folder / "segadmin.sqlite3")
    database.execute("DROP TRIGGER segadmin_eventcontent_no_update")
    database.execute("UPDATE segadmin_eventcontent SET text = replace(text, 'acme', 'acne') WHERE seq = 1")
    database.commit()
    database.close()
    file = tmp_path / "kept.zip"
    result = place.manage("backup", str(file))
    assert result.returncode != 0
    assert "damaged" in result.stderr
    assert not file.exists()
    assert os.listdir(folder) == [name for name in os.listdir(folder) if not name.startswith("backup-")]


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    place = set_up(Place(folder))
    file = tmp_path / "kept.zip"
    file.write_text("something dear")
    result = place.manage("backup", str(file))
    assert "never overwrites" in result.stderr
    assert file.read_text() == "something dear"
