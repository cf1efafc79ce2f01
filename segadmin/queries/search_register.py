"""A query line as a condition on rows of the register; the record looks for exports by the same."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence

from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext as _

from segadmin.models import Category, DataLeft, ExportOutcome, Organization, Origin, RegisterEntry, Sandbox
from segadmin.queries import register, search, terms
from segadmin.queries.search import TEXT, Line, Malformed, Term
from segadmin.queries.terms import CERTAIN_ANY, POSSIBLE_ONLY, Found, both, either, neither

# What may be typed -> what is meant. The names that are meant are those that are offered.
QUALIFIERS = {
    "actor": "actor",
    "person": "actor",
    "by": "actor",
    "org": "org",
    "sandbox": "sandbox",
    "outcome": "outcome",
    "left": "left",
    "origin": "origin",
    "job": "job",
    "request": "request",
    "audience": "audience",
    "dataset": "dataset",
    "field": "field",
    "recipient": "recipient",
    "ticket": "ticket",
    "pii": "pii",
    "created": "created",
    "ended": "ended",
}
# Names in the address of the form's choices -> qualifiers. Several words of text are several terms.
PARAMETERS = {
    "org": "org",
    "sandbox": "sandbox",
    "person": "actor",
    "origin": "origin",
    "outcome": "outcome",
    "left": "left",
    "audience": "audience",
    "dataset": "dataset",
    "recipient": "recipient",
    "field": "field",
    "ticket": "ticket",
}
CERTAIN, POSSIBLE = "certain-", "possible-"
OUTCOMES = [choice.value for choice in ExportOutcome if choice != ExportOutcome.MERGED]


def sandbox_key(sandbox: Sandbox) -> str:
    """ "acme/prod", as lines and forms name a sandbox."""
    return f"{sandbox.organization.slug}/{sandbox.name}"


def sandboxes_named(value: str, sandboxes: Iterable[Sandbox]) -> list[int]:
    """Keys of the sandboxes that `prod` or `acme/prod` names. Raises Malformed where there is none."""
    found = [row.pk for row in sandboxes if value in (row.name, sandbox_key(row))]
    if not found:
        raise Malformed(_("There is no sandbox “%s” that you may see.") % value)
    return found


def organization_named(value: str, organizations: Iterable[Organization]) -> int:
    for row in organizations:
        if row.slug == value:
            return row.pk
    raise Malformed(_("There is no organization “%s” whose record you may read.") % value)


def one_of(value: str, known: Sequence[str], what: str) -> str:
    if value not in known:
        raise Malformed(
            _("There is no %(what)s “%(value)s”. Known are: %(known)s.")
            % {"what": what, "value": value, "known": ", ".join(known)}
        )
    return value


def _personal_data(value: str) -> Found:
    """`email`: for certain or possibly; `certain-email` and `possible-email` tell them apart."""
    mark, category = "", value
    for prefix in (CERTAIN, POSSIBLE):
        if value.startswith(prefix):
            mark, category = prefix, value.removeprefix(prefix)
    one_of(category, [*Category.values, register.ANY], _("kind of personal data"))
    sides = {CERTAIN: ("",), POSSIBLE: ("?",)}.get(mark, ("", "?"))
    if category == register.ANY:
        return either(Found(POSSIBLE_ONLY if side else CERTAIN_ANY) for side in sides)
    return terms.personal_data(*(f"{side}{category}" for side in sides))


def _field(value: str) -> Found:
    if not value.strip("."):
        raise Malformed(_("A field is named by its path, such as personalEmail.address."))
    return register.of_field(value)


def _request(value: str) -> Found:
    try:
        return _few(Q(export_request__uuid=uuid.UUID(value)))
    except ValueError as error:
        raise Malformed(_("A request is named by its id, such as 5f0c9d3e-1111-4222-8333-944445555666.")) from error


# Of an export, whichever page asks. Each gives a condition or raises Malformed.
OF_EXPORTS: dict[str, Callable[[str], Found]] = {
    "audience": register.of_audience,
    "dataset": register.of_dataset,
    "field": _field,
    "recipient": register.of_recipient,
    "ticket": register.of_ticket,
    "pii": _personal_data,
}


def _few(condition: Q) -> Found:
    """Rows that an index of their own finds, listed by key."""
    pks = frozenset(
        RegisterEntry.objects.filter(condition).order_by().values_list("pk", flat=True)[: terms.MOST_LISTED]
    )
    return Found(Q(pk__in=sorted(pks)), pks)


def _within(column: str) -> Callable[[str], Found]:
    def found(value: str) -> Found:
        period = search.period(value)
        from_at, to_at = period.from_at, period.to_at
        condition = Q(**{f"{column}__gte": from_at}) if from_at else Q()
        condition = condition & Q(**{f"{column}__lt": to_at}) if to_at else condition
        return Found(condition or ~Q(pk=None))

    return found


def condition(
    line: Line, *, organizations: Sequence[Organization], sandboxes: Sequence[Sandbox]
) -> tuple[Found, tuple[str, ...]]:
    """The condition that the line is, and what of it could not be understood."""
    parts: dict[str, Callable[[str], Found]] = {
        **OF_EXPORTS,
        "actor": register.of_person,
        "org": lambda value: Found(Q(organization=organization_named(value, organizations))),
        "sandbox": lambda value: Found(Q(sandbox__in=sandboxes_named(value, sandboxes))),
        "outcome": lambda value: Found(Q(outcome=one_of(value, OUTCOMES, _("outcome")))),
        "left": lambda value: Found(Q(data_left=one_of(value, DataLeft.values, _("“data left”")))),
        "origin": lambda value: Found(Q(origin=one_of(value, Origin.values, _("origin")))),
        "job": lambda value: _few(Q(job__job_id=value)),
        "request": _request,
        "created": _within("sort_at"),
        "ended": _within("ended_at"),
        TEXT: terms.text,
    }
    return together(line.terms, parts)


def together(given: Iterable[Term], parts: dict[str, Callable[[str], Found]]) -> tuple[Found, tuple[str, ...]]:
    """All terms, each any of its values or none of them."""
    found, problems = [], []
    for term in given:
        alternatives = []
        for value in term.values:
            try:
                alternatives.append(parts[term.name](value))
            except Malformed as problem:
                problems.append(f"{term.name}: {problem}" if term.name else str(problem))
        if alternatives:
            found.append(neither(alternatives) if term.excluded else either(alternatives))
    return both(found), tuple(dict.fromkeys(problems))


def read(query: QueryDict) -> Line:
    """The line of an address: `q`, and the form's choices that are not written into it yet."""
    return line_of(query, QUALIFIERS, _chosen(query))


