"""Sealing: bound to its place, verified or refused, and secrets that no text shows."""

import base64
import copy
import json
import pickle
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from segadmin import crypto
from segadmin.crypto import SealBroken, Secret, open_, reseal, seal

ROW, ORG = uuid.uuid4(), uuid.uuid4()
OLD, NEW = b"o" * 32, b"n" * 32


def sealed(text: str = "a secret") -> str:
    return seal(Secret(text), place="credential.secret", row=ROW, org=ORG)


def opened(text: str, *, place: str = "credential.secret", row: object = ROW, org: object = ORG) -> str:
    return open_(text, place=place, row=row, org=org).reveal()


@given(st.text(max_size=200))
def test_what_is_sealed_opens_again(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert opened(sealed(text)) == text


def test_the_form_names_version_and_key_and_never_repeats() -> None:
    one, two = sealed(), sealed()
    assert one != two
    assert one.startswith("v1.t1.")
    assert crypto.key_id_of(one) == "t1"
    assert "a secret" not in one


@pytest.mark.parametrize(
    "moved", [{"place": "tokencache.token"}, {"row": uuid.uuid4()}, {"org": uuid.uuid4()}, {"row": None}]
)
def test_a_moved_seal_does_not_open(moved: dict[str, object]) -> None:
    with pytest.raises(SealBroken):
        opened(sealed(), **moved)  # type: ignore[arg-type]


def test_every_flipped_bit_of_data_and_nonce_is_noticed() -> None:
    version, key_id, nonce, data = sealed().split(".")
    for position, part in ((2, nonce), (3, data)):
        raw = bytearray(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for index in range(len(raw)):
            changed = bytes(raw[:index]) + bytes([raw[index] ^ 1]) + bytes(raw[index + 1 :])
            parts = [version, key_id, nonce, data]
            parts[position] = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
            with pytest.raises(SealBroken):
                opened(".".join(parts))


@pytest.mark.parametrize("text", ["", "v1", "v1.t1.x", "v2.t1.AAAA.AAAA", "v1.t1..", "v1.t1.ä.ö", "v1.k9.AAAA.AAAA"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(SealBroken):
        opened(text)


@given(st.text(max_size=80))
def test_no_text_breaks_it_otherwise(text: str) -> None:
    with pytest.raises(SealBroken):
        opened(text)


def test_old_keys_still_open_and_the_first_one_seals(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = {"old": OLD}
    before = sealed()
    settings.ENCRYPTION_KEYS = {"new": NEW, "old": OLD}
    assert opened(before) == "a secret"
    after = reseal(before, place="credential.secret", row=ROW, org=ORG)
    assert crypto.key_id_of(after) == "new"
    settings.ENCRYPTION_KEYS = {"new": NEW}
    assert opened(after) == "a secret"
    with pytest.raises(SealBroken, match="'old' is not among SEGADMIN_ENCRYPTION_KEYS"):
        opened(before)


def test_another_key_of_the_same_name_does_not_open(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = {"k1": OLD}
    before = sealed()
    settings.ENCRYPTION_KEYS = {"k1": NEW}
    with pytest.raises(SealBroken):
        opened(before)


def test_resealing_does_not_move_a_seal() -> None:
    with pytest.raises(SealBroken):
        reseal(sealed(), place="credential.secret", row=ROW, org=uuid.uuid4())


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("a secret")
    texts = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr({"x": [secret]})]
    assert not any("a secret" in text for text in texts)
    for attempt in (json.dumps, pickle.dumps, copy.deepcopy, copy.copy, hash):
        with pytest.raises(TypeError):
            attempt(secret)
    assert secret.reveal() == "a secret"
    assert secret == Secret("a secret")
    assert secret != Secret("another")
    assert secret != "a secret"
    assert not Secret("")


def test_fingerprints_tell_secrets_apart_and_say_nothing_of_them() -> None:
    one = crypto.fingerprint(Secret("a secret"))
    assert one == crypto.fingerprint(Secret("a secret"))
    assert one != crypto.fingerprint(Secret("a secret "))
    assert len(one) == 8
