"""Reads the environment for settings.py: strict names, strict values, secrets from files, keys made on first start.

Every fault raises ImproperlyConfigured with a sentence that says what to write.
"""

import base64
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

KNOWN = frozenset(
    {
        "SEGADMIN_DATA_DIR",
        "SEGADMIN_SECRET_KEY",
        "SEGADMIN_ENCRYPTION_KEYS",
        "SEGADMIN_ALLOWED_HOSTS",
        "SEGADMIN_PUBLIC_URL",
        "SEGADMIN_TRUSTED_PROXIES",
        "SEGADMIN_UPSTREAM_HOSTS",
        "SEGADMIN_UPSTREAM_PROXY",
        "SEGADMIN_UPSTREAM_CA_FILE",
        "SEGADMIN_SYNC_SECONDS",
        "SEGADMIN_UPSTREAM_DEADLINE_SECONDS",
        "SEGADMIN_UNKNOWN_WINDOW_SECONDS",
        "SEGADMIN_OIDC_ISSUER",
        "SEGADMIN_OIDC_CLIENT_ID",
        "SEGADMIN_OIDC_CLIENT_SECRET",
        "SEGADMIN_MAIL_URL",
        "SEGADMIN_MAIL_FROM",
        "SEGADMIN_STREAM_URL",
        "SEGADMIN_STREAM_AUTHORIZATION",
    }
)
SECRET_FILES = frozenset(
    {
        "SEGADMIN_SECRET_KEY_FILE",
        "SEGADMIN_ENCRYPTION_KEYS_FILE",
        "SEGADMIN_OIDC_CLIENT_SECRET_FILE",
        "SEGADMIN_MAIL_URL_FILE",
        "SEGADMIN_STREAM_URL_FILE",
        "SEGADMIN_STREAM_AUTHORIZATION_FILE",
        "DATABASE_URL_FILE",
    }
)
_MAIL_TLS = ("starttls", "none")


class Environment:
    """A strict view of environment variables."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        for name in values:
            if name.startswith("SEGADMIN_") and name not in KNOWN and name not in SECRET_FILES:
                known = ", ".join(sorted(KNOWN))
                raise ImproperlyConfigured(f"{name} is not a setting of segadmin. Remove it, or use one of: {known}.")

    def text(self, name: str, default: str = "") -> str:
        """The value, or the content of the file that NAME_FILE names; stripped."""
        file = self._values.get(f"{name}_FILE", "").strip()
        if not file:
            return self._values.get(name, "").strip() or default
        if self._values.get(name, "").strip():
            raise ImproperlyConfigured(f"Both {name} and {name}_FILE are set. Keep one.")
        try:
            return Path(file).read_text(encoding="utf-8").strip() or default
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE names {file}, which can't be read: {error.strerror}.") from error

    def words(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """A comma-separated list without blanks."""
        return [word.strip() for word in self.text(name).split(",") if word.strip()] or list(default)

    def seconds(self, name: str, default: float, least: float, most: float) -> float:
        """A number of seconds between `least` and `most`."""
        raw = self.text(name)
        try:
            value = float(raw) if raw else default
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ImproperlyConfigured(
                f"{name}={raw!r} should be a number of seconds from {least:g} to {most:g}, for example {default:g}."
            )
        return value

    def url(self, name: str, default: str, schemes: Sequence[str] = ("http", "https")) -> str:
        """An address without path, query or credentials."""
        value = self.text(name, default).rstrip("/")
        if value:
            parts = urlsplit(value)
            if parts.scheme not in schemes or not parts.hostname or parts.path or parts.query or parts.fragment:
                raise ImproperlyConfigured(
                    f"{name}={value!r} should be an address such as https://segadmin.example.com, without a path."
                )
        return value


def data_dir(env: Environment, checkout: Path) -> Path:
    """The data folder, made with mode 0700 if missing."""
    folder = Path(env.text("SEGADMIN_DATA_DIR", "var"))
    folder = folder if folder.is_absolute() else checkout / folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {folder} can't be made or closed to others ({error.strerror}). "
            "Set SEGADMIN_DATA_DIR to a folder that this user may write."
        ) from error
    return folder


def key_from_file(folder: Path, name: str, make: str) -> str:
    """The key kept in the data folder; made there on first start (mode 0600), and said so on stderr."""
    path = folder / name
    if not path.exists():
        temporary = folder / f".{name}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(make + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        try:
            # A link, not a rename: of several processes that start together the first one's key stays.
            os.link(temporary, path)
            sys.stderr.write(f"segadmin: made {name.replace('_', ' ')} in {path}. Keep a copy of it.\n")
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text(encoding="utf-8").strip()


def secret_key(env: Environment, folder: Path) -> str:
    """SEGADMIN_SECRET_KEY, or the one kept in the data folder."""
    value = env.text("SEGADMIN_SECRET_KEY") or key_from_file(folder, "secret_key", secrets.token_urlsafe(64))
    if len(value) < 50:
        raise ImproperlyConfigured("SEGADMIN_SECRET_KEY should have at least 50 random characters.")
    return value


def encryption_keys(env: Environment, folder: Path) -> dict[str, bytes]:
    """Key id -> 32 bytes, the first one seals; `id:base64` pairs, comma-separated."""
    fresh = f"k{secrets.token_hex(2)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    text = env.text("SEGADMIN_ENCRYPTION_KEYS") or key_from_file(folder, "encryption_keys", fresh)
    keys: dict[str, bytes] = {}
    for pair in text.replace("\n", ",").split(","):
        if not pair.strip():
            continue
        key_id, _, encoded = pair.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not key_id.isalnum() or len(key) != 32 or key_id in keys:
            raise ImproperlyConfigured(
                "SEGADMIN_ENCRYPTION_KEYS should hold pairs such as k1:BASE64, comma-separated, each of 32 random bytes "
                "and with an id of its own made of letters and digits."
            )
        keys[key_id] = key
    if not keys:
        raise ImproperlyConfigured(
            "SEGADMIN_ENCRYPTION_KEYS is empty. It should hold at least one pair such as k1:BASE64."
        )
    return keys


def mail_server(env: Environment) -> dict[str, Any] | None:
    """SEGADMIN_MAIL_URL as options of Django's SMTP backend; None when no mail is to be sent."""
    text = env.text("SEGADMIN_MAIL_URL")
    if not text:
        return None
    try:
        parts = urlsplit(text)
        port, tls = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query)).get("tls", ["starttls"])[0]
    except ValueError:
        parts, port, tls = urlsplit(""), None, ""
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or tls not in _MAIL_TLS:
        raise ImproperlyConfigured(
            "SEGADMIN_MAIL_URL should look like smtp://user:password@host:587 (with STARTTLS; ?tls=none without) or "
            "smtps://user:password@host:465."
        )
    if not env.text("SEGADMIN_MAIL_FROM"):
        raise ImproperlyConfigured("SEGADMIN_MAIL_URL also needs SEGADMIN_MAIL_FROM, the address that mail comes from.")
    return {
        "host": parts.hostname,
        "port": port,
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "use_ssl": parts.scheme == "smtps",
        "use_tls": parts.scheme == "smtp" and tls == "starttls",
        "timeout": 15,
    }


