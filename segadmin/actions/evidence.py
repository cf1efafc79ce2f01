"""Evidence packs: a part of the record with everything needed to check it without segadmin, as one zip."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db.models import Q

from segadmin import crypto
from segadmin.actions import files
from segadmin.actions.refusals import NotDone
from segadmin.audit import Actor, keys, verifier
from segadmin.models import Checkpoint, FileReceipt, Job
from segadmin.plain import visible_json
from segadmin.queries import audit, cells, evidence, files_register
from segadmin.queries import files as rows
from segadmin.queries.evidence_words import readme

MOST_RECORDS = 200_000
FORMAT = "segadmin-evidence-1"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Made:
    """A finished pack; the file has no name any more and is gone when it is closed."""

    receipt: FileReceipt
    file: IO[bytes]
    size: int

    def blocks(self) -> Iterator[bytes]:
        """The pack's bytes, for a streaming response."""
        with self.file:
            while block := self.file.read(_BLOCK):
                yield block


def make(
    *, actor: Actor, order: files.Order, scope: audit.Scope, filters: audit.Filters, jobs: Sequence[Job] = ()
) -> Made:
    """Make a pack of what matches, up to now. Raises NotDone where nothing or too much does, or a limit is reached."""
    condition = evidence.condition(scope, filters, jobs)
    first, count = evidence.extent(condition, rows.head(), MOST_RECORDS) if condition is not None else (0, 0)
    if condition is None or not count:
        raise NotDone("There is no record to put into a pack: nothing matches.")
    if count > MOST_RECORDS:
        raise NotDone(f"More than {MOST_RECORDS:,} records match. Choose a shorter period, and make several packs.")
    receipt = files.begin(actor=actor, order=order)
    try:
        return _made(actor, order, receipt, scope, condition, first)
    except BaseException:
        files.break_off(actor=actor, receipt=receipt, subject=order.subject, rows=0, size=0)
        raise


def _made(actor: Actor, order: files.Order, receipt: FileReceipt, scope: audit.Scope, condition: Q, first: int) -> Made:
    pack = _Pack(receipt, first)
    try:
        pack.records(condition)
        pack.exports(condition, [organization.pk for organization in scope.organizations])
        pack.proof()
        manifest = pack.close()
        pack.file.seek(0)
        sha256 = hashlib.file_digest(pack.file, "sha256").hexdigest()  # type: ignore[arg-type]  # reads like a file
        size = pack.file.tell()
        sent = files.Sent(pack.counts["events"], size, sha256, {"manifest_sha256": manifest, "records": pack.counts})
        files.finish(actor=actor, receipt=receipt, subject=order.subject, sent=sent)
    except BaseException:
        pack.abandon()
        raise
    pack.file.seek(0)
    return Made(receipt, pack.file, size)


