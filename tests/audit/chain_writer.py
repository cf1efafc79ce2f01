"""A process that writes events, for test_chain_writers.py: says when it is ready, waits for a line, tells what stayed.

python -m tests.audit.chain_writer NAME EVENTS SEED
"""

import random
import sys

import django


class ChangedMind(Exception):
    """The change that an event tells was rolled back."""


def main(name: str, events: int, seed: int) -> int:
    """Write, with about a third of the transactions rolled back; returns how many stayed."""
    from django.db import connection, transaction

    from segadmin.audit import Actor, record
    from segadmin.models import Action, Event

    chance = random.Random(seed)
    actor = Actor(kind="person", name=name)
    Event.objects.count()  # connects
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    stayed = 0
    for number in range(events):
        in_transaction = chance.choice((1, 1, 2))
        try:
            with transaction.atomic():
                for part in range(in_transaction):
                    record(actor=actor, action=Action.SIGN_IN, sentence=f"wrote {number}.{part}")
                if chance.random() < 0.3:
                    raise ChangedMind
            stayed += in_transaction
        except ChangedMind:
            pass
    connection.close()
    return stayed


if __name__ == "__main__":
    django.setup()
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), flush=True)  # noqa: T201
