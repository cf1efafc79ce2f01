"""The rules for unusual exports of one org, and who is told."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from segadmin.models import UnusualMail, UnusualRule

Kind = UnusualRule.Kind
DAYS = [
    ("1", _("Monday")),
    ("2", _("Tuesday")),
    ("3", _("Wednesday")),
    ("4", _("Thursday")),
    ("5", _("Friday")),
    ("6", _("Saturday")),
    ("7", _("Sunday")),
]


class UnusualForm(forms.Form):
    """Everything on one page: each rule with its switch, then who is told."""

    use_required_attribute = False

    many_on = forms.BooleanField(label=_("Tell when an export has unusually many profiles"), required=False)
    times = forms.IntegerField(
        label=_("Times the usual"), help_text=_("Of this person, or of these audiences."), min_value=2, max_value=1000
    )
    most = forms.IntegerField(
        label=_("Always told above so many profiles"), required=False, min_value=1, max_value=10**12
    )
    hour_on = forms.BooleanField(label=_("Tell when an export is started outside working hours"), required=False)
    from_hour = forms.TypedChoiceField(
        label=_("From"), choices=[(number, f"{number:02d}:00") for number in range(24)], coerce=int
    )
    to_hour = forms.TypedChoiceField(
        label=_("To"), choices=[(number, f"{number:02d}:00") for number in range(1, 25)], coerce=int
    )
    zone = forms.CharField(label=_("Time zone"), help_text=_("For example Europe/Berlin, or UTC."), max_length=64)
    days = forms.MultipleChoiceField(
        label=_("Working days"), choices=DAYS, widget=forms.CheckboxSelectMultiple, required=False
    )
    new_data_on = forms.BooleanField(
        label=_("Tell when a kind of personal data goes to a dataset or recipient for the first time"), required=False
    )
    first_on = forms.BooleanField(
        label=_("Tell a person’s first export, and a person’s first with a kind of personal data"), required=False
    )
    to = forms.ChoiceField(label=_("Who is told by mail"), choices=UnusualMail.To.choices, widget=forms.RadioSelect)
    mail = forms.EmailField(
        label=_("Address of this organization"),
        required=False,
        max_length=300,
        help_text=_("Only for the second choice."),
    )
    version = forms.IntegerField(widget=forms.HiddenInput)

    @staticmethod
    def of(rules: Mapping[str, Any], place: UnusualMail) -> dict[str, Any]:
        """What stands in the form at first: the rules in force, by kind."""
        many, hour = rules[Kind.MANY], rules[Kind.HOUR]
        return {
            "many_on": many.on,
            **many.values,
            "hour_on": hour.on,
            **hour.values,
            "days": list(str(hour.values["days"])),
            "new_data_on": rules[Kind.NEW_DATA].on,
            "first_on": rules[Kind.FIRST].on,
            "to": place.to,
            "mail": place.mail,
            "version": place.version,
        }

    @property
    def wanted(self) -> dict[str, tuple[bool, dict[str, Any]]]:
        """Kind -> whether it is on, and its values."""
        chosen = self.cleaned_data
        hours = {name: chosen[name] for name in ("from_hour", "to_hour", "zone")}
        return {
            Kind.MANY: (chosen["many_on"], {"times": chosen["times"], "most": chosen["most"]}),
            Kind.HOUR: (chosen["hour_on"], {**hours, "days": "".join(sorted(chosen["days"]))}),
            Kind.NEW_DATA: (chosen["new_data_on"], {}),
            Kind.FIRST: (chosen["first_on"], {}),
        }
