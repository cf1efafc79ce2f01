"""The leaves of a union schema (a JSON Schema tree) as the dotted paths that an export's `fields` may name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segadmin.aep import coerce

MAX_DEPTH = 12
MAX_FIELDS = 20_000
MAX_VISITS = 200_000


@dataclass(frozen=True)
class ProfileField:
    """A field of a profile: dotted path, title as the schema gives it, and type (string, integer, date-time, map…)."""

    path: str
    title: str
    type: str


def leaf_fields(schema: Mapping[str, Any]) -> list[ProfileField]:
    """The leaves of `schema`, sorted by path. Ends on schemas that refer to themselves, are very deep or very wide."""
    walker = _Walker(schema)
    found: dict[str, ProfileField] = {}
    for leaf in walker.leaves(schema, "", 0, frozenset()):
        found.setdefault(leaf.path, leaf)
        if len(found) >= MAX_FIELDS:
            break
    return [found[path] for path in sorted(found)]


class _Walker:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.visits = 0

    def leaves(self, node: Mapping[str, Any], path: str, depth: int, refs: frozenset[str]) -> Iterator[ProfileField]:
        self.visits += 1
        if depth > MAX_DEPTH or self.visits > MAX_VISITS:
            return
        properties = list(self._properties(node, refs, 0))
        if not properties:
            if path:
                yield ProfileField(path, coerce.text(node.get("title")) or "", _type_name(node))
            return
        for name, child, child_refs in properties:
            if "." in name or not name:
                continue
            yield from self.leaves(self._item(child), f"{path}.{name}" if path else name, depth + 1, child_refs)

    def _properties(
        self, node: Mapping[str, Any], refs: frozenset[str], depth: int
    ) -> Iterator[tuple[str, Mapping[str, Any], frozenset[str]]]:
        """Properties of a node, of everything it is combined from, and of what it refers to within the document."""
        if depth > MAX_DEPTH:
            return
        for name, child in coerce.mapping(node.get("properties")).items():
            if isinstance(child, Mapping):
                yield name, child, refs
        parts: list[Mapping[str, Any]] = []
        for keyword in ("allOf", "anyOf", "oneOf"):
            parts.extend(coerce.objects(node.get(keyword)))
        for part in parts:
            yield from self._properties(part, refs, depth + 1)
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in refs:
            target = self._target(reference)
            if target is not None:
                yield from self._properties(self._item(target), refs | {reference}, depth + 1)

    def _item(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an array holds, which is what paths go on into; the node itself otherwise."""
        for _ in range(MAX_DEPTH):
            items = node.get("items")
            if node.get("type") != "array" or not isinstance(items, Mapping):
                break
            node = {**items, "title": coerce.text(node.get("title")) or items.get("title")}
        return node

    def _target(self, reference: str) -> Mapping[str, Any] | None:
        if not reference.startswith("#/"):
            return None
        target: Any = self.root
        for step in reference[2:].split("/"):
            if not isinstance(target, Mapping):
                return None
            target = target.get(step.replace("~1", "/").replace("~0", "~"))
        return target if isinstance(target, Mapping) else None


def _type_name(node: Mapping[str, Any]) -> str:
    declared = coerce.text(node.get("meta:xdmType")) or coerce.text(node.get("format"))
    if declared:
        return declared
    kinds = [kind for kind in coerce.texts(node.get("type")) if kind != "null"]
    return kinds[0] if kinds else "object"
