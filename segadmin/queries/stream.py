"""Records as lines for a log collector, and how far they have been handed over."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings

from segadmin.models import Event, EventContent, Outcome, Stream
from segadmin.plain import visible_json

BAD = (Outcome.FAILED, Outcome.REFUSED, Outcome.UNKNOWN)


@dataclass(frozen=True)
class Handed:
    """How the stream stands, for the page: `waiting` records have not been handed over."""

    stream: Stream
    waiting: int


def handed() -> Handed | None:
    """None where no collector is named."""
    if settings.STREAM is None:
        return None
    row = Stream.objects.filter(target=settings.STREAM.shown).first() or Stream(target=settings.STREAM.shown)
    newest: int = Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    return Handed(row, max(newest - row.seq, 0))


class Line(NamedTuple):
    """One record for a collector, as segadmin.aep.collector takes it."""

    number: int
    at: datetime
    what: str
    is_bad: bool
    text: str


def lines(after: int, most: int) -> list[Line]:
    """The next records, in order of their numbers."""
    links = list(
        Event.objects.filter(seq__gt=after).order_by("seq").values_list("seq", "digest", "chain", "epoch")[:most]
    )
    if not links:
        return []
    contents = EventContent.objects.filter(event__gte=links[0][0], event__lte=links[-1][0]).order_by("event_id")
    texts = {seq: rest for seq, *rest in contents.values_list("event_id", "text", "at", "action", "outcome")}
    return [_line(*link, *texts.get(link[0], (None, datetime.now(UTC), "expired", ""))) for link in links]


def _line(
    seq: int, digest: str, chain: str, epoch: int, text: str | None, at: datetime, action: str, outcome: str
) -> Line:
    """`record` is the event as it stands; written again with sorted keys and without blanks it fits the digest."""
    told: dict[str, Any] = {"seq": seq, "epoch": epoch, "digest": digest, "chain": chain}
    if text is None:
        told["expired"] = True
    else:
        try:
            told["record"] = json.loads(text)
        except ValueError:  # altered behind the triggers' back
            told["text"] = text
    return Line(seq, at, action, outcome in BAD, visible_json(json.dumps(told, separators=(",", ":"))))
