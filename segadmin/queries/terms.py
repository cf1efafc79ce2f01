"""Words and values by which rows of the register are found, kept beside them so that no search reads every row.

`told` says which terms a row has; `Found` is the condition that one value of a filter is. A term is a kind and a text,
folded, and its key a number made of both, so that writers need not agree on numbers. The texts themselves stand in a list
of their own (RegisterValue), for filters by a part of a name; a text may stand there twice, which does no harm. Names that
an audience or a dataset had at other times stand there too, with the key of its id (`called`).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.lookups import GreaterThan

from segadmin.models import Category, RegisterTerm, RegisterValue

# Up to so many rows are listed by key, which any combination of filters then narrows at once.
MOST_LISTED = 1000
# Up to so many different texts are listed where a part is looked for; beyond, the database joins them.
MOST_VALUES = 500
# Of several frequent terms the rarest leads; they are counted up to so many.
MOST_COMPARED = 20_000
LONGEST_VALUE, LONGEST_WORD = 500, 60
# Shorter texts are whole words only: too much begins with one or two letters.
SHORTEST_BEGINNING = 3
NOTHING = ""
ALL_FIELDS = "*"
_WORD = re.compile(r"\w+")
# People put several tickets into one field.
_BETWEEN_TICKETS = re.compile(r"[\s,;/|&+]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# An id or a number of a ticket: found by its own beginning too, not only by that of its parts.
_ID = re.compile(r"(?=\S*\d)(?=\S*\W)\S{3,60}")
# Scripts that put no blanks between words: there a beginning of a word is not what people look for.
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class Kind(IntEnum):
    AUDIENCE = 1
    DATASET = 2
    DATASET_NAME = 3
    RECIPIENT = 4
    TICKET = 5
    FIELD = 6
    PII = 7
    PERSON = 8
    WORD = 9
    # Names of the term of an id, which may be others than the name in the row.
    AUDIENCE_CALLED = 10
    DATASET_CALLED = 11


CALLED = {Kind.AUDIENCE: Kind.AUDIENCE_CALLED, Kind.DATASET_NAME: Kind.DATASET_CALLED}
# Those that are found by a part, or by their beginning.
SPELLED = frozenset({Kind.AUDIENCE, Kind.DATASET_NAME, Kind.RECIPIENT, Kind.FIELD, Kind.PERSON, Kind.WORD})


def fold(text: str) -> str:
    """For comparing: small letters, letters that look alike in one form (composed or not, wide), ß as ss, i without dots.

    Databases differ in this, so it is done here, for what is stored and for what is looked for.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.replace("i\u0307", "i").replace("ı", "i")


