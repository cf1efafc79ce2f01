"""Says what kind of damage an oddity in the record is. Slow and careful: it only runs where something is wrong."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection

from segadmin.audit.chain import chain_value
from segadmin.audit.scan import CHUNK, COLUMN, LINK, TEXT, Known, Stretch, link_before, link_of
from segadmin.audit.verifier import (
    FAR,
    MOST_LOOKED_INTO,
    Damage,
    Link,
    broken_link,
    digest_of,
    gap,
    states_gap,
)
from segadmin.models import Action, Event, EventContent

_WITH_DIGEST = "SELECT seq FROM segadmin_event WHERE digest = %s ORDER BY seq LIMIT 1"


class Findings:
    """Goes through the oddities of a run in order. `gaps`: numbers that a restore left out, as (after, before, details)."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.damage: list[Damage] = []
        self.gaps: list[tuple[int, int, dict[str, Any]]] = []
        self.remarks: list[str] = []
        self._last_broken = ("", 0)
        self._looked_into = 0

    def run(self) -> "Findings":
        reasons: dict[int, set[str]] = {}
        for seq, why in self.stretch.odd:
            reasons.setdefault(seq, set()).add(why)
        for seq in self.stretch.missing:
            reasons.setdefault(seq, set())
        for seq, whys in sorted(reasons.items()):
            self._one(seq, whys)
        return self

    @property
    def count(self) -> int:
        """Everything that is wrong, also what is not listed."""
        stretch = self.stretch
        unlisted = stretch.odd_count - len(stretch.odd) + stretch.missing_count - len(stretch.missing)
        return len(self.damage) + unlisted

    def _one(self, seq: int, why: set[str]) -> None:
        here = link_of(*Event.objects.values_list("epoch", "seq", "digest", "chain").get(pk=seq))
        text = EventContent.objects.filter(pk=seq).values_list("text", flat=True).first()
        found = self._of_link(here, text) if LINK in why else None
        if found is None and TEXT in why and text is not None:
            found = _of_text(here, text)
        if found is None and COLUMN in why and text is not None:
            found = _of_columns(seq)
        if found is None and not why:
            says = f"The content of record {seq} was deleted, and no expiry covers it."
            found = Damage("removed", seq, says)
        if found is not None:
            self.damage.append(found)

    def _of_link(self, here: Link, text: str | None) -> Damage | None:
        before, told = link_before(here.seq), _told(text)
        if states_gap(told, before, here) or (text is None and here.epoch == before.epoch + 1):
            self._epoch(before, here, told)
            if chain_value(here.epoch, here.seq, before.chain, here.digest) == here.chain:
                return None
        elif here.seq > before.seq + 1:
            return gap(before, here)
        elif here.epoch != before.epoch:
            return Damage("changed", here.seq, f"Record {here.seq} is of epoch {here.epoch}, which no restore began.")
        return self._broken(before, here)

    def _epoch(self, before: Link, here: Link, told: dict[str, Any]) -> None:
        details = told.get("details")
        self.gaps.append((before.seq, here.seq, details if isinstance(details, dict) else {}))
        says = str(told.get("sentence") or "its content is gone")
        self.remarks.append(f"Record {here.seq:,} begins epoch {here.epoch}: {says}")

    def _broken(self, before: Link, here: Link) -> Damage:
        """The first break in a place is looked into; those right after it follow from it."""
        kind, at = self._last_broken
        if here.seq == at + 1 and at:
            found = Damage(kind, here.seq, f"Record {here.seq} does not follow from record {before.seq} either.")
        elif self._looked_into == MOST_LOOKED_INTO:
            found = Damage("changed", here.seq, f"Record {here.seq} does not follow from record {before.seq}.")
        else:
            self._looked_into += 1
            found = broken_link(_earlier(here.seq) or [before], here, _following(here.seq))
        self._last_broken = (found.kind, here.seq)
        return found


def untold_expiries(expired: Sequence[int]) -> list[Damage]:
    """Contents that went by an expiry which no record tells of: somebody else wrote it."""
    if not expired:
        return []
    told = bytearray(max(expired) // 8 + 1)
    at = 0
    while rows := list(
        EventContent.objects.filter(action=Action.CONTENT_EXPIRED, event__gt=at)
        .order_by("event_id")
        .values_list("event_id", "text")[:CHUNK]
    ):
        at = rows[-1][0]
        for _seq, text in rows:
            details = _told(text).get("details")
            records = details.get("records") if isinstance(details, dict) else None
            for seq in records if isinstance(records, list) else ():
                if isinstance(seq, int) and 0 <= seq // 8 < len(told):
                    told[seq // 8] |= 1 << seq % 8
    says = "The content of record {} was deleted under an expiry that no record tells of."
    return [Damage("removed", seq, says.format(seq)) for seq in expired if not told[seq // 8] >> seq % 8 & 1]


def _earlier(seq: int) -> list[Link]:
    rows = Event.objects.filter(seq__lt=seq).order_by("-seq").values_list("epoch", "seq", "digest", "chain")
    found = [link_of(*row) for row in rows[: FAR + 1]][::-1]
    return [link_before(found[0].seq), *found] if found and found[0].seq == 1 else found


def _following(seq: int) -> Iterator[Link]:
    at = seq
    while True:
        rows = Event.objects.filter(seq__gt=at).order_by("seq").values_list("epoch", "seq", "digest", "chain")[:CHUNK]
        links = [link_of(*row) for row in rows]
        yield from links
        if len(links) < CHUNK:
            return
        at = links[-1].seq


def _told(text: str | bytes | None) -> dict[str, Any]:
    try:
        told = json.loads(text or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _of_text(here: Link, text: str | bytes) -> Damage:
    if isinstance(text, bytes):
        return Damage("changed", here.seq, f"The text of record {here.seq} is kept as something else than text.")
    with connection.cursor() as cursor:
        cursor.execute(_WITH_DIGEST, [digest_of(text)])
        owner = cursor.fetchone()
    if owner and owner[0] != here.seq:
        return Damage("reordered", here.seq, f"Record {here.seq} holds the text of record {owner[0]}.")
    return Damage("changed", here.seq, f"The text of record {here.seq} does not fit its digest.")


def _of_columns(seq: int) -> Damage:
    words = ", ".join(Known().differing(seq))
    says = f"What pages show and search of record {seq} is not what its text says: {words}."
    return Damage("column differs", seq, says)
