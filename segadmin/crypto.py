"""Sealing of secrets: AES-256-GCM, bound to table, field, row and org, with the key's id in the text.

Form: `v1.<key id>.<nonce>.<ciphertext and tag>`, base64url without padding. Key = HKDF-SHA256(master, info="segadmin/field").
A swapped row, a flipped byte or an unknown key raises SealBroken; nothing is ever returned unverified.
"""

import base64
import hashlib
import os
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

MASK = "********"
# The place of second-factor secrets, which allauth keeps in rows of its own.
SECOND_FACTOR = "mfa.secret"


class SealBroken(Exception):
    """The text was not sealed for this place with a key that we hold."""


class Secret:
    """A value that no page, log, traceback, JSON or pickle shows. `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("A secret can't be pickled or copied out.")


def _field_key(key_id: str) -> bytes:
    master = settings.ENCRYPTION_KEYS.get(key_id)
    if master is None:
        raise SealBroken(f"The encryption key {key_id!r} is not among SEGADMIN_ENCRYPTION_KEYS.")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"segadmin/field").derive(master)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def seal(value: Secret, *, place: str, row: object, org: object) -> str:
    """Seal for one place: `place` is "table.field", `row` and `org` are the UUIDs it belongs to."""
    key_id = next(iter(settings.ENCRYPTION_KEYS))
    nonce = os.urandom(12)
    sealed = AESGCM(_field_key(key_id)).encrypt(nonce, value.reveal().encode(), f"{place}|{row}|{org}".encode())
    return f"v1.{key_id}.{_encode(nonce)}.{_encode(sealed)}"


def open_(sealed: str, *, place: str, row: object, org: object) -> Secret:
    """The secret, or SealBroken."""
    try:
        version, key_id, nonce, data = sealed.split(".")
        if version != "v1":
            raise ValueError(version)
        plain = AESGCM(_field_key(key_id)).decrypt(_decode(nonce), _decode(data), f"{place}|{row}|{org}".encode())
    except (ValueError, InvalidTag) as error:
        raise SealBroken(
            "A stored secret can't be opened: it was changed, moved, or sealed with another key."
        ) from error
    return Secret(plain.decode())


def reseal(sealed: str, *, place: str, row: object, org: object) -> str:
    """The same secret sealed for the same place with the first key; the secret itself stays in here."""
    return seal(open_(sealed, place=place, row=row, org=org), place=place, row=row, org=org)


def opens(sealed: str, *, place: str, row: object, org: object) -> bool:
    """Whether a key of ours opens it; the secret itself is not given."""
    try:
        open_(sealed, place=place, row=row, org=org)
    except SealBroken:
        return False
    return True


def key_id_of(sealed: str) -> str:
    """The id of the key that sealed it; empty for a text of another form."""
    parts = sealed.split(".")
    return parts[1] if len(parts) == 4 else ""


def fingerprint(value: Secret) -> str:
    """Eight characters that tell two secrets apart and say nothing about either (salted with the secret's use)."""
    return hashlib.scrypt(value.reveal().encode(), salt=b"segadmin/fingerprint", n=2**12, r=8, p=1, dklen=4).hex()


def new_signing_key() -> str:
    """A fresh Ed25519 private key as a text to keep in a file."""
    return Ed25519PrivateKey.generate().private_bytes_raw().hex()


class SigningKeyBroken(Exception):
    """The text is no private key."""


def _private(key: Secret) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key.reveal()))
    except ValueError as error:
        raise SigningKeyBroken("The signing key is not one of 32 bytes in hex.") from error


def public_key(key: Secret) -> str:
    """The public half of a signing key, in hex."""
    return _private(key).public_key().public_bytes_raw().hex()


def sign(key: Secret, message: bytes) -> str:
    """The Ed25519 signature in hex."""
    return _private(key).sign(message).hex()


def signature_fits(public: str, message: bytes, signature: str) -> bool:
    """Whether the signature is one of this message by the owner of that public key; all but the message in hex."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (ValueError, InvalidSignature):
        return False
    return True
