"""Forms about people. The orgs offered are those that the one who looks administers."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segadmin.models import Membership, Organization, Role

EVERYWHERE = "*"
ROLE_WORDS = {
    Role.VIEWER: gettext_lazy("viewer: sees jobs, changes nothing"),
    Role.OPERATOR: gettext_lazy("operator: creates and cancels exports"),
    Role.APPROVER: gettext_lazy("approver: cancels exports"),
    Role.AUDITOR: gettext_lazy("auditor: also reads the record and signs reviews, changes nothing else"),
    Role.ADMIN: gettext_lazy("admin: all of it, and sandboxes, credentials and people"),
}
ROLE_CHOICES = [(role.value, words) for role, words in ROLE_WORDS.items()]
NEW_PASSWORD = {"autocomplete": "new-password", "spellcheck": "false"}


class PlaceField(forms.ChoiceField):
    """An org, or (value None) the whole installation. Nothing is preselected, since the wider one is an answer too."""

    def __init__(self, *, organizations: QuerySet[Organization], everywhere: bool) -> None:
        self._by_slug = {row.slug: row for row in organizations}
        choices = [("", _("Choose where"))] + [(slug, row.name) for slug, row in self._by_slug.items()]
        if everywhere:
            choices.append((EVERYWHERE, _("the whole installation, all organizations")))
        super().__init__(choices=choices, label=_("Where"), error_messages={"required": _("Choose where.")})

    def clean(self, value: Any) -> Organization | None:
        return self._by_slug.get(super().clean(value))


class _RolesForm(forms.Form):
    """Common to both forms: where, and until when."""

    ends_on = forms.DateField(
        required=False,
        label=gettext_lazy("Last day"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={
            "invalid": gettext_lazy("Write the day as year, month and day, for example 2026-07-01."),
        },
    )

    def __init__(self, *args: Any, organizations: QuerySet[Organization], everywhere: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["organization"] = PlaceField(organizations=organizations, everywhere=everywhere)
        self.fields["ends_on"].help_text = _("For a guest: the role ends when this day is over in %(zone)s.") % {
            "zone": timezone.get_current_timezone_name()
        }
        self.order_fields(["username", "password", "roles", "role", "organization", "ends_on", "reason"])

    @property
    def ends_at(self) -> datetime | None:
        """The end of the last day, in the zone of the person who typed it."""
        day = self.cleaned_data.get("ends_on")
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min)) if day else None


class NewPersonForm(_RolesForm):
    """A new account; with the name of an existing one and no password it gives that one the roles."""

    username = forms.CharField(
        max_length=150,
        label=gettext_lazy("Account name"),
        help_text=gettext_lazy("What the person signs in with, and how every record names them."),
        error_messages={"required": gettext_lazy("Write the account name.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        required=False,
        max_length=1000,
        strip=False,
        label=gettext_lazy("First password"),
        help_text=gettext_lazy(
            "At least 12 characters; a few unrelated words are good. Hand it over on a safe way; the person changes it. "
            "Blank if the account exists already and only gets these roles."
        ),
        widget=forms.PasswordInput(render_value=False, attrs=NEW_PASSWORD),
    )
    roles = forms.MultipleChoiceField(
        choices=ROLE_CHOICES,
        label=gettext_lazy("Roles"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one role.")},
    )


class GiveRoleForm(_RolesForm):
    """One more role for an account."""

    role = forms.ChoiceField(
        choices=[("", gettext_lazy("Choose a role")), *ROLE_CHOICES],
        label=gettext_lazy("Role"),
        error_messages={"required": gettext_lazy("Choose a role.")},
    )


class TakeRoleForm(forms.Form):
    """Which role to take, of those that may be taken."""

    def __init__(self, *args: Any, memberships: QuerySet[Membership], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["membership"] = forms.ModelChoiceField(queryset=memberships)


class PasswordForm(forms.Form):
    """A new password for somebody else."""

    password = forms.CharField(
        max_length=1000,
        strip=False,
        label=gettext_lazy("New password"),
        help_text=gettext_lazy("At least 12 characters; a few unrelated words are good."),
        error_messages={"required": gettext_lazy("Write a new password.")},
        widget=forms.PasswordInput(render_value=False, attrs=NEW_PASSWORD),
    )


class ReasonForm(forms.Form):
    """Why, in a few words; may stay blank."""

    reason = forms.CharField(required=False, max_length=300, label=gettext_lazy("Why"))
