"""Backup and restore: one file with the database, the checkpoints and the public keys, checked before success is reported.

The file is a zip: `database.sqlite3` or `database.dump`, `checkpoints.txt`, `public_keys.txt`, `manifest.json`. It never
holds encryption keys or the signing key: keep those apart from it.
"""

import hashlib
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from segadmin.actions import proof
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, mark, record
from segadmin.audit.epochs import begin_epoch
from segadmin.models import Action, ChainHead
from segadmin.queries import keys

log = logging.getLogger("segadmin.record")
FORMAT = 1
EXTRAS = ("checkpoints.txt", "public_keys.txt")
# Rows that are of no use later and open the door now: who has a session's key is signed in. People sign in again.
NOT_KEPT = ("django_session", "usersessions_usersession", "segadmin_cache")


def make(*, actor: Actor, target: Path) -> dict[str, Any]:
    """Write a backup to `target` and check it. Returns its manifest. Raises NotDone, and leaves no file then."""
    if target.exists():
        raise NotDone(f"{target} is there already. Choose another name; a backup never overwrites a file.")
    _checkpoint(actor)
    with _scratch() as folder:
        database = folder / ("database.dump" if connection.vendor == "postgresql" else "database.sqlite3")
        _copy_out(database)
        state = _inspect(database)
        manifest = _manifest(folder, database, state)
        partial = target.with_name(f".{target.name}.part")
        try:
            _pack(folder, [database.name, *_extras(folder), "manifest.json"], partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    record(
        actor=actor,
        action=Action.BACKUP,
        sentence=f"made a backup up to record {manifest['seq']:,}; its record is unbroken and its secrets open",
        details={"file": target.name, **{name: manifest[name] for name in ("seq", "epoch", "chain", "files")}},
    )
    return manifest


def _checkpoint(actor: Actor) -> None:
    """A backup is worth having also where the signing key can't be used."""
    try:
        proof.make_checkpoint(actor=actor)
    except NotDone as problem:
        log.error("%s", problem)


def restore(*, actor: Actor, source: Path, reason: str, known_highest: int | None, replace: bool) -> dict[str, Any]:
    """Put a backup back, begin a new epoch and say what is lost. Nothing is touched before the backup was checked."""
    with _scratch() as folder:
        manifest = _unpack(source, folder)
        database = folder / manifest["database"]
        if manifest["vendor"] != connection.vendor:
            raise NotDone(f"This is a backup of {manifest['vendor']}; DATABASE_URL names {connection.vendor}.")
        state = _inspect(database)
        if (state["seq"], state["chain"]) != (manifest["seq"], manifest["chain"]):
            raise NotDone(f"{source} does not hold the records that its manifest names.")
        now = _current()
        if now and not replace:
            raise NotDone(
                f"This database holds records up to {now:,}. Stop every process of segadmin, then use --replace; "
                "what is there now is kept beside it (SQLite) or lost (PostgreSQL)."
            )
        _mark_is_readable()
        with mark.restoring():
            aside = _copy_in(database)
            call_command("migrate", interactive=False, verbosity=0)
            why = reason or f"restored {source.name}"
            begin_epoch(actor=actor, reason=why, known_highest=max(known_highest or 0, now))
    event = record(
        actor=actor,
        action=Action.RESTORE,
        sentence=f"restored the backup of {manifest['made_at']}, which ends at record {state['seq']:,}",
        details={"file": source.name, "reason": reason, "was_at": now, "manifest": manifest},
    )
    return {"seq": state["seq"], "was_at": now, "record": event.seq, "aside": str(aside or "")}


def _mark_is_readable() -> None:
    """Found out before anything is touched."""
    try:
        mark.read()
    except ValueError as error:
        raise NotDone(
            f"{mark.path()} is damaged, so it does not say which numbers were issued. Take it away: numbers then leap far "
            "beyond all that are known."
        ) from error


def inspect() -> dict[str, Any]:
    """The state of the database that is configured: head, verification, and whether every stored secret opens."""
    from segadmin.actions.keys import broken_secrets
    from segadmin.audit.verify import verify

    head = ChainHead.objects.get(pk=1)
    result = verify(here=False)
    return {
        "epoch": head.epoch,
        "seq": head.seq,
        "chain": head.chain,
        "events": result.events,
        # An older copy ends before what the folder's checkpoints know: that is what a restore tells as lost.
        "damage": [f"record {item.seq:,}: {item.says}" for item in result.damage if item.kind != "tail cut"],
        "broken_secrets": broken_secrets(),
        "key_ids": sorted(keys.sealed_by()),
    }


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder in the data folder, so that no copy of the database leaves it; gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="backup-", dir=settings.DATA_DIR))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_out(database: Path) -> None:
    """A consistent copy while others write."""
    if connection.vendor == "postgresql":
        without = [f"--exclude-table-data={table}" for table in NOT_KEPT]
        _run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", *without, "--file", str(database)])
        return
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(database)])
    with closing(sqlite3.connect(database)) as copy:
        copy.execute("PRAGMA secure_delete = ON")
        copy.execute("DELETE FROM django_session")
        copy.execute("DELETE FROM usersessions_usersession")
        copy.execute("DELETE FROM segadmin_cache")
        copy.commit()


