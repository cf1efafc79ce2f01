"""Folders that take seconds to make, made once for a whole run of the suite and copied for each test.

Test processes that run side by side share them: the first one that wants a folder makes it, the others wait for it.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import clean_environment, manage


def once_a_run(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name, which `make` has filled. Copy it; never change it."""
    base = factory.getbasetemp()
    # The folder of a worker lies in that of the run.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prepared"
    shared.mkdir(exist_ok=True)
    folder, partial = shared / name, shared / f"{name}.partial"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(partial, ignore_errors=True)  # of a process that failed
            partial.mkdir()
            make(partial)
            partial.rename(folder)
    return folder


def migrate(folder: Path) -> None:
    """Make a data folder: keys, and a database with all tables and triggers."""
    done = manage("migrate", "--verbosity", "0", env=clean_environment(SEGADMIN_DATA_DIR=str(folder)))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated data folder, to be copied."""
    return once_a_run(tmp_path_factory, "migrated", migrate)


@pytest.fixture
def data_folder(migrated: Path, tmp_path: Path) -> Path:
    """A migrated data folder for this test alone."""
    return shutil.copytree(migrated, tmp_path / "data")
