"""The filters of the register as the address has them, the correction of a row, and the map of personal data as lines."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segadmin.forms.audit import DAY_FORMAT, EARLIEST, LATEST, Chip, OpenTicks, Ticks
from segadmin.forms.fields import TEXT
from segadmin.models import Category, DataLeft, ExportOutcome, Organization, Origin, RegisterEntry, Sandbox

_TELL_A_DAY = gettext_lazy("Write the day as year, month and day, for example 2026-07-01.")
PERSON_NOT_KNOWN = "-"
# What decides which rows are shown; everything else in the address only moves through them.
FILTERS = (
    "org",
    "sandbox",
    "person",
    "origin",
    "outcome",
    "left",
    "pii",
    "audience",
    "dataset",
    "recipient",
    "field",
    "ticket",
    "text",
    "basis",
    "from",
    "to",
)
LISTS = ("org", "sandbox", "person", "origin", "outcome", "left", "pii")
OUTCOMES = [(choice.value, choice.label) for choice in ExportOutcome if choice != ExportOutcome.MERGED]
BASES = [("asked", gettext_lazy("when it was asked for")), ("ended", gettext_lazy("when it ended"))]


def _short(label: Any) -> forms.CharField:
    # One more than a recipient may have: the sign for "exactly".
    return forms.CharField(label=label, required=False, max_length=301, widget=forms.TextInput(attrs=TEXT))


class RegisterFilterForm(forms.Form):
    """Read from the address. A filter that can't be applied is a fault, never left out."""

    outcome = Ticks(label=gettext_lazy("Outcome"), required=False, choices=OUTCOMES)
    left = Ticks(label=gettext_lazy("Data left"), required=False, choices=DataLeft.choices)
    origin = Ticks(label=gettext_lazy("Origin"), required=False, choices=Origin.choices)
    audience = _short(gettext_lazy("Audience"))
    dataset = _short(gettext_lazy("Dataset"))
    recipient = _short(gettext_lazy("Goes on to"))
    field = _short(gettext_lazy("Field"))
    ticket = _short(gettext_lazy("Ticket"))
    text = _short(gettext_lazy("Words"))
    basis = forms.ChoiceField(label=gettext_lazy("Period of"), required=False, choices=BASES, widget=forms.RadioSelect)

    def __init__(
        self,
        data: QueryDict,
        *,
        organizations: Sequence[Organization],
        sandboxes: Sequence[Sandbox],
        people: Iterable[str],
    ) -> None:
        super().__init__(data, auto_id="filter-%s")
        self.query = data
        self.organizations = {organization.slug: organization for organization in organizations}
        self.sandboxes = {f"{row.organization.slug}/{row.name}": row for row in sandboxes}
        typed = [word.strip() for word in data.getlist("person") if word.strip()]
        named = dict.fromkeys([*people, *typed])
        self._add("org", _("Organization"), [(slug, row.name) for slug, row in self.organizations.items()])
        self._add("sandbox", _("Sandbox"), [(key, str(row)) for key, row in self.sandboxes.items()])
        people_choices = [
            *((name, name) for name in named if name != PERSON_NOT_KNOWN),
            (PERSON_NOT_KNOWN, _("not known")),
        ]
        self._add("person", _("Person"), people_choices, OpenTicks)
        self._add("pii", _("Personal data"), list(_categories()))
        for name, label in (("from", _("From")), ("to", _("To"))):
            self.fields[name] = forms.DateField(
                label=label,
                required=False,
                input_formats=[DAY_FORMAT],
                widget=forms.DateInput(attrs={"type": "date"}, format=DAY_FORMAT),
                validators=[MinValueValidator(EARLIEST, _TELL_A_DAY), MaxValueValidator(LATEST, _TELL_A_DAY)],
                error_messages={"invalid": _TELL_A_DAY},
            )
        for name in LISTS:
            self.fields[name].error_messages["invalid_choice"] = _(
                "“%(value)s” is nothing that can be filtered by here."
            )

    def _add(self, name: str, label: str, choices: list[tuple[str, Any]], kind: type[Ticks] = Ticks) -> None:
        self.fields[name] = kind(label=label, required=False, choices=choices)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get("from"), cleaned.get("to")
        if first and last and first > last:
            self.add_error("to", _("The last day is before the first one."))
        return cleaned

    @property
    def chosen_organizations(self) -> list[Organization]:
        """The orgs asked for; without a choice, all that the person may read."""
        slugs = self.cleaned_data["org"]
        return [self.organizations[slug] for slug in slugs] if slugs else list(self.organizations.values())

    def narrowed(self) -> dict[str, Any]:
        """What the filters leave, with the names that the register's reads use."""
        chosen = self.cleaned_data
        return {
            "sandboxes": [self.sandboxes[key].pk for key in chosen["sandbox"]],
            "persons": [name.replace("\x00", "") for name in chosen["person"]],  # no database keeps a null character
            "origins": chosen["origin"],
            "outcomes": chosen["outcome"],
            "left": chosen["left"],
            "certain": [code for code in chosen["pii"] if not code.startswith("?")],
            "possible": [code[1:] for code in chosen["pii"] if code.startswith("?")],
            "basis": chosen["basis"] or "asked",
            "from_at": _start_of(chosen["from"]),
            "to_at": _start_of(chosen["to"] + timedelta(days=1)) if chosen["to"] else None,
            **{name: chosen[name] for name in ("audience", "dataset", "recipient", "field", "ticket", "text")},
        }

    @property
    def used(self) -> frozenset[str]:
        """Names of the filters in use."""
        return frozenset(name for name in FILTERS if any(word.strip() for word in self.query.getlist(name)))

    def chips(self) -> list[Chip]:
        """Each filter in use, also one that can't be applied, with the address that leaves it out."""
        found: list[Chip] = []
        for name in FILTERS:
            words = dict(getattr(self.fields[name], "choices", ()))
            for value in dict.fromkeys(word.strip() for word in self.query.getlist(name) if word.strip()):
                label = str(self.fields[name].label)
                found.append(Chip(label, str(words.get(value, value)), self.query_without(name, value)))
        return found

    def query_without(self, name: str, value: str) -> str:
        rest = self._first_page()
        rest.setlist(name, [word for word in rest.getlist(name) if word.strip() not in ("", value)])
        return rest.urlencode()

    def query_with(self, **values: str | list[str]) -> str:
        """The same filters from the first page on, with these instead of what they were."""
        query = self._first_page()
        for name, value in values.items():
            query.setlist(name, value if isinstance(value, list) else [value])
        return query.urlencode()

    def _first_page(self) -> QueryDict:
        query = self.query.copy()
        query.pop("after", None)
        return query


