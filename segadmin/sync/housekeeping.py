"""What the mirror does besides reading Adobe: checkpoints, their way to the witness, the daily check, mail of findings.

One worker for all of it, so that it holds up no org. Any number of processes may run this: every task claims its work.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import close_old_connections, connection

from segadmin.actions import files, proof, retention, stream, unusual
from segadmin.audit import Actor

log = logging.getLogger("segadmin.sync")
EVERY_SECONDS = 20.0
type Task = Callable[[threading.Event], None]


def tend_proof(stop: threading.Event) -> None:
    proof.tend(actor=Actor.system(), is_over=stop.is_set)


def tend_retention(stop: threading.Event) -> None:
    """A few batches a round, so that a large backlog does not hold up the other tasks."""
    if not stop.is_set():
        retention.expire_daily(actor=Actor.system())


def tend_unusual(stop: threading.Event) -> None:
    """Mail of unusual exports."""
    if not stop.is_set():
        unusual.tell(actor=Actor.system())


def tend_files(stop: threading.Event) -> None:
    """Files whose end nobody tells any more."""
    if not stop.is_set():
        files.give_up(actor=Actor.system())


def tend_stream(stop: threading.Event) -> None:
    """The record on its way to a log collector."""
    stream.tend(actor=Actor.system(), is_over=stop.is_set)


TASKS: list[Task] = [tend_proof, tend_retention, tend_unusual, tend_files, tend_stream]


class Housekeeping:
    """Starts the tasks now and then, never twice at once."""

    def __init__(self, pool: ThreadPoolExecutor, stop: threading.Event, tasks: list[Task] | None = None) -> None:
        self._pool, self._stop = pool, stop
        self._tasks = TASKS if tasks is None else tasks
        self._running: Future[None] | None = None
        self._next = 0.0

    def start(self) -> None:
        now = time.monotonic()
        if now >= self._next and (self._running is None or self._running.done()):
            self._next = now + EVERY_SECONDS
            self._running = self._pool.submit(self._all)

    def _all(self) -> None:
        for task in self._tasks:
            if self._stop.is_set():
                return
            try:
                close_old_connections()
                task(self._stop)
            except Exception as error:  # one task that fails must not keep the others from being done
                log.error("%s failed, trying again: %s", task.__name__, type(error).__name__, exc_info=error)
        connection.close()
