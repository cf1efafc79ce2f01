"""A restore begins a new epoch: no number twice, what is lost is said, and verification understands the gap."""

from pathlib import Path

import pytest
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from segadmin.audit import Actor, NotRecorded, checkpoints, mark
from segadmin.audit.epochs import LEAP, begin_epoch
from segadmin.audit.verifier import Checkpoint as Line
from segadmin.audit.verify import verify
from segadmin.models import Action, ChainHead, Checkpoint, Event, EventContent, Sandbox
from tests.audit.tampering import disarm, fill, sql

pytestmark = pytest.mark.django_db
ADMIN = Actor.command("root")


@pytest.fixture(autouse=True)
def data_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def signed(capture: DjangoCaptureOnCommitCallbacks) -> Checkpoint:
    with capture(execute=True):
        made = checkpoints.make(actor=Actor.system())
    assert made is not None
    return made


def restore_to(seq: int) -> None:
    """What a restore of an older copy leaves: the newer records and checkpoints are not there."""
    disarm()
    chain = Event.objects.get(pk=seq).chain
    sql("DELETE FROM segadmin_checkpoint WHERE seq > %s", seq)
    sql("DELETE FROM segadmin_signingkey WHERE seq > %s", seq)
    sql("DELETE FROM segadmin_eventcontent WHERE seq > %s", seq)
    sql("DELETE FROM segadmin_event WHERE seq > %s", seq)
    sql("UPDATE segadmin_chainhead SET seq = %s, chain = %s", seq, chain)


def told() -> dict[str, object]:
    import json

    details: dict[str, object] = json.loads(EventContent.objects.get(action=Action.EPOCH_BEGUN).text)["details"]
    return details


def test_numbers_go_on_above_everything_ever_issued(prod: Sandbox) -> None:
    fill(20, prod)
    restore_to(12)
    event = begin_epoch(actor=ADMIN, reason="The disk failed.")
    assert event.epoch == 2
    assert event.seq == mark.BLOCK + 1  # the mark was written ahead: every lower number may have been issued
    assert fill(1)[0].seq == event.seq + 1
    assert ChainHead.objects.get().epoch == 2


def test_the_chain_goes_on_and_the_gap_is_understood(prod: Sandbox) -> None:
    fill(20, prod)
    restore_to(12)
    event = begin_epoch(actor=ADMIN, reason="The disk failed.")
    fill(3, prod)
    result = verify()
    assert result.ok, result.damage
    assert (result.first, result.last, result.events) == (1, event.seq + 3, 16)
    assert "epoch 2" in result.remarks[0]


