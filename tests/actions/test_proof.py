"""What the mirror does for the proof by itself: checkpoints when something is new, one mail a day, one check a day."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import responses
from django.core import mail
from django.core.cache import cache
from django.utils import timezone
from pytest_django import Settings

from segadmin.actions import proof
from segadmin.audit import Actor, NotRecorded
from segadmin.models import Action, Checkpoint, Delivery, EventContent, Installation, Outcome, Sandbox, Verification
from segadmin.sync.housekeeping import Housekeeping
from tests.audit.tampering import fill

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()
HOOK = "https://hooks.example.com/s3cret?sig=abc"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def place(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    settings.MAIL_READY = True
    settings.MAIL_FROM = "segadmin@example.com"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


def witness(**values: object) -> None:
    Installation.objects.update_or_create(pk=1, defaults=values)


def tend(now: datetime) -> None:
    cache.clear()
    proof.tend(actor=SYSTEM, now=now)


def events(action: Action) -> list[str]:
    return list(EventContent.objects.filter(action=action).order_by("event_id").values_list("sentence", flat=True))


def test_nothing_is_done_for_an_empty_record() -> None:
    tend(timezone.now())
    assert not Checkpoint.objects.exists()
    assert not Verification.objects.exists()


def test_checkpoints_follow_what_is_new(prod: Sandbox) -> None:
    now = timezone.now()
    fill(3, prod)
    tend(now)
    tend(now + HOUR * 2)  # nothing but the proof's own events since
    assert Checkpoint.objects.count() == 1
    fill(1, prod)
    tend(now + timedelta(minutes=5))
    assert Checkpoint.objects.count() == 1
    tend(now + HOUR * 3)
    assert Checkpoint.objects.count() == 2


def test_the_pace_is_a_setting(prod: Sandbox) -> None:
    witness(checkpoint_minutes=5)
    now = timezone.now()
    fill(1, prod)
    tend(now)
    fill(1, prod)
    tend(now + timedelta(minutes=6))
    assert Checkpoint.objects.count() == 2


def test_one_whole_check_a_day(prod: Sandbox) -> None:
    now = timezone.now()
    fill(1, prod)
    tend(now)
    tend(now + HOUR)
    assert Verification.objects.count() == 1
    tend(now + DAY + HOUR)
    assert [run.full for run in Verification.objects.all()] == [True, True]


def test_a_check_is_left_off_when_the_process_ends(prod: Sandbox) -> None:
    fill(1, prod)
    proof.tend(actor=SYSTEM, is_over=lambda: True)
    assert not Verification.objects.exists()


def test_one_mail_a_day_with_the_newest_checkpoint(prod: Sandbox, mailoutbox: list[mail.EmailMessage]) -> None:
    witness(witness_mail="audit@example.com")
    now = timezone.now()
    fill(1, prod)
    tend(now)
    assert len(mailoutbox) == 1
    fill(1, prod)
    tend(now + HOUR * 2)
    assert len(mailoutbox) == 1
    tend(now + DAY + HOUR)
    assert len(mailoutbox) == 2
    assert Checkpoint.objects.order_by("-number")[0].text in mailoutbox[1].body
    tend(now + 3 * DAY)  # nothing new
    assert len(mailoutbox) == 2
    assert len(events(Action.WITNESS)) == 4  # each begun and done


def test_a_mail_that_can_not_be_sent_is_tried_again_and_told_once(
    prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_values: object) -> int:
        raise TimeoutError

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuse)
    witness(witness_mail="audit@example.com")
    now = timezone.now()
    fill(1, prod)
    for minutes in (0, 10, 70, 140):
        tend(now + timedelta(minutes=minutes))
        Delivery.objects.filter(at__gt=now + timedelta(minutes=minutes)).update(at=now + timedelta(minutes=minutes))
    assert [delivery.ok for delivery in Delivery.objects.all()] == [False, False, False]
    seq = Checkpoint.objects.get().seq
    assert events(Action.WITNESS) == [
        f"began to send checkpoint 1 (record {seq}) to audit@example.com",
        "could not reach audit@example.com with checkpoint 1",
    ]


def test_a_mail_whose_end_is_not_on_record_comes_again_an_hour_later_and_says_so(
    prod: Sandbox, mailoutbox: list[mail.EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server took it, and then the process was killed, or the record took nothing more."""

    def killed(*_args: object, **_values: object) -> None:
        raise NotRecorded("the disk is full")

    witness(witness_mail="audit@example.com")
    now = timezone.now()
    fill(1, prod)
    with monkeypatch.context() as patch:
        patch.setattr("segadmin.actions.deliveries._end", killed)
        with pytest.raises(NotRecorded):
            tend(now)
    assert Delivery.objects.get().is_unsure
    tend(now + timedelta(minutes=50))
    assert len(mailoutbox) == 1
    tend(now + timedelta(minutes=70))
    first, second = mailoutbox
    assert "may have reached you before" not in first.body
    assert "may have reached you before" in second.body
    assert first.message()["Message-ID"] == second.message()["Message-ID"]
    assert "perhaps for the second time" in events(Action.WITNESS)[-1]
    tend(now + timedelta(hours=3))
    assert len(mailoutbox) == 2


