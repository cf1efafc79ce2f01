"""Rigs: whole installations on databases of their own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from segadmin.emulator.server import Emulator
from tests.faults.rig import Rig, prepare
from tests.prepared import once_a_run


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> tuple[Path, dict[str, list[str]]]:
    """A data folder that is made once and copied for each rig."""

    def make(folder: Path) -> None:
        data = shutil.copytree(migrated, folder / "data")
        (folder / "drafts.json").write_text(json.dumps(prepare(data)))

    made = once_a_run(tmp_path_factory, "rig", make)
    return made / "data", json.loads((made / "drafts.json").read_text())


@pytest.fixture
def adobe() -> Iterator[Emulator]:
    """An emulated Adobe without jobs, on the real clock."""
    with Emulator(jobs=0) as emulator:
        yield emulator


@pytest.fixture
def rig(prepared: tuple[Path, dict[str, list[str]]], tmp_path: Path, adobe: Emulator) -> Rig:
    """A whole installation; processes are started by the test."""
    template, drafts = prepared
    return Rig.copied(template, tmp_path / "data", adobe, drafts)
