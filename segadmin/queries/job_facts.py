"""What a job or request asked for, in words: the limits of its filter, and what Adobe's errors mean."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from segadmin.aep.types import ExportJob, JobError
from segadmin.templatetags.segadmin import at_full

# What Adobe's own words hint at -> what it means for the person who has to act. First match wins.
MEANINGS: tuple[tuple[str, Any], ...] = (
    (r"union|not\b.*\bschema|schema\b.*\bmismatch", "union"),
    (r"dataset.*(not found|does ?n[o']t exist|unknown|deleted)", "dataset"),
    (r"(segment|audience).*(not found|does ?n[o']t exist|unknown|not .*evaluated)", "audience"),
    (r"merge ?policy", "merge"),
    (r"timed? ?out|timeout", "time"),
    (r"quota|limit|too (many|large)|exceed", "limit"),
    (r"permission|forbidden|unauthori[sz]ed|access denied", "access"),
)


def meaning(error: JobError) -> str:
    """Plain words for an error, where Adobe's words allow a guess; it is said as one. Empty where they don't."""
    kind = next((kind for pattern, kind in MEANINGS if re.search(pattern, error.message, re.IGNORECASE)), "")
    return {
        "union": _(
            "Probably the dataset is not built on the union profile schema, so Adobe can’t write profiles to it."
        ),
        "dataset": _("Probably the dataset was removed, or is in another sandbox."),
        "audience": _("Probably the audience was removed, is in another sandbox, or has never been evaluated."),
        "merge": _("Probably the merge policy does not fit the audiences. Choose one when you send it again."),
        "time": _("Probably Adobe took too long. Sending it again later often works."),
        "limit": _("Probably a limit of Adobe was reached. Export fewer audiences or fields, or wait."),
        "access": _("Probably the credential may not do this. An administrator can look at its rights."),
    }.get(kind, "")


def limits(seen: ExportJob) -> list[str]:
    """Who and what is left out or added, one sentence each; a filter that says nothing gives none."""
    found = [*_membership(seen), *_window(seen.filter.get("segmentQualificationTime"))]
    if moment := seen.filter.get("fromIngestTimestamp"):
        found.append(_("only profiles changed in Adobe after %s") % when(moment))
    if seen.filter.get("emptyProfiles") is True:
        found.append(_("also people known only from events (no profile record)"))
    if seen.segment_per_batch:
        found.append(_("one batch per audience"))
    evaluation = seen.raw.get("evaluationInfo")
    if isinstance(evaluation, Mapping) and evaluation.get("segmentation") is True:
        found.append(_("Adobe evaluates the audiences first"))
    return found


def _membership(seen: ExportJob) -> list[str]:
    words = {"realized": _("in the audience"), "existing": _("still in the audience"), "exited": _("left the audience")}
    statuses = list(dict.fromkeys(status for segment in seen.segments for status in segment.statuses))
    if not statuses:
        return []
    return [_("membership: %s") % ", ".join(words.get(status, status) for status in statuses)]


def _window(value: object) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    start, end = value.get("startTime"), value.get("endTime")
    if start and end:
        return [_("only people who joined the audience between %(a)s and %(b)s") % {"a": when(start), "b": when(end)}]
    if start:
        return [_("only people who joined the audience after %s") % when(start)]
    return [_("only people who joined the audience before %s") % when(end)] if end else []


def events(seen: ExportJob) -> list[str]:
    """What the event list adds; empty where there is none."""
    listed = seen.additional_fields.get("eventList")
    if not isinstance(listed, Mapping):
        return []
    fields = listed.get("fields")
    found = [_("fields: %s") % fields if isinstance(fields, str) and fields.strip() else _("all event fields")]
    span = listed.get("filter")
    if isinstance(span, Mapping):
        if span.get("fromIngestTimestamp"):
            found.append(_("taken in by Adobe after %s") % when(span["fromIngestTimestamp"]))
        if span.get("toIngestTimestamp"):
            found.append(_("taken in by Adobe before %s") % when(span["toIngestTimestamp"]))
    return found


def when(value: object) -> str:
    """A time of a request in the person's zone; what is no time is shown as it is."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return at_full(moment) if moment.tzinfo else str(value)