def _inspect(database: Path) -> dict[str, Any]:
    """Verify a copy in a process of its own. Raises NotDone for a broken chain or a secret that does not open."""
    if connection.vendor == "postgresql":
        with _scratch_database(database) as url:
            state = _inspect_url(url)
    else:
        state = _inspect_url(f"sqlite:///{database}")
    if state["damage"]:
        raise NotDone(f"The record in this copy is damaged: {state['damage'][0]}")
    if state["broken_secrets"]:
        raise NotDone(
            "Stored secrets in this copy can't be opened with the encryption keys that are configured here: "
            f"{', '.join(state['broken_secrets'])}. It needs the keys {', '.join(state['key_ids'])}."
        )
    return state


def _inspect_url(url: str) -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL_FILE"}
    env |= {"DATABASE_URL": url, "SEGADMIN_DATA_DIR": str(settings.DATA_DIR)}
    argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), "backup", "--inspect"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        words = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise NotDone(f"The copy of the database could not be checked: {words[0]}") from error
    return found


@contextmanager
def _scratch_database(dump: Path) -> Iterator[str]:
    """A PostgreSQL database of its own with the dump in it, dropped in the end."""
    name = f"segadmin_check_{os.urandom(6).hex()}"
    _psql(f'CREATE DATABASE "{name}"')
    try:
        _run(["pg_restore", "--no-owner", "--no-privileges", "--dbname", name, str(dump)], database=name)
        head, _, _rest = settings.DATABASE_URL.partition("?")
        yield f"{head.rsplit('/', 1)[0]}/{name}{settings.DATABASE_URL[len(head) :]}"
    finally:
        _psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _psql(statement: str) -> None:
    try:
        connection.ensure_connection()
        _run(["psql", "--no-psqlrc", "--quiet", "--command", statement])
    except NotDone as error:
        raise NotDone(f"The check of a backup needs a database of its own for a moment. {error}") from error


def _run(argv: list[str], database: str = "") -> None:
    """A program of PostgreSQL, with the connection in its environment: no password on a command line."""
    found = connection.settings_dict
    options: Mapping[str, Any] = found.get("OPTIONS", {})
    env = {
        **os.environ,
        "PGHOST": str(found["HOST"] or options.get("host", "")),
        "PGPORT": str(found["PORT"] or ""),
        "PGUSER": str(found["USER"] or ""),
        "PGPASSWORD": str(found["PASSWORD"] or ""),
        "PGDATABASE": database or str(found["NAME"]),
    }
    program = shutil.which(argv[0]) or _in_debian(argv[0])
    if program is None:
        raise NotDone(f"{argv[0]} is not installed here. It comes with PostgreSQL's client programs.")
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
        [program, *argv[1:]], env={k: v for k, v in env.items() if v}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotDone(f"{argv[0]} failed: {done.stderr.strip().splitlines()[-1:] or ['no reason given']}")


