"""The query line of the record and the register: text to terms and back, days, and nothing of the database.

A line is terms with blanks between: `actor:m.lead,crm.ops -outcome:refused created:2026-01-01..2026-03-31 "win-back"`.
A comma means "or", so does the same qualifier said twice; different qualifiers narrow further; a minus leaves out.
Quotation marks hold a value with blanks, commas or colons together; `""` in them is one quotation mark. What is no
qualifier is text to look for. Nothing is left out in silence: what can't be understood is a problem of the line.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from urllib.parse import unquote

from django.utils import timezone
from django.utils.translation import gettext as _

TEXT = ""  # the name of a term that is text to look for
MOST_CHARACTERS, MOST_TERMS, MOST_VALUES = 2000, 40, 50
# Nothing is older than Adobe's service, and beyond these a day has no first moment in every zone.
EARLIEST, LATEST = date(2000, 1, 1), date(2999, 12, 31)
EVERYTHING = "all"
_NAME = re.compile(r"([A-Za-z][A-Za-z_]*):")
_VALUE = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')
_WORD = re.compile(r'"((?:[^"]|"")*)"|([^\s"]+)')
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MOST_SPELLINGS = 6
_MAIL = re.compile(r"[^\s\"',;:<>()@]+@[^\s\"',;:<>()@]+")


class Malformed(ValueError):
    """A value that can't be understood, with the sentence that says what to write."""


@dataclass(frozen=True)
class Term:
    """One qualifier with its alternatives, or (no name) one text to look for."""

    name: str
    values: tuple[str, ...]
    excluded: bool = False


@dataclass(frozen=True)
class Line:
    """What a query line says. `text` is the line as it was typed, or as the terms are written."""

    terms: tuple[Term, ...] = ()
    problems: tuple[str, ...] = ()
    text: str = ""

    def values(self, name: str, *, excluded: bool = False) -> tuple[str, ...]:
        return tuple(
            value for term in self.terms if (term.name, term.excluded) == (name, excluded) for value in term.values
        )

    def has(self, *names: str) -> bool:
        return any(term.name in names for term in self.terms)

    def adding(self, terms: Iterable[Term]) -> "Line":
        """The same line with these at its end; what was typed wrongly stays as it was typed."""
        more = tuple(terms)
        if not more:
            return self
        together = merged([*self.terms, *more])
        text = f"{self.text} {write(more)}".strip() if self.problems else write(together)
        return replace(self, terms=together, text=text)

    def without(self, name: str, value: str, *, excluded: bool = False) -> "Line":
        """The same line but for one value."""
        kept = []
        for term in self.terms:
            if (term.name, term.excluded) == (name, excluded) and value in term.values:
                rest = tuple(other for other in term.values if other != value)
                if rest:
                    kept.append(replace(term, values=rest))
            else:
                kept.append(term)
        return Line(tuple(kept), (), write(kept))

    def leaving_out(self, names: Iterable[str]) -> "Line":
        """The same line without what these qualifiers ask for; what they exclude stays."""
        gone = set(names)
        kept = tuple(term for term in self.terms if term.excluded or term.name not in gone)
        return Line(kept, (), write(kept))


def parse(text: str, qualifiers: Mapping[str, str]) -> Line:
    """Read a line; `qualifiers` maps each name that may be typed to the name that is meant. Never raises."""
    typed = _BLANK.sub(" ", text).strip()
    if len(typed) > MOST_CHARACTERS:
        problem = _("The query has %(n)d characters; at most %(most)d can be read.")
        return Line((), (problem % {"n": len(typed), "most": MOST_CHARACTERS},), typed[:MOST_CHARACTERS])
    terms: list[Term] = []
    problems: list[str] = []
    at = 0
    while at < len(typed):
        if typed[at] == " ":
            at += 1
            continue
        excluded = typed[at] == "-" and at + 1 < len(typed) and typed[at + 1] != " "
        at += excluded
        name = _NAME.match(typed, at)
        at = (
            _qualifier(typed, name, excluded, qualifiers, terms, problems)
            if name
            else _text(typed, at, excluded, terms, problems)
        )
    found = merged(terms)
    if len(found) > MOST_TERMS or any(len(term.values) > MOST_VALUES for term in found):
        problems.append(
            _("A query has at most %(terms)d parts with %(values)d values each.")
            % {"terms": MOST_TERMS, "values": MOST_VALUES}
        )
    return Line(found, tuple(dict.fromkeys(problems)), typed)


def _qualifier(
    typed: str,
    match: re.Match[str],
    excluded: bool,
    qualifiers: Mapping[str, str],
    terms: list[Term],
    problems: list[str],
) -> int:
    """Read `name:value,value`; gives the place after it."""
    name, at = match[1].lower(), match.end()
    values: list[str] = []
    while True:
        value = _VALUE.match(typed, at)
        found = _unquoted(value) if value else ""
        if value is None or not found:
            unclosed = _unclosed(typed, at) if value is None else ""
            problems.append(unclosed or _("“%s:” needs a value right after it.") % name)
            return len(typed) if unclosed else value.end() if value else at
        values.append(found)
        at = value.end()
        if typed[at : at + 1] != ",":
            break
        at += 1
    if typed[at : at + 1] not in ("", " "):
        problems.append(_unclosed(typed, at) or _("There is no blank after “%s”.") % typed[match.start() : at])
        return len(typed)
    meant = qualifiers.get(name)
    if meant is None:
        problems.append(_unknown(name, typed[match.start() : at], qualifiers))
    else:
        terms.append(Term(meant, tuple(values), excluded))
    return at


