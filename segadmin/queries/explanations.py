"""What a job exports, put so that two jobs can be compared; and which standing explanation covers which job."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from segadmin.aep.types import ExportJob
from segadmin.models import Explanation, Job, Name, Organization
from segadmin.queries import names, sentences

# Values that differ from day to day in a schedule's jobs: their presence belongs to the shape, their value does not.
_MOVING = re.compile(r"time|date|start|end|until|since", re.IGNORECASE)


@dataclass(frozen=True)
class What:
    """What a job exports. `fields` empty: all of them. `shape`: fingerprint of audiences, filter, events."""

    dataset: str
    fields: tuple[str, ...]
    audiences: tuple[str, ...]
    shape: str

    def as_json(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "fields": list(self.fields),
            "audiences": list(self.audiences),
            "shape": self.shape,
        }


def what_of(raw: Mapping[str, Any]) -> What | None:
    """None where Adobe has not told it (an answer with no more than an id)."""
    if not isinstance(raw.get("destination"), Mapping):
        return None
    seen = ExportJob.parse({"id": "job", **raw})
    segments = sorted([item.ns, item.id, *sorted(item.statuses)] for item in seen.segments)
    told = {name: value for name, value in seen.filter.items() if name != "segments"}
    shape = {"audiences": segments, "filter": _still(told), "events": _still(seen.additional_fields)}
    text = json.dumps(shape, sort_keys=True, separators=(",", ":"), default=str)
    fields = tuple(sorted({path.strip() for path in (seen.fields or "").split(",") if path.strip()}))
    audiences = tuple(sorted({item.id for item in seen.segments}))
    return What(seen.dataset_id or "", fields, audiences, hashlib.sha256(text.encode()).hexdigest())


def _still(value: Any, moving: bool = False) -> Any:
    """A filter without the values that move; lists of paths in one order."""
    if isinstance(value, Mapping):
        return {str(key): _still(item, moving or bool(_MOVING.search(str(key)))) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_still(item, moving) for item in value), key=str)
    if moving and not isinstance(value, bool):
        return "*"
    if isinstance(value, str) and "," in value:
        return sorted(part.strip() for part in value.split(","))
    return value


def covers(explanation: Explanation, what: What, made_at: datetime) -> bool:
    """Whether the explanation held when the job was made, and the job exports no more than it allows."""
    ends_at = explanation.valid_until_at
    if explanation.ended_at is not None:
        ends_at = min(ends_at, explanation.ended_at)
    return (
        explanation.valid_from_at <= made_at < ends_at
        and explanation.dataset_id == what.dataset
        and explanation.shape == what.shape
        and allows(explanation.fields, what.fields)
    )


def allows(allowed: Sequence[str], fields: Sequence[str]) -> bool:
    """One field more is too much; an empty list stands for all fields."""
    return not allowed or (bool(fields) and set(fields) <= set(allowed))


def covering(rules: Iterable[Explanation], what: What, made_at: datetime) -> Explanation | None:
    """The first that covers it, checked ones before others."""
    found = [rule for rule in rules if covers(rule, what, made_at)]
    return min(found, key=lambda rule: (rule.checked_at is None, rule.pk), default=None)


@dataclass(frozen=True)
class Row:
    """One standing explanation as pages show it."""

    rule: Explanation
    dataset: str
    audiences: str
    fields: str
    covered: int

    @property
    def word(self) -> str:
        now = timezone.now()
        if self.rule.ended_at is not None and self.rule.ended_at <= now:
            return "ended"
        if self.rule.valid_until_at <= now:
            return "expired"
        return "in force" if self.rule.checked_at else "in force, not checked"

    @property
    def kind(self) -> str:
        return {"in force": "ok", "in force, not checked": "warn"}.get(self.word, "soft")

    @property
    def is_in_force(self) -> bool:
        return self.kind != "soft"


def rows(organizations: Iterable[Organization]) -> list[Row]:
    """Newest first; explanations are few."""
    found = Explanation.objects.filter(organization__in=list(organizations)).select_related("sandbox__organization")
    return [row_of(rule) for rule in found.order_by("-set_at", "-pk")[:200]]


def row_of(rule: Explanation) -> Row:
    covered = Job.objects.filter(sandbox=rule.sandbox_id, explanation=rule)
    example = covered.order_by("-sort_at").first()
    if example is None:
        finding = rule.findings.exclude(job=None).select_related("job").order_by("pk").first()
        example = finding.job if finding else None
    ids = [str(item) for item in example.audience_ids] if example else []
    known = names.labels([(rule.sandbox_id, Name.Kind.AUDIENCE.value, item) for item in ids])
    titles = [known.get((rule.sandbox_id, Name.Kind.AUDIENCE.value, item)) or item for item in ids]
    return Row(
        rule,
        names.label(rule.sandbox_id, Name.Kind.DATASET, rule.dataset_id),
        sentences.audience_words(titles) if titles else "everyone, no audience",
        sentences.field_words(",".join(rule.fields)),
        covered.count(),
    )
