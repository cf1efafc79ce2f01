"""Checkpoints: signed, chained, in a file of their own; what a copy kept outside shows."""

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from segadmin import crypto
from segadmin.audit import Actor, checkpoints, keys, record
from segadmin.audit.verifier import START, find_checkpoints
from segadmin.audit.verifier import Checkpoint as Line
from segadmin.audit.verify import verify
from segadmin.models import Action, Checkpoint, EventContent, Sandbox, SigningKey
from tests.audit.tampering import Row, chained, disarm, fill, forged, rewrite, sql

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()
type Make = Callable[[], Checkpoint]


@pytest.fixture(autouse=True)
def data_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def make(django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Make:
    def made() -> Checkpoint:
        with django_capture_on_commit_callbacks(execute=True):
            checkpoint = checkpoints.make(actor=SYSTEM)
        assert checkpoint is not None
        return checkpoint

    return made


def line_of(checkpoint: Checkpoint) -> Line:
    return find_checkpoints(checkpoint.text)[0]


def test_an_empty_record_has_none() -> None:
    assert checkpoints.make(actor=SYSTEM) is None


def test_it_signs_the_head(prod: Sandbox, make: Make) -> None:
    fill(5, prod)
    made = make()
    # The first use of the key is record 6, and the checkpoint covers it.
    assert (made.number, made.epoch, made.seq, made.count, made.previous) == (1, 1, 6, 6, START)
    assert made.line.startswith("segadmin-checkpoint-1 1 1 6 6 ")
    key = SigningKey.objects.get()
    assert crypto.signature_fits(key.public, f"{made.line}\n".encode(), made.signature)
    assert not crypto.signature_fits(key.public, f"{made.line} \n".encode(), made.signature)


def test_each_holds_the_hash_of_the_one_before(prod: Sandbox, make: Make) -> None:
    fill(2, prod)
    first = make()
    fill(2, prod)
    second = make()
    assert second.previous == line_of(first).sha256
    assert (second.number, second.seq, second.count) == (2, first.seq + 2, first.count + 2)


def test_nothing_new_makes_no_other_one(prod: Sandbox, make: Make) -> None:
    fill(2, prod)
    assert make() == make()
    assert Checkpoint.objects.count() == 1


def test_the_file_is_appended_to(prod: Sandbox, make: Make, data_folder: Path) -> None:
    made = []
    for _round in range(3):
        fill(1, prod)
        made.append(make().text)
    path = data_folder / "checkpoints.txt"
    assert path.read_text().splitlines() == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_did_not_reach_the_file_follows_with_the_next(prod: Sandbox, make: Make, data_folder: Path) -> None:
    fill(1, prod)
    first = make()
    (data_folder / "checkpoints.txt").unlink()
    fill(1, prod)
    second = make()
    assert (data_folder / "checkpoints.txt").read_text().splitlines() == [first.text, second.text]


def test_a_file_that_can_not_be_written_stops_nothing(
    prod: Sandbox, make: Make, data_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data_folder / "checkpoints.txt").mkdir()
    fill(1, prod)
    assert checkpoints.write_files() is False
    assert "can't be written" in caplog.text


def test_a_rolled_back_change_leaves_no_checkpoint_in_the_file(prod: Sandbox, data_folder: Path) -> None:
    fill(1, prod)
    checkpoints.make(actor=SYSTEM)  # the test's transaction never commits
    assert not (data_folder / "checkpoints.txt").exists()


def test_the_private_key_is_a_file_of_its_own(prod: Sandbox, make: Make, data_folder: Path) -> None:
    fill(1, prod)
    make()
    path = data_folder / "checkpoint_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = path.read_text().strip()
    assert len(private) == 64
    for content in EventContent.objects.order_by("pk"):
        assert private not in content.text
    assert private not in (data_folder / "public_keys.txt").read_text()


def test_a_key_is_introduced_once(prod: Sandbox, make: Make, data_folder: Path) -> None:
    fill(1, prod)
    make()
    fill(1, prod)
    make()
    introduced = EventContent.objects.get(action=Action.CHECKPOINT)
    key = SigningKey.objects.get()
    assert introduced.event_id == key.seq
    assert json.loads(introduced.text)["details"]["public_key"] == key.public
    assert (data_folder / "public_keys.txt").read_text() == f"{key.text}\n"
    assert keys.public_keys() == {key.key_id: key.public}


def test_a_replaced_key_signs_what_follows_and_the_old_one_still_counts(
    prod: Sandbox, make: Make, data_folder: Path
) -> None:
    fill(1, prod)
    first = make()
    keys.replace()
    fill(1, prod)
    second = make()
    assert first.key_id != second.key_id
    assert SigningKey.objects.count() == 2
    told = json.loads(EventContent.objects.get(pk=SigningKey.objects.get(pk=second.key_id).seq).text)
    assert told["details"]["key_before"] == first.key_id
    assert len((data_folder / "public_keys.txt").read_text().splitlines()) == 2
    result = verify()
    assert result.ok
    assert result.checkpoints == 2


def test_a_broken_key_file_is_told(prod: Sandbox, data_folder: Path) -> None:
    fill(1, prod)
    (data_folder / "checkpoint_key").write_text("not a key")
    with pytest.raises(crypto.SigningKeyBroken):
        checkpoints.make(actor=SYSTEM)


def test_when_one_is_due(prod: Sandbox, make: Make) -> None:
    now, hour = timezone.now(), timedelta(hours=1)
    assert not checkpoints.is_due(now, hour)
    fill(1, prod)
    assert checkpoints.is_due(now, hour)
    make()
    fill(1, prod)
    assert not checkpoints.is_due(now, hour)
    assert checkpoints.is_due(now + 2 * hour, hour)


def test_checks_and_deliveries_alone_need_no_checkpoint(prod: Sandbox, make: Make) -> None:
    fill(1, prod)
    make()
    for action in (Action.RECORD_VERIFIED, Action.WITNESS):
        record(actor=SYSTEM, action=action, sentence="did its duty")
    assert not checkpoints.is_due(timezone.now() + timedelta(days=1), timedelta(hours=1))


# -- what they show ---------------------------------------------------------------------------------------------------


@pytest.fixture
def outside(prod: Sandbox, make: Make) -> Line:
    """A checkpoint that somebody outside kept; after it more happened."""
    fill(6, prod)
    line = line_of(make())
    fill(6, prod)
    make()
    return line


def test_untouched_records_agree_with_it(outside: Line) -> None:
    result = verify(outside=[outside])
    assert result.ok
    assert (result.checkpoints, result.outside) == (3, 1)


def forge(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
    contents[2]["text"] = forged(contents[2]["text"])
    contents[2]["sentence"] = forged(contents[2]["sentence"])
    return chained(events, contents)


def rewritten_with_the_own_key(data_folder: Path, make: Make) -> None:
    """All of it from scratch, by somebody who has the folder: records, checkpoints, their file, signed as ever."""
    disarm()
    rewrite(forge)
    sql("DELETE FROM segadmin_checkpoint")
    (data_folder / "checkpoints.txt").unlink()
    (data_folder / "record_seen").unlink()
    make()


def test_a_record_rewritten_with_the_own_key_fails_against_it(outside: Line, data_folder: Path, make: Make) -> None:
    rewritten_with_the_own_key(data_folder, make)
    assert verify().ok  # the installation agrees with itself
    result = verify(outside=[outside])
    assert (result.damage[0].kind, result.damage[0].seq) == ("checkpoint mismatch", outside.seq)
    assert "kept outside" in result.damage[0].says


def test_a_record_rewritten_but_for_its_checkpoints_fails_by_itself(outside: Line) -> None:
    disarm()
    rewrite(forge)
    assert verify().damage[0].kind == "checkpoint mismatch"


def test_a_cut_tail_with_its_head_moved_back_shows_by_the_file(outside: Line) -> None:
    """Head, table and records agree; the append-only file does not, nor does the copy outside."""
    disarm()

    def cut(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        return events[:4], contents[:4]

    sql("DELETE FROM segadmin_checkpoint")
    rewrite(cut)
    result = verify()
    assert result.damage[0][:2] == ("tail cut", 5)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"chain": "f" * 64}, "checkpoint mismatch"),
        ({"count": 999}, "checkpoint mismatch"),
        ({"signature": "0" * 128}, "checkpoint mismatch"),
        ({"at": "2020-01-01T00:00:00Z"}, "checkpoint mismatch"),
    ],
)
def test_an_altered_checkpoint(outside: Line, change: dict[str, object], kind: str) -> None:
    from dataclasses import replace

    result = verify(outside=[replace(outside, **change)])  # type: ignore[arg-type]
    assert not result.ok
    assert result.damage[0].kind == kind


