"""Times as people type them: with a zone of their own, or else in the zone in which the person reads every time."""

import re
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone as django_timezone
from django.utils.translation import gettext as _

_SHAPE = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})(?:[T\s]\s*(?P<time>\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,6})?)?))?"
    r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2}|[A-Z][A-Z0-9_+-]*(?:/[A-Z0-9_+-]+){0,2})?",
    re.IGNORECASE | re.ASCII,
)


def parse(text: str) -> datetime | None:
    """An aware time in UTC; None for blank text. Raises ValidationError with what to write instead."""
    if not text.strip():
        return None
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None:
        raise ValidationError(_("Write a date and a time, such as 2026-07-01 00:00 or 2026-07-01T00:00:00+02:00."))
    try:
        naive = datetime.fromisoformat(f"{shape['date']}T{(shape['time'] or '00:00').replace(',', '.')}")
        zone = _zone(shape["zone"])
        return _placed(naive, zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError(
            _("“%(text)s” is not a time that exists. Write it as 2026-07-01 00:00.") % {"text": text.strip()}
        ) from None


def _zone(word: str | None) -> tzinfo:
    if not word:
        return django_timezone.get_current_timezone()
    if word.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    if word[0] in "+-":
        sign = -1 if word[0] == "-" else 1
        return timezone(sign * timedelta(hours=int(word[1:3]), minutes=int(word[-2:])))
    try:
        return zoneinfo.ZoneInfo(word)
    except (KeyError, ValueError, OSError):
        raise ValidationError(
            _("The zone “%(zone)s” is not known. Write an offset such as +02:00, or a name such as Europe/Berlin.")
            % {"zone": word}
        ) from None


def _placed(naive: datetime, zone: tzinfo) -> datetime:
    """The time in its zone, unless the clock skips it or shows it twice there: then nobody can tell which is meant."""
    first, second = naive.replace(tzinfo=zone), naive.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    skipped = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive
    raise ValidationError(
        (
            _("This time does not exist in %(zone)s: the clock is put forward then. Choose another one.")
            if skipped
            else _("This time comes twice in %(zone)s: the clock is put back then. Add the offset, such as +02:00.")
        )
        % {"zone": zone}
    )


def written(moment: datetime) -> str:
    """The time as text that stays the same moment, whatever zone it is read in later."""
    local = django_timezone.localtime(moment)
    timespec = "microseconds" if local.microsecond else "seconds" if local.second else "minutes"
    return local.isoformat(sep=" ", timespec=timespec)


class MomentField(forms.CharField):
    """A time with a zone; its value is an aware datetime in UTC, or None."""

    def __init__(self, **kwargs: object) -> None:
        widget = forms.TextInput(
            attrs={"placeholder": "2026-07-01 00:00", "autocomplete": "off", "spellcheck": "false"}
        )
        super().__init__(required=False, widget=widget, max_length=80, **kwargs)  # type: ignore[arg-type]

    def to_python(self, value: object) -> datetime | None:  # type: ignore[override]
        return parse(super().to_python(value) or "")

    def run_validators(self, value: object) -> None:
        """The text was checked while it was parsed; the datetime has no length."""
