"""Two mirror processes, an org that hangs, a mirror that dies: faults 36, 37 and 38."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tests.faults.rig import PAST, Rig, kill
from tests.processes import eventually
from tests.upstream import body_for

SYNC_SECONDS = 1.0


@pytest.fixture
def quick(rig: Rig) -> Rig:
    """A short deadline also makes the lease short: 5 + 2 * 1 seconds."""
    rig.env["SEGADMIN_UPSTREAM_DEADLINE_SECONDS"] = "1"
    return rig


def lists_of(rig: Rig, org: str, sandbox: str) -> list[float]:
    """When Adobe was asked for the jobs of that sandbox, in seconds since the epoch."""
    return [item.at for item in rig.seen("jobs.list", org) if item.sandbox == sandbox]


def lease_until(rig: Rig) -> float:
    """When the lease on acme/prod ends, in seconds since the epoch."""
    [text] = rig.rows(
        "SELECT s.lease_until FROM segadmin_sandbox s JOIN segadmin_organization o ON o.id = s.organization_id "
        "WHERE o.slug = 'acme' AND s.name = 'prod' AND s.lease_token <> ''"
    )
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_one_org_hangs_and_the_rest_goes_on_each_sandbox_read_by_one(quick: Rig) -> None:
    rig = quick
    rig.emulator.add_job("acme", "prod", body_for(rig.emulator))  # live, so that it is looked at every second
    rig.emulator.faults.set(org="nordwind", hang=True)
    with rig.web(), rig.sync() as one, rig.sync() as two:
        eventually(lambda: len(lists_of(rig, "acme", "prod")) >= 5, "five looks at acme")
        assert rig.seen("token", "nordwind"), "nordwind was tried, and hangs"
        browser = rig.signed_in()
        for path in ("/healthz", "/readyz", "/jobs/", "/orgs/acme/prod/jobs/new/"):
            assert browser.page(path).status_code == 200, path
        assert "Nordwind" in browser.page("/jobs/").text
        begun = lists_of(rig, "acme", "prod")
        gaps = [later - earlier for earlier, later in pairwise(begun)]
        assert min(gaps) >= 0.8 * SYNC_SECONDS, f"read by two: {gaps}"
        for process in (one, two):
            assert process.stop(seconds=20) == 0, process.text
            assert process.lines[-1] == "sync stopped."
    [count] = rig.rows("SELECT count(*) FROM segadmin_job")
    assert count == 1
    rig.assert_chain_holds()


def test_a_killed_mirror_is_taken_over_when_its_lease_is_over_and_missed_when_nobody_does(quick: Rig) -> None:
    rig = quick
    with rig.sync() as first:
        eventually(lambda: lists_of(rig, "acme", "prod"), "a first look")
        eventually(
            lambda: not rig.rows("SELECT 1 FROM segadmin_sandbox WHERE lease_token <> ''"), "the end of the look"
        )
        rig.emulator.add_job("acme", "prod", body_for(rig.emulator))
        rig.emulator.faults.set(endpoint="jobs.list", sandbox="prod", org="acme", hang=True)
        rig.change("UPDATE segadmin_sandbox SET due_at = NULL")
        looked = len(lists_of(rig, "acme", "prod"))
        eventually(lambda: len(lists_of(rig, "acme", "prod")) > looked, "a look that hangs")
        kill([first])
    ends = lease_until(rig)
    rig.emulator.faults.clear()
    rig.emulator.forget_requests()
    killed_at = rig.emulator.clock()
    with rig.sync() as second:
        eventually(lambda: lists_of(rig, "acme", "stage"), "the other sandboxes, which nobody has")
        assert lists_of(rig, "acme", "prod") == [], "it is still leased"
        eventually(lambda: lists_of(rig, "acme", "prod"), "the takeover")
        [taken_at, *_] = lists_of(rig, "acme", "prod")
        assert ends <= taken_at < killed_at + 2 * 7
        eventually(lambda: rig.rows("SELECT 1 FROM segadmin_job"), "the job in the mirror")
        kill([second])
    with rig.web():
        browser = rig.signed_in()
        assert browser.page("/readyz").status_code == 200
        rig.change("UPDATE segadmin_sandbox SET last_read_at = ?, last_error_at = NULL, connected_at = ?", PAST, PAST)
        answer = browser.page("/readyz")
        assert (answer.status_code, answer.text) == (503, "sync\n")
        assert browser.page("/healthz").status_code == 200
        page = browser.page("/jobs/")
        assert page.status_code == 200
        assert "This list is old." in page.text
        assert "2020-01-01" in page.text, "as of when"
