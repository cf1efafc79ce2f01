"""Access tokens among real processes on SQLite: faults 29 and 30. PostgreSQL: test_postgresql.py."""

from tests.faults.rig import Rig, kill, worker
from tests.processes import Program, eventually

PROCESSES = 8


def tokens_of(program: Program) -> list[str]:
    """What the processes got."""
    assert program.ended() == 0, program.text
    return program.lines


def test_eight_processes_make_one_call(rig: Rig) -> None:
    rig.emulator.faults.set(endpoint="token", latency=0.3)
    with worker("tokens", "acme", str(PROCESSES), env=rig.env) as program:
        found = tokens_of(program)
    assert len(found) == PROCESSES
    assert len(set(found)) == 1
    assert not found[0].startswith("fault")
    assert len(rig.seen("token")) == 1
    [cached] = rig.rows("SELECT token_sealed FROM segadmin_tokencache")
    assert found[0] not in cached


def test_a_holder_that_was_killed_is_followed_by_another(rig: Rig) -> None:
    rig.emulator.faults.set(endpoint="token", hang=True)
    with worker("tokens", "acme", "1", env=rig.env) as holder:
        eventually(lambda: rig.seen("token"), "the call for a token")
        kill([holder])
    rig.emulator.faults.clear()
    [until] = rig.rows("SELECT lease_until FROM segadmin_tokencache WHERE lease_token <> ''")
    assert until
    with worker("tokens", "acme", "2", env=rig.env) as others:
        assert all("another process is at it" in text for text in tokens_of(others)), "leased for a few seconds yet"
    assert len(rig.seen("token")) == 1
    rig.leases_are_over()
    with worker("tokens", "acme", "2", env=rig.env) as others:
        first, second = tokens_of(others)
    assert first == second
    assert not first.startswith("fault")
    assert len(rig.seen("token")) == 2