def line_of(query: QueryDict, qualifiers: Mapping[str, str], chosen: Iterable[Term]) -> Line:
    """`q` with what was chosen; a period that was chosen takes the place of the line's."""
    line = search.parse(query.get("q", ""), qualifiers)
    more = list(chosen)
    periods = [term.name for term in more if term.name in ("created", "ended")]
    return (line.leaving_out(periods) if periods and not line.problems else line).adding(more)


def as_choices(line: Line, query: QueryDict, sandboxes: Sequence[Sandbox]) -> tuple[QueryDict, Line]:
    """The address as the form reads it, and what of the line the form has no place for; that stays in `q`."""
    found, rest = query.copy(), []
    for name in (*PARAMETERS, "pii", "text", "from", "to"):
        found.setlist(name, [])
    periods = [term for term in line.terms if term.name in ("created", "ended")]
    for term in line.terms:
        alone = len(term.values) == 1 and term.values != ("",)
        if term.excluded or not _put(term, found, sandboxes, alone and len(periods) == 1):
            rest.append(term)
    left = Line(tuple(rest), line.problems, search.write(rest) if not line.problems else line.text)
    found.setlist("q", [left.text] if left.text else [])
    return found, left


def _put(term: Term, found: QueryDict, sandboxes: Sequence[Sandbox], one_period: bool) -> bool:
    """Write a term as a choice; False where the form has none for it."""
    if term.name == TEXT and " " not in term.values[0]:
        found["text"] = f"{found.get('text', '')} {term.values[0]}".strip()
    elif term.name == "pii":
        found.setlist("pii", [code for value in term.values for code in _codes(value)])
    elif term.name == "sandbox":
        found.setlist("sandbox", [key for value in term.values for key in _keys(value, sandboxes)])
    elif term.name in ("org", "actor", "outcome", "left", "origin"):
        found.setlist("person" if term.name == "actor" else term.name, list(term.values))
    elif term.name in ("audience", "dataset", "recipient", "field", "ticket") and len(term.values) == 1:
        found[term.name] = term.values[0]
    elif term.name in ("created", "ended") and one_period:
        return _put_period(term, found)
    else:
        return False
    return True


def _put_period(term: Term, found: QueryDict) -> bool:
    try:
        period = search.period(term.values[0])
    except Malformed:
        return False
    for name, day in (("from", period.first), ("to", period.last)):
        found.setlist(name, [day.isoformat()] if day else [])
    if term.name == "ended":
        found["basis"] = register.ENDED
    elif found.get("basis") == register.ENDED:
        found["basis"] = register.ASKED
    return True


def _codes(value: str) -> list[str]:
    if value.startswith(CERTAIN):
        return [value.removeprefix(CERTAIN)]
    return [f"?{value.removeprefix(POSSIBLE)}"] if value.startswith(POSSIBLE) else [value, f"?{value}"]


def _keys(value: str, sandboxes: Sequence[Sandbox]) -> list[str]:
    return [sandbox_key(row) for row in sandboxes if value in (row.name, sandbox_key(row))] or [value]


def _chosen(query: QueryDict) -> list[Term]:
    found = values_of(query, PARAMETERS)
    kinds = [_kind(value) for value in query.getlist("pii") if search.clean(value)]
    found += [Term("pii", tuple(kinds))] if kinds else []
    found += period_of(query, "ended" if query.get("basis") == register.ENDED else "created")
    return [*found, *(Term(TEXT, (word,)) for text in query.getlist("text") for word in search.clean(text).split())]


def _kind(value: str) -> str:
    """The form's `email` and `?email` keep the two apart; a line's `email` is both."""
    word = search.clean(value)
    return (
        word if word.startswith((CERTAIN, POSSIBLE)) else f"{POSSIBLE}{word[1:]}" if word[0] == "?" else CERTAIN + word
    )


def values_of(query: QueryDict, parameters: dict[str, str]) -> list[Term]:
    """The named choices of an address as terms."""
    found = []
    for name, qualifier in parameters.items():
        values = tuple(word for word in map(search.clean, query.getlist(name)) if word)
        if values:
            found.append(Term(qualifier, values))
    return found


def period_of(query: QueryDict, qualifier: str) -> list[Term]:
    """`from` and `to` as one period."""
    first, last = search.clean(query.get("from", "")), search.clean(query.get("to", ""))
    return [Term(qualifier, (f"{first}..{last}",))] if first or last else []
