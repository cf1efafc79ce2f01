"""The review page's form: which version was reviewed, and what widens an export confirmed one by one."""

from collections.abc import Collection
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from segadmin.forms.fields import TEXT


class SendForm(forms.Form):
    """`needed`: subset of everyone, all_fields, events. "Everyone" is confirmed by the sandbox's name, typed."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    confirm = forms.CharField(required=False, max_length=200, widget=forms.TextInput(attrs=TEXT))
    all_fields = forms.BooleanField(required=False)
    events = forms.BooleanField(required=False)

    def __init__(self, *args: Any, needed: Collection[str], sandbox_name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.needed, self.sandbox_name = needed, sandbox_name
        self.fields["confirm"].label = _("Type %s to go on") % sandbox_name
        self.fields["all_fields"].label = _("I want all fields")
        self.fields["events"].label = _("I want the events too")
        for name, field in (("confirm", "everyone"), ("all_fields", "all_fields"), ("events", "events")):
            if field not in needed:
                del self.fields[name]

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"].strip()
        if typed != self.sandbox_name:
            raise ValidationError(
                _("This exports everyone. Type %s, the sandbox’s name, exactly as it is written.") % self.sandbox_name
            )
        return typed

    def clean_all_fields(self) -> bool:
        if not self.cleaned_data["all_fields"]:
            raise ValidationError(_("Tick this if all fields are meant; else change the export and name the fields."))
        return True

    def clean_events(self) -> bool:
        if not self.cleaned_data["events"]:
            raise ValidationError(_("Tick this if the events are meant; else change the export and leave them out."))
        return True

    def confirmed(self) -> frozenset[str]:
        """What the person confirmed, of what was needed."""
        return frozenset(self.needed) if self.is_valid() else frozenset()
