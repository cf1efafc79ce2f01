"""verify(): walks the record of this database, compares it with every checkpoint at hand, and says what is wrong.

Quick: digests and chain values. Full, which gives the verdict: also that the columns which pages show and search say what
the text says. Where it is safe to fork, large records are read by as many processes as there are processors.
"""

import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import OperationalError, connection, connections

from segadmin import crypto
from segadmin.audit import checkpoints, keys
from segadmin.audit.beside import DIFFERS, beside, requests_in_parts, sent
from segadmin.audit.damage import Findings, untold_expiries
from segadmin.audit.explained import explained
from segadmin.audit.mirrored import attempts, jobs, jobs_gone, jobs_in_parts
from segadmin.audit.proven import proven
from segadmin.audit.rights import rights
from segadmin.audit.scan import Stretch, is_of_text, lenient, link_before, read
from segadmin.audit.tail import cut_tail
from segadmin.audit.verifier import MOST_LISTED, Checkpoint, Damage
from segadmin.models import Event

STRETCH = 50_000
_OF_THE_POOL = re.compile(r"pool-\d+-(worker-\d+|scheduler)")
type Progress = Callable[[int, int], None]

_HEAD = (
    "SELECT h.epoch, h.seq, h.chain, (SELECT max(seq) FROM segadmin_event), (SELECT min(seq) FROM segadmin_event), "
    "(SELECT max(seq) FROM segadmin_eventcontent), (SELECT min(seq) FROM segadmin_eventcontent) "
    "FROM segadmin_chainhead h WHERE h.id = 1"
)
_STRAY = "SELECT min(seq) FROM segadmin_eventcontent WHERE seq > %s AND seq < %s"


@dataclass
class Result:
    """What a run found. `damage` lists the first ones in order of their records, `damaged` counts all."""

    full: bool = True
    first: int = 0
    last: int = 0
    events: int = 0
    with_content: int = 0
    by_digest_only: int = 0
    missing: int = 0
    checkpoints: int = 0
    outside: int = 0
    damaged: int = 0
    damage: list[Damage] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.damaged


def verify(
    *,
    full: bool = True,
    first: int = 1,
    last: int | None = None,
    outside: Iterable[Checkpoint] = (),
    trusted: Mapping[str, str] | None = None,
    workers: int | None = None,
    here: bool = True,
    progress: Progress = lambda _done, _all: None,
) -> Result:
    """Check records `first` to `last` (the newest by default). Writes nothing.

    `outside` are checkpoints kept elsewhere, `trusted` the public keys (id -> hex) that alone count, if given.
    `workers`: processes; by default as many as are safe and useful. `here`: False for a copy of an earlier state, which
    need not hold what was committed from this data folder since.
    """
    began = time.monotonic()
    ends = _Ends.now()
    newest = ends.head_seq if last is None else min(last, ends.head_seq)
    result = Result(full=full)
    whole = full and first <= 1 and last is None
    if workers is None and newest - first < STRETCH:
        workers = 1
    tasks = _tasks(max(first, 1), newest, full, whole)
    stretch, rows = _gather(_parts(tasks, workers), first, newest, progress)
    result.first, result.last = (max(first, 1), stretch.last) if stretch.events else (0, 0)
    result.events, result.with_content = stretch.events, stretch.with_content
    result.by_digest_only, result.missing = len(stretch.expired), stretch.missing_count
    with lenient():
        findings = Findings(stretch).run()
    wrong = [*findings.damage, *(ends.damage() if last is None else ()), *_strays(findings)]
    wrong += untold_expiries(stretch.expired)
    beyond: list[str] = []
    if last is None:
        cut, beyond = cut_tail(findings.gaps, here=here)
        wrong += cut
    wrong += rows
    compared = _Compared(result, findings.gaps, ends, trusted)
    wrong += compared.run(first, newest, list(outside))
    result.remarks = [*findings.remarks, *compared.remarks, *beyond, *_clock(stretch)]
    result.damaged = findings.count + len(wrong) - len(findings.damage)
    result.damage = sorted(wrong, key=_rank)[:MOST_LISTED]
    result.seconds = round(time.monotonic() - began, 3)
    return result


