"""The register's page: rows, totals with what they are about, the drawing, and where its numbers lead."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from segadmin.models import Category, DataLeft, Origin
from segadmin.queries import register, register_rows
from segadmin.queries.register import Bar, Cursor, Filters, Totals
from segadmin.templatetags.segadmin import zone_word

MONTHS = 12
# The drawing's height, in units of its own; room for the numbers above and the words below.
TALLEST, BASE, WORDS_AT = 94.0, 112.0, 128


@dataclass(frozen=True)
class Column:
    """One month as it is drawn; lengths are SVG attributes."""

    bar: Bar
    x: str
    width: str
    label: str

    certain_y: float
    certain_height: float
    others_y: float
    others_height: float

    @property
    def number_y(self) -> float:
        return self.others_y - 5


@dataclass(frozen=True)
class Page:
    """One page of the register. `basis` says in words what period the rows and totals are about, and in which zone."""

    rows: list[register_rows.Row]
    next_after: str
    is_first: bool
    totals: Totals
    columns: list[Column]
    told: str
    basis: str

    @property
    def shown(self) -> str:
        """ "50 of 98 exports, newest first"."""
        shown = len(self.rows)
        return _("%(shown)d of %(all)s, newest first") % {"shown": shown, "all": f"{self.totals.exports:,}"}


@dataclass(frozen=True)
class Links:
    """Addresses of the rows behind each number of the totals (empty: no link), and of the pages."""

    certain: str
    possible: str
    special: str
    outside: str
    bad: str
    left_yes: str
    left_possibly: str
    next: str
    newest: str


def page(organizations: Sequence[int], filters: Filters, *, after: Cursor | None, readable: Sequence[int]) -> Page:
    """`readable`: keys of the orgs whose record may be read. The number of queries does not depend on the rows."""
    found = register.resolved(filters)
    entries = register.rows(organizations, found, after, register.PAGE_SIZE + 1)
    shown = entries[: register.PAGE_SIZE]
    totals = register.totals(organizations, found)
    columns = _columns(organizations, found) if totals.exports else []
    return Page(
        rows=register_rows.rows(shown, readable),
        next_after=str(Cursor.of(shown[-1])) if len(entries) > len(shown) else "",
        is_first=after is None,
        totals=totals,
        columns=columns,
        told=_told(columns),
        basis=basis_words(filters),
    )


def basis_words(filters: Filters) -> str:
    """ "Asked for between 1 April 2026 00:00 and 1 July 2026 00:00, UTC", or that there is no period."""
    ended = filters.get("basis") == register.ENDED
    lead = _("By when it ended") if ended else _("By when it was asked for (from outside: made at Adobe)")
    from_at, to_at = filters.get("from_at"), filters.get("to_at")
    zone = zone_word(timezone.localtime())
    if from_at and to_at:
        words = _("from %(from)s until %(to)s") % {"from": _moment(from_at), "to": _moment(to_at)}
    elif from_at:
        words = _("from %s on") % _moment(from_at)
    elif to_at:
        words = _("until %s") % _moment(to_at)
    else:
        words = _("all that there is")
    return f"{lead}: {words}, {zone}"


def _moment(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "j F Y H:i")


def _month_start(year: int, month: int) -> datetime:
    """The first moment of a month in the person's zone; months count on from January."""
    day = datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)  # noqa: DTZ001 - made aware below
    return timezone.make_aware(datetime.combine(day, time.min))


def _columns(organizations: Sequence[int], filters: Filters) -> list[Column]:
    """The twelve months up to the end of the period, or up to now."""
    to_at = filters.get("to_at") if filters.get("basis") != register.ENDED else None
    last = timezone.localtime(min(to_at, timezone.now()) if to_at else timezone.now())
    if to_at and last.day == 1 and last.time() == time.min:  # the period ends where a month begins
        last = timezone.localtime(to_at - timedelta(seconds=1))
    edges = [_month_start(last.year, last.month + offset) for offset in range(1 - MONTHS, 2)]
    found = register.bars(organizations, filters, edges)
    most = max(bar.exports for bar in found)
    return [_column(bar, number, most) for number, bar in enumerate(found)] if most else []


def _column(bar: Bar, number: int, most: int) -> Column:
    certain, others = (round(TALLEST * part / most, 1) for part in (bar.certain, bar.others))
    return Column(
        bar=bar,
        x=f"{100 * number / MONTHS:.2f}%",
        width="6.73%",
        label=date_format(timezone.localtime(bar.from_at), "M"),
        certain_y=round(BASE - certain, 1),
        certain_height=certain,
        others_y=round(BASE - certain - others, 1),
        others_height=others,
    )


def _told(columns: Sequence[Column]) -> str:
    """The drawing in one sentence."""
    if not columns:
        return ""
    most = max(columns, key=lambda column: column.bar.exports)
    last = columns[-1]
    return _("Exports a month, %(first)s to %(last)s. Most in %(month)s with %(n)d; %(last)s has %(now)d.") % {
        "first": _month(columns[0]),
        "last": _month(last),
        "month": _month(most),
        "n": most.bar.exports,
        "now": last.bar.exports,
    }


def _month(column: Column) -> str:
    return date_format(timezone.localtime(column.bar.from_at), "F Y")


def links(query_with: Callable[..., str], used: Collection[str], page: Page | None) -> Links:
    """`query_with` gives the address's query with other values; a filter that is `used` already gives no link."""

    def to(name: str, *values: str) -> str:
        return "" if name in used else f"?{query_with(**{name: list(values)})}"

    return Links(
        certain=to("pii", register.ANY),
        possible=to("pii", f"?{register.ANY}"),
        special=to("pii", *sorted(item.value for item in Category.special())),
        outside=to("origin", Origin.OUTSIDE.value, Origin.OLDER.value),
        bad=to("outcome", *(outcome.value for outcome in register.BAD)),
        left_yes=to("left", DataLeft.YES.value),
        left_possibly=to("left", DataLeft.POSSIBLY.value),
        next=f"?{query_with(after=page.next_after)}" if page is not None and page.next_after else "",
        newest=f"?{query_with()}",
    )
