"""The pinned files: every line with hashes, no addresses, and all that pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.processes import CHECKOUT

FOLDER = CHECKOUT / ".requirements"
# File -> extras of pyproject.toml; None: only the extra, without segadmin's own needs.
FILES = {
    "run.txt": [],
    "postgres.txt": ["postgres"],
    "test.txt": ["postgres", "test"],
    "bench.txt": ["postgres", "test", "bench"],
    "aepp.txt": None,
}


def pins(path: Path) -> dict[str, str]:
    """Package -> pinned version."""
    found = {}
    for block in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip()):
        match = re.fullmatch(r"(\S+)==(\S+)( ; [^\\]+)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+", block)
        assert match, f"{path.name} has a line that is not a pin with hashes: {block[:80]}"
        found[canonicalize_name(match[1])] = match[2]
    return found


def wanted(extras: list[str] | None) -> list[Requirement]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    lines = optional["aepp"] if extras is None else project["dependencies"] + [r for e in extras for r in optional[e]]
    return [one for one in map(Requirement, lines) if one.name != "segadmin"]


def test_the_files_are_these() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_what_is_asked_for_is_pinned_with_hashes(name: str) -> None:
    pinned = pins(FOLDER / name)
    for requirement in wanted(FILES[name]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{name} lacks {requirement.name}; compile it again"
        assert requirement.specifier.contains(version), f"{name} has {requirement.name} {version}; compile it again"


def test_all_files_agree() -> None:
    run = pins(FOLDER / "run.txt")
    for name in ("postgres.txt", "test.txt", "bench.txt"):
        other = pins(FOLDER / name)
        assert {package: other.get(package) for package in run} == run
