"""What stands around the jobs list: the line of counts, how old the mirror is, which kind of empty, unreadable records."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from segadmin.models import BadRecord, ExportRequest, Job, Origin, RequestState, Sandbox, State, User
from segadmin.queries import health, job_filters, jobs
from segadmin.queries.job_filters import Filters
from segadmin.queries.jobs import Scope
from segadmin.templatetags.segadmin import at, at_full, clock

UNREADABLE_SHOWN = 20
PEOPLE_OFFERED = 50
LONGEST_RAW = 4000
# An id has no blanks, and is not the fragment of a word.
LONGEST_ID = 200


@dataclass(frozen=True)
class Number:
    """One number of the line over the list; `url` is the list of just these."""

    words: str
    url: str


@dataclass(frozen=True)
class Place:
    """One sandbox in the as-of line, as `components/asof.html` takes it. `is_former`: nobody watches it any more."""

    key: str
    name: str
    read_at: datetime | None
    problem: str
    is_former: bool = False


@dataclass(frozen=True)
class Empty:
    """Which kind of nothing: nothing, no-match, could-not-load or not-permitted; as `components/empty.html` takes it."""

    kind: str
    lead: str
    text: str = ""
    action_url: str = ""
    action_word: str = ""
    clear_url: str = ""
    clear_word: str = ""


@dataclass(frozen=True)
class Unreadable:
    """Records of Adobe's lists that could not be read as jobs; `shown` are the latest of `count`."""

    count: int
    shown: list[tuple[BadRecord, Sandbox, str]]


def counts(asked: Scope) -> list[Number]:
    """What became of the exports started since yesterday, and what is going on now."""
    filters = asked.filters.only("org", "sandbox")
    since = timezone.make_aware(datetime.combine(timezone.localdate() - timedelta(days=1), datetime.min.time()))
    numbers = Job.objects.filter(sandbox_id__in=asked.by_pk, sort_at__gte=since).aggregate(
        finished=Count("pk", filter=Q(state=State.SUCCEEDED) & (Q(profiles=None) | Q(profiles__gt=0))),
        failed=Count("pk", filter=Q(state=State.FAILED)),
        empty=Count("pk", filter=Q(state=State.SUCCEEDED, profiles=0)),
        outside=Count("pk", filter=Q(origin=Origin.OUTSIDE)),
    )
    live = [State.WAITING, State.RUNNING, State.CANCELLING]
    running = Job.objects.filter(sandbox_id__in=asked.by_pk, state__in=live).count()
    lost = ExportRequest.objects.filter(sandbox_id__in=asked.by_pk, state=RequestState.UNKNOWN).count()
    day = ("since", "yesterday")
    return [
        Number(words, filters.url(*pairs))
        for number, words, pairs in (
            (True, _("%d finished") % numbers["finished"], [("state", "succeeded"), day, ("empty", "0")]),
            (numbers["failed"], _("%d failed") % numbers["failed"], [("state", "failed"), day]),
            (numbers["empty"], _("%d finished empty") % numbers["empty"], [day, ("empty", "1")]),
            (running, _("%d running") % running, [("state", state.value) for state in live]),
            (numbers["outside"], _("%d from outside") % numbers["outside"], [("origin", "outside"), day]),
            (lost, _("%d with its answer lost") % lost, [("state", "unknown")]),
        )
        if number
    ]


def places(sandboxes: Sequence[Sandbox], now: datetime | None = None) -> list[Place]:
    """As of when each sandbox is shown, and why it is not newer, if so. Removed orgs are left out."""
    limit = (now or timezone.now()) - health.mirror_limit()
    return [
        Place(str(sandbox.pk), str(sandbox), sandbox.last_read_at, _problem(sandbox, limit), not sandbox.watched)
        for sandbox in sandboxes
        if not sandbox.organization.retired_at
    ]


def _problem(sandbox: Sandbox, limit: datetime) -> str:
    if not sandbox.watched:
        return ""  # by choice, which is no problem
    if sandbox.last_error:
        return sandbox.last_error
    if sandbox.last_read_at is not None and sandbox.last_read_at < limit:
        return _("the mirror has not come round")
    return ""


