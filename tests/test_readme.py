"""The README names what there is: every setting, every command, and files that exist."""

import re

import pytest
from django.core.management import find_commands

from segadmin import environment
from tests.processes import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SETTINGS = README.partition("### Settings")[2].partition("### Commands")[0]
COMMANDS = README.partition("### Commands")[2].partition("### Addresses")[0]


def test_every_setting_is_there_and_no_other() -> None:
    named = set(re.findall(r"`(SEGADMIN_[A-Z_]+)`", SETTINGS)) - {"SEGADMIN_"}
    assert named == set(environment.KNOWN)


def test_what_may_come_from_a_file_is_marked() -> None:
    marked = set(re.findall(r"`([A-Z_]+)` \*", SETTINGS))
    assert {f"{name}_FILE" for name in marked} == set(environment.SECRET_FILES)


@pytest.mark.parametrize("name", find_commands(str(CHECKOUT / "segadmin" / "management")))
def test_every_command_is_there(name: str) -> None:
    assert f"| `{name}" in COMMANDS


def test_files_that_it_names_exist() -> None:
    for path in re.findall(r"(?<![\w/])(\.requirements/\w+\.txt|\.ci/run|LICENSE|manage\.py)", README):
        assert (CHECKOUT / path).exists(), path
