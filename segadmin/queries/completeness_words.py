"""Lengths and stretches of time in words, as the statement of completeness and its events say them."""

from datetime import UTC, datetime, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext as _


def lasted(length: timedelta) -> str:
    """ "40 s", "14 min", "3 h 02 min", "2 days 3 h"."""
    seconds = max(0, round(length.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if seconds < 60:
        return _("%(n)d s") % {"n": seconds}
    if seconds < 3600:
        return _("%(n)d min") % {"n": minutes}
    if not days:
        return _("%(h)d h %(m)02d min") % {"h": hours, "m": minutes}
    words = _("1 day") if days == 1 else _("%(n)d days") % {"n": days}
    return f"{words} {hours} h" if hours else words


def clock(moment: datetime) -> str:
    """ "9 May 2026 10:00", in UTC."""
    return date_format(moment.astimezone(UTC), "j F Y H:i")


def between(from_at: datetime, to_at: datetime) -> str:
    """ "from 9 May 2026 10:00 to 10:14 UTC"."""
    same_day = from_at.astimezone(UTC).date() == to_at.astimezone(UTC).date()
    last = date_format(to_at.astimezone(UTC), "H:i") if same_day else clock(to_at)
    return _("from %(first)s to %(last)s UTC") % {"first": clock(from_at), "last": last}