def stamps(found: Sequence[Place]) -> dict[str, str]:
    """Element id -> text, for a poll that has nothing else to say."""
    return {
        f"asof-{place.key}": at(place.read_at) if place.problem or place.is_former else clock(place.read_at)
        for place in found
        if place.read_at is not None
    }


def signature(found: Sequence[Place], silent: str) -> str:
    """Changes when a sandbox begins or ceases to be unreadable, or the mirror falls silent; sent back with each poll."""
    told = [bool(silent), *((place.key, place.problem, place.is_former, place.read_at is None) for place in found)]
    return f"{zlib.crc32(repr(told).encode()):x}"


def silence(sandboxes: Sequence[Sandbox], now: datetime | None = None) -> str:
    """A sentence when no watched sandbox was even tried lately, so that what the page shows is old; else empty."""
    watched = [row for row in sandboxes if row.watched and not row.organization.retired_at]
    tried = [moment for row in watched for moment in (row.last_read_at, row.last_error_at) if moment]
    if not watched or (tried and max(tried) >= (now or timezone.now()) - health.mirror_limit()):
        return ""
    if not tried:
        return _("Adobe has not been asked yet. Is the mirror running? Who runs this server starts it with “sync”.")
    return _(
        "Adobe was last asked %s, so everything here may have changed since. "
        "Who runs this server starts the mirror with “sync”."
    ) % at_full(max(tried))


def unreadable(sandboxes: Mapping[int, Sandbox]) -> Unreadable | None:
    """Unreadable records, raw, newest first; None where there are none."""
    count = sum(sandbox.bad_records for sandbox in sandboxes.values())
    if not count:
        return None
    rows = BadRecord.objects.filter(sandbox_id__in=sandboxes).order_by("-last_seen_at", "-pk")[:UNREADABLE_SHOWN]
    return Unreadable(
        count,
        [
            (row, sandboxes[row.sandbox_id], json.dumps(row.raw, ensure_ascii=False, indent=2)[:LONGEST_RAW])
            for row in rows
        ],
    )


def people(sandboxes: Mapping[int, Sandbox]) -> list[str]:
    """Names of those who sent exports in these sandboxes, for the filter."""
    sent = ExportRequest.objects.filter(
        sandbox_id__in=sandboxes, state__in=[RequestState.SENT, RequestState.SENDING, RequestState.UNKNOWN]
    )
    authors = User.objects.filter(pk__in=sent.values("author_id")).order_by("username")
    return list(authors.values_list("username", flat=True)[:PEOPLE_OFFERED])


def may_be_id(text: str) -> bool:
    """Whether a search that found nothing could be an id to ask Adobe for."""
    return 0 < len(text) <= LONGEST_ID and not any(letter.isspace() for letter in text) and text not in (".", "..")


def empty(asked: Scope, creatable: Sequence[Sandbox], *, has_role: bool = True) -> Empty:
    """Why the list shows nothing, and what to do next."""
    if not asked.visible and has_role:
        return Empty(
            "nothing",
            _("No sandbox is watched yet."),
            _("Exports stand here when an administrator has connected an organization and chosen its sandboxes."),
            reverse("organizations"),
            _("Organizations"),
        )
    if not asked.visible:
        return Empty(
            "not-permitted",
            _("You may not see exports of any organization yet."),
            _("An administrator can give you a role in one."),
        )
    if not asked.sandboxes:
        return _not_permitted(asked)
    unread = [row for row in asked.sandboxes if row.watched and row.last_read_at is None]
    rest = asked.filters.without("org", "sandbox")
    everything = jobs.total(asked) if rest.values else 0
    if rest.values and (everything or not unread):
        return _no_match(asked.filters, everything)
    if unread:
        return _could_not_load(unread)
    return _nothing_yet(asked, creatable)


def _not_permitted(asked: Scope) -> Empty:
    mine = ", ".join(dict.fromkeys(row.organization.name for row in asked.visible))
    return Empty(
        "not-permitted",
        _("You may not see exports there, or there is no such place."),
        _("You see the exports of %s. An administrator of another organization can add you.") % mine,
        reverse("jobs"),
        _("Your exports"),
    )


