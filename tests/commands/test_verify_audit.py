"""`verify_audit` as an administrator runs it: progress, verdict, exit code, and a result that stays. On copies of a file."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from segadmin.audit import triggers
from tests import postgres
from tests.processes import CHECKOUT, clean_environment, manage

RECORDS = 40


def environment(folder: Path, url: str = "") -> dict[str, str]:
    return clean_environment(SEGADMIN_DATA_DIR=str(folder), **({"DATABASE_URL": url} if url else {}))


def made(folder: Path, url: str = "") -> None:
    """Fill a migrated database with some records and a checkpoint, by a process of its own."""
    env = environment(folder, url)
    program = (
        "import django; django.setup()\n"
        "from segadmin.audit import Actor, checkpoints\n"
        "from tests.audit.tampering import fill\n"
        f"fill({RECORDS}); checkpoints.make(actor=Actor.system()); fill(2)\n"
    )
    settings = {**env, "DJANGO_SETTINGS_MODULE": "segadmin.settings"}
    subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, env=settings, check=True, timeout=90)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    folder = shutil.copytree(migrated, tmp_path_factory.mktemp("original") / "data")
    made(folder)
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "copy")


def tamper(folder: Path, *statements: str) -> None:
    """Drop the triggers and change the file, as whoever has the file can."""
    with closing(sqlite3.connect(folder / "segadmin.sqlite3")) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def run(folder: Path, *words: str, url: str = "") -> subprocess.CompletedProcess[str]:
    return manage("verify_audit", *words, env=environment(folder, url))


def test_an_unbroken_record(copy: Path) -> None:
    done = run(copy, "--by", "the auditor")
    assert done.returncode == 0, done.stderr
    newest = RECORDS + 3
    assert f"Records 1 to {newest}: {newest} in " in done.stdout
    assert "checkpoints that agree: 1, of them kept outside: 0" in done.stdout
    assert "Unbroken." in done.stdout
    assert "What this does not prove" in done.stdout
    assert f"{newest} of {newest} (100 %)" in done.stderr
    with closing(sqlite3.connect(copy / "segadmin.sqlite3")) as connection:
        kept = connection.execute("SELECT by, ok, last, full FROM segadmin_verification").fetchall()
        told = connection.execute(
            "SELECT actor_name, outcome, sentence FROM segadmin_eventcontent WHERE action = 'record.verified'"
        ).fetchall()
    assert kept == [("the auditor", 1, newest, 1)]
    assert told == [("the auditor", "succeeded", f"checked records 1 to {newest}: unbroken")]


def test_as_json(copy: Path) -> None:
    done = run(copy, "--json", "--quick", "--from", "5", "--to", "20")
    told = json.loads(done.stdout)
    assert (told["ok"], told["full"], told["first"], told["last"], told["events"]) == (True, False, 5, 20, 16)


def test_damage_is_named_and_ends_with_1(copy: Path) -> None:
    tamper(copy, "UPDATE segadmin_eventcontent SET text = replace(text, 'cancelled', 'looked at') WHERE seq = 7")
    done = run(copy)
    assert done.returncode == 1
    assert "DAMAGE (changed) at record 7: The text of record 7 does not fit its digest." in done.stdout
    assert "The record is DAMAGED." in done.stderr
    with closing(sqlite3.connect(copy / "segadmin.sqlite3")) as connection:
        [(ok, damage)] = connection.execute("SELECT ok, damage FROM segadmin_verification").fetchall()
    assert not ok
    assert json.loads(damage)[0]["seq"] == 7


def test_only_the_full_run_compares_columns(copy: Path) -> None:
    tamper(copy, "UPDATE segadmin_eventcontent SET actor_name = 'somebody' WHERE seq = 7")
    quick = run(copy, "--quick")
    assert quick.returncode == 0
    assert "The verdict takes a run without --quick" in quick.stdout
    full = run(copy)
    assert full.returncode == 1
    assert "DAMAGE (column differs) at record 7" in full.stdout
    assert "actor_name" in full.stdout


def test_a_cut_tail_with_its_head_moved_back(copy: Path) -> None:
    tamper(
        copy,
        "DELETE FROM segadmin_eventcontent WHERE seq > 30",
        "DELETE FROM segadmin_event WHERE seq > 30",
        "UPDATE segadmin_chainhead SET seq = 30, chain = (SELECT chain FROM segadmin_event WHERE seq = 30)",
        "DELETE FROM segadmin_checkpoint",
    )
    done = run(copy)
    assert done.returncode == 1
    assert "DAMAGE (tail cut) at record 31" in done.stdout


def test_a_database_made_anew_with_the_own_key_fails_against_a_kept_checkpoint(
    copy: Path, migrated: Path, tmp_path: Path
) -> None:
    """The same folder, keys and all, with another history in it."""
    mail = tmp_path / "mail.txt"
    mail.write_text(f"kept:\n{(copy / 'checkpoints.txt').read_text()}")
    forged = shutil.copytree(migrated, tmp_path / "forged")
    for name in ("checkpoint_key", "secret_key", "encryption_keys"):
        shutil.copy(copy / name, forged / name)
    made(forged)
    assert (forged / "public_keys.txt").read_text().split()[:3] == (copy / "public_keys.txt").read_text().split()[:3]
    assert run(forged).returncode == 0
    done = run(forged, "--checkpoints", str(mail))
    assert done.returncode == 1
    assert "DAMAGE (checkpoint mismatch)" in done.stdout
    assert run(copy, "--checkpoints", str(mail)).returncode == 0


@pytest.mark.parametrize(("option", "said"), [("--checkpoints", "no checkpoint"), ("--public-key", "no public key")])
def test_a_file_that_is_none(copy: Path, tmp_path: Path, option: str, said: str) -> None:
    empty = tmp_path / "empty.txt"
    assert run(copy, option, str(empty)).returncode == 2
    empty.write_text("nothing")
    done = run(copy, option, str(empty))
    assert done.returncode == 2
    assert said in done.stderr


def test_several_processes_read_a_long_record(copy: Path) -> None:
    """Forked workers give what one process gives; short stretches stand in for a long record."""
    tamper(copy, "UPDATE segadmin_eventcontent SET text = replace(text, 'cancelled', 'looked at') WHERE seq = 25")
    program = (
        "import django; django.setup()\n"
        "import json\n"
        "from segadmin.audit import verify\n"
        "verify.STRETCH = 10\n"
        "found = [verify.verify(workers=workers) for workers in (1, 2, None)]\n"
        "print(json.dumps([[one.events, one.with_content, [list(d) for d in one.damage]] for one in found]))\n"
    )
    env = {**environment(copy), "DJANGO_SETTINGS_MODULE": "segadmin.settings"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=90, check=True
    )
    one, two, chosen = json.loads(done.stdout)
    assert one == two == chosen
    assert one[0] == RECORDS + 3
    assert one[2][0][:2] == ["changed", 25]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A data folder, and the same record on PostgreSQL."""
    cluster = postgres.cluster()
    folder = tmp_path_factory.mktemp("on-postgres")
    url = cluster.create("verified", template=cluster.migrated())
    made(folder, url)
    return folder, url, cluster.dsn("verified")


@pytest.mark.postgres
def test_on_postgresql(server: tuple[Path, str, str]) -> None:
    folder, url, dsn = server
    done = run(folder, url=url)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(dsn) as connection:
        for name, definition in triggers._postgresql().items():
            connection.execute(f"DROP TRIGGER {name} ON {definition.split(' ON ')[1].split(' ')[0]}")
        connection.execute("DELETE FROM segadmin_eventcontent WHERE seq = 9")
        connection.execute("DELETE FROM segadmin_event WHERE seq = 9")
    done = run(folder, url=url)
    assert done.returncode == 1
    assert "DAMAGE (removed) at record 9: Record 9 is gone." in done.stdout
