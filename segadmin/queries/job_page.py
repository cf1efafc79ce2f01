"""Everything the page of one job tells, read from the mirror and the record. No call to Adobe."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from segadmin.aep.types import BadRecord, ExportJob, JobError
from segadmin.models import Action, EventContent, Job, Name, Origin, Outcome, State
from segadmin.queries import job_facts, job_rows, job_words, names, overview, sentences, timeline
from segadmin.queries.job_words import Words
from segadmin.templatetags.segadmin import at, clock

EVENTS_SHOWN = 100
ERRORS_SHOWN = 20
IDS_SHOWN = 20
OUTCOME_KINDS: dict[str, str] = {
    Outcome.REQUESTED: "sending",
    Outcome.SUCCEEDED: "ok",
    Outcome.FAILED: "bad",
    Outcome.UNKNOWN: "lost",
    Outcome.REFUSED: "refused",
}


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What the person may do with the job in its org."""

    may_cancel: bool = False
    may_create: bool = False
    may_read_record: bool = False


@dataclass(frozen=True)
class Told:
    """An error or remark: Adobe's words, its code and call stack, and what it probably means."""

    error: JobError
    meaning: str


@dataclass(frozen=True)
class Share:
    """Profiles of one identity namespace; `width` is its part of the largest number, as an SVG length."""

    namespace: str
    profiles: int
    width: str


@dataclass(frozen=True)
class Check:
    """Somebody looked at a batch."""

    who: str
    at: datetime
    note: str


@dataclass(frozen=True)
class Batch:
    """A batch that may hold data of a cancelled job, and who looked at it."""

    batch_id: str
    checks: list[Check]


@dataclass(frozen=True)
class EventRow:
    """One event of the record about this job. `kind` as `outcome_mark` takes it."""

    seq: int
    at: datetime
    who: str
    sentence: str
    outcome: str
    kind: str


def stamps(job: Job) -> dict[str, str]:
    """Element id -> text, for a poll that has nothing else to say."""
    return {"asof-job": clock(job.last_seen_at)}


