"""Who could do what: on which day, where, and what."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from segadmin.forms.findings import day_field
from segadmin.models import Organization


class RightsForm(forms.Form):
    """Read from the address; everything has a value of its own where the address says nothing."""

    use_required_attribute = False

    def __init__(
        self, data: QueryDict, *, organizations: Sequence[Organization], may: Sequence[tuple[str, Any]]
    ) -> None:
        given = data.copy()
        given.setdefault("on", timezone.localdate().isoformat())
        given.setdefault("may", may[0][0])
        given.setdefault("org", "")
        super().__init__(given, auto_id="rights-%s")
        self.organizations = list(organizations)
        places = [("", _("all that you may see")), *((row.slug, row.name) for row in organizations)]
        wrong = {"invalid_choice": _("There is no such organization here.")}
        self.fields["on"] = day_field(_("On"))
        self.fields["org"] = forms.ChoiceField(label=_("Where"), choices=places, required=False, error_messages=wrong)
        self.fields["may"] = forms.ChoiceField(
            label=_("Who could"), choices=may, error_messages={"invalid_choice": _("Choose one of these.")}
        )

    def clean_on(self) -> date:
        day: date = self.cleaned_data["on"]
        if day > timezone.localdate():
            raise forms.ValidationError(_now("This day lies ahead."))
        return day

    @property
    def chosen(self) -> list[Organization]:
        slug = self.cleaned_data["org"]
        return [row for row in self.organizations if not slug or row.slug == slug]
