"""What happened to a job, step by step, and where its time went: words, times, and the geometry of the drawing.

All positions are SVG lengths in percent, as text, so that no locale writes them with a comma.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.aep.types import ExportJob, Span
from segadmin.models import Job, JobChange, Origin, State
from segadmin.queries.job_words import MAY_HAVE_CANCELLED
from segadmin.templatetags.segadmin import at, duration

BAR_GAP = 0.3


@dataclass(frozen=True)
class Step:
    """One thing that happened, by whom. `mark` is the node's class: empty, end, bad, ask, or todo for what is open."""

    word: str
    at: datetime | None
    who: str
    mark: str = ""


@dataclass(frozen=True)
class Node:
    """A step as it is drawn: its place, and the line to the next one."""

    step: Step
    time: str
    x: str
    next_x: str
    line: str
    between: str
    is_last: bool


@dataclass(frozen=True)
class Part:
    """A part of the bar that shows where the time went; `fill` is its class, `length` in words."""

    name: str
    length: str
    fill: str
    x: str
    width: str
    percent: int


def steps(job: Job, seen: ExportJob | None, changes: Sequence[JobChange]) -> list[Step]:
    """The steps in the order in which they happened; the last one is open while the job goes on."""
    times = seen.times if seen else {}
    found = [*_asked(job), _accepted(job), *_processing(times.get("profile_export"), changes)]
    if job.cancel_asked_at and job.cancel_asked_by:
        found.append(_cancel_asked(job))
    found += _written(job, times.get("dataset_write"))
    found.append(_end(job, changes))
    return _in_order(found)


def _in_order(found: list[Step]) -> list[Step]:
    """By time, but for the first (clocks differ by seconds) and the last."""
    first, middle, last = found[0], found[1:-1], found[-1]
    return [first, *sorted(middle, key=lambda step: step.at.timestamp() if step.at else math.inf), last]


def _asked(job: Job) -> list[Step]:
    request = job.export_request
    if request is None:
        return []
    return [Step(_("Requested"), request.sent_at or request.created_at, _("%s, after review") % request.author_name)]


def _accepted(job: Job) -> Step:
    who = _("Adobe, job %s") % job.job_id
    if job.origin in (Origin.OUTSIDE, Origin.OLDER):
        who = _("Adobe, job %s; not sent from here") % job.job_id
    if job.created_at is None:
        return Step(_("First seen"), job.first_seen_at, _("segadmin; Adobe gave no time"))
    return Step(_("Accepted"), job.created_at, who)


def _processing(export: Span | None, changes: Sequence[JobChange]) -> list[Step]:
    if export is not None and export.start_at is not None:
        return [Step(_("Processing"), export.start_at, _("Adobe"))]
    seen = next((change.at for change in changes if change.to_state == State.RUNNING), None)
    if seen is not None:
        return [Step(_("Processing"), seen, _("Adobe, seen by segadmin then"))]
    return []


def _cancel_asked(job: Job) -> Step:
    mark = "" if job.is_final else "ask"
    reason = f": {job.cancel_reason}" if job.cancel_reason else ""
    refused = _(" (Adobe refused)") if job.cancel_result == "refused" else ""
    return Step(_("Cancel asked"), job.cancel_asked_at, f"{job.cancel_asked_by}{reason}{refused}", mark)


def _written(job: Job, write: Span | None) -> list[Step]:
    if write is None or write.end_at is None:
        return []
    batches = len(job.batch_ids)
    who = ngettext("Adobe, %d batch", "Adobe, %d batches", batches) % batches if batches else _("Adobe")
    return [Step(_("Written"), write.end_at, who)]


def _end(job: Job, changes: Sequence[JobChange]) -> Step:
    seen = next((change.at for change in reversed(changes) if change.to_state == job.state), job.changed_at)
    if job.missing_since_at is not None and not job.is_final:
        return Step(
            _("No longer listed"), job.missing_since_at, _("seen by segadmin; how it ended is not known"), "ask"
        )
    if job.is_final:
        word, mark = {
            State.SUCCEEDED: (_("Finished"), "end"),
            State.FAILED: (_("Failed"), "bad"),
            State.CANCELLED: (_("Cancelled"), ""),
        }[State(job.state)]
        return Step(word, job.ended_at or seen, _("seen by segadmin %s") % at(seen), mark)
    if job.state == State.CANCELLING and job.cancel_result in MAY_HAVE_CANCELLED and job.cancel_until_at:
        who = _("may still finish; told as late after %s") % at(job.cancel_until_at)
        return Step(_("Not ended yet"), None, who, "todo")
    return Step(_("Not ended yet"), None, _("segadmin goes on asking Adobe"), "todo")


def nodes(found: Sequence[Step]) -> list[Node]:
    """Evenly spaced, with the time between two steps over the line where both are known."""
    space = 100 / len(found)
    drawn = []
    day: date | None = None
    for index, step in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        between = ""
        if following and step.at and following.at and following.at >= step.at:
            between = duration(following.at - step.at)
        drawn.append(
            Node(
                step=step,
                time=_time(step.at, day),
                x=_percent(index * space),
                next_x=_percent((index + 1) * space),
                line="dash" if following and following.mark == "todo" else "on",
                between=between,
                is_last=following is None,
            )
        )
        day = timezone.localtime(step.at).date() if step.at else day
    return drawn


def _time(moment: datetime | None, day: date | None) -> str:
    """With seconds, and with the day where it is another than that of the step before."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    return date_format(local, "H:i:s" if local.date() == day else "j F H:i:s")


def bar(job: Job, seen: ExportJob | None) -> list[Part]:
    """Waiting, exporting and writing as parts of the whole; empty where Adobe's numbers don't give them."""
    times = seen.times if seen else {}
    total, export, write = (times.get(name) for name in ("total", "profile_export", "dataset_write"))
    if not job.is_final or total is None or not total.milliseconds or export is None or export.milliseconds is None:
        return []
    writing = write.milliseconds if write and write.milliseconds else 0
    rest = total.milliseconds - export.milliseconds - writing
    if rest < 0:  # Adobe measured the parts side by side, so they are no shares of the whole
        return []
    parts = [(_("waiting"), rest, "f3"), (_("exporting"), export.milliseconds, "f1"), (_("writing"), writing, "f2")]
    return _parts([part for part in parts if part[1]], total.milliseconds)


def _parts(named: Sequence[tuple[str, int, str]], whole: int) -> list[Part]:
    drawn, start = [], 0.0
    for name, length, fill in named:
        share = 100 * length / whole
        drawn.append(
            Part(
                name=name,
                length=duration(timedelta(milliseconds=length)),
                fill=fill,
                x=_percent(start),
                width=_percent(max(0.1, share - BAR_GAP)),
                percent=round(share),
            )
        )
        start += share
    return drawn


def _percent(number: float) -> str:
    return f"{number:.1f}%"