@dataclass(frozen=True)
class Stream:
    """A log collector that the record is handed to. Its address may let people in by its path or query: see `shown`."""

    kind: str
    url: str = field(repr=False)
    authorization: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """Where it is, for pages and the record: the file, or scheme, host and port."""
        parts = urlsplit(self.url)
        if self.kind == "file":
            return f"file://{unquote(parts.path)}"
        host = parts.hostname or ""
        place = f"[{host}]" if ":" in host else host
        return f"{self.kind}://{place}:{parts.port}" if parts.port else f"{self.kind}://{place}"


_STREAM_FORMS = (
    "SEGADMIN_STREAM_URL should look like file:///var/log/segadmin/record.jsonl, syslog+tls://collector.example.com:6514, "
    "syslog+tcp://collector.example.com:601 or https://collector.example.com/path (http only on 127.0.0.1)."
)


def stream(env: Environment) -> Stream | None:
    """SEGADMIN_STREAM_URL with SEGADMIN_STREAM_AUTHORIZATION; None where the record is handed to nobody."""
    text, authorization = env.text("SEGADMIN_STREAM_URL"), env.text("SEGADMIN_STREAM_AUTHORIZATION")
    if not text:
        if authorization:
            raise ImproperlyConfigured("SEGADMIN_STREAM_AUTHORIZATION also needs SEGADMIN_STREAM_URL.")
        return None
    try:
        parts = urlsplit(text)
        is_place = parts.port is None or parts.port > 0
    except ValueError:
        parts, is_place = urlsplit(""), False
    is_web = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname == "127.0.0.1")
    is_syslog = parts.scheme in ("syslog+tcp", "syslog+tls") and parts.path in ("", "/") and not parts.query
    is_file = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not parts.query
    if not is_place or not (is_file or ((is_web or is_syslog) and parts.hostname)) or "@" in parts.netloc:
        raise ImproperlyConfigured(_STREAM_FORMS)
    if authorization and (not is_web or not (authorization.isascii() and authorization.isprintable())):
        raise ImproperlyConfigured(
            "SEGADMIN_STREAM_AUTHORIZATION is the value of a header, such as Bearer and a token, for an https address."
        )
    return Stream(parts.scheme, text, authorization)


def use_data_dir_of_command(argv: Sequence[str]) -> None:
    """`demo` and `emulator` name their data folder on the command line; settings must know it before they load."""
    if len(argv) < 2 or argv[1] != "demo":
        return
    chosen = "var/demo"
    for position, word in enumerate(argv):
        if word == "--data-dir" and position + 1 < len(argv):
            chosen = argv[position + 1]
        elif word.startswith("--data-dir="):
            chosen = word.partition("=")[2]
    os.environ["SEGADMIN_DATA_DIR"] = str(Path(chosen).absolute())
