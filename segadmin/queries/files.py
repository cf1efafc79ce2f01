"""Rows of the record as files, from finished selects over ranges of numbers: no SELECT stays open, memory stays flat."""

import json
import re
from collections.abc import Iterator

from django.db.models import FilteredRelation, Min, Q

from segadmin.models import Event, EventContent
from segadmin.plain import visible_json
from segadmin.queries import audit
from segadmin.queries.cells import often, quoted, written

# Numbers in a range, so also the most rows that are in memory at once.
RANGE = 2000
type Part = tuple[int, bytes]  # rows, and their bytes
type Told = tuple[int, str, str, str]  # number, canonical text, digest, chain value

AUDIT_COLUMNS: dict[str, str] = {
    "record": "number of the record; without gaps but where a restore says so",
    "at": "when, UTC, ISO 8601 with microseconds",
    "actor_kind": "person, system, or command (the command line)",
    "actor": "account name, or name of the program",
    "actor_id": "key of the account, or the operating-system user",
    "roles": "roles of the actor in that organization at that time, by semicolon",
    "signed_in": "how the actor had signed in",
    "address": "network address that the request came from",
    "action": "what was done, such as export.create",
    "outcome": "requested, succeeded, failed, unknown or refused",
    "sentence": "the event in words; reads after the actor's name",
    "organization": "short name of the organization",
    "organization_name": "its name at that time",
    "sandbox": "sandbox",
    "job": "Adobe's id of the export job",
    "request": "id of the request for an export",
    "attempt": "id of the one change at Adobe; intent and outcome share it",
    "correlation": "id of the web request; all events of one request share it",
    "details": "everything else as JSON: differences, the exact request, what Adobe answered",
    "digest": "SHA-256 of the record's canonical text",
    "chain": "chain value, over digest, number and the chain value before",
}


def head() -> int:
    """The newest record's number; 0 for none."""
    return Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0


def ranges(first: int, last: int) -> Iterator[tuple[int, int]]:
    """(from, to) in order over the numbers that are in use; the leaps of restores are skipped."""
    start = first
    while start <= last:
        found: int | None = Event.objects.filter(seq__gte=start, seq__lte=last).aggregate(found=Min("seq"))["found"]
        if found is None:
            return
        yield found, min(found + RANGE - 1, last)
        start = found + RANGE


def told(condition: Q, first: int, last: int) -> Iterator[list[Told]]:
    """What matches, oldest first, a range at a time; ranges without a match are left out."""
    for start, end in ranges(first, last):
        # The range said of both tables: PostgreSQL then walks both at once, and doesn't look up each row's link.
        within = Q(event__seq__gte=start, event__seq__lte=end)
        rows = EventContent.objects.annotate(link=FilteredRelation("event", condition=within)).filter(condition)
        rows = rows.filter(event__gte=start, event__lte=end).order_by("event_id")
        if chunk := list(rows.values_list("event_id", "text", "link__digest", "link__chain")):
            yield chunk


def audit_csv(scope: audit.Scope, filters: audit.Filters, cut_off: int) -> Iterator[Part]:
    """The records that match as CSV, oldest first, with a line of column names."""
    yield 0, AUDIT_HEAD
    for chunk in _chunks(scope, filters, cut_off):
        yield len(chunk), audit_lines(chunk)


def audit_jsonl(scope: audit.Scope, filters: audit.Filters, cut_off: int) -> Iterator[Part]:
    """The records that match as JSON Lines, oldest first: the canonical texts, with characters that turn the reading
    direction escaped."""
    for chunk in _chunks(scope, filters, cut_off):
        yield len(chunk), "".join([f"{visible_json(row[1])}\n" for row in chunk]).encode("utf-8", "replace")


def _chunks(scope: audit.Scope, filters: audit.Filters, cut_off: int) -> Iterator[list[Told]]:
    condition = audit.condition(scope, filters)
    if condition is not None:
        yield from told(condition, 1, cut_off)


