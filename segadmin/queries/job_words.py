"""The words for a job's or a request's state. One place, so that list, page, cancel and summary say the same."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.models import Attempt, ExportRequest, Job, RequestState, Settlement, State
from segadmin.templatetags.segadmin import at, duration

# The same export must have ended so often before segadmin says how long it usually takes.
ENOUGH_FOR_USUAL = 3
USUAL_FROM_LAST = timedelta(days=90)
# A cancel that Adobe may have taken up; "refused" and "gone" are not.
MAY_HAVE_CANCELLED = frozenset({"asked", "acknowledged", "unknown", "late"})


@dataclass(frozen=True)
class Words:
    """A state as pages draw it: what it is, its shape (a kind of `state_mark`), what qualifies it.

    `alarm` is a bold beginning of the second line, for what a person must not miss.
    """

    word: str
    kind: str
    detail: str = ""
    alarm: str = ""

    @property
    def text(self) -> str:
        return ", ".join(part for part in (self.word, self.alarm, self.detail) if part)

    @property
    def second(self) -> str:
        """The second line, with the alarm in bold."""
        return format_html("<strong>{}</strong>: {}", self.alarm, self.detail) if self.alarm else self.detail


@dataclass(frozen=True)
class Usual:
    """How long an export of the same data took in most of its last runs."""

    low: timedelta
    high: timedelta

    def __str__(self) -> str:
        low, high = self.low.total_seconds(), self.high.total_seconds()
        if high < 120:
            unit, numbers = _("s"), (round(low), round(high))
        elif high < 7200:
            unit, numbers = _("min"), (max(1, round(low / 60)), round(high / 60))
        else:
            unit, numbers = _("h"), (max(1, round(low / 3600)), round(high / 3600))
        if numbers[0] == numbers[1]:
            return _("usually about %(n)d %(unit)s") % {"n": numbers[0], "unit": unit}
        return _("usually %(low)d to %(high)d %(unit)s") % {"low": numbers[0], "high": numbers[1], "unit": unit}


def usual_times(pairs: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Usual]:
    """(sandbox pk, fingerprint) -> how long such exports usually take; only where enough of them ended."""
    wanted = {pair for pair in pairs if pair[1]}
    if not wanted:
        return {}
    rows = (
        Job.objects.filter(
            sandbox_id__in={pk for pk, _print in wanted},
            fingerprint__in={fingerprint for _pk, fingerprint in wanted},
            first_seen_at__gt=timezone.now() - USUAL_FROM_LAST,
            state=State.SUCCEEDED,
            created_at__isnull=False,
            ended_at__isnull=False,
        )
        .order_by("-first_seen_at")
        .values_list("sandbox_id", "fingerprint", "created_at", "ended_at")[:500]
    )
    taken: dict[tuple[int, str], list[timedelta]] = {}
    for pk, fingerprint, created_at, ended_at in rows:
        if created_at and ended_at and ended_at >= created_at and (pk, fingerprint) in wanted:
            taken.setdefault((pk, fingerprint), []).append(ended_at - created_at)
    return {key: _usual(lengths) for key, lengths in taken.items() if len(lengths) >= ENOUGH_FOR_USUAL}


def _usual(lengths: list[timedelta]) -> Usual:
    """The middle eight tenths, nearest rank; of few runs, all of them."""
    ordered = sorted(lengths)
    cut = len(ordered) // 10
    return Usual(ordered[cut], ordered[len(ordered) - 1 - cut])


def job_words(job: Job, *, usual: Usual | None = None, wrote: object = None, exported: object = None) -> Words:
    """The state of a job in words.

    `wrote` and `exported` are the beginnings of writing and exporting in Adobe's metrics, None where it gives none.
    """
    if job.missing_since_at is not None:
        return _missing(job)
    if job.state in (State.WAITING, State.RUNNING):
        return _live(job, usual)
    if job.state == State.CANCELLING:
        return _cancelling(job)
    if job.state == State.SUCCEEDED:
        return _succeeded(job)
    if job.state == State.FAILED:
        return Words(_("Failed"), "failed", _written(job, wrote, exported))
    if job.state == State.CANCELLED:
        return Words(_("Cancelled"), "cancelled", _cancelled_by(job))
    word = _("Adobe says %s") % job.status if job.status else _("Adobe gave no state")
    return Words(word, "unknown", _("segadmin doesn’t know this state; not counted as finished"))


def _asked(job: Job) -> dict[str, str]:
    return {"who": job.cancel_asked_by, "at": at(job.cancel_asked_at)}


def _missing(job: Job) -> Words:
    last = State(job.state).label if job.is_final else job.status or _("not known")
    detail = _("since %(at)s · last seen: %(state)s") % {"at": at(job.missing_since_at), "state": last}
    if job.cancel_asked_by and not job.is_final:
        detail += " · " + _("%s had asked to cancel it") % job.cancel_asked_by
    return Words(_("Adobe no longer lists it"), "missing", detail)


def _live(job: Job, usual: Usual | None) -> Words:
    word = str(State(job.state).label)
    parts = [_("since %s") % at(job.sort_at), str(usual) if usual else ""]
    if job.cancel_result == "refused":
        parts = [_("Adobe refused to cancel it"), *parts[1:]]
    elif job.cancel_result == "late":
        word = _("Not cancelled yet, though %(who)s asked %(at)s") % _asked(job)
        return Words(word, "warn", _("Adobe took longer than the time limit; it may still finish"))
    return Words(word, str(job.state), " · ".join(part for part in parts if part))


def _cancelling(job: Job) -> Words:
    if not job.cancel_asked_by:
        return Words(_("Being cancelled at Adobe"), "cancelling", _("not asked here, person not known"))
    word = _("Cancel asked by %(who)s %(at)s") % _asked(job)
    detail = _("Adobe has not confirmed yet")
    if job.cancel_result == "unknown":
        detail = _("Adobe’s answer was lost; segadmin goes on looking")
    elif job.cancel_result == "acknowledged":
        detail = _("Adobe has taken note; it has not ended yet")
    return Words(word, "cancelling", detail)


def _succeeded(job: Job) -> Words:
    if job.cancel_result in MAY_HAVE_CANCELLED:
        word = _("Finished although %s asked to cancel it") % job.cancel_asked_by
        return Words(word, "succeeded", _("the data is in the dataset"))
    if job.is_empty:
        return Words(_("Finished, but empty"), "empty", _("the audience may not have been evaluated"))
    if job.remarks:
        detail = ngettext("%d remark", "%d remarks", job.remarks) % job.remarks
        return Words(_("Finished, with remarks from Adobe"), "remarks", detail)
    return Words(_("Finished"), "succeeded")


def _written(job: Job, wrote: object, exported: object) -> str:
    """Whether a failed job left data: said only as far as Adobe's own numbers carry it."""
    if wrote is not None or job.profiles:
        return _("data may have been written")
    if exported is None and not job.batch_ids:
        return _("nothing was written")
    return _("not known whether data was written")