def _gather(
    parts: Iterable[Stretch | list[Damage]], first: int, newest: int, progress: Progress
) -> tuple[Stretch, list[Damage]]:
    stretch = Stretch()
    rows: list[Damage] = []
    for part in parts:
        if isinstance(part, list):
            rows += part
            continue
        stretch.add(part)
        progress(max(stretch.last - first + 1, 0), max(newest - first + 1, 0))
    return stretch, rows


def _clock(stretch: Stretch) -> Iterator[str]:
    """Records can't be reordered; what they say of the time is the server's clock alone."""
    if stretch.back:
        more = f", and so do {len(stretch.back) - 1:,} more" if len(stretch.back) > 1 else ""
        yield (
            f"Record {stretch.back[0]:,} says a time earlier than the record before it{more}: the server's clock was set "
            "back there."
        )


def _rank(damage: Damage) -> tuple[int, bool]:
    """By record; of one record first what its links say."""
    return damage.seq, damage.kind in ("column differs", DIFFERS)


type Task = Callable[[], Stretch | list[Damage]]


def _tasks(first: int, last: int, full: bool, whole: bool) -> list[Task]:
    """Stretches of the record in their order, and after them the rows that stand beside it."""
    starts = range(first, last + 1, STRETCH)
    stretches: list[Task] = [partial(read, start, min(start + STRETCH - 1, last), full=full) for start in starts]
    return stretches + (_rows_beside(last) if whole else [])


def _rows_beside(last: int) -> list[Task]:
    single = (beside, proven, rights, explained, attempts, jobs_gone)
    tasks: list[Task] = [partial(_leniently, part, last) for part in single]
    tasks += [partial(_leniently, sent, *ends) for ends in requests_in_parts()]
    return tasks + [partial(_leniently, jobs, *ends) for ends in jobs_in_parts()]


def _leniently(part: Callable[..., list[Damage]], *values: int) -> list[Damage]:
    """With texts that are no UTF-8 only where there is one: reading all texts so takes a third longer."""
    try:
        return part(*values)
    except OperationalError as error:
        if not is_of_text(error):
            raise
    with lenient():
        return part(*values)


def _parts(tasks: list[Task], workers: int | None) -> Iterator[Stretch | list[Damage]]:
    if workers is None:
        workers = min(os.cpu_count() or 1, len(tasks)) if _may_fork() else 1
    if workers < 2 or not _let_go():
        yield from (task() for task in tasks)
        return
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap(_do, tasks)


def _do(task: Task) -> Stretch | list[Damage]:
    return task()


def _may_fork() -> bool:
    """Only a process without other threads, with a database that other processes see as this one does.

    The threads of PostgreSQL's connection pool don't count: they end with it.
    """
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    alone = all(_OF_THE_POOL.fullmatch(name) for name in threads)
    seen = not (connection.vendor == "sqlite" and connection.is_in_memory_db())  # type: ignore[attr-defined]
    return sys.platform == "linux" and alone and seen and not connection.in_atomic_block


def _let_go() -> bool:
    """Close every connection, since forked processes must not share one. False where a thread stays all the same."""
    connections.close_all()
    if hasattr(connection, "close_pool"):
        connection.close_pool()
    return threading.active_count() == 1


@dataclass(frozen=True)
class _Ends:
    """The head's row and the outermost numbers, read in one statement."""

    head_epoch: int
    head_seq: int
    head_chain: str
    newest: int
    oldest: int
    oldest_content: int
    newest_content: int

    @classmethod
    def now(cls) -> "_Ends":
        with connection.cursor() as cursor:
            cursor.execute(_HEAD)
            row = cursor.fetchone()
        if row is None:
            end = link_before(sys.maxsize)
            return cls(end.epoch, end.seq, "", end.seq, 1, 1, end.seq)
        epoch, seq, chain, *numbers = row
        newest, oldest, newest_content, oldest_content = numbers
        oldest, oldest_content = (1 if number is None else number for number in (oldest, oldest_content))
        return cls(epoch, seq, chain, newest or 0, oldest, oldest_content, newest_content or 0)

    def damage(self) -> Iterator[Damage]:
        if self.newest < self.head_seq:
            says = f"The head of the record is at {self.head_seq}, and everything after {self.newest} is gone."
            yield Damage("tail cut", self.newest + 1, says)
        elif self.newest > self.head_seq or self.newest_content > self.head_seq:
            says = f"Record {self.head_seq + 1} stands after the head of the record, at {self.head_seq}."
            yield Damage("inserted", self.head_seq + 1, says)
        else:
            end = link_before(self.head_seq + 1)
            if self.head_seq and (end.epoch, end.chain) != (self.head_epoch, self.head_chain):
                yield Damage("changed", self.head_seq, f"The head of the record does not fit record {self.head_seq}.")
        lowest = min(self.oldest, self.oldest_content)
        if lowest < 1:
            yield Damage("inserted", lowest, f"Record {lowest} stands before the first.")


