"""Which exports are unusual, by the rules of an org: many profiles, an odd hour, personal data new to a place or person.

Computed from the register as it stood before the export. Reads only; the caller stores and records.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, QuerySet
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from segadmin.models import (
    Action,
    Category,
    DataLeft,
    EventContent,
    ExportOutcome,
    Finding,
    Job,
    Organization,
    Origin,
    ProfileSource,
    RegisterEntry,
    State,
    UnusualRule,
)
from segadmin.queries import sentences

Kind = UnusualRule.Kind
KINDS: tuple[str, ...] = tuple(Kind.values)
# Which kind -> (on, values) where an org has set nothing. Hours can't be guessed: that rule waits for somebody to say them.
BUILT_IN: dict[str, tuple[bool, dict[str, Any]]] = {
    Kind.MANY: (True, {"times": 5, "most": 1_000_000}),
    Kind.HOUR: (False, {"from_hour": 7, "to_hour": 20, "days": "12345", "zone": "UTC"}),
    Kind.NEW_DATA: (True, {}),
    Kind.FIRST: (True, {}),
}
# "Usual" is the middle of the last so many counts, told from at least so many; fewer profiles apart are never far.
LAST, LEAST, APART = 20, 3, 1000
# What is new says nothing while nearly everything is: the org needs so many earlier exports in the register.
ENOUGH = 10
LOOK_BACK = timedelta(days=400)


@dataclass(frozen=True)
class Rule:
    """One kind in an org, as it holds now; `set_at` None: built in."""

    kind: str
    on: bool
    values: Mapping[str, Any]
    set_by: str = ""
    set_at: datetime | None = None

    @property
    def words(self) -> str:
        """What it looks for, in one sentence without its end."""
        return _words(self)


@dataclass(frozen=True)
class Unusual:
    """One export that a rule speaks of."""

    kind: str
    sentence: str
    details: dict[str, Any] = field(default_factory=dict)


def rules(organization: Organization) -> dict[str, Rule]:
    """Kind -> the rule in force, for every kind."""
    rows = {row.kind: row for row in UnusualRule.objects.filter(organization=organization)}
    found = {}
    for kind in KINDS:
        row, (on, values) = rows.get(kind), BUILT_IN[kind]
        if row is None:
            found[kind] = Rule(kind, on, values)
        else:
            found[kind] = Rule(kind, row.on, {**values, **row.values}, row.set_by, row.set_at)
    return found


def clock_hour(hour: int) -> str:
    return f"{hour:02d}:00"


def day_words(days: str) -> str:
    """ "Monday to Friday", or the days one by one; "12345" counts from Monday."""
    names = [_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"), _("Sunday")]
    chosen = [int(day) for day in sorted(days)]
    if len(chosen) > 2 and chosen == list(range(chosen[0], chosen[-1] + 1)):
        return _("%(first)s to %(last)s") % {"first": names[chosen[0] - 1], "last": names[chosen[-1] - 1]}
    return sentences.joined([names[day - 1] for day in chosen])


def _words(rule: Rule) -> str:
    values = rule.values
    if rule.kind == Kind.MANY:
        usual = _("more than %(times)s times what is usual for the person or the audiences") % {
            "times": values["times"]
        }
        most = values.get("most")
        return usual if most is None else _("%(usual)s, or more than %(most)s") % {"usual": usual, "most": f"{most:,}"}
    if rule.kind == Kind.HOUR:
        return _("started outside %(days)s, %(first)s to %(last)s, %(zone)s") % {
            "days": day_words(str(values["days"])),
            "first": clock_hour(values["from_hour"]),
            "last": clock_hour(values["to_hour"]),
            "zone": values["zone"],
        }
    if rule.kind == Kind.NEW_DATA:
        return _("a kind of personal data that no earlier export took to this dataset, or to this recipient")
    return _("a kind of personal data that this person never exported before, or the person’s first export")


# -- one export --------------------------------------------------------------------------------------------------------


def look(job: Job, entry: RegisterEntry | None, in_force: Mapping[str, Rule]) -> list[Unusual]:
    """What the rules say of this export; nothing of jobs from before the connection, or that are explained."""
    if entry is None or job.origin not in (Origin.HERE, Origin.OUTSIDE) or job.explanation is not None:
        return []
    checks = {Kind.MANY: _many, Kind.HOUR: _hour, Kind.NEW_DATA: _new_data, Kind.FIRST: _first}
    found = []
    for kind, check in checks.items():
        rule = in_force[kind]
        # A rule speaks of exports made since it holds, and not of earlier ones that Adobe happens to tell anew.
        if rule.on and (rule.set_at is None or entry.sort_at >= rule.set_at):
            told = check(job, entry, rule.values)
            found += [told] if told else []
    return found


def _before(entry: RegisterEntry) -> QuerySet[RegisterEntry]:
    """Earlier exports of the org whose data left, or may have."""
    rows = RegisterEntry.objects.filter(
        organization=entry.organization_id, sort_at__lt=entry.sort_at, sort_at__gte=entry.sort_at - LOOK_BACK
    )
    return rows.exclude(pk=entry.pk).exclude(data_left=DataLeft.NO).exclude(outcome=ExportOutcome.MERGED)


def _usual(rows: QuerySet[RegisterEntry]) -> int | None:
    counted = rows.filter(
        profile_source__in=[ProfileSource.ADOBE, ProfileSource.BATCH], outcome=ExportOutcome.SUCCEEDED
    )
    told = counted.order_by("-sort_at", "-pk").values_list("profiles", flat=True)[:LAST]
    numbers = [number for number in told if number is not None]
    return round(statistics.median(numbers)) if len(numbers) >= LEAST else None


def _many(job: Job, entry: RegisterEntry, values: Mapping[str, Any]) -> Unusual | None:
    count = job.counted
    if job.state != State.SUCCEEDED or count is None:
        return None
    reasons, details = [], {"profiles": count}
    before = _before(entry)
    mine = _usual(before.filter(person=entry.person)) if entry.person else None
    theirs = _usual(before.filter(sandbox=entry.sandbox_id, audience_words=entry.audience_words))
    if mine is not None and _is_far(count, mine, values["times"]):
        reasons.append(_("%(person)s usually exports about %(usual)s") % {"person": entry.person, "usual": f"{mine:,}"})
        details["usual_of_person"] = mine
    if theirs is not None and _is_far(count, theirs, values["times"]):
        whom = _("exports of these audiences") if entry.audience_ids else _("exports of everyone")
        reasons.append(_("%(whom)s usually hold about %(usual)s") % {"whom": whom, "usual": f"{theirs:,}"})
        details["usual_of_audiences"] = theirs
    if values.get("most") is not None and count > values["most"]:
        reasons.append(_("more than %(most)s is always told") % {"most": f"{values['most']:,}"})
        details["most"] = values["most"]
    if not reasons:
        return None
    told = {"job": job.job_id, "count": f"{count:,}", "why": sentences.joined(reasons)}
    return Unusual(Kind.MANY, _("Job %(job)s exported %(count)s profiles; %(why)s.") % told, details)


def _is_far(count: int, usual: int, times: int) -> bool:
    return count > times * usual and count - usual > APART


def _hour(job: Job, entry: RegisterEntry, values: Mapping[str, Any]) -> Unusual | None:
    moment = entry.sent_at or job.created_at or job.sort_at
    local = moment.astimezone(ZoneInfo(str(values["zone"])))
    first, last = int(values["from_hour"]), int(values["to_hour"])
    within = first <= local.hour < last if first <= last else (local.hour >= first or local.hour < last)
    if within and str(local.isoweekday()) in str(values["days"]):
        return None
    when = _("%(when)s (%(zone)s)") % {"when": date_format(local, "l j F, H:i"), "zone": values["zone"]}
    who = entry.person or _("somebody outside segadmin")
    sentence = _("Job %(job)s was started by %(who)s on %(when)s, outside the working hours that are set here.") % {
        "job": job.job_id,
        "who": who,
        "when": when,
    }
    return Unusual(Kind.HOUR, sentence, {"started": moment.astimezone(UTC).isoformat(), "hours": dict(values)})


def _categories(entry: RegisterEntry) -> list[str]:
    return [str(item) for item in [*entry.pii_certain, *entry.pii_possible]]


def _unknown_in(rows: QuerySet[RegisterEntry], kinds: Sequence[str]) -> list[str]:
    """Those of the kinds that none of the rows holds, surely or possibly; one query."""
    if not kinds:
        return []
    counts = {
        f"n{number}": Count("pk", filter=Q(pii_words__contains=f"|{kind}|") | Q(pii_words__contains=f"|?{kind}|"))
        for number, kind in enumerate(kinds)
    }
    found = rows.order_by().aggregate(**counts)
    return [kind for number, kind in enumerate(kinds) if not found[f"n{number}"]]


def _are_enough(rows: QuerySet[RegisterEntry]) -> bool:
    return len(rows.order_by().values_list("pk")[:ENOUGH]) == ENOUGH


def kind_words(kinds: Iterable[str]) -> str:
    """ "e-mail and phone"; at most four are spelled out."""
    words = [str(Category(kind).label) if kind in Category.values else kind for kind in kinds]
    if len(words) > 4:
        words = [*words[:3], _("%d more kinds of personal data") % (len(words) - 3)]
    return sentences.joined(words)


def _new_data(job: Job, entry: RegisterEntry, _values: Mapping[str, Any]) -> Unusual | None:
    kinds, before = _categories(entry), _before(entry)
    if not kinds or not _are_enough(before):
        return None
    fresh: dict[str, list[str]] = {}
    for place, rows in _places(entry, before):
        if unknown := _unknown_in(rows, kinds):
            fresh[place] = unknown
    if not fresh:
        return None
    parts = [
        _("%(kinds)s to %(place)s") % {"kinds": kind_words(unknown), "place": place} for place, unknown in fresh.items()
    ]
    told = {"job": job.job_id, "what": sentences.joined(parts)}
    sentence = _("Job %(job)s takes %(what)s, which no earlier export did.") % told
    return Unusual(Kind.NEW_DATA, sentence, {"new": fresh})


def _places(entry: RegisterEntry, before: QuerySet[RegisterEntry]) -> Iterator[tuple[str, QuerySet[RegisterEntry]]]:
    dataset = _("dataset “%(name)s”") % {"name": entry.dataset_name or entry.dataset_id}
    yield dataset, before.filter(sandbox=entry.sandbox_id, dataset_id=entry.dataset_id)
    if entry.recipient:
        yield _("recipient “%(name)s”") % {"name": entry.recipient}, before.filter(recipient=entry.recipient)


def _first(job: Job, entry: RegisterEntry, _values: Mapping[str, Any]) -> Unusual | None:
    # Of jobs from outside, and of all before the connection, Adobe names nobody: they say nothing about persons.
    known = _before(entry).exclude(person="")
    if not entry.person or not _are_enough(known):
        return None
    mine = known.filter(person=entry.person)
    told = {"job": job.job_id, "person": entry.person}
    if not mine.exists():
        sentence = _("Job %(job)s is the first export of %(person)s in this organization.") % told
        return Unusual(Kind.FIRST, sentence, {"person": entry.person, "first_of_all": True})
    fresh = _unknown_in(mine, _categories(entry))
    if not fresh:
        return None
    sentence = _("With job %(job)s %(person)s exports %(kinds)s for the first time.") % {
        **told,
        "kinds": kind_words(fresh),
    }
    return Unusual(Kind.FIRST, sentence, {"person": entry.person, "first_with": fresh})


def finding_of(job: Job, told: Unusual) -> Finding:
    """Not stored. One for each job and kind, whatever is read of the job later."""
    return Finding(kind=told.kind, job=job, key=job.job_id, sentence=told.sentence)


# -- what the page of the rules shows ----------------------------------------------------------------------------------

CHANGES_SHOWN = 20


def changes(organization: Organization) -> list[EventContent]:
    """The last changes of the rules, and mails about what they found, newest first."""
    actions = (Action.UNUSUAL_RULES, Action.UNUSUAL_TOLD)
    rows = EventContent.objects.filter(organization=organization, action__in=actions)
    return list(rows.order_by("-event_id")[:CHANGES_SHOWN])


def open_findings(organization: Organization) -> dict[str, int]:
    """Kind -> open findings."""
    rows = Finding.objects.filter(organization=organization, kind__in=KINDS, state=Finding.State.OPEN)
    return dict(rows.order_by().values_list("kind").annotate(Count("pk")))


@dataclass(frozen=True)
class Row:
    """One rule with what it found."""

    rule: Rule
    open: int

    @property
    def label(self) -> str:
        return str(Kind(self.rule.kind).label)


def rows(organization: Organization) -> list[Row]:
    found = open_findings(organization)
    return [Row(rule, found.get(kind, 0)) for kind, rule in rules(organization).items()]
