"""Anything may happen in any order, and the record, the mirror and Adobe still agree in the end."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.mirror.world import CLEAR, MADE_AND_LOST, NOT_MADE, World

pytestmark = pytest.mark.django_db

bodies = st.integers(0, 1)
few = st.integers(0, 3)


class Mirror(RuleBasedStateMachine):
    """Sends, lost and late answers, killed processes, other people's twins, changing pages, people who settle."""

    def __init__(self) -> None:
        super().__init__()
        # Undone after each run. Marked as a test's own, so that durable transactions may run inside.
        self.block = transaction.atomic()
        self.block._from_testcase = True  # type: ignore[attr-defined]
        self.block.__enter__()
        self.world = World()

    def teardown(self) -> None:
        try:
            self.world.finish()
        finally:
            self.world.close()
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    @initialize(limit=st.sampled_from([1, 3, 100]), looked=st.booleans())
    def start(self, limit: int, looked: bool) -> None:
        self.world.page_cap(limit)
        if looked:
            self.world.visit()

    @rule(body=bodies, how=st.sampled_from([*CLEAR, *MADE_AND_LOST, *NOT_MADE]))
    def send(self, body: int, how: str) -> None:
        self.world.send(body, how)

    @rule(
        body=bodies,
        how=st.sampled_from(["fine", "refused", "lost_answer"]),
        meanwhile=st.lists(st.sampled_from(["visit", "look", "over", "window", "twin", "other", "person"]), max_size=6),
    )
    def send_slowly(self, body: int, how: str, meanwhile: list[str]) -> None:
        steps: dict[str, Callable[[], Any]] = {
            "visit": self.world.visit,
            "look": self.world.look,
            "over": self.world.deadline_passes,
            "window": self.world.window_passes,
            "twin": lambda: self.world.outsider(body),
            "other": lambda: self.world.send(body, "lost_answer"),
            "person": lambda: self.world.person_settles(1),
        }

        def happens() -> None:
            for step in meanwhile:
                steps[step]()

        self.world.send(body, how, happens)

    @rule(body=bodies, count=st.integers(1, 4))
    def outsider(self, body: int, count: int) -> None:
        self.world.outsider(body, count)

    @rule()
    def visit(self) -> None:
        self.world.visit()

    @rule(page=st.integers(0, 2))
    def visit_that_breaks(self, page: int) -> None:
        self.world.visit(fails_at_page=page)

    @rule()
    def look(self) -> None:
        self.world.look()

    @rule()
    def deadline_passes(self) -> None:
        self.world.deadline_passes()

    @rule()
    def window_passes(self) -> None:
        self.world.window_passes()

    @rule(choice=few)
    def person_settles(self, choice: int) -> None:
        self.world.person_settles(choice)

    @rule(which=few)
    def cancel(self, which: int) -> None:
        self.world.cancel(which)

    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def time_passes_at_adobe(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(limit=st.sampled_from([1, 3, 100]))
    def page_cap(self, limit: int) -> None:
        self.world.page_cap(limit)

    @invariant()
    def holds(self) -> None:
        self.world.check()


def test_whatever_happens() -> None:
    run_state_machine_as_test(
        Mirror,
        settings=settings(
            max_examples=15,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            report_multiple_bugs=False,
            phases=[Phase.generate],  # shrinking takes minutes, and a dozen steps are read as they are
            suppress_health_check=list(HealthCheck),
        ),
    )
