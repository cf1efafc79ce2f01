"""Checks a record of segadmin without segadmin: Python 3.12 or newer, standard library only, this one file.

    python -I verifier.py PACK_OR_FOLDER_OR_FILE [--checkpoints FILE] [--public-key FILE] [--json]

It reads an evidence pack (zip, or the folder it was unpacked into: manifest.json, signature.txt, events.jsonl,
requests.jsonl, jobs.jsonl, digests.csv, checkpoints.txt, public_keys.txt), or one file alone: events as JSON Lines, or
digests as CSV (epoch, seq, digest, chain).

`--checkpoints` takes checkpoints that you kept yourself (mails, or their lines): the only thing here that someone who
administers the server could not have changed. `--public-key` takes the keys that you trust (`public_keys.txt` as you
received it earlier, or the key alone in hex); without it the keys of the pack are used, which proves less.

Exit code: 0 unbroken, 1 damaged, 2 could not be read.

How the record is made:
    text of an event   JSON, UTF-8, keys sorted by code point, no blanks, no floats; it holds epoch, seq and a random salt
    digest             SHA-256 of the text
    chain value        SHA-256 of "segadmin-chain-1 <epoch> <seq> <chain value before> <digest>" and a line feed
    first link         follows 64 zeros
    checkpoint         "segadmin-checkpoint-1 <number> <epoch> <seq> <count> <chain> <at> <previous> <key id> <signature>";
                       Ed25519 over the line up to the key id; <previous> is the SHA-256 of the whole line before it,
                       both with a line feed
    key id             first 16 characters of the SHA-256 of the public key
    signature.txt      "segadmin-pack-1 <SHA-256 of manifest.json> <key id> <signature>", Ed25519 over the line up to the
                       key id, with a line feed
    a request          stands in the details of the newest record of its sending (export.create, requested): body, names,
                       purpose, recipient, ticket, legal basis; what came back in those of its outcome
    a job              "snapshot" in the details of a record is the SHA-256 of the job as Adobe told it then: JSON, keys
                       sorted, no blanks, whole numbers without a fraction
Hashes, keys and signatures are lower-case hex.
"""

import argparse
import csv
import hashlib
import io
import itertools
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

START = "0" * 64
CHECKPOINT = re.compile(
    r"segadmin-checkpoint-1 (\d{1,18}) (\d{1,9}) (\d{1,18}) (\d{1,18}) ([0-9a-f]{64}) "
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) ([0-9a-f]{64}) ([0-9a-f]{16}) ([0-9a-f]{128})"
)
NOT_PROVEN = (
    "What this does not prove: that what the events say is true, that nothing happened outside of segadmin, and, without "
    "a checkpoint that you kept yourself, that the whole record was not rewritten by someone who administers the server."
)
MOST_LOOKED_INTO = 5  # breaks of the row, each of which means reading the rest once
FAR = 1000  # as many removed or inserted records in one place are told apart from changed ones
MOST_LISTED = 50
# Whatever stands in files that somebody hands over: the answer is then "could not be read", and not a verdict.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    csv.Error,
    zlib.error,
    zipfile.BadZipFile,
)


# -- the forms --------------------------------------------------------------------------------------------------------


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def chain_value(epoch: int, seq: int, previous: str, digest: str) -> str:
    line = f"segadmin-chain-1 {epoch} {seq} {previous} {digest}\n"
    return hashlib.sha256(line.encode()).hexdigest()


class Link(NamedTuple):
    """One row of digests.csv."""

    epoch: int
    seq: int
    digest: str
    chain: str


class Damage(NamedTuple):
    """`kind`: changed, removed, inserted, reordered, tail cut, checkpoint mismatch, column differs, row differs,
    snapshot differs, or file differs."""

    kind: str
    seq: int
    says: str