# The canonical form, as long as no text in it has an escape: reading it so takes half the time of reading JSON.
_TEXT = r'"([^"\\\x00-\x1f]*)"'
_BEGIN = re.compile(
    rf'\{{"action":{_TEXT},"actor":\{{"address":{_TEXT},"correlation_id":{_TEXT},"id":{_TEXT},"kind":{_TEXT},'
    rf'"name":{_TEXT},"roles":\[([^\]\\\x00-\x1f]*)\],"signed_in":{_TEXT}\}},"at":{_TEXT},"attempt":{_TEXT},"details":'
)
_END = re.compile(
    rf',"epoch":[0-9]+,"job":{_TEXT},"organization":\{{(?:"name":{_TEXT},"slug":{_TEXT})?\}},"outcome":{_TEXT},'
    rf'"request":{_TEXT},"salt":{_TEXT},"sandbox":{_TEXT},"sentence":{_TEXT},"seq":[0-9]+\}}'
)
type Fields = tuple[str, ...]  # of _BEGIN, of _END, and the details' JSON


def fields(text: str) -> Fields:
    """What a canonical text says. Raises ValueError or KeyError for a text that is none."""
    # Quotation marks inside of texts are escaped, so the last of these is the one after the details.
    end = text.rfind(',"epoch":')
    begun, ended = _BEGIN.match(text), _END.fullmatch(text, end) if end > 0 else None
    if begun and ended:
        action, address, correlation, key, kind, name, roles, *rest = begun.groups()
        roles = "; ".join(roles[1:-1].split('","'))
        return action, address, correlation, key, kind, name, roles, *rest, *ended.groups(""), text[begun.end() : end]
    return fields_of_json(text)


def fields_of_json(text: str) -> Fields:
    """The same, whatever is in the texts."""
    start, end = text.find('"details":') + len('"details":'), text.rfind(',"epoch":')
    told = json.loads(f"{text[:start]}0{text[end:]}")
    actor, organization = told["actor"], told["organization"]
    found = (
        told["action"],
        *(actor[name] for name in ("address", "correlation_id", "id", "kind", "name")),
        "; ".join(actor["roles"]),
        actor["signed_in"],
        *(told[name] for name in ("at", "attempt", "job")),
        *(organization.get(name, "") for name in ("name", "slug")),
        *(told[name] for name in ("outcome", "request", "salt", "sandbox", "sentence")),
        text[start:end],
    )
    if not all(isinstance(value, str) for value in found):
        raise ValueError("no canonical text")
    return found


def audit_line(row: Told) -> str:
    """One record as a line of CSV, in the order of AUDIT_COLUMNS. It comes from the text that the digest covers.

    Put together by hand: csv.writer looks at each character, which takes as long as all the rest.
    """
    seq, text, digest, chain = row
    try:
        action, address, correlation, key, kind, name, roles, signed_in, at, attempt, job, *rest = fields(text)
        place, slug, outcome, request, _salt, sandbox, sentence, details = rest
    except (ValueError, KeyError, TypeError, AttributeError):
        # No record's text, which only an alteration behind the triggers' back leaves: as it is, in `details`.
        empty = [""] * (len(AUDIT_COLUMNS) - 4)
        return ",".join((str(seq), *empty, written(text), written(digest), written(chain)))
    who = (often(kind), often(name), often(key), often(roles), often(signed_in), often(address))
    where = (often(slug), often(place), often(sandbox))
    ids = (written(job), written(request), written(attempt), written(correlation))
    more = quoted(visible_json(details)) if details != "{}" else ""
    what = (often(action), often(outcome), written(sentence))
    return ",".join((str(seq), _utc(at), *who, *what, *where, *ids, more, digest, chain))


def audit_lines(chunk: list[Told]) -> bytes:
    """Records as lines of CSV."""
    return "".join([f"{audit_line(row)}\r\n" for row in chunk]).encode("utf-8", "replace")


AUDIT_HEAD = (",".join(AUDIT_COLUMNS) + "\r\n").encode()


def _utc(at: str) -> str:
    """The canonical text's time in the form of files."""
    return f"{at[:-6]}Z" if at.endswith("+00:00") and at[:1].isdigit() and at.isprintable() else written(at)


def links(first: int, last: int) -> Iterator[list[tuple[int, int, str, str]]]:
    """(epoch, number, digest, chain value) of every record in the range, also of those that nobody may read here."""
    rows = Event.objects.order_by("seq")
    for start, end in ranges(first, last):
        yield list(rows.filter(seq__gte=start, seq__lte=end).values_list("epoch", "seq", "digest", "chain"))


def chain_before(first: int) -> str:
    """The chain value that the record `first` follows; empty where there is none before it."""
    before = Event.objects.filter(seq__lt=first).order_by("-seq").values_list("chain", flat=True).first()
    return before or ""
