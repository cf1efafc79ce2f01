"""Bars over time as lengths for SVG, drawn by the server: the months of an answer, or quarters or years of a long one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from segadmin.queries.answers import Lead, Month, lead_to_months
from segadmin.queries.register import Filters

# So many bars can be told apart; more months become quarters, then years.
MOST_BARS = 24
# Beyond so many bars, only every second or further one has its word.
MOST_WORDS = 12
# The drawing's height, in units of its own; room for the numbers above and the words below.
TALLEST, BASE = 94.0, 112.0
STEPS = (1, 3, 12)


@dataclass(frozen=True)
class Bar:
    """One stretch of months as it is drawn; lengths are SVG attributes. `name` is long, `word` short or empty."""

    name: str
    word: str
    certain: int
    others: int
    url: str
    x: str
    width: str
    certain_y: float
    certain_height: float
    others_y: float
    others_height: float

    @property
    def exports(self) -> int:
        return self.certain + self.others

    @property
    def number_y(self) -> float:
        return self.others_y - 5


@dataclass(frozen=True)
class Chart:
    """Bars, and all of them in one sentence."""

    title: str
    told: str
    bars: list[Bar]


def chart(months: Mapping[tuple[int, int], Month], lead: Lead, filters: Filters) -> Chart | None:
    """None where nothing has a time."""
    if not months:
        return None
    numbers = {year * 12 + month - 1: found for (year, month), found in months.items()}
    first, last = min(numbers), max(numbers)
    step = next((step for step in STEPS if (last // step) - (first // step) < MOST_BARS), STEPS[-1])
    starts = range(first // step * step, last + 1, step)
    sums = [_sum([numbers[at] for at in range(start, start + step) if at in numbers]) for start in starts]
    most = max(month.certain + month.others for month in sums)
    bars = [
        _bar(
            number,
            len(starts),
            month,
            most,
            start,
            step,
            lead_to_months(lead, filters, _at(start), _at(start + step - 1)),
        )
        for number, (start, month) in enumerate(zip(starts, sums, strict=True))
    ]
    return Chart(_title(step), _told(bars, step), bars)


def _at(number: int) -> tuple[int, int]:
    return number // 12, number % 12 + 1


def _sum(months: Sequence[Month]) -> Month:
    return Month(sum(month.certain for month in months), sum(month.others for month in months))


def _bar(number: int, count: int, month: Month, most: int, start: int, step: int, url: str) -> Bar:
    certain, others = (round(TALLEST * part / most, 1) for part in (month.certain, month.others))
    shown = number % -(-count // MOST_WORDS) == 0
    width = 100 / max(count, MOST_WORDS)
    return Bar(
        name=_name(start, step, "F Y"),
        word=_name(start, step, "M" if count <= MOST_WORDS else "n/y") if shown else "",
        certain=month.certain,
        others=month.others,
        url=url if month.certain + month.others else "",
        x=f"{width * number:.2f}%",
        width=f"{width * 0.8:.2f}%",
        certain_y=round(BASE - certain, 1),
        certain_height=certain,
        others_y=round(BASE - certain - others, 1),
        others_height=others,
    )


def _name(start: int, step: int, style: str) -> str:
    year, month = _at(start)
    if step == 1:
        return date_format(date(year, month, 1), style)
    if step == 12:
        return str(year)
    return _("Q%(quarter)d %(year)d") % {"quarter": month // 3 + 1, "year": year}


def _title(step: int) -> str:
    return {1: _("Exports a month"), 3: _("Exports a quarter")}.get(step, _("Exports a year"))


def _told(bars: Sequence[Bar], step: int) -> str:
    most = max(bars, key=lambda bar: bar.exports)
    return _("%(title)s, %(first)s to %(last)s. Most in %(name)s with %(n)d; %(last)s has %(now)d.") % {
        "title": _title(step),
        "first": bars[0].name,
        "last": bars[-1].name,
        "name": most.name,
        "n": most.exports,
        "now": bars[-1].exports,
    }
