"""Where something went, and which exports an erasure has to follow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from segadmin.models import Amendment, DataLeft, RegisterEntry
from segadmin.queries import answers_sums as sums
from segadmin.queries import register
from segadmin.queries.answers import GONE, GONE_OR_GOING, Facts, Lead, Sums, chunks
from segadmin.queries.register import EXACTLY, Filters
from segadmin.queries.search import Term
from segadmin.queries.terms import fold

NAMED, EVERYONE = "named", "everyone"
MAY_CONTAIN, NOT_EXCLUDED, DOES_NOT = "may_contain", "cannot_be_excluded", "does_not"
VERDICTS = (MAY_CONTAIN, NOT_EXCLUDED, DOES_NOT)


def verdict_word(verdict: str) -> str:
    return {
        MAY_CONTAIN: _("May contain them"),
        NOT_EXCLUDED: _("Cannot be excluded"),
        DOES_NOT: _("Does not"),
    }[verdict]


@dataclass
class Goal:
    """One place that data went to: a dataset, and a recipient as stated. `before`: recipients as first stated."""

    how: str
    dataset_id: str
    dataset: str
    recipient: str
    url: str = ""
    before: set[str] = field(default_factory=set)
    sums: Sums = field(default_factory=Sums)


@dataclass(frozen=True)
class Found:
    """One export of an answer; `first` is the recipient before its first correction, None where it was not corrected."""

    how: str
    facts: Facts
    first: str | None


def _first_recipients(rows: Sequence[Facts]) -> dict[int, str]:
    amended = [row.pk for row in rows if row.amended]
    if not amended:
        return {}
    changes = Amendment.objects.filter(entry__in=amended, field="recipient").order_by("-pk")
    return dict(changes.values_list("entry_id", "old"))


# -- where it went ----------------------------------------------------------------------------------------------------


def parts(filters: Filters) -> list[tuple[str, Filters]]:
    """What has to be read: exports of what was named, and those of everyone, who held any audience too."""
    left = [word for word in GONE_OR_GOING if not filters.get("left") or word in filters["left"]]
    # Nothing may have left of what was asked for: a word that no row has.
    named: Filters = {**filters, "left": left or ["nothing"]}
    found = [(NAMED, named)]
    audience = filters.get("audience")
    if audience and audience != EXACTLY:
        found.append((EVERYONE, {**named, "audience": EXACTLY}))
    return found


def where(organizations: Sequence[int], filters: Filters) -> Iterator[Found]:
    """Exports that took it away, or may have, or may still; those that named it first."""
    for how, narrowed in parts(filters):
        for chunk in chunks(register.matching(organizations, narrowed)):
            first = _first_recipients(chunk)
            for row in chunk:
                yield Found(how, row, first.get(row.pk))


def goals(organizations: Sequence[int], filters: Filters, lead: Lead) -> list[Goal]:
    """Places by number of exports; each number leads to its rows."""
    found: list[Goal] = []
    for how, narrowed in parts(filters):
        rows = register.matching(organizations, narrowed)
        before = _before(rows)
        for (dataset_id, label), (recipient,), added in sums.by_datasets(rows, "recipient"):
            goal = Goal(
                how, dataset_id, label, recipient, before=before.get((dataset_id, recipient), set()), sums=added
            )
            values: dict[str, str | list[str]] = {"left": list(narrowed["left"])}
            values |= {"dataset": f"{EXACTLY}{goal.dataset_id}", "recipient": f"{EXACTLY}{goal.recipient}"}
            if how == EVERYONE:
                values["audience_instead"] = EXACTLY
            goal.url = lead(**values)
            found.append(goal)
    return sorted(found, key=lambda goal: (goal.how == EVERYONE, -goal.sums.exports, goal.dataset, goal.recipient))


def _before(rows: "QuerySet[RegisterEntry]") -> dict[tuple[str, str], set[str]]:
    """Dataset and recipient -> recipients as first stated, of rows that were corrected."""
    found: dict[tuple[str, str], set[str]] = {}
    for chunk in chunks(rows.filter(amended__gt=0)):
        first = _first_recipients(chunk)
        for row in chunk:
            if row.pk in first and first[row.pk] != row.recipient:
                found.setdefault((row.dataset_id, row.recipient), set()).add(first[row.pk])
    return found


# -- erasure ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """One reason for a verdict. `terms` are what it adds to the register's query line."""

    verdict: str
    reason: str
    condition: Q
    terms: tuple[Term, ...]


