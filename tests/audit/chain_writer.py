"""Processes that write events at the same time, for test_chain_writers.py; prints how many events of each stayed.

python -m tests.audit.chain_writer WRITERS EVENTS
"""

import json
import os
import random
import sys

import django


class ChangedMind(Exception):
    """The change that an event tells was rolled back."""


def write(number: int, events: int, ready: int, gate: int) -> int:
    """Say when connected, wait for the others, write, with about a third rolled back; returns how many stayed."""
    from django.db import connection, transaction

    from segadmin.audit import Actor, record
    from segadmin.models import Action, Event

    chance = random.Random(number)
    actor = Actor(kind="person", name=f"writer {number}")
    Event.objects.count()  # connects
    os.write(ready, b".")
    os.read(gate, 1)
    stayed = 0
    for turn in range(events):
        in_transaction = chance.choice((1, 1, 2))
        try:
            with transaction.atomic():
                for part in range(in_transaction):
                    record(actor=actor, action=Action.SIGN_IN, sentence=f"wrote {turn}.{part}")
                if chance.random() < 0.3:
                    raise ChangedMind
            stayed += in_transaction
        except ChangedMind:
            pass
    connection.close()
    return stayed


def main(writers: int, events: int) -> None:
    """Fork the writers, which is quicker than starting each; nothing is connected before."""
    ready, gate = os.pipe(), os.pipe()
    children = [_fork(number, events, ready[1], gate[0]) for number in range(writers)]
    for _child, _answer in children:
        assert os.read(ready[0], 1) == b"."
    os.write(gate[1], b"." * writers)
    stayed = {}
    for number, (child, answer) in enumerate(children):
        with os.fdopen(answer) as told:
            stayed[f"writer {number}"] = int(told.read())
        assert os.waitpid(child, 0)[1] == 0
    print(json.dumps(stayed), flush=True)  # noqa: T201


def _fork(number: int, events: int, ready: int, gate: int) -> tuple[int, int]:
    """(process, where it tells how many stayed)"""
    answer, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        return child, answer
    code = 1
    try:
        os.write(told, str(write(number, events, ready, gate)).encode())
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]), int(sys.argv[2]))
