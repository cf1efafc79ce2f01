"""Servers on raw sockets for the tests of the service module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.aep.wire import Behaviour, Serve, WireServer


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:

        def start(*behaviours: Behaviour) -> WireServer:
            return stack.enter_context(WireServer(list(behaviours)))

        yield start
