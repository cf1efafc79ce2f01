"""Values of an event's details in words: times in the person's zone, codes by their words, ids by their names.

Nothing here reads the database, and nothing is left out: what has no words of its own is told as it is.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.models import Name
from segadmin.queries.retention import duration
from segadmin.templatetags.segadmin import at_full, iso, thousands

type Names = Mapping[tuple[str, str], str]  # (kind, id) -> name
type How = Callable[[Any, Names], "tuple[Value, ...]"]

# So many items of a list are told one by one; the number of the others follows.
MOST_ITEMS = 40
# Adobe's objects within objects are followed so far; nothing real is deeper.
DEEPEST = 12
_ID = re.compile(r"[0-9a-f]{32,128}|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9A-HJKMNP-TV-Z]{26}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Value:
    """One value in words. `kind`: text, id, or time (`machine` is then ISO); `note` and the id `key` qualify it.

    `sign`: removed or added, in a difference.
    """

    text: str
    kind: str = "text"
    note: str = ""
    key: str = ""
    url: str = ""
    machine: str = ""
    sign: str = ""


def plain(value: Any, _names: Names) -> tuple[Value, ...]:
    """As it stands."""
    return (Value(str(value)),)


def ident(value: Any, _names: Names) -> tuple[Value, ...]:
    """An id, told whole and cut by the style sheet only."""
    return (Value(str(value), "id"),)


def count(value: Any, _names: Names) -> tuple[Value, ...]:
    """A number with separators."""
    return (Value(thousands(value) if isinstance(value, int) else str(value)),)


def moment(value: Any, _names: Names) -> tuple[Value, ...]:
    """A time in the person's zone, with the zone; what is no time as it stands."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return (Value(str(value)),)
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (Value(at_full(found), "time", machine=iso(found)),)


def months(value: Any, _names: Names) -> tuple[Value, ...]:
    """36 as "3 years"."""
    return (Value(duration(value) if isinstance(value, int) else str(value)),)


def with_unit(unit: str, units: str) -> How:
    """A number with its unit, one or many."""

    def told(value: Any, names: Names) -> tuple[Value, ...]:
        if not isinstance(value, int):
            return plain(value, names)
        return (Value(ngettext(unit, units, value) % {"n": f"{value:,}"}),)

    return told


def seconds(value: Any, _names: Names) -> tuple[Value, ...]:
    """A length of time as it was measured."""
    return (Value(_("%s s") % value),)


def chosen(choices: Iterable[tuple[str, str | Promise]]) -> How:
    """A code by its words, one we don't know as it is."""
    words = {code: label for code, label in choices if code}

    def told(value: Any, _names: Names) -> tuple[Value, ...]:
        return (Value(str(words.get(value, value) if isinstance(value, str) else value)),)

    return told


def linked(name: str, words: str) -> How:
    """A number of something with a page of its own: record 47,900."""

    def told(value: Any, names: Names) -> tuple[Value, ...]:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return plain(value, names)
        url = reverse(name, args=[value]) if name else ""
        return (Value(_(words) % {"n": f"{value:,}"}, url=url),)

    return told


def receipt(value: Any, _names: Names) -> tuple[Value, ...]:
    """The code of a file's receipt, which has a page."""
    code = str(value)
    fits = re.fullmatch(r"[a-z0-9]{4}(-[a-z0-9]{4}){2}", code)
    return (Value(code, url=reverse("file", args=[code]) if fits else ""),)


def person(value: Any, names: Names) -> tuple[Value, ...]:
    """An account by its name then; its number tells two of one name apart."""
    if isinstance(value, dict) and value.get("name"):
        return (Value(str(value["name"]), note=_("account %s") % value.get("id", "")),)
    return whatever(value, names)


def named(kind: Name.Kind) -> How:
    """Something of Adobe's by its name, with the id beside it."""

    def told(value: Any, names: Names) -> tuple[Value, ...]:
        if isinstance(value, dict):
            return (_thing(value, names, kind),)
        if isinstance(value, list):
            return _listed([_thing(item, names, kind) for item in value])
        return (_thing(value, names, kind),)

    return told


def _thing(value: Any, names: Names, kind: Name.Kind) -> Value:
    told = value if isinstance(value, dict) else {"id": value}
    key = str(told.get("id") or told.get("segmentId") or "")
    name = str(told.get("name") or names.get((kind.value, key), ""))
    if not name or name == key:
        return Value(key, "id") if key else Value(_("not named"))
    size = told.get("profiles")
    more = _("then about %s profiles") % f"{size:,}" if isinstance(size, int) else ""
    return Value(name, note=more, key=key)


def split(value: Any, names: Names) -> tuple[Value, ...]:
    """Paths or scopes in one text, with commas between."""
    if not isinstance(value, str):
        return whatever(value, names)
    return _listed([Value(part.strip()) for part in value.split(",") if part.strip()])


def fields(value: Any, names: Names) -> tuple[Value, ...]:
    """Field paths; none stand for all of them."""
    return split(value, names) or (Value(_("all fields")),)


def numbers(value: Any, names: Names) -> tuple[Value, ...]:
    """Record numbers, joined to ranges."""
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        return whatever(value, names)
    runs: list[list[int]] = []
    for number in sorted(value):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return (
        Value(", ".join(f"{a:,}" if a == b else _("%(a)s to %(b)s") % {"a": f"{a:,}", "b": f"{b:,}"} for a, b in runs)),
    )


def _listed(items: Sequence[Value]) -> tuple[Value, ...]:
    if len(items) <= MOST_ITEMS:
        return tuple(items)
    more = len(items) - MOST_ITEMS
    return (*items[:MOST_ITEMS], Value(_("and %d more, in the whole text") % more))


def whatever(value: Any, names: Names) -> tuple[Value, ...]:
    """Whatever it is, as values; empty where nothing is there."""
    if value is None or value in ("", [], {}):
        return ()
    if isinstance(value, bool):
        return (Value(_("yes") if value else _("no")),)
    if isinstance(value, list):
        return _listed([item for one in value for item in whatever(one, names)])
    if isinstance(value, dict):
        return _listed([Value(f"{path}: {item.text}", item.kind) for path, item in leaves(value)])
    text = str(value)
    if _MOMENT.fullmatch(text):
        return moment(text, names)
    return (Value(text, "id" if _ID.fullmatch(text) else "text"),)


def leaves(value: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, Value]]:
    """Each value of nested objects with the way to it: ("destination.datasetId", …)."""
    for key, item in value.items():
        path = f"{prefix}{key}"
        is_nested = isinstance(item, dict) or (
            isinstance(item, list) and any(isinstance(one, dict | list) for one in item)
        )
        if is_nested and item and depth == DEEPEST:
            yield path, Value(json.dumps(item, ensure_ascii=False))
        elif is_nested and item:
            inner = item if isinstance(item, dict) else {str(number): one for number, one in enumerate(item, 1)}
            yield from leaves(inner, f"{path}.", depth + 1)
        else:
            for one in whatever(item, {}) or (Value(_("nothing")),):
                yield path, one
