"""The filters of the record: what the address may say, checked, with a word for what can't be applied."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from segadmin.models import Action, Organization, Outcome

NO_ORGANIZATION = "-"
DAY_FORMAT = "%Y-%m-%d"
# Nothing is older than Adobe's service, and beyond these a day has no first moment in every zone.
EARLIEST, LATEST = date(2000, 1, 1), date(2999, 12, 31)
_TELL_A_DAY = _("Write the day as year, month and day, for example 2026-07-01.")
# What decides which events are shown; everything else in the address only moves through them.
FILTERS = ("org", "person", "action", "outcome", "from", "to", "request")


@dataclass(frozen=True)
class Chip:
    """One filter in use; `query` is the address's query without it."""

    name: str
    value: str
    query: str


class Ticks(forms.MultipleChoiceField):
    """Several of the choices; an empty value (an untouched text field of the same name) is none."""

    widget = forms.CheckboxSelectMultiple

    def clean(self, value: Any) -> list[str]:
        given = value if isinstance(value, list | tuple) else []
        cleaned: list[str] = super().clean(list(dict.fromkeys(word.strip() for word in given if word.strip())))
        return cleaned


class OpenTicks(Ticks):
    """Like Ticks, but other values than the offered ones are fine too."""

    def valid_value(self, value: str) -> bool:
        return len(value) <= 150 and value.isprintable()


class EventFilterForm(forms.Form):
    """Read from the address. `cleaned_data` has lists of strings, and dates as days of the person's zone."""

    org = Ticks(
        label=_("Organization"),
        required=False,
        error_messages={"invalid_choice": _("There is no organization “%(value)s” whose record you may read.")},
    )
    person = OpenTicks(
        label=_("Person"), required=False, error_messages={"invalid_choice": _("No account has such a name.")}
    )
    action = Ticks(
        label=_("Action"),
        required=False,
        choices=Action.choices,
        error_messages={"invalid_choice": _("segadmin knows no action “%(value)s”.")},
    )
    outcome = Ticks(
        label=_("Outcome"),
        required=False,
        choices=Outcome.choices,
        error_messages={"invalid_choice": _("segadmin knows no outcome “%(value)s”.")},
    )
    request = forms.CharField(label=_("Request"), required=False, max_length=64)
    after = forms.IntegerField(
        label=_("After"),
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        error_messages={
            name: _("The page's place in the list can't be read.") for name in ("invalid", "min_value", "max_value")
        },
    )

    def __init__(
        self, data: QueryDict, *, organizations: Sequence[Organization], whole: bool, people: Iterable[str]
    ) -> None:
        super().__init__(data, auto_id="filter-%s")
        self.query = data
        self.organizations = {organization.slug: organization for organization in organizations}
        names = [(organization.slug, organization.name) for organization in organizations]
        typed = [word.strip() for word in data.getlist("person") if word.strip()]
        offered = list(dict.fromkeys([*people, "segadmin sync", *typed]))
        self._choices("org", [*names, (NO_ORGANIZATION, _("segadmin itself"))] if whole else names)
        self._choices("person", [(name, name) for name in offered])
        for name, label in (("from", _("From")), ("to", _("To"))):
            self.fields[name] = forms.DateField(
                label=label,
                required=False,
                input_formats=[DAY_FORMAT],
                widget=forms.DateInput(attrs={"type": "date"}, format=DAY_FORMAT),
                validators=[MinValueValidator(EARLIEST, _TELL_A_DAY), MaxValueValidator(LATEST, _TELL_A_DAY)],
                error_messages={"invalid": _TELL_A_DAY},
            )

    def _choices(self, name: str, choices: list[tuple[str, Any]]) -> None:
        chosen = self.fields[name]
        assert isinstance(chosen, Ticks)
        chosen.choices = choices

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get("from"), cleaned.get("to")
        if first and last and first > last:
            self.add_error("to", _("The last day is before the first one."))
        return cleaned

    @property
    def from_at(self) -> datetime | None:
        """The first moment of the first day, in the person's zone."""
        return _start_of(self.cleaned_data.get("from"))

    @property
    def to_at(self) -> datetime | None:
        """The moment after the last day."""
        last: date | None = self.cleaned_data.get("to")
        return _start_of(last + timedelta(days=1)) if last else None

    @property
    def chosen_organizations(self) -> list[Organization]:
        return [self.organizations[slug] for slug in self.cleaned_data.get("org", []) if slug != NO_ORGANIZATION]

    @property
    def no_organization(self) -> bool:
        return NO_ORGANIZATION in self.cleaned_data.get("org", [])

    @property
    def in_use(self) -> bool:
        return any(word.strip() for name in FILTERS for word in self.query.getlist(name))

    def chips(self) -> list[Chip]:
        """Each filter in use, also one that can't be applied, with the address that leaves it out."""
        found: list[Chip] = []
        for name in FILTERS:
            words = dict(getattr(self.fields[name], "choices", ()))
            values = list(dict.fromkeys(word.strip() for word in self.query.getlist(name) if word.strip()))
            for value in values:
                label = str(self.fields[name].label)
                found.append(Chip(label, str(words.get(value, value)), self._without(name, value)))
        return found

    def _without(self, name: str, value: str) -> str:
        rest = self.query.copy()
        rest.pop("after", None)
        rest.setlist(name, [word for word in rest.getlist(name) if word.strip() not in ("", value)])
        return rest.urlencode()

    def next_query(self, after: int) -> str:
        """The same filters from another place in the list."""
        query = self.query.copy()
        query["after"] = str(after)
        return query.urlencode()

    def newest_query(self) -> str:
        query = self.query.copy()
        query.pop("after", None)
        return query.urlencode()


def _start_of(day: date | None) -> datetime | None:
    """Midnight of that day in the person's zone, or the first moment after it where clocks jump over midnight."""
    return None if day is None else timezone.make_aware(datetime.combine(day, time.min))
