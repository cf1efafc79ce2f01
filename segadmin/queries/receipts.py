"""Receipts of files: who may see which, finding one by its code or by a file's hash, and a receipt as text."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from segadmin.models import FileReceipt
from segadmin.queries.cells import safe_cell, utc

LISTED = 30
LOOKED_AT = 300
KINDS = {
    "audit": "records",
    "register": "rows of the register",
    "answers": "rows of an answer",
    "completeness": "lines of the statement",
}


@dataclass(frozen=True)
class Reader:
    """Somebody who looks at receipts: sees their own, and those of files whose orgs they may read the record of."""

    name: str
    organizations: frozenset[str]
    whole: bool

    def may_see(self, receipt: FileReceipt) -> bool:
        told = receipt.filter
        if receipt.by == self.name and told.get("actor") == "person":
            return True
        return self.whole or (not told.get("whole") and set(told.get("organizations") or ["?"]) <= self.organizations)


def _seen(rows: Iterable[FileReceipt], reader: Reader) -> list[FileReceipt]:
    return [row for row in rows if reader.may_see(row)]


def newest(reader: Reader) -> list[FileReceipt]:
    """The last files that this person may know of."""
    return _seen(FileReceipt.objects.order_by("-at", "-pk")[:LOOKED_AT], reader)[:LISTED]


def by_code(reader: Reader, code: str) -> FileReceipt | None:
    found = FileReceipt.objects.filter(code=code).first()
    return found if found is not None and reader.may_see(found) else None


def by_hash(reader: Reader, sha256: str) -> list[FileReceipt]:
    """Receipts of files with exactly these bytes; several where the same rows were taken twice within an instant."""
    return _seen(FileReceipt.objects.filter(sha256=sha256).order_by("-at", "-pk")[:LOOKED_AT], reader)


STATES = {"open": "not ended", "unknown": "end not known", "broken": "broke off", "finished": "finished"}


@dataclass(frozen=True)
class Shown:
    """A receipt in words."""

    receipt: FileReceipt

    @property
    def state(self) -> str:
        """finished, broken (off), unknown (whoever sent it gave no sign of life any more), or open (still on its way)."""
        if self.receipt.finished_at is None:
            return "open"
        if self.receipt.rows is None:
            return "unknown"
        return "finished" if self.receipt.sha256 else "broken"

    @property
    def noun(self) -> str:
        return KINDS.get("audit" if self.receipt.kind == FileReceipt.Kind.EVIDENCE else self.receipt.what, "rows")

    @property
    def chosen(self) -> list[tuple[str, str]]:
        told = self.receipt.filter.get("chosen") or {}
        return [(name, ", ".join(values)) for name, values in sorted(told.items())]

    @property
    def organizations(self) -> str:
        told = self.receipt.filter
        names = ", ".join(told.get("organizations") or [])
        return " and ".join(
            part for part in (names, "what belongs to no organization" if told.get("whole") else "") if part
        )

    @property
    def period(self) -> str:
        first, before = self.receipt.filter.get("from"), self.receipt.filter.get("before")
        if not first and not before:
            return "no limits"
        return " ".join(
            part for part in (f"from {first}" if first else "", f"before {before}" if before else "") if part
        )

    @property
    def _changed(self) -> list[int]:
        """For rows of the register: they are those that matched at the newest record, without later corrections."""
        changed = self.receipt.filter.get("changed_while_written")
        return [changed] if changed is not None else []

    @property
    def lines(self) -> list[tuple[str, Any]]:
        """Name and value, as the text has them; instants in UTC."""
        receipt = self.receipt
        return [
            ("receipt", receipt.code),
            ("kind", f"{receipt.kind} of {receipt.what}"),
            ("asked for at", utc(receipt.at)),
            ("by", receipt.by),
            ("host", receipt.filter.get("host", "")),
            ("version", receipt.version),
            ("organizations", self.organizations),
            *[(f"filter {name}", value) for name, value in self.chosen],
            ("period", self.period),
            ("zone of the filter's days", receipt.zone),
            ("newest record", receipt.cut_off),
            ("record of asking", receipt.filter.get("event", "")),
            ("checkpoint", receipt.filter.get("checkpoint") or "none"),
            ("state", STATES[self.state]),
            ("given up at" if self.state == "unknown" else "ended at", utc(receipt.finished_at)),
            (self.noun, receipt.rows if receipt.rows is not None else ""),
            *[("of them changed since the newest record, while it was written", number) for number in self._changed],
            ("bytes", receipt.size if receipt.size is not None else ""),
            ("SHA-256", receipt.sha256),
        ]

    @property
    def text(self) -> str:
        """One line each, `name: value`."""
        return "".join(f"{safe_cell(name)}: {safe_cell(str(value))}\n" for name, value in self.lines)