def test_without_a_record_no_mail_leaves(
    prod: Sandbox, mailoutbox: list[mail.EmailMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_values: object) -> None:
        raise NotRecorded("the disk is full")

    witness(witness_mail="audit@example.com")
    fill(1, prod)
    proof.make_checkpoint(actor=SYSTEM)
    monkeypatch.setattr("segadmin.actions.deliveries.record", full)
    with pytest.raises(NotRecorded):
        tend(timezone.now())
    assert mailoutbox == []
    assert not Delivery.objects.exists()


def test_a_signing_key_that_can_not_be_used_holds_up_nothing_else(
    prod: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(1, prod)
    proof.make_checkpoint(actor=SYSTEM)
    (tmp_path / "checkpoint_key").write_bytes(b"\xff\xfe no key")
    fill(1, prod)
    tend(timezone.now() + 2 * HOUR)
    assert "holds no signing key" in caplog.text
    assert Verification.objects.count() == 1


def test_without_a_mail_server_nothing_is_tried(prod: Sandbox, settings: Settings) -> None:
    settings.MAIL_READY = False
    witness(witness_mail="audit@example.com")
    fill(1, prod)
    tend(timezone.now())
    assert not Delivery.objects.exists()


# -- the webhook -------------------------------------------------------------------------------------------------------


@responses.activate
def test_a_webhook_gets_each_checkpoint(prod: Sandbox) -> None:
    hook = responses.post(HOOK, status=204)
    witness(witness_webhook=HOOK)
    now = timezone.now()
    fill(1, prod)
    tend(now)
    tend(now + timedelta(minutes=1))
    fill(1, prod)
    tend(now + HOUR * 2)
    assert hook.call_count == 2
    told = json.loads(responses.calls[1].request.body or b"")
    newest = Checkpoint.objects.order_by("-number")[0]
    assert told["checkpoint"] == newest.text
    assert told["receipt"].startswith(f"{newest.seq}-")
    assert {delivery.address for delivery in Delivery.objects.all()} == {"hooks.example.com"}
    assert "s3cret" not in "".join(content.text for content in EventContent.objects.all())


@responses.activate
@pytest.mark.parametrize(
    ("status", "headers"), [(500, {}), (404, {}), (302, {"Location": "https://elsewhere.example/"})]
)
def test_a_webhook_that_does_not_take_it(prod: Sandbox, status: int, headers: dict[str, str]) -> None:
    elsewhere = responses.post("https://elsewhere.example/")
    responses.post(HOOK, status=status, headers=headers)
    witness(witness_webhook=HOOK)
    fill(1, prod)
    tend(timezone.now())
    delivery = Delivery.objects.get()
    assert not delivery.ok
    assert delivery.note == f"hooks.example.com answered with status {status}."
    assert elsewhere.call_count == 0
    outcomes = EventContent.objects.filter(action=Action.WITNESS).order_by("event_id").values_list("outcome", flat=True)
    assert list(outcomes) == [Outcome.REQUESTED, Outcome.FAILED]


@pytest.mark.parametrize("address", ["https://127.0.0.1/hook", "https://169.254.169.254/hook", "https://[::1]/hook"])
def test_private_addresses_are_not_called(prod: Sandbox, address: str) -> None:
    witness(witness_webhook=address)
    fill(1, prod)
    tend(timezone.now())
    assert "private or reserved address" in Delivery.objects.get().note


# -- housekeeping ------------------------------------------------------------------------------------------------------


def test_a_task_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def breaks(_stop: threading.Event) -> None:
        raise ZeroDivisionError

    def works(_stop: threading.Event) -> None:
        done.append("works")

    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        house = Housekeeping(pool, stop, [breaks, works])
        house.start()
        house.start()  # not due again yet
    assert done == ["works"]
    assert "breaks failed, trying again: ZeroDivisionError" in caplog.text


def test_nothing_is_begun_after_the_end() -> None:
    stop = threading.Event()
    stop.set()
    done: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        Housekeeping(pool, stop, [lambda _stop: done.append("late")]).start()
    assert done == []
