"""The clock of this server against Adobe's: compared at each reading, kept on record, told on the page."""

import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import formatdate

import pytest
from django.test import Client
from django.utils import timezone

from segadmin import sync
from segadmin.actions import completeness
from segadmin.emulator import delivery
from segadmin.emulator.server import Emulator
from segadmin.models import Action, EventContent, Role, Sandbox
from tests.conftest import make_person, signed_in

pytestmark = pytest.mark.django_db

type Shift = Callable[[float], None]


@pytest.fixture
def adobe_says(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Let the dates of Adobe's answers be off by so many seconds."""

    def shift(seconds: float) -> None:
        def told() -> str:
            return formatdate(timezone.now().timestamp() + seconds, usegmt=True)

        monkeypatch.setattr(delivery, "date_now", told)

    return shift


def ahead(sandbox: Sandbox) -> int | None:
    sandbox.refresh_from_db()
    return sandbox.clock_ahead


def again() -> None:
    Sandbox.objects.update(due_at=None, last_sweep_at=None)
    sync.once()


@pytest.fixture
def reader(live_prod: Sandbox) -> Client:
    return signed_in(make_person("reader", Role.AUDITOR, organization=live_prod.organization))


def page(client: Client) -> str:
    today = timezone.localdate()
    return client.get(f"/completeness/?from={today - timedelta(days=1)}&to={today}").content.decode()


def test_not_compared_yet(reader: Client, live_prod: Sandbox) -> None:
    assert ahead(live_prod) is None
    assert "was not compared with Adobe" in page(reader)


def test_clocks_that_agree(emulator: Emulator, live_prod: Sandbox, reader: Client, adobe_says: Shift) -> None:
    for seconds in (0, 1, -1):
        adobe_says(seconds)
        again()
        assert ahead(live_prod) == 0
    assert "agreed with Adobe’s within 2 seconds" in page(reader)


@pytest.mark.parametrize(("adobe", "told"), [(-75, "+75"), (75, "-75"), (-(10**8), "+100000000")])
def test_clocks_that_differ(
    emulator: Emulator,
    live_prod: Sandbox,
    reader: Client,
    adobe_says: Shift,
    caplog: pytest.LogCaptureFixture,
    adobe: int,
    told: str,
) -> None:
    adobe_says(adobe)
    again()
    found = ahead(live_prod)
    assert found is not None
    assert abs(found - int(told)) <= 2
    text = page(reader)
    assert f"the clock of this server differed from Adobe’s by {found:+d} s." in text
    assert any(f"the clock of this server is {found} s ahead of Adobe's" in line for line in caplog.messages)
    adobe_says(0)
    again()
    assert "agreed with Adobe’s" in page(reader)


def test_an_answer_without_a_date_leaves_what_was_known(
    emulator: Emulator, live_prod: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    again()
    assert ahead(live_prod) == 0
    monkeypatch.setattr(delivery, "date_now", lambda: "no date at all")
    again()
    assert ahead(live_prod) == 0


def test_the_summary_of_reading_keeps_it(emulator: Emulator, live_prod: Sandbox, adobe_says: Shift) -> None:
    adobe_says(-75)
    again()
    later = timezone.now() + timedelta(hours=2)
    completeness.note_read(live_prod, read_at=later, listed=0, may_close=True)
    summary = EventContent.objects.filter(action=Action.SWEEP).order_by("-event_id").first()
    assert summary is not None
    assert abs(json.loads(summary.text)["details"]["clock_ahead_seconds"] - 75) <= 2
