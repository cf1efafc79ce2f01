"""Log lines: one event, one line, with the id of the request it belongs to. Loaded by settings, so it imports no models."""

import logging
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestIdFilter(logging.Filter):
    """Gives every log line the id of the request it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class OneLineFormatter(logging.Formatter):
    """Text from outside can't start a line of its own: what follows a line break is indented."""

    def format(self, record: logging.LogRecord) -> str:
        head, *rest = super().format(record).splitlines() or [""]
        return "\n    ".join([head, *rest])
