"""Forms of the proof pages: where checkpoints go, what somebody kept, and why a key is replaced."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from segadmin.models import Installation


class WitnessForm(forms.Form):
    """Where checkpoints go, and how often they are made."""

    mail = forms.CharField(
        label=_("Mail to"),
        help_text=_("Once a day, to somebody who does not administer this server, such as audit@example.com."),
        required=False,
        max_length=300,
        widget=forms.EmailInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    webhook = forms.CharField(
        label=_("Webhook"),
        help_text=_("Each checkpoint, as JSON, to an https address that keeps what it gets."),
        required=False,
        max_length=300,
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    minutes = forms.IntegerField(
        label=_("A checkpoint every … minutes"),
        help_text=_("If something new is on record since."),
        min_value=1,
        error_messages=dict.fromkeys(("required", "invalid", "min_value"), _("Write a number of minutes, 1 or more.")),
    )
    reason = forms.CharField(label=_("Reason"), help_text=_("It goes on record."), required=False, max_length=500)

    @staticmethod
    def of(place: Installation) -> dict[str, Any]:
        return {
            "mail": place.witness_mail,
            "webhook": place.witness_webhook,
            "minutes": place.checkpoint_minutes,
        }


class CompareForm(forms.Form):
    """A receipt or a checkpoint that somebody kept."""

    kept = forms.CharField(
        label=_("What you kept"),
        help_text=_("A receipt such as 48,211-4ac1-f702-9be8-3k, or the whole checkpoint from a mail."),
        max_length=20_000,
        error_messages={"required": _("Paste a receipt or a checkpoint that you kept.")},
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"}),
    )


class KeyForm(forms.Form):
    """Why the signing key is replaced."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("It goes on record."),
        max_length=500,
        error_messages={"required": _("Write why the key is replaced.")},
    )
