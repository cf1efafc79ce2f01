"""manage.py backup and restore: a copy made while others write, checked, put back in a new epoch."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path
from typing import Any

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
from django.db import connection
from segadmin.audit import Actor, record
from segadmin.models import Action
others = int(sys.argv[2]) - 1
forked = any(os.fork() == 0 for _ in range(others))  # before anything is connected
os.write(1, b"ready\\n")
for number in range(int(sys.argv[1])):
    record(actor=Actor.command("writer"), action=Action.SIGN_IN, sentence=f"wrote {number}")
connection.close()
if connection.vendor == "postgresql":
    connection.close_pool()
sys.exit(0 if forked else any(os.wait()[1] for _ in range(others)))
"""
SESSION = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "segadmin.settings"
import django
django.setup()
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
print("\\n".join(Session.objects.values_list("session_key", flat=True)))
SessionStore({"_auth_user_id": "1"}).save(must_create=True)
print(Session.objects.latest("expire_date").session_key)
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

    def writers(self, events: int, count: int = 1) -> "subprocess.Popen[str]":
        """So many processes that write so many events each, the first of them parent of the others."""
        argv = [sys.executable, "-c", WRITER, str(events), str(count)]
        return subprocess.Popen(argv, env=self.env(), cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)

    def session(self) -> list[str]:
        """Keys of the sessions that there are, and then the one of a session made now."""
        argv = [sys.executable, "-c", SESSION]
        run = subprocess.run(argv, env=self.env(), cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True)
        return run.stdout.split()


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """The data folder of an installation, to be copied."""
    return set_up(Place(shutil.copytree(migrated, tmp_path_factory.mktemp("sqlite") / "data"))).folder


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The same with its database on PostgreSQL: folder and name of the database, both to be copied."""
    url = cluster().create("backup", template=cluster().migrated())
    return set_up(Place(tmp_path_factory.mktemp("postgresql"), url)).folder, "backup"


@pytest.fixture
def sqlite_place(on_sqlite: Path, tmp_path: Path) -> Place:
    return Place(shutil.copytree(on_sqlite, tmp_path / "data"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        copied: Place = request.getfixturevalue("sqlite_place")
        return copied
    folder, database = request.getfixturevalue("on_postgresql")
    url = cluster().create(f"backup_{uuid.uuid4().hex}", template=database)
    return Place(shutil.copytree(folder, tmp_path / "data"), url)


def set_up(place: Place) -> Place:
    place.done(
        *("add_organization", "acme", "--name", "Acme Retail", "--ims-org-id", "AC3E@AdobeOrg", "--sandbox", "prod"),
        *("--client-id", "c", "--client-secret-stdin"),
        fed="a-secret-of-acme\n",
    )
    return place


def test_a_backup_during_writes_is_whole_and_comes_back_in_a_new_epoch(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "kept.zip"
    writers = place.writers(100, 4)
    assert writers.stdout is not None
    assert [writers.stdout.readline() for _ in range(4)] == ["ready\n"] * 4
    told = place.done("backup", str(file))
    writers.communicate()
    assert writers.returncode == 0
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


def test_nobody_is_signed_in_by_a_backup(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "kept.zip"
    [key] = place.session()
    place.done("backup", str(file))
    with zipfile.ZipFile(file) as archive:
        assert not any(key.encode() in archive.read(name) for name in archive.namelist())
    place.done("restore", str(file), "--replace")
    assert key not in place.session()


def test_an_old_backup_on_another_machine_issues_no_number_twice(place: Place, tmp_path: Path) -> None:
    """Neither the data folder's files nor the database that was there are left; a checkpoint kept outside tells more."""
    file, kept = tmp_path / "kept.zip", tmp_path / "mail.txt"
    place.done("backup", str(file))
    place.writers(30).communicate()
    place.done("backup", str(tmp_path / "later.zip"))
    issued = int(str(place.state()["seq"]))
    kept.write_text((place.folder / "checkpoints.txt").read_text().splitlines()[-1])
    for name in ("record_mark", "checkpoints.txt", "public_keys.txt", "segadmin.sqlite3"):
        (place.folder / name).unlink(missing_ok=True)
    if not place.url.startswith("sqlite"):
        place.url = cluster().create(f"other_{uuid.uuid4().hex}")
    place.done("restore", str(file), "--reason", "the machine burnt")
    epoch = next(row for row in exported(place) if row["action"] == "record.epoch")
    assert epoch["seq"] > issued
    assert not any(epoch["details"]["last_kept"] < row["seq"] < epoch["seq"] for row in exported(place))
    assert place.manage("verify_audit").returncode == 0
    told = place.manage("verify_audit", "--checkpoints", str(kept))
    assert told.returncode == 1
    assert "the restore at record" in told.stdout


def exported(place: Place) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in place.done("export_audit", "--format", "jsonl").splitlines()]
    return [row for row in rows if "seq" in row]


def test_a_damaged_mark_is_told_before_anything_is_touched(sqlite_place: Place, tmp_path: Path) -> None:
    place, folder = sqlite_place, sqlite_place.folder
    place.done("backup", str(tmp_path / "kept.zip"))
    (folder / "record_mark").write_text("many")
    before = (folder / "segadmin.sqlite3").read_bytes()
    result = place.manage("restore", str(tmp_path / "kept.zip"), "--replace")
    assert result.returncode != 0
    assert "is damaged" in result.stderr
    assert "Traceback" not in result.stderr
    assert (folder / "segadmin.sqlite3").read_bytes() == before


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


def test_a_backup_that_was_changed_is_refused(sqlite_place: Place, tmp_path: Path) -> None:
    place = sqlite_place
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


def test_a_damaged_record_makes_no_backup(sqlite_place: Place, tmp_path: Path) -> None:
    place, folder = sqlite_place, sqlite_place.folder
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


def test_a_file_is_never_overwritten(sqlite_place: Place, tmp_path: Path) -> None:
    place = sqlite_place
    file = tmp_path / "kept.zip"
    file.write_text("something dear")
    result = place.manage("backup", str(file))
    assert "never overwrites" in result.stderr
    assert file.read_text() == "something dear"
