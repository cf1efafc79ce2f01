"""The end of the record cut off, or an older copy put back by hand: what the data folder still knows of it."""

from pathlib import Path

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from segadmin.audit import Actor, mark, seen
from segadmin.audit.epochs import begin_epoch
from segadmin.audit.verify import verify
from segadmin.models import Event, Sandbox
from tests.audit.tampering import chained, disarm, fill, forged, rewrite, sql

pytestmark = pytest.mark.django_db
ADMIN = Actor.command("root")


@pytest.fixture(autouse=True)
def data_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def committed(prod: Sandbox, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> int:
    """Some records, as if their transactions had ended; the number of the newest."""
    with django_capture_on_commit_callbacks(execute=True):
        events = fill(9, prod)
    disarm()
    return events[-1].seq


def cut(last: int) -> None:
    """With the head moved back, and nothing left in the database that knows of it."""
    chain = Event.objects.get(pk=last).chain
    sql("DELETE FROM segadmin_eventcontent WHERE seq > %s", last)
    sql("DELETE FROM segadmin_event WHERE seq > %s", last)
    sql("UPDATE segadmin_chainhead SET seq = %s, chain = %s", last, chain)


def test_the_newest_committed_record_is_seen(committed: int, data_folder: Path) -> None:
    [told] = seen.seen()
    event = Event.objects.get(pk=committed)
    assert told == (event.epoch, event.seq, event.chain)
    assert (data_folder / "record_seen").stat().st_mode & 0o777 == 0o600
    assert verify().ok


def test_what_was_not_committed_is_not_seen(prod: Sandbox) -> None:
    fill(3, prod)  # the test's transaction never ends
    assert seen.seen() == []


@pytest.mark.parametrize("full", [True, False])
def test_one_record_cut_off_is_enough(committed: int, full: bool) -> None:
    cut(committed - 1)
    result = verify(full=full)
    assert [damage[:2] for damage in result.damage] == [("tail cut", committed)]
    assert f"Record {committed} was written from here" in result.damage[0].says


def test_a_copy_of_an_earlier_state_need_not_have_it(committed: int) -> None:
    cut(committed - 1)
    assert verify(here=False).ok


def test_what_goes_on_after_the_cut_does_not_hide_it(
    committed: int,
    prod: Sandbox,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An older copy is put back without restore, and work goes on: numbers are used twice."""
    cut(committed - 4)
    with django_capture_on_commit_callbacks(execute=True):
        fill(8, prod)
    assert f"Record {committed} was committed from here, and the record ends at {committed - 4}" in caplog.text
    result = verify()
    assert [damage[:2] for damage in result.damage] == [("checkpoint mismatch", committed)]
    assert "is not the one that was written from here" in result.damage[0].says
    assert [told.seq for told in seen.seen()] == [committed + 4, committed]


def test_a_rewritten_end_shows(committed: int) -> None:
    def change(events: list[dict[str, object]], contents: list[dict[str, object]]) -> object:
        contents[-1]["text"] = forged(str(contents[-1]["text"]))
        contents[-1]["sentence"] = forged(str(contents[-1]["sentence"]))
        return chained(events, contents)

    rewrite(change)  # type: ignore[arg-type]
    assert [damage[:2] for damage in verify().damage] == [("checkpoint mismatch", committed)]


def test_a_restore_says_exactly_what_is_lost(
    committed: int, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    cut(committed - 3)
    with django_capture_on_commit_callbacks(execute=True):
        event = begin_epoch(actor=ADMIN, reason="The disk failed.")
    assert f"records {committed - 2} to {committed} are lost" in event.content.sentence
    result = verify()
    assert result.ok, result.damage
    assert [told.seq for told in seen.seen()] == [event.seq]


def test_a_restore_that_leaves_out_what_was_seen(committed: int) -> None:
    """An epoch is begun by hand, with another data folder, and says that nothing is lost."""
    kept = seen.path().read_bytes()
    seen.path().unlink()
    cut(committed - 3)
    begin_epoch(actor=ADMIN, reason="Nothing is lost, believe me.")
    assert verify().ok
    seen.path().write_bytes(kept)
    result = verify()
    assert [damage[:2] for damage in result.damage] == [("tail cut", committed)]
    assert "does not call it lost" in result.damage[0].says


def test_the_mark_knows_of_a_long_tail(committed: int) -> None:
    """It is written ahead of the numbers in blocks, so it shows when more than one block is gone."""
    seen.path().unlink()
    mark.path().write_text(f"{committed + mark.BLOCK}\n")
    assert verify().ok
    mark.path().write_text(f"{committed + mark.BLOCK + 1}\n")
    [damage] = verify().damage
    assert damage[:2] == ("tail cut", committed + 1)
    assert f"record {committed + 1} was there" in damage.says


@pytest.mark.parametrize("content", [b"", b"\x00" * 111, b"garbage\n", b"segadmin-seen-1 1 2 xyz\n", b"\xff" * 300])
def test_a_file_that_says_nothing_stops_nothing(
    committed: int, prod: Sandbox, content: bytes, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    """What a power cut leaves, or somebody who altered it."""
    seen.path().write_bytes(content)
    result = verify()
    assert result.ok
    assert any("record_seen" in remark for remark in result.remarks) is bool(content)
    with django_capture_on_commit_callbacks(execute=True):
        events = fill(1, prod)
    assert [told.seq for told in seen.seen()] == [events[0].seq]


def test_a_file_that_can_not_be_written_stops_nothing(
    prod: Sandbox, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    seen.path().mkdir()
    with django_capture_on_commit_callbacks(execute=True):
        fill(1, prod)
    assert "can't be written" in caplog.text


def test_the_later_of_two_commits_stays(data_folder: Path) -> None:
    """The one that was told second may have been written first."""
    seen.after(1, 12, "a" * 64)
    seen.after(1, 11, "b" * 64)
    assert [told.seq for told in seen.seen()] == [12]
