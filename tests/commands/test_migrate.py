"""manage.py migrate: puts back triggers that are gone or of an earlier version, instead of stopping for them."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.processes import CHECKOUT, clean_environment


def manage(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    env = clean_environment(SEGADMIN_DATA_DIR=str(folder))
    argv = [sys.executable, str(CHECKOUT / "manage.py"), *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def test_an_upgrade_renews_triggers_and_a_check_tells_when_they_are_gone(tmp_path: Path) -> None:
    assert manage(tmp_path, "migrate", "-v0").returncode == 0
    database = sqlite3.connect(tmp_path / "segadmin.sqlite3")
    database.execute("DROP TRIGGER segadmin_event_no_update")
    database.execute("DROP TRIGGER segadmin_event_no_delete")
    database.execute("CREATE TRIGGER segadmin_event_no_delete BEFORE DELETE ON segadmin_event BEGIN SELECT 1; END")
    database.commit()
    told = manage(tmp_path, "check", "--database", "default")
    assert told.returncode != 0
    assert "segadmin_event_no_delete, segadmin_event_no_update" in told.stderr
    assert manage(tmp_path, "migrate", "-v0").returncode == 0
    assert manage(tmp_path, "check", "--database", "default").returncode == 0
