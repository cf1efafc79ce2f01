"""Forms around one job: why it is to be cancelled, and what was found in a batch afterwards."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

OTHER = "other"
COMMON_REASONS = [
    ("audience", _("Wrong audience")),
    ("dataset", _("Wrong dataset")),
    ("fields", _("Wrong fields")),
    ("slow", _("Takes too long")),
    (OTHER, _("Something else")),
]
LONGEST_REASON = 500


class CancelForm(forms.Form):
    """A reason by one click, in words, or both. `reason` alone is enough; the cleaned `reason` holds what is kept."""

    use_required_attribute = False

    why = forms.ChoiceField(label=_("Why?"), choices=COMMON_REASONS, widget=forms.RadioSelect, required=False)
    reason = forms.CharField(
        label=_("In your words"),
        help_text=_("Kept in the record with your name and the time. Needed for “Something else”."),
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=LONGEST_REASON,
        required=False,
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "reason" in self.errors or "why" in self.errors:
            return cleaned
        why, words = str(cleaned.get("why") or ""), str(cleaned.get("reason") or "")
        label = str(dict(COMMON_REASONS)[why]) if why and why != OTHER else ""
        if not label and not words:
            self.add_error("reason", _("Choose a reason above, or write one here."))
        cleaned["reason"] = ": ".join(part for part in (label, words) if part)
        return cleaned


class BatchForm(forms.Form):
    """What somebody found when checking a batch that a cancelled job may have written."""

    batch = forms.CharField(max_length=200, required=False, strip=False)
    note = forms.CharField(
        label=_("What you found or did"),
        max_length=LONGEST_REASON,
        error_messages={"required": _("Write what you found in the batch, or that it is empty.")},
    )