def _cancelled_by(job: Job) -> str:
    if not job.cancel_asked_by:
        return _("not asked here, person not known")
    who = _("by %(who)s %(at)s") % _asked(job)
    return f"{who}: {job.cancel_reason}" if job.cancel_reason else who


def request_words(export_request: ExportRequest, attempt: Attempt | None) -> Words:
    """The state of a request that has no job (yet)."""
    if export_request.state == RequestState.SENDING:
        return Words(_("Being sent to Adobe"), "sending", _("waiting for Adobe’s answer"))
    if export_request.state == RequestState.UNKNOWN:
        return _lost(attempt)
    if export_request.state == RequestState.RELEASED:
        return Words(_("Not found at Adobe"), "warn", _("it may be sent again"))
    word = str(RequestState(export_request.state).label)
    return Words(word[:1].upper() + word[1:], "withdrawn")


def _lost(attempt: Attempt | None) -> Words:
    word, alarm = _("Sent, but Adobe’s answer was lost"), _("Please don’t send it again yet")
    if attempt is not None and attempt.settlement == Settlement.PERSON:
        return Words(word, "lost", _("several jobs may be it; somebody has to say which"), alarm)
    if attempt is not None and attempt.look_until_at is not None:
        if attempt.look_until_at < timezone.now():
            return Words(word, "lost", _("looking for it until Adobe’s list has been read again"), alarm)
        return Words(word, "lost", _("looking for it until %s") % at(attempt.look_until_at), alarm)
    return Words(word, "lost", _("looking for it"), alarm)


def took(job: Job) -> str:
    """How long a job that has ended took, by Adobe's times; empty while it goes on or where Adobe gave no times."""
    if not job.is_final or job.ended_at is None or job.created_at is None or job.ended_at < job.created_at:
        return ""
    return duration(job.ended_at - job.created_at)


def profile_words(job: Job | None, kept: Mapping[str, Any]) -> tuple[str, str]:
    """Number of profiles and what kind of number it is: Adobe's count, its batch's, an estimate, or not known."""
    if job is not None and job.profiles is not None:
        return f"{job.profiles:,}", ""
    if job is not None and job.batch_records is not None:
        return f"{job.batch_records:,}", _("count of the batch")
    if job is not None and job.is_final:
        return _("not reported"), ""
    sizes = [item.get("profiles") for item in kept.get("audiences", []) if isinstance(item, Mapping)]
    known = [size for size in sizes if isinstance(size, int)]
    if not known or len(known) < len(sizes):
        return _("not known yet"), ""
    if len(known) == 1:
        return _("about %s") % f"{known[0]:,}", _("estimated")
    return _("at most %s") % f"{sum(known):,}", _("estimated")
