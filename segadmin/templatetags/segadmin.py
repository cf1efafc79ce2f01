"""Tags and filters that turn plain values into segadmin's words, shapes and times.

Nothing here knows a model: callers hand in strings, numbers and aware datetimes, so that a fragment, a page and a
test render the same value in the same way. Times are shown in the person's zone, which middleware activates with
`django.utils.timezone.activate()`; without one they are UTC.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django import template
from django.forms import BaseForm, BaseFormSet, BoundField, CheckboxInput
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from qrcode.main import QRCode  # type: ignore[import-untyped]

register = template.Library()

type Text = str | Promise
type AnyForm = BaseForm | BaseFormSet[BaseForm]  # evaluated by type checkers only: BaseFormSet takes no parameter


class Look(NamedTuple):
    """The shape (a symbol of components/symbols.html) and the colour class that belong to one kind of state."""

    symbol: str
    css: str


# One shape per state, everywhere. The seven stored states come first, then what a page makes of them, then requests.
STATE_LOOKS: dict[str, Look] = {
    "waiting": Look("wait", "soft"),
    "running": Look("run", "run"),
    "cancelling": Look("ask", "warn"),
    "succeeded": Look("done", "ok"),
    "failed": Look("fail", "bad"),
    "cancelled": Look("gone", "soft"),
    "unknown": Look("odd", "soft"),
    "remarks": Look("remark", "ok"),
    "empty": Look("empty", "warn"),
    "lost": Look("lost", "warn"),
    "missing": Look("missing", "soft"),
    "outside": Look("in", "soft"),
    "draft": Look("wait", "soft"),
    "approval": Look("ask", "warn"),
    "sending": Look("run", "run"),
    "sent": Look("done", "ok"),
    "refused": Look("fail", "bad"),
    "withdrawn": Look("gone", "soft"),
    "expired": Look("gone", "soft"),
    "ok": Look("done", "ok"),
    "warn": Look("lost", "warn"),
    "bad": Look("fail", "bad"),
    "soft": Look("info", "soft"),
}

NOTE_SYMBOLS = {"ok": "done", "warn": "lost", "bad": "fail", "soft": "info"}
MESSAGE_KINDS = {"success": "ok", "warning": "warn", "error": "bad"}
ID_TAIL = 5
ID_SHOWN_WHOLE = 13


# -- symbols, states, places ------------------------------------------------------------------------------------------


@register.simple_tag
def icon(name: str, label: Text = "", css: str = "") -> SafeString:
    """Draw symbol `name`, decorative unless `label` says what it means; without the class `css` it is text-sized."""
    named = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    classed = format_html(' class="{}"', css) if css else ""
    return format_html('<svg viewBox="0 0 16 16"{} {}><use href="#i-{}"/></svg>', classed, named, name)


@register.simple_tag
def state_mark(word: Text, kind: str, detail: Text = "", lead: bool = False) -> SafeString:
    """Write a state as shape, word and second line.

    `kind` is a key of STATE_LOOKS; an unknown kind is drawn as "unknown" so that it never looks finished.
    `lead` gives the size of a job page's status region.
    """
    look = STATE_LOOKS.get(kind, STATE_LOOKS["unknown"])
    second = format_html("<small>{}</small>", detail) if detail else ""
    mark = format_html('<span class="state {}">{}<b>{}</b>{}</span>', look.css, icon(look.symbol), word, second)
    return format_html('<div class="lead">{}</div>', mark) if lead else mark


@register.simple_tag
def outcome_mark(word: Text, kind: str) -> SafeString:
    """Write a short outcome for one line of a table: shape and word, coloured. `kind` as in `state_mark`."""
    look = STATE_LOOKS.get(kind, STATE_LOOKS["unknown"])
    return format_html('<span class="{} nw">{} {}</span>', look.css, icon(look.symbol), word)


@register.simple_tag
def sandbox_mark(name: str, type: str | None = "", small: bool = False) -> SafeString:  # noqa: A002 (Adobe's word)
    """Write a sandbox as shape, name and type: "◆ prod, production" or "◇ stage, development".

    A type that Adobe has not told counts as production, and says so. `small` makes it a table's second line.
    """
    known = (type or "").strip()
    production = is_production(known)
    tag = "small" if small else "span"
    css = "prod" if production else ("dev" if small else "soft")
    symbol = icon("prod" if production else "dev")
    words = known or _("type not known")
    return format_html('<{} class="{} nw">{} {}, {}</{}>', tag, css, symbol, name, words, tag)


@register.filter
def is_production(sandbox_type: str | None) -> bool:
    """Tell whether a sandbox type is production; anything but a known "development" counts as such."""
    return (sandbox_type or "").strip().lower() != "development"


@register.simple_tag
def id_text(value: object, copy: bool = True) -> SafeString:
    """Write an id whole, cut in the middle by the style sheet only; `copy` lets the script add a Copy button."""
    text = "" if value is None else str(value)
    if not text:
        return format_html('<span class="soft">{}</span>', _("not known"))
    asked = mark_safe(" data-copy") if copy else ""
    if len(text) <= ID_SHOWN_WHOLE:
        return format_html('<span class="id"{}>{}</span>', asked, text)
    return format_html('<span class="id"{}><i>{}</i>{}</span>', asked, text[:-ID_TAIL], text[-ID_TAIL:])


@register.simple_block_tag
def note(content: str, kind: str = "soft", role: str = "") -> SafeString:
    """Wrap the block as a note of `kind` ok, warn, bad or soft: bar, shape, tint."""
    kind = kind if kind in NOTE_SYMBOLS else "soft"
    roled = format_html(' role="{}"', role) if role else ""
    body = conditional_escape(content)
    return format_html('<div class="note {}"{}>{}<div>{}</div></div>', kind, roled, icon(NOTE_SYMBOLS[kind]), body)


@register.filter
def note_kind(level_tag: str) -> str:
    """Translate a level tag of django.contrib.messages into a kind of note."""
    return MESSAGE_KINDS.get(level_tag, "soft")


@register.simple_tag
def totp_picture(address: str) -> SafeString:
    """Draw the QR code of an otpauth address as inline SVG, dark on white in both schemes.

    Inline, because the page's policy lets no `data:` picture through.
    """
    code = QRCode(border=2)
    code.add_data(address)
    modules = code.get_matrix()
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(modules) for x, dark in enumerate(row) if dark)
    return format_html(
        '<svg class="qr" viewBox="0 0 {0} {0}" role="img" aria-label="{1}"><path d="{2}"/></svg>',
        len(modules),
        _("QR code with the key below"),
        path,
    )


BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@register.filter
def browser_name(user_agent: str) -> str:
    """Name a browser and its system from what it calls itself: "Firefox on Linux"; unknown ones are quoted, cut."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return user_agent[:60] or _("not told")