def test_a_checkpoint_altered_in_the_table(outside: Line) -> None:
    disarm()
    other = outside.line.replace(f" {outside.seq} ", f" {outside.seq + 1} ", 1)
    sql("UPDATE segadmin_checkpoint SET line = %s WHERE number = 1", other.rpartition(" ")[0])
    assert verify().damage[0].kind == "checkpoint mismatch"


def test_a_key_that_nobody_introduced(outside: Line) -> None:
    disarm()
    sql("DELETE FROM segadmin_signingkey")
    keys_file = Path(checkpoints.path()).with_name("public_keys.txt")
    keys_file.unlink()
    result = verify()
    assert result.damage[0].kind == "checkpoint mismatch"
    assert "first use" in result.damage[0].says


def test_only_trusted_keys_count(outside: Line) -> None:
    stranger = crypto.public_key(crypto.Secret(crypto.new_signing_key()))
    result = verify(outside=[outside], trusted={keys.key_id_of(stranger): stranger})
    assert result.ok
    assert all("not at hand" in remark for remark in result.remarks)
    assert verify(outside=[outside], trusted=keys.public_keys()).outside == 1


def test_a_range_leaves_the_others_unchecked(outside: Line) -> None:
    result = verify(first=outside.seq + 1, outside=[outside])
    assert result.ok
    assert "was not checked now" in result.remarks[0]
    assert verify(last=outside.seq).checkpoints == 1
    assert verify(first=3, last=5).events == 3