class Story:
    """One job as its page tells it; each part is read when the page asks for it, once."""

    def __init__(self, job: Job, rights: Rights) -> None:
        self.job, self.rights = job, rights
        self.request = job.export_request

    @cached_property
    def seen(self) -> ExportJob | None:
        """The raw JSON read once more; None where even that fails."""
        try:
            return ExportJob.parse(self.job.raw)
        except BadRecord:
            return None

    @cached_property
    def kept(self) -> Mapping[str, Any]:
        """Names as they were when it was asked for."""
        return self.request.names if self.request else {}

    @cached_property
    def _known(self) -> dict[names.Key, str]:
        place = self.job.sandbox_id
        keys = {(place, Name.Kind.AUDIENCE.value, str(item)) for item in self.job.audience_ids}
        keys.add((place, Name.Kind.DATASET.value, self.job.dataset_id))
        keys.add((place, Name.Kind.MERGE_POLICY.value, self.merge_policy_id))
        return names.labels(keys)

    # -- on top -------------------------------------------------------------------------------------------------------

    @cached_property
    def audiences(self) -> list[str]:
        return job_rows.audience_names(self.job.audience_ids, self.job.sandbox_id, self.kept, self._known)

    @property
    def title(self) -> str:
        return job_rows.title(self.audiences)

    @property
    def dataset(self) -> str:
        return job_rows.dataset_name(self.job.dataset_id, self.job.sandbox_id, self.kept, self._known)

    @property
    def asked(self) -> tuple[str, str]:
        return job_rows.asked(self.job)

    @property
    def who(self) -> str:
        """The subject of the sentence."""
        return self.asked[0] if self.job.origin == Origin.HERE else _("Somebody outside segadmin")

    @property
    def verb(self) -> str:
        return _("exported") if self.job.state == State.SUCCEEDED else _("asked to export")

    @cached_property
    def parts(self) -> dict[str, str]:
        """The sentence's parts: fields, events, people, place, dataset."""
        return sentences.body_parts(self.job.raw, self.job.sandbox, self.kept)

    @cached_property
    def usual(self) -> job_words.Usual | None:
        key = (self.job.sandbox_id, self.job.fingerprint)
        return job_words.usual_times([key]).get(key)

    @cached_property
    def words(self) -> Words:
        times = self.seen.times if self.seen else {}
        write, export = times.get("dataset_write"), times.get("profile_export")
        return job_words.job_words(
            self.job,
            usual=self.usual,
            wrote=write.start_at if write else None,
            exported=export.start_at if export else None,
        )

    @property
    def headline(self) -> str:
        """The state, and where it is known and wanted, the number of profiles."""
        if self.job.state == State.SUCCEEDED and self.job.profiles and not self.job.missing_since_at:
            return f"{self.words.word} · {self.count}"
        return self.words.word

    @property
    def count(self) -> str:
        number, note = job_words.profile_words(self.job, self.kept)
        words = _("%s profiles") % number if number[-1:].isdigit() else _("profiles %s") % number
        return f"{words} ({note})" if note else words

    @property
    def profiles(self) -> tuple[str, str]:
        return job_words.profile_words(self.job, self.kept)

    @property
    def took(self) -> str:
        return job_words.took(self.job)

    @property
    def url(self) -> str:
        return job_rows.job_url(self.job)

    @property
    def goes_on(self) -> bool:
        """More is to be expected, so the page asks again by itself."""
        return not self.job.is_final and not self.job.missing_since_at

    @property
    def problem(self) -> str:
        """Why what is shown may be old: its sandbox can't be read."""
        sandbox = self.job.sandbox
        if sandbox.last_error and sandbox.watched and not sandbox.organization.retired_at:
            return _("%(place)s can’t be read since %(at)s: %(why)s") % {
                "place": sandbox,
                "at": at(sandbox.failing_since_at or sandbox.last_error_at),
                "why": sandbox.last_error,
            }
        return ""

    @property
    def silence(self) -> str:
        return overview.silence([self.job.sandbox])

    # -- what can be done ---------------------------------------------------------------------------------------------

    @property
    def why_no_cancel(self) -> str:
        """Why the job can't be cancelled (by this person); empty if it can."""
        job, organization = self.job, self.job.sandbox.organization
        if job.is_final:
            ended = {
                State.SUCCEEDED: _("It has finished, so there is nothing to cancel."),
                State.FAILED: _("It has failed, so there is nothing to cancel."),
                State.CANCELLED: _("It is cancelled already."),
            }
            return ended[State(job.state)]
        if job.missing_since_at:
            return _("Adobe no longer lists it, so there is nothing to cancel.")
        if job.state == State.CANCELLING and job.cancel_asked_by:
            who = {"who": job.cancel_asked_by, "at": at(job.cancel_asked_at)}
            return _("Already being cancelled by %(who)s since %(at)s.") % who
        if job.state == State.CANCELLING:
            return _("Adobe is cancelling it already.")
        if organization.retired_at:
            return _("%s was removed from segadmin.") % organization.name
        if not self.rights.may_cancel:
            return _("Cancelling needs the role operator, approver or admin in %s.") % organization.name
        return ""

    @property
    def why_no_copy(self) -> str:
        """Why no new export can be made from it (by this person); empty if it can."""
        sandbox = self.job.sandbox
        if not self.rights.may_create:
            return _("A new export needs the role operator or admin in %s.") % sandbox.organization.name
        if sandbox.organization.retired_at:
            return _("%s was removed from segadmin.") % sandbox.organization.name
        return "" if sandbox.exports_allowed else _("%s is read-only in segadmin.") % sandbox

    # -- what happened ------------------------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> list[timeline.Node]:
        changes = list(self.job.changes.order_by("at", "pk")[:200])
        return timeline.nodes(timeline.steps(self.job, self.seen, changes))

    @cached_property
    def bar(self) -> list[timeline.Part]:
        return timeline.bar(self.job, self.seen)

    @property
    def bar_label(self) -> str:
        return ", ".join(_("%(name)s %(n)d percent") % {"name": part.name, "n": part.percent} for part in self.bar)

    @cached_property
    def shares(self) -> list[Share]:
        """Profiles by identity namespace, largest first."""
        counted = self.seen.profiles_by_namespace if self.seen else {}
        largest = max(counted.values(), default=0)
        whole = max(largest, self.job.profiles or 0) or 1
        ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        return [Share(name, number, f"{100 * number / whole:.1f}%") for name, number in ordered]

    @cached_property
    def errors(self) -> list[Told]:
        found = self.seen.errors if self.seen else []
        return [Told(error, job_facts.meaning(error)) for error in found[:ERRORS_SHOWN]]

    @property
    def may_hold_data(self) -> bool:
        """A cancel was asked, so that batches have to be looked at."""
        return self.job.cancel_result in job_words.MAY_HAVE_CANCELLED or self.job.state == State.CANCELLED

    @cached_property
    def batches(self) -> list[Batch]:
        checks: dict[str, list[Check]] = {}
        for row in self._contents:
            if row.action == Action.BATCH_CHECKED:
                told = json.loads(row.text).get("details", {})
                check = Check(row.actor_name, row.at, str(told.get("note", "")))
                checks.setdefault(str(told.get("batch", "")), []).insert(0, check)
        return [Batch(str(item), checks.get(str(item), [])) for item in self.job.batch_ids]

    # -- what was asked -----------------------------------------------------------------------------------------------

    @property
    def fields(self) -> list[str]:
        return [path.strip() for path in self.job.fields.split(",") if path.strip()]

    @cached_property
    def limits(self) -> list[str]:
        return job_facts.limits(self.seen) if self.seen else []

    @cached_property
    def events_asked(self) -> list[str]:
        return job_facts.events(self.seen) if self.seen else []

    @property
    def merge_policy_id(self) -> str:
        return (self.seen.merge_policy_id if self.seen else None) or ""

    @property
    def merge_policy(self) -> str:
        key = (self.job.sandbox_id, Name.Kind.MERGE_POLICY.value, self.merge_policy_id)
        return self._known.get(key) or self.merge_policy_id

    @property
    def estimate(self) -> str:
        """The estimate at the time of asking, and how far the result is from it."""
        number, note = job_words.profile_words(None, self.kept)
        sizes = [item.get("profiles") for item in self.kept.get("audiences", [])]
        if not note or not self.job.profiles or len(sizes) != 1 or not sizes[0]:
            return number if note else ""
        percent = 100 * (self.job.profiles - sizes[0]) / sizes[0]
        if abs(percent) < 0.05:
            return _("%s; the result is the same") % number
        direction = _("above") if percent > 0 else _("below")
        return _("%(number)s; the result is %(percent).1f %% %(direction)s it") % {
            "number": number,
            "percent": abs(percent),
            "direction": direction,
        }

    @cached_property
    def ids(self) -> list[tuple[str, str]]:
        """(what, id) of everything that Adobe's support or a colleague may ask for."""
        job, seen = self.job, self.seen
        found = [(_("Job"), job.job_id)]
        found += [(_("Batch"), str(item)) for item in job.batch_ids[:IDS_SHOWN]]
        found += [
            (_("Compute job") if name == "exportJob" else name, value)
            for name, value in (seen.compute_ids.items() if seen else ())
        ]
        found += [(_("Request at Adobe"), job.adobe_request_id), (_("Dataset"), job.dataset_id)]
        found += [(_("Audience"), str(item)) for item in job.audience_ids[:IDS_SHOWN]]
        found += [(_("Merge policy"), self.merge_policy_id)]
        found += [(_("Request here"), str(self.request.uuid) if self.request else "")]
        return [(what, value) for what, value in found if value]

    @cached_property
    def raw(self) -> str:
        return json.dumps(self.job.raw, ensure_ascii=False, indent=2)

    # -- the record ---------------------------------------------------------------------------------------------------

    @cached_property
    def _contents(self) -> list[EventContent]:
        about = Q(sandbox=self.job.sandbox, job_id=self.job.job_id)
        if self.request:
            about |= Q(request_uuid=self.request.uuid)
        return list(EventContent.objects.filter(about).order_by("-event")[:EVENTS_SHOWN])

    @cached_property
    def events(self) -> list[EventRow]:
        return [
            EventRow(
                row.event_id,
                row.at,
                row.actor_name,
                row.sentence,
                str(Outcome(row.outcome).label),
                OUTCOME_KINDS.get(row.outcome, "unknown"),
            )
            for row in self._contents
        ]
