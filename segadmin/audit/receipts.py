"""Receipts: a record's number with the first 12 characters of its chain value, short enough to be copied by hand.

Form: `48,211-4ac1-f702-9be8-3k`: number, three groups of the chain value, two check characters over both.
"""

import hashlib
import re
from dataclasses import dataclass

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
CHARACTERS = 12
_FORM = re.compile(r"0*([0-9]{1,18})[-\s]*([0-9a-f]{4})[-\s]*([0-9a-f]{4})[-\s]*([0-9a-f]{4})[-\s]*([0-9a-z]{2})")


class NotAReceipt(ValueError):
    """The text is none, or it was copied wrongly."""


@dataclass(frozen=True)
class Receipt:
    """`start` are the first 12 characters of the chain value of record `seq`."""

    seq: int
    start: str

    @property
    def check(self) -> str:
        value = int.from_bytes(hashlib.sha256(f"segadmin-receipt-1 {self.seq} {self.start}".encode()).digest()[:2])
        return ALPHABET[value >> 11] + ALPHABET[value >> 6 & 31]

    def __str__(self) -> str:
        groups = "-".join(self.start[at : at + 4] for at in range(0, CHARACTERS, 4))
        return f"{self.seq:,}-{groups}-{self.check}"


def receipt_of(seq: int, chain: str) -> Receipt:
    return Receipt(seq, chain[:CHARACTERS])


def parse(text: str) -> Receipt:
    """Read a receipt as people type it. Raises NotAReceipt."""
    tidy = text.strip().lower().replace(",", "").replace("–", "-").replace("—", "-")
    match = _FORM.fullmatch(tidy)
    if match is None:
        raise NotAReceipt("This does not have the form of a receipt, such as 48,211-4ac1-f702-9be8-3k.")
    receipt = Receipt(int(match[1]), match[2] + match[3] + match[4])
    if receipt.check != match[5]:
        raise NotAReceipt("The last two characters do not fit the rest: it was copied wrongly, or altered.")
    return receipt
