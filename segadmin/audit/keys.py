"""The key that signs checkpoints: DATA_DIR/checkpoint_key, made on first need (0600), never in the database.

Its public half goes into the table of signing keys and to DATA_DIR/public_keys.txt, with an event in the record; so do
those of every key before it. A key file that was replaced is noticed at the next checkpoint.
"""

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from segadmin import crypto, environment
from segadmin.audit.actor import Actor
from segadmin.audit.record import record
from segadmin.models import Action, SigningKey

FILE = "checkpoint_key"
PUBLIC_FILE = "public_keys.txt"


@dataclass(frozen=True)
class Signer:
    """The key of this data folder."""

    key_id: str
    public: str
    _private: crypto.Secret

    def sign(self, text: str) -> str:
        """Signature of the line, its line feed included."""
        return crypto.sign(self._private, f"{text}\n".encode())


def key_id_of(public: str) -> str:
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


def signer() -> Signer:
    """Raises OSError or crypto.SigningKeyBroken when the file can't be used."""
    try:
        text = environment.key_from_file(Path(settings.DATA_DIR), FILE, crypto.new_signing_key())
    except UnicodeDecodeError as error:
        raise crypto.SigningKeyBroken("The signing key is no text.") from error
    private = crypto.Secret(text)
    public = crypto.public_key(private)
    return Signer(key_id_of(public), public, private)


def introduce(key: Signer, *, actor: Actor) -> None:
    """Put the first use of a key on record; must run inside the transaction of its first checkpoint."""
    if SigningKey.objects.filter(pk=key.key_id).exists():
        return
    before = SigningKey.objects.order_by("-first_used_at").first()
    event = record(
        actor=actor,
        action=Action.CHECKPOINT,
        sentence=f"began to sign checkpoints with the key {key.key_id}",
        details={"key": key.key_id, "public_key": key.public, "key_before": before.key_id if before else ""},
    )
    SigningKey(key_id=key.key_id, public=key.public, first_used_at=timezone.now(), seq=event.seq).save()


def replace(path: Path | None = None) -> None:
    """Put a fresh key in the place of the old one, which is gone for good: nobody can sign with it any more."""
    where = path or Path(settings.DATA_DIR) / FILE
    temporary = where.with_name(f".{where.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(crypto.new_signing_key() + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(where)


def public_lines() -> list[str]:
    """One line a key, the oldest first: `segadmin-key-1 <key id> <public key> <first used at>`."""
    rows = SigningKey.objects.order_by("first_used_at", "key_id")
    return [row.text for row in rows]


def public_keys() -> dict[str, str]:
    """Key id -> public key, of the table and of the file (which outlives a restore)."""
    found = {row.key_id: row.public for row in SigningKey.objects.order_by("key_id")}
    for line in _file_lines():
        words = line.split(" ")
        if len(words) == 4 and words[0] == "segadmin-key-1" and len(words[2]) == 64:
            found.setdefault(words[1], words[2])
    return {key_id: public for key_id, public in found.items() if _is_its_id(key_id, public)}


def _is_its_id(key_id: str, public: str) -> bool:
    try:
        return key_id_of(public) == key_id
    except ValueError:
        return False


def _file_lines() -> list[str]:
    try:
        return (Path(settings.DATA_DIR) / PUBLIC_FILE).read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def append_lines(path: Path, lines: list[str]) -> None:
    """Append to a file that is only ever appended to; on disk when this returns. The caller's lines are whole."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write("".join(f"{line}\n" for line in lines))
        handle.flush()
        os.fsync(handle.fileno())


def write_public() -> None:
    """Bring public_keys.txt up to the table."""
    there = {line.split(" ")[1] for line in _file_lines() if line.count(" ") == 3}
    missing = [line for line in public_lines() if line.split(" ")[1] not in there]
    if missing:
        append_lines(Path(settings.DATA_DIR) / PUBLIC_FILE, missing)
