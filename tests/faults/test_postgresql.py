"""The same on PostgreSQL: its restart (fault 35), tokens among processes (29), and no deadlocks between them all."""

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from segadmin.emulator.server import Emulator
from tests import postgres
from tests.faults.chain import HEAD, LINKS, assert_links_hold
from tests.faults.rig import Rig, prepare, worker
from tests.faults.test_tokens import PROCESSES, tokens_of
from tests.processes import eventually
from tests.upstream import body_for

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Cluster]:
    """A server of its own, since it is stopped in between."""
    bin_folder = postgres.binaries()
    if bin_folder is None:
        postgres.cluster()  # skips, or fails on CI
        raise AssertionError("not reached")
    cluster = postgres.Cluster(Path(tempfile.mkdtemp(prefix="segadmin-pg-")), bin_folder)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def made(server: postgres.Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A data folder and a database, "made", that are copied for each test."""
    folder = tmp_path_factory.mktemp("postgres") / "data"
    folder.mkdir()
    return folder, prepare(folder, DATABASE_URL=server.create("made", template=server.migrated()))


class PostgresRig(Rig):
    """A rig whose database is not a file."""

    dsn = ""

    def assert_chain_holds(self) -> int:
        with psycopg.connect(self.dsn) as connection:
            head = connection.execute(HEAD).fetchone()
            assert head is not None
            return assert_links_hold(connection.execute(LINKS).fetchall(), (head[0], head[1]))


@pytest.fixture
def pg(
    server: postgres.Cluster, made: tuple[Path, dict[str, list[str]]], tmp_path: Path, adobe: Emulator
) -> PostgresRig:
    template, drafts = made
    database = f"copy_{uuid.uuid4().hex}"
    url = server.create(database, template="made")
    shutil.copytree(template, tmp_path / "data")
    rig = PostgresRig(tmp_path / "data", adobe, drafts)
    rig.env["DATABASE_URL"], rig.dsn = url, server.dsn(database)
    with psycopg.connect(rig.dsn) as connection:
        urls = (adobe.url, f"{adobe.url}/ims/token/v3")
        connection.execute("UPDATE segadmin_organization SET api_url = %s, token_url = %s", urls)
    return rig


def test_processes_at_once_make_one_token_call_and_no_deadlock(pg: PostgresRig) -> None:
    pg.emulator.faults.set(endpoint="token", latency=0.3)
    with worker("tokens", "acme", str(PROCESSES), env=pg.env) as program:
        found = tokens_of(program)
    assert (len(found), len(set(found))) == (PROCESSES, 1), found
    assert len(pg.seen("token")) == 1
    for _ in range(10):
        pg.emulator.add_job("acme", "prod", body_for(pg.emulator))
    with worker("hammer", "acme", "prod", "15", env=pg.env) as program:
        assert tokens_of(program) == ["did 15"] * 6
    sends = len(pg.seen("jobs.create"))
    assert sends == 2 * 15
    assert len(pg.emulator.jobs_of("acme", "prod")) == 10 + sends
    pg.sync_once()
    with psycopg.connect(pg.dsn) as connection:
        counted = connection.execute(
            "SELECT count(*), count(DISTINCT job_id), count(export_request_id) FROM segadmin_job"
        ).fetchone()
    assert counted == (10 + sends, 10 + sends, sends)
    pg.assert_chain_holds()


def test_the_server_restarts(pg: PostgresRig, server: postgres.Cluster) -> None:
    bin_folder = postgres.binaries()
    assert bin_folder is not None
    with pg.web() as web, pg.sync() as mirror:
        browser = pg.signed_in()
        assert browser.page("/jobs/").status_code == 200
        eventually(lambda: pg.seen("jobs.list"), "a first look")
        server.process.send_signal(signal.SIGINT)
        server.process.wait(30)
        for path, status in (("/jobs/", 503), ("/readyz", 503), ("/healthz", 200)):
            page = browser if path == "/jobs/" else type(browser)(pg.url)
            assert page.page(path).status_code == status, path
        server.process = server._start(bin_folder / "postgres")
        eventually(lambda: browser.page("/jobs/").status_code == 200, "the pages")
        pg.emulator.forget_requests()
        eventually(lambda: pg.seen("jobs.list"), "the mirror's next look")
        assert web.process.poll() is None
        assert mirror.process.poll() is None
    pg.assert_chain_holds()
