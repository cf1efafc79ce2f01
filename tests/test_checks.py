"""System checks: clean in production, and each says what to do when it is not."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection

from segadmin.audit import triggers
from segadmin.checks import public_address, upstream_hosts

CHECKOUT = Path(__file__).resolve().parent.parent


def manage(data_dir: Path, *words: str, **values: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SEGADMIN_", "DATABASE_URL", "DJANGO_"))
    }
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=CHECKOUT,
        env={**kept, "SEGADMIN_DATA_DIR": str(data_dir), **values},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_deploy_check_is_clean_with_production_settings(tmp_path: Path) -> None:
    run = manage(
        tmp_path,
        "check",
        "--deploy",
        "--fail-level",
        "DEBUG",
        SEGADMIN_PUBLIC_URL="https://segadmin.example.com",
        SEGADMIN_TRUSTED_PROXIES="10.0.0.1",
    )
    assert run.returncode == 0, run.stderr
    assert "no issues" in run.stdout


def test_deploy_check_warns_of_plain_http_off_this_machine(tmp_path: Path) -> None:
    run = manage(tmp_path, "check", "--deploy", SEGADMIN_PUBLIC_URL="http://segadmin.example.com")
    assert "segadmin.W001" in run.stderr
    assert "Put a proxy with TLS in front" in run.stderr


@pytest.mark.parametrize(
    ("address", "https", "warned"),
    [
        ("http://127.0.0.1:8000", False, False),
        ("http://localhost", False, False),
        ("https://segadmin.example.com", True, False),
        ("http://10.0.0.5:8000", False, True),
        ("http://127.0.0.1.example.com", False, True),
    ],
)
def test_public_address(settings: Any, address: str, https: bool, warned: bool) -> None:
    settings.PUBLIC_URL, settings.IS_HTTPS = address, https
    assert [message.id for message in public_address()] == (["segadmin.W001"] if warned else [])


@pytest.mark.parametrize("host", ["https://platform.adobe.io", "a@b", "*.adobe.io", "platform adobe"])
def test_upstream_hosts_are_host_names(settings: Any, host: str) -> None:
    settings.UPSTREAM_HOSTS = frozenset({host})
    (message,) = upstream_hosts()
    assert (message.id, message.hint is not None) == ("segadmin.E002", True)
    settings.UPSTREAM_HOSTS = frozenset({"platform.adobe.io", "127.0.0.1:8010"})
    assert upstream_hosts() == []


@pytest.mark.django_db
def test_a_trigger_that_is_gone_is_told_and_put_back() -> None:
    assert triggers.missing(connection) == []
    gone = f"{triggers.EVENT}_no_delete"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {gone}" + (f" ON {triggers.EVENT}" if connection.vendor == "postgresql" else ""))
    found = [message for message in run_checks(databases=["default"]) if message.id == "segadmin.E001"]
    assert [gone in message.msg for message in found] == [True]
    assert "migrate" in str(found[0].hint)
    triggers.install_after_migrate(using="default")
    assert [message for message in run_checks(databases=["default"]) if message.id == "segadmin.E001"] == []


@pytest.mark.django_db
def test_every_table_of_the_record_has_its_triggers() -> None:
    names = set(triggers.expected(connection))
    third = "no_truncate" if connection.vendor == "postgresql" else "no_replace"
    assert names == {f"{table}_{kind}" for table in triggers.TABLES for kind in ("no_update", "no_delete", third)}


@pytest.mark.django_db
def test_an_altered_trigger_counts_as_missing() -> None:
    name = f"{triggers.CONTENT}_no_update"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ALTER TABLE {triggers.CONTENT} DISABLE TRIGGER {name}")
        else:
            cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {triggers.CONTENT} WHEN 0 BEGIN SELECT 1; END")
    assert triggers.missing(connection) == [name]
