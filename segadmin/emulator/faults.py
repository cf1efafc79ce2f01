"""Switches that make the emulator misbehave, one request at a time."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from segadmin.emulator.errors import SHAPES
from segadmin.emulator.messages import JsonObject


@dataclass(frozen=True, slots=True)
class Fault:
    """Which requests go wrong, how often, and how.

    Which: `endpoint` is a name of the router such as `jobs.create` (a final `*` matches the rest), `method` an HTTP
    verb, `path` a glob, `org` an organization id or slug, `sandbox` a sandbox name; None matches everything. The first
    `skip` matches pass, the next `times` go wrong (None: all).

    How: `status` answers without doing the work, unless `after` is true: then the work is done first. `shape` is one of
    the documented error bodies, or `empty` or `html`; `body` replaces it, as text or JSON. `latency` and the rest work
    on either kind of answer. Times are in seconds, sizes in bytes.
    """

    endpoint: str | None = None
    method: str | None = None
    path: str | None = None
    org: str | None = None
    sandbox: str | None = None
    skip: int = 0
    times: int | None = None

    status: int | None = None
    shape: str = "gateway"
    message: str = "Fault injected by the emulator"
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: str | None = None
    redirect: str | None = None
    content_type: str | None = None
    after: bool = False

    latency: float = 0.0
    hang: bool = False
    drip: Literal["headers", "body"] | None = None
    drip_interval: float = 0.5
    reset: bool = False
    cut: bool = False
    truncate: int | None = None
    oversize: int | None = None
    gzip_bomb: int | None = None
    lost_answer: bool = False
    no_content: bool = False

    def matches(self, facts: RequestFacts) -> bool:
        """Whether the fault is meant for such a request."""
        return (
            (self.endpoint is None or fnmatch.fnmatchcase(facts.endpoint, self.endpoint))
            and (self.method is None or self.method.upper() == facts.method)
            and (self.path is None or fnmatch.fnmatchcase(facts.path, self.path))
            and (self.org is None or self.org in (facts.ims_org_id, facts.slug))
            and (self.sandbox is None or self.sandbox == facts.sandbox)
        )

    @property
    def does_the_work(self) -> bool:
        """The request is handled as usual, whatever becomes of its answer."""
        if self.after or self.lost_answer or self.no_content:
            return True
        replaced = self.status is not None or self.redirect is not None or self.body is not None
        replaced = replaced or self.shape in ("html", "empty")
        return not (replaced or self.hang or self.reset or self.cut or self.oversize or self.gzip_bomb)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What faults are matched against."""

    endpoint: str
    method: str
    path: str
    ims_org_id: str
    slug: str
    sandbox: str


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0


_WHOLE_NUMBERS = {"skip": 0, "times": 1, "status": 200, "truncate": 0, "oversize": 1, "gzip_bomb": 1}
_NAMES = {item.name for item in fields(Fault)}


class FaultBox:
    """The faults in force. The first that matches wins; one that is used up is dropped."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = sorted({*endpoints, "unknown"})
        self._armed: list[_Armed] = []
        self._lock = threading.Lock()

    def set(self, **wanted: Any) -> Fault:
        """Add a fault from the fields of Fault; ValueError for an unknown field or value."""
        unknown = set(wanted) - _NAMES
        if unknown:
            raise ValueError(f"unknown fault field: {', '.join(sorted(unknown))}")
        if "headers" in wanted:
            given = wanted["headers"]
            pairs = given.items() if isinstance(given, dict) else given
            wanted["headers"] = tuple((str(name), str(value)) for name, value in pairs)
        if "retry_after" in wanted:
            wanted["retry_after"] = str(wanted["retry_after"])
        fault = Fault(**wanted)
        self._check(fault)
        with self._lock:
            self._armed.append(_Armed(fault))
        return fault

    def _check(self, fault: Fault) -> None:
        if fault.endpoint is not None and not fnmatch.filter(self._endpoints, fault.endpoint):
            raise ValueError(f"no endpoint is called {fault.endpoint}; there are {', '.join(self._endpoints)}")
        if fault.shape not in (*SHAPES, "empty", "html"):
            raise ValueError(f"unknown error shape: {fault.shape}")
        if fault.drip not in (None, "headers", "body"):
            raise ValueError("drip must be headers or body")
        for name, lowest in _WHOLE_NUMBERS.items():
            value = getattr(fault, name)
            if value is not None and (type(value) is not int or value < lowest):
                raise ValueError(f"{name} must be a whole number from {lowest} up")
        for name in ("latency", "drip_interval"):
            if type(getattr(fault, name)) not in (int, float):
                raise ValueError(f"{name} must be a number of seconds")

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._armed.clear()

    def active(self) -> list[JsonObject]:
        """The faults in force with how many requests each has met."""
        with self._lock:
            return [{**asdict(armed.fault), "seen": armed.seen} for armed in self._armed]

    def take(self, facts: RequestFacts) -> Fault | None:
        """The fault for this request, counted as used."""
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if not fault.matches(facts):
                    continue
                armed.seen += 1
                if armed.seen <= fault.skip:
                    continue
                if fault.times is not None and armed.seen >= fault.skip + fault.times:
                    self._armed.remove(armed)
                return fault
        return None