# -- times ------------------------------------------------------------------------------------------------------------


def zone_word(moment: datetime) -> str:
    """Name the zone of an aware datetime as people write it: "UTC", "CEST", or "UTC+03:00" where it has no name."""
    name = moment.tzname() or ""
    return name if name and name[0].isalpha() else moment.strftime("UTC%:z")


@register.filter
def at(moment: datetime | None) -> str:
    """Write a time in the person's zone: "09:13" today, "1 July 17:22" this year, else with the year."""
    if moment is None:
        return _("not known")
    local, today = timezone.localtime(moment), timezone.localtime()
    if local.date() == today.date():
        return date_format(local, "H:i")
    return date_format(local, "j F H:i" if local.year == today.year else "j F Y H:i")


@register.filter
def at_full(moment: datetime | None) -> str:
    """Write a time whole, with seconds and zone: "2 July 2026 09:14:07 UTC"."""
    if moment is None:
        return _("not known")
    local = timezone.localtime(moment)
    return f"{date_format(local, 'j F Y H:i:s')} {zone_word(local)}"


@register.filter
def clock(moment: datetime | None) -> str:
    """Write a time of today with seconds, "09:14:07"; another day's as `at` does."""
    if moment is None:
        return _("not known")
    local = timezone.localtime(moment)
    return date_format(local, "H:i:s") if local.date() == timezone.localdate() else at(moment)


@register.filter
def iso(moment: datetime | None) -> str:
    """Write an aware datetime for machines, in UTC: "2026-07-02T09:14:07Z"."""
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@register.filter
def ago(moment: datetime | None) -> str:
    """Write the distance from now, as segadmin.js does too: "just now", "3 min ago", "4 days ago", "in 5 min"."""
    if moment is None:
        return _("not known")
    seconds = (timezone.now() - moment).total_seconds()
    amount = _rough(abs(seconds))
    if not amount:
        return _("just now")
    return _("%(amount)s ago") % {"amount": amount} if seconds > 0 else _("in %(amount)s") % {"amount": amount}


def _rough(seconds: float) -> str:
    """Round seconds to minutes, hours (up to two days) or days; empty below 45 seconds."""
    if seconds < 45:
        return ""
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return _("%(n)d min") % {"n": minutes}
    hours = max(1, round(seconds / 3600))
    if hours < 48:
        return _("%(n)d h") % {"n": hours}
    days = round(seconds / 86400)
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


@register.simple_tag
def time_at(moment: datetime | None, style: str = "at") -> SafeString:
    """Write a `<time>` whose text is `style` ("at", "clock" or "full") and whose title is the whole time with zone."""
    if moment is None:
        return format_html('<span class="soft">{}</span>', _("not known"))
    text = {"at": at, "clock": clock, "full": at_full}[style](moment)
    return format_html('<time datetime="{}" title="{}">{}</time>', iso(moment), at_full(moment), text)


@register.simple_tag
def time_ago(moment: datetime | None) -> SafeString:
    """Write a `<time>` with the distance from now, which the script keeps true."""
    if moment is None:
        return format_html('<span class="soft">{}</span>', _("not known"))
    return format_html('<time datetime="{}" title="{}" data-ago>{}</time>', iso(moment), at_full(moment), ago(moment))


