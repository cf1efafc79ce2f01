"""One entry of the register with everything that is known of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segadmin.models import Amendment, EventContent, RegisterEntry, State
from segadmin.queries import personal_data, register, register_rows, sentences, terms
from segadmin.queries.register_rows import Row

MOST_EVENTS = 100
AMENDED_LABELS = {
    "recipient": gettext_lazy("Goes on to (as stated)"),
    "ticket": gettext_lazy("Ticket"),
    "purpose": gettext_lazy("Purpose"),
    "legal_basis": gettext_lazy("Legal basis"),
}


@dataclass(frozen=True)
class Step:
    """One time of an export; `at` is None where it is not known, then `words` says why."""

    label: str
    at: datetime | None
    words: str = ""


@dataclass(frozen=True)
class Reason:
    """A kind of personal data and what brings it in."""

    code: str
    certain: bool
    because: str


@dataclass(frozen=True)
class Field:
    """One of the values that can be corrected: as in force, and as first stated where it was corrected since."""

    name: str
    label: str
    value: str
    first: str | None


@dataclass(frozen=True)
class Correction:
    """Everything that one person corrected at one time."""

    by: str
    at: datetime
    why: str
    seq: int
    changes: tuple[Amendment, ...]

    def lines(self) -> list[tuple[str, str, str]]:
        """(what, old, new)"""
        return [(str(AMENDED_LABELS.get(item.field, item.field)), item.old, item.new) for item in self.changes]


@dataclass(frozen=True)
class Story:
    """An entry's page."""

    row: Row
    who: str
    approval: str
    sentence: str
    steps: tuple[Step, ...]
    audiences: tuple[tuple[str, str, datetime | None], ...]
    reasons: tuple[Reason, ...]
    map_version: int
    fields: tuple[Field, ...]
    corrections: tuple[Correction, ...]
    events: tuple[EventContent, ...]
    job_url: str
    request_url: str


def story(entry: RegisterEntry, *, may_read_record: bool) -> Story:
    """Everything for the page; the number of queries does not depend on what there is."""
    [entry] = register.load([entry.pk])
    place = [entry.sandbox.organization.slug, entry.sandbox.name]
    row = register_rows.rows([entry], [entry.organization_id] if may_read_record else [])[0]
    corrections = tuple(_corrections(entry))
    return Story(
        row=row,
        who=entry.person or _("Somebody whom Adobe does not name"),
        approval=row.person_note if entry.export_request_id is not None else str(_NOT_HERE),
        sentence=sentence(entry),
        steps=tuple(_steps(entry)),
        audiences=tuple(
            (str(item.get("name") or ""), str(item.get("id")), register_rows.moment(item.get("evaluated_at")))
            for item in entry.audiences
        ),
        reasons=tuple(_reasons(entry)),
        map_version=entry.pii_map_version,
        fields=tuple(_fields(entry, corrections)),
        corrections=corrections,
        events=tuple(_events(entry)) if may_read_record else (),
        job_url=reverse("job", args=[*place, entry.job.job_id]) if entry.job else "",
        request_url=reverse("request", args=[*place, entry.export_request.uuid])
        if entry.export_request and not entry.job and entry.export_request.state not in _PRIVATE
        else "",
    )


_PRIVATE = ("draft", "withdrawn", "expired")
_NOT_HERE = gettext_lazy("not known: not asked for here")


def sentence(entry: RegisterEntry) -> str:
    """The one sentence of this export, without the person; "exported" only after it succeeded."""
    body: Mapping[str, Any] = entry.job.raw if entry.job is not None else {}
    body = {
        **body,
        "fields": ",".join(entry.fields),
        "destination": {"datasetId": entry.dataset_id},
        "additionalFields": entry.with_events,
        "filter": body.get("filter") or {"segments": [{"segmentId": item} for item in entry.audience_ids]},
    }
    kept = {"audiences": entry.audiences, "dataset": {"name": entry.dataset_name}}
    verb = _("exported") if entry.outcome == State.SUCCEEDED else _("asked to export")
    parts = sentences.body_parts(body, entry.sandbox, kept)
    return _("%(verb)s %(fields)s%(events)s of %(people)s from %(place)s to dataset %(dataset)s") % {
        "verb": verb,
        **parts,
    }


def _steps(entry: RegisterEntry) -> Iterator[Step]:
    from_here = entry.export_request_id is not None
    yield Step(_("Asked"), entry.asked_at, str(_NOT_HERE))
    words = _("no approval required") if from_here else str(_NOT_HERE)
    yield Step(_("Approved"), entry.approved_at, words)
    yield Step(_("Sent"), entry.sent_at, _("it never reached Adobe") if from_here else _("not told by Adobe"))
    live = entry.data_left == "not_yet"
    yield Step(_("Ended"), entry.ended_at, _("not ended") if live else _("not known"))


def _reasons(entry: RegisterEntry) -> Iterator[Reason]:
    """By the version of the map that holds for it; the kinds are those that stand in the row."""
    used = personal_data.version(entry.organization, entry.pii_map_version) or personal_data.built_in()
    spelled = {path.lower(): path for path in entry.fields}
    words = entry.field_words.strip("|").split("|")
    listed = [spelled.get(path, path) for path in words if path not in ("", terms.ALL_FIELDS)]
    found = used.classify(
        fields=listed,
        all_fields=entry.all_fields or terms.ALL_FIELDS in words,
        audiences=[word for item in entry.audiences for word in (item.get("name"), item.get("id")) if word],
    )
    for certain, codes in ((True, entry.pii_certain), (False, entry.pii_possible)):
        for code in codes:
            sources = [
                because.source for because in found.reasons if because.category == code and because.certain == certain
            ]
            yield Reason(code, certain, ", ".join(dict.fromkeys(_source_words(source) for source in sources)))


def _source_words(source: str) -> str:
    return _("all fields: nothing can be excluded") if source == personal_data.ALL_FIELDS else source


def _corrections(entry: RegisterEntry) -> Iterator[Correction]:
    """Newest first; what was corrected together stands together."""
    items = list(Amendment.objects.filter(entry=entry).order_by("-seq", "pk")) if entry.amended else []
    for _seq, group in groupby(items, lambda item: item.seq):
        changes = tuple(group)
        yield Correction(changes[0].by, changes[0].at, changes[0].why, changes[0].seq, changes)


def _fields(entry: RegisterEntry, corrections: Sequence[Correction]) -> Iterator[Field]:
    first: dict[str, str] = {}
    for correction in corrections:  # the oldest one comes last and stays
        first |= {item.field: item.old for item in correction.changes}
    for name, label in AMENDED_LABELS.items():
        yield Field(name, str(label), getattr(entry, name), first.get(name))


def _events(entry: RegisterEntry) -> list[EventContent]:
    """What the record says about it, oldest first."""
    near = Q(pk=None)
    if entry.export_request is not None:
        near |= Q(request_uuid=entry.export_request.uuid)
    if entry.job is not None:
        near |= Q(job_id=entry.job.job_id)
    rows = EventContent.objects.filter(near, sandbox=entry.sandbox_id).order_by("event_id")
    return list(rows[:MOST_EVENTS])
