"""Paging through Adobe's lists: one helper per family of envelopes.

Each sends its own parameters and takes nothing but a cursor from the answer, and each ends: at a number of pages, at a
cursor or at records that repeat, at an empty page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from segadmin.aep import coerce
from segadmin.aep.errors import NotFound, Rejected, Unavailable

MAX_PAGES = 500
_CURSOR_NAMES = ("start", "offset", "page", "cursor")

type Record = Mapping[str, Any]
type Fetch = Callable[[Mapping[str, Any]], Any]


def children_pages(fetch: Fetch, params: Mapping[str, Any], key: str = "children") -> Iterator[list[Any]]:
    """`children`/`_page`/`_links` (audiences, merge policies, sandboxes): the cursor is `_page.next` or in a link."""
    cursor: dict[str, str] = {}
    seen: set[tuple[tuple[str, str], ...]] = set()
    for _ in range(MAX_PAGES):
        content = coerce.mapping(fetch({**params, **cursor}))
        records = _listed(content, key)
        if not records:
            return
        yield records
        cursor = _next_cursor(content)
        mark = tuple(sorted(cursor.items()))
        if not cursor or mark in seen:
            return
        seen.add(mark)


def numbered_pages(fetch: Fetch, params: Mapping[str, Any], key: str) -> Iterator[list[Any]]:
    """`segments`/`page`/`link`: the cursor is in `link.next`, else pages are counted up to `totalPages`.

    Whether the first page is number 0 or 1 differs, so counting starts at 1 and ends at a page without news.
    """
    content = coerce.mapping(fetch(params))
    records = _listed(content, key)
    if not records:
        return
    yield records
    seen_ids = _ids(records)
    seen_cursors: set[tuple[tuple[str, str], ...]] = set()
    total = coerce.count(coerce.mapping(content.get("page")).get("totalPages")) or 1
    for number in range(1, min(total, MAX_PAGES) + 1 if total > 1 else MAX_PAGES):
        cursor = _link_cursor(coerce.mapping(content.get("link")).get("next"))
        if cursor:
            mark = tuple(sorted(cursor.items()))
            if mark in seen_cursors:
                return
            seen_cursors.add(mark)
        elif total > 1 and not seen_cursors:
            cursor = {"page": str(number)}
        else:
            return
        try:
            content = coerce.mapping(fetch({**params, **cursor}))
        except (NotFound, Rejected):
            return  # one past the last page, where pages are counted from 0
        records = _listed(content, key)
        fresh = _ids(records) - seen_ids
        if not records or (not fresh and number > 1):
            return
        seen_ids |= fresh
        if fresh:
            yield records


def keyed_pages(fetch: Fetch, params: Mapping[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    """An object keyed by id (catalog): the next page starts after `limit` records, and a shorter page is the last."""
    seen: set[str] = set()
    for number in range(MAX_PAGES):
        content = fetch({**params, "limit": limit, "start": number * limit})
        if not isinstance(content, Mapping):
            raise Unavailable("Adobe's answer is not an object keyed by id.", code="unusable")
        records = {str(name): item for name, item in content.items() if str(name) not in seen}
        if not records:
            return
        yield records
        seen |= records.keys()
        if len(content) < limit:
            return


def _listed(content: Record, key: str) -> list[Any]:
    value = content.get(key)
    return value if isinstance(value, list) else []


def _ids(records: list[Any]) -> set[str]:
    return {found for record in records if (found := coerce.text(coerce.mapping(record).get("id"))) is not None}


def _next_cursor(content: Record) -> dict[str, str]:
    following = coerce.text(coerce.mapping(content.get("_page")).get("next"))
    if following is not None and "?" not in following:
        return {"start": following}
    link = coerce.mapping(content.get("_links")).get("next")
    return _link_cursor(following) or _link_cursor(link)


def _link_cursor(link: object) -> dict[str, str]:
    """The cursor parameter of a link, given as text or as `{href}`; the rest of the link is never used."""
    href = coerce.mapping(link).get("href") if isinstance(link, Mapping) else link
    if not isinstance(href, str) or "?" not in href:
        return {}
    try:
        query = parse_qs(urlsplit(href.replace("@/", "/", 1)).query, max_num_fields=50)
    except ValueError:
        return {}
    return {name: query[name][0] for name in _CURSOR_NAMES if query.get(name) and query[name][0].isprintable()}
