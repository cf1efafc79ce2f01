"""Every test whose behaviour the database can change passes on PostgreSQL too."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import postgres

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.mark.postgres
def test_the_suite_passes_on_postgresql() -> None:
    """One more run of pytest, in a process of its own: settings choose the database once, at import."""
    url = postgres.cluster().url("segadmin")
    chosen = "not postgres and not not_on_postgres and not browser and not aepp"
    words = ["-m", chosen, "-p", "tests.postgres", "-p", "no:cacheprovider", "-q"]
    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SEGADMIN_", "PYTEST_"))}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *(["-n", workers] if workers else []), "tests"],
        cwd=CHECKOUT,
        env={**environment, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None
    assert int(passed[1]) > 100, run.stdout[-2000:]