@dataclass(frozen=True)
class Checkpoint:
    """A signed head of the record, read from its line. `at` is UTC, as written."""

    number: int
    epoch: int
    seq: int
    count: int
    chain: str
    at: str
    previous: str
    key_id: str
    signature: str

    @property
    def signed(self) -> str:
        """The text under the signature (which covers a line feed after it too)."""
        told = (self.number, self.epoch, self.seq, self.count, self.chain, self.at, self.previous, self.key_id)
        return " ".join(["segadmin-checkpoint-1", *map(str, told)])

    @property
    def line(self) -> str:
        return f"{self.signed} {self.signature}"

    @property
    def sha256(self) -> str:
        """What the next checkpoint holds as <previous>."""
        return digest_of(self.line + "\n")


def find_checkpoints(text: str) -> list[Checkpoint]:
    """Every checkpoint in a text, such as a mail whose lines were wrapped or quoted."""
    joined = re.sub(r"[ \t\r\n>]+", " ", text)
    found = []
    for match in CHECKPOINT.finditer(joined):
        number, epoch, seq, count, chain, at, previous, key_id, signature = match.groups()
        found.append(Checkpoint(int(number), int(epoch), int(seq), int(count), chain, at, previous, key_id, signature))
    return found


def find_keys(text: str) -> dict[str, bytes]:
    """Key id -> public key, for every word of 64 hex characters in a text."""
    keys = [bytes.fromhex(word) for word in re.findall(r"\b[0-9a-f]{64}\b", text)]
    return {hashlib.sha256(key).hexdigest()[:16]: key for key in keys}


PACK_SIGNATURE = re.compile(r"segadmin-pack-1 ([0-9a-f]{64}) ([0-9a-f]{16}) ([0-9a-f]{128})")


