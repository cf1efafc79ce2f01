"""What an answer needs beyond the register's filters."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segadmin.forms.fields import TEXT

# As long as a query line may be, with room for its other terms.
MOST_CHARACTERS, MOST_AUDIENCES = 1500, 40
EXACTLY = "="


class MoreForm(forms.Form):
    """Nothing more is needed."""


class ByForm(MoreForm):
    """By what exports are counted; by person only for those who are auditors."""

    by = forms.ChoiceField(
        label=gettext_lazy("Counted by"),
        required=False,
        error_messages={"invalid_choice": gettext_lazy("Exports can’t be counted by “%(value)s” here.")},
    )

    def __init__(self, data: QueryDict, *, is_auditor: bool) -> None:
        super().__init__(data, auto_id="by-%s")
        chosen = self.fields["by"]
        assert isinstance(chosen, forms.ChoiceField)
        choices = [
            ("audience", _("audience")),
            ("dataset", _("dataset")),
            ("recipient", _("recipient, as stated")),
            ("field", _("field")),
            ("org", _("organization")),
            ("period", _("month")),
        ]
        self.offered = [*choices, ("person", _("person"))] if is_auditor else choices
        chosen.choices = self.offered

    @property
    def chosen(self) -> str:
        return str(self.cleaned_data["by"] or "audience")

    @property
    def word(self) -> str:
        """What is counted by, as the page says it."""
        return next(word for value, word in self.offered if value == self.chosen)


class AudiencesForm(MoreForm):
    """The audiences that the person to be erased was in."""

    audiences = forms.CharField(
        label=gettext_lazy("Audiences"),
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 4, **TEXT}),
        help_text=gettext_lazy(
            "One a line: the id, or part of the name. No names or addresses of people: this becomes part of the address."
        ),
        error_messages={"required": gettext_lazy("Write which audiences the person was in.")},
    )

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data, auto_id="erasure-%s")

    def clean_audiences(self) -> list[str]:
        found = [" ".join(line.split()) for line in self.cleaned_data["audiences"].splitlines()]
        named = list(dict.fromkeys(line for line in found if line))
        if any(not line.strip(EXACTLY) or not line.isprintable() for line in named):
            raise forms.ValidationError(_("An audience is named by its id or part of its name."))
        if len(named) > MOST_AUDIENCES:
            raise forms.ValidationError(_("At most %d audiences at once.") % MOST_AUDIENCES)
        return named

    @property
    def words(self) -> list[str]:
        return list(self.cleaned_data["audiences"])


class SoughtForm(MoreForm):
    """Checks that the register's filters name one audience or one field."""

    def __init__(self, data: QueryDict, *, is_named: bool, several: bool) -> None:
        super().__init__(data)
        self.is_named, self.several = is_named, several

    def clean(self) -> dict[str, Any]:
        if self.several:
            raise forms.ValidationError(
                _("Ask for one audience at a time: of several, nobody could tell which went where.")
            )
        if not self.is_named:
            raise forms.ValidationError(_("Name an audience or a field, or one of each."))
        return super().clean() or self.cleaned_data
