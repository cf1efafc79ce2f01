"""Forms about findings and standing explanations, and the period of the statement of completeness."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from segadmin.forms.audit import DAY_FORMAT, EARLIEST, LATEST, Ticks
from segadmin.models import Finding, Organization

LONGEST_NOTE = 1000
_TELL_A_DAY = _("Write the day as year, month and day, for example 2026-07-01.")


def _note(label: Any, hint: Any, missing: Any = "") -> forms.CharField:
    """A note of some lines; `missing` says what to write where it has to be there."""
    return forms.CharField(
        label=label,
        help_text=hint,
        required=bool(missing),
        error_messages={"required": missing},
        max_length=LONGEST_NOTE,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


def day_field(label: Any, **more: Any) -> forms.DateField:
    return forms.DateField(
        label=label,
        input_formats=[DAY_FORMAT],
        widget=forms.DateInput(attrs={"type": "date"}, format=DAY_FORMAT),
        validators=[MinValueValidator(EARLIEST, _TELL_A_DAY), MaxValueValidator(LATEST, _TELL_A_DAY)],
        error_messages={"required": _TELL_A_DAY, "invalid": _TELL_A_DAY},
        **more,
    )


class ExplainForm(forms.Form):
    """What it was, in words that a second person can check."""

    use_required_attribute = False

    note = _note(
        _("What it was"),
        _("Who did it and why, where you know it from. No names of customers: it stays."),
        _("Write what it was."),
    )


class VerdictForm(forms.Form):
    """What the second person found; needed to send it back."""

    use_required_attribute = False

    verdict = forms.ChoiceField(choices=[("close", _("Close it")), ("back", _("Open it again"))])
    note = _note(_("What you checked"), _("Needed where you open it again."))


class ExplanationForm(forms.Form):
    """A standing explanation for jobs like one from outside."""

    use_required_attribute = False

    owner = forms.CharField(
        label=_("Who answers for these jobs"),
        help_text=_("A person or a team that can be asked."),
        max_length=150,
        error_messages={"required": _("Write who answers for these jobs.")},
    )
    reason = _note(
        _("Why they exist"),
        _("For example: Adobe's daily schedule for the mail vendor, agreed in MK-311."),
        _("Write why they exist."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["valid_until"] = day_field(
            _("Last day"), help_text=_("At most 12 months ahead, in UTC. Later jobs are findings again.")
        )

    @property
    def valid_until_at(self) -> datetime:
        """The end of the last day, UTC."""
        return datetime.combine(self.cleaned_data["valid_until"] + timedelta(days=1), time.min, tzinfo=UTC)


class EndForm(forms.Form):
    """Why a standing explanation ends early."""

    use_required_attribute = False

    reason = _note(_("Why it ends"), _("Jobs made from now on are findings again."), _("Write why it ends."))


class _ScopeForm(forms.Form):
    """Read from the address, with the orgs that the person may read."""

    org = Ticks(
        label=_("Organization"),
        required=False,
        error_messages={"invalid_choice": _("There is no organization “%(value)s” whose record you may read.")},
    )

    def __init__(self, data: QueryDict, *, organizations: Sequence[Organization]) -> None:
        super().__init__(data, auto_id="filter-%s")
        self.organizations = {row.slug: row for row in organizations}
        chosen = self.fields["org"]
        assert isinstance(chosen, Ticks)
        chosen.choices = [(row.slug, row.name) for row in organizations]

    @property
    def chosen(self) -> list[Organization]:
        """The orgs that are ticked; all when none is."""
        slugs = self.cleaned_data.get("org") or list(self.organizations)
        return [self.organizations[slug] for slug in slugs]


class PeriodForm(_ScopeForm):
    """Which days, in UTC, and which orgs. Blank days stand for the last full quarter (the caller's default)."""

    def __init__(self, data: QueryDict, *, organizations: Sequence[Organization]) -> None:
        super().__init__(data, organizations=organizations)
        self.fields["from"] = day_field(_("First day"), required=False)
        self.fields["to"] = day_field(_("Last day"), required=False)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get("from"), cleaned.get("to")
        if first and last and first > last:
            self.add_error("to", _("The last day is before the first one."))
        if bool(first) != bool(last) and not self.errors:
            self.add_error("to" if first else "from", _("Choose both days, or none."))
        if first and first > timezone.now().astimezone(UTC).date():
            self.add_error("from", _("This day has not come yet."))
        return cleaned

    def show(self, first: date, last: date) -> None:
        """Fill the fields with the period that is shown."""
        shown = QueryDict(mutable=True)
        for name in self.data:
            shown.setlist(name, self.data.getlist(name))  # type: ignore[attr-defined]  # a QueryDict, by our views
        shown["from"], shown["to"] = first.isoformat(), last.isoformat()
        self.data = shown

    def days(self, default: tuple[date, date]) -> tuple[date, date]:
        first, last = self.cleaned_data.get("from"), self.cleaned_data.get("to")
        return (first, last) if first and last else default


class FindingFilterForm(_ScopeForm):
    """Which findings; without a choice of state those that wait for somebody."""

    state = Ticks(
        label=_("State"),
        required=False,
        choices=Finding.State.choices,
        error_messages={"invalid_choice": _("A finding has no state “%(value)s”.")},
    )
    kind = Ticks(
        label=_("Kind"),
        required=False,
        choices=Finding.Kind.choices,
        error_messages={"invalid_choice": _("There are no findings of the kind “%(value)s”.")},
    )
    after = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)

    @property
    def states(self) -> list[str]:
        return self.cleaned_data["state"] or [Finding.State.OPEN, Finding.State.EXPLAINED]
