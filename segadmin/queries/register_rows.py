"""The rows of the register as text, so that a template only has to place it; and one entry's own page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from segadmin.models import (
    Action,
    Attempt,
    DataLeft,
    EventContent,
    ExportOutcome,
    Origin,
    ProfileSource,
    RegisterEntry,
)
from segadmin.queries import job_words, sentences
from segadmin.queries.job_words import Words
from segadmin.templatetags.segadmin import at

FIELDS_SPELLED = 3


@dataclass(frozen=True)
class Row:
    """One row. `record` is the number of the record that tells of it, None where there is none or it may not be read."""

    entry: RegisterEntry
    url: str
    words: Words
    title: str
    evaluated: str
    fields: str
    person: str
    person_note: str
    to: str
    recipient: str
    why: str
    why_note: str
    profiles: str
    profiles_note: str
    left: str
    record: int | None = None

    @property
    def anchor(self) -> str:
        return f"entry-{self.entry.pk}"


def rows(entries: Sequence[RegisterEntry], readable: Iterable[int] = ()) -> list[Row]:
    """`readable`: keys of the orgs whose record may be read. Two queries at most, however many rows."""
    numbers = record_numbers([entry for entry in entries if entry.organization_id in set(readable)])
    return [_row(entry, numbers.get(entry.pk)) for entry in entries]


def _row(entry: RegisterEntry, record: int | None) -> Row:
    profiles, profiles_note = profile_words(entry)
    person, person_note = person_words(entry)
    why_note = [part for part in (entry.ticket, entry.legal_basis) if part]
    from_here = entry.origin == Origin.HERE
    return Row(
        entry=entry,
        url=reverse("register_entry", args=[entry.pk]),
        words=outcome_words(entry),
        title=title(entry),
        evaluated=evaluated(entry),
        fields=field_words(entry),
        person=person,
        person_note=person_note,
        to=entry.dataset_name or entry.dataset_id or _("dataset not told"),
        recipient=recipient_words(entry),
        why=entry.purpose or (_("no purpose on record") if from_here else _("not known")),
        why_note=" · ".join(why_note) or (_("no ticket, no legal basis") if from_here else _("not asked for here")),
        profiles=profiles,
        profiles_note=profiles_note,
        left=str(DataLeft(entry.data_left).label),
        record=record,
    )


def recipient_words(entry: RegisterEntry) -> str:
    """Where the data goes on to, by what a person stated; nobody checked it."""
    return _("goes on to %s, as stated") % entry.recipient if entry.recipient else _("recipient not said")


def title(entry: RegisterEntry) -> str:
    """The first audience as named then, or everyone."""
    if not entry.audiences:
        return _("Everyone, no audience")
    first = str(entry.audiences[0].get("name") or entry.audiences[0].get("id"))
    more = len(entry.audiences) - 1
    return _("%(first)s and %(n)d more") % {"first": first, "n": more} if more else first


def evaluated(entry: RegisterEntry) -> str:
    """When Adobe had last evaluated the audience at the time; of several, the oldest."""
    times = [found for item in entry.audiences if (found := moment(item.get("evaluated_at")))]
    if not times or len(times) < len(entry.audiences):
        return ""
    return _("evaluated %s") % at(min(times))


def moment(text: object) -> datetime | None:
    """A time as it is kept in JSON; None for what is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None


def field_words(entry: RegisterEntry) -> str:
    if entry.all_fields:
        found = _("all fields")
    else:
        named = [sentences.WORDS.get(path, path) for path in entry.fields]
        more = len(named) - FIELDS_SPELLED
        found = ", ".join(named[:FIELDS_SPELLED])
        found = _("%(fields)s and %(n)d more") % {"fields": found, "n": more} if more > 0 else found
    return _("%s, and events") % found if entry.with_events else found


def person_words(entry: RegisterEntry) -> tuple[str, str]:
    """Who asked, and who approved."""
    if entry.origin == Origin.OUTSIDE:
        return _("from outside"), _("person not known")
    if entry.origin == Origin.OLDER:
        return _("not known"), _("before the connection")
    if entry.origin == Origin.MATCHING:
        return _("not told yet"), _("may be an export sent from here")
    return entry.person or _("not known"), (
        _("approved by %s") % entry.approver if entry.approver else _("no approval required")
    )


def profile_words(entry: RegisterEntry) -> tuple[str, str]:
    """The number, and whose it is. Unknown is never 0."""
    if entry.profiles is None and entry.data_left == DataLeft.NOT_YET:
        return _("not known yet"), ""
    if entry.profiles is None:
        refused = entry.outcome in (ExportOutcome.REFUSED, ExportOutcome.NOT_SENT, ExportOutcome.RELEASED)
        return (_("none"), _("no export came of it")) if refused else (_("not reported"), "")
    if entry.profile_source == ProfileSource.ESTIMATE:
        most = _("at most %s") if len(entry.audiences) > 1 else _("about %s")
        note = _("estimate; Adobe reported none") if entry.data_left == DataLeft.YES else _("estimate")
        return most % f"{entry.profiles:,}", note
    source = {ProfileSource.ADOBE: _("Adobe’s count"), ProfileSource.BATCH: _("count of the batch")}
    return f"{entry.profiles:,}", source.get(ProfileSource(entry.profile_source), "")


def outcome_words(entry: RegisterEntry) -> Words:
    """The state in words: of the job as the jobs list says it, of the request where there is none."""
    if entry.job is not None:
        return job_words.job_words(
            entry.job, wrote=getattr(entry, "wrote", None), exported=getattr(entry, "exported", None)
        )
    told = {
        ExportOutcome.ASKED: Words(_("Being sent to Adobe"), "sending", _("waiting for Adobe’s answer")),
        ExportOutcome.REFUSED: Words(_("Refused by Adobe"), "refused", _("nothing was exported")),
        ExportOutcome.NOT_SENT: Words(_("Not sent"), "withdrawn", _("it never reached Adobe")),
        ExportOutcome.RELEASED: Words(_("Not found at Adobe"), "warn", _("Adobe’s lists held no such job")),
        ExportOutcome.UNKNOWN: Words(_("Sent, but Adobe’s answer was lost"), "lost", _("segadmin looks for it")),
    }
    return told.get(ExportOutcome(entry.outcome), Words(_("Not known"), "unknown"))


def record_numbers(entries: Sequence[RegisterEntry]) -> dict[int, int]:
    """Entry key -> the record that tells of it: the asking for it, else the first sight. Two queries."""
    found: dict[int, int] = {}
    asked = {entry.export_request_id: entry.pk for entry in entries if entry.export_request_id}
    if asked:
        attempts = Attempt.objects.filter(export_request__in=asked, kind=Attempt.Kind.CREATE).order_by(
            "opened_at", "pk"
        )
        for pk, seq in attempts.values_list("export_request_id", "opened_seq"):
            if pk is not None:
                found[asked[pk]] = seq
    others = {
        (entry.sandbox_id, entry.job.job_id): entry.pk for entry in entries if entry.job and not entry.export_request_id
    }
    if others:
        # In no order and of any action, so that SQLite takes the index of sandbox and job, and none for the order.
        seen = EventContent.objects.filter(
            sandbox__in={key[0] for key in others}, job_id__in=[key[1] for key in others]
        ).order_by()
        told = seen.values_list("event_id", "action", "sandbox_id", "job_id")
        for seq, action, sandbox, job_id in sorted(told, reverse=True):
            if action == Action.JOB_SEEN and sandbox is not None and (sandbox, job_id) in others:
                found[others[sandbox, job_id]] = seq
    return found