def _nameless() -> IO[bytes]:
    """A file in the data folder that nobody can open and that is gone with this process."""
    folder = Path(settings.DATA_DIR) / "tmp"
    folder.mkdir(mode=0o700, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


class _Pack:
    """A zip that grows, with the hash of each file in it."""

    def __init__(self, receipt: FileReceipt, first: int) -> None:
        self.receipt, self.first = receipt, first
        self.pulse = files.Pulse(receipt)
        covered = Checkpoint.objects.filter(number=receipt.filter.get("checkpoint") or 0).first()
        # Up to the checkpoint made for this pack, so that all before it hangs together with it.
        self.last: int = max(receipt.cut_off, covered.seq if covered else 0)
        self.file = _nameless()
        self.zip = zipfile.ZipFile(self.file, "w", zipfile.ZIP_DEFLATED)
        self.listed: dict[str, dict[str, Any]] = {}
        self.counts = {"events": 0, "requests": 0, "jobs": 0, "register": 0}

    def add(self, name: str, parts: Iterable[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        with self.zip.open(zipfile.ZipInfo(name, self._stamp()), "w", force_zip64=True) as entry:
            for part in parts:
                self.pulse.beat()
                entry.write(part)
                digest.update(part)
                size += len(part)
        self.listed[name] = {"sha256": digest.hexdigest(), "size": size}

    def _stamp(self) -> tuple[int, int, int, int, int, int]:
        at = self.receipt.at
        return at.year, at.month, at.day, at.hour, at.minute, at.second

    def records(self, condition: Q) -> None:
        """events.jsonl with the exact texts, and events.csv."""
        with _nameless() as texts, _nameless() as table:
            table.write(rows.AUDIT_HEAD)
            for chunk in rows.told(condition, self.first, self.receipt.cut_off):
                self.pulse.beat()
                self.counts["events"] += len(chunk)
                texts.write("".join([f"{row[1]}\n" for row in chunk]).encode("utf-8", "surrogatepass"))
                table.write(rows.audit_lines(chunk))
            self._copy("events.jsonl", texts)
            self._copy("events.csv", table)

    def _copy(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        self.add(name, iter(lambda: file.read(_BLOCK), b""))

    def exports(self, condition: Q, organizations: list[int]) -> None:
        """Requests, jobs and register rows that the records name."""
        with _nameless() as requests, _nameless() as jobs, _nameless() as table, _nameless() as register:
            lines, seen = cells.Lines(), set[int]()
            table.write(lines.bytes_of([list(files_register.REGISTER_COLUMNS)]))
            for some_jobs, some_requests in evidence.Exports(condition, self.first, self.receipt.cut_off).batches():
                self.pulse.beat()
                requests.write(evidence.request_lines(some_requests).encode("utf-8", "replace"))
                jobs.write(evidence.job_lines(some_jobs).encode("utf-8", "replace"))
                found = evidence.register_rows(organizations, some_jobs, some_requests)
                fresh = [row for row in found if row["row"] not in seen]
                seen.update(row["row"] for row in fresh)
                table.write(lines.bytes_of(map(files_register.csv_row, fresh)))
                register.write("".join(map(files_register.json_line, fresh)).encode("utf-8", "replace"))
                self.counts["requests"] += len(some_requests)
                self.counts["jobs"] += len(some_jobs)
            self.counts["register"] = len(seen)
            for name, file in (("requests", requests), ("jobs", jobs), ("register", register)):
                self._copy(f"{name}.jsonl", file)
            self._copy("register.csv", table)

    def proof(self) -> None:
        """Digests of the range, checkpoints in it, public keys, and the verifier."""
        lines = cells.Lines()
        table = (lines.bytes_of(chunk) for chunk in rows.links(self.first, self.last))
        self.add("digests.csv", _after(lines.bytes_of([("epoch", "seq", "digest", "chain")]), table))
        made = Checkpoint.objects.filter(seq__gte=self.first, seq__lte=self.last).order_by("number")
        checkpoints = [f"{line} {signature}\n" for line, signature in made.values_list("line", "signature")]
        self.add("checkpoints.txt", ["".join(checkpoints).encode()])
        self.add("public_keys.txt", ["".join(f"{line}\n" for line in keys.public_lines()).encode()])
        self.add("verifier.py", [Path(verifier.__file__).read_bytes()])

    def close(self) -> str:
        """Write README and manifest; returns the SHA-256 of the manifest."""
        self.add("README.txt", [readme(self._manifest()).encode()])
        text = json.dumps(self._manifest(), ensure_ascii=False, sort_keys=True, indent=1) + "\n"
        data = visible_json(text).encode("utf-8", "replace")
        self.zip.writestr(zipfile.ZipInfo("manifest.json", self._stamp()), data, zipfile.ZIP_DEFLATED)
        digest = hashlib.sha256(data).hexdigest()
        if signed := _signature(digest):
            self.zip.writestr(zipfile.ZipInfo("signature.txt", self._stamp()), signed, zipfile.ZIP_DEFLATED)
        self.zip.close()
        return digest

    def abandon(self) -> None:
        """Give up what can't be finished; without this the zip would still try to write its end."""
        self.zip.fp = None
        self.file.close()

    def _manifest(self) -> dict[str, Any]:
        receipt = self.receipt
        return {
            "format": FORMAT,
            "made_at": cells.utc(receipt.at),
            "by": receipt.by,
            "receipt": receipt.code,
            "filter": receipt.filter,
            "zone": receipt.zone,
            "cut_off": receipt.cut_off,
            "version": receipt.version,
            "range": {"first": self.first, "last": self.last, "previous_chain": rows.chain_before(self.first)},
            "rows": self.counts,
            "files": dict(sorted(self.listed.items())),
        }


def _signature(manifest_sha256: str) -> str:
    """The line that binds the manifest to the key of the checkpoints; empty where the key can't be used, as logged before."""
    try:
        key = keys.signer()
        told = verifier.pack_line(manifest_sha256, key.key_id)
        return f"{told} {key.sign(told)}\n"
    except (OSError, crypto.SigningKeyBroken):
        return ""


def _after(first: bytes, rest: Iterable[bytes]) -> Iterable[bytes]:
    yield first
    yield from rest
