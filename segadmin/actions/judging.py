"""What one job gives reason to find. Computes only: the caller holds the row, stores and records."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from segadmin.models import Explanation, Finding, Job, Origin, State
from segadmin.queries import sentences
from segadmin.queries.explanations import What, covering, what_of

# A count this many times as large or as small as the size before, and so many profiles away, is far from it.
TIMES, APART = 2, 1000


@dataclass
class Judgement:
    """Findings that the job gives reason for, by their keys the same each time; and what it was judged as."""

    judged_as: dict[str, Any]
    explanation: Explanation | None = None
    findings: list[Finding] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


def judge(job: Job, rules: Sequence[Explanation]) -> Judgement:
    what = what_of(job.raw)
    told = Judgement(what.as_json() if what else job.judged_as)
    if job.origin == Origin.OLDER:
        return told  # history from before the connection
    if job.origin == Origin.OUTSIDE:
        told.explanation = covering(rules, what, job.sort_at) if what else None
        if told.explanation is None:
            told.findings.append(_outside(job))
    if what is not None and job.judged_as and job.judged_as != told.judged_as:
        told.findings.append(_changed(job, what))
        told.details = {"before": job.judged_as, "after": told.judged_as}
    size = _size(job)
    if size is not None:
        told.findings.append(size)
    return told


def _outside(job: Job) -> Finding:
    parts = sentences.body_parts(job.raw, job.sandbox)
    sentence = _("Job %(job)s came from outside segadmin: %(fields)s of %(people)s to dataset %(dataset)s.") % {
        "job": job.job_id,
        **parts,
    }
    return Finding(kind=Finding.Kind.OUTSIDE, job=job, key=job.job_id, sentence=sentence)


def _changed(job: Job, what: What) -> Finding:
    before = job.judged_as
    names = {
        "dataset": _("dataset"),
        "fields": _("fields"),
        "audiences": _("audiences"),
    }
    after = what.as_json()
    differing = [word for name, word in names.items() if before.get(name) != after[name]] or [_("filter")]
    sentence = _("Adobe now tells other %(what)s of job %(job)s than when it was first seen.") % {
        "what": sentences.joined(differing),
        "job": job.job_id,
    }
    digest = hashlib.sha256(repr(sorted(after.items())).encode("utf-8", "replace")).hexdigest()
    key = f"{job.job_id[:120]} {digest}"
    return Finding(kind=Finding.Kind.CHANGED, job=job, key=key, sentence=sentence)


def _size(job: Job) -> Finding | None:
    """Adobe's count, else its batch's, against the sizes that the audiences had when the export was asked for.

    Several audiences may overlap: together they are at most their sum and at least the largest. A filter can only make
    it fewer, so then only "too many" is told.
    """
    wish = job.export_request
    if wish is None or job.state != State.SUCCEEDED or job.counted is None:
        return None
    audiences = wish.names.get("audiences") if isinstance(wish.names, dict) else None
    sizes = [item.get("profiles") for item in audiences or [] if isinstance(item, dict)]
    known = [size for size in sizes if isinstance(size, int) and not isinstance(size, bool)]
    if not known or len(known) < len(sizes):
        return None
    most, least, count = sum(known), max(known), job.counted
    too_many = count > TIMES * most and count - most > APART
    too_few = count * TIMES < least and least - count > APART and not _is_narrowed(job)
    if not (too_many or too_few):
        return None
    about = _("about %s") % f"{most:,}" if len(known) == 1 else _("at most %s") % f"{most:,}"
    sentence = _("Job %(job)s exported %(count)s profiles by %(source)s; %(about)s were expected.") % {
        "job": job.job_id,
        "source": _("Adobe's count") if job.profiles is not None else _("the count of its batch"),
        "count": f"{count:,}",
        "about": about,
    }
    return Finding(kind=Finding.Kind.SIZE, job=job, key=job.job_id, sentence=sentence)


def _is_narrowed(job: Job) -> bool:
    filters = job.raw.get("filter")
    if not isinstance(filters, dict):
        return False
    segments = filters.get("segments")
    statuses = any(isinstance(item, dict) and item.get("status") for item in segments or [])
    return bool(set(filters) - {"segments", "emptyProfiles"}) or statuses
