"""Sums and differences of stretches of time. A span is (from, to), half open."""

from collections.abc import Iterable
from datetime import datetime, timedelta

type Span = tuple[datetime, datetime]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Without overlaps, in order; those that touch become one."""
    found: list[Span] = []
    for from_at, to_at in sorted(span for span in spans if span[0] < span[1]):
        if found and from_at <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], to_at))
        else:
            found.append((from_at, to_at))
    return found


def cut(span: Span, within: Span) -> Span | None:
    """The part that lies within."""
    from_at, to_at = max(span[0], within[0]), min(span[1], within[1])
    return (from_at, to_at) if from_at < to_at else None


def minus(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """What of the spans is left without those taken."""
    left = merged(spans)
    for away in merged(taken):
        left = [
            part
            for from_at, to_at in left
            for part in ((from_at, min(to_at, away[0])), (max(from_at, away[1]), to_at))
            if part[0] < part[1]
        ]
    return left


def total(spans: Iterable[Span]) -> timedelta:
    return sum((to_at - from_at for from_at, to_at in spans), timedelta())