def _strays(findings: Findings) -> Iterator[Damage]:
    """Contents in a gap that a restore states, where no number was ever issued."""
    for after, before, _details in findings.gaps:
        with connection.cursor() as cursor:
            cursor.execute(_STRAY, [after, before])
            row = cursor.fetchone()
        if row and row[0] is not None:
            yield Damage("inserted", row[0], f"Record {row[0]} has content in a gap that the restore left.")


class _Compared:
    """Compares checkpoints with the links that they sign: those of the table, of the file, and from outside."""

    def __init__(
        self,
        result: Result,
        gaps: list[tuple[int, int, dict[str, Any]]],
        ends: _Ends,
        trusted: Mapping[str, str] | None,
    ) -> None:
        self.result, self.gaps, self.ends = result, gaps, ends
        self.keys = dict(trusted) if trusted else keys.public_keys()
        self.only_trusted = bool(trusted)
        self.damage: list[Damage] = []
        self.remarks: list[str] = []
        self._strange_keys: set[str] = set()

    def run(self, first: int, last: int, outside: list[Checkpoint]) -> list[Damage]:
        table, file = checkpoints.in_table(), checkpoints.in_file()
        own = [*table, *file]
        within = [line for line in dict.fromkeys(own) if line.seq >= first and self._is_ours(line, last)]
        links = self._links([*within, *outside])
        for line in within:
            self._one(line, links.get(line.seq), outside=False)
        for line in dict.fromkeys(outside):
            if line.seq < first or (line.seq > last and last < self.ends.head_seq):
                self.remarks.append(f"Checkpoint {line.number} is of record {line.seq:,}, which was not checked now.")
            else:
                self._one(line, links.get(line.seq), outside=True)
        if first <= 1 and self.result.full:
            self._places(table, file)
        self._rows(own, outside)
        return self.damage

    def _is_ours(self, line: Checkpoint, last: int) -> bool:
        """Not beyond the range that was asked for; those made while this ran are, and have their record."""
        return line.seq <= last or last == self.ends.head_seq

    def _links(self, lines: list[Checkpoint]) -> dict[int, tuple[int, str]]:
        found: dict[int, tuple[int, str]] = {}
        wanted = sorted({line.seq for line in lines})
        for at in range(0, len(wanted), 500):
            rows = Event.objects.filter(seq__in=wanted[at : at + 500]).order_by("seq")
            found |= {seq: (epoch, chain) for seq, epoch, chain in rows.values_list("seq", "epoch", "chain")}
        return found

    def _one(self, line: Checkpoint, link: tuple[int, str] | None, *, outside: bool) -> None:
        name = f"Checkpoint {line.number}" + (", which was kept outside," if outside else "")
        if not self._is_signed(line, name, outside):
            return
        if link is None:
            self._lost(line, name)
        elif link != (line.epoch, line.chain):
            says = f"{name} has another chain value for record {line.seq}: the record was rewritten up to there."
            self.damage.append(Damage("checkpoint mismatch", line.seq, says))
        elif self.result.first == 1 and line.count != line.seq - self._left_out(line.seq):
            says = (
                f"{name} counts {line.count} records up to {line.seq}; there are {line.seq - self._left_out(line.seq)}."
            )
            self.damage.append(Damage("checkpoint mismatch", line.seq, says))
        else:
            self.result.checkpoints += 1
            self.result.outside += outside

    def _left_out(self, seq: int) -> int:
        return sum(before - after - 1 for after, before, _details in self.gaps if before <= seq)

    def _is_signed(self, line: Checkpoint, name: str, outside: bool) -> bool:
        public = self.keys.get(line.key_id)
        if public is not None:
            if crypto.signature_fits(public, f"{line.signed}\n".encode(), line.signature):
                return True
            says = f"The signature of checkpoint {line.number} is wrong."
            self.damage.append(Damage("checkpoint mismatch", line.seq, says))
            return False
        if outside or self.only_trusted:
            self.remarks.append(
                f"{name} is signed with key {line.key_id}, which is not at hand: only its values count."
            )
        elif line.key_id not in self._strange_keys:
            self._strange_keys.add(line.key_id)
            says = f"Checkpoint {line.number} is signed with key {line.key_id}, whose first use is not on record."
            self.damage.append(Damage("checkpoint mismatch", line.seq, says))
        return True

    def _lost(self, line: Checkpoint, name: str) -> None:
        """A checkpoint of a record that is not there: lost in a restore that says so, or cut off."""
        for after, before, details in self.gaps:
            if after < line.seq < before:
                if line.line in (details.get("checkpoints") or ()):
                    self.remarks.append(
                        f"{name} is of record {line.seq:,}, which was lost in a restore; record {before:,} says so."
                    )
                else:
                    says = f"{name} is of record {line.seq}, and the restore at record {before} did not know of it."
                    self.damage.append(Damage("checkpoint mismatch", line.seq, says))
                return
        if line.seq > self.ends.newest:
            says = f"{name} is of record {line.seq}, and the record ends at {self.ends.newest}."
            self.damage.append(Damage("tail cut", self.ends.newest + 1, says))

    def _rows(self, own: list[Checkpoint], outside: list[Checkpoint]) -> None:
        """One number has one checkpoint, none is left out, and each holds the hash of the one before it."""
        found: dict[int, Checkpoint] = {}
        for line in [*own, *outside]:
            if found.setdefault(line.number, line) != line:
                says = f"There are two different checkpoints with the number {line.number}."
                self.damage.append(Damage("checkpoint mismatch", line.seq, says))
        for number, line in sorted(found.items()):
            before = found.get(number - 1)
            if before is not None and before.sha256 != line.previous:
                says = f"Checkpoint {number} does not follow from checkpoint {number - 1}."
                self.damage.append(Damage("checkpoint mismatch", line.seq, says))
            elif before is None and number > 1 and line in own:
                says = f"Checkpoint {number - 1}, before record {line.seq}, is gone from the table and from the file."
                self.damage.append(Damage("checkpoint mismatch", line.seq, says))

    def _places(self, table: list[Checkpoint], file: list[Checkpoint]) -> None:
        """The table and the append-only file hold the same, but for what a restore lost and what could not be written."""
        for number, seq in checkpoints.altered_rows():
            says = f"The row of checkpoint {number} is not what its signed line says."
            self.damage.append(Damage("checkpoint mismatch", seq, says))
        here, there = {line.number for line in table}, {line.number: line for line in file}
        newest = max(there, default=0)
        for line in table:
            if line.number < newest and line.number not in there:
                says = f"Checkpoint {line.number} is gone from the file {checkpoints.FILE}, or altered there."
                self.damage.append(Damage("checkpoint mismatch", line.seq, says))
        for number, line in there.items():
            lost = any(after <= line.seq < before for after, before, _details in self.gaps)
            if number not in here and number <= max(here, default=0) and not lost:
                says = f"Checkpoint {number} stands in the file {checkpoints.FILE} and is gone from the table."
                self.damage.append(Damage("checkpoint mismatch", line.seq, says))
        behind = sum(number > newest for number in here)
        if behind:
            self.remarks.append(f"The file {checkpoints.FILE} lacks the newest checkpoints of the table: {behind}.")
        if odd := checkpoints.odd_lines():
            self.remarks.append(f"The file {checkpoints.FILE} holds lines that are no checkpoints: {odd}.")
        if twice := len(file) - len(set(file)):
            self.remarks.append(f"The file {checkpoints.FILE} holds checkpoints more than once: {twice}.")
