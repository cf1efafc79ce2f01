"""Opening a review, and signing it."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from segadmin.forms.findings import day_field
from segadmin.models import Organization, SignOff


class ReviewForm(forms.Form):
    """Of which org, and which days in UTC."""

    use_required_attribute = False

    org = forms.ChoiceField(label=_("Organization"), error_messages={"required": _("Choose an organization.")})

    def __init__(
        self, data: QueryDict | None, *, organizations: Sequence[Organization], initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=initial)
        self.organizations = {row.slug: row for row in organizations}
        chosen = self.fields["org"]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = [(row.slug, row.name) for row in organizations]
        self.fields["from"] = day_field(_("First day"))
        self.fields["to"] = day_field(_("Last day"))

    @property
    def organization(self) -> Organization:
        return self.organizations[self.cleaned_data["org"]]

    @property
    def days(self) -> tuple[date, date]:
        return self.cleaned_data["from"], self.cleaned_data["to"]


class SignForm(forms.Form):
    """What is signed, and a note that stays."""

    use_required_attribute = False

    verdict = forms.ChoiceField(
        label=_("You sign this as"),
        choices=SignOff.Verdict.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose what you sign.")},
    )
    note = forms.CharField(
        label=_("What you looked at, and what came of it"),
        help_text=_("It stays on record under your name. No names of customers."),
        max_length=2000,
        error_messages={"required": _("Write what you looked at, and what came of it.")},
        widget=forms.Textarea(attrs={"rows": 4}),
    )
