"""The audiences of an export: one row each, with its namespace and membership statuses."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from segadmin.forms.names import Catalogue
from segadmin.forms.typed import HTML_NAMES, MAX_ROWS, SEGMENTS, Typed, as_data, count_rows
from segadmin.models import Name

STATUSES = [
    ("realized", _("is in it (realized)")),
    ("existing", _("still in it (existing; Adobe now counts this as realized)")),
    ("exited", _("has left it (exited)")),
]


class SegmentForm(forms.Form):
    """One audience. A blank row is no audience; what is not chosen is not sent."""

    segment_id = forms.CharField(
        label=_("Audience"),
        required=False,
        widget=forms.TextInput(attrs={"list": "known-audiences", "autocomplete": "off", "spellcheck": "false"}),
    )
    segment_ns = forms.CharField(
        label=_("Identity namespace"),
        required=False,
        max_length=60,
        help_text=_("Where the audience comes from. Blank: Adobe’s default, ups."),
        widget=forms.TextInput(
            attrs={"placeholder": "ups", "list": "namespaces", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    status = forms.MultipleChoiceField(
        label=_("Whoever"),
        required=False,
        choices=STATUSES,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: Adobe’s default, whoever is in it. Adobe may forget who left more than 30 days ago."),
    )

    def __init__(self, *args: Any, catalogue: Catalogue, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.catalogue = catalogue

    def add_prefix(self, field_name: str) -> str:
        return super().add_prefix(HTML_NAMES.get(field_name, field_name))

    @property
    def known(self) -> Name | None:
        """What the row names, if segadmin knows it."""
        return self.catalogue.audiences.find(self["segment_id"].value() or "")

    def clean_segment_id(self) -> str:
        return self.catalogue.audiences.id_of(self.cleaned_data["segment_id"])

    def clean_segment_ns(self) -> str:
        namespace: str = self.cleaned_data["segment_ns"]
        if any(character.isspace() for character in namespace):
            raise ValidationError(_("A namespace contains no spaces, as in ups, AAM or AdCloud."))
        return namespace

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if values.get("segment_ns") and values.get("segment_id") == "":
            self.add_error("segment_id", _("Name the audience that this namespace is for, or empty the namespace."))
        return values

    def part(self) -> dict[str, Any]:
        """The row as Adobe's JSON object; empty for a blank row."""
        values = getattr(self, "cleaned_data", {})
        named = {
            "segmentId": values.get("segment_id"),
            "segmentNs": values.get("segment_ns"),
            "status": values.get("status"),
        }
        return {name: value for name, value in named.items() if value} if values.get("segment_id") else {}


if TYPE_CHECKING:
    _FormSet = forms.BaseFormSet[SegmentForm]
else:
    _FormSet = forms.BaseFormSet  # takes no parameter when it runs


class BaseSegmentFormSet(_FormSet):
    """Rows of audiences; the same one is not named twice."""

    def clean(self) -> None:
        seen: set[tuple[str, str]] = set()
        for form in self.forms:
            part = form.part()
            key = (part.get("segmentId", ""), part.get("segmentNs", "ups"))
            if part and key in seen:
                form.add_error("segment_id", _("This audience is named twice. Remove one of the two."))
            seen.add(key)

    def parts(self) -> list[dict[str, Any]]:
        return [part for form in self.forms if (part := form.part())]


SegmentFormSet = forms.formset_factory(
    SegmentForm, formset=BaseSegmentFormSet, extra=0, max_num=MAX_ROWS, absolute_max=MAX_ROWS + 1, validate_max=True
)


def bound(typed: Typed, catalogue: Catalogue, blank_rows: int) -> BaseSegmentFormSet:
    """The rows as typed, to be checked."""
    formset = SegmentFormSet(
        as_data(typed, blank_rows),
        prefix=SEGMENTS,
        form_kwargs={"catalogue": catalogue},
        error_messages={"too_many_forms": _("Name at most %d audiences in one export.") % MAX_ROWS},
    )
    assert isinstance(formset, BaseSegmentFormSet)
    return formset


def unbound(typed: Typed, catalogue: Catalogue, blank_rows: int) -> BaseSegmentFormSet:
    """The rows as typed, to be filled in further."""
    rows = [
        {
            "segment_id": typed.get(f"{SEGMENTS}-{number}-segmentId", [""])[0],
            "segment_ns": typed.get(f"{SEGMENTS}-{number}-segmentNs", [""])[-1],
            "status": typed.get(f"{SEGMENTS}-{number}-status", []),
        }
        for number in range(count_rows(typed))
    ]
    formset = SegmentFormSet(initial=rows, prefix=SEGMENTS, form_kwargs={"catalogue": catalogue})
    formset.extra = blank_rows
    assert isinstance(formset, BaseSegmentFormSet)
    return formset
