"""What an event's details say: label and value, differences item by item, the request by the names of then.

Nothing is left out: what has no words of its own here is told under the name that it has in the record, and the
whole text stands below it on the event's own page. Nothing here reads the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from segadmin.models import Name
from segadmin.queries.event_labels import KEYS, NO_VALUE, label, order
from segadmin.queries.event_values import MOST_ITEMS, Names, Value, leaves, whatever
from segadmin.queries.event_values import fields as field_values

# Told by the names that go with them; and everything that isn't told item by item, as it comes.
NAMED = ("audiences", "dataset", "merge_policy")
STRUCTURED = (*NAMED, "fields", "scopes", "records", "person")
REMOVED, ADDED = "removed", "added"


@dataclass(frozen=True)
class Table:
    """Things of one sort, such as the steps of a connection test; `more` of them are only in the whole text."""

    head: tuple[str, ...]
    rows: tuple[tuple[tuple[Value, ...], ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Fact:
    """One thing on record: values, or a table, or facts within it. `is_path`: the label is a name in Adobe's JSON."""

    label: str
    values: tuple[Value, ...] = ()
    table: Table | None = None
    facts: "tuple[Fact, ...]" = ()
    is_path: bool = False


@dataclass(frozen=True)
class Change:
    """One line of a difference; no values where it was not there before, or is not there any more."""

    label: str
    before: tuple[Value, ...]
    after: tuple[Value, ...]


@dataclass(frozen=True)
class Told:
    """What the details say: differences first, then everything else."""

    changes: tuple[Change, ...] = ()
    facts: tuple[Fact, ...] = ()
    # Adobe's own answer, name by name; long, so pages fold it.
    answer: tuple[Fact, ...] = ()


def values(key: str, value: Any, names: Names) -> tuple[Value, ...]:
    """What is on record under this key, in words; empty where nothing is."""
    if value is None or value in ("", [], {}):
        return ()
    how = KEYS[key][1] if key in KEYS else whatever
    if isinstance(value, bool) or (isinstance(value, list | dict) and key not in STRUCTURED):
        how = whatever
    return how(value, names)


# -- differences ------------------------------------------------------------------------------------------------------


def _is_difference(details: Mapping[str, Any]) -> bool:
    return isinstance(details.get("before"), dict) and isinstance(details.get("after"), dict)


def _changes(details: Mapping[str, Any], names: Names) -> Iterator[Change]:
    """What differs between `before` and `after`, key by key; lists item by item."""
    if _is_difference(details):
        before, after = details["before"], details["after"]
        for key in sorted({*before, *after}, key=order):
            if before.get(key) != after.get(key):
                yield _change(key, before, after, names)
    elif isinstance(details.get("before"), str) and isinstance(details.get("state"), str):
        yield _change("state", {"state": details["before"]}, details, names)


def _change(key: str, before: Mapping[str, Any], after: Mapping[str, Any], names: Names) -> Change:
    old, new = (_side(key, side, names) for side in (before, after))
    kept = {value.text for value in old} & {value.text for value in new}
    return Change(label(key), _signed(old, kept, REMOVED), _signed(new, kept, ADDED))


def _side(key: str, side: Mapping[str, Any], names: Names) -> tuple[Value, ...]:
    if key not in side:
        return ()
    found = values(key, side[key], names)
    return found or (Value(str(NO_VALUE.get(key, _("nothing")))),)


def _signed(found: Sequence[Value], kept: set[str], sign: str) -> tuple[Value, ...]:
    return tuple(value if value.text in kept else replace(value, sign=sign) for value in found)


# -- everything else --------------------------------------------------------------------------------------------------


