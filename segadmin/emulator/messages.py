"""HTTP messages as the endpoints see them, apart from sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One received request. Header names are lower case; query values keep their order and repetitions."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    def param(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None

    def json(self) -> Any:
        """The decoded body; raises ValueError when it is no JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Response:
    """One answer. `headers` may override the content type that the writer adds."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """Raised anywhere below the router to answer at once with the carried response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def as_json(status: int, value: Any, **headers: str) -> Response:
    """A JSON answer; underscores in header keywords stand for dashes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})