def _no_match(filters: Filters, everything: int) -> Empty:
    text = ngettext("Without filters there would be %s.", "Without filters there would be %s.", everything) % (
        f"{everything:,}"
    )
    return Empty(
        "no-match",
        _("No export matches these filters."),
        text if everything else _("There are none without them either."),
        clear_url=filters.only("org", "sandbox").url(),
        clear_word=_("Clear the filters"),
    )


def _could_not_load(unread: Sequence[Sandbox]) -> Empty:
    first = next((row for row in unread if row.last_error), unread[0])
    if not first.last_error:
        return Empty(
            "could-not-load",
            _("%s has not been read yet.") % first,
            _("Adobe’s list is read within seconds of a connection; until then this page can’t know."),
        )
    return Empty(
        "could-not-load",
        _("%s has never been read.") % first,
        _("%(problem)s (%(at)s) So this list may be empty for the wrong reason.")
        % {"problem": first.last_error, "at": at_full(first.last_error_at)},
        reverse("organization", args=[first.organization.slug]),
        _("Look at the connection"),
    )


def _nothing_yet(asked: Scope, creatable: Sequence[Sandbox]) -> Empty:
    where = str(asked.sandboxes[0]) if len(asked.sandboxes) == 1 else _("these sandboxes")
    oldest = min((row.last_read_at for row in asked.sandboxes if row.last_read_at), default=None)
    place = next((row for row in creatable if row in asked.sandboxes), None)
    unreadable = sum(row.bad_records for row in asked.sandboxes)
    read = _("Adobe’s list was read to the end at %s and is empty.")
    if unreadable:  # something is there, and nobody knows what
        read = _("Adobe’s list, read at %s, held only entries that could not be read as jobs.")
    return Empty(
        "nothing",
        _("No exports in %s so far.") % where,
        read % at_full(oldest) if oldest else "",
        reverse("new_export", args=[place.organization.slug, place.name]) if place else "",
        _("New export") if place else "",
    )


def place_choices(asked: Scope) -> list[tuple[str, Sandbox, bool]]:
    """(value, sandbox, ticked) for the menu of places; ticked only where the list is limited to some."""
    limited = bool(asked.filters.all("org") or asked.filters.all("sandbox"))
    chosen = {row.pk for row in asked.sandboxes} if limited else set()
    return [(job_filters.place_key(row), row, row.pk in chosen) for row in asked.visible]


@dataclass(frozen=True)
class Around:
    """Everything the page of the list shows besides its rows."""

    counts: list[Number]
    places: list[Place]
    signature: str
    silence: str
    chips: list[job_filters.Chip]
    place_choices: list[tuple[str, Sandbox, bool]]
    state_choices: list[tuple[str, str]]
    since_choices: list[tuple[str, str]]
    people: list[str]
    unreadable: Unreadable | None
    empty: Empty | None
    ask: list[tuple[str, Sandbox]]


def around(asked: Scope, page: jobs.JobPage, creatable: Sequence[Sandbox], *, has_role: bool = True) -> Around:
    """Gather it; `creatable` are the sandboxes in which the person may start an export; `has_role`: one at all."""
    found, silent = places(asked.sandboxes), silence(asked.sandboxes)
    watched = [row for row in asked.sandboxes if row.watched and not row.organization.retired_at]
    askable = not page.rows and may_be_id(asked.filters.q)
    return Around(
        counts=counts(asked) if asked.sandboxes else [],
        places=found,
        signature=signature(found, silent),
        silence=silent,
        chips=asked.filters.chips(asked.visible),
        place_choices=place_choices(asked),
        state_choices=[(state.value, str(state.label)) for state in State],
        since_choices=job_filters.since_choices(),
        people=people({row.pk: row for row in asked.visible}),
        unreadable=unreadable(asked.by_pk),
        empty=None if page.rows or asked.filters.after else empty(asked, creatable, has_role=has_role),
        ask=[(job_filters.place_key(row), row) for row in watched] if askable else [],
    )
