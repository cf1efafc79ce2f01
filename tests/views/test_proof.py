"""The proof pages: what is proven and what not, a kept receipt compared, the outside witness, the signing key."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from segadmin.actions import deliveries, proof
from segadmin.audit import Actor, checkpoints, receipts
from segadmin.models import (
    NOT_KNOWN,
    Action,
    Checkpoint,
    Delivery,
    Event,
    EventContent,
    Installation,
    Outcome,
    Sandbox,
    SigningKey,
    User,
    Verification,
)
from segadmin.queries import proof as queries
from tests.audit.tampering import Row, chained, disarm, fill, forged, rewrite, sql
from tests.conftest import signed_in
from tests.signing import confirmed

pytestmark = pytest.mark.django_db
PAGE, COMPARE, WITNESS, SEND, KEY = (
    "/audit/proof/",
    "/audit/proof/compare/",
    "/audit/proof/witness/",
    "/audit/proof/send/",
    "/audit/proof/key/",
)
CHECK = "/audit/proof/check/"
SYSTEM = Actor.system()


@pytest.fixture(autouse=True)
def data_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    settings.MAIL_READY = True
    settings.MAIL_FROM = "segadmin@example.com"
    return tmp_path


@pytest.fixture
def kept(prod: Sandbox, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Checkpoint:
    """A checkpoint over some records; after it more happened."""
    fill(4, prod)
    with django_capture_on_commit_callbacks(execute=True):
        made = checkpoints.make(actor=SYSTEM)
    assert made is not None
    fill(2, prod)
    return made


def text_of(client: Client, address: str, **query: str) -> str:
    response = client.get(address, query)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


def last(action: Action) -> EventContent:
    found: EventContent | None = EventContent.objects.filter(action=action).order_by("-event_id").first()
    assert found is not None
    return found


# -- who ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auditor", "admin", "root"])
@pytest.mark.parametrize("address", [PAGE, COMPARE])
def test_works_for_those_who_read_the_record(request: pytest.FixtureRequest, name: str, address: str) -> None:
    assert signed_in(request.getfixturevalue(name)).get(address).status_code == 200


@pytest.mark.parametrize("name", ["viewer", "operator", "approver", "stranger"])
@pytest.mark.parametrize("address", [PAGE, COMPARE, f"{PAGE}checkpoints.txt", f"{PAGE}verifier.py"])
def test_others_are_refused(request: pytest.FixtureRequest, name: str, address: str) -> None:
    assert signed_in(request.getfixturevalue(name)).get(address).status_code == 403
    assert last(Action.ACCESS_REFUSED).actor_name == name


@pytest.mark.parametrize("address", [WITNESS, SEND, KEY])
def test_only_an_admin_of_the_installation_sets_it_up(admin: User, auditor: User, address: str) -> None:
    for user in (admin, auditor):
        assert signed_in(user).post(address, {"minutes": 5}).status_code == 403
    assert not Installation.objects.filter(version__gt=1).exists()


@pytest.mark.parametrize("address", [CHECK, SEND])
def test_what_acts_is_posted(root: User, address: str) -> None:
    assert signed_in(root).get(address).status_code == 405


# -- the page ----------------------------------------------------------------------------------------------------------


def test_an_unchecked_record_says_so(auditor: User) -> None:
    text = text_of(signed_in(auditor), PAGE)
    assert "has not been checked yet" in text
    assert "What this does not prove" in text


def test_it_lists_checks_checkpoints_and_keys(auditor: User, kept: Checkpoint) -> None:
    proof.verify_record(actor=SYSTEM)
    client = signed_in(auditor)
    text = text_of(client, PAGE)
    assert "unbroken" in text
    assert kept.key_id in text
    assert kept.text in client.get(PAGE).content.decode().replace("<i>", "").replace("</i>", "")
    assert SigningKey.objects.get().public in client.get(PAGE).content.decode().replace("<i>", "").replace("</i>", "")


def test_damage_is_shown_in_words(auditor: User, kept: Checkpoint) -> None:
    disarm()
    sql("UPDATE segadmin_eventcontent SET text = replace(text, 'cancelled', 'looked at') WHERE seq = 2")
    proof.verify_record(actor=SYSTEM)
    for address in (PAGE, "/audit/"):
        text = text_of(signed_in(auditor), address)
        assert "The record is damaged: The text of record 2 does not fit its digest." in text
    assert last(Action.RECORD_VERIFIED).outcome == Outcome.FAILED


def test_a_record_that_takes_nothing_more_is_still_told(root: User, kept: Checkpoint) -> None:
    """A record put in after the head holds up everything that would be written; the check says so all the same."""
    disarm()
    sql("INSERT INTO segadmin_event (seq, epoch, digest, chain) SELECT max(seq) + 1, 1, 'a', 'b' FROM segadmin_event")
    result, stored = proof.verify_record(actor=SYSTEM)
    assert result.damage[0].kind == "inserted"
    assert stored is None
    assert "could not be put on record" in result.remarks[-1]


def test_the_number_of_queries_does_not_grow(
    auditor: User, prod: Sandbox, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    client = signed_in(auditor)
    for _round in range(5):
        fill(1, prod)
        checkpoints.make(actor=SYSTEM)
        proof.verify_record(actor=SYSTEM, full=False)
    client.get(PAGE)
    with django_assert_max_num_queries(17):  # type: ignore[attr-defined]
        client.get(PAGE)


# -- the banner --------------------------------------------------------------------------------------------------------


def deliver(checkpoint: Checkpoint, days_ago: float = 1.0, problem: str = "") -> Delivery:
    """One that was sent then; the mail server took it unless there is a problem."""
    with pytest.MonkeyPatch.context() as patch, time_machine.travel(timezone.now() - timedelta(days=days_ago)):
        patch.setattr("segadmin.actions.deliveries._mail", lambda *_told: problem)
        return deliveries.deliver(
            actor=SYSTEM, checkpoint=checkpoint, witness=deliveries.Witness("mail", "audit@example.com")
        )


def test_without_a_witness_it_is_never_green(auditor: User, kept: Checkpoint) -> None:
    proof.verify_record(actor=SYSTEM)
    banner = queries.banner()
    assert banner.kind == "warn"
    assert banner.lead == f"Records 1 to {kept.seq + 2} are unbroken. No outside witness:"
    page = signed_in(auditor).get("/audit/").content.decode()
    assert "someone who administers this server could have rewritten them all" in page
    assert 'class="note ok"' not in page


@pytest.mark.parametrize("address", [PAGE, "/audit/"])
def test_only_who_may_set_up_a_witness_is_led_there(
    root: User, admin: User, auditor: User, kept: Checkpoint, address: str
) -> None:
    proof.verify_record(actor=SYSTEM)
    asking, way = "Ask an administrator of the whole installation to set one up.", "/audit/proof/witness/"
    page = signed_in(root).get(address).text
    assert f'<a href="{way}">Set one up</a>' in page
    assert asking not in page
    assert signed_in(root).get(way).status_code == 200
    for user in (admin, auditor):
        page = signed_in(user).get(address).text
        assert asking in page
        assert way not in page
        assert signed_in(user).get(way).status_code == 403


def test_with_a_witness_it_names_who_has_which(auditor: User, kept: Checkpoint) -> None:
    deliver(kept)
    proof.verify_record(actor=SYSTEM)
    banner = queries.banner()
    assert banner.kind == "ok"
    assert "agree with the checkpoint that audit@example.com received on" in banner.lead
    assert f"(record {kept.seq})" in banner.lead
    assert 'class="note ok"' in signed_in(auditor).get("/audit/").content.decode()


@pytest.mark.parametrize("case", ["quick", "failed delivery", "old delivery", "old check", "delivered after the check"])
def test_what_keeps_it_from_being_green(kept: Checkpoint, case: str) -> None:
    problem = "The mail server did not take it." if case == "failed delivery" else ""
    delivery = deliver(kept, 10 if case == "old delivery" else 1, problem)
    with time_machine.travel(timezone.now() - timedelta(days=5 if case == "old check" else 0), tick=False):
        proof.verify_record(actor=SYSTEM, full=case != "quick")
    if case == "old check":
        Delivery.objects.filter(pk=delivery.pk).update(at=timezone.now() - timedelta(days=6))
    if case == "delivered after the check":
        Delivery.objects.filter(pk=delivery.pk).update(at=timezone.now() + timedelta(hours=1))
    assert queries.banner().kind == "warn"


def test_a_check_of_a_part_says_nothing_about_the_whole(kept: Checkpoint) -> None:
    proof.verify_record(actor=SYSTEM, first=3)
    assert "has not been checked yet" in queries.banner().lead


# -- receipts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/audit/", "/audit/1/", PAGE, COMPARE, "/register/"])
def test_the_foot_has_a_receipt(auditor: User, kept: Checkpoint, address: str) -> None:
    """Of the newest record when the page was made; opening one may itself be on record."""
    page = signed_in(auditor).get(address).content.decode()
    shown = receipts.parse(re.findall(r"<code data-receipt>(.+?)</code>", page)[0])
    assert shown.seq >= kept.seq + 2
    assert Event.objects.get(pk=shown.seq).chain.startswith(shown.start)


def test_pages_of_other_things_have_none(auditor: User, kept: Checkpoint) -> None:
    assert "data-receipt" not in signed_in(auditor).get("/jobs/").content.decode()


@pytest.mark.parametrize("form", ["{}", " {} ", "as typed"])
def test_a_receipt_that_fits(auditor: User, kept: Checkpoint, form: str) -> None:
    receipt = str(queries.receipt())
    typed = receipt.replace("-", " ").upper() if form == "as typed" else form.format(receipt)
    proof.verify_record(actor=SYSTEM)
    text = text_of(signed_in(auditor), COMPARE, kept=typed)
    assert "has the chain value of your receipt" in text
    assert "nothing was changed, removed or put in since you kept it" in text
    assert "12 of 64 characters" in text
    assert 'class="note ok"' in signed_in(auditor).get(COMPARE, {"kept": typed}).content.decode()


def test_a_fitting_receipt_without_a_check_proves_little(auditor: User, kept: Checkpoint) -> None:
    client = signed_in(auditor)
    receipt = str(queries.receipt())
    assert "That alone says little" in text_of(client, COMPARE, kept=receipt)
    assert 'class="note ok"' not in client.get(COMPARE, {"kept": receipt}).content.decode()


def test_a_receipt_of_a_rewritten_record(auditor: User, kept: Checkpoint) -> None:
    receipt = str(queries.receipt())

    def change(events: list[Row], contents: list[Row]) -> tuple[list[Row], list[Row]]:
        contents[1]["text"] = forged(contents[1]["text"])
        return chained(events, contents)

    disarm()
    rewrite(change)
    client = signed_in(auditor)
    assert "has another chain value now" in text_of(client, COMPARE, kept=receipt)
    assert 'data-fits="no"' in client.get(COMPARE, {"kept": kept.text}).content.decode()


def test_a_receipt_of_a_record_that_is_gone(auditor: User, kept: Checkpoint) -> None:
    receipt = str(queries.receipt())
    disarm()
    sql("DELETE FROM segadmin_eventcontent WHERE seq > 3")
    sql("DELETE FROM segadmin_event WHERE seq > 3")
    text = text_of(signed_in(auditor), COMPARE, kept=receipt)
    assert "is not there any more: records were removed since" in text


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("hello", "does not have the form of a receipt"),
        ("7-0000-0000-0000-zz", "copied wrongly"),
        ("segadmin-checkpoint-1 1 1 5 5 abc", "cut or altered"),
        ("<script>alert(1)</script>", "does not have the form of a receipt"),
        ("1" * 30_000, "at most"),
    ],
)
def test_what_is_no_receipt(auditor: User, kept: Checkpoint, typed: str, told: str) -> None:
    client = signed_in(auditor)
    assert told in text_of(client, COMPARE, kept=typed)
    assert "<script>alert" not in client.get(COMPARE, {"kept": typed}).content.decode()


def test_a_checkpoint_from_a_mail(auditor: User, kept: Checkpoint) -> None:
    quoted = "\n".join(f"> {word}" for word in kept.text.split(" "))
    text = text_of(signed_in(auditor), COMPARE, kept=f"On Monday you wrote:\n{quoted}\nthanks")
    assert "has the chain value of your checkpoint" in text


def test_a_checkpoint_with_another_signature(auditor: User, kept: Checkpoint) -> None:
    other = kept.text[:-4] + ("0000" if not kept.text.endswith("0000") else "1111")
    assert "Its signature is wrong" in text_of(signed_in(auditor), COMPARE, kept=other)


def test_comparing_leaves_no_event(auditor: User, kept: Checkpoint) -> None:
    client = signed_in(auditor)
    before = Event.objects.count()
    client.get(COMPARE, {"kept": kept.text})
    assert Event.objects.count() == before


# -- checking now ------------------------------------------------------------------------------------------------------


def test_checking_now_is_on_record(auditor: User, kept: Checkpoint) -> None:
    client = signed_in(auditor)
    newest = Event.objects.order_by("-seq")[0].seq
    answer = client.post(CHECK)
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    run = Verification.objects.get()
    assert (run.by, run.ok, run.last) == ("auditor", True, newest)
    told = last(Action.RECORD_VERIFIED)
    assert told.sentence == f"checked records 1 to {run.last}: unbroken"


def test_checking_again_and_again_waits(auditor: User, kept: Checkpoint) -> None:
    client = signed_in(auditor)
    for _repeat in range(4):
        client.post(CHECK)
    assert Verification.objects.count() == 2


def test_a_long_record_is_for_the_command_line(
    auditor: User, kept: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "CHECKED_ON_A_PAGE", 3)
    client = signed_in(auditor)
    assert CHECK not in client.get(PAGE).content.decode()
    client.post(CHECK)
    assert not Verification.objects.exists()


# -- the witness -------------------------------------------------------------------------------------------------------


def test_setting_a_witness_is_on_record(root: User) -> None:
    data = {"mail": "audit@example.com", "webhook": "https://hooks.example.com/s3cret/path", "minutes": 30}
    answer = signed_in(root).post(WITNESS, {**data, "reason": "asked by the auditor"})
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    place = Installation.objects.get()
    assert (place.witness_mail, place.witness_webhook, place.checkpoint_minutes) == tuple(data.values())
    told = last(Action.SETTINGS_CHANGED)
    assert '"witness_mail":"audit@example.com"' in told.text
    assert "hooks.example.com" in told.text
    assert "s3cret" not in told.text
    assert "s3cret" not in signed_in(root).get(PAGE).content.decode()


def test_setting_the_same_again_is_no_change(root: User) -> None:
    client = signed_in(root)
    for _repeat in range(2):
        client.post(WITNESS, {"mail": "audit@example.com", "minutes": 60})
    assert EventContent.objects.filter(action=Action.SETTINGS_CHANGED).count() == 1


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"mail": "nobody"}, "e-mail address"),
        ({"webhook": "http://hooks.example.com/"}, "https://"),
        ({"webhook": "https://user:pw@hooks.example.com/"}, "user name and password"),
        ({"webhook": "https://hooks.example.com:8443/"}, "Leave out the port"),
        ({"minutes": "0"}, "Write a number of minutes, 1 or more."),
        ({"minutes": "100000"}, "from 1 to 1440"),
    ],
)
def test_what_can_not_be_a_witness(root: User, data: dict[str, str], told: str) -> None:
    response = signed_in(root).post(WITNESS, {"minutes": "60", **data})
    assert response.status_code == 200
    assert told in unescape(response.content.decode())
    assert not Installation.objects.filter(version__gt=1).exists()


def test_mail_needs_a_server(root: User, settings: Settings) -> None:
    settings.MAIL_READY = False
    page = signed_in(root).post(WITNESS, {"mail": "audit@example.com", "minutes": "60"}).content.decode()
    assert "SEGADMIN_MAIL_URL" in page


def test_a_checkpoint_is_sent_by_mail(root: User, kept: Checkpoint, mailoutbox: list[mail.EmailMessage]) -> None:
    proof.set_witness(actor=SYSTEM, mail="audit@example.com", webhook="", minutes=60)
    assert signed_in(root).post(SEND).status_code == 302
    [message] = mailoutbox
    newest = Checkpoint.objects.order_by("-number")[0]
    assert newest.number == kept.number + 1
    assert message.to == ["audit@example.com"]
    assert newest.text in message.body
    assert SigningKey.objects.get().public in message.body
    delivery = Delivery.objects.get()
    assert (delivery.checkpoint_id, delivery.ok, delivery.address) == (newest.number, True, "audit@example.com")
    assert (
        last(Action.WITNESS).sentence == f"sent checkpoint {newest.number} (record {newest.seq}) to audit@example.com"
    )


def test_a_mail_server_that_refuses_is_told(root: User, kept: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_values: object) -> int:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuse)
    proof.set_witness(actor=SYSTEM, mail="audit@example.com", webhook="", minutes=60)
    client = signed_in(root)
    client.post(SEND)
    assert not Delivery.objects.get().ok
    assert last(Action.WITNESS).outcome == Outcome.FAILED
    text = text_of(client, PAGE)
    assert "audit@example.com did not get the checkpoint" in text
    assert "Connection refused" in text


# -- the key -----------------------------------------------------------------------------------------------------------


def test_replacing_the_key(root: User, kept: Checkpoint, data_folder: Path) -> None:
    client = confirmed(root)
    before = (data_folder / "checkpoint_key").read_text()
    assert client.post(KEY, {"reason": "An administrator left."}).status_code == 302
    assert (data_folder / "checkpoint_key").read_text() != before
    newest = Checkpoint.objects.order_by("-number")[0]
    assert newest.key_id != kept.key_id
    destroyed, introduced = EventContent.objects.filter(action=Action.CHECKPOINT).order_by("event_id")[1:3]
    assert destroyed.sentence.startswith(f"destroyed the signing key {kept.key_id}")
    assert newest.key_id in introduced.sentence


BROKEN = {
    "no key": "the file checkpoint_key in the data folder holds no signing key",
    "no text": "the file checkpoint_key in the data folder holds no signing key",
    "a folder": "the signing key checkpoint_key can’t be read: Is a directory.",
}


def break_key(data_folder: Path, how: str) -> None:
    key = data_folder / "checkpoint_key"
    key.unlink()
    if how == "a folder":
        key.mkdir()
    else:
        key.write_bytes(b"\xff\xfe" if how == "no text" else b"not a key\n")


@pytest.mark.parametrize("how", BROKEN)
def test_a_signing_key_that_can_not_be_used_is_told_where_it_is_needed(
    root: User, kept: Checkpoint, data_folder: Path, how: str, mailoutbox: list[mail.EmailMessage]
) -> None:
    Installation.objects.update_or_create(pk=1, defaults={"witness_mail": "audit@example.com"})
    break_key(data_folder, how)
    page = signed_in(root).post(SEND, follow=True)
    assert page.status_code == 200
    assert "No checkpoint was made" in page.text
    assert BROKEN[how] in unescape(page.text).replace("'", "’")
    assert mailoutbox == []


@pytest.mark.parametrize("how", ["no key", "no text"])
def test_a_key_that_can_not_be_used_can_be_replaced(root: User, kept: Checkpoint, data_folder: Path, how: str) -> None:
    break_key(data_folder, how)
    client = confirmed(root)
    client.post(KEY, {"reason": "It was damaged."})
    told = EventContent.objects.filter(action=Action.CHECKPOINT, sentence__contains="could not be used").get()
    assert told.sentence == "took away the signing key, which could not be used, and made another one"
    assert Checkpoint.objects.count() == 2
    assert queries.proof().keys[0].key_id != kept.key_id


def test_a_key_that_can_not_be_replaced_says_why(root: User, kept: Checkpoint, data_folder: Path) -> None:
    break_key(data_folder, "a folder")
    page = confirmed(root).post(KEY, {"reason": "It was damaged."})
    assert "can't be read: Is a directory" in unescape(page.text)
    assert not EventContent.objects.filter(sentence__contains="destroyed").exists()


def test_what_is_on_its_way_is_told_as_not_known(auditor: User, kept: Checkpoint) -> None:
    Delivery.objects.create(
        checkpoint=kept, kind="mail", address="audit@example.com", at=timezone.now(), ok=False, note=NOT_KNOWN
    )
    page = signed_in(auditor).get(PAGE).text
    assert "Whether audit@example.com got the checkpoint of" in page
    assert "did not get" not in page


def test_replacing_the_key_asks_for_the_password_first(root: User, kept: Checkpoint, data_folder: Path) -> None:
    before = (data_folder / "checkpoint_key").read_text()
    answer = signed_in(root).post(KEY, {"reason": "no matter"})
    assert answer.status_code == 302
    assert (data_folder / "checkpoint_key").read_text() == before


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_for_checking_elsewhere(auditor: User, kept: Checkpoint) -> None:
    client = signed_in(auditor)
    got = {name: client.get(f"{PAGE}{name}") for name in ("checkpoints.txt", "public_keys.txt", "verifier.py")}
    assert got["checkpoints.txt"].content.decode() == f"{kept.text}\n"
    assert got["public_keys.txt"].content.decode() == f"{SigningKey.objects.get().text}\n"
    assert b"def signature_fits" in got["verifier.py"].content
    assert all("attachment" in response["Content-Disposition"] for response in got.values())
    assert client.get(f"{PAGE}checkpoint_key").status_code == 404


def test_an_unchecked_record_without_a_witness_says_what_is_missing(root: User, auditor: User, prod: Sandbox) -> None:
    fill(1, prod)
    assert "Set up an outside witness</a>" in signed_in(root).get("/audit/").text
    page = signed_in(auditor).get("/audit/").text
    assert "No outside witness is set up: ask an administrator of the whole installation." in page
    assert "to set one up" not in page