def told(details: Mapping[str, Any], names: Names) -> Told:
    """All of an event's details. `names`: what ids of datasets and audiences are called."""
    changes = tuple(_changes(details, names))
    shown = {"before", "after"} if _is_difference(details) else {"before", "state"} if changes else set()
    rest = {key: value for key, value in details.items() if key not in shown}
    answer = rest.pop("answer", None)
    facts = [*_request(rest, names), *_lines(rest)]
    facts += [fact for key in sorted(rest, key=order) for fact in _fact(key, rest[key], names)]
    return Told(changes, tuple(facts), tuple(_paths(answer)) if isinstance(answer, dict) else ())


def _fact(key: str, value: Any, names: Names) -> Iterator[Fact]:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value) and key not in NAMED:
        yield Fact(label(key), table=_table(value, names))
    elif isinstance(value, dict) and value and key != "person" and key not in NAMED:
        inner = [fact for one in sorted(value, key=order) for fact in _fact(one, value[one], names)]
        yield Fact(label(key), facts=tuple(inner)) if inner else Fact(label(key), (Value(_("nothing")),))
    elif found := values(key, value, names):
        yield Fact(label(key), found)


def _table(rows: Sequence[Mapping[str, Any]], names: Names) -> Table:
    keys = sorted({key for row in rows for key in row}, key=order)
    keys = [key for key in keys if any(values(key, row.get(key), names) for row in rows)]
    if "name" in keys:  # what the row is about comes first
        keys = ["name", *(key for key in keys if key != "name")]
    cells = tuple(tuple(values(key, row.get(key), names) for key in keys) for row in rows[:MOST_ITEMS])
    return Table(tuple(label(key) for key in keys), cells, len(rows) - len(cells))


def _paths(value: Mapping[str, Any]) -> Iterator[Fact]:
    """Something of Adobe's, name by name as in its JSON."""
    for path, one in leaves(value):
        yield Fact(path, (one,), is_path=True)


def _lines(rest: dict[str, Any]) -> Iterator[Fact]:
    """What was put into a list and what was taken out, as one difference."""
    if isinstance(rest.get("added"), list) and isinstance(rest.get("removed"), list):
        gone = [Value(str(item), sign=REMOVED) for item in rest.pop("removed")]
        new = [Value(str(item), sign=ADDED) for item in rest.pop("added")]
        if gone or new:
            yield Fact(_("Lines changed"), (*gone, *new))


def _request(rest: dict[str, Any], names: Names) -> Iterator[Fact]:
    """The export that was asked for: of whom, what, to where, by the names of then; then what else the request says."""
    if not isinstance(rest.get("body"), dict):
        return
    body, kept = dict(rest.pop("body")), _map(rest.pop("names", None))
    paths, destination, filters = (
        body.pop("fields", ""),
        _map(body.pop("destination", None)),
        _map(body.pop("filter", None)),
    )
    segments, dataset = filters.pop("segments", None) or [], destination.pop("datasetId", "")
    everyone = (Value(_("everyone, no audience")),)
    yield Fact(_("Audiences"), values("audiences", kept.get("audiences") or segments, names) or everyone)
    yield Fact(_("Fields"), field_values(paths, names))
    yield Fact(_("Dataset"), values("dataset", {"id": dataset, **_map(kept.get("dataset"))}, names))
    if policy := kept.get("merge_policy"):
        yield Fact(_("Merge policy"), values("merge_policy", policy, names))
    narrowed = [
        {key: item for key, item in _map(one).items() if key not in ("segmentId", "segmentNs")} for one in segments
    ]
    more = {"destination": destination, "filter": filters, "segments": [one for one in narrowed if one], **body}
    yield from _paths({key: value for key, value in more.items() if value not in ({}, [])})


def _map(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def ids(details: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, id) of what may be told by a name; what carries its name with it is left out."""
    for part in (details, details.get("before"), details.get("after")):
        if isinstance(part, dict):
            if isinstance(part.get("dataset"), str):
                yield Name.Kind.DATASET.value, part["dataset"]
            for item in part["audiences"] if isinstance(part.get("audiences"), list) else []:
                if isinstance(item, str):
                    yield Name.Kind.AUDIENCE.value, item
