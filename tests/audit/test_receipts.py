"""Receipts survive being copied by hand, and a slip of the pen shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segadmin.audit.receipts import ALPHABET, NotAReceipt, Receipt, parse, receipt_of

hexadecimal = st.text("0123456789abcdef", min_size=64, max_size=64)


def test_its_form() -> None:
    receipt = receipt_of(48_211, "4ac1f7029be8" + "0" * 52)
    assert str(receipt).startswith("48,211-4ac1-f702-9be8-")
    assert (receipt.seq, receipt.start) == (48_211, "4ac1f7029be8")


@given(seq=st.integers(1, 10**15), chain=hexadecimal)
def test_it_reads_what_it_writes(seq: int, chain: str) -> None:
    receipt = receipt_of(seq, chain)
    assert parse(str(receipt)) == receipt


@given(seq=st.integers(1, 10**9), chain=hexadecimal)
def test_it_reads_what_people_write(seq: int, chain: str) -> None:
    text = str(receipt_of(seq, chain))
    for typed in (text.upper(), f"  {text}\n", text.replace(",", ""), text.replace("-", " "), text.replace("-", "–")):
        assert parse(typed) == receipt_of(seq, chain)


@given(
    seq=st.integers(1, 10**9), chain=hexadecimal, place=st.integers(0, 11), other=st.sampled_from("0123456789abcdef")
)
def test_one_wrong_character_nearly_always_shows(seq: int, chain: str, place: int, other: str) -> None:
    """Two check characters leave one slip in 1,024 unseen; then it is another record's receipt, or none."""
    true = receipt_of(seq, chain)
    wrong = Receipt(seq, true.start[:place] + other + true.start[place + 1 :])
    typed = str(wrong)[:-2] + true.check
    if wrong == true or wrong.check == true.check:
        assert parse(typed) == wrong
    else:
        with pytest.raises(NotAReceipt):
            parse(typed)


@pytest.mark.parametrize(
    "text", ["", "12", "12-abcd", "x-abcd-abcd-abcd-00", "-1-abcd-abcd-abcd-00", "1-ABCG-0000-0000-00"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(NotAReceipt):
        parse(text)


def test_its_characters_can_not_be_mistaken() -> None:
    assert len(ALPHABET) == 32
    assert not set("ilou") & set(ALPHABET)