def rules(audiences: Sequence[str]) -> list[Rule]:
    """Together they cover every row once. `audiences`: ids, or parts of names."""
    theirs = Q(pk__in=[])
    for word in audiences:
        theirs |= register.of_audience(word).condition
    of_all = register.of_audience(EXACTLY).condition
    these, everyone = Term("audience", tuple(audiences)), Term("audience", (EXACTLY,))
    others = Term("audience", (*audiences, EXACTLY), excluded=True)
    left, going, nothing = Q(data_left__in=GONE), Q(data_left=DataLeft.NOT_YET), Q(data_left=DataLeft.NO)
    return [
        Rule(
            MAY_CONTAIN,
            _("of one of these audiences, and data left or may have"),
            theirs & left,
            (these, Term("left", GONE)),
        ),
        Rule(
            NOT_EXCLUDED,
            _("of everyone, or of an audience that is not on record"),
            of_all & ~nothing,
            (everyone, Term("left", GONE_OR_GOING)),
        ),
        Rule(
            NOT_EXCLUDED,
            _("of one of these audiences; whether data leaves is not known yet"),
            theirs & going,
            (these, Term("left", (DataLeft.NOT_YET.value,))),
        ),
        Rule(
            DOES_NOT,
            _("no data left: refused, never sent, empty, or ended before"),
            nothing,
            (Term("left", (DataLeft.NO.value,)),),
        ),
        Rule(DOES_NOT, _("of other audiences"), ~theirs & ~of_all & ~nothing, (others, Term("left", GONE_OR_GOING))),
    ]


@dataclass
class Counted:
    """One rule with what it found."""

    rule: Rule
    url: str
    sums: Sums


@dataclass(frozen=True)
class Told:
    """Exports to one recipient under one rule. `url` leads to exactly their rows, empty where no address says so."""

    rule: Rule
    exports: int
    url: str


@dataclass
class Recipient:
    """Whom to tell (article 19 of the GDPR): a recipient as stated, empty where none was."""

    name: str
    datasets: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of the datasets."""
        return sorted(self.datasets)

    @property
    def may_contain(self) -> int:
        return self._exports(MAY_CONTAIN)

    @property
    def not_excluded(self) -> int:
        return self._exports(NOT_EXCLUDED)

    def _exports(self, verdict: str) -> int:
        return sum(one.exports for one in self.told if one.rule.verdict == verdict)

    @property
    def columns(self) -> list[tuple[str, int, list[Told]]]:
        """(verdict, exports, those of each of its rules) of the verdicts that make them somebody to tell."""
        verdicts = (MAY_CONTAIN, NOT_EXCLUDED)
        return [
            (word, self._exports(word), [one for one in self.told if one.rule.verdict == word]) for word in verdicts
        ]


@dataclass
class Trace:
    counted: list[Counted]
    recipients: list[Recipient]
    audiences: dict[str, str]
    unmatched: list[str]

    def total(self, verdict: str) -> int:
        return sum(item.sums.exports for item in self.counted if item.rule.verdict == verdict)

    @property
    def exports(self) -> int:
        return sum(item.sums.exports for item in self.counted)

    @property
    def verdicts(self) -> list[tuple[str, str, int, list[Counted]]]:
        """(verdict, in words, exports, its reasons)."""
        return [
            (one, verdict_word(one), self.total(one), [item for item in self.counted if item.rule.verdict == one])
            for one in VERDICTS
        ]


def traced(organizations: Sequence[int], filters: Filters, rule: Rule) -> Iterator[Found]:
    """Rows of one rule."""
    for chunk in chunks(register.matching(organizations, filters).filter(rule.condition)):
        first = _first_recipients(chunk)
        for row in chunk:
            yield Found(rule.verdict, row, first.get(row.pk))


def trace(organizations: Sequence[int], filters: Filters, audiences: Sequence[str], lead: Lead) -> Trace:
    """Every export in the scope and period, each under one rule."""
    filters = register.resolved(filters)
    counted, recipients, met = [], dict[str, Recipient](), dict[str, str]()
    for rule in rules(audiences):
        rows = register.matching(organizations, filters).filter(rule.condition)
        counted.append(Counted(rule, lead(terms=rule.terms), sums.total(rows)))
        if rule.verdict == DOES_NOT:
            continue
        _tell(rows, rule, recipients, lead)
        for named, _more, _added in sums.by_audiences(rows):
            for key, label in named:
                if _is_one({"id": key, "name": label}, audiences) and (label != key or key not in met):
                    met[key] = label
    order = sorted(recipients.values(), key=lambda one: (not one.name, -one.may_contain, one.name.lower()))
    return Trace(counted, order, met, [word for word in audiences if not _is_met(organizations, filters, word)])


def _tell(rows: "QuerySet[RegisterEntry]", rule: Rule, recipients: dict[str, Recipient], lead: Lead) -> None:
    """Whom to tell of these rows."""
    exports: dict[str, int] = {}
    for (name, dataset_id, recipient), _pk, added in sums.grouped(rows, "dataset_name", "dataset_id", "recipient"):
        to = recipients.setdefault(recipient, Recipient(recipient))
        to.datasets.add(name or dataset_id or _("dataset not told"))
        exports[recipient] = exports.get(recipient, 0) + added.exports
    for recipient, number in exports.items():
        url = lead(terms=rule.terms, recipient=f"{EXACTLY}{recipient}")
        recipients[recipient].told.append(Told(rule, number, url))
    for (_dataset, recipient), first in _before(rows).items():
        recipients[recipient].before |= first - {""}


def _is_one(audience: dict[str, str], wanted: Sequence[str]) -> bool:
    words = fold(f"|{audience.get('name', '')}|{audience['id']}|")
    return any(fold(f"|{word[1:]}|" if word.startswith(EXACTLY) else word) in words for word in wanted)


def _is_met(organizations: Sequence[int], filters: Filters, word: str) -> bool:
    return register.matching(organizations, filters).filter(register.of_audience(word).condition).exists()
