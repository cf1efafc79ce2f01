"""The query line on a page, its chips, and the form that keeps a search as a view."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from segadmin.forms.fields import TEXT
from segadmin.models import Organization

LABELS: dict[str, Promise] = {
    "": _("Text"),
    "org": _("Organization"),
    "sandbox": _("Sandbox"),
    "actor": _("Person"),
    "action": _("Action"),
    "outcome": _("Outcome"),
    "left": _("Data left"),
    "origin": _("Origin"),
    "job": _("Job"),
    "request": _("Request"),
    "record": _("Record"),
    "audience": _("Audience"),
    "dataset": _("Dataset"),
    "field": _("Field"),
    "recipient": _("Goes on to"),
    "ticket": _("Ticket"),
    "pii": _("Personal data"),
    "created": _("Made"),
    "ended": _("Ended"),
}
PRIVATE, EVERYWHERE = "private", "everywhere"
PAGES = [("audit", _("Audit")), ("register", _("Register"))]


class QueryLine(forms.Form):
    """`q` with what of it can't be understood; `problems` are found by the view, which knows the database."""

    q = forms.CharField(
        label=_("Query"),
        required=False,
        widget=forms.TextInput(attrs={**TEXT, "type": "search", "data-find": True}),
    )
    problems: Sequence[str] = ()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for problem in self.problems:
            self.add_error("q", problem)
        return cleaned


def query(text: str, **more: str) -> str:
    """An address's query with this line, from the first page on unless `more` says otherwise."""
    found = QueryDict(mutable=True)
    for name, value in ({"q": text} | more).items():
        if value:
            found[name] = value
    return found.urlencode()


class ViewForm(forms.Form):
    """Keep a search under a name."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("As the tab on the page will say it."),
        error_messages={"required": _("Give it a name.")},
    )
    page = forms.ChoiceField(choices=PAGES, widget=forms.HiddenInput)
    query = forms.CharField(
        label=_("Query"), required=False, max_length=2000, widget=forms.TextInput(attrs={**TEXT, "type": "search"})
    )
    seen_by = forms.ChoiceField(label=_("Seen by"), widget=forms.RadioSelect)

    def __init__(
        self,
        data: QueryDict | None,
        *,
        initial: Mapping[str, Any],
        organizations: Sequence[Organization],
        everywhere: bool,
    ) -> None:
        """`organizations`: those in which this person may share; `everywhere`: also with the whole installation."""
        super().__init__(data, initial={"seen_by": PRIVATE, **initial})
        self.organizations = {row.slug: row for row in organizations}
        choices: list[tuple[str, Any]] = [(PRIVATE, _("only you"))]
        choices += [
            (slug, _("everybody who may read this page in %(name)s") % {"name": row.name})
            for slug, row in self.organizations.items()
        ]
        if everywhere:
            choices.append((EVERYWHERE, _("everybody who may read this page of the whole installation")))
        chosen = self.fields["seen_by"]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = choices

    @property
    def shared(self) -> bool:
        return bool(self.cleaned_data["seen_by"] != PRIVATE)

    @property
    def organization(self) -> Organization | None:
        return self.organizations.get(self.cleaned_data["seen_by"])