def _unknown(name: str, typed: str, qualifiers: Mapping[str, str]) -> str:
    known = ", ".join(f"{word}:" for word in dict.fromkeys(qualifiers.values()))
    sentence = _("There is no “%(name)s:” here. Known are: %(known)s. To look for the text itself, write %(quoted)s.")
    return sentence % {"name": name, "known": known, "quoted": _quoted(typed)}


def _text(typed: str, at: int, excluded: bool, terms: list[Term], problems: list[str]) -> int:
    word = _WORD.match(typed, at)
    if word is None:
        problems.append(_unclosed(typed, at))
        return len(typed)
    found = _unquoted(word)
    if found:
        terms.append(Term(TEXT, (found,), excluded))
    else:
        problems.append(_("There is nothing between the quotation marks."))
    return word.end()


def _unquoted(match: re.Match[str]) -> str:
    return match[1].replace('""', '"').strip() if match[2] is None else match[2]


def _unclosed(typed: str, at: int) -> str:
    return _("A quotation mark is not closed.") if typed[at : at + 1] == '"' else ""


def merged(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Each qualifier once, where it came first; each text and each value once."""
    found: dict[tuple[str, ...], Term] = {}
    for term in terms:
        sign = "-" if term.excluded else ""
        key = (sign, term.name, *(term.values if term.name == TEXT else ()))
        before = found[key].values if key in found else ()
        found[key] = replace(term, values=tuple(dict.fromkeys([*before, *term.values])))
    return tuple(found.values())


def write(terms: Iterable[Term]) -> str:
    """The line that parses to these terms."""
    return " ".join(_written(term) for term in terms)


def _written(term: Term) -> str:
    sign = "-" if term.excluded else ""
    if term.name == TEXT:
        return f"{sign}{' '.join(_text_written(value) for value in term.values)}"
    return f"{sign}{term.name}:{','.join(_value_written(value) for value in term.values)}"


def _value_written(value: str) -> str:
    return value if re.fullmatch(r'[^\s,"]+', value) else _quoted(value)


def _text_written(value: str) -> str:
    plain = re.fullmatch(r'[^\s"]+', value) and not value.startswith("-") and not _NAME.match(value)
    return value if plain else _quoted(value)


def _quoted(value: str) -> str:
    doubled = value.replace('"', '""')
    return f'"{doubled}"'


def clean(value: str) -> str:
    """A value from elsewhere, as a line can hold it; empty where nothing is left."""
    return _BLANK.sub(" ", value).strip()


def names_mail(text: str) -> bool:
    """Whether something in it looks like an e-mail address: that is searched for, and kept nowhere.

    Also as addresses of pages spell it (percent signs, once or several times), and with wide signs.
    """
    for _spelling in range(MOST_SPELLINGS):
        text = unicodedata.normalize("NFKC", text)
        if _MAIL.search(text):
            return True
        if (plain := unquote(text)) == text:
            return False
        text = plain
    return True  # spelled over and over: nobody writes so but to hide something


@dataclass(frozen=True)
class Period:
    """Days of the person's zone, both included; None is open."""

    first: date | None = None
    last: date | None = None

    @property
    def from_at(self) -> datetime | None:
        return start_of(self.first) if self.first else None

    @property
    def to_at(self) -> datetime | None:
        """The moment after the last day."""
        return start_of(self.last + timedelta(days=1)) if self.last else None


def start_of(day: date) -> datetime:
    """Midnight of that day in the person's zone, or the first moment after it where clocks jump over midnight."""
    return timezone.make_aware(datetime.combine(day, time.min))


def period(text: str) -> Period:
    """`2026-01-31`, `2026-01-01..2026-03-31` (either end may stay open), `>`, `>=`, `<`, `<=` a day, or `all`."""
    if text.lower() == EVERYTHING:
        return Period()
    if match := re.fullmatch(r"([<>]=?)(.*)", text):
        day, sign = _day(match[2]), match[1]
        if sign[0] == ">":
            return Period(day if "=" in sign else day + timedelta(days=1), None)
        return Period(None, day if "=" in sign else day - timedelta(days=1))
    first, dots, last = text.partition("..")
    if not dots:
        return Period(_day(first), _day(first))
    found = Period(_day(first) if first else None, _day(last) if last else None)
    if found.first and found.last and found.first > found.last:
        raise Malformed(_("The last day is before the first one."))
    if found == Period():
        raise Malformed(_("Write the day as year, month and day, for example 2026-07-01."))
    return found


def _day(text: str) -> date:
    sentence = _("Write the day as year, month and day, for example 2026-07-01.")
    if not _DAY.fullmatch(text):
        raise Malformed(sentence)
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Malformed(sentence) from error
    if not EARLIEST <= day <= LATEST:
        raise Malformed(sentence)
    return day


def numbers(text: str) -> tuple[int, int]:
    """`47900` or `47900..48211`: the first and the last number."""
    match = re.fullmatch(r"(\d{1,18})(?:\.\.(\d{1,18}))?", text, re.ASCII)
    if match is None:
        raise Malformed(_("Write a record as its number, 48211, or several as 47900..48211."))
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise Malformed(_("The last record is before the first one."))
    return first, last