def key_of(kind: Kind, text: str) -> int:
    """63 bits of a digest, as a number that both databases keep."""
    digest = blake2b(f"{int(kind)}|{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def micros(moment: Any) -> int:
    """A time as microseconds since 1970, which is shorter than what databases keep and sorts alike."""
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + int(moment.microsecond)


def words_of(search: str) -> set[str]:
    """The words of a row's search text: what stands between other signs, and ids as a whole."""
    found: set[str] = set()
    for line in search.split("\n"):
        if _ID.fullmatch(line):
            found.add(line)
        if not _UUID.fullmatch(line):
            found |= {word[:LONGEST_WORD] for word in _WORD.findall(line)}
    return found


def told(values: Mapping[str, Any]) -> dict[int, tuple[Kind, str]]:
    """Key -> kind and text of all terms of a row, from its columns."""
    named = values["field_words"].strip("|").split("|") if values["field_words"] else []
    labels = [fold(str(item[part])) for item in values["audiences"] for part in ("name", "id") if item.get(part)]
    ticket = fold(values["ticket"])
    texts: list[tuple[Kind, Iterable[str]]] = [
        (Kind.AUDIENCE, labels or [NOTHING]),
        (Kind.DATASET, [values["dataset_id"]]),
        (Kind.DATASET_NAME, [fold(values["dataset_name"])] if values["dataset_name"] else []),
        (Kind.RECIPIENT, [fold(values["recipient"])]),
        (Kind.TICKET, [word for word in (ticket, *_BETWEEN_TICKETS.split(ticket)) if word]),
        (Kind.FIELD, [*named, *([ALL_FIELDS] if values["all_fields"] else [])]),
        (Kind.PII, values["pii_words"].strip("|").split("|") if values["pii_words"] else []),
        (Kind.PERSON, [values["person"]]),
        (Kind.WORD, words_of(values["search"])),
    ]
    found = {}
    for kind, several in texts:
        for text in several:
            short = text[:LONGEST_VALUE]
            found[key_of(kind, short)] = (kind, short)
    return found


def called(values: Mapping[str, Any]) -> Iterator[tuple[Kind, int, str]]:
    """(kind, key of the id's term, name) of the audiences and the dataset of a row, from its columns."""
    for item in values["audiences"]:
        if item.get("id") and item.get("name"):
            yield called_now(Kind.AUDIENCE, str(item["id"]), str(item["name"]))
    if values["dataset_id"] and values["dataset_name"]:
        yield called_now(Kind.DATASET_NAME, values["dataset_id"], values["dataset_name"])


def called_now(kind: Kind, external_id: str, name: str) -> tuple[Kind, int, str]:
    """The same of one audience (Kind.AUDIENCE) or dataset (Kind.DATASET_NAME)."""
    key = audience_key(external_id) if kind == Kind.AUDIENCE else key_of(Kind.DATASET, external_id[:LONGEST_VALUE])
    return CALLED[kind], key, fold(name)[:LONGEST_VALUE]


def audience_key(external_id: str) -> int:
    """Of the term that exports of this audience have."""
    return key_of(Kind.AUDIENCE, fold(external_id)[:LONGEST_VALUE])


# Of these columns a row's terms are made.
COLUMNS = (
    "field_words",
    "all_fields",
    "audiences",
    "dataset_id",
    "dataset_name",
    "recipient",
    "ticket",
    "pii_words",
    "person",
    "search",
)


# -- kinds of personal data as bits -----------------------------------------------------------------------------------

_CODES = [category.value for category in Category]
_POSSIBLE_BY, _SPECIAL = 24, 48
CERTAIN_BITS = (1 << _POSSIBLE_BY) - 1
POSSIBLE_BITS = CERTAIN_BITS << _POSSIBLE_BY
SPECIAL_BIT, SPECIAL_POSSIBLE_BIT = 1 << _SPECIAL, 1 << (_SPECIAL + 1)


def bit_of(word: str) -> int:
    """The bit of one of a row's words: "email", "?email", "!" or "?!"; 0 for none that is known."""
    code = word.removeprefix("?")
    if code == "!":
        return SPECIAL_POSSIBLE_BIT if word[0] == "?" else SPECIAL_BIT
    if code not in _CODES:
        return 0
    return 1 << (_CODES.index(code) + (_POSSIBLE_BY if word[0] == "?" else 0))


def mask_of(pii_words: str) -> int:
    """All kinds of a row in one number."""
    found = 0
    for word in pii_words.strip("|").split("|") if pii_words else ():
        found |= bit_of(word)
    return found


def any_bit(bits: int) -> Q:
    return Q(GreaterThan(F("pii_mask").bitand(bits), 0))


CERTAIN_ANY = any_bit(CERTAIN_BITS)
POSSIBLE_ONLY = any_bit(POSSIBLE_BITS) & ~CERTAIN_ANY


# -- conditions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A condition on rows, with what makes it quick.

    `pks`: no other rows than these can meet it, where they are few. `drivers`: lists of terms, of each of which each such
    row has one.
    """

    condition: Q = field(default_factory=Q)
    pks: frozenset[int] | None = None
    drivers: tuple[tuple[int, ...], ...] = ()


def both(several: Iterable[Found]) -> Found:
    """All of these conditions."""
    condition, pks, drivers = Q(), None, list[tuple[int, ...]]()
    for found in several:
        condition &= found.condition
        drivers += found.drivers
        if found.pks is not None:
            pks = found.pks if pks is None else pks & found.pks
    return Found(condition, pks, tuple(drivers))


def either(several: Iterable[Found]) -> Found:
    """One of these conditions at least."""
    given = list(several)
    condition, pks, keys = given[0].condition, given[0].pks, list[int]()
    for found in given[1:]:
        condition |= found.condition
        pks = pks | found.pks if pks is not None and found.pks is not None else None
    for found in given:
        keys += found.drivers[0] if found.drivers else ()
    known = all(found.drivers for found in given)
    return Found(condition, pks, (tuple(dict.fromkeys(keys)),) if known else ())


def neither(several: Iterable[Found]) -> Found:
    """None of these conditions."""
    return Found(~either(several).condition)


def _listed(terms: "QuerySet[RegisterTerm]") -> frozenset[int] | None:
    """Keys of the rows with one of these terms; None where there are too many to list."""
    rows = list(terms.order_by().values_list("entry_id", flat=True)[: MOST_LISTED + 1])
    return None if len(rows) > MOST_LISTED else frozenset(rows)


def having(keys: Sequence[int]) -> Found:
    """Rows with one of these terms."""
    rows = _listed(RegisterTerm.objects.filter(key__in=keys)) if keys else frozenset()
    if rows is not None:
        return Found(Q(pk__in=sorted(rows)), rows, (tuple(keys),))
    return Found(Q(Exists(RegisterTerm.objects.filter(entry=OuterRef("pk"), key__in=keys))), None, (tuple(keys),))


def exactly(kind: Kind, *texts: str) -> Found:
    return having([key_of(kind, text[:LONGEST_VALUE]) for text in texts])


def _spelled(kind: Kind, spelling: Q, more: Sequence[int] = ()) -> Found:
    """Rows with a term whose text fits, or one of `more`."""
    kinds = [kind, CALLED[kind]] if kind in CALLED else [kind]
    values = RegisterValue.objects.filter(spelling, kind__in=kinds).order_by()
    keys = list(values.values_list("key", flat=True)[: MOST_VALUES + 1])
    if len(keys) <= MOST_VALUES:
        return having(list(dict.fromkeys([*more, *keys])))
    wanted = Q(key__in=values.values("key"))
    terms = RegisterTerm.objects.filter(wanted | Q(key__in=list(more)) if more else wanted)
    rows = _listed(terms)
    return Found(Q(pk__in=terms.values("entry") if rows is None else sorted(rows)), rows)


def known(keys: Sequence[int]) -> list[int]:
    """Those of these keys, of a kind that is spelled out, that any row has or had."""
    there = set(RegisterValue.objects.filter(key__in=keys).order_by().values_list("key", flat=True))
    return [key for key in keys if key in there]


def containing(kind: Kind, part: str, *more: int) -> Found:
    """Rows with a text of this kind that contains the part, or with one of the terms of `more`.

    Of audiences and datasets also the rows from times when they were called otherwise.
    """
    return _spelled(kind, Q(value__contains=fold(part)), more)


def _beginning(text: str) -> Q:
    if connection.vendor == "postgresql":
        return Q(value__startswith=text)  # by an index for patterns, whatever the database's order of letters
    return Q(value__gte=text, value__lt=text + "\U0010ffff")


def beginning(kind: Kind, text: str, *more: int) -> Found:
    return _spelled(kind, _beginning(text), more)


def personal_data(*words: str) -> Found:
    """Rows with one of these among their words ("email", "?email")."""
    bits = 0
    for word in words:
        bits |= bit_of(word)
    found = exactly(Kind.PII, *words)
    return Found(any_bit(bits), found.pks, found.drivers)


def text(typed: str) -> Found:
    """Rows in whose words this stands: each word of it at the beginning of one of theirs, and all of it as it was typed.

    What holds no word, or is of a script without blanks, is looked for in each row.
    """
    low = fold(typed)
    anywhere = Found(Q(search__contains=low))
    words = _WORD.findall(low)
    if not words or _UNSPACED.search(low):
        return anywhere
    if words == [low] and len(low) <= LONGEST_WORD:
        return _word(low)
    first, *rest = [(word, _word(word[:LONGEST_WORD])) for word in dict.fromkeys(words)]
    # What follows another sign begins a word wherever the whole text stands, so frequent ones need not be asked for.
    kept = [found for word, found in rest if found.pks is not None or len(word) < SHORTEST_BEGINNING]
    parts = both([first[1], *kept, anywhere])
    return either([beginning(Kind.WORD, low), parts]) if _ID.fullmatch(low) else parts


def _word(word: str) -> Found:
    return beginning(Kind.WORD, word) if len(word) >= SHORTEST_BEGINNING else exactly(Kind.WORD, word)


def how_many(keys: Sequence[int]) -> int:
    """Rows with one of these terms, up to MOST_COMPARED; a row with two of them counts twice."""
    return RegisterTerm.objects.filter(key__in=keys).order_by().values("pk")[:MOST_COMPARED].count()


def texts_in(kind: Kind, sandboxes: Iterable[int], most: int) -> list[str]:
    """Different texts of a kind that rows of these sandboxes have, in order; each is asked of an index."""
    there = RegisterTerm.objects.filter(key=OuterRef("key"), sandbox__in=list(sandboxes))
    values = RegisterValue.objects.filter(Exists(there), kind=kind).exclude(value=NOTHING).order_by("value")
    return list(values.values_list("value", flat=True).distinct()[:most])