def _in_debian(program: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return str(found[-1]) if found else None


def _extras(folder: Path) -> list[str]:
    """The files beside the database that an auditor needs, copied as they are."""
    for name in EXTRAS:
        source = Path(settings.DATA_DIR) / name
        if source.exists():
            shutil.copyfile(source, folder / name)
    return [name for name in EXTRAS if (folder / name).exists()]


def _manifest(folder: Path, database: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    names = [database.name, *_extras(folder)]
    manifest = {
        "format": FORMAT,
        "made_at": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "vendor": connection.vendor,
        "database": database.name,
        "epoch": state["epoch"],
        "seq": state["seq"],
        "chain": state["chain"],
        "needs_encryption_keys": state["key_ids"],
        "files": {name: _sha256(folder / name) for name in names},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _pack(folder: Path, names: list[str], target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for name in names:
                archive.write(folder / name, name)
        handle.flush()
        os.fsync(handle.fileno())


def _unpack(source: Path, folder: Path) -> dict[str, Any]:
    """The manifest of a backup whose files are all there and unchanged. Raises NotDone."""
    try:
        with zipfile.ZipFile(source) as archive:
            manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
            for name in manifest["files"]:
                if Path(name).name != name:
                    raise NotDone(f"{source} is not a backup of segadmin: it names a file {name!r}.")
                with archive.open(name) as inside, (folder / name).open("wb") as out:
                    shutil.copyfileobj(inside, out)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise NotDone(f"{source} can't be read as a backup of segadmin: {type(error).__name__}.") from error
    if manifest.get("format") != FORMAT:
        raise NotDone(f"{source} was made by another version of segadmin (format {manifest.get('format')}).")
    changed = [name for name, digest in manifest["files"].items() if _sha256(folder / name) != digest]
    if changed:
        raise NotDone(f"{source} was changed since it was made: {', '.join(changed)}.")
    return manifest


def _current() -> int:
    """The newest record of the database in use; 0 where there is none yet."""
    try:
        head = ChainHead.objects.filter(pk=1).first()
    except DatabaseError:
        return 0
    return head.seq if head else 0


def _copy_in(database: Path) -> Path | None:
    """Put the copy in place. On SQLite the file that was there is moved aside and named."""
    if connection.vendor == "postgresql":
        connection.close()
        _run(
            [
                "pg_restore",
                "--clean",
                "--if-exists",
                "--no-owner",
                "--no-privileges",
                "--single-transaction",
                "--dbname",
                str(connection.settings_dict["NAME"]),
                str(database),
            ]
        )
        return None
    place = Path(str(connection.settings_dict["NAME"]))
    aside = None
    if place.exists():
        _nobody_uses(place)
        aside = place.with_name(f"{place.name}.before-{timezone.now():%Y%m%dT%H%M%S}")
    connection.close()
    for suffix in ("", "-wal", "-shm", "-journal"):
        old = place.with_name(place.name + suffix)
        if aside and old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    shutil.copyfile(database, place)
    place.chmod(0o600)
    return aside


def _nobody_uses(place: Path) -> None:
    """Refuse while somebody writes; a process that only reads can't be seen, so the command says to stop all of them."""
    connection.close()
    probe = sqlite3.connect(place, timeout=2, isolation_level=None)
    try:
        probe.execute("BEGIN EXCLUSIVE")
        probe.execute("ROLLBACK")
        probe.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise NotDone("The database is in use. Stop every process of segadmin first.") from error
    finally:
        probe.close()
