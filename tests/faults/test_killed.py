"""kill -9 at the worst moments: nothing is lost, nothing is sent twice, the record holds. Faults 30, 31, 32."""

from tests.faults.rig import Rig, kill
from tests.processes import eventually

ASKED, LOST = "export.create:requested", "export.create:unknown"
FOUND, RELEASED = "export.settle:succeeded", "export.settle:failed"


def test_senders_killed_before_the_call_and_before_its_outcome(rig: Rig) -> None:
    """One dies while it waits for its token, one when the job was made, one when it was not; none tells its outcome."""
    before, made, not_made = (rig.drafts[place][0] for place in ("nordwind/prod", "acme/prod", "acme/stage"))
    rig.emulator.faults.set(endpoint="token", org="nordwind", hang=True)
    rig.emulator.faults.set(endpoint="jobs.create", sandbox="prod", hang=True, after=True)
    rig.emulator.faults.set(endpoint="jobs.create", sandbox="stage", hang=True)
    with rig.sender(before) as one, rig.sender(made) as two, rig.sender(not_made) as three:
        eventually(lambda: rig.seen("token", "nordwind") and len(rig.seen("jobs.create")) == 2, "all three calls")
        assert [rig.outcomes(uuid) for uuid in (before, made, not_made)] == [[ASKED]] * 3, "on record before any call"
        kill([one, two, three])
    rig.emulator.faults.clear()

    rig.leases_are_over()  # the token's: its holder is dead
    rig.sync_once()
    states = [rig.state_of(uuid) for uuid in (before, made, not_made)]
    assert states == ["sending"] * 3, "as far as anybody knows, the senders may be alive yet"
    rig.deadlines_are_over()
    rig.sync_once()
    assert [rig.state_of(uuid) for uuid in (before, made, not_made)] == ["unknown", "sent", "unknown"]
    rig.windows_are_over()
    rig.sync_once()

    assert [rig.state_of(uuid) for uuid in (before, made, not_made)] == ["released", "sent", "released"]
    assert rig.outcomes(before) == [ASKED, LOST, RELEASED]
    assert rig.outcomes(made) == [ASKED, LOST, FOUND]
    assert rig.outcomes(not_made) == [ASKED, LOST, RELEASED]
    assert [item.sandbox for item in rig.seen("jobs.create")] in (["prod", "stage"], ["stage", "prod"])
    linked = rig.rows("SELECT job_id FROM segadmin_job WHERE export_request_id IS NOT NULL")
    assert linked == [str(job["id"]) for job in rig.emulator.jobs_of("acme", "prod")]
    rig.assert_chain_holds()