def pack_line(manifest_sha256: str, key_id: str) -> str:
    """The text under the signature of a pack (which covers a line feed after it too)."""
    return f"segadmin-pack-1 {manifest_sha256} {key_id}"


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def snapshot_digest(value: Any) -> str:
    """SHA-256 of something in JSON, however a database or a file wrote it."""
    return digest_of(json.dumps(_whole_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def without_floats(value: Any) -> Any:
    """JSON as records hold it: numbers with a fraction are texts there."""
    if isinstance(value, dict):
        return {key: without_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_floats(item) for item in value]
    return str(value) if isinstance(value, float) else value


def states_gap(told: Any, before: Link, here: Link) -> bool:
    """Whether the text of `here` is the statement of a new epoch that follows `before` (a restore)."""
    details = told.get("details") if isinstance(told, dict) else None
    return (
        isinstance(details, dict)
        and told.get("action") == "record.epoch"
        and here.epoch == before.epoch + 1
        and details.get("last_kept") == before.seq
        and details.get("first_new") == here.seq
        and here.seq > before.seq
    )


# -- Ed25519 verification (RFC 8032, section 5.1.7) -------------------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
type _Point = tuple[int, int, int, int]


def _add(a: _Point, b: _Point) -> _Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    g, h = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = _add(result, point)
        point = _add(point, point)
        number >>= 1
    return result


def _point(data: bytes) -> _Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (not x and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _bytes(point: _Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def signature_fits(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature (64 bytes) of the public key (32 bytes) is one of this message."""
    key = _point(public) if len(public) == 32 else None
    if key is None or len(signature) != 64 or _BASE is None:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    minus_key = (_P - key[0], key[1], key[2], _P - key[3])
    return _bytes(_add(_times(s, _BASE), _times(h, minus_key))) == signature[:32]


# -- what kind of damage ----------------------------------------------------------------------------------------------


def broken_link(earlier: list[Link], bad: Link, following: Iterable[Link]) -> Damage:
    """What happened where `bad` does not follow the last of `earlier` (the links before it, the newest last).

    `following` are the links after `bad`. A place where records were put in or taken out and the rest renumbered
    shows in how the links next to it fit together.
    """
    before = earlier[-1]
    for back in range(1, min(FAR, len(earlier) - 1) + 1):
        root = earlier[-1 - back]
        if chain_value(bad.epoch, bad.seq - back, root.chain, bad.digest) == bad.chain:
            return Damage("inserted", bad.seq - back, f"Record {bad.seq - back} was put in; the rest was renumbered.")
    rest = iter(following)
    after = next(rest, None)
    one, two = itertools.tee(itertools.chain([after] if after else [], rest))
    next(two, None)
    for row, then in itertools.zip_longest(one, two):
        value = chain_value(row.epoch, bad.seq, before.chain, row.digest)
        if value == row.chain and _was_put_in(bad, row, then):
            return Damage("inserted", bad.seq, f"Record {bad.seq} was put in; the true one now is record {row.seq}.")
        if value in (row.chain, bad.chain):
            return Damage("reordered", bad.seq, f"Record {bad.seq} now stands in the place of record {row.seq}.")
    for gone in range(1, FAR + 1) if after else ():
        if after and chain_value(after.epoch, after.seq + gone, bad.chain, after.digest) == after.chain:
            return Damage("removed", bad.seq, f"{gone} from record {bad.seq} on were removed; the rest was renumbered.")
    says = f"Record {bad.seq} does not follow from record {before.seq}: one of the two was changed."
    return Damage("changed", bad.seq, says)


def _was_put_in(bad: Link, row: Link, then: Link | None) -> bool:
    """Whether `row`, which belongs in the place of `bad`, was pushed down (and not swapped with it)."""
    if chain_value(bad.epoch, row.seq, row.chain, bad.digest) == bad.chain:
        return False
    if then is None:
        return row.seq == bad.seq + 1
    return chain_value(row.epoch, bad.seq + 1, row.chain, then.digest) == then.chain


def gap(before: Link, here: Link) -> Damage:
    """Damage for numbers that are not there."""
    first, last = before.seq + 1, here.seq - 1
    return Damage(
        "removed", first, f"Record {first} is gone." if first == last else f"Records {first} to {last} are gone."
    )


# -- a pack, a folder or a file ---------------------------------------------------------------------------------------


@dataclass
class Report:
    """What was found. `damage` holds at most MOST_LISTED entries, `damaged` counts all; `remarks` are worth reading too."""

    first: int = 0
    last: int = 0
    events: int = 0
    with_content: int = 0
    by_digest_only: int = 0
    checkpoints: int = 0
    own_checkpoints: int = 0
    damaged: int = 0
    damage: list[Damage] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.damaged

    def add(self, damage: Damage) -> None:
        self.damaged += 1
        if len(self.damage) < MOST_LISTED:
            self.damage.append(damage)


class Source:
    """Files by name, of a zip, of a folder, or one file under the name that its form has in a pack."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.zip = zipfile.ZipFile(path) if path.is_file() and zipfile.is_zipfile(path) else None
        self.single = ""
        if path.is_file() and not self.zip:
            with path.open("rb") as handle:
                self.single = "events.jsonl" if handle.read(1) == b"{" else "digests.csv"

    def open(self, name: str) -> IO[bytes] | None:
        if self.zip:
            inside = [entry for entry in self.zip.namelist() if entry.rpartition("/")[2] == name]
            return self.zip.open(inside[0]) if inside else None
        file = self.path if self.single == name else self.path / name
        return file.open("rb") if file.is_file() and self.single in ("", name) else None

    def has(self, name: str) -> bool:
        if self.zip or not self.single:
            handle = self.open(name)
            if handle is not None:
                handle.close()
            return handle is not None
        return self.single == name

    def text(self, name: str) -> str:
        handle = self.open(name)
        if handle is None:
            return ""
        with handle:
            return handle.read().decode("utf-8", "replace")

    def links(self) -> Iterator[Link]:
        handle = self.open("digests.csv")
        if handle is not None:
            with handle:
                for row in csv.reader(io.TextIOWrapper(handle, "utf-8", newline="")):
                    if row and row[0].strip().isdigit():
                        yield Link(int(row[0]), int(row[1]), row[2].strip(), row[3].strip())

    def names(self) -> list[str]:
        """The files in a zip, as they are opened here; a folder may hold other files too."""
        return (
            [entry.rpartition("/")[2] for entry in self.zip.namelist() if not entry.endswith("/")] if self.zip else []
        )

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a file of JSON Lines; none where it is not there, or is the one file that was named."""
        handle = self.open(name) if not self.single else None
        if handle is not None:
            with handle:
                for line in handle:
                    told = _told(line.decode("utf-8", "replace"))
                    yield told if isinstance(told, dict) else {}

    def events(self) -> Iterator[tuple[str, Any]]:
        """Canonical text and what it says, in the order of the file."""
        handle = self.open("events.jsonl")
        if handle is not None:
            with handle:
                for line in handle:
                    text = line.decode("utf-8", "replace").rstrip("\r\n")
                    told = _told(text)
                    if text and not (isinstance(told, dict) and told.keys() == {"receipt"}):
                        yield text, told


def _told(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def canonical(text: str) -> str:
    """The canonical text of an event whose JSON was written in another form, with escaped characters, say."""
    try:
        told = json.loads(text, object_pairs_hook=_no_name_twice)
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        return text


def _number(told: Any) -> int:
    seq = told.get("seq") if isinstance(told, dict) else None
    return seq if isinstance(seq, int) else 0


# What of a request its record holds, and the name of each in requests.jsonl.
SENT = {
    "body": "body",
    "names": "names_then",
    "purpose": "purpose",
    "recipient": "recipient",
    "ticket": "ticket",
    "legal_basis": "legal_basis",
}


class Snapshots:
    """Compares requests.jsonl and jobs.jsonl with what the records say; keeps a digest of each, not the texts."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[int, str]] = {}
        self.answers: dict[str, tuple[int, str]] = {}
        self.jobs: dict[tuple[str, str, str], tuple[int, str]] = {}
        self.damage: list[Damage] = []
        self.counts = dict.fromkeys(("fit", "requests without", "jobs without", "later"), 0)

    def note(self, seq: int, told: Any) -> None:
        """Take in what a record says; the newest one of each request and job counts."""
        details = told.get("details") if isinstance(told, dict) else None
        if not isinstance(details, dict):
            return
        request, outcome = str(told.get("request") or ""), told.get("outcome")
        if told.get("action") == "export.create" and request:
            if outcome == "requested":
                self.answers.pop(request, None)
                if "body" in details:
                    what = {name: details.get(name) for name in SENT}
                    self.sent[request] = (seq, snapshot_digest([what, _part(told, "actor", "name")]))
            elif outcome in ("failed", "unknown"):
                answer = {name: value for name, value in details.items() if name != "became"}
                self.answers[request] = (seq, snapshot_digest(answer))
        if isinstance(details.get("snapshot"), str):
            key = (_part(told, "organization", "slug"), str(told.get("sandbox")), str(told.get("job")))
            self.jobs[key] = (seq, details["snapshot"])

    def request(self, told: Any) -> None:
        """One line of requests.jsonl."""
        uuid = str(told.get("request") or "")
        found = self.sent.get(uuid)
        if found is None:
            self.counts["requests without"] += 1
            return
        what = without_floats({name: told.get(key) for name, key in SENT.items()})
        if snapshot_digest([what, told.get("person")]) != found[1]:
            says = f"The request {uuid} in requests.jsonl is not what record {found[0]} says was sent."
            self.damage.append(Damage("snapshot differs", found[0], says))
            return
        came, answer = self.answers.get(uuid), told.get("answer")
        if came and answer and snapshot_digest(without_floats(answer)) != came[1]:
            says = f"The answer to request {uuid} in requests.jsonl is not what record {came[0]} says came back."
            self.damage.append(Damage("snapshot differs", came[0], says))
            return
        self.counts["fit"] += 1

    def job(self, told: Any) -> None:
        """One line of jobs.jsonl."""
        found = self.jobs.get((str(told.get("organization")), str(told.get("sandbox")), str(told.get("job"))))
        if found is None:
            self.counts["jobs without"] += 1
        elif snapshot_digest(told.get("as_adobe_last_told_it")) != found[1]:
            self.counts["later"] += 1
        else:
            self.counts["fit"] += 1

    def remarks(self) -> Iterator[str]:
        counts = self.counts
        if counts["fit"]:
            yield f"Requests and jobs that are as the records say: {counts['fit']}."
        if counts["requests without"]:
            yield (
                f"Requests whose sending is in no record of these files: {counts['requests without']}. The manifest alone "
                "covers them."
            )
        if counts["jobs without"]:
            yield (
                f"Jobs of which no record in these files holds a digest (older ones never do): {counts['jobs without']}. "
                "The manifest alone covers them."
            )
        if counts["later"]:
            yield (
                f"Jobs that are not as the newest record with a digest says: {counts['later']}. Adobe may have told more "
                "since; the manifest alone covers that."
            )


def _part(told: Any, name: str, key: str) -> str:
    part = told.get(name)
    return str(part.get(key) or "") if isinstance(part, dict) else ""


class Check:
    """One run over one source."""

    def __init__(self, source: Source, own: list[Checkpoint], keys: dict[str, bytes]) -> None:
        self.source, self.own, self.keys = source, own, keys
        self.report = Report()
        self.packed = find_checkpoints(source.text("checkpoints.txt"))
        self.wanted = {checkpoint.seq for checkpoint in [*own, *self.packed]}
        self.seen: dict[int, Link] = {}
        self.gaps: list[tuple[int, int, Any]] = []  # after, before, details
        self.last_broken: tuple[str, int] | None = None
        self.looked_into = 0
        self.last_at = max((checkpoint.at for checkpoint in self.packed), default="")
        manifest = _told(source.text("manifest.json"))
        self.manifest: dict[str, Any] = manifest if isinstance(manifest, dict) else {}
        self.snapshots = Snapshots()

    def run(self) -> Report:
        self._files()
        self._walk()
        self._snapshots()
        for checkpoint in self.packed:
            self._checkpoint(checkpoint, own=False)
        for checkpoint in self.own:
            self._checkpoint(checkpoint, own=True)
        self._row_of_checkpoints()
        self._pack()
        return self.report

    def _snapshots(self) -> None:
        """Requests and jobs against the records, now that all records were read."""
        for told in self.source.lines("requests.jsonl"):
            self.snapshots.request(told)
        for told in self.source.lines("jobs.jsonl"):
            self.snapshots.job(told)
        for damage in self.snapshots.damage:
            self.report.add(damage)
        self.report.remarks.extend(self.snapshots.remarks())

    def _pack(self) -> None:
        """Whether the manifest is there, is signed, and lists each file of a zip, once."""
        if self.source.single:
            return
        if not self.source.has("manifest.json"):
            says = "manifest.json is not there: no file of the pack can be checked by it."
            if self.source.zip:
                self.report.add(Damage("file differs", 0, says))
            else:
                self.report.remarks.append(says)
            return
        files = self.manifest.get("files")
        listed = {*(files if isinstance(files, dict) else ()), "manifest.json", "signature.txt"}
        names = self.source.names()
        for name in sorted({name for name in names if name not in listed or names.count(name) > 1}):
            self.report.add(Damage("file differs", 0, f"{name} is in the pack twice, or is not in the manifest."))
        self._signature()

    def _signature(self) -> None:
        found = PACK_SIGNATURE.fullmatch(self.source.text("signature.txt").strip())
        if found is None:
            if self.source.has("signature.txt"):
                self.report.add(Damage("file differs", 0, "signature.txt is none."))
            else:
                self.report.remarks.append(
                    "The manifest is not signed: who could write to these files could change them."
                )
            return
        sha256, key_id, signature = found.groups()
        key = self.keys.get(key_id)
        handle = self.source.open("manifest.json")
        assert handle is not None
        with handle:
            actual = hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]
        if sha256 != actual:
            self.report.add(Damage("file differs", 0, "manifest.json is not the one that signature.txt signs."))
        elif key is None:
            self.report.remarks.append(f"The manifest is signed with key {key_id}, which is not at hand.")
        elif not signature_fits(key, (pack_line(sha256, key_id) + "\n").encode(), bytes.fromhex(signature)):
            self.report.add(Damage("file differs", 0, "The signature of manifest.json is wrong."))

    def _files(self) -> None:
        """The manifest's hashes."""
        files = self.manifest.get("files")
        for name, entry in files.items() if isinstance(files, dict) else ():
            expected = entry.get("sha256") if isinstance(entry, dict) else entry
            handle = self.source.open(str(name))
            if handle is None:
                self.report.add(Damage("file differs", 0, f"{name} is in the manifest and not in the pack."))
                continue
            with handle:
                if hashlib.file_digest(handle, "sha256").hexdigest() != expected:  # type: ignore[arg-type]
                    self.report.add(Damage("file differs", 0, f"{name} is not the file that the manifest lists."))

    def _walk(self) -> None:
        """Links and texts side by side, both in order of their numbers, with flat memory."""
        events = self._ordered(self.source.events())
        waiting = next(events, None)
        start = self.manifest.get("range")
        known = str(start.get("previous_chain") or "") if isinstance(start, dict) else ""
        earlier: list[Link] = []
        for link in self.source.links() if self.source.has("digests.csv") else self._links_of_texts():
            while waiting and waiting[0] < link.seq:
                self.report.add(Damage("inserted", waiting[0], f"Record {waiting[0]} is not in the row of digests."))
                waiting = next(events, None)
            text = told = None
            if waiting and waiting[0] == link.seq:
                _seq, text, told = waiting
                waiting = next(events, None)
            if not earlier:
                self._begin(link, known, earlier)
            self._one(link, text, told, earlier)
            earlier.append(link)
            del earlier[: -FAR - 2]
        while waiting:
            self.report.add(Damage("inserted", waiting[0], f"Record {waiting[0]} is not in the row of digests."))
            waiting = next(events, None)

    def _begin(self, link: Link, known: str, earlier: list[Link]) -> None:
        """The link before the first one: the start of the record, what the manifest tells, or nothing."""
        self.report.first = link.seq
        if link.seq == 1 or known:
            earlier.append(Link(link.epoch, link.seq - 1, "", START if link.seq == 1 else known))
        else:
            self.report.remarks.append(
                f"Whether record {link.seq} follows from the one before it is not in these files."
            )

    def _ordered(self, events: Iterator[tuple[str, Any]]) -> Iterator[tuple[int, str, Any]]:
        newest = 0
        for text, told in events:
            seq = _number(told)
            if seq <= newest:
                self.report.add(
                    Damage("reordered" if seq else "changed", seq, f"After record {newest} comes {seq or text[:40]}.")
                )
                continue
            newest = seq
            yield seq, text, told

    def _links_of_texts(self) -> Iterator[Link]:
        """Without digests.csv the row is made of the texts, as far as they are all there from record 1 on."""
        chain, newest, epoch = START, 0, 1
        for text, told in self.source.events():
            seq, digest = _number(told), digest_of(canonical(text))
            here = Link(int(told.get("epoch") or 0) if isinstance(told, dict) else 0, seq, digest, "")
            whole = seq == newest + 1 or states_gap(told, Link(epoch, newest, "", ""), here)
            if not chain or not whole:
                if chain:
                    self.report.remarks.append(
                        f"The row of chain values can't be made from record {seq} on: records before it are not in this "
                        "file. Ask for a pack with digests.csv."
                    )
                chain = ""
                yield Link(here.epoch, seq, digest, "")
                continue
            chain, newest, epoch = chain_value(here.epoch, seq, chain, digest), seq, here.epoch
            yield Link(epoch, seq, digest, chain)

    def _one(self, link: Link, text: str | None, told: Any, earlier: list[Link]) -> None:
        report = self.report
        report.events, report.last = report.events + 1, link.seq
        if link.seq in self.wanted:
            self.seen[link.seq] = link
        if text is not None:
            report.with_content += 1
            self.snapshots.note(link.seq, told)
            if link.digest not in (digest_of(text), digest_of(canonical(text))):
                report.add(Damage("changed", link.seq, f"The text of record {link.seq} does not fit its digest."))
            self.last_at = max(self.last_at, str(told.get("at", "")))
        else:
            report.by_digest_only += 1
        if earlier and link.chain:
            self._follows(link, text, told, earlier)

    def _follows(self, link: Link, text: str | None, told: Any, earlier: list[Link]) -> None:
        before = earlier[-1]
        stated = states_gap(told, before, link)
        if stated:
            details = told["details"]
            self.gaps.append((before.seq, link.seq, details))
            self.report.remarks.append(f"Record {link.seq} begins epoch {link.epoch}: {told.get('sentence', '')}")
        elif link.epoch == before.epoch + 1 and text is None:
            self.gaps.append((before.seq, link.seq, {}))
            self.report.remarks.append(f"Record {link.seq} begins epoch {link.epoch}; its text is not in these files.")
        elif link.seq <= before.seq:
            self.report.add(Damage("reordered", link.seq, f"After record {before.seq} comes record {link.seq}."))
        elif link.seq > before.seq + 1:
            self.report.add(gap(before, link))
            return
        if chain_value(link.epoch, link.seq, before.chain, link.digest) != link.chain:
            self._broken(link, earlier)

    def _broken(self, link: Link, earlier: list[Link]) -> None:
        """The first break in a place is looked into; those right after it follow from it."""
        if self.last_broken and link.seq == self.last_broken[1] + 1:
            kind, says = self.last_broken[0], f"Record {link.seq} does not follow from record {link.seq - 1} either."
            self.report.add(Damage(kind, link.seq, says))
        elif self.looked_into == MOST_LOOKED_INTO:
            kind, says = "changed", f"Record {link.seq} does not follow from record {link.seq - 1}."
            self.report.add(Damage(kind, link.seq, says))
        else:
            self.looked_into += 1
            later = itertools.dropwhile(lambda row: row.seq <= link.seq, self.source.links())
            damage = broken_link(earlier, link, later)
            self.report.add(damage)
            kind = damage.kind
        self.last_broken = (kind, link.seq)

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def _checkpoint(self, checkpoint: Checkpoint, *, own: bool) -> None:
        report, name = self.report, f"Checkpoint {checkpoint.number}" + (", which you kept," if own else "")
        key = self.keys.get(checkpoint.key_id)
        if key is None:
            report.remarks.append(f"{name} is signed with key {checkpoint.key_id}, which is not at hand.")
        elif not signature_fits(key, (checkpoint.signed + "\n").encode(), bytes.fromhex(checkpoint.signature)):
            report.add(Damage("checkpoint mismatch", checkpoint.seq, f"The signature of {name.lower()} is wrong."))
            return
        link = self.seen.get(checkpoint.seq)
        if link is None:
            self._beyond(checkpoint, name, own)
        elif not link.chain:
            report.remarks.append(f"{name} can't be compared: see above.")
        elif (link.epoch, link.chain) != (checkpoint.epoch, checkpoint.chain):
            says = f"{name} has another chain value for record {checkpoint.seq}: the record was rewritten before it."
            report.add(Damage("checkpoint mismatch", checkpoint.seq, says))
        else:
            report.checkpoints += 1
            report.own_checkpoints += own

    def _beyond(self, checkpoint: Checkpoint, name: str, own: bool) -> None:
        """A checkpoint for a record that these files don't hold."""
        for after, before, details in self.gaps:
            if after < checkpoint.seq < before:
                if checkpoint.line in (details.get("checkpoints") or ()):
                    told = (
                        f"{name} is of record {checkpoint.seq}, which was lost in a restore; record {before} says so."
                    )
                    self.report.remarks.append(told)
                else:
                    says = (
                        f"{name} is of record {checkpoint.seq}, and the restore at record {before} did not know of it."
                    )
                    self.report.add(Damage("checkpoint mismatch", checkpoint.seq, says))
                return
        if checkpoint.seq > self.report.last and self.last_at[:19] > checkpoint.at[:19]:
            says = f"{name} is of record {checkpoint.seq}; these files are younger and end at {self.report.last}."
            self.report.add(Damage("tail cut", self.report.last + 1, says))
        elif own:
            self.report.remarks.append(f"{name} is of record {checkpoint.seq}, which is not in these files.")

    def _row_of_checkpoints(self) -> None:
        found = {checkpoint.number: checkpoint for checkpoint in self.packed}
        for checkpoint in self.own:
            there = found.setdefault(checkpoint.number, checkpoint)
            if there.line != checkpoint.line:
                says = f"Checkpoint {checkpoint.number} of these files is another one than the one that you kept."
                self.report.add(Damage("checkpoint mismatch", checkpoint.seq, says))
        for number, checkpoint in sorted(found.items()):
            before = found.get(number - 1)
            if before and before.sha256 != checkpoint.previous:
                says = f"Checkpoint {number} does not follow from checkpoint {number - 1}."
                self.report.add(Damage("checkpoint mismatch", checkpoint.seq, says))


def check(path: Path, own: str = "", keys: str = "") -> Report:
    """Check files; `own` and `keys` are texts with checkpoints and public keys from outside of them.

    Raises OSError, ValueError or zipfile.BadZipFile when they can't be read.
    """
    source = Source(path)
    trusted = find_keys(keys)
    run = Check(source, find_checkpoints(own), trusted or find_keys(source.text("public_keys.txt")))
    if own and not run.own:
        raise ValueError("The file that --checkpoints names holds no checkpoint.")
    if not trusted and (run.own or run.packed):
        run.report.remarks.append("The keys are those of the pack: give the ones that you kept with --public-key.")
    return run.run()


def plain(text: str) -> str:
    """One line without anything that a terminal would obey or not show: such characters are written as escapes."""
    return "".join(
        letter if letter.isprintable() else f"\\u{ord(letter):04x}" if letter <= "\uffff" else f"\\U{ord(letter):08x}"
        for letter in text
    )


def say(report: Report, write: Callable[[str], object]) -> None:
    """The result for people."""
    write(f"Records {report.first} to {report.last}: {report.events}")
    write(f"  checked with their text: {report.with_content}, by their digest only: {report.by_digest_only}")
    write(f"  checkpoints that agree: {report.checkpoints}, of them kept by you: {report.own_checkpoints}")
    for remark in report.remarks[:MOST_LISTED]:
        write(f"Remark: {plain(remark)}")
    for damage in report.damage:
        write(f"DAMAGE ({damage.kind}): {plain(damage.says)}")
    if report.damaged > len(report.damage):
        write(f"and {report.damaged - len(report.damage)} more")
    write("DAMAGED." if report.damaged else "Unbroken." if report.events else "There are no records in these files.")
    if not report.damaged and not report.own_checkpoints:
        write("No checkpoint that you kept was compared: someone who administers the server could have rewritten all.")
    write(NOT_PROVEN)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a record of segadmin without segadmin.")
    parser.add_argument("path", type=Path, help="evidence pack, its folder, events.jsonl or digests.csv")
    parser.add_argument("--checkpoints", type=Path, help="a text with checkpoints that you kept")
    parser.add_argument("--public-key", type=Path, help="a text with the public keys that you trust")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    chosen = parser.parse_args(arguments)
    try:
        own = chosen.checkpoints.read_text(encoding="utf-8", errors="replace") if chosen.checkpoints else ""
        keys = chosen.public_key.read_text(encoding="utf-8", errors="replace") if chosen.public_key else ""
        report = check(chosen.path, own, keys)
    except UNREADABLE as error:
        sys.stderr.write(f"This could not be read: {plain(str(error))}\n")
        return 2
    if chosen.json:
        told = {**asdict(report), "ok": report.ok, "damage": [damage._asdict() for damage in report.damage]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        say(report, lambda line: sys.stdout.write(line + "\n"))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