def _categories() -> Iterable[tuple[str, str]]:
    yield "any", _("any kind, certain")
    yield "?any", _("only possible kinds")
    for category in Category:
        yield category.value, _("%s, certain") % category.label
        yield f"?{category.value}", _("%s, possible") % category.label


def _start_of(day: date | None) -> datetime | None:
    """Midnight of that day in the person's zone, or the first moment after it where clocks jump over midnight."""
    return None if day is None else timezone.make_aware(datetime.combine(day, time.min))


class AmendForm(forms.Form):
    """A later correction of what was stated when the export was asked for."""

    recipient = forms.CharField(
        label=gettext_lazy("Goes on to (as stated)"), required=False, max_length=300, widget=forms.TextInput(attrs=TEXT)
    )
    purpose = forms.CharField(
        label=gettext_lazy("Purpose"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("No names or addresses of customers: this can’t be erased."),
    )
    legal_basis = forms.CharField(label=gettext_lazy("Legal basis"), required=False, max_length=40)
    ticket = forms.CharField(
        label=gettext_lazy("Ticket"), required=False, max_length=100, widget=forms.TextInput(attrs=TEXT)
    )
    why = forms.CharField(
        label=gettext_lazy("Why it has to be corrected"),
        max_length=1000,
        error_messages={"required": gettext_lazy("Say why it has to be corrected. The reason stays beside it.")},
    )
    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    @classmethod
    def of(cls, entry: RegisterEntry) -> dict[str, Any]:
        """What is in force."""
        values = {name: getattr(entry, name) for name in ("recipient", "purpose", "legal_basis", "ticket")}
        return {**values, "version": entry.amended}

    @property
    def values(self) -> dict[str, str]:
        """The four values as they should be; line ends as they are stored."""
        names = ("recipient", "purpose", "legal_basis", "ticket")
        return {name: self.cleaned_data[name].replace("\r\n", "\n") for name in names}


MOST_LINES, LONGEST_PATTERN, MOST_STARS = 500, 200, 4
_ARROW = re.compile(r"\s*(?:→|->|=>)\s*")
_POSSIBLY = re.compile(r"^(?:possibly|possible|\?)\s*", re.IGNORECASE)
_SPOKEN = {
    "e-mail": "email",
    "mail": "email",
    "birth date": "birth",
    "birthdate": "birth",
    "identity": "identifier",
    "address": "location",
    "personal details": "details",
    "special category": "special",
    "nothing": "none",
    "no category": "none",
}


class PersonalDataForm(forms.Form):
    """A whole map, one pattern a line: "homeAddress → location", "*diabetes* → health", "identityMap → possibly email"."""

    field_lines = forms.CharField(
        label=gettext_lazy("Fields"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 24, **TEXT}),
        help_text=gettext_lazy(
            "One a line: path → kind, or path → possibly kind. A path covers everything below it; * stands for anything. "
            "→ none says that a field holds no personal data. A field that no line names counts as possible."
        ),
    )
    audience_lines = forms.CharField(
        label=gettext_lazy("Names of audiences"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 10, **TEXT}),
        help_text=gettext_lazy("Being in such an audience says something about a person: *diabetes* → health."),
    )
    retroactive = forms.BooleanField(
        label=gettext_lazy("Also for exports that are in the register already"),
        required=False,
        help_text=gettext_lazy("Their rows then show the kinds of this map, and that it is this version."),
    )
    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def clean_field_lines(self) -> list[dict[str, Any]]:
        return parse(self.cleaned_data["field_lines"], "field")

    def clean_audience_lines(self) -> list[dict[str, Any]]:
        return parse(self.cleaned_data["audience_lines"], "audience")

    @property
    def entries(self) -> list[dict[str, Any]]:
        """As a map stores them."""
        return [*self.cleaned_data["field_lines"], *self.cleaned_data["audience_lines"]]