def test_lost_records_are_named_by_checkpoints(
    prod: Sandbox, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    fill(10, prod)
    kept = signed(django_capture_on_commit_callbacks)
    fill(10, prod)
    lost = signed(django_capture_on_commit_callbacks)
    restore_to(12)
    event = begin_epoch(actor=ADMIN, reason="The disk failed.")
    sentence = EventContent.objects.get(pk=event.seq).sentence
    assert f"records 13 to {lost.seq} are lost" in sentence
    assert told()["lost"] == {"from": 13, "to": lost.seq}
    # The checkpoint of the lost part is in the file; the record says that it is lost, so it is a remark.
    result = verify()
    assert result.ok, result.damage
    assert any("lost in a restore" in remark for remark in result.remarks)
    assert result.checkpoints >= 1
    following = signed(django_capture_on_commit_callbacks)
    assert following.number == lost.number + 1
    assert following.previous == line_of(lost).sha256
    assert following.count == 12 + 1
    assert kept.number == 1
    assert verify().ok


def line_of(checkpoint: Checkpoint) -> Line:
    from segadmin.audit.verifier import find_checkpoints

    return find_checkpoints(checkpoint.text)[0]


def test_what_somebody_remembers_counts(prod: Sandbox) -> None:
    fill(5, prod)
    event = begin_epoch(actor=ADMIN, reason="", known_highest=48_211)
    assert event.seq == 48_212
    assert told()["lost"] == {"from": 6, "to": 48_211}
    assert verify().ok


def test_without_any_knowledge_nothing_is_called_lost(prod: Sandbox) -> None:
    fill(5, prod)
    event = begin_epoch(actor=ADMIN, reason="Moved to another machine.")
    assert "no lost record is known of" in EventContent.objects.get(pk=event.seq).sentence
    assert told()["lost"] == {}


def test_a_restore_that_nobody_states_shows(
    prod: Sandbox, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    """An older copy is put back by hand, and work goes on with numbers that were issued before."""
    fill(20, prod)
    signed(django_capture_on_commit_callbacks)
    restore_to(12)
    assert verify().damage[0][:2] == ("tail cut", 13)
    fill(30, prod)
    assert verify().damage[0].kind == "checkpoint mismatch"


def test_an_epoch_that_hides_an_outside_checkpoint_shows(
    prod: Sandbox, data_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    """A restore is stated that left out a checkpoint which somebody outside has."""
    fill(20, prod)
    outside = line_of(signed(django_capture_on_commit_callbacks))
    restore_to(12)
    (data_folder / checkpoints.FILE).unlink()
    begin_epoch(actor=ADMIN, reason="Nothing is lost, believe me.")
    assert verify().ok
    result = verify(outside=[outside])
    assert (result.damage[0].kind, result.damage[0].seq) == ("checkpoint mismatch", outside.seq)


def test_a_leap_without_a_restore_is_damage(prod: Sandbox) -> None:
    fill(5, prod)
    disarm()
    sql("UPDATE segadmin_chainhead SET seq = seq + 10, epoch = epoch + 1")
    fill(1, prod)
    assert verify().damage[0][:2] == ("removed", 6)


def test_a_new_epoch_that_is_rolled_back_leaves_nothing(prod: Sandbox) -> None:
    fill(5, prod)

    def change_your_mind() -> None:
        with transaction.atomic():
            begin_epoch(actor=ADMIN, reason="")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_your_mind()
    assert ChainHead.objects.get().epoch == 1
    assert fill(1)[0].seq == 6


def test_the_mark_is_ahead_of_every_number(data_folder: Path, prod: Sandbox) -> None:
    assert mark.read() == 0
    fill(1, prod)
    assert mark.read() == mark.BLOCK
    mark.reserve(mark.BLOCK)
    assert mark.read() == mark.BLOCK
    mark.reserve(mark.BLOCK + 1)
    assert mark.read() == 2 * mark.BLOCK
    assert (data_folder / "record_mark").stat().st_mode & 0o077 == 0


def test_without_the_mark_nothing_is_issued(prod: Sandbox, settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "gone"
    with pytest.raises(NotRecorded, match="gone"), transaction.atomic():
        fill(1, prod)
    assert not Event.objects.exists()


def test_a_damaged_mark_is_told(prod: Sandbox, data_folder: Path) -> None:
    (data_folder / "record_mark").write_text("many")
    with pytest.raises(NotRecorded, match="many"), transaction.atomic():
        fill(1, prod)


def test_without_the_mark_numbers_leap_far_beyond(prod: Sandbox, data_folder: Path) -> None:
    """Everything of the folder is lost: what was issued after the backup is known to nobody."""
    fill(20, prod)
    restore_to(12)
    mark.path().unlink()
    mark._known.clear()
    event = begin_epoch(actor=ADMIN, reason="Another machine.")
    assert event.seq == 12 + LEAP + 1
    assert told()["leap"] == LEAP
    assert "is lost" in EventContent.objects.get(pk=event.seq).sentence
    assert verify().ok


def test_a_restore_that_was_killed_half_way_issues_nothing(prod: Sandbox, data_folder: Path) -> None:
    fill(5, prod)

    def killed() -> None:
        with mark.restoring():
            fill(1, prod)  # the restore's own events
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    before = Event.objects.count()
    with pytest.raises(NotRecorded, match="Run it again"), transaction.atomic():
        fill(1, prod)
    assert Event.objects.count() == before
    with mark.restoring():
        begin_epoch(actor=ADMIN, reason="Again.")
    assert fill(1, prod)
    assert verify().ok