@register.filter
def duration(length: timedelta | float | None) -> str:
    """Write a length of time, given as timedelta or seconds: "2 s", "20 min 4 s", "1 h 5 min", "2 days 3 h"."""
    if length is None:
        return _("not known")
    total = round(length.total_seconds() if isinstance(length, timedelta) else length)
    if total < 0:
        return _("not known")
    days, hours, minutes, seconds = total // 86400, total // 3600 % 24, total // 60 % 60, total % 60
    parts = [
        ngettext("%(n)d day", "%(n)d days", days) % {"n": days} if days else "",
        _("%(n)d h") % {"n": hours} if hours else "",
        _("%(n)d min") % {"n": minutes} if minutes and not days else "",
        _("%(n)d s") % {"n": seconds} if seconds and not (days or hours) else "",
    ]
    return " ".join(part for part in parts if part) or _("under 1 s")


# -- numbers ----------------------------------------------------------------------------------------------------------


@register.filter
def thousands(number: int | None) -> str:
    """Write a count with separators, "41,200"; a number nobody reported is said to be so, never 0."""
    return _("not reported") if number is None else f"{number:,}"


@register.filter
def profiles(number: int | None, before: str = "") -> str:
    """Write a count of profiles: "41,200 profiles"; `before` ("about", "at most") tells an estimate from a count."""
    if number is None:
        return _("profiles not reported")
    words = ngettext("%(n)s profile", "%(n)s profiles", number) % {"n": f"{number:,}"}
    return f"{before} {words}" if before else words


@register.filter
def percent_of(part: int | float | None, whole: int | float | None) -> str:
    """Give part of whole as an SVG length, "58.3%", for the bars of charts; "0%" where there is no whole."""
    if not part or not whole or whole < 0:
        return "0%"
    return f"{max(0.0, min(100.0, 100 * part / whole)):.1f}%"


# -- forms ------------------------------------------------------------------------------------------------------------


@register.inclusion_tag("components/field.html")
def field_row(field: BoundField, label: Text = "", hint: Text = "", optional: bool = True) -> dict[str, object]:
    """Render one field as label, hint, error, control, wired together by aria-describedby (Django sets that).

    `label` and `hint` stand in for the field's own (a blank hint hides it); `optional` says "(optional)" after the
    label of a field that is not required.
    """
    widget = field.field.widget
    placeholder = widget.attrs.get("placeholder", "")
    if placeholder and placeholder.lower() in str(field.label).lower():
        del widget.attrs["placeholder"]  # it only repeats the label
    if label:
        field.label = str(label)
    if hint:
        field.help_text = str(hint).strip()
    return {
        "field": field,
        "is_tick": isinstance(widget, CheckboxInput),
        "is_group": field.use_fieldset,
        "say_optional": optional and not field.field.required and not isinstance(widget, CheckboxInput),
    }


class Problem(NamedTuple):
    """One line of an error summary; `anchor` is empty where no single field is at fault."""

    anchor: str
    label: str
    text: str


@register.inclusion_tag("components/error_summary.html")
def error_summary(*forms: AnyForm | None) -> dict[str, object]:
    """List every error of the given forms and formsets, each linked to its field, in a region that receives focus."""
    problems = [problem for form in forms if form is not None for problem in _problems(form)]
    heading = ngettext("One thing to put right", "%(n)d things to put right", len(problems)) % {"n": len(problems)}
    return {"problems": problems, "heading": heading}


@register.simple_tag
def choices(field: BoundField) -> SafeString:
    """Write the ticks or radios of a menu, each inside of its label: seventy are too many for a template each.

    The first one has the id that `error_summary` links to.
    """
    bad = mark_safe(' aria-invalid="true"') if field.errors else ""
    first = format_html(' id="{}"', _anchor(field))
    drawn = []
    for number, option in enumerate(subwidget.data for subwidget in field.subwidgets):
        more = (mark_safe(" checked") if option["selected"] else "", "" if number else first, bad)
        drawn.append((option["type"], option["name"], option["value"], *more, option["label"]))
    return format_html_join("", '<label><input type="{}" name="{}" value="{}"{}{}{}> {}</label>', drawn)


def _problems(form: AnyForm) -> Iterable[Problem]:
    if not form.is_bound:
        return
    if isinstance(form, BaseFormSet):
        for text in form.non_form_errors():
            yield Problem("", "", str(text))
        for member in form.forms:
            yield from _problems(member)
        return
    for text in form.non_field_errors():
        yield Problem("", "", str(text))
    for field in form:
        for text in field.errors:
            if field.is_hidden:
                yield Problem("", "", str(text))
            else:
                yield Problem(_anchor(field), str(field.label).rstrip(":?"), str(text))


def _anchor(field: BoundField) -> str:
    """Give the id that a link can focus: the control's own, or the first choice of a group of radios or ticks."""
    return f"{field.auto_id}_0" if field.use_fieldset and len(field.subwidgets) > 0 else field.auto_id
