"""Forms about orgs, their sandboxes and credentials. Secrets are write-only: no form ever renders one."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segadmin.forms import console, token
from segadmin.forms.moments import MomentField
from segadmin.models import Credential, Organization, Sandbox
from segadmin.models.organizations import ADOBE_API_URL, ADOBE_TOKEN_URL

PLAIN = {"autocomplete": "off", "spellcheck": "false"}
REASON: dict[str, Any] = {"label": gettext_lazy("Why"), "required": False, "max_length": 300}


class SettingsForm(forms.Form):
    """What may change of an org."""

    name = forms.CharField(
        max_length=100, label=gettext_lazy("Name"), help_text=gettext_lazy("As people call it; shown on every page.")
    )
    ims_org_id = forms.CharField(
        max_length=100,
        label=gettext_lazy("Organization id at Adobe"),
        help_text=gettext_lazy("Ends in @AdobeOrg. Adobe’s console shows it with the credential."),
        widget=forms.TextInput(attrs=PLAIN),
    )
    api_url = forms.CharField(
        max_length=200,
        initial=ADOBE_API_URL,
        label=gettext_lazy("API address"),
        help_text=gettext_lazy("Only hosts that this server’s settings allow."),
        widget=forms.TextInput(attrs=PLAIN),
    )
    token_url = forms.CharField(
        max_length=200,
        initial=ADOBE_TOKEN_URL,
        label=gettext_lazy("Token address"),
        help_text=gettext_lazy("Where segadmin signs in at Adobe with the client secret."),
        widget=forms.TextInput(attrs=PLAIN),
    )

    @classmethod
    def of(cls, organization: Organization) -> dict[str, Any]:
        """Values of an org as they stand."""
        return {name: getattr(organization, name) for name in ("name", "ims_org_id", "api_url", "token_url")}


class NewOrganizationForm(SettingsForm):
    """A new org; a blank short name is made from the name."""

    slug = forms.CharField(
        max_length=50,
        required=False,
        label=gettext_lazy("Short name"),
        help_text=gettext_lazy("Small letters, digits and hyphens. It stands in every address and can’t change later."),
        widget=forms.TextInput(attrs=PLAIN),
    )
    field_order = ["name", "slug", "ims_org_id", "api_url", "token_url"]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        values["slug"] = values.get("slug") or slugify(values.get("name", ""))[:50].strip("-")
        if values.get("name") and not values["slug"]:
            self.add_error("slug", _("Write a short name; none can be made from this name."))
        return values


class SandboxForm(forms.Form):
    """What segadmin does with one sandbox."""

    watched = forms.BooleanField(
        required=False,
        label=gettext_lazy("Watch this sandbox"),
        help_text=gettext_lazy("segadmin keeps its list of export jobs and tells of jobs started elsewhere."),
    )
    exports_allowed = forms.BooleanField(
        required=False,
        label=gettext_lazy("Exports may be started from here"),
        help_text=gettext_lazy("Without this the sandbox is read-only here: no new exports."),
    )
    reason = forms.CharField(**REASON)

    @classmethod
    def of(cls, sandbox: Sandbox) -> dict[str, bool]:
        return {"watched": sandbox.watched, "exports_allowed": sandbox.exports_allowed}


class RemovalForm(forms.Form):
    """Removing an org: its short name is typed, so that it is surely this one."""

    confirm = forms.CharField(max_length=50, required=False, widget=forms.TextInput(attrs=PLAIN))
    reason = forms.CharField(**REASON)

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slug = organization.slug
        self.fields["confirm"].label = _("Type %(slug)s to go on") % {"slug": organization.slug}

    def clean_confirm(self) -> str:
        typed = str(self.cleaned_data["confirm"])
        if typed != self._slug:
            raise forms.ValidationError(_("Type %(slug)s, exactly so.") % {"slug": self._slug})
        return typed


class WriteOnlyArea(forms.Textarea):
    """A text area that never shows what was posted in it."""

    def format_value(self, value: Any) -> str:  # noqa: ARG002
        return ""


class CredentialForm(forms.Form):
    """How segadmin signs in to one org: typed, or taken from the JSON of Adobe's console."""

    pasted = forms.CharField(
        required=False,
        label=gettext_lazy("JSON from Adobe’s console"),
        help_text=gettext_lazy(
            "In the project’s OAuth server-to-server credential choose “Download JSON” and paste the file. "
            "It fills in everything below."
        ),
        widget=WriteOnlyArea(attrs={**PLAIN, "rows": 5}),
    )
    kind = forms.ChoiceField(
        choices=Credential.Kind.choices,
        initial=Credential.Kind.OAUTH,
        required=False,
        label=gettext_lazy("Kind"),
        widget=forms.RadioSelect,
    )
    client_id = forms.CharField(
        max_length=200,
        required=False,
        label=gettext_lazy("Client id"),
        help_text=gettext_lazy("Adobe’s console also calls it API key."),
        widget=forms.TextInput(attrs=PLAIN),
    )
    secret = forms.CharField(
        max_length=10_000,
        required=False,
        label=gettext_lazy("Client secret, or the access token"),
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "spellcheck": "false"}),
    )
    scopes = forms.CharField(
        max_length=1000,
        required=False,
        label=gettext_lazy("Scopes"),
        help_text=gettext_lazy("Comma-separated, as Adobe’s console shows them. Not used with a pasted token."),
        widget=forms.TextInput(attrs=PLAIN),
    )
    token_expires_at = MomentField(
        label=gettext_lazy("The pasted token expires"),
        help_text=gettext_lazy("Only for a pasted token; blank if the token says so itself, as Adobe’s do."),
    )

    def __init__(self, *args: Any, organization: Organization, credential: Credential | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._organization = organization
        if credential and credential.secret_sealed:
            self.fields["secret"].help_text = _("Blank keeps the stored one, which is never shown.")

    @classmethod
    def of(cls, credential: Credential | None) -> dict[str, Any]:
        """What may be shown of a stored credential."""
        if credential is None:
            return {}
        return {"kind": credential.kind, "client_id": credential.client_id, "scopes": credential.scopes}

    @property
    def values(self) -> dict[str, Any]:
        """What to store."""
        kept = {name: self.cleaned_data[name] for name in ("client_id", "secret", "scopes", "token_expires_at")}
        return {"kind": Credential.Kind(self.cleaned_data["kind"]), **kept}

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        values["kind"] = values.get("kind") or Credential.Kind.OAUTH
        if values.get("pasted"):
            self._take_pasted(values)
        elif values["kind"] == Credential.Kind.TOKEN and values.get("secret"):
            bare = token.without_scheme(values["secret"])
            values["secret"] = bare
            values["token_expires_at"] = values.get("token_expires_at") or token.expiry(bare)
        if values.get("token_expires_at") and values["token_expires_at"] > datetime.now(UTC) + timedelta(days=400):
            self.add_error("token_expires_at", _("Adobe’s tokens live a day. Look at the year."))
        return values

    def _take_pasted(self, values: dict[str, Any]) -> None:
        try:
            found = console.parse(values["pasted"])
        except console.NotUsable as error:
            self.add_error("pasted", str(error))
            return
        ours = self._organization.ims_org_id
        if found.ims_org_id and found.ims_org_id != ours:
            self.add_error(
                "pasted",
                _("This credential belongs to %(theirs)s, and %(org)s is %(ours)s. Paste the one of this organization.")
                % {"theirs": found.ims_org_id, "org": self._organization.name, "ours": ours},
            )
        if values.get("secret") and values["secret"] != found.secret:
            self.add_error("secret", _("Paste the JSON, or type the secret: not both."))
        values |= {"kind": Credential.Kind.OAUTH, "client_id": found.client_id, "secret": found.secret}
        values |= {"scopes": found.scopes or values.get("scopes", ""), "token_expires_at": None}
