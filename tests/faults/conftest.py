"""Rigs: whole installations on databases of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segadmin.emulator.server import Emulator
from tests.faults.rig import Rig, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A data folder that is made once and copied for each rig."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    return folder, prepare(folder)


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
