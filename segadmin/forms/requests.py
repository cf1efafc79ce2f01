"""The create form: every field of Adobe's request body, plus who, which and what for. Valid, it holds the exact body."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from segadmin.aep.types import ExportRequest as RequestBody
from segadmin.forms import offered, segments, typed
from segadmin.forms.fields import TEXT, FieldNamesArea, FieldNamesField
from segadmin.forms.moments import MomentField, written
from segadmin.forms.names import Catalogue
from segadmin.forms.typed import HTML_NAMES, Typed
from segadmin.forms.words import HELP, LABELS
from segadmin.models import Name

PROFILE_SCHEMA = "_xdm.context.profile"
LEGAL_BASES = ("Consent", "Contract", "Legitimate interest", "Legal obligation", "Public task", "Vital interests")
# A ticket's number and small words around it say nothing about what will happen with the data.
_TICKET = re.compile(r"\b[A-Z][A-Z0-9]*-\d+\b|#\d+|\b(?:for|see|ticket|issue|jira|as|per)\b|[\W_\d]", re.IGNORECASE)
# Adobe's dotted names -> fields here, for faults that Adobe or the body's own rules find.
FIELD_OF = {
    html.replace("__", "."): name for name, html in HTML_NAMES.items() if name not in ("segment_id", "segment_ns")
}
FIELD_OF |= {
    "schema": "schema_name",
    "destination": "dataset",
    "mergePolicy": "merge_policy",
    "filter.segmentQualificationTime": "qualified_to",
    "additionalFields.eventList": "events_from",
    "additionalFields.eventList.filter": "events_to",
}


class RequestForm(forms.Form):
    """Everything about one export. Pass `data` through `RequestForm.check(typed)` or show `RequestForm.show(typed)`."""

    who = forms.ChoiceField(
        choices=[("audiences", _("People in these audiences")), ("everyone", _("Everyone"))], widget=forms.RadioSelect
    )
    which = forms.ChoiceField(choices=[("these", _("Only these")), ("all", _("All fields"))], widget=forms.RadioSelect)
    profile_fields = FieldNamesField(required=False, widget=FieldNamesArea)
    dataset = forms.CharField(widget=forms.TextInput(attrs={"list": "known-datasets", **TEXT}))
    segment_per_batch = forms.BooleanField(required=False)
    schema_name = forms.CharField(
        required=False, initial=PROFILE_SCHEMA, max_length=200, widget=forms.TextInput(attrs=TEXT)
    )
    qualified_from = MomentField()
    qualified_to = MomentField()
    changed_after = MomentField()
    empty_profiles = forms.BooleanField(required=False)
    events = forms.BooleanField(required=False)
    event_fields = FieldNamesField(required=False, widget=FieldNamesArea(attrs={"rows": 2}))
    events_from = MomentField()
    events_to = MomentField()
    merge_policy = forms.CharField(required=False, widget=forms.TextInput(attrs={"list": "known-policies", **TEXT}))
    merge_policy_version = forms.IntegerField(
        required=False, min_value=1, max_value=2**31, widget=forms.TextInput(attrs={"inputmode": "numeric", **TEXT})
    )
    segmentation = forms.BooleanField(required=False)
    purpose = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))
    recipient = forms.CharField(required=False, max_length=300)
    ticket = forms.CharField(required=False, max_length=100, widget=forms.TextInput(attrs=TEXT))
    legal_basis = forms.CharField(
        required=False, max_length=40, widget=forms.TextInput(attrs={"list": "legal-bases", **TEXT})
    )
    form_key = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    copied_from = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    segments: segments.BaseSegmentFormSet

    def __init__(self, *args: Any, catalogue: Catalogue, as_typed: Typed, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.catalogue, self.as_typed = catalogue, as_typed
        self.body: dict[str, Any] = {}
        for name, field in self.fields.items():
            field.label = str(LABELS.get(name, name))
            field.help_text = str(HELP.get(name, ""))
            if name in REQUIRED:
                field.error_messages["required"] = REQUIRED[name]
        self.fields["profile_fields"].widget.boxes = frozenset(row.external_id for row in self._offered())

    @classmethod
    def check(cls, as_typed: Typed, catalogue: Catalogue, blank_rows: int = 1) -> "RequestForm":
        """The form filled in as typed, with its faults."""
        data = typed.as_data(as_typed, blank_rows)
        form = cls(data, catalogue=catalogue, as_typed=as_typed)
        form.segments = segments.bound(as_typed, catalogue, blank_rows)
        return form

    @classmethod
    def show(cls, as_typed: Typed, catalogue: Catalogue, blank_rows: int = 1) -> "RequestForm":
        """The form to fill in further: what was typed so far, and no word of what is missing."""
        data = typed.as_data(as_typed, 0)
        form = cls(catalogue=catalogue, as_typed=as_typed)
        for name, field in form.fields.items():
            if form.add_prefix(name) in data:
                form.initial[name] = field.widget.value_from_datadict(data, {}, form.add_prefix(name))
        form.segments = segments.unbound(as_typed, catalogue, blank_rows)
        return form

    def add_prefix(self, field_name: str) -> str:
        return super().add_prefix(HTML_NAMES.get(field_name, field_name))

    @property
    def offered_fields(self) -> offered.Offered:
        """The field picker: known fields, common ones first, with a tick at the chosen ones."""
        return offered.arrange(self._offered(), self["profile_fields"].value())

    def _offered(self) -> Sequence[Name]:
        return self.catalogue.fields.rows[: offered.MOST]

    @property
    def more_is_used(self) -> bool:
        """Whether anything under "More choices" is filled in or at fault, so that it must not be folded away."""
        preset: tuple[object, ...] = (None, "", False, [], PROFILE_SCHEMA)
        return any(self[name].value() not in preset or self.has_error_at(name) for name in MORE)

    def has_error_at(self, name: str) -> bool:
        return self.is_bound and self.has_error(name)

    def clean_dataset(self) -> str:
        return self.catalogue.datasets.id_of(self.cleaned_data["dataset"])

    def clean_merge_policy(self) -> str:
        return self.catalogue.merge_policies.id_of(self.cleaned_data["merge_policy"])

    def clean_schema_name(self) -> str:
        name: str = self.cleaned_data["schema_name"] or PROFILE_SCHEMA
        if any(character.isspace() for character in name):
            raise ValidationError(_("A schema’s name contains no spaces. For profiles it is %s.") % PROFILE_SCHEMA)
        return name

    def clean_purpose(self) -> str:
        purpose: str = self.cleaned_data["purpose"]
        if not _TICKET.sub("", purpose):
            raise ValidationError(_("“%s” names the ticket only. Say what will happen with the data.") % purpose[:60])
        return purpose

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        rows_are_fine = self.segments.is_valid()
        parts = self.segments.parts()
        self._check_who(values, parts, rows_are_fine)
        self._check_which(values)
        self._check_order(values)
        if values.get("merge_policy_version") and values.get("merge_policy") == "":
            self.add_error("merge_policy", _("Name the merge policy that this version is of, or empty the version."))
        if (
            values.get("events")
            and not any(values.get(name) for name in EVENT_FIELDS)
            and not self.has_error("events_from")
        ):
            self.add_error("events_from", _("Say from which time on events are wanted, as Adobe took them in."))
        if not self.errors and rows_are_fine:
            self._build(values, parts)
        return values

    def _check_who(self, values: Mapping[str, Any], parts: list[dict[str, Any]], rows_are_fine: bool) -> None:
        named = bool(parts) or not rows_are_fine
        if values.get("who") == "audiences" and not named:
            self.add_error("who", _("Name at least one audience, or choose everyone."))
        if values.get("who") == "everyone" and named:
            self.add_error(
                "who",
                _(
                    "Everyone is chosen, but audiences are named too. Which of the two? Remove the audiences, or choose them."
                ),
            )
        if len(parts) > 1 and values.get("merge_policy") == "":
            self._check_policies(parts)

    def _check_policies(self, parts: list[dict[str, Any]]) -> None:
        """Several audiences are merged by one policy: where they were made with different ones, a person chooses."""
        known = self.catalogue.audiences.by_id
        policies = {
            str(row.details["merge_policy_id"])
            for part in parts
            if (row := known.get(part["segmentId"])) and row.details.get("merge_policy_id")
        }
        if len(policies) > 1:
            directory = self.catalogue.merge_policies.by_id
            labels = sorted(directory[one].name if one in directory else one for one in policies)
            self.add_error(
                "merge_policy",
                _("These audiences use different merge policies: %s. Choose the one to export with.")
                % ", ".join(f"“{label}”" for label in labels),
            )

    def _check_which(self, values: Mapping[str, Any]) -> None:
        if "profile_fields" not in values:
            return
        if values.get("which") == "these" and not values["profile_fields"]:
            self.add_error("which", _("Choose at least one field, or all fields."))
        if values.get("which") == "all" and values["profile_fields"]:
            self.add_error(
                "which",
                _(
                    "All fields are chosen, but some are named too. Which of the two? Clear the fields, or choose only these."
                ),
            )

    def _check_order(self, values: Mapping[str, Any]) -> None:
        for start, end in (("qualified_from", "qualified_to"), ("events_from", "events_to")):
            first, last = values.get(start), values.get(end)
            if first and last and first >= last:
                self.add_error(end, _("The end must be after the start."))

    def _build(self, values: Mapping[str, Any], parts: list[dict[str, Any]]) -> None:
        raw = {
            "fields": ",".join(values["profile_fields"]),
            "mergePolicy": {"id": values["merge_policy"], "version": values["merge_policy_version"]}
            if values["merge_policy"]
            else None,
            "filter": {
                "segments": parts,
                "segmentQualificationTime": {"startTime": values["qualified_from"], "endTime": values["qualified_to"]},
                "fromIngestTimestamp": values["changed_after"],
                "emptyProfiles": values["empty_profiles"],
            },
            "additionalFields": self._events(values),
            "destination": {"datasetId": values["dataset"], "segmentPerBatch": values["segment_per_batch"]},
            "schema": {"name": values["schema_name"]},
            "evaluationInfo": {"segmentation": values["segmentation"]},
        }
        problems = RequestBody.problems(raw)
        if problems:
            self.add_api_errors(problems)
        else:
            self.body = RequestBody.model_validate(raw).body()

    def _events(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Any filled-in event field counts as a yes, so that nothing typed is dropped without a word."""
        if not any(values[name] for name in EVENT_FIELDS):
            return None
        times = {"fromIngestTimestamp": values["events_from"], "toIngestTimestamp": values["events_to"]}
        return {"eventList": {"fields": ",".join(values["event_fields"]), "filter": times}}

    def add_api_errors(self, problems: Mapping[str, str]) -> None:
        """Put faults that are keyed by Adobe's dotted names at the fields they are about."""
        for name, sentence in problems.items():
            field = FIELD_OF.get(name) or ("who" if name.startswith("filter.segments") else None)
            self.add_error(field, sentence if field else f"{name}: {sentence}")

    def is_valid(self) -> bool:
        return super().is_valid() and self.segments.is_valid()

    def settled(self) -> Typed:
        """What to keep of the form: as typed, but times that were read are kept with the zone they were read in."""
        if not self.is_bound or not self.is_valid():
            return self.as_typed
        times = {name: self.cleaned_data[name] for name in TIME_FIELDS if self.cleaned_data.get(name)}
        return self.as_typed | {HTML_NAMES[name]: [written(moment)] for name, moment in times.items()}

    def told(
        self, names: Iterable[str] = ("who", "which", "purpose", "recipient", "ticket", "legal_basis")
    ) -> dict[str, str]:
        """Our own fields as far as they are fine, for the draft's columns."""
        values = getattr(self, "cleaned_data", {})
        return {name: str(values.get(name) or "") for name in names}


MORE = (
    "merge_policy",
    "merge_policy_version",
    "changed_after",
    "empty_profiles",
    "qualified_from",
    "qualified_to",
    "segment_per_batch",
    "segmentation",
    "schema_name",
    "events",
    "events_from",
    "events_to",
    "event_fields",
)
EVENT_FIELDS = ("event_fields", "events_from", "events_to")
TIME_FIELDS = ("qualified_from", "qualified_to", "changed_after", "events_from", "events_to")
REQUIRED = {
    "who": _("Say whose profiles: people in audiences, or everyone."),
    "which": _("Say which fields: only these, or all."),
    "dataset": _("Name the dataset that takes the export."),
    "purpose": _("Say what the export is for, in one sentence that an outsider understands."),
}