def lines(entries: Iterable[Mapping[str, Any]], kind: str) -> str:
    """Entries of one kind as the form takes them."""
    chosen = [entry for entry in entries if entry["kind"] == kind]
    return "\n".join(
        f"{entry['pattern']} → {'possibly ' if entry['possible'] else ''}{entry['category']}" for entry in chosen
    )


def parse(text: str, kind: str) -> list[dict[str, Any]]:
    """Lines as entries, each once. Raises ValidationError that names the line and says what to write."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                entry = _entry(line.strip(), kind)
            except ValueError as problem:
                problems.append(_("Line %(n)d: %(problem)s") % {"n": number, "problem": problem})
            else:
                found[entry["pattern"].lower(), entry["category"]] = entry
    if len(found) > MOST_LINES:
        problems.append(_("A map has at most %d lines.") % MOST_LINES)
    if problems:
        raise forms.ValidationError(problems[:10])
    return list(found.values())


def _entry(line: str, kind: str) -> dict[str, Any]:
    parts = _ARROW.split(line)
    if len(parts) != 2 or not parts[0] or not parts[1]:
        raise ValueError(_("“%s” needs a pattern, an arrow (→ or ->) and a kind.") % line[:60])
    pattern, words = re.sub(r"\*+", "*", parts[0]), parts[1].strip().lower()
    if len(pattern) > LONGEST_PATTERN or pattern.count("*") > MOST_STARS or not pattern.strip("*. "):
        raise ValueError(
            _(
                "“%(pattern)s” can’t be a pattern: up to %(long)d characters, at most %(stars)d of them *, and not only *."
            )
            % {"pattern": pattern[:60], "long": LONGEST_PATTERN, "stars": MOST_STARS}
        )
    if kind == "field" and re.search(r"\s", pattern):
        raise ValueError(_("“%s” contains a space, and no path of a field does.") % pattern[:60])
    possible = bool(_POSSIBLY.match(words))
    category = _POSSIBLY.sub("", words)
    category = _SPOKEN.get(category, category)
    if category not in Category.values and category != "none":
        known = ", ".join([*Category.values, "none"])
        raise ValueError(
            _("There is no kind “%(kind)s”. Known are: %(known)s.") % {"kind": parts[1][:40], "known": known}
        )
    return {"pattern": pattern, "category": category, "kind": kind, "possible": possible and category != "none"}
