"""Forms of the retention page: how long, and legal holds."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from segadmin.forms.findings import day_field
from segadmin.models import Hold, Installation

_MONTHS = _("Write a number of months, 1 to 240.")
_TELL_MONTHS = dict.fromkeys(("required", "invalid", "min_value", "max_value"), _MONTHS)


class RetentionForm(forms.Form):
    """How long what is kept."""

    register_months = forms.IntegerField(
        label=_("Exports and changes, months"), min_value=1, max_value=240, error_messages=_TELL_MONTHS
    )
    access_months = forms.IntegerField(
        label=_("Sign-ins, views, refusals and their addresses, months"),
        min_value=1,
        max_value=240,
        error_messages=_TELL_MONTHS,
    )
    reason = forms.CharField(
        label=_("Why this long"),
        help_text=_("Auditors read it. Authorities expect 6 to 12 months as a rule, and a reason for more."),
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": _("Write why records are kept this long.")},
    )

    @staticmethod
    def of(place: Installation) -> dict[str, Any]:
        return {
            "register_months": place.register_months,
            "access_months": place.access_months,
            "reason": place.retention_reason,
        }


class HoldForm(forms.Form):
    """What is held: one export, one person, or a period."""

    kind = forms.ChoiceField(
        label=_("What is held"),
        choices=Hold.Kind.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose what is held.")},
    )
    job = forms.CharField(
        label=_("Export"),
        required=False,
        max_length=400,
        help_text=_("For one job: organization / sandbox / job id, such as acme/prod/24127."),
    )
    person = forms.CharField(
        label=_("Account name"),
        required=False,
        max_length=150,
        help_text=_("For one person: as the record names them."),
    )
    from_at = day_field(_("First day"), required=False, help_text=_("For a period: the whole day, in your zone."))
    until_at = day_field(_("Last day"), required=False, help_text=_("The whole day, too."))
    reason = forms.CharField(
        label=_("Why"),
        help_text=_("It goes on record."),
        max_length=500,
        error_messages={"required": _("Write why it is held.")},
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        needed = {"job": ["job"], "person": ["person"], "period": ["from_at", "until_at"]}[cleaned.get("kind") or "job"]
        for name in needed:
            if not cleaned.get(name) and name not in self.errors:
                self.add_error(name, _("Fill this in for the kind that you chose."))
        return cleaned

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From the start of the first day to the end of the last, in the person's zone."""
        zone = timezone.get_current_timezone()
        first = datetime.combine(self.cleaned_data["from_at"], time(), zone)
        last = datetime.combine(self.cleaned_data["until_at"] + timedelta(days=1), time(), zone)
        return first.astimezone(UTC), last.astimezone(UTC)


class ReleaseForm(forms.Form):
    """Why a hold ends."""

    reason = forms.CharField(
        label=_("Why it ends"),
        help_text=_("It goes on record."),
        max_length=500,
        error_messages={"required": _("Write why the hold ends.")},
    )
