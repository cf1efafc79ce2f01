"""Numbers and what they are held against: both sides in turns within one run, medians, and a table of the results."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. `ratio` is what the target is about where two sides were measured.

    `met` is None where nothing was promised, and the number is told for what it is.
    """

    subject: str
    what: str
    database: str
    measured: str
    against: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    runs: int = 0

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


type Direction = Literal["<=", ">="]


@dataclass(frozen=True)
class Target:
    """What was promised: a limit, and on which side of it the number has to be."""

    direction: Direction
    limit: float
    unit: str = ""

    def __str__(self) -> str:
        words = {"<=": "at most", ">=": "at least"}
        return f"{words[self.direction]} {self.limit:,g}{self.unit}"

    def met_by(self, number: float) -> bool:
        return number <= self.limit if self.direction == "<=" else number >= self.limit


def at_most(limit: float, unit: str = "") -> Target:
    return Target("<=", limit, unit)


def at_least(limit: float, unit: str = "") -> Target:
    return Target(">=", limit, unit)


def in_turns(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each side once a round, in an order that turns around: what slows the machine down for a while slows both."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(sides[name]())
    return found


def median(numbers: Iterable[float]) -> float:
    return statistics.median(numbers)


def percentile(numbers: Iterable[float], percent: float) -> float:
    """The nearest rank: the smallest number that so many percent of all do not exceed."""
    ordered = sorted(numbers)
    if not ordered:
        raise ValueError("nothing was measured")
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds < 0.01 else f"{seconds * 1000:,.1f} ms"


def ratio_row(
    subject: str, what: str, database: str, *, ours: Sequence[float], base: Sequence[float], target: Target | None
) -> Row:
    """Seconds of two sides as medians and their ratio."""
    mine, theirs = median(ours), median(base)
    ratio = mine / theirs
    return Row(
        subject=subject,
        what=what,
        database=database,
        measured=ms(mine),
        against=ms(theirs),
        ratio=round(ratio, 3),
        target=str(target) if target else "",
        met=target.met_by(ratio) if target else None,
        runs=min(len(ours), len(base)),
    )


def number_row(
    subject: str,
    what: str,
    database: str,
    number: float,
    words: str,
    *,
    target: Target | None = None,
    runs: int = 0,
    against: str = "",
) -> Row:
    """One number that is held against its target as it is."""
    return Row(
        subject=subject,
        what=what,
        database=database,
        measured=words,
        against=against,
        target=str(target) if target else "",
        met=target.met_by(number) if target else None,
        runs=runs,
    )


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = [
        "| subject | what | database | measured | against | ratio | target | | runs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    marks = {True: "met", False: "**missed**", None: ""}
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        cells = (row.subject, row.what, row.database, row.measured, row.against, ratio, row.target, marks[row.met])
        lines.append(f"| {' | '.join(cells)} | {row.runs or ''} |")
    return "\n".join(lines)
